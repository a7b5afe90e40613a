// The part of Portcullis that lives in every sandboxed process: a signal handler that posts what the program
// did into the thread's slot, waits for the sentry's verdict and carries it out. It is as untrusted as the
// program around it; nothing in the sentry relies on it. README.md describes the protocol.

#include "gate.h"
#include "host-call.h"
#include "slot.h"
#include "stub.h"

#define CODE_SECCOMP 1
#define ARCH_NATIVE 0xc000003eu
#define ARCH_SET_GS 0x1001
#define CLONE_SETTLS 0x80000
#define CLONE_CHILD_CLEARTID 0x200000

void stub_die(void) {
  for (;;) call3(NR_EXIT_GROUP, 255, 0, 0);
}

static uint64_t stub_fs_base(void) {
  const struct StubStatus *status = (const struct StubStatus *)STUB_STATUS;
  if (!status->fsgsbase) return STUB_FS_UNKNOWN;
  uint64_t base;
  __asm__ volatile("rdfsbase %0" : "=r"(base));
  return base;
}

// The program's registers, from the signal frame to the slot and back.
static void save_registers(struct StubSlot *slot, const struct Frame *frame) {
#define SAVE(name, at, reg) slot->regs.name = frame->gregs[at];
  STUB_REGISTERS(SAVE)
#undef SAVE
  slot->fpstate = frame->fpstate;
  slot->fsBase = stub_fs_base();
}

static void load_registers(struct Frame *frame, const struct StubSlot *slot) {
#define LOAD(name, at, reg) frame->gregs[at] = slot->regs.name;
  STUB_REGISTERS(LOAD)
#undef LOAD
}

// Sleep in the kernel until the sentry answers. An answer to a ring may be meant for an earlier one, so the
// state decides. The call fails only when the sentry is gone.
static void ring(struct StubSlot *slot) {
  do {
    if (failed(call3(STUB_DOORBELL, (long)slot->token, 0, 0))) stub_die();
  } while (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) == SLOT_BELL);
}

// Wait for the verdict without leaving the CPU, as long as that may pay.
static uint32_t spin(struct StubSlot *slot) {
  slot->spunInVain = 0;
  const struct StubStatus *status = (const struct StubStatus *)STUB_STATUS;
  uint32_t cpu;
  uint64_t start = __builtin_ia32_rdtscp(&cpu);
  uint64_t bound = status->spinTicks;
  for (;;) {
    uint32_t state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
    if (state != SLOT_POSTED) return state;
    if (!__atomic_load_n(&status->awake, __ATOMIC_ACQUIRE)) return state;
    if (__builtin_ia32_rdtscp(&cpu) - start > bound) {
      slot->spunInVain = 1;
      return state;
    }
    // We are in its way.
    if (cpu == __atomic_load_n(&status->cpu, __ATOMIC_RELAXED)) return state;
    __builtin_ia32_pause();
  }
}

void stub_post(struct StubSlot *slot) {
  // A full barrier: the sentry publishes "asleep" and then looks at the slots, we the other way round.
  __atomic_exchange_n(&slot->state, SLOT_POSTED, __ATOMIC_SEQ_CST);
  uint32_t state = spin(slot);
  while (state != SLOT_ANSWERED) {
    if (__atomic_compare_exchange_n(&slot->state, &state, SLOT_BELL, 0, __ATOMIC_SEQ_CST,
                                    __ATOMIC_ACQUIRE)) {
      ring(slot);
      state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
    }
  }
}

// The first event of a process rings: the notification proves to the sentry which process this is.
static void post_start(struct StubSlot *slot, const struct Frame *frame) {
  uint32_t how = slot->kind;
  save_registers(slot, frame);
  slot->kind = STUB_EV_STARTED;
  if (how == STUB_START_QUIET) return stub_post(slot);
  __atomic_exchange_n(&slot->state, SLOT_BELL, __ATOMIC_SEQ_CST);
  ring(slot);
}

