// The newer futex calls: futex_waitv(2), futex_wait(2), futex_wake(2), futex_requeue(2).
#include "test.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#define NR_FUTEX_WAKE 454
#define NR_FUTEX_WAIT 455
#define NR_FUTEX_REQUEUE 456
#define U32 2
#define PRIVATE 128

struct waiter {
  uint64_t val, uaddr;
  uint32_t flags, reserved;
};

static volatile uint32_t word, other;
static volatile int woken;

static long wake(volatile uint32_t *at, int n) {
  return syscall(NR_FUTEX_WAKE, at, 0xffffffffUL, n, U32 | PRIVATE);
}
static long wait_on(volatile uint32_t *at, uint32_t value, struct timespec *until) {
  return syscall(NR_FUTEX_WAIT, at, (long)value, 0xffffffffUL, U32 | PRIVATE, until, CLOCK_MONOTONIC);
}
static long wait_for_any(struct waiter *list, int n, struct timespec *until) {
  return syscall(SYS_futex_waitv, list, n, 0, until, CLOCK_MONOTONIC);
}
static struct waiter waiter_at(volatile uint32_t *at, uint32_t value) {
  return (struct waiter){value, (uintptr_t)at, U32 | PRIVATE, 0};
}

static void need(long nr) {
  if (syscall(nr, NULL, 0, 0, 0) == -1 && errno == ENOSYS) SKIP("this Linux does not have the call");
}

/** Wakes until somebody was there to be woken. */
static void wake_somebody(volatile uint32_t *at) {
  WAIT_UNTIL(EXPECT_OK(wake(at, 1)) == 1);
}

static void *waits(void *arg) {
  (void)arg;
  EXPECT_EQ(EXPECT_OK(wait_on(&word, 0, NULL)), 0);
  __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

TEST(wait_and_wake) {
  need(NR_FUTEX_WAIT);
  pthread_t thread;
  EXPECT_ERRNO(wait_on(&word, 1, NULL), EAGAIN);
  EXPECT_EQ(EXPECT_OK(wake(&word, 1)), 0);
  EXPECT_EQ(pthread_create(&thread, NULL, waits, NULL), 0);
  wake_somebody(&word);
  EXPECT_EQ(pthread_join(thread, NULL), 0);
  struct timespec past = {1, 0};
  EXPECT_ERRNO(wait_on(&word, 0, &past), ETIMEDOUT);
  EXPECT_ERRNO(syscall(NR_FUTEX_WAIT, &word, 0L, 0xffffffffUL, 0x100, NULL, 0), EINVAL);
  EXPECT_ERRNO(syscall(NR_FUTEX_WAIT, &word, 0L, 0L, U32 | PRIVATE, NULL, 0), EINVAL);
  EXPECT_ERRNO(syscall(NR_FUTEX_WAKE, &word, 0xffffffffUL, 1, 0x100), EINVAL);
  EXPECT_ERRNO(syscall(NR_FUTEX_WAKE, (char *)&word + 1, 0xffffffffUL, 1, U32 | PRIVATE), EINVAL);
}

static void *waits_for_both(void *arg) {
  struct waiter list[2] = {waiter_at(&word, 0), waiter_at(&other, 0)};
  *(long *)arg = EXPECT_OK(wait_for_any(list, 2, NULL));
  return NULL;
}

TEST(waitv) {
  need(SYS_futex_waitv);
  pthread_t thread;
  long which = -1;
  EXPECT_EQ(pthread_create(&thread, NULL, waits_for_both, &which), 0);
  wake_somebody(&other);
  EXPECT_EQ(pthread_join(thread, NULL), 0);
  EXPECT_EQ(which, 1);
  struct waiter list[2] = {waiter_at(&word, 0), waiter_at(&other, 7)};
  struct timespec past = {1, 0};
  EXPECT_ERRNO(wait_for_any(list, 2, NULL), EAGAIN);
  EXPECT_ERRNO(wait_for_any(list, 1, &past), ETIMEDOUT);
  EXPECT_ERRNO(wait_for_any(list, 0, NULL), EINVAL);
  EXPECT_ERRNO(wait_for_any((void *)8, 1, NULL), EFAULT);
  EXPECT_ERRNO(syscall(SYS_futex_waitv, list, 1, 1, NULL, 0), EINVAL);
  list[0].flags = 0x100;
  EXPECT_ERRNO(wait_for_any(list, 1, NULL), EINVAL);
}

TEST(requeue) {
  need(NR_FUTEX_REQUEUE);
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) EXPECT_EQ(pthread_create(&threads[i], NULL, waits, NULL), 0);
  struct waiter pair[2] = {waiter_at(&word, 0), waiter_at(&other, 0)};
  int moved = 0;
  WAIT_UNTIL((moved += EXPECT_OK(syscall(NR_FUTEX_REQUEUE, pair, 0, 0, 10))) >= 3);
  EXPECT_EQ(moved, 3);
  EXPECT_EQ(woken, 0);
  EXPECT_EQ(EXPECT_OK(wake(&word, 10)), 0);
  EXPECT_EQ(EXPECT_OK(wake(&other, 10)), 3);
  for (int i = 0; i < 3; i++) EXPECT_EQ(pthread_join(threads[i], NULL), 0);
  EXPECT_ERRNO(syscall(NR_FUTEX_REQUEUE, pair, 1, 0, 10), EINVAL);
  pair[0].val = 5;
  EXPECT_ERRNO(syscall(NR_FUTEX_REQUEUE, pair, 0, 0, 10), EAGAIN);
}

static void on_signal(int sig) {
  (void)sig;
  woken++;
  word = 1;
}

TEST(signals_are_handled_while_it_waits) {
  need(SYS_futex_waitv);
  set_handler(SIGUSR1, on_signal, SA_RESTART);
  pid_t child = FORK({
    struct waiter list[1] = {waiter_at(&word, 0)};
    struct timespec until;
    EXPECT_OK(clock_gettime(CLOCK_MONOTONIC, &until));
    until.tv_sec += 30;
    // It is called again after the handler, and then finds what the handler stored.
    EXPECT_ERRNO(wait_for_any(list, 1, &until), EAGAIN);
    EXPECT_EQ(woken, 1);
  });
  wait_asleep(child);
  EXPECT_OK(kill(child, SIGUSR1));
  EXPECT_EXIT(child, 0);
}
