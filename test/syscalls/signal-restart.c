// Signals that come while a call waits: what is restarted, and what ends with EINTR.
#include "test.h"
#include <linux/futex.h>

static volatile sig_atomic_t count;

static void on_count(int sig) {
  (void)sig;
  count++;
}

/** A child that signals us once we sleep. */
static pid_t interrupter(int sig) {
  pid_t parent = getpid();
  return FORK({
    sleep_ms(10);
    wait_asleep(parent);
    kill(parent, sig);
  });
}

TEST(read_is_interrupted_or_restarted) {
  int fds[2];
  char c;
  EXPECT_OK(pipe(fds));
  set_handler(SIGUSR1, on_count, 0);
  pid_t child = interrupter(SIGUSR1);
  EXPECT_ERRNO(read(fds[0], &c, 1), EINTR);
  EXPECT_EXIT(child, 0);
  set_handler(SIGUSR1, on_count, SA_RESTART);
  pid_t parent = getpid();
  child = FORK({
    sleep_ms(10);
    wait_asleep(parent);
    kill(parent, SIGUSR1);
    sleep_ms(30);
    EXPECT_EQ(write(fds[1], "z", 1), 1);
  });
  EXPECT_EQ(EXPECT_OK(read(fds[0], &c, 1)), 1);
  EXPECT_EQ(c, 'z');
  EXPECT_EQ(count, 2);
  EXPECT_EXIT(child, 0);
}

TEST(wait_is_interrupted_or_restarted) {
  pid_t sleeper = FORK({ pause(); });
  set_handler(SIGUSR1, on_count, 0);
  interrupter(SIGUSR1);
  EXPECT_ERRNO(waitpid(sleeper, NULL, 0), EINTR);
  set_handler(SIGUSR1, on_count, SA_RESTART);
  pid_t parent = getpid();
  FORK({
    sleep_ms(10);
    wait_asleep(parent);
    kill(parent, SIGUSR1);
    sleep_ms(20);
    kill(sleeper, SIGTERM);
  });
  EXPECT_KILLED(sleeper, SIGTERM);
  EXPECT_EQ(count, 2);
}

TEST(sleep_is_never_restarted_and_tells_the_rest) {
  set_handler(SIGUSR1, on_count, SA_RESTART);
  struct timespec t = {30, 0};
  for (int relative = 0; relative < 2; relative++) {
    struct timespec rest = {0, 0};
    interrupter(SIGUSR1);
    int64_t start = now_ms();
    if (relative) EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &rest), EINTR);
    else EXPECT_ERRNO(nanosleep(&t, &rest), EINTR);
    int64_t slept = now_ms() - start, rest_ms = rest.tv_sec * 1000 + rest.tv_nsec / 1000000;
    EXPECT_LT(rest_ms, 30000);
    EXPECT_GE(rest_ms, 30000 - slept - 1);
  }
}

TEST(sleep_goes_on_after_stop_and_continue) {
  STOP_A_SLEEPER({
    int64_t start = now_ms();
    struct timespec t = {0, 200000000};
    EXPECT_OK(nanosleep(&t, NULL));
    EXPECT_GE(now_ms() - start, 199);
  });
}

TEST(poll_select_and_epoll_style_calls_are_not_restarted) {
  set_handler(SIGUSR1, on_count, SA_RESTART);
  interrupter(SIGUSR1);
  EXPECT_ERRNO(poll(NULL, 0, 30000), EINTR);
  struct timeval tv = {30, 0};
  interrupter(SIGUSR1);
  EXPECT_ERRNO(select(0, NULL, NULL, NULL, &tv), EINTR);
  interrupter(SIGUSR1);
  EXPECT_ERRNO(pause(), EINTR);
}

TEST(futex_wait_is_restarted_only_without_timeout) {
  uint32_t word = 0;
  struct timespec t = {30, 0};
  set_handler(SIGUSR1, on_count, 0);
  interrupter(SIGUSR1);
  EXPECT_ERRNO(syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0), EINTR);
  set_handler(SIGUSR1, on_count, SA_RESTART);
  interrupter(SIGUSR1);
  EXPECT_ERRNO(syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t, NULL, 0), EINTR);
  EXPECT_EQ(count, 2);
}

TEST(ignored_signals_do_not_interrupt) {
  struct timespec t = {0, 80000000};
  signal(SIGUSR1, SIG_IGN);
  FORK({
    for (int i = 0; i < 5; i++) kill(getppid(), SIGUSR1), kill(getppid(), SIGWINCH), sleep_ms(5);
  });
  EXPECT_OK(nanosleep(&t, NULL));
}

TEST(partial_write_beats_the_signal) {
  int fds[2];
  EXPECT_OK(pipe(fds));
  set_handler(SIGUSR1, on_count, 0);
  static char big[1 << 20];
  interrupter(SIGUSR1);
  ssize_t n = EXPECT_OK(write(fds[1], big, sizeof big));
  EXPECT_EQ(n, 65536);
  EXPECT_EQ(count, 1);
}
