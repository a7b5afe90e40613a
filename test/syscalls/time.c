// Clocks, sleeps, interval timers, POSIX timers, timer descriptors.
#include "test.h"
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/sysinfo.h>

static volatile sig_atomic_t count;
static siginfo_t last_info;
static void on_count(int sig) { (void)sig, count++; }
static void on_info(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)context;
  last_info = *info;
  count++;
}
static void spin_ms(int ms) {
  int64_t end = now_ns(CLOCK_THREAD_CPUTIME_ID) + ms * 1000000LL;
  while (now_ns(CLOCK_THREAD_CPUTIME_ID) < end) {
  }
}

TEST(clocks_go_forward) {
  static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME, CLOCK_MONOTONIC_COARSE};
  for (int c = 0; c < 5; c++) {
    int64_t last = now_ns(clocks[c]);
    for (int i = 0; i < 2000; i++) {
      int64_t now = now_ns(clocks[c]);
      EXPECT_GE(now, last);
      last = now;
    }
  }
}

TEST(system_call_and_library_agree) {
  struct timespec t;
  int64_t before = now_ns(CLOCK_MONOTONIC);
  EXPECT_OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t));
  int64_t direct = t.tv_sec * 1000000000LL + t.tv_nsec;
  EXPECT_GE(direct, before);
  EXPECT_GE(now_ns(CLOCK_MONOTONIC), direct);
  // Those that tell seconds may lag by a tick of the clock.
  struct timeval tv;
  int64_t first = time(NULL);
  EXPECT_OK(syscall(SYS_gettimeofday, &tv, NULL));
  EXPECT_GE(tv.tv_sec, first);
  EXPECT_GE(syscall(SYS_time, NULL), tv.tv_sec - 1);
  EXPECT_LE(syscall(SYS_time, NULL), now_ns(CLOCK_REALTIME) / 1000000000);
  EXPECT_LE(tv.tv_sec, now_ns(CLOCK_REALTIME) / 1000000000);
}

TEST(clock_errors) {
  struct timespec t = {0, 0};
  EXPECT_ERRNO(syscall(SYS_clock_gettime, 99, &t), EINVAL);
  EXPECT_ERRNO(syscall(SYS_clock_gettime, CLOCK_REALTIME, 8L), EFAULT);
  EXPECT_ERRNO(clock_getres(99, &t), EINVAL);
  EXPECT_OK(clock_getres(CLOCK_MONOTONIC, &t));
  EXPECT_TRUE(t.tv_sec == 0 && t.tv_nsec > 0);
  EXPECT_ERRNO(clock_settime(CLOCK_MONOTONIC, &t), EINVAL);
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(clock_settime(CLOCK_REALTIME, &t), EPERM);
  });
}

static int64_t user_us(const struct rusage *u) { return u->ru_utime.tv_sec * 1000000LL + u->ru_utime.tv_usec; }
static int64_t system_us(const struct rusage *u) { return u->ru_stime.tv_sec * 1000000LL + u->ru_stime.tv_usec; }

TEST(user_and_system_time_add_up) {
  struct rusage start, user, both;
  EXPECT_OK(getrusage(RUSAGE_SELF, &start));
  // Work without a call, as measured from time to time.
  for (volatile int i = 0;;) {
    for (int k = 0; k < 3000000; k++) i++;
    EXPECT_OK(getrusage(RUSAGE_SELF, &user));
    if (user_us(&user) - user_us(&start) >= 60000) break;
  }
  EXPECT_LT(system_us(&user) - system_us(&start), user_us(&user) - user_us(&start));
  // Work that is nothing but calls.
  char buf[64];
  int64_t give_up = now_ms() + 20000;
  do {
    for (int k = 0; k < 500; k++) {
      int fd = EXPECT_OK(open("/proc/self/stat", O_RDONLY));
      EXPECT_OK(read(fd, buf, sizeof buf));
      close(fd);
    }
    EXPECT_OK(getrusage(RUSAGE_SELF, &both));
  } while (system_us(&both) - system_us(&user) < 60000 && now_ms() < give_up);
  EXPECT_GE(system_us(&both) - system_us(&user), 60000);
  EXPECT_LT(user_us(&both) - user_us(&user), system_us(&both) - system_us(&user));
  // The clock is the sum; it was read later.
  int64_t clock_us = now_ns(CLOCK_PROCESS_CPUTIME_ID) / 1000;
  EXPECT_GE(clock_us, user_us(&both) + system_us(&both) - 1000);
  EXPECT_LT(clock_us, user_us(&both) + system_us(&both) + 100000);
  struct tms tms;
  EXPECT_OK(times(&tms));
  EXPECT_GE(tms.tms_utime, user_us(&both) / 10000 - 1);
  EXPECT_GE(tms.tms_stime, system_us(&both) / 10000 - 1);
}

