// Calls that come from one place again and again, which a kernel may treat by another way than the first ones. No
// program may notice: registers, flags, signals, threads, forks and single steps behave as for the first call.
#include "test.h"
#include <asm/prctl.h>
#include <immintrin.h>

#define HOT 200

// One call site of its own per function, in the form that compilers and libraries use.
#define SITE(name, nr)                                                                                     \
  __attribute__((noinline, aligned(64))) static long name(long a, long b, long c) {                                     \
    long result;                                                                                           \
    asm volatile("mov %[n], %%eax; syscall"                                                                \
                 : "=&a"(result)                                                                           \
                 : [n] "i"(nr), "D"(a), "S"(b), "d"(c)                                                     \
                 : "rcx", "r11", "memory");                                                                \
    return result;                                                                                         \
  }

SITE(hot_getppid, SYS_getppid)
SITE(hot_read, SYS_read)
SITE(hot_write, SYS_write)
SITE(hot_nanosleep, SYS_nanosleep)
SITE(hot_gettid, SYS_gettid)
SITE(hot_kill, SYS_kill)
SITE(hot_getsid, SYS_getsid)
SITE(hot_getuid, SYS_getuid)
SITE(hot_getgid, SYS_getgid)
SITE(hot_exit, SYS_exit)

static void warm_read_and_write(int pipe_fds[2]) {
  char byte;
  EXPECT_OK(pipe(pipe_fds));
  for (int i = 0; i < HOT; i++) {
    EXPECT_EQ(hot_write(pipe_fds[1], (long)"x", 1), 1);
    EXPECT_EQ(hot_read(pipe_fds[0], (long)&byte, 1), 1);
  }
}

TEST(results_stay_the_same) {
  long parent = getppid();
  for (int i = 0; i < 10 * HOT; i++)
    if (hot_getppid(0, 0, 0) != parent) FAIL("call %d", i);
}

TEST(registers_and_flags_survive) {
  for (int i = 0; i < 3 * HOT; i++) {
    unsigned long in[13], out[13], flags_in, flags_out, rcx, r11, rax, rip;
    for (int k = 0; k < 13; k++) in[k] = 0x1111111111111111UL * (unsigned long)(k + 1) + (unsigned long)i;
    // Carry, parity, adjust, zero, sign, direction, overflow, in all combinations over the rounds.
    flags_in = 0x202 | ((unsigned long)i & 1) | ((unsigned long)i & 2) << 1 | ((unsigned long)i & 4) << 2 | ((unsigned long)i & 8) << 3 |
               ((unsigned long)i & 16) << 3 | ((unsigned long)i & 32) << 5 | ((unsigned long)i & 64) << 5;
    struct {
      unsigned long *in, *out, flags_in, flags_out, rcx, r11, rax, rip;
    } box = {in, out, flags_in, 0, 0, 0, 0, 0};
    asm volatile(
        "push %%rbx; push %%rbp; push %%rax; sub $128, %%rsp; mov %%rax, (%%rsp)\n"
        "mov 16(%%rax), %%rbx; push %%rbx; mov (%%rax), %%rax\n"
        "mov (%%rax), %%rdi; mov 8(%%rax), %%rsi; mov 16(%%rax), %%rdx; mov 24(%%rax), %%r10; mov 32(%%rax), %%r8\n"
        "mov 40(%%rax), %%r9; mov 48(%%rax), %%rbx; mov 56(%%rax), %%rbp; mov 64(%%rax), %%r12; mov 72(%%rax), %%r13\n"
        "mov 80(%%rax), %%r14; mov 88(%%rax), %%r15; popfq\n"
        "mov %[nr], %%eax; syscall\n"
        "1: pushfq; cld; push %%rbx; mov 16(%%rsp), %%rbx; mov %%rax, 48(%%rbx); mov %%rcx, 32(%%rbx); mov %%r11, 40(%%rbx)\n"
        "lea 1b(%%rip), %%rax; mov %%rax, 56(%%rbx); mov 8(%%rsp), %%rax; mov %%rax, 24(%%rbx); mov 8(%%rbx), %%rax\n"
        "mov %%rdi, (%%rax); mov %%rsi, 8(%%rax); mov %%rdx, 16(%%rax); mov %%r10, 24(%%rax); mov %%r8, 32(%%rax)\n"
        "mov %%r9, 40(%%rax); mov %%rbp, 56(%%rax); mov %%r12, 64(%%rax); mov %%r13, 72(%%rax); mov %%r14, 80(%%rax)\n"
        "mov %%r15, 88(%%rax); pop %%rbx; mov %%rbx, 48(%%rax); add $136, %%rsp; pop %%rax; pop %%rbp; pop %%rbx\n"
        :
        : "a"(&box), [nr] "i"(SYS_getppid)
        : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
    flags_out = box.flags_out, rcx = box.rcx, r11 = box.r11, rax = box.rax, rip = box.rip;
    EXPECT_EQ((long)rax, (long)getppid());
    EXPECT_EQ(rcx, rip);
    EXPECT_EQ(r11 & 0xfff, flags_in & 0xfff);
    EXPECT_EQ(flags_out & 0xfff, flags_in & 0xfff);
    for (int k = 0; k < 12; k++)
      if (in[k] != out[k]) FAIL("round %d, register %d: %lx became %lx", i, k, in[k], out[k]);
  }
}

TEST(vector_registers_survive_a_call_that_a_handler_interrupts) {
  int fds[2];
  warm_read_and_write(fds);
  for (int i = 0; i < 20; i++) {
    double value[2] = {i + 0.5, -i};
    __m128d v = _mm_loadu_pd(value);
    asm volatile("movapd %0, %%xmm9" : : "x"(v) : "xmm9");
    hot_kill(getpid(), 0, 0);
    asm volatile("movapd %%xmm9, %0" : "=x"(v));
    _mm_storeu_pd(value, v);
    EXPECT_TRUE(value[0] == i + 0.5 && value[1] == -i);
  }
}

static volatile sig_atomic_t handled;
static double handler_noise;
static void on_signal(int signo) {
  (void)signo;
  handled++;
  handler_noise = handler_noise * 1.5 + 2;
  hot_getppid(0, 0, 0);
}

static void handle(int signo, int flags) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
  EXPECT_OK(sigaction(signo, &action, NULL));
  handled = 0;
}

