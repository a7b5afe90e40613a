// The ways into the kernel: odd numbers, odd instructions, odd registers, and every call with rubbish in it.
#include "test.h"
#include <sys/prctl.h>
#include <sys/ptrace.h>

static long call6(long nr, long a, long b, long c, long d, long e, long f) {
  register long r10 asm("r10") = d, r8 asm("r8") = e, r9 asm("r9") = f;
  long result;
  asm volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
}
#define CALL(nr) call6(nr, 0, 0, 0, 0, 0, 0)

TEST(unknown_numbers) {
  static const long numbers[] = {600, 1023, 4095, 0x7fffffff, -1, -2, LONG_MIN, 0x100000000000};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if ((int)numbers[i] != 0) EXPECT_EQ(CALL(numbers[i]), -ENOSYS);
}

TEST(retired_numbers) {
  static const int numbers[] = {134, 156, 174, 177, 178, 180, 181, 182, 183, 184, 185, 205, 211, 214, 215, 236};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) EXPECT_EQ(CALL(numbers[i]), -ENOSYS);
}

TEST(only_the_low_half_of_the_number_counts) { EXPECT_EQ(CALL(0x100000000L + SYS_getpid), getpid()); }

TEST(x32_numbers) {
  // Debian's kernel has the x32 interface switched off by default; then these numbers do not exist.
  long result = CALL(0x40000000L + SYS_getpid);
  EXPECT_TRUE(result == -ENOSYS || result == getpid());
}

TEST(int_0x80) {
  // A kernel without 32-bit support raises SIGSEGV; one with it answers by the 32-bit table. Neither may do harm.
  pid_t child = FORK({
    long result;
    asm volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory");
    _exit(result == getpid() || result == -ENOSYS ? 0 : 1);
  });
  int status;
  EXPECT_OK(waitpid(child, &status, 0));
  EXPECT_TRUE(status == 0 || (WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGSYS)));
}

TEST(sysenter) {
  pid_t child = FORK({ asm volatile("mov $20, %%eax; sysenter" : : : "rax", "rcx", "rdx", "memory"); });
  int status;
  EXPECT_OK(waitpid(child, &status, 0));
  EXPECT_TRUE(WIFSIGNALED(status) || WIFEXITED(status));
}

TEST(a_call_keeps_all_other_registers) {
  long before[6] = {0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666}, after[6], result;
  asm volatile(
      "push %%rbp; push %%rbx; mov %[b], %%r12; mov (%%r12), %%rbx; mov 8(%%r12), %%rbp; mov 16(%%r12), %%r13; mov 24(%%r12), %%r14;"
      "mov 32(%%r12), %%r15; mov 40(%%r12), %%r9; mov $39, %%eax; syscall;"
      "xchg %%r12, %[a]; mov %%rbx, (%%r12); mov %%rbp, 8(%%r12); mov %%r13, 16(%%r12); mov %%r14, 24(%%r12); mov %%r15, 32(%%r12);"
      "mov %%r9, 40(%%r12); pop %%rbx; pop %%rbp"
      : "=&a"(result)
      : [b] "D"(before), [a] "S"(after)
      : "r9", "r12", "r13", "r14", "r15", "rcx", "r11", "memory");
  EXPECT_EQ(result, getpid());
  EXPECT_MEM(before, after, sizeof before);
}

TEST(a_call_puts_rip_and_flags_into_rcx_and_r11) {
  long rcx, r11, where;
  asm volatile("mov $39, %%eax; syscall; mov %%rcx, %0; mov %%r11, %1; lea 1f(%%rip), %2; jmp 1f; 1:"
               : "=r"(rcx), "=r"(r11), "=r"(where) : : "rax", "rcx", "r11", "memory");
  EXPECT_LT(labs(where - rcx), 64);
  EXPECT_TRUE(r11 & 0x200);
}

TEST(a_jump_into_the_middle_of_a_call_site) {
  // A program may jump to the syscall instruction itself, past the mov of the number, also after the site ran hot.
  for (int i = 0; i < 200; i++) {
    long a, b;
    asm volatile("jmp 2f; .balign 16; 2: mov $39, %%eax; 1: syscall" : "=a"(a) : : "rcx", "r11", "r12", "memory");
    asm volatile("mov $110, %%eax; jmp 1f; .balign 16; mov $39, %%eax; 1: syscall; nop; nop; nop" : "=a"(b) : : "rcx", "r11", "memory");
    EXPECT_EQ(a, getpid());
    EXPECT_EQ(b, getppid());
  }
}

TEST(stack_pointer_may_be_rubbish) {
  long result;
  asm volatile("mov %%rsp, %%r12; mov $0x10, %%rsp; mov $39, %%eax; syscall; mov %%r12, %%rsp"
               : "=&a"(result) : : "rcx", "r11", "r12", "memory");
  EXPECT_EQ(result, getpid());
}

TEST(red_zone_is_kept) {
  long out[2];
  asm volatile("movq $0x5151, -8(%%rsp); movq $0x6262, -128(%%rsp); mov $39, %%eax; syscall; mov -8(%%rsp), %0; mov -128(%%rsp), %1"
               : "=&r"(out[0]), "=&r"(out[1]) : : "rax", "rcx", "r11", "memory");
  EXPECT_EQ(out[0], 0x5151);
  EXPECT_EQ(out[1], 0x6262);
}

