// Signals and the machine: alternate stacks, saved state, information about faults.
#include "test.h"
#include <immintrin.h>
#include <ucontext.h>

static volatile sig_atomic_t count, last_signal;
static volatile int values[64];
static siginfo_t last_info;

static void on_count(int sig) {
  last_signal = sig;
  count++;
}
static void on_info(int sig, siginfo_t *info, void *context) {
  (void)context;
  last_signal = sig;
  last_info = *info;
  count++;
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
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    EXPECT_OK(sigprocmask(SIG_BLOCK, &set, NULL));
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
