// Calls from places and by ways that no library uses.

#include "hostile.h"

#include <sys/ucontext.h>

static long plain(long nr, long a) {
  long result;
  asm volatile("syscall" : "=a"(result) : "0"(nr), "D"(a), "S"(0), "d"(0) : "rcx", "r11", "memory");
  return result;
}

/** Runs a block in a child and lets it die as it likes. */
#define TRY(...)                                                                       \
  do {                                                                                 \
    pid_t try_ = fork();                                                               \
    if (try_ == 0) {                                                                   \
      __VA_ARGS__;                                                                     \
      _exit(0);                                                                        \
    }                                                                                  \
    for (int k_ = 0; k_ < 500 && waitpid(try_, NULL, WNOHANG) == 0; k_++) usleep(1000); \
    kill(try_, SIGKILL);                                                               \
    waitpid(try_, NULL, 0);                                                            \
  } while (0)

ATTACK(int_80) {
  for (long nr = 0; nr < 400; nr++)
    TRY({
      long result;
      asm volatile("int $0x80" : "=a"(result) : "0"(nr), "b"(-1), "c"(-1), "d"(-1) : "memory");
      // getpid is 20 there; an answer from the host would be another pid than ours.
      if (nr == 20 && result > 0 && result != getpid()) breach("int 0x80 reached the host: pid %ld", result);
    });
}

ATTACK(sysenter) { TRY(asm volatile("sysenter" : : "a"(20) : "memory")); }

ATTACK(x32_numbers) {
  for (long nr = 0; nr < 600; nr++) {
    if (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_vfork || nr == SYS_pause) continue;
    long result = plain(0x40000000 | nr, -1);
    if (result != -ENOSYS) breach("x32 call %ld gave %ld", nr, result);
  }
}

ATTACK(numbers_out_of_range) {
  static const uint64_t numbers[] = {471, 480, 500, 511, 512, 547, 548, 1023, 1024, 4096, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                     0x3fffffff, 0xffffffffffffffff};
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    long result = plain((long)numbers[i], -1);
    if (result != -ENOSYS) breach("call 0x%lx gave %ld", numbers[i], result);
  }
  // Linux looks at the low half only.
  if (plain((long)(0xabcd00000000 | SYS_getppid), 0) != getppid()) breach("the high half of a number counts");
}

ATTACK(old_calls_in_the_vsyscall_page) {
  for (int i = 0; i < 3; i++)
    TRY({
      long (*call)(void *, void *, void *) = (void *)(0xffffffffff600000 + i * 0x400L);
      static char room[64];
      call(room, room + 32, NULL);
    });
  TRY(((long (*)(long))(0xffffffffff600000 + 2))(1));
  TRY(((long (*)(long))0xffffffffff600000)(-1));
}

ATTACK(from_generated_code) {
  unsigned char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int at = 4088; at < 4098; at++) {
    page[at] = 0x0f, page[at + 1] = 0x05, page[at + 2] = 0xc3;
    long result = SYS_getppid;
    asm volatile("call *%1" : "+a"(result) : "b"(page + at) : "rcx", "r11", "memory");
    if (result != getppid()) breach("a call at offset %d gave %ld", at, result);
  }
}

ATTACK(from_the_stack_and_a_shared_page) {
  unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memcpy(page, "\x0f\x05\xc3", 3);
  long result = SYS_getppid;
  asm volatile("call *%1" : "+a"(result) : "b"(page) : "rcx", "r11", "memory");
  if (result != getppid()) breach("gave %ld", result);
}

ATTACK(with_the_stack_anywhere) {
  static const uint64_t stacks[] = {0, 8, 0x1000, 0xffff800000000000, 0x7ffffffff000, STUB_SLOTS, STUB_BLOCKS + 0x10000, STUB_BASE + 8, 0xdeadbeef, ~0ULL};
  for (unsigned i = 0; i < sizeof stacks / sizeof *stacks; i++)
    TRY({
      long result;
      asm volatile("mov %%rsp, %%r12\n mov %2, %%rsp\n syscall\n mov %%r12, %%rsp"
                   : "=a"(result) : "0"((long)SYS_getppid), "r"(stacks[i]) : "rcx", "r11", "r12", "memory");
      if (result != getppid()) _exit(1);
    });
}