static void serve(struct StubSlot *slot, struct Frame *frame);

// A thread made by clone(CLONE_VM) starts here, on its own block.
static void clone_entry(struct Frame *frame) {
  struct StubSlot *slot = slot_of(((uint64_t)frame - STUB_BLOCKS) / STUB_BLOCK_SIZE);
  gate_forget();
  post_start(slot, frame);
  serve(slot, frame);
  gate_go_on(frame);
  stub_return(frame);
}

static long fork_child(long descriptor, struct StubSlot *slot, struct Frame *frame) {
  long pid = call6(NR_CLONE, STUB_CLONE_FORK, 0, 0, 0, 0, 0);
  if (pid != 0) {
    slot->child = pid;
    return pid;
  }
  // Until its own slots lie here, this process could speak for its parent.
  if (failed(call6(NR_MMAP, STUB_SLOTS, STUB_SLOTS_SIZE, 3, 0x11, descriptor, 0))) stub_die();
  call3(NR_CLOSE, descriptor, 0, 0);
  post_start(slot, frame);
  return 0;
}

// Give the thread `index` a block that holds a copy of our signal frame, and start it there.
static long clone_thread(const uint64_t *a, struct StubSlot *slot, struct Frame *frame, uint64_t own) {
  uint64_t index = a[1];
  uint64_t stack = stack_top(index) - STUB_BLOCK_STACK;
  if (a[5]) {
    long r = call6(NR_MMAP, (long)stack, STUB_BLOCK_STACK + STUB_GATE_SIZE, 3, 0x4032, -1, 0);
    if (failed(r)) return r;
  }
  uint64_t delta = stack_top(index) - stack_top(own);
  struct Frame *copy = (struct Frame *)((uint64_t)frame + delta);
  copy_bytes(copy, frame, stack_top(own) - (uint64_t)frame);
  if (copy->fpstate) copy->fpstate += delta;
  // rt_sigreturn installs the alternate stack that the frame names.
  copy->stack.sp = stack;
  long flags = (long)a[0] | (a[2] ? CLONE_CHILD_CLEARTID : 0) | (a[3] ? CLONE_SETTLS : 0);
  long tid = stub_clone(flags, ((uint64_t)copy & ~63UL) - 512, a[2], a[3], clone_entry, copy);
  slot->child = tid;
  return tid;
}

static long run_op(const struct StubOp *op, struct StubSlot *slot, struct Frame *frame) {
  uint64_t own = ((uint64_t)slot - STUB_SLOTS) / STUB_SLOT_SIZE;
  const uint64_t *a = op->a;
  switch (op->kind) {
    case STUB_OP_REWRITE:
      gate_rewrite(a[0], (uint32_t)a[3], (int)a[1], (int)a[2]);
      return 0;
    case STUB_OP_SYSCALL:
      if (op->nr == NR_ARCH_PRCTL && a[0] == ARCH_SET_GS) gate_close();
      return call6((long)op->nr, (long)a[0], (long)a[1], (long)a[2], (long)a[3], (long)a[4],
                   (long)a[5]);
    case STUB_OP_FORK:
      return fork_child((long)a[0], slot, frame);
    case STUB_OP_CLONE:
      return clone_thread(a, slot, frame, own);
    case STUB_OP_EXIT:
      stub_exit(&slot->state, SLOT_GONE);
    default:
      for (;;) ring(slot);
  }
}

int stub_run_ops(struct StubSlot *slot, struct Frame *frame) {
  uint32_t count = slot->opCount;
  int ok = 1;
  for (uint32_t i = 0; i < count && i < STUB_MAX_OPS; i++) {
    const struct StubOp *op = &slot->ops[i];
    if (!ok && !(op->flags & STUB_OPF_ALWAYS)) continue;
    uint32_t kind = op->kind;
    uint32_t flags = op->flags;
    long r = run_op(op, slot, frame);
    // The child of a fork has another slot under the same address, with its own verdict.
    if (kind == STUB_OP_FORK && r == 0) return stub_run_ops(slot, frame);
    if (!ok || !failed(r) || (flags & STUB_OPF_IGNORE)) continue;
    ok = 0;
    slot->opIndex = i;
    slot->opResult = r;
  }
  return ok;
}

