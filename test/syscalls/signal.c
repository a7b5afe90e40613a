// Signals: handlers, masks, queues, delivery, job control.
#include "test.h"

static volatile sig_atomic_t count, last_signal, order[16];
static siginfo_t last_info;

static void on_count(int sig) {
  last_signal = sig;
  count++;
}
static void on_order(int sig) { order[count++] = sig; }
static void on_info(int sig, siginfo_t *info, void *context) {
  (void)context;
  last_signal = sig;
  last_info = *info;
  count++;
}

static sigset_t set_of(int a, int b) {
  sigset_t set;
  sigemptyset(&set);
  if (a) sigaddset(&set, a);
  if (b) sigaddset(&set, b);
  return set;
}
static void block(int a, int b) {
  sigset_t set = set_of(a, b);
  EXPECT_OK(sigprocmask(SIG_BLOCK, &set, NULL));
}
static void unblock(int a, int b) {
  sigset_t set = set_of(a, b);
  EXPECT_OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
}
static int is_pending(int sig) {
  sigset_t set;
  EXPECT_OK(sigpending(&set));
  return sigismember(&set, sig);
}

static void do_nothing(int sig) { (void)sig; }
TEST(a_process_can_be_killed_while_it_enters_a_handler) {
  for (int i = 0; i < 300; i++) {
    pid_t child = FORK({
      set_handler(SIGUSR1, do_nothing, 0);
      for (;;) kill(getpid(), SIGUSR1);
    });
    struct timespec pause = {0, 200000 + i * 10000};
    nanosleep(&pause, NULL);
    EXPECT_OK(kill(child, SIGKILL));
    EXPECT_KILLED(child, SIGKILL);
  }
}

TEST(handler_runs_once) {
  set_handler(SIGUSR1, on_count, 0);
  EXPECT_OK(raise(SIGUSR1));
  EXPECT_EQ(count, 1);
  EXPECT_EQ(last_signal, SIGUSR1);
}

TEST(sigaction_errors_and_old_action) {
  struct sigaction action = {.sa_handler = on_count, .sa_flags = SA_RESTART}, old;
  EXPECT_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
  EXPECT_ERRNO(sigaction(SIGSTOP, &action, NULL), EINVAL);
  EXPECT_OK(sigaction(SIGKILL, NULL, &old));
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8), EINVAL);
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, 0, NULL, NULL, 8), EINVAL);
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4), EINVAL);
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, 8L, NULL, 8), EFAULT);
  EXPECT_OK(sigaction(SIGUSR1, &action, NULL));
  EXPECT_OK(sigaction(SIGUSR1, NULL, &old));
  EXPECT_TRUE(old.sa_handler == on_count && (old.sa_flags & SA_RESTART));
}

TEST(blocked_signals_wait_and_merge) {
  set_handler(SIGUSR1, on_count, 0);
  block(SIGUSR1, 0);
  raise(SIGUSR1), raise(SIGUSR1), raise(SIGUSR1);
  EXPECT_EQ(count, 0);
  EXPECT_TRUE(is_pending(SIGUSR1));
  unblock(SIGUSR1, 0);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(is_pending(SIGUSR1), 0);
}

TEST(kill_and_stop_cannot_be_blocked) {
  sigset_t all, now;
  sigfillset(&all);
  EXPECT_OK(sigprocmask(SIG_SETMASK, &all, NULL));
  EXPECT_OK(sigprocmask(SIG_SETMASK, NULL, &now));
  EXPECT_EQ(sigismember(&now, SIGKILL), 0);
  EXPECT_EQ(sigismember(&now, SIGSTOP), 0);
  EXPECT_EQ(sigismember(&now, SIGTERM), 1);
  EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, 9, &all, NULL, 8), EINVAL);
  EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 16), EINVAL);
  EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8L, NULL, 8), EFAULT);
}

static sigset_t mask_in_handler;
static void on_mask(int sig) {
  (void)sig;
  sigprocmask(SIG_SETMASK, NULL, &mask_in_handler);
  count++;
}

TEST(mask_during_the_handler) {
  struct sigaction action = {.sa_handler = on_mask, .sa_mask = set_of(SIGUSR2, 0)};
  EXPECT_OK(sigaction(SIGUSR1, &action, NULL));
  raise(SIGUSR1);
  EXPECT_EQ(sigismember(&mask_in_handler, SIGUSR1), 1);
  EXPECT_EQ(sigismember(&mask_in_handler, SIGUSR2), 1);
  EXPECT_OK(sigprocmask(SIG_SETMASK, NULL, &mask_in_handler));
  EXPECT_EQ(sigismember(&mask_in_handler, SIGUSR1), 0);
  action.sa_flags = SA_NODEFER;
  EXPECT_OK(sigaction(SIGUSR1, &action, NULL));
  raise(SIGUSR1);
  EXPECT_EQ(sigismember(&mask_in_handler, SIGUSR1), 0);
}