TEST(handlers_run_at_a_call_that_sends_the_signal) {
  handle(SIGUSR1, 0);
  for (int i = 0; i < HOT; i++) {
    EXPECT_EQ(hot_kill(getpid(), SIGUSR1, 0), 0);
    EXPECT_EQ(handled, i + 1);
  }
}

TEST(handlers_run_when_the_mask_lets_them) {
  handle(SIGUSR2, 0);
  unsigned long set = 1UL << (SIGUSR2 - 1);
  for (int i = 0; i < HOT; i++) {
    EXPECT_EQ(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8), 0);
    raise(SIGUSR2);
    EXPECT_EQ(handled, i);
    EXPECT_EQ(syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, 8), 0);
    EXPECT_EQ(handled, i + 1);
  }
}

static void *send_signals(void *arg) {
  pthread_t target = *(pthread_t *)arg;
  for (int i = 0; i < 300; i++) {
    pthread_kill(target, SIGUSR1);
    struct timespec pause = {0, 200000};
    nanosleep(&pause, NULL);
  }
  return NULL;
}

TEST(signals_may_come_at_any_moment) {
  handle(SIGUSR1, SA_RESTART);
  pthread_t self = pthread_self(), sender;
  long parent = getppid();
  EXPECT_EQ(pthread_create(&sender, NULL, send_signals, &self), 0);
  double x = 1;
  long calls = 0;
  while (pthread_tryjoin_np(sender, NULL) == EBUSY) {
    for (int i = 0; i < 100; i++, calls++) {
      double before = x * 3 + 1;
      if (hot_getppid(0, 0, 0) != parent) FAIL("a wrong result after %ld calls", calls);
      if (before != x * 3 + 1) FAIL("a changed register after %ld calls", calls);
    }
  }
  EXPECT_GT(handled, 0);
}

/** More than one signal: one that comes before the call interrupts nothing. */
static const struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};

