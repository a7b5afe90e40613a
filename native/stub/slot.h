// The memory that a stub thread and the sentry share, and where things lie in every stub process.
// Everything here can be written by the untrusted side at any time; README.md holds the protocol.
#pragma once

#include <stdint.h>

// The stub keeps to one range of the address space, the same in every process.
#define STUB_BASE 0x550000000000ULL
#define STUB_TEXT_END (STUB_BASE + 0x10000)
#define STUB_STATUS (STUB_BASE + 0x100000)
#define STUB_SETUP (STUB_BASE + 0x200000)
#define STUB_THUNKS (STUB_BASE + 0x300000)
#define STUB_SLOTS (STUB_BASE + 0x1000000)
#define STUB_BLOCKS (STUB_BASE + 0x10000000)
#define STUB_END (STUB_BASE + 0x20000000)

#define STUB_PAGE 4096
#define STUB_MAX_THREADS 4096
// A slot is a page of control data, and behind it the bytes that travel with a call and with its result.
#define STUB_SLOT_SIZE 0x4000
#define STUB_DATA_MAX (STUB_SLOT_SIZE - STUB_PAGE)
#define STUB_SLOTS_SIZE ((uint64_t)STUB_MAX_THREADS * STUB_SLOT_SIZE)
// A thread block is a page that is never mapped, the alternate signal stack of one thread, and its gate.
#define STUB_BLOCK_SIZE 0x10000
#define STUB_GATE_SIZE 0x2000
#define STUB_BLOCK_STACK (STUB_BLOCK_SIZE - STUB_PAGE - STUB_GATE_SIZE)

// Rewritten call sites: `jmp *(STUB_TABLE + 8 * i)`. The address lies where its bytes, which take the place of the
// system call instruction, are no instruction (06), so that a jump to there is found out.
#define STUB_TABLE 0x60000ULL
#define STUB_TABLE_END 0x70000ULL
#define STUB_MAX_SITES 1024
#define STUB_THUNK_SIZE 96

// The calls that the filter may let the program make on the host (native/policy/stub.ts): never rewritten.
#define STUB_IS_NATIVE(nr)                                                                             \
  ((nr) == 202 /* futex */ || (nr) == 334 /* rseq */ || (nr) == 158 /* arch_prctl */ ||                \
   (nr) == 449 /* futex_waitv */ || (nr) == 454 /* futex_wake */ || (nr) == 455 /* futex_wait */ ||     \
   (nr) == 456 /* futex_requeue */ ||                                                                   \
   (nr) == 324 /* membarrier */ || (nr) == 24 /* sched_yield */ || (nr) == 96 /* gettimeofday */ ||     \
   (nr) == 201 /* time */ || (nr) == 309 /* getcpu */ || (nr) == 27 /* mincore */ ||                   \
   (nr) == 28 /* madvise */ || (nr) == 228 /* clock_gettime */ || (nr) == 229 /* clock_getres */)
// Room that the stub's own C code may need below a signal frame.
#define STUB_CODE_STACK 0x2000

// A number that no Linux system call has: the filter turns it into a user notification.
#define STUB_DOORBELL 400
// The signal that stops a thread which runs program code: SIGSTKFLT, which Linux never sends. A real-time
// signal would queue, and stop the thread once for every time that it was sent.
#define STUB_INTERRUPT 16

// Descriptors that the zygote inherits.
#define STUB_FD_STATUS 3
#define STUB_FD_SLOTS 4
#define STUB_FD_FILTER 5

// The flags of clone(2) that the stub uses, apart from CLONE_SETTLS and CLONE_CHILD_CLEARTID.
#define STUB_CLONE_FORK 0x8011     // CLONE_PARENT | SIGCHLD
#define STUB_CLONE_SHARED 0x8111   // CLONE_VM | CLONE_PARENT | SIGCHLD
#define STUB_CLONE_THREAD 0x50f00  // CLONE_VM | FS | FILES | SIGHAND | THREAD | SYSVSEM

// Slot.state. See README.md for who may do which change.
#define SLOT_RUNNING 0
#define SLOT_POSTED 1
#define SLOT_PARKED 2
#define SLOT_BELL 3
#define SLOT_ANSWERED 4
#define SLOT_GONE 5
#define SLOT_SETUP_DONE 10
#define SLOT_SETUP_TAKEN 11

// Slot.kind while an event is posted; the first five are sentry/platform.ts's EV_*.
#define STUB_EV_SYSCALL 1
#define STUB_EV_FAULT 2
#define STUB_EV_INTERRUPT 3
#define STUB_EV_STARTED 4
#define STUB_EV_OPS_FAILED 5
#define STUB_EV_MORE 7   // the ops of one batch are done
#define STUB_EV_FRAME 8  // the registers and the FPU state are in a signal frame now, as STUB_FRAME asked

// Slot.kind before the first event of a thread: whether it has to ring with it.
#define STUB_START_RINGING 0
#define STUB_START_QUIET 1

