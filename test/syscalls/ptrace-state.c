// What a tracer reads and changes of a stopped program: memory, registers, and one instruction at a time.

#define _GNU_SOURCE
#include <asm/prctl.h>
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include "traced.h"

static volatile long shared_word = 0x1122334455667788;
__attribute__((noinline)) static void marked(void) {
  __asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop; nop");
}

TEST(memory_can_be_read_and_written_even_text) {
  pid_t pid = TRACED({
    marked();
    _exit(shared_word == 5 ? 0 : 1);
  });
  errno = 0;
  EXPECT_EQ(ptrace(PTRACE_PEEKDATA, pid, &shared_word, 0), 0x1122334455667788);
  EXPECT_OK(ptrace(PTRACE_POKEDATA, pid, &shared_word, 5L));
  long text = ptrace(PTRACE_PEEKTEXT, pid, marked, 0);
  EXPECT_EQ(text, *(long *)marked);
  // A breakpoint.
  EXPECT_OK(ptrace(PTRACE_POKETEXT, pid, marked, (text & ~0xffL) | 0xcc));
  EXPECT_EQ(ptrace(PTRACE_PEEKTEXT, pid, marked, 0) & 0xff, 0xcc);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGTRAP), 1);
  struct user_regs_struct regs;
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(regs.rip, (unsigned long)marked + 1);
  EXPECT_EQ((long)regs.orig_rax, -1);
  regs.rip--;
  EXPECT_OK(ptrace(PTRACE_POKETEXT, pid, marked, text));
  EXPECT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, 0);
}

TEST(text_can_be_written_through_proc) {
  pid_t pid = TRACED({
    marked();
    _exit(0);
  });
  char path[50];
  snprintf(path, sizeof path, "/proc/%d/mem", pid);
  int fd = EXPECT_OK(open(path, O_RDWR));
  unsigned char old;
  unsigned char trap = 0xcc;
  EXPECT_EQ(pread(fd, &old, 1, (off_t)(uintptr_t)marked), 1);
  EXPECT_EQ(pwrite(fd, &trap, 1, (off_t)(uintptr_t)marked), 1);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGTRAP), 1);
  EXPECT_EQ(pwrite(fd, &old, 1, (off_t)(uintptr_t)marked), 1);
  struct user_regs_struct regs;
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  regs.rip = (unsigned long)marked;
  EXPECT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, 0);
}

TEST(single_steps) {
  pid_t pid = TRACED({
    marked();
    _exit(4);
  });
  long text = ptrace(PTRACE_PEEKTEXT, pid, marked, 0);
  EXPECT_OK(ptrace(PTRACE_POKETEXT, pid, marked, (text & ~0xffL) | 0xcc));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  wait_for(pid);
  EXPECT_OK(ptrace(PTRACE_POKETEXT, pid, marked, text));
  struct user_regs_struct regs;
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  regs.rip--;
  EXPECT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  unsigned long last = regs.rip;
  for (int i = 0; i < 5; i++) {
    EXPECT_OK(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
    EXPECT_EQ(stopped_by(wait_for(pid), SIGTRAP), 1);
    EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
    EXPECT_EQ(regs.rip > last && regs.rip < last + 16, 1);
    last = regs.rip;
    siginfo_t info;
    EXPECT_OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
    EXPECT_EQ(info.si_code, TRAP_TRACE);
  }
  EXPECT_EQ(regs.eflags & 0x100, 0);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, 4);
}

static volatile int handled;
static void count_signal(int signo) { handled += signo; }

TEST(a_step_ends_where_a_handler_begins) {
  signal(SIGUSR1, count_signal);
  pid_t pid = TRACED({
    raise(SIGUSR1);
    _exit(handled);
  });
  struct user_regs_struct regs;
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGUSR1), 1);
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  unsigned long interrupted = regs.rip;
  EXPECT_OK(ptrace(PTRACE_SINGLESTEP, pid, 0, SIGUSR1));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGTRAP), 1);
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(regs.rip, (unsigned long)count_signal);
  EXPECT_EQ(regs.rdi, SIGUSR1);
  siginfo_t info;
  EXPECT_OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
  EXPECT_EQ(info.si_code, SIGTRAP);
  EXPECT_EQ(info.si_pid, pid);
  // The handler can be stepped through, to where it returns; from there on nothing steps by itself.
  int steps = 0;
  while (steps++ < 200 && regs.rip != interrupted) {
    EXPECT_OK(ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
    EXPECT_EQ(stopped_by(wait_for(pid), SIGTRAP), 1);
    EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  }
  EXPECT_EQ(regs.rip, interrupted);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, SIGUSR1);
}