TEST(an_interrupted_call_says_so) {
  int fds[2];
  warm_read_and_write(fds);
  handle(SIGALRM, 0);
  char byte;
  EXPECT_OK(setitimer(ITIMER_REAL, &often, NULL));
  EXPECT_EQ(hot_read(fds[0], (long)&byte, 1), -EINTR);
  EXPECT_OK(setitimer(ITIMER_REAL, &never, NULL));
  EXPECT_GE(handled, 1);
}

static int restart_pipe[2];
static void write_one(int signo) {
  (void)signo;
  if (++handled == 3) hot_write(restart_pipe[1], (long)"r", 1);
}

TEST(an_interrupted_call_starts_again) {
  warm_read_and_write(restart_pipe);
  struct sigaction action = {.sa_handler = write_one, .sa_flags = SA_RESTART};
  EXPECT_OK(sigaction(SIGALRM, &action, NULL));
  handled = 0;
  EXPECT_OK(setitimer(ITIMER_REAL, &often, NULL));
  char byte = 0;
  EXPECT_EQ(hot_read(restart_pipe[0], (long)&byte, 1), 1);
  EXPECT_OK(setitimer(ITIMER_REAL, &never, NULL));
  EXPECT_EQ(byte, 'r');
  EXPECT_GE(handled, 3);
}

TEST(a_sleep_goes_on_after_a_stop) {
  struct timespec tiny = {0, 1};
  for (int i = 0; i < HOT; i++) hot_nanosleep((long)&tiny, 0, 0);
  STOP_A_SLEEPER({
    struct timespec rest, time = {0, 200 * 1000000};
    _exit(hot_nanosleep((long)&time, (long)&rest, 0) == 0 ? 0 : 1);
  });
}

static void *call_often(void *arg) {
  long tid = hot_gettid(0, 0, 0);
  for (int i = 0; i < 2000; i++) {
    if (hot_gettid(0, 0, 0) != tid) return "another thread's answer";
    if (hot_getsid(0, 0, 0) != (long)arg) return "a wrong session";
  }
  return NULL;
}

TEST(threads_share_the_place) {
  pthread_t threads[8];
  void *complaint;
  for (int i = 0; i < 8; i++) EXPECT_EQ(pthread_create(&threads[i], NULL, call_often, (void *)(long)getsid(0)), 0);
  for (int i = 0; i < 8; i++) {
    EXPECT_EQ(pthread_join(threads[i], &complaint), 0);
    if (complaint) FAIL("%s", (char *)complaint);
  }
}

TEST(threads_come_and_go) {
  for (int i = 0; i < HOT; i++) hot_gettid(0, 0, 0);
  for (int i = 0; i < 60; i++) {
    pthread_t thread;
    void *complaint;
    EXPECT_EQ(pthread_create(&thread, NULL, call_often, (void *)(long)getsid(0)), 0);
    EXPECT_EQ(pthread_join(thread, &complaint), 0);
    if (complaint) FAIL("%s", (char *)complaint);
    if (i % 20 == 0) hot_gettid(0, 0, 0);
  }
}

TEST(forks_keep_the_place) {
  for (int i = 0; i < HOT; i++) hot_getppid(0, 0, 0);
  for (int i = 0; i < 20; i++) {
    long self = getpid();
    IN_CHILD({
      for (int k = 0; k < HOT; k++)
        if (hot_getppid(0, 0, 0) != self) _exit(1);
      long me = getpid();
      IN_CHILD(_exit(hot_getppid(0, 0, 0) == me ? 0 : 1));
      _exit(0);
    });
    EXPECT_EQ(hot_getppid(0, 0, 0), getppid());
  }
}

TEST(vfork_children_use_the_place) {
  for (int i = 0; i < HOT; i++) hot_getppid(0, 0, 0);
  static volatile long seen;
  for (int i = 0; i < 20; i++) {
    pid_t child = vfork();
    if (child == 0) {
      seen = hot_getppid(0, 0, 0);
      _exit(0);
    }
    EXPECT_EXIT(child, 0);
    EXPECT_EQ(seen, getpid());
    EXPECT_EQ(hot_getppid(0, 0, 0), getppid());
  }
}

