// The gate: how a system call reaches the sentry without a signal. A call site that has trapped often becomes a jump
// through a table to a thunk of its own, which enters the gate (gate.S). Two forms are known:
//
//     mov $NR, %eax; syscall          b8 NR NR NR NR 0f 05      the usual one
//     syscall; cmp $-4095, %rax       0f 05 48 3d xx f0 ff ff   where the number comes from elsewhere
//
// What needs the thread's whole state, FPU registers included, still needs a signal frame: the gate then executes the
// call for real, and it traps. README.md tells the rest.

#include "gate.h"
#include "host-call.h"
#include "stub.h"

#define PROT_WRITE 2
#define PROT_RX 5
#define PROT_RWX 7
#define MOV_LENGTH 5
#define SYSCALL_LENGTH 2
#define JUMP_LENGTH 7
#define CMP_LENGTH 6
#define CACHE_LINE 64

// The first entries of the table are what the gate remembers of the process.
struct Table {
  uint32_t used;    // thunks, the first included
  uint32_t closed;  // GS is the program's
  uint32_t lock;
  uint32_t moved;  // sites of the second form
};
#define FIRST_SITE (sizeof(struct Table) / 8)

struct Thunk {
  // Enters the gate.
  uint8_t code[20];
  // The same call executed where it may trap.
  uint8_t trap[20];
  // The second form: the comparison that the jump took the place of, and the way back.
  uint8_t rest[24];
  // Where the call site begins, and where the program is, for all to see, when the call is done.
  uint64_t site;
  uint64_t back;
  uint64_t unused[2];
};
_Static_assert(sizeof(struct Thunk) == STUB_THUNK_SIZE, "slot.h knows its size");
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
  gate->stack = (uint64_t)gate;
  write_gs((uint64_t)gate);
}

static const struct Thunk *thunk_at(uint64_t ip) {
  if (ip < STUB_THUNKS + STUB_THUNK_SIZE || ip >= STUB_THUNKS + STUB_MAX_SITES * STUB_THUNK_SIZE) return 0;
  return &thunks[(ip - STUB_THUNKS) / STUB_THUNK_SIZE];
}

/** Whether the number is still the caller's to choose. */
static int is_second_form(const struct Thunk *thunk) { return thunk->back == thunk->site + SYSCALL_LENGTH; }

/** Where the program is when its call returns to `ip`. */
static uint64_t program_ip(uint64_t ip) {
  const struct Thunk *thunk = thunk_at(ip);
  return thunk ? thunk->back : ip;
}

static struct GateRegisters *saved_in(const struct Gate *gate) {
  return (struct GateRegisters *)(gate->stack - sizeof(struct GateRegisters));
}