TEST(a_handler_entered_by_a_step_returns_without_one) {
  signal(SIGUSR1, count_signal);
  pid_t pid = TRACED({
    raise(SIGUSR1);
    _exit(handled);
  });
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGUSR1), 1);
  EXPECT_OK(ptrace(PTRACE_SINGLESTEP, pid, 0, SIGUSR1));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGTRAP), 1);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, SIGUSR1);
}

static __thread int in_this_thread = 5;

TEST(the_bases_of_segments) {
  pid_t pid = TRACED({
    raise(SIGSTOP);
    _exit(in_this_thread);
  });
  struct user_regs_struct regs;
  unsigned long pointer = (unsigned long)__builtin_thread_pointer(), base = 0;
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(regs.fs_base, pointer);
  EXPECT_EQ((unsigned long)ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, fs_base), 0), pointer);
  EXPECT_OK(ptrace(PTRACE_ARCH_PRCTL, pid, &base, ARCH_GET_FS));
  EXPECT_EQ(base, pointer);
  EXPECT_OK(ptrace(PTRACE_ARCH_PRCTL, pid, &base, ARCH_GET_GS));
  EXPECT_EQ(base, regs.gs_base);
  EXPECT_ERRNO(ptrace(PTRACE_ARCH_PRCTL, pid, &base, 0x1234), EINVAL);
  EXPECT_ERRNO(ptrace(PTRACE_ARCH_PRCTL, pid, 8, ARCH_GET_FS), EFAULT);
  EXPECT_ERRNO(ptrace(PTRACE_ARCH_PRCTL, pid, 1UL << 60, ARCH_SET_FS), EPERM);
  EXPECT_OK(ptrace(PTRACE_ARCH_PRCTL, pid, pointer - 64, ARCH_SET_FS));
  EXPECT_OK(ptrace(PTRACE_ARCH_PRCTL, pid, &base, ARCH_GET_FS));
  EXPECT_EQ(base, pointer - 64);
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(regs.fs_base, pointer - 64);
  regs.fs_base = pointer;
  EXPECT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGSTOP), 1);
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ(regs.fs_base, pointer);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, 5);
}

TEST(fpu_registers) {
  pid_t pid = TRACED({
    double x = 1.5;
    __asm__ volatile("movsd %0, %%xmm5\n mov $39, %%eax\n syscall\n movsd %%xmm5, %0" : "+m"(x) : : "rax", "rcx", "r11", "xmm5");
    _exit((int)(x * 2));
  });
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
  run_to(pid, SYS_getpid);
  struct user_fpregs_struct fp;
  EXPECT_OK(ptrace(PTRACE_GETFPREGS, pid, 0, &fp));
  double value;
  memcpy(&value, &fp.xmm_space[20], 8);
  EXPECT_EQ(value == 1.5, 1);
  value = 21;
  memcpy(&fp.xmm_space[20], &value, 8);
  EXPECT_OK(ptrace(PTRACE_SETFPREGS, pid, 0, &fp));
  static char state[16384];
  struct iovec area = {state, sizeof state};
  EXPECT_OK(ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &area));
  EXPECT_EQ(area.iov_len >= 576, 1);
  memcpy(&value, state + 160 + 5 * 16, 8);
  EXPECT_EQ(value == 21, 1);
  EXPECT_OK(ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &area));
  struct user_regs_struct regs;
  struct iovec general = {&regs, 4096};
  EXPECT_OK(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &general));
  EXPECT_EQ(general.iov_len, sizeof regs);
  EXPECT_EQ(regs.orig_rax, SYS_getpid);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, 42);
}
