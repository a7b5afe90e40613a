// Futexes with priority inheritance, by raw calls and as the C library's mutexes.
#include "test.h"
#include <linux/futex.h>

static uint32_t word, word2;
static long futex(uint32_t *at, int op, uint32_t value, const void *timeout, uint32_t *at2, uint32_t value3) {
  return syscall(SYS_futex, at, op, value, timeout, at2, value3);
}
static struct timespec in_ms(clockid_t clock, int n) {
  struct timespec t;
  EXPECT_OK(clock_gettime(clock, &t));
  int64_t ns = t.tv_nsec + n * 1000000LL;
  return (struct timespec){t.tv_sec + ns / 1000000000, ns % 1000000000};
}
static void *map_shared(void) {
  void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(at != MAP_FAILED);
  return at;
}

TEST(lock_and_unlock_without_contention) {
  for (int flag = 0; flag <= FUTEX_PRIVATE_FLAG; flag += FUTEX_PRIVATE_FLAG) {
    word = 0;
    EXPECT_OK(futex(&word, FUTEX_LOCK_PI | flag, 0, NULL, NULL, 0));
    EXPECT_EQ(word, gettid());
    EXPECT_ERRNO(futex(&word, FUTEX_LOCK_PI | flag, 0, NULL, NULL, 0), EDEADLK);
    EXPECT_ERRNO(futex(&word, FUTEX_TRYLOCK_PI | flag, 0, NULL, NULL, 0), EDEADLK);
    EXPECT_EQ(word, gettid());
    EXPECT_OK(futex(&word, FUTEX_UNLOCK_PI | flag, 0, NULL, NULL, 0));
    EXPECT_EQ(word, 0);
    EXPECT_OK(futex(&word, FUTEX_TRYLOCK_PI | flag, 0, NULL, NULL, 0));
    EXPECT_EQ(word, gettid());
    EXPECT_OK(futex(&word, FUTEX_UNLOCK_PI | flag, 0, NULL, NULL, 0));
    word = FUTEX_OWNER_DIED;
    EXPECT_OK(futex(&word, FUTEX_LOCK_PI | flag, 0, NULL, NULL, 0));
    EXPECT_EQ(word, FUTEX_OWNER_DIED | gettid());
  }
}

TEST(errors) {
  word = 1;
  EXPECT_ERRNO(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
  word = 0x3ffffff;  // nobody's
  EXPECT_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0), ESRCH);
  EXPECT_EQ(word & ~FUTEX_WAITERS, 0x3ffffff);
  EXPECT_ERRNO(futex((uint32_t *)((char *)&word + 1), FUTEX_LOCK_PI, 0, NULL, NULL, 0), EINVAL);
  EXPECT_ERRNO(futex(NULL, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EFAULT);
  EXPECT_ERRNO(futex(NULL, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EFAULT);
  uint32_t *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_ERRNO(futex(constant, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EFAULT);
  struct timespec bad = {0, 1000000000};
  EXPECT_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, &bad, NULL, 0), EINVAL);
  EXPECT_ERRNO(futex(&word, FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0), ENOSYS);
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT_REQUEUE_PI, 1, NULL, &word2, 0), EAGAIN);
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT_REQUEUE_PI, word, NULL, &word, 0), EINVAL);
  EXPECT_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PI, 2, NULL, &word2, word), EINVAL);
  EXPECT_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, NULL, &word2, word + 1), EAGAIN);
  EXPECT_EQ(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, NULL, &word2, word), 0);
}

struct locker {
  pthread_t thread;
  volatile pid_t tid;
  // Keeps the thread from ending.
  volatile int held;
  long result;
  int error;
};
static void *lock_word(void *arg) {
  struct locker *l = arg;
  l->tid = gettid();
  l->result = futex(&word, FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0);
  l->error = errno;
  while (l->held) sched_yield();
  return NULL;
}
static void start_locker(struct locker *l) {
  l->tid = 0;
  EXPECT_EQ(pthread_create(&l->thread, NULL, lock_word, l), 0);
  while (!l->tid) sched_yield();
  wait_thread_asleep(l->tid);
}