static void on_nested(int sig) {
  if (++count < 3) raise(sig);
}
TEST(nested_handlers_with_nodefer) {
  set_handler(SIGUSR1, on_nested, SA_NODEFER);
  raise(SIGUSR1);
  EXPECT_EQ(count, 3);
}

TEST(reset_hand) {
  set_handler(SIGUSR1, on_count, SA_RESETHAND);
  raise(SIGUSR1);
  struct sigaction now;
  EXPECT_OK(sigaction(SIGUSR1, NULL, &now));
  EXPECT_TRUE(now.sa_handler == SIG_DFL);
  EXPECT_KILLED(FORK({ raise(SIGUSR1); }), SIGUSR1);
}

TEST(ignored_signals_vanish) {
  block(SIGUSR1, 0);
  raise(SIGUSR1);
  signal(SIGUSR1, SIG_IGN);
  EXPECT_EQ(is_pending(SIGUSR1), 0);
  unblock(SIGUSR1, 0);
  raise(SIGUSR1);
  raise(SIGCHLD), raise(SIGURG), raise(SIGWINCH), raise(SIGCONT);
}

TEST(standard_signals_come_in_number_order) {
  static const int signals[] = {SIGTERM, SIGUSR1, SIGHUP, SIGALRM};
  sigset_t all;
  sigfillset(&all);
  for (int i = 0; i < 4; i++) {
    struct sigaction action = {.sa_handler = on_order, .sa_mask = all};
    EXPECT_OK(sigaction(signals[i], &action, NULL));
  }
  sigprocmask(SIG_SETMASK, &all, NULL);
  for (int i = 0; i < 4; i++) kill(getpid(), signals[i]);
  sigemptyset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  EXPECT_EQ(count, 4);
  // Each frame is built on top of the one before: the last one built, the highest number, runs first... unless its
  // mask blocks the others, as here: then they run one after the other in number order.
  EXPECT_TRUE(order[0] == SIGHUP && order[1] == SIGUSR1 && order[2] == SIGALRM && order[3] == SIGTERM);
}

static volatile int values[64];
static void on_value(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)context;
  values[count++] = info->si_value.sival_int;
}

TEST(realtime_signals_queue_with_their_values) {
  sigset_t all;
  sigfillset(&all);
  struct sigaction action = {.sa_sigaction = on_value, .sa_flags = SA_SIGINFO, .sa_mask = all};
  EXPECT_OK(sigaction(SIGRTMIN, &action, NULL));
  EXPECT_OK(sigaction(SIGRTMIN + 1, &action, NULL));
  block(SIGRTMIN, SIGRTMIN + 1);
  for (int i = 0; i < 5; i++) EXPECT_OK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 100 + i}));
  for (int i = 0; i < 5; i++) EXPECT_OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}));
  unblock(SIGRTMIN, SIGRTMIN + 1);
  EXPECT_EQ(count, 10);
  for (int i = 0; i < 5; i++) {
    EXPECT_EQ(values[i], i);
    EXPECT_EQ(values[5 + i], 100 + i);
  }
}

TEST(info_of_kill_queue_and_tgkill) {
  set_info_handler(SIGUSR1, on_info, 0);
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(last_info.si_code, SI_USER);
  EXPECT_EQ(last_info.si_pid, getpid());
  EXPECT_EQ(last_info.si_uid, getuid());
  EXPECT_OK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_ptr = (void *)&count}));
  EXPECT_EQ(last_info.si_code, SI_QUEUE);
  EXPECT_TRUE(last_info.si_value.sival_ptr == &count);
  syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
  EXPECT_EQ(last_info.si_code, SI_TKILL);
  EXPECT_ERRNO(syscall(SYS_tgkill, getpid(), 1, SIGUSR1), ESRCH);
  EXPECT_ERRNO(syscall(SYS_tgkill, getpid(), -1, SIGUSR1), EINVAL);
  siginfo_t forged = {.si_code = SI_USER};
  pid_t child = FORK({ pause(); });
  EXPECT_ERRNO(syscall(SYS_rt_sigqueueinfo, child, SIGUSR1, &forged), EPERM);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

