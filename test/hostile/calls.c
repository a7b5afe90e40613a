// Attacks by calls that no stub would make: jumps into its text, forged events and tokens, processes of our own making.
#include <ucontext.h>

#include "hostile.h"

static void ring(uint64_t token) { native(STUB_DOORBELL, (long)token, 0, 0, 0, 0, 0); }

ATTACK(ring_with_garbage) { ring(random64()); }
ATTACK(ring_with_zero) { ring(0); }

ATTACK(ring_with_every_id) {
  // In children, because a bad token is answered by a kill.
  for (uint64_t id = 0; id < 64; id++) {
    pid_t child = fork();
    if (child == 0) ring(id), _exit(0);
    waitpid(child, NULL, 0);
  }
}

ATTACK(ring_with_own_token) {
  uint64_t token = own_slot()->token;
  for (int i = 0; i < 2000; i++) ring(token);
  for (int i = 0; i < 10; i++) syscall(SYS_getppid);
}

ATTACK(ring_with_own_token_and_other_id) { ring((own_slot()->token & ~0xfffULL) | 1); }

static void *ring_forever(void *token) {
  for (;;) ring((uint64_t)token);
}
ATTACK(ring_with_a_sibling_s_token) {
  pthread_t thread;
  pthread_create(&thread, NULL, ring_forever, (void *)own_slot()->token);
  for (int i = 0; i < 10000; i++) syscall(SYS_getppid);
}

static void forge(uint32_t state, uint32_t kind) {
  struct StubSlot *slot = own_slot();
  slot->kind = kind;
  slot->signo = random64();
  slot->addr = random64();
  slot->fpstate = random64();
  slot->opIndex = (uint32_t)random64();
  slot->opResult = (int64_t)random64();
  slot->child = getppid();
  __atomic_store_n(&slot->state, state, __ATOMIC_SEQ_CST);
}

static void forge_and_ring(uint32_t state, uint32_t kind) {
  uint64_t token = own_slot()->token;
  forge(state, kind);
  ring(token);
  for (int i = 0; i < 10; i++) syscall(SYS_getppid);
}

ATTACK(forge_syscall) { forge_and_ring(SLOT_BELL, STUB_EV_SYSCALL); }
ATTACK(forge_fault) { forge_and_ring(SLOT_BELL, STUB_EV_FAULT); }
ATTACK(forge_interrupt) { forge_and_ring(SLOT_BELL, STUB_EV_INTERRUPT); }
ATTACK(forge_started) { forge_and_ring(SLOT_BELL, STUB_EV_STARTED); }
ATTACK(forge_ops_failed) { forge_and_ring(SLOT_BELL, STUB_EV_OPS_FAILED); }
ATTACK(forge_dead) { forge_and_ring(SLOT_BELL, 6); }
ATTACK(forge_more) { forge_and_ring(SLOT_BELL, STUB_EV_MORE); }
ATTACK(forge_kind_8) { forge_and_ring(SLOT_BELL, 8); }
ATTACK(forge_kind_huge) { forge_and_ring(SLOT_BELL, 0xffffffff); }

ATTACK(forge_faults_of_all_signals) {
  for (uint64_t signo = 0; signo < 70; signo++) {
    pid_t child = fork();
    if (child) {
      int status;
      for (int i = 0; i < 500 && waitpid(child, &status, WNOHANG) == 0; i++) usleep(1000);
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      continue;
    }
    uint64_t token = own_slot()->token;
    forge(SLOT_BELL, STUB_EV_FAULT);
    own_slot()->signo = signo;
    own_slot()->code = signo & 1 ? -6 : 0x7fffffff;
    own_slot()->trapno = random64();
    ring(token);
    _exit(0);
  }
}

ATTACK(forge_after_ops) {
  // While the batch of an earlier call is on record, its end may be told again, and in every way.
  for (uint32_t kind = 1; kind < 9; kind++) {
    pid_t child = fork();
    if (child) {
      for (int i = 0; i < 300 && waitpid(child, NULL, WNOHANG) == 0; i++) usleep(1000);
      kill(child, SIGKILL);
      waitpid(child, NULL, 0);
      continue;
    }
    uint64_t token = own_slot()->token;
    mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct StubSlot *slot = (struct StubSlot *)STUB_SLOTS;
    slot->kind = kind;
    slot->opIndex = 0xffffffff;
    slot->opResult = INT64_MIN;
    slot->state = SLOT_BELL;
    ring(token);
    for (int i = 0; i < 10; i++) syscall(SYS_getppid);
    _exit(0);
  }
}

