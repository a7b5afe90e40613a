// Small programs for platform.test.ts, run without a kernel: the test answers their system calls by hand.
// Loaded as a flat image at 0x400000; rdi selects the program.

__asm__(".text\n.global start\nstart:\n call select\n ud2\n");

typedef unsigned long u64;

#define NR_GETPID 39
#define NR_EXIT 60
#define NR_FUTEX 202
#define REPORT 1000  // a number that the test uses for values
#define MAKE_THREAD 1001
#define MAKE_FORK 1002

static long call(long nr, long a, long b, long c, long d) {
  long r;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(r)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory", "r8", "r9");
  return r;
}

static volatile int word = 7;

static void six_arguments(void) {
  register long r10 __asm__("r10") = 4, r8 __asm__("r8") = -5, r9 __asm__("r9") = 0x600000006;
  long r;
  __asm__ volatile("syscall" : "=a"(r) : "a"(REPORT), "D"(1L), "S"(-2L), "d"(3L), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11");
  call(REPORT, r, 0, 0, 0);
}

static void pid_loop(void) {
  for (;;) call(NR_GETPID, 0, 0, 0, 0);
}

static void spin(void) {
  call(REPORT, 1, 0, 0, 0);
  for (;;) word++;
}

static void bad_store(u64 addr) {
  *(volatile int *)addr = 1;
  call(REPORT, *(volatile int *)addr, 0, 0, 0);
}

static void divide(void) {
  __asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; div %%ecx" : : : "rax", "rcx", "rdx");
}

static void breakpoint(void) {
  __asm__ volatile("int3");
  call(REPORT, 3, 0, 0, 0);
}

static void int80(void) {
  long r = 20;
  __asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
  call(REPORT, r, 0, 0, 0);
}

static void fork_memory(void) {
  word = 11;
  long pid = call(MAKE_FORK, 0, 0, 0, 0);
  if (pid == 0) word = 12;
  call(REPORT, pid, word, 0, 0);
  call(NR_GETPID, 0, 0, 0, 0);
  call(REPORT, pid, word, 0, 0);
}

static void thread(u64 tls) {
  long child = call(MAKE_THREAD, (long)&word, 0, 0, 0);
  if (child == 0) {
    long fs = 0;
    if (tls) __asm__ volatile("mov %%fs:0, %0" : "=r"(fs));
    word = 99;
    call(REPORT, 0, fs, 0, 0);
    call(NR_EXIT, 0, 0, 0, 0);
  }
  call(REPORT, child, word, 0, 0);
  // Natively: wait for the host to clear the word.
  while (word) call(NR_FUTEX, (long)&word, 0, 99, 0);
  call(REPORT, child, word, 1, 0);
}

static void futex_wait(void) {
  call(REPORT, (long)&word, 0, 0, 0);
  long r = call(NR_FUTEX, (long)&word, 128, 7, 0);
  call(REPORT, r, 0, 0, 0);
}

static void vectors(void) {
  double in = 1.5, out = 0;
  __asm__ volatile(
      "movsd %1, %%xmm7\n mov $39, %%eax\n syscall\n movsd %%xmm7, %0"
      : "=m"(out) : "m"(in) : "rax", "rcx", "r11", "xmm7");
  call(REPORT, *(long *)&out, 0, 0, 0);
}

static void scribble(void) {
  // Garbage over all the slots that are mapped, for as long as we are let.
  for (;;) {
    for (u64 i = 0; i < 64; i++) ((volatile u64 *)0x550001000000)[i] = i * 0x9e3779b97f4a7c15UL;
    call(NR_GETPID, 0, 0, 0, 0);
  }
}

static void ring_garbage(u64 stub_syscall) {
  // Jump to a system call instruction in the stub's text, with the doorbell's number and no valid token.
  long r = 400;
  __asm__ volatile("mov $0x1234, %%edi; jmp *%1" : "+a"(r) : "r"(stub_syscall) : "rdi");
}

static void wild_clone(u64 stub_syscall) {
  long r = 56;
  __asm__ volatile(
      "mov $0x8011, %%edi; xor %%esi, %%esi; xor %%edx, %%edx; xor %%r10d, %%r10d; xor %%r8d, %%r8d; call *%1"
      : "+a"(r) : "r"(stub_syscall) : "rdi", "rsi", "rdx", "r10", "r8", "rcx", "r11", "memory");
}

static void step(void) {
  __asm__ volatile("pushf; orl $0x100, (%rsp); popf; nop; nop");
}

static void time_loop(void) {
  u64 n = 0;
  call(REPORT, 1, 0, 0, 0);
  for (;;) n++, word = (int)n;
}

static void time_of_day(void) {
  // A time call that the host may answer, and an x32 number.
  long r = call(201, 0, 0, 0, 0);
  call(REPORT, r > 0, 0, 0, 0);
  call(0x40000027, 0, 0, 0, 0);
  call(REPORT, 2, 0, 0, 0);
}

void select(long which, u64 argument) {
  switch (which) {
    case 0: six_arguments(); break;
    case 1: pid_loop(); break;
    case 2: spin(); break;
    case 3: bad_store(argument); break;
    case 4: divide(); break;
    case 5: breakpoint(); break;
    case 6: int80(); break;
    case 7: fork_memory(); break;
    case 8: thread(argument); break;
    case 9: futex_wait(); break;
    case 10: vectors(); break;
    case 11: scribble(); break;
    case 12: ring_garbage(argument); break;
    case 13: wild_clone(argument); break;
    case 14: step(); break;
    case 15: time_loop(); break;
    case 16: time_of_day(); break;
  }
  for (;;) call(NR_EXIT, 0, 0, 0, 0);
}