TEST(sigtimedwait_takes_signals) {
  siginfo_t info;
  block(SIGUSR1, SIGRTMIN);
  sigset_t set = set_of(SIGUSR1, SIGRTMIN);
  struct timespec none = {0, 0}, some = {0, 30000000}, bad = {0, 2000000000};
  EXPECT_ERRNO(sigtimedwait(&set, &info, &none), EAGAIN);
  int64_t start = now_ms();
  EXPECT_ERRNO(sigtimedwait(&set, &info, &some), EAGAIN);
  EXPECT_GE(now_ms() - start, 29);
  EXPECT_ERRNO(sigtimedwait(&set, &info, &bad), EINVAL);
  raise(SIGUSR1);
  EXPECT_EQ(sigtimedwait(&set, &info, &none), SIGUSR1);
  EXPECT_EQ(info.si_signo, SIGUSR1);
  pid_t parent = getpid();
  pid_t child = FORK({
    wait_asleep(parent);
    sigqueue(parent, SIGRTMIN, (union sigval){.sival_int = 55});
  });
  EXPECT_EQ(sigwaitinfo(&set, &info), SIGRTMIN);
  EXPECT_EQ(info.si_value.sival_int, 55);
  EXPECT_EQ(info.si_pid, child);
  EXPECT_EXIT(child, 0);
}

TEST(sigsuspend_swaps_the_mask) {
  set_handler(SIGUSR1, on_mask, 0);
  block(SIGUSR1, 0);
  raise(SIGUSR1);
  sigset_t mask = set_of(SIGUSR2, 0);
  EXPECT_ERRNO(sigsuspend(&mask), EINTR);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(sigismember(&mask_in_handler, SIGUSR2), 1);
  sigprocmask(SIG_SETMASK, NULL, &mask);
  EXPECT_EQ(sigismember(&mask, SIGUSR1), 1);
  EXPECT_EQ(sigismember(&mask, SIGUSR2), 0);
}

static volatile int caught;
static void on_jump(int sig) {
  caught = sig;
}
TEST(signals_reach_a_computing_program) {
  int ready[2];
  EXPECT_OK(pipe(ready));
  char c;
  pid_t child = FORK({
    set_handler(SIGUSR1, on_jump, 0);
    EXPECT_EQ(write(ready[1], "x", 1), 1);
    while (!caught) {
    }
    _exit(caught == SIGUSR1 ? 0 : 1);
  });
  EXPECT_EQ(read(ready[0], &c, 1), 1);
  // Most of the time it computes by then.
  sleep_ms(20);
  kill(child, SIGUSR1);
  EXPECT_EXIT(child, 0);
  child = FORK({
    for (;;) {
    }
  });
  sleep_ms(20);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

TEST(child_signal_info) {
  set_info_handler(SIGCHLD, on_info, 0);
  pid_t child = FORK({ _exit(5); });
  while (count < 1) sleep_ms(2);
  EXPECT_EQ(last_info.si_code, CLD_EXITED);
  EXPECT_EQ(last_info.si_pid, child);
  EXPECT_EQ(last_info.si_status, 5);
  EXPECT_EXIT(child, 5);
  child = FORK({ pause(); });
  kill(child, SIGSTOP);
  while (count < 2) sleep_ms(2);
  EXPECT_EQ(last_info.si_code, CLD_STOPPED);
  EXPECT_EQ(last_info.si_status, SIGSTOP);
  kill(child, SIGCONT);
  while (count < 3) sleep_ms(2);
  EXPECT_EQ(last_info.si_code, CLD_CONTINUED);
  kill(child, SIGKILL);
  while (count < 4) sleep_ms(2);
  EXPECT_EQ(last_info.si_code, CLD_KILLED);
  set_info_handler(SIGCHLD, on_info, SA_NOCLDSTOP);
  child = FORK({ pause(); });
  kill(child, SIGSTOP);
  EXPECT_OK(waitpid(child, NULL, WUNTRACED));
  EXPECT_EQ(count, 4);
  kill(child, SIGKILL);
}

TEST(stop_and_continue_cancel_each_other) {
  block(SIGCONT, SIGTSTP);
  set_handler(SIGTSTP, on_count, 0);
  raise(SIGTSTP);
  EXPECT_TRUE(is_pending(SIGTSTP));
  raise(SIGCONT);
  EXPECT_EQ(is_pending(SIGTSTP), 0);
  EXPECT_TRUE(is_pending(SIGCONT));
  raise(SIGTSTP);
  EXPECT_EQ(is_pending(SIGCONT), 0);
}

TEST(stopped_process_dies_by_kill_only) {
  pid_t child = FORK({
    set_handler(SIGTERM, SIG_DFL, 0);
    for (;;) pause();
  });
  kill(child, SIGSTOP);
  EXPECT_OK(waitpid(child, NULL, WUNTRACED));
  kill(child, SIGTERM);
  sleep_ms(20);
  EXPECT_EQ(waitpid(child, NULL, WNOHANG), 0);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

TEST(permission_to_signal) {
  pid_t root_child = FORK({ pause(); });
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(kill(root_child, SIGTERM), EPERM);
    EXPECT_ERRNO(kill(root_child, 0), EPERM);
    pid_t own = FORK({ pause(); });
    EXPECT_OK(kill(own, SIGTERM));
    EXPECT_KILLED(own, SIGTERM);
  });
  kill(root_child, SIGKILL);
  EXPECT_KILLED(root_child, SIGKILL);
}

