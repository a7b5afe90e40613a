// Attacks on the gate of rewritten calls: its table, its thunks, its block and its entry are all the program's.
#include "hostile.h"

__attribute__((noinline, aligned(64))) static long hot(void) {
  long result;
  asm volatile("mov $110, %%eax; syscall" : "=a"(result) : : "rcx", "r11", "memory");
  return result;
}

static void warm(void) {
  for (int i = 0; i < 100; i++) {
    hot();
    syscall(SYS_getppid);
  }
}

static int is_rewritten(void) { return *(unsigned char *)hot == 0xff; }

/** The address of the gate's entry, as the first thunk's jump says. */
static uint64_t entry(void) {
  unsigned char *thunk = (unsigned char *)(STUB_THUNKS + STUB_THUNK_SIZE);
  for (int i = 0; i < 20; i++)
    if (thunk[i] == 0xe9) return (uint64_t)(thunk + i + 5) + (uint64_t)(int64_t) * (int32_t *)(thunk + i + 1);
  return 0;
}

static uint64_t gs(void) {
  uint64_t value;
  asm volatile("rdgsbase %0" : "=r"(value));
  return value;
}

static void set_gs(uint64_t value) { asm volatile("wrgsbase %0" : : "r"(value)); }

/** Enter the gate with registers of our own choice, and come back behind the jump. */
static long enter(long nr, long a, long b, uint64_t back) {
  long result = nr;
  asm volatile("lea 1f(%%rip), %%rcx; test %[back], %[back]; cmovne %[back], %%rcx; jmp *%[to]; 1:"
               : "+a"(result), "+D"(a), "+S"(b)
               : [to] "r"(entry()), [back] "r"(back)
               : "rcx", "r11", "memory", "cc");
  return result;
}

ATTACK(any_call_through_the_gate) {
  warm();
  if (!is_rewritten()) return;
  for (int nr = 0; nr < 512; nr++) {
    // Those that end us or wait, and those that the filter answers, which end at an invalid instruction.
    if (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_pause || nr == SYS_rt_sigsuspend || nr == SYS_rt_sigreturn) continue;
    if (nr == SYS_vfork || nr == SYS_fork || nr == SYS_clone || nr == SYS_clone3 || STUB_IS_NATIVE(nr)) continue;
    enter(nr, -1, -1, 0);
  }
}

ATTACK(forks_through_the_gate) {
  warm();
  if (!is_rewritten()) return;
  for (int i = 0; i < 10; i++) {
    long child = enter(SYS_fork, 0, 0, 0);
    if (child == 0) _exit(0);
    if (child > 0) waitpid((pid_t)child, NULL, 0);
  }
}

ATTACK(sigreturn_through_the_gate) {
  warm();
  if (is_rewritten()) enter(SYS_rt_sigreturn, 0, 0, 0);
}

ATTACK(native_call_through_the_gate) {
  warm();
  if (is_rewritten()) enter(SYS_sched_yield, 0, 0, 0);
}

ATTACK(return_to_nowhere) {
  warm();
  if (is_rewritten()) enter(SYS_getppid, 0, 0, 0x10);
}

ATTACK(return_into_the_gate) {
  warm();
  if (is_rewritten()) enter(SYS_getppid, 0, 0, entry() + 9);
}

ATTACK(return_into_the_thunks) {
  warm();
  if (!is_rewritten()) return;
  enter(SYS_getppid, 0, 0, STUB_THUNKS + STUB_THUNK_SIZE * 5 + 7);
}

ATTACK(gs_elsewhere) {
  warm();
  static uint64_t rubbish[64];
  for (int i = 0; i < 64; i++) rubbish[i] = random64();
  set_gs((uint64_t)rubbish);
  hot();
}

ATTACK(gs_into_the_slots) {
  warm();
  set_gs(STUB_SLOTS);
  hot();
}

ATTACK(gs_of_another_thread) {
  warm();
  if (!is_rewritten()) return;
  memset((void *)(gs() - 4096), 0x41, 4096);
  set_gs(gs() - STUB_BLOCK_SIZE);
  hot();
}

ATTACK(gate_block_of_rubbish) {
  warm();
  if (!is_rewritten()) return;
  for (int i = 0; i < 8; i++) ((uint64_t *)gs())[i] = random64();
  hot();
}

ATTACK(slot_of_another_thread_in_the_gate) {
  warm();
  if (!is_rewritten()) return;
  ((uint64_t *)gs())[2] = STUB_SLOTS + 7 * STUB_SLOT_SIZE;
  hot();
}

ATTACK(table_of_rubbish) {
  warm();
  for (int i = 0; i < STUB_MAX_SITES; i++) ((uint64_t *)STUB_TABLE)[i] = random64();
  hot();
}

ATTACK(table_without_end) {
  warm();
  ((uint32_t *)STUB_TABLE)[0] = 0xffffffff;
  for (int i = 0; i < 100; i++) syscall(SYS_getuid);
  hot();
}

ATTACK(thunks_of_rubbish) {
  warm();
  if (native(SYS_mprotect, STUB_THUNKS, STUB_PAGE * 4, 7, 0, 0, 0) < 0) return;
  for (int i = 0; i < 2048; i++) ((uint64_t *)STUB_THUNKS)[i] = random64();
  hot();
}

ATTACK(unmap_the_table) {
  warm();
  munmap((void *)STUB_TABLE, STUB_TABLE_END - STUB_TABLE);
  native(SYS_munmap, STUB_TABLE, STUB_PAGE, 0, 0, 0, 0);
  hot();
}

ATTACK(unmap_the_thunks) {
  warm();
  native(SYS_munmap, STUB_THUNKS, STUB_PAGE, 0, 0, 0, 0);
  hot();
}

ATTACK(a_frame_that_never_comes) {
  // The sentry asks for a signal frame; another thread says something else.
  warm();
  if (!is_rewritten()) return;
  signal(SIGUSR1, no_op);
  own_slot()->fpstate = 0;
  own_slot()->kind = STUB_EV_SYSCALL;
  for (int i = 0; i < 20; i++) kill(getpid(), SIGUSR1);
}