// Slot.kind while a verdict is there.
#define STUB_RESUME 1       // go on with regs[rax]
#define STUB_RESUME_REGS 2  // go on with all of regs
#define STUB_MORE 3         // post STUB_EV_MORE after the ops
#define STUB_FRAME 4        // come back with STUB_EV_FRAME; only for a thread in the gate

// Op.kind.
#define STUB_OP_SYSCALL 1
#define STUB_OP_FORK 2    // a: slot descriptor, token
#define STUB_OP_CLONE 3   // a: flags, thread index, clear-tid address, TLS, token, map the block first
#define STUB_OP_EXIT 4    // this thread
#define STUB_OP_RETIRE 5   // sleep until the process dies
#define STUB_OP_REWRITE 6  // a: address behind a system call instruction, protection of its page, no other threads, number

// Op.flags.
#define STUB_OPF_ALWAYS 1  // runs even after an earlier op failed
#define STUB_OPF_IGNORE 2  // its failure does not count

// What is said with the kind of a system call's event: it came through the gate, and which argument points to the
// memory that it brings along.
#define STUB_EV_KIND 0xff
#define STUB_EV_BARE 0x100
#define STUB_EV_ARG_SHIFT 16

// The general registers as slots hold them: X(name, index in the signal frame, index in platform.ts's REG).
// A cache line that goes to another CPU and back costs as much as all the rest of a short call. What the sentry needs for
// every system call is in the first two, and what a thread needs of a verdict without ops in the first alone.
#define STUB_REGISTERS(X)                                                                   \
  X(rax, 13, 10) X(rip, 16, 15) X(rdi, 8, 14) X(rsi, 9, 13) X(rdx, 12, 12) X(r10, 2, 7)     \
  X(r8, 0, 9) X(r9, 1, 8) X(rsp, 15, 17) X(eflags, 17, 16) X(rcx, 14, 11) X(r11, 3, 6)      \
  X(rbx, 11, 5) X(rbp, 10, 4) X(r12, 4, 3) X(r13, 5, 2) X(r14, 6, 1) X(r15, 7, 0)

struct StubRegisters {
#define STUB_FIELD(name, frame, reg) uint64_t name;
  STUB_REGISTERS(STUB_FIELD)
#undef STUB_FIELD
};

struct StubOp {
  uint32_t kind;
  uint32_t flags;
  uint64_t nr;
  uint64_t a[6];
};

struct StubSlot {
  uint32_t state;
  uint32_t kind;
  uint32_t opCount;
  // How many bytes of program memory the thread brought along with a system call, and how many it is to write at
  // SLOT_TARGET() before the call returns: each saves the sentry a process_vm call. They are in slot_data(), or, of a
  // verdict, in slot_small() if they fit.
  uint32_t travels;
  struct StubRegisters regs;
  // Of a fault; of the host call that failed.
  uint64_t signo;
  int64_t code;
  uint64_t addr;
  uint64_t error;
  uint64_t trapno;
  // Where the signal frame keeps the FPU state; not for a call that came through the gate.
  uint64_t fpstate;
  // The program's thread pointer when it last had a signal frame: it changes it without a call, but hardly ever.
  // STUB_FS_UNKNOWN where no instruction tells it.
  uint64_t fsBase;
  // The thread's name for itself when it rings.
  uint64_t token;
  uint32_t opIndex;
  // The thread rings after it has spun as long as it may.
  uint32_t spunInVain;
  int64_t opResult;
  // What clone(2) returned: a hint only.
  int64_t child;
  struct StubOp ops[];
};

#define STUB_FS_UNKNOWN (~0ULL)

#define STUB_MAX_OPS ((STUB_PAGE - sizeof(struct StubSlot)) / sizeof(struct StubOp))

static inline uint8_t *slot_data(const struct StubSlot *slot) { return (uint8_t *)slot + STUB_PAGE; }

// The verdict that lets a thread go on with a result needs no argument registers any more: there, it says where the
// bytes that travel belong, and has them if they are few.
#define STUB_SMALL_MAX 24
#define SLOT_TARGET(slot) ((slot)->regs.rdi)

static inline uint8_t *slot_small(const struct StubSlot *slot) { return (uint8_t *)&slot->regs.rsi; }

// The page that the sentry writes and every stub reads.
struct StubStatus {
  uint32_t awake;
  // Where the sentry ran last, as rdtscp tells it.
  uint32_t cpu;
  // How long a thread may spin for its verdict, in ticks of the time stamp counter.
  uint64_t spinTicks;
  // The processor and the host's kernel let programs read the bases of segments.
  uint32_t fsgsbase;
  uint32_t pad;
};

// What the zygote and the sentry tell each other while it starts, in the zygote's ops[0].a.
#define SETUP_FILTER_LENGTH 0
#define SETUP_LISTENER 1
#define SETUP_VDSO 2
#define SETUP_HOLE_START 3
#define SETUP_HOLE_END 4
#define SETUP_ERROR 5