static void *spin_and_tell(void *used) {
  int64_t start = now_ns(CLOCK_THREAD_CPUTIME_ID);
  spin_ms(80);
  struct rusage usage;
  EXPECT_OK(getrusage(RUSAGE_THREAD, &usage));
  EXPECT_GE(user_us(&usage) + system_us(&usage), 70000);
  *(int64_t *)used = now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
  return NULL;
}

TEST(each_thread_has_a_clock) {
  int64_t start = now_ns(CLOCK_THREAD_CPUTIME_ID), used = 0;
  pthread_t thread;
  EXPECT_EQ(pthread_create(&thread, NULL, spin_and_tell, &used), 0);
  EXPECT_EQ(pthread_join(thread, NULL), 0);
  EXPECT_GE(used, 80000000);
  // This one has slept.
  int64_t own = now_ns(CLOCK_THREAD_CPUTIME_ID);
  EXPECT_GE(own, start);
  EXPECT_LT(own - start, 60000000);
  EXPECT_GE(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start, 80000000);
  EXPECT_ERRNO(syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, 8L), EFAULT);
  int64_t last = own;
  for (int i = 0; i < 300; i++) {
    int64_t now = now_ns(CLOCK_THREAD_CPUTIME_ID);
    EXPECT_GE(now, last);
    last = now;
  }
}

TEST(memory_and_faults_are_counted) {
  struct rusage before, after;
  EXPECT_OK(getrusage(RUSAGE_SELF, &before));
  size_t size = 48 << 20;
  char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(p != MAP_FAILED);
  (void)madvise(p, size, MADV_NOHUGEPAGE);
  for (size_t i = 0; i < size; i += 4096) p[i] = 1;
  EXPECT_OK(getrusage(RUSAGE_SELF, &after));
  EXPECT_GE(after.ru_minflt - before.ru_minflt, 10000);
  EXPECT_GE(after.ru_maxrss, 48 << 10);
  EXPECT_OK(munmap(p, size));
  EXPECT_OK(getrusage(RUSAGE_SELF, &before));
  EXPECT_GE(before.ru_maxrss, 48 << 10);
  EXPECT_ERRNO(syscall(SYS_getrusage, RUSAGE_SELF, 8L), EFAULT);
  const char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(page != MAP_FAILED);
  EXPECT_ERRNO(syscall(SYS_getrusage, RUSAGE_SELF, page), EFAULT);
  EXPECT_ERRNO(syscall(SYS_getrusage, RUSAGE_THREAD, page), EFAULT);
}

TEST(cpu_times_never_go_back) {
  struct rusage last, now;
  EXPECT_OK(getrusage(RUSAGE_SELF, &last));
  int64_t end = now_ms() + 100;
  while (now_ms() < end) {
    EXPECT_OK(getrusage(RUSAGE_SELF, &now));
    EXPECT_GE(user_us(&now), user_us(&last));
    EXPECT_GE(system_us(&now), system_us(&last));
    last = now;
  }
}

TEST(cpu_clocks_count_work_only) {
  int64_t start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
  sleep_ms(60);
  EXPECT_LT(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start, 40000000);
  spin_ms(50);
  EXPECT_GE(now_ns(CLOCK_PROCESS_CPUTIME_ID) - start, 50000000);
  clockid_t other;
  EXPECT_EQ(clock_getcpuclockid(getpid(), &other), 0);
  EXPECT_GE(now_ns(other), 50000000);
  EXPECT_EQ(clock_getcpuclockid(4000000, &other), ESRCH);
}