TEST(kill_of_a_group) {
  int ready[2];
  EXPECT_OK(pipe(ready));
  pid_t leader = FORK({
    setpgid(0, 0);
    for (int i = 0; i < 3; i++)
      if (fork() == 0) {
        EXPECT_EQ(write(ready[1], "x", 1), 1);
        for (;;) pause();
      }
    for (;;) pause();
  });
  char c;
  for (int i = 0; i < 3; i++) EXPECT_EQ(read(ready[0], &c, 1), 1);
  EXPECT_OK(kill(-leader, SIGTERM));
  EXPECT_KILLED(leader, SIGTERM);
  WAIT_UNTIL(kill(-leader, 0) == -1);
  EXPECT_ERRNO(kill(-leader, 0), ESRCH);
}

static pthread_t main_thread;
static volatile pid_t handler_thread;
static void on_thread(int sig) {
  (void)sig;
  handler_thread = gettid();
}
static void *blocks_and_waits(void *arg) {
  sigset_t set = set_of(SIGUSR1, SIGUSR2);
  (void)arg;
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  *(volatile pid_t *)arg = gettid();
  for (;;) pause();
  return NULL;
}

TEST(process_signals_go_to_a_thread_that_takes_them) {
  volatile pid_t other = 0;
  main_thread = pthread_self();
  set_handler(SIGUSR1, on_thread, 0);
  pthread_t thread;
  EXPECT_EQ(pthread_create(&thread, NULL, blocks_and_waits, (void *)&other), 0);
  while (!other) sched_yield();
  kill(getpid(), SIGUSR1);
  while (!handler_thread) sleep_ms(1);
  EXPECT_EQ(handler_thread, gettid());
}

static void *takes_signals(void *arg) {
  for (;;) {
    *(volatile pid_t *)arg = gettid();
    pause();
  }
  return NULL;
}
TEST(thread_signals_reach_that_thread) {
  volatile pid_t other = 0;
  set_handler(SIGUSR2, on_thread, 0);
  pthread_t thread;
  EXPECT_EQ(pthread_create(&thread, NULL, takes_signals, (void *)&other), 0);
  while (!other) sched_yield();
  EXPECT_EQ(pthread_kill(thread, SIGUSR2), 0);
  while (!handler_thread) sleep_ms(1);
  EXPECT_EQ(handler_thread, other);
}

TEST(broken_pipe) {
  int fds[2];
  EXPECT_OK(pipe(fds));
  close(fds[0]);
  EXPECT_KILLED(FORK({ write(fds[1], "x", 1); }), SIGPIPE);
  signal(SIGPIPE, SIG_IGN);
  EXPECT_ERRNO(write(fds[1], "x", 1), EPIPE);
}

TEST(storm_of_signals_and_calls) {
  set_handler(SIGUSR1, on_count, SA_RESTART);
  pid_t parent = getpid();
  pid_t child = FORK({
    for (int i = 0; i < 2000; i++) kill(parent, SIGUSR1);
  });
  int status, fds[2];
  char c;
  EXPECT_OK(pipe(fds));
  while (waitpid(child, &status, WNOHANG) == 0) {
    EXPECT_EQ(write(fds[1], "q", 1), 1);
    EXPECT_EQ(read(fds[0], &c, 1), 1);
    EXPECT_EQ(getpid(), parent);
  }
  EXPECT_GT(count, 0);
}
