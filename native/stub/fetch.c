// What a system call brings along: the memory that its handler will read first, so that the sentry need not ask
// the host for it. Nothing depends on it: the sentry reads for itself what it does not find.

#include "stub.h"

#define FETCH_ONE 6
// A string is cut there: most paths are shorter.
#define STRING_SIZE 128

struct Fetch {
  // Position of the pointer, and of the number of elements or FETCH_ONE.
  uint8_t arg;
  uint8_t count;
  // Bytes of an element, 0 for a string.
  uint16_t unit;
};

#include "fetch.gen.h"

#define FETCH_COUNT (sizeof FETCHES / sizeof *FETCHES)

static uint64_t argument(const struct StubRegisters *regs, uint8_t position) {
  switch (position) {
    case 0:
      return regs->rdi;
    case 1:
      return regs->rsi;
    case 2:
      return regs->rdx;
    case 3:
      return regs->r10;
    case 4:
      return regs->r8;
    case 5:
      return regs->r9;
    default:
      return 1;
  }
}

void stub_fetch(struct StubSlot *slot) {
  const struct StubRegisters *regs = &slot->regs;
  slot->inLength = 0;
  if (regs->rax >= FETCH_COUNT) return;
  struct Fetch fetch = FETCHES[regs->rax];
  uint64_t from = argument(regs, fetch.arg);
  uint64_t count = argument(regs, fetch.count);
  // The table has no entry of zeros: argument 0 never counts.
  if (from == 0 || fetch.count == 0 || count > STUB_DATA_MAX) return;
  uint64_t size = fetch.unit ? fetch.unit * count : STRING_SIZE;
  if (size == 0 || size > STUB_DATA_MAX) return;
  slot->inAddr = from;
  slot->inLength = (uint32_t)stub_copy(slot_data(slot), (const void *)from, size);
}