TEST(sleeps_are_long_enough) {
  struct timespec t = {0, 20000000}, bad = {0, 1000000000}, negative = {-1, 0};
  int64_t start = now_ns(CLOCK_MONOTONIC);
  EXPECT_OK(nanosleep(&t, NULL));
  EXPECT_GE(now_ns(CLOCK_MONOTONIC) - start, 20000000);
  EXPECT_ERRNO(nanosleep(&bad, NULL), EINVAL);
  EXPECT_ERRNO(nanosleep(&negative, NULL), EINVAL);
  EXPECT_ERRNO(syscall(SYS_nanosleep, 8L, NULL), EFAULT);
  EXPECT_EQ(clock_nanosleep(99, 0, &t, NULL), EINVAL);
  EXPECT_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL), EINVAL);
  struct timespec at;
  for (int i = 0; i < 2; i++) {
    clockid_t clock = i ? CLOCK_REALTIME : CLOCK_MONOTONIC;
    EXPECT_OK(clock_gettime(clock, &at));
    start = at.tv_sec * 1000000000LL + at.tv_nsec;
    at.tv_nsec += 15000000;
    if (at.tv_nsec >= 1000000000) at.tv_nsec -= 1000000000, at.tv_sec++;
    EXPECT_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &at, NULL), 0);
    EXPECT_GE(now_ns(clock) - start, 15000000);
  }
  at = (struct timespec){1, 0};
  EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL), 0);
}

TEST(alarms) {
  set_handler(SIGALRM, on_count, 0);
  sigset_t blocked, before;
  sigemptyset(&blocked), sigaddset(&blocked, SIGALRM);
  EXPECT_OK(sigprocmask(SIG_BLOCK, &blocked, &before));
  int64_t start = now_ms();
  EXPECT_EQ(alarm(100), 0);
  // To the nearest second of what is left.
  unsigned left = alarm(1);
  EXPECT_LE(left, 100);
  EXPECT_GE(left, 99 - (now_ms() - start) / 1000);
  EXPECT_ERRNO(sigsuspend(&before), EINTR);
  EXPECT_GE(now_ms() - start, 990);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(alarm(0), 0);
}

TEST(interval_timers) {
  struct itimerval value = {{0, 10000}, {0, 10000}}, old;
  set_handler(SIGALRM, on_count, 0);
  EXPECT_OK(setitimer(ITIMER_REAL, &value, NULL));
  while (count < 5) pause();
  EXPECT_OK(getitimer(ITIMER_REAL, &old));
  EXPECT_EQ(old.it_interval.tv_usec, 10000);
  value = (struct itimerval){0};
  EXPECT_OK(setitimer(ITIMER_REAL, &value, &old));
  EXPECT_ERRNO(setitimer(9, &value, NULL), EINVAL);
  value.it_value.tv_usec = 1000000;
  EXPECT_ERRNO(setitimer(ITIMER_REAL, &value, NULL), EINVAL);
}

TEST(what_a_disarmed_timer_remembers_of_its_interval) {
  struct itimerval value = {{10, 20}, {0, 0}}, old;
  EXPECT_OK(setitimer(ITIMER_VIRTUAL, &value, NULL));
  EXPECT_OK(getitimer(ITIMER_VIRTUAL, &old));
  EXPECT_EQ(old.it_interval.tv_sec, 10);
  EXPECT_EQ(old.it_value.tv_sec, 0);
  EXPECT_OK(setitimer(ITIMER_REAL, &value, NULL));
  EXPECT_OK(getitimer(ITIMER_REAL, &old));
  EXPECT_EQ(old.it_interval.tv_sec, 0);
  EXPECT_EQ(old.it_interval.tv_usec, 0);
  value.it_value.tv_sec = 1000;
  EXPECT_OK(setitimer(ITIMER_REAL, &value, NULL));
  value.it_value.tv_sec = 0;
  EXPECT_OK(setitimer(ITIMER_REAL, &value, &old));
  EXPECT_EQ(old.it_interval.tv_sec, 10);
  EXPECT_EQ(old.it_interval.tv_usec, 20);
  EXPECT_OK(getitimer(ITIMER_REAL, &old));
  EXPECT_EQ(old.it_interval.tv_sec, 0);
}