int stub_deliver(const struct StubSlot *slot) {
  uint64_t length = slot->travels;
  if (length == 0) return 1;
  if (length > STUB_DATA_MAX) length = STUB_DATA_MAX;
  const uint8_t *from = length <= STUB_SMALL_MAX ? slot_small(slot) : slot_data(slot);
  return stub_copy((void *)SLOT_TARGET(slot), from, length) == length;
}

// Carry out verdicts until one says that the program goes on; the first is there already.
static void serve(struct StubSlot *slot, struct Frame *frame) {
  for (;;) {
    uint32_t verdict = slot->kind;
    if (!slot->opCount || stub_run_ops(slot, frame)) {
      verdict = slot->kind;
      if (verdict == STUB_RESUME) {
        frame->gregs[FRAME_RAX] = stub_deliver(slot) ? slot->regs.rax : (uint64_t)-EFAULT_NUMBER;
        return;
      }
      if (verdict == STUB_RESUME_REGS) {
        load_registers(frame, slot);
        return;
      }
      slot->kind = STUB_EV_MORE;
    } else {
      slot->kind = STUB_EV_OPS_FAILED;
    }
    stub_post(slot);
  }
}

static uint32_t describe(struct StubSlot *slot, int signo, const struct Info *info,
                         const struct Frame *frame, enum GateEvent gate) {
  if (gate == GATE_CALL) return STUB_EV_SYSCALL;
  if (gate == GATE_FRAME) return STUB_EV_FRAME;
  if (gate == GATE_STOP) return STUB_EV_INTERRUPT;
  if (signo == SIGSYS_NUMBER && info->code == CODE_SECCOMP && info->arch == ARCH_NATIVE) {
    return STUB_EV_SYSCALL;
  }
  if (signo == STUB_INTERRUPT) return STUB_EV_INTERRUPT;
  slot->signo = (uint64_t)signo;
  slot->code = info->code;
  slot->addr = info->addr;
  slot->error = frame->gregs[FRAME_ERROR];
  slot->trapno = frame->gregs[FRAME_TRAPNO];
  return STUB_EV_FAULT;
}

/** The handler of every signal that a stub thread can get. */
void stub_handler(int signo, const struct Info *info, struct Frame *frame) {
  uint64_t index = ((uint64_t)frame - STUB_BLOCKS) / STUB_BLOCK_SIZE;
  if (index >= STUB_MAX_THREADS) stub_die();
  uint64_t ip = frame->gregs[FRAME_RIP];
  if (ip >= (uint64_t)stub_copy && ip < (uint64_t)stub_copy_end &&
      (signo == SIGSEGV_NUMBER || signo == SIGBUS_NUMBER)) {
    frame->gregs[FRAME_RIP] = (uint64_t)stub_copy_end;
    return;
  }
  enum GateEvent gate = gate_untangle(signo, index, frame);
  if (gate == GATE_RETURN) return;
  struct StubSlot *slot = slot_of(index);
  save_registers(slot, frame);
  uint32_t kind = describe(slot, signo, info, frame, gate);
  if (kind == STUB_EV_SYSCALL) {
    gate_enter_thread(index);
    const uint64_t args[] = {slot->regs.rdi, slot->regs.rsi, slot->regs.rdx, slot->regs.r10, slot->regs.r8, slot->regs.r9};
    slot->travels = stub_fetch(slot, slot->regs.rax, args, &kind);
  }
  slot->kind = kind;
  stub_post(slot);
  serve(slot, frame);
  gate_go_on(frame);
}