/** The call came by the gate, all registers are saved: post it and say how to go on. */
int gate_serve(struct Gate *gate) {
  struct StubSlot *slot = (struct StubSlot *)gate->slot;
  struct GateRegisters *saved = saved_in(gate);
  if (STUB_IS_NATIVE((uint32_t)saved->rax)) {
    const struct Thunk *thunk = thunk_at(saved->rcx);
    gate->target = thunk ? (uint64_t)thunk->trap : GATE_TRAP;
    return GATE_EXIT_TRAP;
  }
  const uint64_t args[] = {saved->rdi, saved->rsi, saved->rdx, saved->r10, saved->r8, saved->r9};
  uint32_t kind = STUB_EV_SYSCALL | STUB_EV_BARE;
  uint32_t travels = stub_fetch(slot, saved->rax, args, &kind);
#define SAVE(name) slot->regs.name = saved->name;
  GATE_SAVED_LATER(SAVE)
  slot->regs.r11 = slot->regs.eflags = saved->eflags;
  slot->regs.rsp = gate->rsp;
  // The line that the sentry looks at all the time comes last, at one go.
  __asm__ volatile("" : : : "memory");
  GATE_SAVED_FIRST(SAVE)
#undef SAVE
  slot->regs.rip = slot->regs.rcx = program_ip(saved->rcx);
  slot->travels = travels;
  slot->kind = kind;
  for (;;) {
    stub_post(slot);
    if (slot->kind == STUB_FRAME) {
      gate->target = GATE_TRAP;
      return GATE_EXIT_TRAP;
    }
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
  const struct GateRegisters *saved = saved_in(gate);
#define LOAD(name, at) frame->gregs[at] = saved->name;
  GATE_LOADED(LOAD)
#undef LOAD
  frame->gregs[FRAME_RIP] = frame->gregs[FRAME_RCX] = program_ip(saved->rcx);
  frame->gregs[FRAME_RSP] = gate->rsp;
}

/** The thunk of the rewritten call site that begins at `site`, which may be any address, also an unmapped one. */
static const struct Thunk *site_at(uint64_t site) {
  uint8_t code[JUMP_LENGTH];
  if (!table->used || stub_copy(code, (const void *)site, sizeof code) != sizeof code) return 0;
  uint32_t at = code[3] | code[4] << 8 | code[5] << 16 | (uint32_t)code[6] << 24;
  if (code[0] != 0xff || code[1] != 0x24 || code[2] != 0x25) return 0;
  if (at < STUB_TABLE + sizeof(struct Table) || at >= STUB_TABLE + STUB_MAX_SITES * 8 || at % 8) return 0;
  const struct Thunk *thunk = thunk_at(entries[(at - STUB_TABLE) / 8]);
  return thunk && thunk->site == site ? thunk : 0;
}

void gate_go_on(struct Frame *frame) {
  if (!table->moved) return;
  uint64_t ip = frame->gregs[FRAME_RIP];
  const struct Thunk *thunk = site_at(ip - SYSCALL_LENGTH);
  if (thunk && thunk->back == ip) frame->gregs[FRAME_RIP] = (uint64_t)thunk->rest;
}

// The registers are the program's but for what a system call changes.
static enum GateEvent called(uint64_t back, struct Frame *frame, enum GateEvent event) {
  frame->gregs[FRAME_RIP] = frame->gregs[FRAME_RCX] = back;
  frame->gregs[FRAME_R11] = frame->gregs[FRAME_EFLAGS];
  return event;
}

// A thunk that has not come to the gate: have the call made.
static enum GateEvent call_of(const struct Thunk *thunk, struct Frame *frame) {
  if (is_second_form(thunk)) {
    frame->gregs[FRAME_RIP] = (uint64_t)thunk->trap;
    return GATE_RETURN;
  }
  frame->gregs[FRAME_RAX] = thunk->code[1] | (uint64_t)thunk->code[2] << 8;
  return called(thunk->back, frame, GATE_CALL);
}

// Where the program is while it is in a thunk: before the call or after it. A call that the host is about to repeat
// stays where it is: the sentry looks for a system call instruction there.
static uint64_t place_in(const struct Thunk *thunk, uint64_t ip) {
  if (is_second_form(thunk) && ip == (uint64_t)thunk->trap) return ip;
  uint64_t call = (uint64_t)thunk->trap + (is_second_form(thunk) ? 0 : MOV_LENGTH);
  return ip <= call ? thunk->site : thunk->back;
}

enum GateEvent gate_untangle(int signo, uint64_t index, struct Frame *frame) {
  uint64_t ip = frame->gregs[FRAME_RIP];
  struct Gate *gate = gate_of(index);
  const struct Thunk *thunk = thunk_at(ip);
  switch (signo) {
    case SIGSYS_NUMBER:
      // The call that a frame was wanted for has trapped.
      if (ip == GATE_TRAP + SYSCALL_LENGTH) return called(program_ip(gate->ret), frame, GATE_FRAME);
      return thunk ? called(thunk->back, frame, GATE_CALL) : GATE_NONE;
    case SIGSEGV_NUMBER:
      // No GS yet: the gate's first instruction faulted, and the registers are still the program's.
      if (ip != (uint64_t)gate_entry) return GATE_NONE;
      thunk = thunk_at(frame->gregs[FRAME_RCX]);
      return thunk ? call_of(thunk, frame) : called(frame->gregs[FRAME_RCX], frame, GATE_CALL);
    case SIGILL_NUMBER:
      if (ip == (uint64_t)gate_stop) return called(program_ip(gate->ret), frame, GATE_STOP);
      // A jump to the system call instruction of a rewritten site, as restarting a call makes one.
      thunk = site_at(ip - MOV_LENGTH);
      return thunk && !is_second_form(thunk) ? called(thunk->back, frame, GATE_CALL) : GATE_NONE;
    case SIGTRAP_NUMBER:
      // A single step over a rewritten site ends in its thunk.
      if (thunk && ip < (uint64_t)thunk->trap) return call_of(thunk, frame);
      break;
    case STUB_INTERRUPT:
      break;
    default:
      return GATE_NONE;
  }
  if (thunk) {
    frame->gregs[FRAME_RIP] = place_in(thunk, ip);
    return GATE_NONE;
  }
  if (ip >= (uint64_t)gate_entry && ip < (uint64_t)gate_switched) {
    thunk = thunk_at(frame->gregs[FRAME_RCX]);
    frame->gregs[FRAME_RIP] = thunk ? thunk->site : frame->gregs[FRAME_RCX] - JUMP_LENGTH;
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

// movabs $back, %rcx; jmp gate_entry
static void put_entry(uint8_t *at, uint64_t back) {
  at = put(put(at, "\x48\xb9", 2), &back, sizeof back);
  int32_t distance = (int32_t)((uint64_t)gate_entry - ((uint64_t)at + 5));
  put(put(at, "\xe9", 1), &distance, sizeof distance);
}

static void write_first_form(struct Thunk *thunk, uint64_t site, const uint8_t *code) {
  thunk->site = site;
  thunk->back = site + MOV_LENGTH + SYSCALL_LENGTH;
  put_entry(put(thunk->code, code, MOV_LENGTH), thunk->back);
  put(put(thunk->trap, code, MOV_LENGTH + SYSCALL_LENGTH), "\x0f\x0b", 2);  // ud2: it always traps
}

static void write_second_form(struct Thunk *thunk, uint64_t site, const uint8_t *code) {
  uint64_t behind = site + SYSCALL_LENGTH + CMP_LENGTH;
  thunk->site = site;
  thunk->back = site + SYSCALL_LENGTH;
  put_entry(thunk->code, (uint64_t)thunk->rest);
  uint8_t distance = (uint8_t)(sizeof thunk->trap - SYSCALL_LENGTH - 2);
  put(put(put(thunk->trap, code, SYSCALL_LENGTH), "\xeb", 1), &distance, 1);  // syscall; jmp rest
  uint8_t *at = put(thunk->rest, code + SYSCALL_LENGTH, CMP_LENGTH);
  put(put(at, "\xff\x25\x00\x00\x00\x00", 6), &behind, sizeof behind);  // jmp *behind
}

static int is_first(const uint8_t *c) {
  return c[0] == 0xb8 && c[2] <= 1 && !c[3] && !c[4] && c[5] == 0x0f && c[6] == 0x05;
}

static int is_second(const uint8_t *c) {
  return c[0] == 0x0f && c[1] == 0x05 && c[2] == 0x48 && c[3] == 0x3d && c[5] == 0xf0 && c[6] == 0xff && c[7] == 0xff;
}

static int prepare(void) {
  if (failed(call3(NR_MPROTECT, STUB_THUNKS, STUB_MAX_SITES * STUB_THUNK_SIZE, PROT_RWX))) return 0;
  if (table->used) return 1;
  put(thunks[0].code, "\x0f\x05\x0f\x0b", 4);  // syscall; ud2
  table->used = 1;
  return 1;
}

// Replace 8 bytes of code. Within a cache line, other threads see the old instructions or the new one.
static int replace(uint64_t site, uint64_t code, int prot) {
  uint64_t page = site & ~(uint64_t)(STUB_PAGE - 1);
  if (failed(call3(NR_MPROTECT, (long)page, STUB_PAGE, prot | PROT_WRITE))) return 0;
  __atomic_store_n((uint64_t *)site, code, __ATOMIC_SEQ_CST);
  call3(NR_MPROTECT, (long)page, STUB_PAGE, prot);
  return 1;
}

static void rewrite_site(uint64_t site, uint64_t code, int prot, int second) {
  const uint8_t *before = (const uint8_t *)&code;
  uint32_t entry = (uint32_t)(FIRST_SITE + table->used);
  if (entry >= STUB_MAX_SITES) return;
  struct Thunk *thunk = &thunks[table->used];
  if (second) {
    write_second_form(thunk, site, before);
  } else {
    write_first_form(thunk, site, before);
  }
  entries[entry] = (uint64_t)thunk;
  uint32_t address = (uint32_t)(STUB_TABLE + entry * 8);
  put(put((uint8_t *)&code, "\xff\x24\x25", 3), &address, sizeof address);
  if (!replace(site, code, prot)) return;
  table->used++;
  table->moved += (uint32_t)second;
}

static int read_code(uint64_t at, uint64_t *code) {
  return stub_copy(code, (const void *)at, sizeof *code) == sizeof *code;
}

// 41 b8 moves a number to r8d: the syscall instruction behind it belongs to the second form at best.
static int has_prefix(uint64_t site) {
  uint8_t before;
  return stub_copy(&before, (const void *)(site - 1), 1) != 1 || (before & 0xf0) == 0x40;
}

void gate_rewrite(uint64_t ip, uint32_t nr, int prot, int alone) {
  uint64_t code;
  uint64_t site = ip - MOV_LENGTH - SYSCALL_LENGTH;
  int second = !read_code(site, &code) || !is_first((const uint8_t *)&code) || (uint32_t)(code >> 8) != nr ||
               has_prefix(site);
  if (second) {
    site = ip - SYSCALL_LENGTH;
    // Another thread could be about to go on at the comparison.
    if (!alone || !read_code(site, &code) || !is_second((const uint8_t *)&code)) return;
  }
  uint64_t room = alone ? STUB_PAGE : CACHE_LINE;
  if (table->closed || site % room > room - sizeof code) return;
  if (__atomic_exchange_n(&table->lock, 1, __ATOMIC_ACQUIRE)) return;
  if (prepare()) {
    rewrite_site(site, code, prot, second);
    call3(NR_MPROTECT, STUB_THUNKS, STUB_MAX_SITES * STUB_THUNK_SIZE, PROT_RX);
  }
  __atomic_store_n(&table->lock, 0, __ATOMIC_RELEASE);
}

void gate_close(void) {
  if (table->closed) return;
  table->closed = 1;
  for (uint32_t i = 1; i < table->used; i++) entries[FIRST_SITE + i] = (uint64_t)thunks[i].trap;
}