TEST(cpu_interval_timers) {
  struct itimerval value = {{0, 0}, {0, 30000}};
  set_handler(SIGVTALRM, on_count, 0);
  set_handler(SIGPROF, on_count, 0);
  EXPECT_OK(setitimer(ITIMER_VIRTUAL, &value, NULL));
  while (count < 1) {
  }
  EXPECT_OK(setitimer(ITIMER_PROF, &value, NULL));
  while (count < 2) {
  }
  EXPECT_EQ(count, 2);
}

static timer_t ticking(sigset_t *blocked, int ms) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
  struct itimerspec value = {{0, ms * 1000000L}, {0, ms * 1000000L}};
  set_info_handler(SIGRTMIN, on_info, 0);
  sigemptyset(blocked);
  sigaddset(blocked, SIGRTMIN);
  EXPECT_OK(sigprocmask(SIG_BLOCK, blocked, NULL));
  EXPECT_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
  EXPECT_OK(timer_settime(timer, 0, &value, NULL));
  sigset_t pending;
  do {
    sleep_ms(1);
    EXPECT_OK(sigpending(&pending));
  } while (!sigismember(&pending, SIGRTMIN));
  return timer;
}
TEST(a_timer_that_is_set_again_or_deleted_takes_its_signal_back) {
  sigset_t blocked;
  struct itimerspec never = {{0, 0}, {0, 0}};
  timer_t timer = ticking(&blocked, 5);
  EXPECT_OK(timer_settime(timer, 0, &never, NULL));
  EXPECT_OK(sigprocmask(SIG_UNBLOCK, &blocked, NULL));
  if (count > 0) SKIP("before Linux 6.13");
  timer = ticking(&blocked, 5);
  EXPECT_OK(timer_delete(timer));
  EXPECT_OK(sigprocmask(SIG_UNBLOCK, &blocked, NULL));
  EXPECT_EQ(count, 0);
}
TEST(overruns_count_up_to_the_delivery) {
  sigset_t blocked;
  timer_t timer = ticking(&blocked, 20);
  int64_t start = now_ms();
  while (now_ms() - start < 205) {
  }
  int64_t ticks = (now_ms() - start) / 20;
  siginfo_t info;
  EXPECT_EQ(sigwaitinfo(&blocked, &info), SIGRTMIN);
  EXPECT_GE(info.si_overrun, ticks - 1);
  EXPECT_OK(timer_delete(timer));
  EXPECT_OK(sigprocmask(SIG_UNBLOCK, &blocked, NULL));
}

TEST(posix_timers) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 77};
  set_info_handler(SIGRTMIN, on_info, 0);
  EXPECT_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec value = {{0, 5000000}, {0, 5000000}}, now;
  EXPECT_OK(timer_settime(timer, 0, &value, NULL));
  while (count < 4) pause();
  EXPECT_EQ(last_info.si_code, SI_TIMER);
  EXPECT_EQ(last_info.si_value.sival_int, 77);
  EXPECT_OK(timer_gettime(timer, &now));
  EXPECT_EQ(now.it_interval.tv_nsec, 5000000);
  EXPECT_TRUE(now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 5000000);
  EXPECT_OK(timer_delete(timer));
  EXPECT_ERRNO(syscall(SYS_timer_gettime, 12345, &now), EINVAL);
  EXPECT_ERRNO(timer_create(99, &event, &timer), EINVAL);
  event.sigev_signo = 99;
  EXPECT_ERRNO(timer_create(CLOCK_REALTIME, &event, &timer), EINVAL);
}

TEST(posix_timer_overruns) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  sigset_t set;
  siginfo_t info;
  sigemptyset(&set), sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  EXPECT_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec value = {{0, 2000000}, {0, 2000000}};
  EXPECT_OK(timer_settime(timer, 0, &value, NULL));
  sleep_ms(40);
  EXPECT_EQ(sigwaitinfo(&set, &info), SIGUSR1);
  EXPECT_GE(info.si_overrun, 10);
  EXPECT_EQ(EXPECT_OK(timer_getoverrun(timer)), info.si_overrun);
  EXPECT_OK(timer_delete(timer));
}

