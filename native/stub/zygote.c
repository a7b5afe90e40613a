// Start of the zygote: the first stub process, from which the sentry forks every other. It lays out the
// stub's memory, installs the filter, forgets everything that exec gave it and then waits for orders as any
// stopped thread does. Until the filter is in place this is trusted code; it never runs a program.

#include "host-call.h"
#include "slot.h"
#include "stub.h"

#define AT_SYSINFO_EHDR 33
#define AT_MINSIGSTKSZ 51
#define PR_SET_NO_NEW_PRIVS 38
#define PR_SET_PDEATHSIG 1
#define SECCOMP_SET_MODE_FILTER 1
#define SECCOMP_FLAGS ((1 << 3) | (1 << 5))  // NEW_LISTENER | WAIT_KILLABLE_RECV
#define SIGNAL_FLAGS 0x5c000004              // SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_RESTART | SA_NODEFER
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define USER_END 0x7ffffffff000UL
#define MAX_HOLE_PAGES 16

struct Action {
  void (*handler)(int, const struct Info *, struct Frame *);
  uint64_t flags;
  void (*restorer)(void);
  uint64_t mask;
};

struct Program {
  uint16_t length;
  const void *filter;
};

static struct StubSlot *const slot = (struct StubSlot *)STUB_SLOTS;

__attribute__((noreturn)) static void give_up(uint64_t step, long error) {
  slot->ops[0].a[SETUP_ERROR] = step << 32 | (uint32_t)-error;
  slot->state = SLOT_SETUP_DONE;
  call3(NR_FUTEX, (long)&slot->state, FUTEX_WAKE, 1);
  for (;;) call3(NR_EXIT_GROUP, 1, 0, 0);
}

static void must(uint64_t step, long result) {
  if (failed(result)) give_up(step, result);
}

static void map(uint64_t addr, uint64_t size, int prot, int flags, int descriptor) {
  if (failed(call6(NR_MMAP, (long)addr, (long)size, prot, flags, descriptor, 0))) {
    call3(NR_EXIT_GROUP, 1, 0, 0);
  }
}

static uint64_t aux_value(const uint64_t *sp, uint64_t type) {
  const uint64_t *p = sp + 1 + sp[0] + 1;  // past argc, argv and its null
  while (*p) p++;
  for (p++; p[0]; p += 2) {
    if (p[0] == type) return p[1];
  }
  return 0;
}

static int is_mapped(uint64_t page) {
  unsigned char resident;
  return !failed(call3(NR_MINCORE, (long)page, STUB_PAGE, (long)&resident));
}

// The kernel maps data pages below the vDSO's image, and says nowhere how many.
static void find_vdso(uint64_t image) {
  uint64_t start = image;
  uint64_t end = image;
  if (image) {
    for (int i = 0; i < MAX_HOLE_PAGES && is_mapped(start - STUB_PAGE); i++) start -= STUB_PAGE;
    for (int i = 0; i < MAX_HOLE_PAGES && end < USER_END && is_mapped(end); i++) end += STUB_PAGE;
  }
  slot->ops[0].a[SETUP_VDSO] = image;
  slot->ops[0].a[SETUP_HOLE_START] = start;
  slot->ops[0].a[SETUP_HOLE_END] = end;
}

/** First C code of the zygote, still on the stack of exec. `sp` points at argc. */
void zygote_start(const uint64_t *sp) {
  map(STUB_SLOTS, STUB_SLOTS_SIZE, 3, 0x11, STUB_FD_SLOTS);
  map(STUB_STATUS, STUB_PAGE, 1, 0x11, STUB_FD_STATUS);
  map(STUB_SETUP, 0x10000, 1, 0x12, STUB_FD_FILTER);
  uint64_t stack = STUB_BLOCKS + STUB_PAGE;
  map(stack, STUB_BLOCK_STACK + STUB_GATE_SIZE, 3, 0x4032, -1);
  map(STUB_TABLE, STUB_MAX_SITES * 8, 3, 0x4032, -1);
  map(STUB_THUNKS, STUB_MAX_SITES * STUB_THUNK_SIZE, 5, 0x4032, -1);
  if (2 * (aux_value(sp, AT_MINSIGSTKSZ) + STUB_CODE_STACK) > STUB_BLOCK_STACK) give_up(1, -12);
  find_vdso(aux_value(sp, AT_SYSINFO_EHDR));
  for (int fd = 0; fd <= STUB_FD_FILTER; fd++) call3(NR_CLOSE, fd, 0, 0);
  stub_switch_stack(stack + STUB_BLOCK_STACK - 64);
}

static void take_signals(void) {
  static const unsigned char signals[] = {31, 11, 7, 8, 4, 5, STUB_INTERRUPT};
  // All signals wait but those of the handler's own copies from and to program memory.
  uint64_t mask = ~(1UL << (SIGSEGV_NUMBER - 1) | 1UL << (SIGBUS_NUMBER - 1));
  struct Action action = {stub_handler, SIGNAL_FLAGS, stub_restorer, mask};
  for (unsigned i = 0; i < sizeof signals; i++) {
    must(2, call6(NR_RT_SIGACTION, signals[i], (long)&action, 0, 8, 0, 0));
  }
  uint64_t none = 0;
  must(3, call6(NR_RT_SIGPROCMASK, 2, (long)&none, 0, 8, 0, 0));
  struct AltStack stack = {STUB_BLOCKS + STUB_PAGE, 0, 0, STUB_BLOCK_STACK};
  must(4, call3(NR_SIGALTSTACK, (long)&stack, 0, 0));
}

static void forget(uint64_t start, uint64_t end) {
  if (start < end) must(5, call3(NR_MUNMAP, (long)start, (long)(end - start), 0));
}

/** The rest of the start, on the zygote's own stack. */
__attribute__((noreturn)) void zygote_run(void) {
  uint64_t hole = slot->ops[0].a[SETUP_HOLE_START];
  uint64_t hole_end = slot->ops[0].a[SETUP_HOLE_END];
  take_signals();
  must(6, call3(NR_PRCTL, PR_SET_PDEATHSIG, 9, 0));
  must(7, call6(NR_PRCTL, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0));
  struct Program program = {(uint16_t)slot->ops[0].a[SETUP_FILTER_LENGTH], (void *)STUB_SETUP};
  long listener = call3(NR_SECCOMP, SECCOMP_SET_MODE_FILTER, SECCOMP_FLAGS, (long)&program);
  must(8, listener);
  forget(0x10000, STUB_TABLE);
  forget(STUB_TABLE_END, STUB_BASE);
  forget(STUB_SETUP, STUB_THUNKS);
  forget(STUB_THUNKS + STUB_MAX_SITES * STUB_THUNK_SIZE, STUB_SLOTS);
  forget(STUB_END, hole ? hole : USER_END);
  if (hole) forget(hole_end, USER_END);
  slot->ops[0].a[SETUP_LISTENER] = (uint64_t)listener;
  __atomic_store_n(&slot->state, SLOT_SETUP_DONE, __ATOMIC_SEQ_CST);
  call3(NR_FUTEX, (long)&slot->state, FUTEX_WAKE, 1);
  while (__atomic_load_n(&slot->state, __ATOMIC_SEQ_CST) == SLOT_SETUP_DONE) {
    call3(NR_FUTEX, (long)&slot->state, FUTEX_WAIT, SLOT_SETUP_DONE);
  }
  call3(NR_CLOSE, listener, 0, 0);
  stub_first_trap();
}