// A jump to the system call instruction itself, with another number than the one in front of it.
TEST(a_jump_into_the_middle) {
  for (int i = 0; i < HOT; i++) EXPECT_EQ(hot_getuid(0, 0, 0), getuid());
  char *code = (char *)hot_getuid;
  int at = 0;
  // The entry of a rewritten place need not look as it did, but its end is where it was.
  for (at = 0; at < 64 && (unsigned char)code[at] != 0xb8 && (unsigned char)code[at] != 0xff; at++) {
  }
  if (at == 64) SKIP("the compiler put the call elsewhere");
  long result;
  asm volatile("push %%rbx; lea 1f(%%rip), %%rbx; push %%rbx; jmp *%[to]; 1: pop %%rbx"
               : "=a"(result)
               : "a"((long)SYS_getpid), [to] "r"(code + at + 5)
               : "rcx", "r11", "rdx", "memory");
  EXPECT_EQ(result, getpid());
}

TEST(gs_belongs_to_the_program) {
  IN_CHILD({
    unsigned long base = 1;
    for (int i = 0; i < HOT; i++) hot_getgid(0, 0, 0);
    if (syscall(SYS_arch_prctl, ARCH_GET_GS, &base) != 0 || base != 0) _exit(1);
    static unsigned long own[512];
    own[1] = 0x1234;
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, own) != 0) _exit(2);
    for (int i = 0; i < HOT; i++) {
      unsigned long value;
      asm volatile("mov %%gs:8, %0" : "=r"(value));
      if (value != 0x1234) _exit(3);
      if (hot_getgid(0, 0, 0) != getgid() || hot_getppid(0, 0, 0) != getppid()) _exit(4);
    }
    for (int i = 0; i < 512; i++)
      if (i != 1 && own[i]) _exit(5);
    if (syscall(SYS_arch_prctl, ARCH_GET_GS, &base) != 0 || base != (unsigned long)own) _exit(6);
    _exit(0);
  });
}

// The C library's syscall() and read(): the number comes from elsewhere, or from an instruction too short to replace.
static void warm_library(int fds[2]) {
  char byte;
  EXPECT_OK(pipe(fds));
  for (int i = 0; i < HOT; i++) {
    EXPECT_EQ(syscall(SYS_getppid), getppid());
    EXPECT_EQ(write(fds[1], "y", 1), 1);
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
  }
}

TEST(the_library_sets_errno) {
  int fds[2];
  warm_library(fds);
  char byte;
  EXPECT_ERRNO(syscall(SYS_getsid, -1), ESRCH);
  EXPECT_ERRNO(read(-1, &byte, 1), EBADF);
  EXPECT_ERRNO(syscall(600), ENOSYS);
  EXPECT_EQ(syscall(SYS_gettid), gettid());
}

TEST(library_calls_are_interrupted_and_restarted) {
  warm_library(restart_pipe);
  char byte = 0;
  handle(SIGALRM, 0);
  EXPECT_OK(setitimer(ITIMER_REAL, &often, NULL));
  EXPECT_ERRNO(read(restart_pipe[0], &byte, 1), EINTR);
  EXPECT_OK(setitimer(ITIMER_REAL, &never, NULL));
  struct sigaction action = {.sa_handler = write_one, .sa_flags = SA_RESTART};
  EXPECT_OK(sigaction(SIGALRM, &action, NULL));
  handled = 0;
  EXPECT_OK(setitimer(ITIMER_REAL, &often, NULL));
  EXPECT_EQ(read(restart_pipe[0], &byte, 1), 1);
  EXPECT_OK(setitimer(ITIMER_REAL, &never, NULL));
  EXPECT_EQ(byte, 'r');
}

static int word;
static void *wake_later(void *arg) {
  (void)arg;
  struct timespec pause = {0, 100 * 1000000};
  nanosleep(&pause, NULL);
  __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
  return syscall(SYS_futex, &word, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0) >= 0 ? NULL : "no wake-up";
}