/** Calls that rightly end, stop, replace or silence the process, or wait for ever. */
static int is_excluded(long nr) {
  static const short numbers[] = {SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_pause, SYS_rt_sigsuspend, SYS_vfork, SYS_fork,
                                  SYS_clone, SYS_clone3, SYS_kill, SYS_tkill, SYS_tgkill, SYS_reboot, SYS_rt_sigqueueinfo,
                                  SYS_rt_tgsigqueueinfo, SYS_vhangup, SYS_seccomp, SYS_prctl, SYS_setrlimit, SYS_prlimit64,
                                  SYS_alarm, SYS_setitimer, SYS_ptrace, SYS_sync, SYS_swapon, SYS_swapoff, SYS_kexec_load,
                                  SYS_init_module, SYS_delete_module, SYS_finit_module, SYS_sethostname, SYS_setdomainname,
                                  SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_umount2, SYS_mount,
                                  SYS_pivot_root, SYS_acct, SYS_syslog, SYS_iopl, SYS_ioperm, SYS_arch_prctl, SYS_unshare,
                                  SYS_setns, SYS_futex, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_brk, SYS_mlockall, SYS_shmctl,
                                  SYS_set_tid_address, SYS_wait4, SYS_waitid, SYS_quotactl, SYS_nfsservctl, SYS_unlink, SYS_rmdir,
                                  SYS_kexec_file_load, SYS_bpf, SYS_io_uring_setup, SYS_userfaultfd, SYS_rseq, SYS_pkey_mprotect,
                                  SYS_close_range, SYS_setpgid, SYS_setsid, SYS_close,
                                  335, 336 /* uretprobe and uprobe: SIGILL by definition */};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (numbers[i] == nr) return 1;
  return nr > 450;
}

/** Runs one call in a child, which must come to its end; a call that blocks is ended by a timer. */
static void try_call(long nr, const long *args) {
  pid_t child = FORK({
    become(NOBODY, NOBODY);
    ualarm(200000, 0);
    long result = call6(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
    _exit(result < -511 && result > -4096);
  });
  int status;
  EXPECT_OK(waitpid(child, &status, 0));
  if (status == 0x100) FAIL("call %ld returned an internal error number", nr);
  if (status != 0 && !(WIFSIGNALED(status) && (WTERMSIG(status) == SIGALRM || WTERMSIG(status) == SIGXFSZ)))
    FAIL("call %ld ended its process with status 0x%x", nr, status);
}
static void sweep(long a, long b, long c, long d, long e, long f) {
  long args[6] = {a, b, c, d, e, f};
  for (long nr = 0; nr <= 450; nr++)
    if (!is_excluded(nr)) try_call(nr, args);
}

TEST(every_call_with_minus_one) { sweep(-1, -1, -1, -1, -1, -1); }
TEST(every_call_with_kernel_addresses) {
  long k = (long)0xffff888000000000;
  sweep(k, k, k, k, k, k);
}
TEST(every_call_with_unmapped_low_addresses) { sweep(8, 8, 8, 8, 8, 8); }
TEST(every_call_with_the_largest_integers) { sweep(LONG_MAX, INT_MAX, LONG_MAX, INT_MIN, LONG_MIN, UINT_MAX); }

TEST(random_calls) {
  static const long pool[] = {0, 1, 2, 3, 8, 100, 4096, -1, -100, 0x7fffffff, 1L << 47, 1L << 62, LONG_MIN, -4096};
  static char scratch[4096];
  uint64_t seed = 88172645463325252ULL;
  for (int i = 0; i < 600; i++) {
    long args[6], nr = 0;
    for (int j = 0; j < 7; j++) {
      seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
      if (j == 6) nr = seed % 451;
      else args[j] = seed % 5 == 0 ? (long)scratch : pool[seed % 14];
    }
    if (!is_excluded(nr)) try_call(nr, args);
  }
}

TEST(vsyscall_page) {
  // Where the old page exists it works as calls do; where it does not, using it is a plain fault.
  pid_t child = FORK({
    long seconds = ((long (*)(long *))0xffffffffff600400)(NULL);
    _exit(labs(seconds - (long)time(NULL)) < 5 ? 0 : 1);
  });
  int status;
  EXPECT_OK(waitpid(child, &status, 0));
  EXPECT_TRUE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
}

TEST(segment_bases) {
  unsigned long gs = 0, cell = 0x4242;
  EXPECT_OK(syscall(SYS_arch_prctl, 0x1001, &cell));
  EXPECT_OK(syscall(SYS_arch_prctl, 0x1004, &gs));
  EXPECT_EQ(gs, (unsigned long)&cell);
  asm volatile("mov %%gs:0, %0" : "=r"(gs));
  EXPECT_EQ(gs, 0x4242);
  EXPECT_EQ(CALL(SYS_getpid), getpid());
  asm volatile("mov %%gs:0, %0" : "=r"(gs));
  EXPECT_EQ(gs, 0x4242);
  EXPECT_ERRNO(syscall(SYS_arch_prctl, 0x1001, 0xffff800000000000UL), EPERM);
  EXPECT_ERRNO(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
}
