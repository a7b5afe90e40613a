// What the stub's source files share: the kernel's signal frame, and the few functions written in assembly.
#pragma once

#include <stdint.h>

#include "slot.h"

struct AltStack {
  uint64_t sp;
  uint32_t flags;
  uint32_t pad;
  uint64_t size;
};

// struct ucontext of the signal frame, up to what the stub uses.
struct Frame {
  uint64_t flags;
  uint64_t link;
  struct AltStack stack;
  uint64_t gregs[23];
  uint64_t fpstate;
};

#define SIGILL_NUMBER 4
#define SIGTRAP_NUMBER 5
#define SIGBUS_NUMBER 7
#define SIGSEGV_NUMBER 11
#define SIGSYS_NUMBER 31

#define FRAME_RAX 13
#define FRAME_RSP 15
#define FRAME_RIP 16
#define FRAME_ERROR 19
#define FRAME_TRAPNO 20

// siginfo_t, as far as faults and SIGSYS fill it in.
struct Info {
  int32_t signo;
  int32_t error;
  int32_t code;
  int32_t pad;
  uint64_t addr;
  int32_t nr;
  uint32_t arch;
};

static inline void copy_bytes(void *to, const void *from, uint64_t size) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

/** Copy memory of which one side is the program's. Returns how many bytes came before a fault. */
uint64_t stub_copy(void *to, const void *from, uint64_t size);
/** Where stub_copy goes on after a fault. */
extern const char stub_copy_end[];

/** The slot and the end of the block of the thread `index`. */
static inline struct StubSlot *slot_of(uint64_t index) {
  return (struct StubSlot *)(STUB_SLOTS + index * STUB_SLOT_SIZE);
}

static inline uint64_t block_top(uint64_t index) { return STUB_BLOCKS + (index + 1) * STUB_BLOCK_SIZE; }

/** End of the alternate signal stack. */
static inline uint64_t stack_top(uint64_t index) { return block_top(index) - STUB_GATE_SIZE; }

__attribute__((noreturn)) void stub_die(void);

/** Publish the event in the slot and come back with the sentry's verdict there. */
void stub_post(struct StubSlot *slot);

/** Run the ops of a verdict. Returns 0 when it was cut short by a failure, which is then described in the slot. */
int stub_run_ops(struct StubSlot *slot, struct Frame *frame);

/** Write what the call has to say into the program's memory. Returns whether it could be written. */
int stub_deliver(const struct StubSlot *slot);

// In the table of what calls bring along: it is one thing, no argument counts. Arguments have the numbers below.
#define FETCH_ONE 6
/**
 * Bring along what the sentry will read first for the call `nr`. Returns how many bytes, and adds to `kind` which argument
 * points there. The slot's first cache line, which the sentry looks at all the time, is not touched.
 */
uint32_t stub_fetch(struct StubSlot *slot, uint64_t nr, const uint64_t args[FETCH_ONE], uint32_t *kind);

void stub_handler(int signo, const struct Info *info, struct Frame *frame);

// gate.c
/** What an interrupted or faulting thread was doing, as far as it concerns the gate. */
enum GateEvent { GATE_NONE, GATE_CALL, GATE_FRAME, GATE_STOP, GATE_RETURN };
/** Put the program's own state into a signal frame that was made in the gate or at a rewritten call site. */
enum GateEvent gate_untangle(int signo, uint64_t index, struct Frame *frame);
/** Give the calling thread its gate if rewritten calls need one. */
void gate_enter_thread(uint64_t index);
/** A new thread has its maker's gate in GS: take it away. */
void gate_forget(void);
/** The program wants GS for itself: no call goes through the gate any more. */
void gate_close(void);
/** Let the site of the call `nr` before `ip` jump to the gate. `alone`: no other thread can be anywhere in it. */
void gate_rewrite(uint64_t ip, uint32_t nr, int prot, int alone);
/** The program goes on behind a call: where what stood there may have moved. */
void gate_go_on(struct Frame *frame);

/** The handler's return address: rt_sigreturn. */
void stub_restorer(void);
/** Load the registers of `frame` as rt_sigreturn does. */
__attribute__((noreturn)) void stub_return(struct Frame *frame);
/** clone(2); the child calls entry(frame) on the stack that ends at `stack`. */
long stub_clone(long flags, uint64_t stack, uint64_t clear_tid, uint64_t tls,
                void (*entry)(struct Frame *), struct Frame *frame);
/** Store `value`, after which the stack may belong to another thread, and end this thread. */
__attribute__((noreturn)) void stub_exit(uint32_t *state, uint32_t value);
/** Go on with zygote_run() on the stack that ends at `stack`. */
__attribute__((noreturn)) void stub_switch_stack(uint64_t stack);
/** Execute a system call that traps, with no stack: the zygote's first event. Does not return. */
__attribute__((noreturn)) void stub_first_trap(void);
