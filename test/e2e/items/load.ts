// Quantity: bytes through pipes, processes and threads in number, memory and disk that run out.

import { heavy } from '../../run.ts'
import type { Item } from '../item.ts'

const MEGABYTES = heavy ? 1024 : 200
const SHORT = heavy ? 1000 : 300

export const loadItems: readonly Item[] = [
  {
    name: `${MEGABYTES} MB go through a pipe unchanged`,
    seconds: 280,
    script: `
      mkfifo counted; wc -c < counted > count & W=$!
      head -c ${MEGABYTES}M /dev/zero | tr '\\0' 'x' | cat | tee counted | tail -c 1; echo
      wait $W; cat count
      head -c ${Math.floor(MEGABYTES / 10)}M /dev/urandom > r; cat r | cat | cmp - r && echo same`,
    stdout: `x\n${MEGABYTES * 1048576}\nsame\n`,
  },
  {
    name: `${SHORT} short processes`,
    seconds: 180,
    script: `n=0; for i in $(seq ${SHORT}); do /bin/true && n=$((n + 1)); done; echo $n`,
    stdout: `${SHORT}\n`,
  },
  {
    name: '200 processes at once',
    seconds: 180,
    script: `
      for i in $(seq 200); do sleep 100 & done
      ls -d /proc/[0-9]* | wc -l | awk '{ print ($1 > 200) }'; jobs -p | wc -l
      kill $(jobs -p); set +e; wait 2> /dev/null; cat /proc/[0-9]*/comm | grep -cx sleep
      for i in $(seq 200); do (echo $i) & done | sort -n | tail -1; wait; echo over`,
    stdout: '1\n200\n0\n200\nover\n',
  },
  {
    name: '64 threads contend for mutexes and condition variables',
    seconds: 180,
    script: `cat > t.c <<'END'
#include <pthread.h>
#include <stdio.h>
enum { THREADS = 64, ROUNDS = ${heavy ? 4000 : 1000} };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_came = PTHREAD_COND_INITIALIZER, all_there = PTHREAD_COND_INITIALIZER;
static long count, turn, turns, waiting;
static pthread_barrier_t barrier;
static void *work(void *arg) {
  long me = (long)arg;
  for (int i = 0; i < ROUNDS; i++) {
    pthread_mutex_lock(&lock);
    count++;
    pthread_mutex_unlock(&lock);
  }
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < 10; i++) {
    pthread_mutex_lock(&lock);
    while (turn != me) pthread_cond_wait(&turn_came, &lock);
    turn = (turn + 1) % THREADS;
    turns++;
    pthread_cond_broadcast(&turn_came);
    pthread_mutex_unlock(&lock);
  }
  pthread_mutex_lock(&lock);
  if (++waiting == THREADS) pthread_cond_signal(&all_there);
  pthread_mutex_unlock(&lock);
  return NULL;
}
int main(void) {
  pthread_t threads[THREADS];
  pthread_barrier_init(&barrier, NULL, THREADS);
  for (long i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, (void *)i);
  pthread_mutex_lock(&lock);
  while (waiting < THREADS) pthread_cond_wait(&all_there, &lock);
  pthread_mutex_unlock(&lock);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  printf("%ld %ld %ld\\n", count, turns, turn);
}
END
gcc -O1 -pthread -o t t.c; ./t`,
    stdout: `${64 * (heavy ? 4000 : 1000)} 640 0\n`,
  },
  {
    name: 'endless recursion ends with SIGSEGV, and only there',
    script: `
      printf 'int f(int n) { volatile char c[1000]; c[n %% 999] = n; return f(n + 1) + c[0]; } int main(void) { return f(0); }' > r.c
      gcc -O0 -o r r.c 2>/dev/null; set +e; ulimit -c 0; ./r 2>/dev/null; echo $?; echo alive`,
    stdout: '139\nalive\n',
  },
  {
    name: 'a full tmpfs says so and recovers',
    script: `
      mkdir small; mount -t tmpfs -o size=1m tmpfs small; trap 'umount "$D/small"; rm -r "$D"' EXIT; set +e
      head -c 3M /dev/zero > small/big 2> err; echo $?; grep -c 'No space left' err
      stat -c %s small/big; rm small/big; echo fits > small/f; cat small/f; df --output=size small | tail -1 | tr -d ' '`,
    stdout: '1\n1\n1048576\nfits\n1024\n',
  },
  {
    name: 'a file limit of processes is kept',
    script:
      'ulimit -u 2000; ulimit -u; ulimit -n 30; set +e; for i in $(seq 5 40); do eval "exec $i< /dev/null" 2>/dev/null || { echo full; break; }; done',
    stdout: '2000\nfull\n',
  },
  {
    name: 'a fork in a loop of pipelines does not leak descriptors or processes',
    seconds: 180,
    script: `
      before=$(ls /proc/self/fd | wc -l)
      for i in $(seq 60); do seq 10 | sort -r | head -1 > /dev/null; done
      [ $before = $(ls /proc/self/fd | wc -l) ] && ps ax | wc -l | awk '{ print ($1 < 8) }'`,
    stdout: '1\n',
  },
]
