// The gate: how a system call reaches the sentry without a signal. A call site that has trapped often,
//
//     mov $NR, %eax; syscall        b8 NR NR NR NR 0f 05
//
// becomes a jump through a table to a thunk of its own, which names the call and the address to go on at, and enters the
// gate (gate.S). What needs the thread's whole state, FPU registers included, still needs a signal frame: the gate
// then executes the call for real, and it traps. README.md tells the rest.

#include "gate.h"
#include "host-call.h"
#include "stub.h"

#define PROT_WRITE 2
#define PROT_RX 5
#define PROT_RWX 7
#define SITE_LENGTH 7
#define CACHE_LINE 64
#define MAX_NR 512

// The first entries of the table are what the gate remembers of the process.
struct Table {
  uint32_t used;    // thunks, the first included
  uint32_t closed;  // GS is the program's
  uint32_t lock;
  uint32_t pad;
  uint64_t unused[2];
};
#define FIRST_SITE (sizeof(struct Table) / 8)

struct Thunk {
  uint8_t code[20];
  // The same call executed where it traps, for when the gate is closed.
  uint8_t trap[20];
  // Where the call site begins.
  uint64_t site;
  uint64_t unused[2];
};
_Static_assert(sizeof(struct Thunk) == STUB_THUNK_SIZE, "gate.S and slot.h know its size");

_Static_assert(STUB_THUNKS == GATE_TRAP, "the first thunk is the trap");

static struct Table *const table = (struct Table *)STUB_TABLE;
static uint64_t *const entries = (uint64_t *)STUB_TABLE;
static struct Thunk *const thunks = (struct Thunk *)STUB_THUNKS;

static struct Gate *gate_of(uint64_t index) {
  return (struct Gate *)(block_top(index) - sizeof(struct Gate));
}

static int is_gate(uint64_t gs) { return gs >= STUB_BLOCKS && gs < STUB_END; }

void gate_forget(void) {
  if (table->used && is_gate(read_gs())) write_gs(0);
}

void gate_enter_thread(uint64_t index) {
  if (!table->used || table->closed || read_gs() != 0) return;
  struct Gate *gate = gate_of(index);
  gate->slot = (uint64_t)slot_of(index);
  gate->stack = (uint64_t)gate & ~63UL;
  write_gs((uint64_t)gate);
}

/** The call came by the gate, all registers are saved: post it and say how to go on. */
int gate_serve(struct Gate *gate) {
  struct StubSlot *slot = (struct StubSlot *)gate->slot;
  struct GateRegisters *saved = (struct GateRegisters *)(gate->stack - sizeof *saved);
  slot->regs.rcx = slot->regs.rip = saved->rcx;
  slot->regs.r11 = slot->regs.eflags = saved->eflags;
  slot->regs.rsp = gate->rsp;
#define SAVE(name) slot->regs.name = saved->name;
  GATE_SAVED(SAVE)
#undef SAVE
  slot->fpstate = 0;
  slot->kind = STUB_EV_SYSCALL;
  stub_fetch(slot);
  for (;;) {
    stub_post(slot);
    if (slot->kind == STUB_FRAME) return GATE_EXIT_FRAME;
    if (!slot->opCount || stub_run_ops(slot, 0)) {
      if (slot->kind == STUB_RESUME) {
        saved->rax = stub_deliver(slot) ? slot->regs.rax : (uint64_t)-EFAULT_NUMBER;
        return GATE_EXIT_RETURN;
      }
      slot->kind = STUB_EV_MORE;
    } else {
      slot->kind = STUB_EV_OPS_FAILED;
    }
  }
}

// The state that the program will have when the gate is done, put into the frame that was made before it was.
static void finish(const struct Gate *gate, struct Frame *frame) {
  const struct GateRegisters *saved = (const struct GateRegisters *)(gate->stack - sizeof *saved);
#define LOAD(name, at, reg) frame->gregs[at] = saved->name;
  GATE_LOADED(LOAD)
#undef LOAD
  frame->gregs[FRAME_RIP] = saved->rcx;
  frame->gregs[FRAME_RSP] = gate->rsp;
}

