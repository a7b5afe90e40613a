// What gate.c and gate.S share: the block in which a thread keeps the program's registers while it is in the gate.
#pragma once

#define GATE_RSP 0
#define GATE_STACK 8
#define GATE_RET 24
#define GATE_INTERRUPTED 32
#define GATE_TARGET 40

// What gate_serve says.
#define GATE_EXIT_RETURN 0
#define GATE_EXIT_TRAP 1

// A system call instruction outside the stub's text, where the filter would let the stub's own calls pass: it traps.
#define GATE_TRAP 0x550000300000

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

/** GS points to it while a thread may use the gate. */
struct Gate {
  // The program's stack pointer, and the gate's own.
  uint64_t rsp;
  uint64_t stack;
  uint64_t slot;
  // Where the program goes on after a signal frame was made for the gate.
  uint64_t ret;
  uint64_t interrupted;
  // The instruction that executes the call for real.
  uint64_t target;
  uint64_t unused[2];
};
_Static_assert(offsetof(struct Gate, rsp) == GATE_RSP, "");
_Static_assert(offsetof(struct Gate, stack) == GATE_STACK, "");
_Static_assert(offsetof(struct Gate, ret) == GATE_RET, "");
_Static_assert(offsetof(struct Gate, interrupted) == GATE_INTERRUPTED, "");
_Static_assert(offsetof(struct Gate, target) == GATE_TARGET, "");

/** The registers in the order in which gate.S pushes them, last first. */
struct GateRegisters {
  uint64_t r15, r14, r13, r12, rbp, rbx, r9, r8, r10, rdx, rsi, rdi, rax, r11, rcx, eflags;
};

// Those in the slot's first cache line, and the others.
#define GATE_SAVED_FIRST(X) X(rax) X(rdi) X(rsi) X(rdx) X(r10)
#define GATE_SAVED_LATER(X) X(r8) X(r9) X(rbx) X(rbp) X(r12) X(r13) X(r14) X(r15)
// X(name, index in the signal frame)
#define GATE_LOADED(X)                                                                     \
  X(rax, 13) X(rdi, 8) X(rsi, 9) X(rdx, 12) X(r10, 2) X(r8, 0) X(r9, 1) X(rbx, 11) X(rbp, 10) \
  X(r12, 4) X(r13, 5) X(r14, 6) X(r15, 7) X(r11, 3) X(eflags, 17)
#define FRAME_RCX 14
#define FRAME_R11 3
#define FRAME_EFLAGS 17
#define EFAULT_NUMBER 14

extern const char gate_entry[], gate_switched[], gate_exit[], gate_end[], gate_stop[];

static inline uint64_t read_gs(void) {
  uint64_t value;
  __asm__ volatile("rdgsbase %0" : "=r"(value));
  return value;
}

static inline void write_gs(uint64_t value) { __asm__ volatile("wrgsbase %0" : : "r"(value)); }
#endif
