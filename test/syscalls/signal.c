// Signals: handlers, masks, queues, restarts, stacks, saved machine state, fault information, job control.
#include "test.h"
#include <immintrin.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <ucontext.h>

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
  struct timespec t = {5, 0}, rest = {0, 0};
  interrupter(SIGUSR1);
  EXPECT_ERRNO(nanosleep(&t, &rest), EINTR);
  EXPECT_TRUE(rest.tv_sec == 4 && rest.tv_nsec > 0);
  interrupter(SIGUSR1);
  EXPECT_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &rest), EINTR);
  EXPECT_EQ(rest.tv_sec, 4);
}

TEST(sleep_goes_on_after_stop_and_continue) {
  pid_t child = FORK({
    int64_t start = now_ms();
    struct timespec t = {0, 200000000};
    EXPECT_OK(nanosleep(&t, NULL));
    EXPECT_GE(now_ms() - start, 199);
    EXPECT_LT(now_ms() - start, 3000);
  });
  sleep_ms(30);
  kill(child, SIGSTOP);
  int status;
  EXPECT_OK(waitpid(child, &status, WUNTRACED));
  kill(child, SIGCONT);
  EXPECT_EXIT(child, 0);
}

TEST(poll_select_and_epoll_style_calls_are_not_restarted) {
  set_handler(SIGUSR1, on_count, SA_RESTART);
  interrupter(SIGUSR1);
  EXPECT_ERRNO(poll(NULL, 0, 5000), EINTR);
  struct timeval tv = {5, 0};
  interrupter(SIGUSR1);
  EXPECT_ERRNO(select(0, NULL, NULL, NULL, &tv), EINTR);
  interrupter(SIGUSR1);
  EXPECT_ERRNO(pause(), EINTR);
}

TEST(futex_wait_is_restarted_only_without_timeout) {
  uint32_t word = 0;
  struct timespec t = {5, 0};
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

static char *alternate;
static volatile int on_alternate;
static void on_stack_probe(int sig) {
  char local;
  stack_t now;
  (void)sig;
  on_alternate = &local >= alternate && &local < alternate + 65536;
  sigaltstack(NULL, &now);
  values[0] = now.ss_flags;
  stack_t other = {.ss_sp = alternate, .ss_size = 65536};
  values[1] = sigaltstack(&other, NULL) == -1 ? errno : 0;
}

TEST(alternate_stack) {
  stack_t stack, old;
  alternate = malloc(65536);
  stack = (stack_t){.ss_sp = alternate, .ss_size = 65536};
  EXPECT_OK(sigaltstack(&stack, &old));
  EXPECT_EQ(old.ss_flags, SS_DISABLE);
  set_handler(SIGUSR1, on_stack_probe, SA_ONSTACK);
  raise(SIGUSR1);
  EXPECT_EQ(on_alternate, 1);
  EXPECT_EQ(values[0], SS_ONSTACK);
  EXPECT_EQ(values[1], EPERM);
  set_handler(SIGUSR1, on_stack_probe, 0);
  raise(SIGUSR1);
  EXPECT_EQ(on_alternate, 0);
  stack.ss_size = 100;
  EXPECT_ERRNO(sigaltstack(&stack, NULL), ENOMEM);
  stack.ss_flags = 77;
  EXPECT_ERRNO(sigaltstack(&stack, NULL), EINVAL);
  IN_CHILD({
    EXPECT_OK(sigaltstack(NULL, &old));
    EXPECT_TRUE(old.ss_sp == alternate && old.ss_size == 65536);
  });
  EXPECT_OK(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL));
  EXPECT_OK(sigaltstack(NULL, &old));
  EXPECT_EQ(old.ss_flags, SS_DISABLE);
}

__attribute__((noinline)) static int recurse(volatile char *above) {
  volatile char frame[4096];
  frame[0] = above ? above[0] : 0;
  return above == frame ? 0 : recurse(frame) + frame[0];
}
static void on_overflow(int sig, siginfo_t *info, void *context) {
  (void)context, (void)info;
  _exit(sig == SIGSEGV ? 21 : 1);
}

