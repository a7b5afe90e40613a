// Random calls with random arguments: bounded, and the same in every run.
#include "hostile.h"

static char page[4096];
static int fds[16];

static uint64_t argument(void) {
  switch (random64() % 12) {
    case 0: return 0;
    case 1: return (uint64_t)-1;
    case 2: return random64() % 16;
    case 3: return random64();
    case 4: return random64() & 0xffffffff;
    case 5: return (uint64_t)page + random64() % sizeof page;
    case 6: return 1ULL << (random64() & 63);
    case 7: return (1ULL << (random64() & 63)) - 1;
    case 8: return (uint64_t)(-100);
    case 9: return STUB_SLOTS + random64() % 65536;
    case 10: return (uint64_t)fds[random64() % 16];
    default: return random64() % 5000;
  }
}

/** Calls that end or stop the caller for good, or only wait. */
static int left_out(long nr) {
  return nr == SYS_exit || nr == SYS_exit_group || nr == SYS_pause || nr == SYS_rt_sigreturn || nr == SYS_vfork || nr == SYS_fork ||
         nr == SYS_clone || nr == SYS_clone3 || nr == SYS_alarm || nr == SYS_setitimer || nr == SYS_rt_sigprocmask || nr == SYS_rt_sigsuspend ||
         nr == SYS_kill || nr == SYS_tkill || nr == SYS_tgkill || nr == SYS_reboot || nr == SYS_execve || nr == SYS_rt_sigtimedwait;
}

static void fuzz_once(uint64_t seed, int calls) {
  random_state = seed * 0x9e3779b97f4a7c15ULL | 1;
  for (unsigned i = 0; i < sizeof page; i++) page[i] = (char)(random64() >> 20);
  pipe(fds), pipe(fds + 2), socketpair(AF_UNIX, SOCK_STREAM, 0, fds + 4);
  fds[6] = open("/proc/self/maps", O_RDONLY), fds[7] = open("/tmp", O_RDONLY), fds[8] = open("/dev/zero", O_RDWR);
  fds[9] = (int)syscall(SYS_memfd_create, "f", 3), fds[10] = open("/etc/passwd", O_RDONLY), fds[11] = open("/dev/ptmx", O_RDWR);
  signal(SIGALRM, no_op);
  struct itimerval often = {{0, 20000}, {0, 20000}};
  setitimer(ITIMER_REAL, &often, NULL);
  for (int i = 0; i < calls; i++) {
    long nr = (long)(random64() % 470);
    uint64_t a[6];
    for (int k = 0; k < 6; k++) a[k] = argument();
    if (left_out(nr)) continue;
    if (nr == SYS_munmap || nr == SYS_mprotect || nr == SYS_mremap || nr == SYS_pkey_mprotect || nr == SYS_madvise || nr == SYS_remap_file_pages)
      a[0] = (uint64_t)page, a[1] %= 8192;
    if (nr == SYS_mmap || nr == SYS_shmat) a[0] = 0;
    if (nr == SYS_brk) continue;
    if (nr == SYS_prctl && a[0] == 22) continue;
    syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
  }
}

static void fuzz(uint64_t first, int rounds) {
  for (int round = 0; round < rounds; round++) {
    pid_t child = fork();
    if (child == 0) {
      int null = open("/dev/null", O_RDWR);
      dup2(null, 0), dup2(null, 1), dup2(null, 2);
      fuzz_once(first + round, 1500);
      _exit(0);
    }
    for (int i = 0; i < 400 && waitpid(child, NULL, WNOHANG) == 0; i++) usleep(2000);
    kill(child, SIGKILL);
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
  }
}

ATTACK(random_calls_1) { fuzz(1, 20); }
ATTACK(random_calls_2) { fuzz(1000, 20); }
ATTACK(random_calls_3) { fuzz(2000, 20); }
ATTACK(random_calls_4) { fuzz(3000, 20); }