TEST(unlock_hands_over_in_order) {
  word = gettid();
  struct locker a = {.held = 1}, b = {0};
  start_locker(&a);
  EXPECT_EQ(word, gettid() | FUTEX_WAITERS);
  EXPECT_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, NULL, &word, word), EINVAL);
  start_locker(&b);
  EXPECT_OK(futex(&word, FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0));
  EXPECT_EQ(word & FUTEX_TID_MASK, a.tid);
  EXPECT_TRUE(word & FUTEX_WAITERS);
  a.held = 0;
  EXPECT_EQ(pthread_join(a.thread, NULL), 0);
  EXPECT_EQ(a.result, 0);
  // It ended with the lock: the next one gets it, marked.
  EXPECT_EQ(pthread_join(b.thread, NULL), 0);
  EXPECT_EQ(b.result, 0);
  EXPECT_EQ(word & (FUTEX_TID_MASK | FUTEX_OWNER_DIED), (uint32_t)b.tid | FUTEX_OWNER_DIED);
}

static void *lock_in_vain(void *arg) {
  long *result = arg;
  struct timespec t = in_ms(CLOCK_REALTIME, 30);
  result[0] = futex(&word, FUTEX_LOCK_PI, 0, &t, NULL, 0) == -1 ? errno : 0;
  t = in_ms(CLOCK_MONOTONIC, 30);
  result[1] = futex(&word, FUTEX_LOCK_PI2, 0, &t, NULL, 0) == -1 ? errno : 0;
  result[2] = futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0) == -1 ? errno : 0;
  return NULL;
}
TEST(timeouts_and_trylock) {
  word = gettid();
  long results[3] = {0};
  pthread_t thread;
  EXPECT_EQ(pthread_create(&thread, NULL, lock_in_vain, results), 0);
  EXPECT_EQ(pthread_join(thread, NULL), 0);
  EXPECT_EQ(results[0], ETIMEDOUT);
  EXPECT_EQ(results[1], ETIMEDOUT);
  EXPECT_EQ(results[2], EAGAIN);
  EXPECT_OK(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
  EXPECT_EQ(word, 0);
}

static void nothing(int signo) { (void)signo; }
TEST(a_signal_does_not_end_the_wait) {
  struct sigaction action = {.sa_handler = nothing};
  EXPECT_OK(sigaction(SIGUSR1, &action, NULL));
  word = gettid();
  struct locker a = {0};
  start_locker(&a);
  for (int i = 0; i < 5; i++) {
    EXPECT_EQ(pthread_kill(a.thread, SIGUSR1), 0);
    sleep_ms(2);
  }
  wait_thread_asleep(a.tid);
  EXPECT_OK(futex(&word, FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 0));
  EXPECT_EQ(pthread_join(a.thread, NULL), 0);
  EXPECT_EQ(a.result, 0);
}

static void *lock_both(void *arg) {
  struct locker *l = arg;
  EXPECT_OK(futex(&word2, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
  l->tid = gettid();
  l->result = futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
  EXPECT_OK(futex(&word2, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
  return NULL;
}
TEST(a_circle_of_owners_is_a_deadlock) {
  EXPECT_OK(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
  struct locker l = {0};
  EXPECT_EQ(pthread_create(&l.thread, NULL, lock_both, &l), 0);
  while (!l.tid) sched_yield();
  wait_thread_asleep(l.tid);
  EXPECT_ERRNO(futex(&word2, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
  EXPECT_OK(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
  EXPECT_EQ(pthread_join(l.thread, NULL), 0);
  EXPECT_EQ(l.result, 0);
}

#define THREADS 16
#define ROUNDS 300
static pthread_mutex_t *mutex;
static long *counter;
static void init_mutex(int shared, int robust) {
  pthread_mutexattr_t attr;
  mutex = map_shared();
  counter = (long *)(mutex + 1);
  EXPECT_EQ(pthread_mutexattr_init(&attr), 0);
  EXPECT_EQ(pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT), 0);
  if (shared) EXPECT_EQ(pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED), 0);
  if (robust) EXPECT_EQ(pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST), 0);
  EXPECT_EQ(pthread_mutex_init(mutex, &attr), 0);
}
static void *count(void *unused) {
  (void)unused;
  for (int i = 0; i < ROUNDS; i++) {
    EXPECT_EQ(pthread_mutex_lock(mutex), 0);
    long seen = *counter;
    if (i % 16 == 0) sched_yield();
    *counter = seen + 1;
    EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
  }
  return NULL;
}
TEST(mutex_of_many_threads) {
  init_mutex(0, 0);
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) EXPECT_EQ(pthread_create(&threads[i], NULL, count, NULL), 0);
  for (int i = 0; i < THREADS; i++) EXPECT_EQ(pthread_join(threads[i], NULL), 0);
  EXPECT_EQ(*counter, THREADS * ROUNDS);
}
TEST(mutex_of_many_processes) {
  init_mutex(1, 0);
  pid_t children[4];
  for (int i = 0; i < 4; i++) children[i] = FORK(count(NULL));
  for (int i = 0; i < 4; i++) EXPECT_EXIT(children[i], 0);
  EXPECT_EQ(*counter, 4 * ROUNDS);
}
TEST(robust_mutex_of_a_process_that_is_killed) {
  init_mutex(1, 1);
  for (int waits = 0; waits < 2; waits++) {
    *counter = 0;
    pid_t owner = FORK({
      EXPECT_EQ(pthread_mutex_lock(mutex), 0);
      *counter = 1;
      pause();
    });
    while (!*(volatile long *)counter) sched_yield();
    pid_t killer = FORK({
      if (waits) sleep_ms(50);
      EXPECT_OK(kill(owner, SIGKILL));
    });
    if (!waits) {
      EXPECT_EXIT(killer, 0);
      EXPECT_OK(waitpid(owner, NULL, 0));
    }
    EXPECT_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    EXPECT_EQ(pthread_mutex_consistent(mutex), 0);
    EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
    if (waits) {
      EXPECT_EXIT(killer, 0);
      EXPECT_OK(waitpid(owner, NULL, 0));
    }
  }
  EXPECT_EQ(pthread_mutex_lock(mutex), 0);
}

static void *wait_for_requeue(void *arg) {
  struct locker *l = arg;
  l->tid = gettid();
  l->result = futex(&word, FUTEX_WAIT_REQUEUE_PI, 0, NULL, &word2, 0);
  if (l->result == 0) {
    EXPECT_EQ(word2 & FUTEX_TID_MASK, gettid());
    EXPECT_OK(futex(&word2, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
  }
  return NULL;
}
TEST(requeue_to_a_lock) {
  for (int locked = 0; locked < 2; locked++) {
    word = 0;
    word2 = locked ? gettid() : 0;
    struct locker l[3] = {0};
    for (int i = 0; i < 3; i++) {
      l[i].tid = 0;
      EXPECT_EQ(pthread_create(&l[i].thread, NULL, wait_for_requeue, &l[i]), 0);
      while (!l[i].tid) sched_yield();
      wait_thread_asleep(l[i].tid);
    }
    EXPECT_ERRNO(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, (void *)10L, &word2 + 1, 0), EINVAL);
    EXPECT_EQ(futex(&word, FUTEX_CMP_REQUEUE_PI, 1, (void *)10L, &word2, 0), 3);
    if (locked) EXPECT_OK(futex(&word2, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
    for (int i = 0; i < 3; i++) {
      EXPECT_EQ(pthread_join(l[i].thread, NULL), 0);
      EXPECT_EQ(l[i].result, 0);
    }
    EXPECT_EQ(word2, 0);
  }
  struct timespec t = in_ms(CLOCK_MONOTONIC, 20);
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT_REQUEUE_PI, 0, &t, &word2, 0), ETIMEDOUT);
}
