// Two threads: one makes calls, the other changes what the sentry reads of it at that moment.
#include "hostile.h"

static volatile int stop;
static struct StubSlot *victim;

static void *scribble(void *how) {
  unsigned kind = (unsigned)(uintptr_t)how;
  while (!stop) {
    uint64_t *words = (uint64_t *)victim;
    switch (kind) {
      case 0:  // everything
        words[random64() % 512] = random64();
        break;
      case 1:  // the state
        __atomic_store_n(&victim->state, (uint32_t)(random64() % 7), __ATOMIC_SEQ_CST);
        break;
      case 2:  // the kind of the event
        victim->kind = (uint32_t)(random64() % 10);
        break;
      case 3:  // the registers
        words[1 + random64() % 18] = random64() >> (random64() & 63);
        break;
      case 4:  // the ops and their count
        victim->opCount = (uint32_t)random64();
        victim->ops[random64() % 16].nr = random64() % 500;
        victim->ops[random64() % 16].kind = (uint32_t)(random64() % 7);
        victim->ops[random64() % 16].a[random64() % 6] = random64();
        break;
      default:  // what it says of itself
        victim->fpstate = random64() & 1 ? 0 : random64();
        victim->token ^= 1ULL << (random64() & 63);
        victim->child = (int64_t)(random64() % 300);
        victim->opIndex = (uint32_t)random64();
        victim->opResult = (int64_t)random64();
    }
  }
  return NULL;
}

/** Calls of many kinds, those with ops, blocking and children among them. */
static void work(void) {
  int fds[2];
  char buffer[64];
  if (pipe(fds)) return;
  for (int i = 0; i < 400; i++) {
    write(fds[1], buffer, 8);
    read(fds[0], buffer, 8);
    void *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page, 4096, PROT_READ);
    page = mremap(page, 8192, 16384, MREMAP_MAYMOVE);
    munmap(page, 16384);
    struct timespec t = {0, 1000};
    if (i % 32 == 0) nanosleep(&t, NULL);
    if (i % 16 == 0) {
      pid_t child = fork();
      if (child == 0) _exit(0);
      if (child > 0) waitpid(child, NULL, WNOHANG);
    }
    if (i % 64 == 0) {
      int file = open("/bin/true", O_RDONLY);
      void *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
      munmap(map, 4096);
      close(file);
    }
  }
}

static void race(unsigned how) {
  // Each round may end by a kill: so each is a process.
  for (int round = 0; round < 8; round++) {
    pid_t child = fork();
    if (child == 0) {
      pthread_t thread;
      random_state += (uint64_t)round * 77 + how;
      victim = own_slot();
      pthread_create(&thread, NULL, scribble, (void *)(uintptr_t)how);
      work();
      _exit(0);
    }
    for (int i = 0; i < 800 && waitpid(child, NULL, WNOHANG) == 0; i++) usleep(1000);
    kill(child, SIGKILL);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
  }
}

ATTACK(race_everything) { race(0); }
ATTACK(race_state) { race(1); }
ATTACK(race_kind) { race(2); }
ATTACK(race_registers) { race(3); }
ATTACK(race_ops) { race(4); }
ATTACK(race_self) { race(5); }

static char *shared_page;
static void *remap(void *unused) {
  while (!stop) {
    mmap(shared_page, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    munmap(shared_page + 4096, 4096);
    mprotect(shared_page, 4096, PROT_NONE);
  }
  return unused;
}
ATTACK(race_memory_of_calls) {
  // The memory of a call's arguments comes and goes while the kernel copies.
  shared_page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_t thread;
  pthread_create(&thread, NULL, remap, NULL);
  int fds[2];
  if (pipe2(fds, O_NONBLOCK)) _exit(1);
  for (int i = 0; i < 3000; i++) {
    write(fds[1], shared_page + 4000, 200);
    read(fds[0], shared_page + 4000, 200);
    open(shared_page + 4090, O_RDONLY);
    struct iovec *iov = (struct iovec *)(shared_page + 4088);
    readv(fds[0], iov, 2);
    syscall(SYS_execve, shared_page + 4090, shared_page + 4000, shared_page + 4000);
    if (i % 50 == 0) {
      pid_t child = fork();
      if (child == 0) _exit(0);
      waitpid(child, NULL, 0);
    }
  }
  stop = 1;
}

static void *fork_and_exit(void *unused) {
  for (int i = 0; i < 30 && !stop; i++) {
    pid_t child = fork();
    if (child == 0) _exit(0);
    if (child > 0) waitpid(child, NULL, 0);
  }
  return unused;
}
ATTACK(threads_that_fork_exec_and_die) {
  for (int round = 0; round < 10; round++) {
    pid_t child = fork();
    if (child == 0) {
      pthread_t threads[8];
      for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, fork_and_exit, NULL);
      usleep(round * 3000);
      if (round % 3 == 0) execl("/bin/true", "true", NULL);
      if (round % 3 == 1) _exit(0);
      kill(getpid(), SIGKILL);
    }
    waitpid(child, NULL, 0);
  }
}

static volatile int passing = 1;
static void *map_passing_descriptors(void *found) {
  // A descriptor lies in this process between its hand-over and the mmap that it is for.
  while (passing)
    for (int fd = 0; fd < 6; fd++) {
      long at = native(SYS_mmap, 0x20000000000, 4096, 3, MAP_SHARED | MAP_FIXED, fd, 0);
      if (at > 0 && at < 0x7fffffffffff) *(volatile long *)found = fd + 1;
    }
  return NULL;
}
/** Maps `file`, which is open for reading only, and grabs at its descriptor meanwhile. */
static void map_and_grab(int file, const char *what) {
  volatile long found = 0;
  pthread_t thread;
  passing = 1;
  pthread_create(&thread, NULL, map_passing_descriptors, (void *)&found);
  for (int i = 0; i < 1500 && !found; i++) {
    void *map = mmap(NULL, 4096, PROT_READ, i & 1 ? MAP_SHARED : MAP_PRIVATE, file, 0);
    munmap(map, 4096);
  }
  passing = 0;
  pthread_join(thread, NULL);
  if (found) breach("%s was mapped for writing by descriptor %ld", what, found - 1);
}
ATTACK(write_through_a_read_only_mapping) {
  // A host file that we may only read must not be writable while its descriptor passes through.
  map_and_grab(open("/bin/true", O_RDONLY), "a read-only file");
}
ATTACK(write_to_a_memory_file_mapped_for_reading) {
  int file = open("/tmp/memory-file", O_RDWR | O_CREAT, 0444);
  char block[4096] = {1};
  for (int i = 0; i < 40; i++) write(file, block, sizeof block);
  close(file);
  map_and_grab(open("/tmp/memory-file", O_RDONLY), "a file in memory");
}
