// Futexes by raw calls, and what the C library builds on them, under load.
#include "test.h"
#include <linux/futex.h>
#include <semaphore.h>

static uint32_t word, word2;
static long futex(uint32_t *at, int op, uint32_t value, const void *timeout, uint32_t *at2, uint32_t value3) {
  return syscall(SYS_futex, at, op, value, timeout, at2, value3);
}
static struct timespec ms(int n) { return (struct timespec){n / 1000, n % 1000 * 1000000L}; }
static int op_flag = 0;

struct waiter {
  pthread_t thread;
  volatile pid_t tid;
  uint32_t bits;
  long result;
};
static void *wait_on_word(void *arg) {
  struct waiter *w = arg;
  w->tid = gettid();
  w->result = futex(&word, FUTEX_WAIT_BITSET | op_flag, 0, NULL, NULL, w->bits);
  return NULL;
}
static void start(struct waiter *w, uint32_t bits) {
  w->bits = bits, w->tid = 0;
  EXPECT_EQ(pthread_create(&w->thread, NULL, wait_on_word, w), 0);
  while (!w->tid) sched_yield();
  wait_thread_asleep(w->tid);
}
static void join(struct waiter *w) {
  EXPECT_EQ(pthread_join(w->thread, NULL), 0);
  EXPECT_EQ(w->result, 0);
}

TEST(wait_returns_at_once_when_the_value_differs) {
  word = 5;
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT, 4, NULL, NULL, 0), EAGAIN);
  EXPECT_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
}

TEST(timeouts) {
  struct timespec t = ms(30), bad = {0, -1};
  int64_t begin = now_ms();
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT, 0, &t, NULL, 0), ETIMEDOUT);
  EXPECT_GE(now_ms() - begin, 29);
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
  EXPECT_OK(clock_gettime(CLOCK_MONOTONIC, &t));
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 0, &t, NULL, FUTEX_BITSET_MATCH_ANY), ETIMEDOUT);
  EXPECT_OK(clock_gettime(CLOCK_REALTIME, &t));
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &t, NULL, FUTEX_BITSET_MATCH_ANY), ETIMEDOUT);
}

TEST(errors) {
  EXPECT_ERRNO(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0), EINVAL);
  EXPECT_ERRNO(futex((uint32_t *)8, FUTEX_WAIT, 0, NULL, NULL, 0), EFAULT);
  EXPECT_ERRNO(futex(&word, 99, 0, NULL, NULL, 0), ENOSYS);
  EXPECT_ERRNO(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
  EXPECT_ERRNO(futex(&word, FUTEX_WAKE_BITSET, 0, NULL, NULL, 0), EINVAL);
  EXPECT_ERRNO(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)1, &word2, 77), EAGAIN);
}

static void wake_by_bits(void) {
  struct waiter a, b;
  start(&a, 1), start(&b, 2);
  EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET | op_flag, 10, NULL, NULL, 4), 0);
  EXPECT_EQ(futex(&word, FUTEX_WAKE_BITSET | op_flag, 10, NULL, NULL, 2), 1);
  join(&b);
  EXPECT_EQ(futex(&word, FUTEX_WAKE | op_flag, 10, NULL, NULL, 0), 1);
  join(&a);
}
TEST(bit_sets) { wake_by_bits(); }
TEST(private_bit_sets) {
  op_flag = FUTEX_PRIVATE_FLAG;
  wake_by_bits();
}

TEST(wake_counts) {
  struct waiter w[5];
  for (int i = 0; i < 5; i++) start(&w[i], ~0u);
  EXPECT_EQ(futex(&word, FUTEX_WAKE, 2, NULL, NULL, 0), 2);
  EXPECT_EQ(futex(&word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0), 3);
  for (int i = 0; i < 5; i++) join(&w[i]);
}

TEST(requeue) {
  struct waiter w[4];
  for (int i = 0; i < 4; i++) start(&w[i], ~0u);
  EXPECT_EQ(futex(&word, FUTEX_CMP_REQUEUE, 1, (void *)2, &word2, 0), 3);
  EXPECT_EQ(futex(&word, FUTEX_WAKE, 10, NULL, NULL, 0), 1);
  EXPECT_EQ(futex(&word2, FUTEX_WAKE, 10, NULL, NULL, 0), 2);
  for (int i = 0; i < 4; i++) join(&w[i]);
}

TEST(wake_operation) {
  struct waiter w;
  start(&w, ~0u);
  word2 = 7;
  int op = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 8);
  EXPECT_EQ(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &word2, op), 1);
  EXPECT_EQ(word2, 10);
  join(&w);
}