static volatile int steps;
static void on_trap(int signo, siginfo_t *info, void *context) {
  (void)signo, (void)info;
  if (++steps > 2000) ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100;
}
ATTACK(single_stepping_over_calls) {
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
  sigaction(SIGTRAP, &action, NULL);
  asm volatile("pushf\n orq $0x100, (%%rsp)\n popf" : : : "cc", "memory");
  for (int i = 0; i < 10; i++) plain(SYS_getppid, 0);
  asm volatile("pushf\n andq $~0x100, (%%rsp)\n popf" : : : "cc", "memory");
  if (steps == 0) breach("no step was seen");
}
ATTACK(single_stepping_without_a_handler) {
  asm volatile("pushf\n orq $0x100, (%%rsp)\n popf\n nop" : : : "cc", "memory");
  plain(SYS_getppid, 0);
}
ATTACK(single_stepping_into_fork_and_exec) {
  signal(SIGTRAP, no_op);
  asm volatile("pushf\n orq $0x100, (%%rsp)\n popf" : : : "cc", "memory");
  pid_t child = fork();
  if (child == 0) execl("/bin/true", "true", NULL);
  waitpid(child, NULL, 0);
}

ATTACK(alignment_and_direction_flags) {
  asm volatile("pushf\n orq $0x40400, (%%rsp)\n popf" : : : "cc", "memory");
  plain(SYS_getppid, 0);
  asm volatile("std" : : : "cc");
  plain(SYS_getppid, 0);
  asm volatile("cld\n pushf\n andq $~0x40400, (%%rsp)\n popf" : : : "cc", "memory");
}

ATTACK(every_instruction_that_faults) {
  TRY(asm volatile("hlt"));
  TRY(asm volatile("cli"));
  TRY(asm volatile("int3"));
  TRY(asm volatile("int $3"));
  TRY(asm volatile("int $4"));
  TRY(asm volatile("int $0"));
  TRY(asm volatile("int $0x81"));
  TRY(asm volatile("ud2"));
  TRY(asm volatile("mov %%rax, %%cr3" : : "a"(0)));
  TRY(asm volatile("wrmsr" : : "a"(0), "d"(0), "c"(0xc0000080)));
  TRY(asm volatile("rdmsr" : : "c"(0xc0000080) : "eax", "edx"));
  TRY(asm volatile("inb $0x60, %%al" : : : "eax"));
  TRY(asm volatile("div %%ecx" : : "c"(0), "a"(1), "d"(0)));
  TRY(asm volatile("icebp_: .byte 0xf1"));
  TRY(asm volatile("mov %0, %%fs" : : "r"(0x2b)));
  TRY(asm volatile("mov %0, %%ds" : : "r"(0xffff)));
  TRY(asm volatile("mov %0, %%ss" : : "r"(0)));
  TRY(asm volatile("ljmp *(%0)" : : "r"("\0\0\0\0\x23\0") : "memory"));
  TRY(*(volatile int *)0xffff800000000000 = 1);
  TRY(*(volatile int *)0x8000000000000000 = 1);
  TRY(((void (*)(void))0xdeadbeef)());
  TRY(((void (*)(void))0x8000000000000000)());
}

ATTACK(wild_segment_bases) {
  static const uint64_t bases[] = {0, 1, STUB_BASE, STUB_SLOTS, 0x7fffffffefff, 0x7ffffffff000, 0x800000000000, 0xffffffff80000000, ~0ULL};
  for (unsigned i = 0; i < sizeof bases / sizeof *bases; i++)
    for (int code = 0x1001; code < 0x1005; code++)
      TRY({
        long result;
        asm volatile("syscall" : "=a"(result) : "0"(SYS_arch_prctl), "D"(code), "S"(bases[i]) : "rcx", "r11", "memory");
        plain(SYS_getppid, 0);
        plain(SYS_fork, 0);
        plain(SYS_exit_group, 0);
      });
}