TEST(posix_timer_without_notification_and_on_cpu_time) {
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  EXPECT_OK(timer_create(CLOCK_REALTIME, &event, &timer));
  struct itimerspec value = {{0, 0}, {0, 1000000}}, now;
  EXPECT_OK(timer_settime(timer, 0, &value, NULL));
  sleep_ms(10);
  EXPECT_OK(timer_gettime(timer, &now));
  EXPECT_EQ(now.it_value.tv_nsec, 0);
  event = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
  set_handler(SIGUSR2, on_count, 0);
  EXPECT_OK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer));
  value.it_value.tv_nsec = 20000000;
  EXPECT_OK(timer_settime(timer, 0, &value, NULL));
  while (count < 1) {
  }
  EXPECT_EQ(count, 1);
}

TEST(timer_descriptor) {
  int fd = EXPECT_OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  uint64_t ticks;
  EXPECT_ERRNO(read(fd, &ticks, 8), EAGAIN);
  EXPECT_ERRNO(read(fd, &ticks, 4), EINVAL);
  struct itimerspec value = {{0, 4000000}, {0, 4000000}}, old;
  EXPECT_OK(timerfd_settime(fd, 0, &value, NULL));
  struct pollfd p = {.fd = fd, .events = POLLIN};
  EXPECT_EQ(poll(&p, 1, 5000), 1);
  sleep_ms(20);
  EXPECT_EQ(read(fd, &ticks, 8), 8);
  EXPECT_GE(ticks, 5);
  EXPECT_OK(timerfd_gettime(fd, &old));
  EXPECT_EQ(old.it_interval.tv_nsec, 4000000);
  value = (struct itimerspec){0};
  EXPECT_OK(timerfd_settime(fd, 0, &value, &old));
  EXPECT_ERRNO(read(fd, &ticks, 8), EAGAIN);
  EXPECT_ERRNO(timerfd_create(99, 0), EINVAL);
  EXPECT_ERRNO(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
  EXPECT_ERRNO(timerfd_settime(0, 0, &value, NULL), EINVAL);
  EXPECT_ERRNO(write(fd, &ticks, 8), EINVAL);
}

TEST(timer_descriptor_blocks_and_takes_absolute_times) {
  int fd = EXPECT_OK(timerfd_create(CLOCK_REALTIME, 0));
  struct itimerspec value = {0};
  EXPECT_OK(clock_gettime(CLOCK_REALTIME, &value.it_value));
  int64_t start = now_ms();
  value.it_value.tv_nsec += 30000000;
  if (value.it_value.tv_nsec >= 1000000000) value.it_value.tv_nsec -= 1000000000, value.it_value.tv_sec++;
  EXPECT_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &value, NULL));
  uint64_t ticks;
  EXPECT_EQ(read(fd, &ticks, 8), 8);
  EXPECT_EQ(ticks, 1);
  EXPECT_GE(now_ms() - start, 28);
}

TEST(many_sleepers_wake_each_in_its_time) {
  int fds[2];
  EXPECT_OK(pipe(fds));
  int64_t start = now_ms();
  for (int i = 9; i >= 0; i--) FORK({
    char c = 'a' + i;
    sleep_ms(100 + i * 40);
    // On a busy machine they may be late and overtake each other, but never early.
    EXPECT_GE(now_ms() - start, 99 + i * 40);
    EXPECT_EQ(write(fds[1], &c, 1), 1);
  });
  int seen = 0;
  for (int i = 0; i < 10; i++) {
    char c;
    EXPECT_EQ(read(fds[0], &c, 1), 1);
    EXPECT_EQ(seen & 1 << (c - 'a'), 0);
    seen |= 1 << (c - 'a');
  }
  EXPECT_EQ(seen, 0x3ff);
}

TEST(system_information) {
  struct sysinfo info;
  EXPECT_OK(sysinfo(&info));
  EXPECT_GT(info.totalram, 0);
  EXPECT_GT(info.procs, 0);
  EXPECT_GE(info.uptime, 0);
  struct timex timex = {.modes = 0};
  EXPECT_GE(adjtimex(&timex), 0);
}