static const struct Thunk *thunk_at(uint64_t ip) {
  if (ip < STUB_THUNKS + STUB_THUNK_SIZE || ip >= STUB_THUNKS + STUB_MAX_SITES * STUB_THUNK_SIZE) return 0;
  return &thunks[(ip - STUB_THUNKS) / STUB_THUNK_SIZE];
}

/** Whether a rewritten call site begins at `site`; it may be anything, also unmapped. */
static int is_site(uint64_t site) {
  uint8_t code[SITE_LENGTH];
  if (!table->used || stub_copy(code, (const void *)site, sizeof code) != sizeof code) return 0;
  uint32_t at = code[3] | code[4] << 8 | code[5] << 16 | (uint32_t)code[6] << 24;
  if (code[0] != 0xff || code[1] != 0x24 || code[2] != 0x25) return 0;
  if (at < STUB_TABLE + sizeof(struct Table) || at >= STUB_TABLE + STUB_MAX_SITES * 8 || at % 8) return 0;
  const struct Thunk *thunk = thunk_at(entries[(at - STUB_TABLE) / 8]);
  return thunk && thunk->site == site;
}

// The registers are the program's but for what a system call changes.
static enum GateEvent go_on_at(uint64_t ip, struct Frame *frame, enum GateEvent event) {
  frame->gregs[FRAME_RIP] = frame->gregs[FRAME_RCX] = ip;
  frame->gregs[FRAME_R11] = frame->gregs[FRAME_EFLAGS];
  return event;
}

enum GateEvent gate_untangle(int signo, uint64_t index, struct Frame *frame) {
  uint64_t ip = frame->gregs[FRAME_RIP];
  struct Gate *gate = gate_of(index);
  const struct Thunk *thunk = thunk_at(ip);
  switch (signo) {
    case SIGSYS_NUMBER:
      // The call that a frame was wanted for has trapped.
      if (ip == GATE_TRAP + GATE_TRAP_LENGTH) return go_on_at(gate->ret, frame, GATE_FRAME);
      return thunk ? go_on_at(thunk->site + SITE_LENGTH, frame, GATE_CALL) : GATE_NONE;
    case SIGSEGV_NUMBER:
      // No GS yet: the gate's first instruction faulted, and the registers are still the program's.
      return ip == (uint64_t)gate_entry ? go_on_at(frame->gregs[FRAME_RCX], frame, GATE_CALL) : GATE_NONE;
    case SIGILL_NUMBER:
      if (ip == (uint64_t)gate_stop) return go_on_at(gate->ret, frame, GATE_STOP);
      // A jump to the system call instruction of a rewritten site, as restarting a call makes one.
      return is_site(ip - 5) ? go_on_at(ip + 2, frame, GATE_CALL) : GATE_NONE;
    case SIGTRAP_NUMBER:
      // A single step over a rewritten site ends here.
      if (!thunk) break;
      frame->gregs[FRAME_RAX] = thunk->code[1] | (uint64_t)thunk->code[2] << 8;
      return go_on_at(thunk->site + SITE_LENGTH, frame, GATE_CALL);
    case STUB_INTERRUPT:
      break;
    default:
      return GATE_NONE;
  }
  if (thunk || (ip >= (uint64_t)gate_entry && ip < (uint64_t)gate_switched)) {
    frame->gregs[FRAME_RIP] = thunk ? thunk->site : frame->gregs[FRAME_RCX] - SITE_LENGTH;
    return GATE_NONE;
  }
  if (ip >= (uint64_t)gate_exit && ip < (uint64_t)gate_end) {
    finish(gate, frame);
    return GATE_NONE;
  }
  // On its way to a trap that the sentry hears of.
  if (ip == GATE_TRAP || (ip >= (uint64_t)gate_end && ip <= (uint64_t)gate_stop)) return GATE_RETURN;
  // Anywhere else in the gate, or in what it calls: told when the gate is done.
  if (frame->gregs[FRAME_RSP] <= stack_top(index) || frame->gregs[FRAME_RSP] > block_top(index)) return GATE_NONE;
  gate->interrupted = 1;
  return GATE_RETURN;
}

