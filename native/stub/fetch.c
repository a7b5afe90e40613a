// What a system call brings along: the memory that its handler will read first, so that the sentry need not ask
// the host for it. Nothing depends on it: the sentry reads for itself what it does not find.
//
// Futex words are not among it. A value from before the call was seen could hide a change, and with it a wake-up.

#include "host-call.h"
#include "stub.h"

// The calls whose first, second or third argument names a path or a small struct.
#define NR_WRITE 1
#define NR_OPEN 2
#define NR_STAT 4
#define NR_LSTAT 6
#define NR_POLL 7
#define NR_PWRITE64 18
#define NR_ACCESS 21
#define NR_NANOSLEEP 35
#define NR_CHDIR 80
#define NR_MKDIR 83
#define NR_RMDIR 84
#define NR_UNLINK 87
#define NR_READLINK 89
#define NR_CLOCK_NANOSLEEP 230
#define NR_OPENAT 257
#define NR_NEWFSTATAT 262
#define NR_UNLINKAT 263
#define NR_READLINKAT 267
#define NR_FACCESSAT 269
#define NR_STATX 332
#define NR_CLONE3 435
#define NR_FACCESSAT2 439

#define SIGSET_SIZE 8
#define SIGACTION_SIZE 32
#define TIMESPEC_SIZE 16
#define POLLFD_SIZE 8
#define CLONE_ARGS_SIZE 88

static uint64_t at_most(uint64_t size) { return size < STUB_IN_MAX ? size : STUB_IN_MAX; }

static void fetch(struct StubSlot *slot, uint64_t from, uint64_t size) {
  if (from == 0 || size == 0) return;
  slot->inAddr = from;
  slot->inLength = (uint32_t)stub_copy(slot->in, (const void *)from, size);
}

void stub_fetch(struct StubSlot *slot) {
  const struct StubRegisters *regs = &slot->regs;
  slot->inLength = 0;
  switch (regs->rax) {
    case NR_OPEN:
    case NR_STAT:
    case NR_LSTAT:
    case NR_ACCESS:
    case NR_CHDIR:
    case NR_MKDIR:
    case NR_RMDIR:
    case NR_UNLINK:
    case NR_READLINK:
      return fetch(slot, regs->rdi, STUB_IN_MAX);
    case NR_OPENAT:
    case NR_NEWFSTATAT:
    case NR_UNLINKAT:
    case NR_READLINKAT:
    case NR_FACCESSAT:
    case NR_FACCESSAT2:
    case NR_STATX:
      return fetch(slot, regs->rsi, STUB_IN_MAX);
    case NR_WRITE:
    case NR_PWRITE64:
      return fetch(slot, regs->rsi, regs->rdx <= STUB_IN_MAX ? regs->rdx : 0);
    case NR_RT_SIGPROCMASK:
      return fetch(slot, regs->rsi, SIGSET_SIZE);
    case NR_RT_SIGACTION:
      return fetch(slot, regs->rsi, SIGACTION_SIZE);
    case NR_POLL:
      return fetch(slot, regs->rdi, at_most(at_most(regs->rsi) * POLLFD_SIZE));
    case NR_NANOSLEEP:
      return fetch(slot, regs->rdi, TIMESPEC_SIZE);
    case NR_CLOCK_NANOSLEEP:
      return fetch(slot, regs->rdx, TIMESPEC_SIZE);
    case NR_CLONE3:
      return fetch(slot, regs->rdi, CLONE_ARGS_SIZE);
    default:
      return;
  }
}