TEST(shared_between_processes) {
  uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t child = FORK({
    while (*shared == 0) EXPECT_TRUE(futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0) == 0 || errno == EAGAIN);
  });
  wait_asleep(child);
  *shared = 1;
  EXPECT_EQ(futex(shared, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
  EXPECT_EXIT(child, 0);
  int fd = EXPECT_OK(open("f", O_RDWR | O_CREAT, 0600));
  EXPECT_OK(ftruncate(fd, 4096));
  uint32_t *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  child = FORK({
    uint32_t *b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    EXPECT_EQ(futex(b, FUTEX_WAIT, 0, NULL, NULL, 0), 0);
  });
  wait_asleep(child);
  EXPECT_EQ(futex(a, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
  EXPECT_EXIT(child, 0);
}

TEST(private_memory_after_fork_is_another_word) {
  struct waiter w;
  start(&w, ~0u);
  IN_CHILD(EXPECT_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 0));
  EXPECT_EQ(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
  join(&w);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static long total, turn;
static void *adds(void *arg) {
  for (int i = 0; i < (intptr_t)arg; i++) {
    pthread_mutex_lock(&mutex);
    total++;
    if (i % 16 == 0) sched_yield();
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

TEST(mutex_with_64_threads) {
  pthread_t threads[64];
  for (int i = 0; i < 64; i++) EXPECT_EQ(pthread_create(&threads[i], NULL, adds, (void *)300), 0);
  for (int i = 0; i < 64; i++) EXPECT_EQ(pthread_join(threads[i], NULL), 0);
  EXPECT_EQ(total, 64 * 300);
}

static void *takes_turns(void *arg) {
  for (int round = 0; round < 20; round++) {
    pthread_mutex_lock(&mutex);
    while (turn % 16 != (intptr_t)arg) pthread_cond_wait(&cond, &mutex);
    turn++;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

TEST(condition_with_16_threads) {
  pthread_t threads[16];
  for (intptr_t i = 0; i < 16; i++) EXPECT_EQ(pthread_create(&threads[i], NULL, takes_turns, (void *)i), 0);
  for (int i = 0; i < 16; i++) EXPECT_EQ(pthread_join(threads[i], NULL), 0);
  EXPECT_EQ(turn, 320);
}

TEST(condition_timeout) {
  struct timespec t;
  EXPECT_OK(clock_gettime(CLOCK_REALTIME, &t));
  t.tv_nsec += 20000000;
  if (t.tv_nsec >= 1000000000) t.tv_nsec -= 1000000000, t.tv_sec++;
  pthread_mutex_lock(&mutex);
  EXPECT_EQ(pthread_cond_timedwait(&cond, &mutex, &t), ETIMEDOUT);
}

TEST(robust_mutex_of_a_dead_process) {
  pthread_mutex_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  EXPECT_EQ(pthread_mutex_init(shared, &attributes), 0);
  int locked[2];
  EXPECT_OK(pipe(locked));
  pid_t child = FORK({
    pthread_mutex_lock(shared);
    EXPECT_EQ(write(locked[1], "x", 1), 1);
    // Most of the time the other one waits by then.
    sleep_ms(30);
    kill(getpid(), SIGKILL);
  });
  char c;
  EXPECT_EQ(read(locked[0], &c, 1), 1);
  EXPECT_EQ(pthread_mutex_lock(shared), EOWNERDEAD);
  EXPECT_EQ(pthread_mutex_consistent(shared), 0);
  EXPECT_EQ(pthread_mutex_unlock(shared), 0);
  EXPECT_KILLED(child, SIGKILL);
}

TEST(robust_list_call) {
  void *head;
  size_t size;
  EXPECT_OK(syscall(SYS_get_robust_list, 0, &head, &size));
  EXPECT_EQ(size, 24);
  EXPECT_ERRNO(syscall(SYS_set_robust_list, head, 8), EINVAL);
}

TEST(priority_inheritance_mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  EXPECT_EQ(pthread_mutex_init(&mutex, &attributes), 0);
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) EXPECT_EQ(pthread_create(&threads[i], NULL, adds, (void *)200), 0);
  for (int i = 0; i < 8; i++) EXPECT_EQ(pthread_join(threads[i], NULL), 0);
  EXPECT_EQ(total, 1600);
}

static sem_t semaphore;
static pthread_barrier_t barrier;
static void *meets(void *arg) {
  (void)arg;
  for (int i = 0; i < 20; i++) pthread_barrier_wait(&barrier);
  sem_post(&semaphore);
  return NULL;
}
TEST(barriers_and_semaphores) {
  pthread_t thread;
  sem_init(&semaphore, 0, 0);
  pthread_barrier_init(&barrier, NULL, 8);
  for (int i = 0; i < 8; i++) EXPECT_EQ(pthread_create(&thread, NULL, meets, NULL), 0);
  for (int i = 0; i < 8; i++) EXPECT_OK(sem_wait(&semaphore));
}

static void *nothing(void *arg) { return arg; }
TEST(threads_come_and_go) {
  for (int i = 0; i < 300; i++) {
    pthread_t thread;
    void *back;
    EXPECT_EQ(pthread_create(&thread, NULL, nothing, (void *)(intptr_t)i), 0);
    EXPECT_EQ(pthread_join(thread, &back), 0);
    EXPECT_EQ((intptr_t)back, i);
  }
}

TEST(wait_on_several_words) {
  struct { uint64_t value, address; uint32_t flags, reserved; } list[2] = {{0, (uintptr_t)&word, 2, 0}, {5, (uintptr_t)&word2, 2, 0}};
  word2 = 4;
  long result = syscall(449, list, 2, 0, NULL, 0);
  if (result == -1 && errno == ENOSYS) SKIP("no futex_waitv");
  EXPECT_ERRNO(syscall(449, list, 2, 0, NULL, 0), EAGAIN);
  EXPECT_ERRNO(syscall(449, list, 0, 0, NULL, 0), EINVAL);
}
