// What a system call brings along: the memory that its handler will read first, so that the sentry need not ask
// the host for it. Nothing depends on it: the sentry reads for itself what it does not find.

#include "stub.h"

// Most paths are shorter than that, and a string is cut at twice as much. It is a cache line, which costs more to carry
// over than to look at.
#define STRING_PART 64

struct Fetch {
  // Position of the pointer, and of the number of elements or FETCH_ONE.
  uint8_t arg;
  uint8_t count;
  // Bytes of an element, 0 for a string.
  uint16_t unit;
};

#include "fetch.gen.h"

#define FETCH_COUNT (sizeof FETCHES / sizeof *FETCHES)

static int has_end(const uint8_t *string) {
  for (const uint64_t *word = (const uint64_t *)string; word < (const uint64_t *)(string + STRING_PART); word++) {
    // Whether one of its bytes is zero.
    if ((*word - 0x0101010101010101) & ~*word & 0x8080808080808080) return 1;
  }
  return 0;
}

static uint64_t fetch_string(uint8_t *to, const uint8_t *from) {
  uint64_t got = stub_copy(to, from, STRING_PART);
  if (got < STRING_PART || has_end(to)) return got;
  return got + stub_copy(to + STRING_PART, from + STRING_PART, STRING_PART);
}

uint32_t stub_fetch(struct StubSlot *slot, uint64_t nr, const uint64_t args[FETCH_ONE], uint32_t *kind) {
  if (nr >= FETCH_COUNT) return 0;
  struct Fetch fetch = FETCHES[nr];
  // The table has no entry of zeros: argument 0 never counts.
  if (fetch.count == 0) return 0;
  uint64_t from = args[fetch.arg];
  uint64_t count = fetch.count == FETCH_ONE ? 1 : args[fetch.count];
  if (from == 0 || count > STUB_DATA_MAX) return 0;
  *kind |= (uint32_t)fetch.arg << STUB_EV_ARG_SHIFT;
  if (!fetch.unit) return (uint32_t)fetch_string(slot_data(slot), (const uint8_t *)from);
  uint64_t size = fetch.unit * count;
  if (size > STUB_DATA_MAX) return 0;
  return (uint32_t)stub_copy(slot_data(slot), (const void *)from, size);
}
