// Tracers that decide about calls: filters that ask them, calls that they make themselves; and what they may look at.
#include "traced.h"
#include <elf.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#define EVENT_SECCOMP 7

/** `action` for the call `nr`; the others are allowed. */
static void filter_one(int nr, unsigned action) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {4, filter};
  EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  EXPECT_OK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static void expect_seccomp_stop(pid_t pid, unsigned long data) {
  unsigned long message = 0;
  int status = wait_for(pid);
  EXPECT_EQ(status >> 8, SIGTRAP | EVENT_SECCOMP << 8);
  EXPECT_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &message));
  EXPECT_EQ(message, data);
}

TEST(without_a_tracer_a_filter_that_asks_fails_the_call) {
  filter_one(SYS_getppid, SECCOMP_RET_TRACE);
  EXPECT_ERRNO(syscall(SYS_getppid), ENOSYS);
  uint32_t action = SECCOMP_RET_TRACE;
  EXPECT_OK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
}

TEST(a_filter_asks_the_tracer) {
  pid_t parent = getpid();
  pid_t pid = TRACED({
    filter_one(SYS_getppid, SECCOMP_RET_TRACE | 42);
    EXPECT_EQ(syscall(SYS_getppid), parent);
    EXPECT_EQ(syscall(SYS_getppid), 1234567890123L);
    EXPECT_EQ(syscall(SYS_getppid), getpid());
    _exit(5);
  });
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_seccomp_stop(pid, 42);
  struct user_regs_struct regs;
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(regs.orig_rax, SYS_getppid);
  EXPECT_EQ(regs.rax, -ENOSYS);
  unsigned char info[88];
  EXPECT_EQ(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, info), 84);
  EXPECT_EQ(info[0], 3);
  EXPECT_EQ(*(uint32_t *)(info + 80), 42);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  // Cancelled: the result is the tracer's.
  expect_seccomp_stop(pid, 42);
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  regs.orig_rax = -1;
  regs.rax = 1234567890123L;
  EXPECT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  // Changed into another call.
  expect_seccomp_stop(pid, 42);
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  regs.orig_rax = SYS_getpid;
  EXPECT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(wait_for(pid), 5 << 8);
}

TEST(entry_and_filter_both_stop) {
  pid_t pid = TRACED({
    filter_one(SYS_getppid, SECCOMP_RET_TRACE | 1);
    raise(SIGUSR1);
    syscall(SYS_getppid);
    _exit(6);
  });
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(WSTOPSIG(wait_for(pid)), SIGUSR1);
  EXPECT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
  // The end of kill, then the entry of getppid, its filter, its end.
  struct user_regs_struct regs;
  for (;;) {
    EXPECT_EQ(WSTOPSIG(wait_for(pid)), SIGTRAP | 0x80);
    EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
    EXPECT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
    if (regs.orig_rax == SYS_getppid) break;
  }
  expect_seccomp_stop(pid, 1);
  EXPECT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
  EXPECT_EQ(WSTOPSIG(wait_for(pid)), SIGTRAP | 0x80);
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(regs.rax, getpid());
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(wait_for(pid), 6 << 8);
}

TEST(calls_that_the_tracer_makes) {
  pid_t pid = TRACED({
    long n = syscall(SYS_mkdir, "never", 0700);
    long address = syscall(SYS_getppid);
    _exit(n == 7 && address == 0x7f1234567000 ? 1 : 2);
  });
  const unsigned long results[] = {7, 0x7f1234567000};
  struct user_regs_struct regs;
  for (int i = 0; i < 2; i++) {
    EXPECT_OK(ptrace(PTRACE_SYSEMU, pid, 0, 0));
    EXPECT_EQ(WSTOPSIG(wait_for(pid)), SIGTRAP);
    EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
    EXPECT_EQ(regs.orig_rax, i == 0 ? SYS_mkdir : SYS_getppid);
    regs.rax = results[i];
    EXPECT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  }
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(wait_for(pid), 1 << 8);
  EXPECT_ERRNO(access("never", F_OK), ENOENT);
}

TEST(pending_signals_can_be_looked_at) {
  pid_t pid = TRACED({
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 3; i++) {
      sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
      pthread_sigqueue(pthread_self(), SIGRTMIN + 1, (union sigval){.sival_int = 10 + i});
    }
    kill(getpid(), SIGSTOP);
  });
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(WSTOPSIG(wait_for(pid)), SIGSTOP);
  siginfo_t infos[4];
  struct __ptrace_peeksiginfo_args args = {0, PTRACE_PEEKSIGINFO_SHARED, 4};
  EXPECT_EQ(ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos), 3);
  EXPECT_TRUE(infos[2].si_signo == SIGRTMIN && infos[2].si_value.sival_int == 2);
  args = (struct __ptrace_peeksiginfo_args){1, 0, 4};
  EXPECT_EQ(ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos), 2);
  EXPECT_TRUE(infos[0].si_signo == SIGRTMIN + 1 && infos[0].si_value.sival_int == 11);
  args.nr = 1;
  EXPECT_EQ(ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos), 1);
  args.off = 9;
  EXPECT_EQ(ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos), 0);
  args.nr = -1;
  EXPECT_ERRNO(ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos), EINVAL);
  args = (struct __ptrace_peeksiginfo_args){0, 2, 1};
  EXPECT_ERRNO(ptrace(PTRACE_PEEKSIGINFO, pid, &args, infos), EINVAL);
  args.flags = 0;
  EXPECT_ERRNO(ptrace(PTRACE_PEEKSIGINFO, pid, &args, (void *)-4096L), EFAULT);
  kill(pid, SIGKILL);
}

TEST(registers_that_cannot_be) {
  pid_t pid = TRACED({ _exit(0); });
  const long user = sizeof(struct user);
  EXPECT_ERRNO(ptrace(PTRACE_POKEUSER, pid, user + 64, 1L), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_tsize), 1L), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[4]), 1L), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.cs), 0L), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.ss), 0x28L), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.ds), 0x28L), EIO);
  static unsigned char state[16384];
  struct iovec vector = {state, sizeof state};
  EXPECT_OK(ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &vector));
  EXPECT_GT(vector.iov_len, 512 + 64);
  EXPECT_OK(ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &vector));
  uint64_t *header = (uint64_t *)(state + 512);
  uint64_t features = header[0];
  header[0] |= 1ul << 62;
  EXPECT_ERRNO(ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &vector), EINVAL);
  header[0] = features;
  header[3] = 1;
  EXPECT_ERRNO(ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &vector), EINVAL);
  header[3] = 0;
  vector.iov_len = 64;
  EXPECT_ERRNO(ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &vector), EFAULT);
  kill(pid, SIGKILL);
}

TEST(addresses_that_no_program_can_have) {
  const unsigned long bad = 0xcccc000000000000;
  struct user_regs_struct regs;
  pid_t pid = TRACED({ _exit(0); });
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  regs.rip = bad;
  EXPECT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(WSTOPSIG(wait_for(pid)), SIGSEGV);
  // Without the signal the same happens again.
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(WSTOPSIG(wait_for(pid)), SIGSEGV);
  EXPECT_OK(ptrace(PTRACE_DETACH, pid, 0, 0));
  EXPECT_EQ(wait_for(pid) & 0x7f, SIGSEGV);
  pid = TRACED({ _exit(0); });
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  regs.rsp = bad;
  EXPECT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  EXPECT_OK(ptrace(PTRACE_DETACH, pid, 0, 0));
  EXPECT_EQ(wait_for(pid) & 0x7f, SIGBUS);
}