ATTACK(forged_states) {
  struct StubSlot *slot = own_slot();
  for (uint32_t state = 0; state < 16; state++) {
    pid_t child = fork();
    if (child == 0) {
      slot->kind = STUB_EV_SYSCALL;
      slot->regs.rax = SYS_getppid;
      __atomic_store_n(&slot->state, state, __ATOMIC_SEQ_CST);
      for (volatile int i = 0; i < 30000000; i++) {
      }
      for (int i = 0; i < 10; i++) syscall(SYS_getppid);
      _exit(0);
    }
    for (int i = 0; i < 300 && waitpid(child, NULL, WNOHANG) == 0; i++) usleep(1000);
    kill(child, SIGTERM);
    usleep(20000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
}

ATTACK(forged_calls_with_wild_registers) {
  for (int round = 0; round < 60; round++) {
    pid_t child = fork();
    if (child == 0) {
      struct StubSlot *slot = own_slot();
      uint64_t token = slot->token;
      for (int i = 0; i < 50; i++) {
        uint64_t *regs = (uint64_t *)&slot->regs;
        for (unsigned k = 0; k < sizeof slot->regs / 8; k++) regs[k] = random64() >> (random64() & 63);
        slot->regs.rax = (random64() & 511) | (random64() & 7 ? 0 : random64());
        if (slot->regs.rax == SYS_kill || slot->regs.rax == SYS_exit_group) continue;
        slot->fpstate = random64();
        slot->kind = STUB_EV_SYSCALL + (random64() & 1);
        __atomic_store_n(&slot->state, SLOT_BELL, __ATOMIC_SEQ_CST);
        ring(token);
      }
      _exit(0);
    }
    random_state += round + 1;
    for (int i = 0; i < 50 && waitpid(child, NULL, WNOHANG) == 0; i++) usleep(1000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
}

ATTACK(every_call_instruction_with_wild_registers) {
  for (uint64_t at = STUB_BASE; at < STUB_BASE + 0x1065; at++) {
    if (memcmp((void *)at, "\x0f\x05", 2)) continue;
    for (int nr = 0; nr < 24; nr++) {
      pid_t child = fork();
      if (child == 0) {
        static const int calls[] = {SYS_munmap, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_futex, SYS_close, SYS_sigaltstack, SYS_rt_sigreturn,
                                    SYS_rt_sigprocmask, SYS_exit, SYS_clone, STUB_DOORBELL, SYS_arch_prctl, SYS_madvise};
        long rax = nr < 14 ? calls[nr] : (long)(random64() % 500);
        uint64_t r[6];
        for (int i = 0; i < 6; i++) r[i] = random64() >> (random64() & 63);
        if (rax == SYS_clone) r[0] = STUB_CLONE_THREAD, r[1] = 0;
        asm volatile("mov %[r10], %%r10\n mov %[r8], %%r8\n jmp *%[at]"
                     :
                     : "a"(rax), "D"(r[0]), "S"(r[1]), "d"(r[2]), [r10] "r"(r[3]), [r8] "r"(r[4]), [at] "b"(at)
                     : "memory");
        _exit(0);
      }
      random_state += nr + at;
      for (int i = 0; i < 30 && waitpid(child, NULL, WNOHANG) == 0; i++) usleep(1000);
      kill(child, SIGKILL);
      waitpid(child, NULL, 0);
      if (seconds() < 0) break;
    }
  }
}

ATTACK(jump_anywhere_in_the_stub) {
  for (int round = 0; round < 300; round++) {
    pid_t child = fork();
    if (child == 0) {
      uint64_t at = STUB_BASE + random64() % 0x1065;
      asm volatile("jmp *%0" : : "r"(at), "a"(random64()), "D"(STUB_SLOTS), "S"(random64()), "d"(STUB_BLOCKS + 0x8000) : "memory");
      _exit(0);
    }
    random_state += round;
    for (int i = 0; i < 10 && waitpid(child, NULL, WNOHANG) == 0; i++) usleep(1000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
}

ATTACK(native_clone_of_a_process) {
  for (int i = 0; i < 20; i++) {
    long pid = native(SYS_clone, STUB_CLONE_FORK, 0, 0, 0, 0, 0);
    if (pid == 0) {
      // Any call of ours would post in our maker's slot: it is killed when it rings, or answered as its maker.
      for (int k = 0; k < 100; k++) syscall(SYS_getppid);
      for (volatile long n = 0; n < 100000000; n++) {
      }
      native(SYS_exit_group, 0, 0, 0, 0, 0, 0);
    }
  }
  for (int i = 0; i < 100; i++) syscall(SYS_getppid);
}

ATTACK(native_clones_that_stay) {
  for (int i = 0; i < 30; i++) {
    long pid = native(SYS_clone, STUB_CLONE_FORK, 0, 0, 0, 0, 0);
    if (pid == 0)
      for (;;) native(SYS_futex, (long)&random_state, 0, (long)random_state, 0, 0, 0);
  }
  syscall(SYS_getppid);
}

ATTACK(native_thread) {
  char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  // The new thread pops what lies on its stack: a place that faults.
  long tid = native(SYS_clone, STUB_CLONE_THREAD, (long)stack + 65536 - 256, 0, 0, 0, 0);
  for (int i = 0; i < 1000 && tid > 0; i++) syscall(SYS_getppid);
}

ATTACK(native_exit_of_the_first_thread) {
  pthread_t thread;
  pthread_create(&thread, NULL, (void *(*)(void *))(void *)getppid, NULL);
  native(SYS_exit, 0, 0, 0, 0, 0, 0);
}

static void *exit_natively(void *unused) {
  native(SYS_exit, 0, 0, 0, 0, 0, 0);
  return unused;
}
ATTACK(native_exit_of_a_thread) {
  pthread_t thread;
  for (int i = 0; i < 20; i++) pthread_create(&thread, NULL, exit_natively, NULL);
  // The kernel believes them alive. The end of the process must not wait for them.
  usleep(100000);
}

ATTACK(exec_with_dead_threads) {
  pthread_t thread;
  for (int i = 0; i < 5; i++) pthread_create(&thread, NULL, exit_natively, NULL);
  usleep(50000);
  execl("/bin/true", "true", NULL);
}

static void block_interrupts(void) {
  uint64_t all = ~0ULL;
  native(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, 0, 8, 0, 0);
}

ATTACK(blocked_interrupt_and_exit_group) {
  pthread_t thread;
  pid_t child = fork();
  if (child == 0) {
    block_interrupts();
    for (;;) {
    }
  }
  usleep(50000);
  kill(child, SIGTERM);
  kill(child, SIGSTOP);
  kill(child, SIGCONT);
  usleep(50000);
  kill(child, SIGKILL);
  int status;
  if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) breach("it cannot be killed");
  (void)thread;
}

static void *spin_blocked(void *unused) {
  block_interrupts();
  for (;;) {
  }
  return unused;
}
ATTACK(blocked_thread_and_exec) {
  pthread_t thread;
  pthread_create(&thread, NULL, spin_blocked, NULL);
  usleep(50000);
  execl("/bin/true", "true", NULL);
}
ATTACK(blocked_thread_and_exit) {
  pthread_t thread;
  pthread_create(&thread, NULL, spin_blocked, NULL);
  usleep(50000);
}
ATTACK(blocked_thread_and_fork) {
  pthread_t thread;
  pthread_create(&thread, NULL, spin_blocked, NULL);
  usleep(20000);
  for (int i = 0; i < 5; i++) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
  }
}

ATTACK(call_with_all_signals_blocked) {
  // SIGSYS is blocked: the host kills who traps.
  block_interrupts();
  syscall(SYS_getppid);
}

static void on_usr1(int signo, siginfo_t *info, void *context) {
  (void)signo, (void)info;
  ucontext_t *c = context;
  uint64_t *words = (uint64_t *)c->uc_mcontext.fpregs;
  for (int i = 0; i < 64; i++) words[i] = random64();
  for (int i = 0; i < 23; i++)
    if (random64() & 1) c->uc_mcontext.gregs[i] = (greg_t)random64();
  memset(&c->uc_sigmask, 0xff, sizeof c->uc_sigmask);
}
ATTACK(wild_signal_frames) {
  for (int i = 0; i < 60; i++) {
    pid_t child = fork();
    if (child == 0) {
      struct sigaction action = {.sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO};
      sigaction(SIGUSR1, &action, NULL);
      raise(SIGUSR1);
      _exit(0);
    }
    random_state += i + 1;
    for (int k = 0; k < 100 && waitpid(child, NULL, WNOHANG) == 0; k++) usleep(1000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
}

ATTACK(sigreturn_from_anywhere) {
  for (int i = 0; i < 40; i++) {
    pid_t child = fork();
    if (child == 0) {
      uint64_t frame[256];
      for (int k = 0; k < 256; k++) frame[k] = random64() >> (random64() & 63);
      if (i & 1) frame[0] = frame[1] = 0;
      asm volatile("mov %0, %%rsp\n mov $15, %%eax\n syscall" : : "r"(i % 4 == 3 ? (uint64_t *)random64() : frame) : "memory");
      _exit(0);
    }
    random_state += i + 1;
    for (int k = 0; k < 100 && waitpid(child, NULL, WNOHANG) == 0; k++) usleep(1000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
}