TEST(stack_overflow_is_handled_on_the_alternate_stack) {
  EXPECT_EXIT(FORK({
    EXPECT_OK(sigaltstack(&(stack_t){.ss_sp = malloc(65536), .ss_size = 65536}, NULL));
    set_info_handler(SIGSEGV, on_overflow, SA_ONSTACK);
    recurse(NULL);
  }), 21);
  EXPECT_KILLED(FORK({
    set_info_handler(SIGSEGV, on_overflow, 0);
    recurse(NULL);
  }), SIGSEGV);
}

static uintptr_t skip_bytes;
static void on_fault(int sig, siginfo_t *info, void *context) {
  on_info(sig, info, NULL);
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += skip_bytes;
}

TEST(segv_info) {
  set_info_handler(SIGSEGV, on_fault, 0);
  skip_bytes = 3;
  char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_OK(munmap(page + 4096, 4096));
  register char *at asm("rdi") = page + 4096 + 16;
  asm volatile("movb $1, (%%rdi)" : : "r"(at) : "memory");
  EXPECT_EQ(last_info.si_code, SEGV_MAPERR);
  EXPECT_TRUE(last_info.si_addr == page + 4096 + 16);
  at = page + 5;
  asm volatile("movb $1, (%%rdi)" : : "r"(at) : "memory");
  EXPECT_EQ(last_info.si_code, SEGV_ACCERR);
  EXPECT_TRUE(last_info.si_addr == page + 5);
  at = (char *)0x8000000000000000;
  asm volatile("movb $1, (%%rdi)" : : "r"(at) : "memory");
  EXPECT_EQ(last_info.si_code, SI_KERNEL);
  EXPECT_TRUE(last_info.si_addr == NULL);
  EXPECT_EQ(count, 3);
}

TEST(bus_info) {
  set_info_handler(SIGBUS, on_fault, 0);
  skip_bytes = 3;
  int fd = EXPECT_OK(open("f", O_RDWR | O_CREAT, 0644));
  EXPECT_OK(ftruncate(fd, 4096));
  char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  register char *at asm("rdi") = map + 4096 + 7;
  asm volatile("movb $1, (%%rdi)" : : "r"(at) : "memory");
  EXPECT_EQ(last_signal, SIGBUS);
  EXPECT_EQ(last_info.si_code, BUS_ADRERR);
  EXPECT_TRUE(last_info.si_addr == map + 4096 + 7);
}

TEST(fpe_ill_and_trap_info) {
  set_info_handler(SIGFPE, on_fault, 0);
  set_info_handler(SIGILL, on_fault, 0);
  set_info_handler(SIGTRAP, on_fault, 0);
  uintptr_t where;
  skip_bytes = 2;
  asm volatile("lea 1f(%%rip), %0; xor %%edx, %%edx; xor %%ecx, %%ecx; mov $1, %%eax; 1: div %%ecx"
               : "=&r"(where) : : "rax", "rdx", "rcx");
  EXPECT_EQ(last_signal, SIGFPE);
  EXPECT_EQ(last_info.si_code, FPE_INTDIV);
  EXPECT_EQ((uintptr_t)last_info.si_addr, where);
  asm volatile("lea 1f(%%rip), %0; 1: ud2" : "=r"(where));
  EXPECT_EQ(last_signal, SIGILL);
  EXPECT_EQ(last_info.si_code, ILL_ILLOPN);
  EXPECT_EQ((uintptr_t)last_info.si_addr, where);
  skip_bytes = 0;
  asm volatile("int3");
  EXPECT_EQ(last_signal, SIGTRAP);
  EXPECT_EQ(last_info.si_code, SI_KERNEL);
  EXPECT_EQ(count, 3);
}