TEST(futexes_through_the_library) {
  int fds[2];
  warm_library(fds);
  word = 0;
  EXPECT_ERRNO(syscall(SYS_futex, &word, 0, 1, NULL, NULL, 0), EAGAIN);
  pthread_t thread;
  void *complaint;
  EXPECT_EQ(pthread_create(&thread, NULL, wake_later, NULL), 0);
  while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 0) syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0);
  EXPECT_EQ(pthread_join(thread, &complaint), 0);
  if (complaint) FAIL("%s", (char *)complaint);
  handle(SIGALRM, 0);
  EXPECT_OK(setitimer(ITIMER_REAL, &often, NULL));
  EXPECT_ERRNO(syscall(SYS_futex, &word, 0, 1, NULL, NULL, 0), EINTR);
  EXPECT_OK(setitimer(ITIMER_REAL, &never, NULL));
  EXPECT_GE(handled, 1);
}

static int cleaned;
static void clean(void *arg) { cleaned += *(int *)arg; }
static void *read_forever(void *arg) {
  char byte;
  int one = 1;
  pthread_cleanup_push(clean, &one);
  while (read(*(int *)arg, &byte, 1) == 1) {
  }
  pthread_cleanup_pop(0);
  return NULL;
}

TEST(a_thread_in_a_library_call_is_cancelled) {
  int fds[2];
  warm_library(fds);
  cleaned = 0;
  for (int i = 0; i < 10; i++) {
    pthread_t thread;
    void *result;
    EXPECT_EQ(pthread_create(&thread, NULL, read_forever, &fds[0]), 0);
    for (int k = 0; k < 50; k++) EXPECT_EQ(write(fds[1], "z", 1), 1);
    EXPECT_EQ(pthread_cancel(thread), 0);
    EXPECT_EQ(pthread_join(thread, &result), 0);
    EXPECT_EQ(result, PTHREAD_CANCELED);
    EXPECT_EQ(cleaned, i + 1);
  }
}

TEST(forks_through_the_library) {
  int fds[2];
  warm_library(fds);
  for (int i = 0; i < 20; i++) {
    long self = getpid();
    pid_t child = (pid_t)syscall(SYS_fork);
    if (child == 0) _exit(syscall(SYS_getppid) == self && read(-1, fds, 1) == -1 ? i : 99);
    EXPECT_EXIT(child, i);
  }
}

TEST(a_thread_ends_at_the_place) {
  for (int i = 0; i < HOT; i++) {
    pid_t child = FORK({ hot_exit(i & 127, 0, 0); });
    EXPECT_EXIT(child, i & 127);
    if (i == 20) break;
  }
}

TEST(bad_pointers_at_the_place) {
  int fds[2];
  warm_read_and_write(fds);
  char *gone = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_EQ(hot_write(fds[1], 16, 1), -EFAULT);
  EXPECT_EQ(hot_write(fds[1], (long)"ab", 2), 2);
  EXPECT_EQ(hot_read(fds[0], (long)gone, 1), -EFAULT);
  EXPECT_OK(munmap(gone, 4096));
  EXPECT_EQ(hot_read(fds[0], (long)gone, 1), -EFAULT);
  char two[2];
  EXPECT_EQ(hot_read(fds[0], (long)two, 2), 2);
  EXPECT_MEM(two, "ab", 2);
}

TEST(a_fatal_signal_at_the_place) {
  for (int i = 0; i < HOT; i++) hot_kill(getpid(), 0, 0);
  pid_t child = FORK({ hot_kill(getpid(), SIGTERM, 0); });
  EXPECT_KILLED(child, SIGTERM);
}

TEST(code_that_is_replaced) {
  static const unsigned char template[] = {0xb8, SYS_getpid, 0, 0, 0, 0x0f, 0x05, 0xc3};
  unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(code, MAP_FAILED);
  for (int round = 0; round < 3; round++) {
    EXPECT_OK(mprotect(code, 4096, PROT_READ | PROT_WRITE));
    memcpy(code, template, sizeof template);
    if (round == 1) code[1] = SYS_getuid;
    EXPECT_OK(mprotect(code, 4096, PROT_READ | PROT_EXEC));
    long expected = round == 1 ? (long)getuid() : getpid();
    for (int i = 0; i < HOT; i++) EXPECT_EQ(((long (*)(void))code)(), expected);
  }
  EXPECT_OK(munmap(code, 4096));
  EXPECT_EQ(mmap(code, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), code);
  EXPECT_EQ(code[0], 0);
}