static uint8_t *put(uint8_t *at, const void *bytes, uint64_t size) {
  copy_bytes(at, bytes, size);
  return at + size;
}

static void write_thunk(struct Thunk *thunk, uint64_t site, const uint8_t *code) {
  uint64_t back = site + SITE_LENGTH;
  uint8_t *at = put(thunk->code, code, 5);  // mov $NR, %eax
  at = put(at, "\x48\xb9", 2);              // movabs $back, %rcx
  at = put(at, &back, 8);
  int32_t distance = (int32_t)((uint64_t)gate_entry - ((uint64_t)at + 5));
  at = put(at, "\xe9", 1);  // jmp gate_entry
  put(at, &distance, 4);
  put(put(thunk->trap, code, SITE_LENGTH), "\x0f\x0b", 2);  // mov $NR, %eax; syscall; ud2
  thunk->site = site;
}

static int prepare(void) {
  if (failed(call3(NR_MPROTECT, STUB_THUNKS, STUB_MAX_SITES * STUB_THUNK_SIZE, PROT_RWX))) return 0;
  if (table->used) return 1;
  put(thunks[0].code, "\x0f\x05\x0f\x0b", 4);  // syscall; ud2
  table->used = 1;
  return 1;
}

static void rewrite_site(uint64_t site, int prot) {
  uint64_t before;
  if (stub_copy(&before, (const void *)site, sizeof before) != sizeof before) return;
  const uint8_t *code = (const uint8_t *)&before;
  if (code[0] != 0xb8 || code[2] > 1 || code[3] || code[4] || code[5] != 0x0f || code[6] != 0x05) return;
  uint32_t i = table->used;
  uint32_t entry = (uint32_t)(FIRST_SITE + i);
  if (entry >= STUB_MAX_SITES) return;
  uint64_t page = site & ~(uint64_t)(STUB_PAGE - 1);
  if (failed(call3(NR_MPROTECT, (long)page, STUB_PAGE, prot | PROT_WRITE))) return;
  write_thunk(&thunks[i], site, code);
  entries[entry] = (uint64_t)&thunks[i];
  table->used = i + 1;
  uint32_t address = (uint32_t)(STUB_TABLE + entry * 8);
  uint64_t after = before;
  put(put((uint8_t *)&after, "\xff\x24\x25", 3), &address, 4);
  // Within a cache line, other threads see the old instructions or the new one.
  __atomic_store_n((uint64_t *)site, after, __ATOMIC_SEQ_CST);
  call3(NR_MPROTECT, (long)page, STUB_PAGE, prot);
}

void gate_rewrite(uint64_t ip, int prot) {
  uint64_t site = ip - SITE_LENGTH;
  if (table->closed || site % CACHE_LINE > CACHE_LINE - sizeof(uint64_t)) return;
  if (__atomic_exchange_n(&table->lock, 1, __ATOMIC_ACQUIRE)) return;
  if (prepare()) {
    rewrite_site(site, prot);
    call3(NR_MPROTECT, STUB_THUNKS, STUB_MAX_SITES * STUB_THUNK_SIZE, PROT_RX);
  }
  __atomic_store_n(&table->lock, 0, __ATOMIC_RELEASE);
}

void gate_close(void) {
  if (table->closed) return;
  table->closed = 1;
  for (uint32_t i = 1; i < table->used; i++) entries[FIRST_SITE + i] = (uint64_t)thunks[i].trap;
}