TEST(faults_kill_without_a_handler) {
  EXPECT_KILLED(FORK({ *(volatile int *)8 = 1; }), SIGSEGV);
  EXPECT_KILLED(FORK({ asm volatile("ud2"); }), SIGILL);
  EXPECT_KILLED(FORK({ asm volatile("int3"); }), SIGTRAP);
  EXPECT_KILLED(FORK({ asm volatile("hlt"); }), SIGSEGV);
  EXPECT_KILLED(FORK({
    signal(SIGSEGV, SIG_IGN);
    *(volatile int *)8 = 1;
  }), SIGSEGV);
  EXPECT_KILLED(FORK({
    block(SIGSEGV, 0);
    *(volatile int *)8 = 1;
  }), SIGSEGV);
}

TEST(single_step_trap_flag) {
  set_info_handler(SIGTRAP, on_info, 0);
  asm volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory", "cc");
  EXPECT_GE(count, 2);
  EXPECT_EQ(last_info.si_code, TRAP_TRACE);
}

static void on_trample(int sig) {
  __m128i junk = _mm_set1_epi8(0x5a);
  asm volatile("movdqa %0, %%xmm0; movdqa %0, %%xmm7; movdqa %0, %%xmm15; fninit; fldpi" : : "m"(junk) : "xmm0", "xmm7", "xmm15");
  on_count(sig);
}

TEST(sse_and_x87_registers_survive_a_handler) {
  set_handler(SIGUSR1, on_trample, 0);
  char in[16] __attribute__((aligned(16))) = "0123456789abcde", out[48] __attribute__((aligned(16)));
  double x87 = 0;
  long result, pid = getpid();
  asm volatile(
      "movdqa %[in], %%xmm0; movdqa %[in], %%xmm7; movdqa %[in], %%xmm15; fninit; fld1; fld1; faddp;"
      "mov $62, %%eax; mov %[pid], %%rdi; mov $10, %%esi; syscall;"
      "movdqa %%xmm0, %[o0]; movdqa %%xmm7, %[o1]; movdqa %%xmm15, %[o2]; fstpl %[x87]"
      : "=&a"(result), [o0] "=m"(out[0]), [o1] "=m"(out[16]), [o2] "=m"(out[32]), [x87] "=m"(x87)
      : [in] "m"(in[0]), [pid] "r"(pid)
      : "rdi", "rsi", "rcx", "r11", "xmm0", "xmm7", "xmm15", "memory");
  EXPECT_EQ(result, 0);
  EXPECT_EQ(count, 1);
  EXPECT_MEM(out, in, 16);
  EXPECT_MEM(out + 16, in, 16);
  EXPECT_MEM(out + 32, in, 16);
  EXPECT_TRUE(x87 == 2.0);
}

__attribute__((target("avx"))) static void trample_avx(int sig) {
  asm volatile("vzeroall" : : : "xmm0", "xmm8");
  on_count(sig);
}
__attribute__((target("avx"))) static void check_avx(void) {
  char in[32] __attribute__((aligned(32))), out[32] __attribute__((aligned(32)));
  for (int i = 0; i < 32; i++) in[i] = i * 7;
  long result, pid = getpid();
  asm volatile("vmovdqa %[in], %%ymm8; mov $62, %%eax; mov %[pid], %%rdi; mov $10, %%esi; syscall; vmovdqa %%ymm8, %[out]"
               : "=&a"(result), [out] "=m"(out[0])
               : [in] "m"(in[0]), [pid] "r"(pid)
               : "rdi", "rsi", "rcx", "r11", "xmm8", "memory");
  EXPECT_EQ(count, 1);
  EXPECT_MEM(in, out, 32);
}

TEST(avx_registers_survive_a_handler) {
  if (!__builtin_cpu_supports("avx")) SKIP("this CPU has no AVX");
  set_handler(SIGUSR1, trample_avx, 0);
  check_avx();
}

__attribute__((target("avx512f"))) static void check_avx512(void) {
  char in[64] __attribute__((aligned(64))), out[64] __attribute__((aligned(64)));
  unsigned mask = 0;
  for (int i = 0; i < 64; i++) in[i] = i * 3;
  long result, pid = getpid();
  asm volatile(
      "vmovdqa64 %[in], %%zmm20; mov $0x1234, %%eax; kmovw %%eax, %%k3;"
      "mov $62, %%eax; mov %[pid], %%rdi; mov $10, %%esi; syscall; vmovdqa64 %%zmm20, %[out]; kmovw %%k3, %[mask]"
      : "=&a"(result), [out] "=m"(out[0]), [mask] "=r"(mask)
      : [in] "m"(in[0]), [pid] "r"(pid)
      : "rdi", "rsi", "rcx", "r11", "memory");
  EXPECT_EQ(count, 1);
  EXPECT_EQ(mask, 0x1234);
  EXPECT_MEM(in, out, 64);
}
__attribute__((target("avx512f"))) static void trample_avx512(int sig) {
  asm volatile("vpxorq %%zmm20, %%zmm20, %%zmm20; kxorw %%k3, %%k3, %%k3" : : : "memory");
  on_count(sig);
}

TEST(avx512_registers_survive_a_handler) {
  if (!__builtin_cpu_supports("avx512f")) SKIP("this CPU has no AVX-512");
  set_handler(SIGUSR1, trample_avx512, 0);
  check_avx512();
}

TEST(vector_registers_survive_plain_calls) {
  char in[16] __attribute__((aligned(16))) = "fedcba987654321", out[16] __attribute__((aligned(16)));
  for (int i = 0; i < 200; i++) {
    long result;
    asm volatile("movdqa %[in], %%xmm3; mov $39, %%eax; syscall; movdqa %%xmm3, %[out]"
                 : "=&a"(result), [out] "=m"(out[0]) : [in] "m"(in[0]) : "rcx", "r11", "xmm3");
    EXPECT_EQ(result, getpid());
    EXPECT_MEM(in, out, 16);
  }
}

static void on_change_registers(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)info;
  ((ucontext_t *)context)->uc_mcontext.gregs[REG_R12] = 0x1122334455667788;
  sigaddset(&((ucontext_t *)context)->uc_sigmask, SIGUSR2);
}

TEST(sigreturn_takes_registers_and_mask_from_the_frame) {
  set_info_handler(SIGUSR1, on_change_registers, 0);
  long result, r12, pid = getpid();
  asm volatile("mov $1, %%r12; mov $62, %%eax; mov %[pid], %%rdi; mov $10, %%esi; syscall; mov %%r12, %[r12]"
               : "=&a"(result), [r12] "=r"(r12) : [pid] "r"(pid) : "rdi", "rsi", "rcx", "r11", "r12", "memory");
  EXPECT_EQ(r12, 0x1122334455667788);
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  EXPECT_EQ(sigismember(&mask, SIGUSR2), 1);
}

TEST(sigreturn_with_a_bad_frame_kills) {
  EXPECT_KILLED(FORK({ asm volatile("mov $15, %%eax; mov $64, %%rsp; syscall" : : : "rax", "memory"); }), SIGSEGV);
}

TEST(direction_flag_is_clear_in_handlers) {
  set_handler(SIGUSR1, on_count, 0);
  long result, flags, pid = getpid();
  asm volatile("std; mov $62, %%eax; mov %[pid], %%rdi; mov $10, %%esi; syscall; pushfq; pop %[flags]; cld"
               : "=&a"(result), [flags] "=r"(flags) : [pid] "r"(pid) : "rdi", "rsi", "rcx", "r11", "memory");
  EXPECT_EQ(count, 1);
  EXPECT_TRUE(flags & 0x400);
}

static volatile int caught;
static void on_jump(int sig) {
  caught = sig;
}
TEST(signals_reach_a_computing_program) {
  pid_t child = FORK({
    set_handler(SIGUSR1, on_jump, 0);
    while (!caught) {
    }
    _exit(caught == SIGUSR1 ? 0 : 1);
  });
  sleep_ms(50);
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
  pid_t leader = FORK({
    setpgid(0, 0);
    for (int i = 0; i < 3; i++)
      if (fork() == 0) for (;;) pause();
    for (;;) pause();
  });
  sleep_ms(60);
  EXPECT_OK(kill(-leader, SIGTERM));
  EXPECT_KILLED(leader, SIGTERM);
  for (int i = 0; i < 1000 && kill(-leader, 0) == 0; i++) sleep_ms(5);
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
