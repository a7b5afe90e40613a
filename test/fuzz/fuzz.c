// Random calls whose arguments mean something: descriptors of many kinds, paths that exist, flags that are defined,
// structs with pointers in them. Each round is a process with pid, mount, IPC, UTS and network namespaces of its own, in
// which it is root; its seed gives the same calls again (threads of a round race with each other).
//
//   fuzz FIRST_SEED ROUNDS [NAME]   with NAME, half of the calls are that one
//
// Only for a sandbox: a round may do anything that root may.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CALLS 1200
#define MSEAL 462
#define ROUND_SECONDS 3
#define FDS 48
#define WORK_BYTES 65536
#define WILD_BYTES 262144

enum kind { NUMBER = 1, FD, PATH, SIGNAL, MODE, ID, ADDRESS, IOVEC, MSGHDR, SOCKADDR, POINTER, FLAGS };
struct set { int count; const uint64_t *values; };
struct call { long nr; const char *name; int args; int kind[6]; };
#include "calls.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static __thread uint64_t state;
static uint64_t rnd(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}
static uint64_t below(uint64_t n) { return rnd() % n; }

/** What calls write to and read from, and what memory calls are done to. */
static unsigned char *work, *wild;
static int fds[FDS];
/** By call: how often it was made, and how often it succeeded. Shared with the driver. */
static struct { uint32_t made, fine; } *tally;

static const char *const PATHS[] = {
    "file", "dir", "link", "loop", "fifo", "dir/file", "missing", "dir/../file", "new", "dir/new", "", ".", "..", "/", "sock", "hard",
    "/proc/self/maps", "/proc/self/mem", "/proc/self/fd/3", "/proc/self/ns/mnt", "/proc/sys/kernel/hostname", "/proc/self/status", "/proc/mounts",
    "/proc/self/oom_score_adj", "/proc/self/uid_map", "/proc/1/cmdline", "/proc/net/tcp", "/proc/self/task", "/proc/self/root", "/proc/self/exe",
    "/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/pts/0", "/dev/shm/x", "/dev/mqueue", "/sys", "/sys/fs/cgroup",
    "/etc/passwd", "/usr/bin/true", "/bin/sh", "tmpfs", "proc", "overlay", "user.name", "trusted.x", "security.capability", "system.posix_acl_access",
    "lowerdir=/usr,upperdir=dir,workdir=dir", "size=1m,mode=700", "/fuzzqueue", "lo", "ext4", "script",
};

static uint64_t constant(void) { return constants[below(COUNT(constants))]; }

static uint64_t number(void) {
  switch (below(14)) {
    case 0: case 1: case 2: return below(9);
    case 3: return 0;
    case 4: return (uint64_t)-(int64_t)below(110);
    case 5: return below(5000);
    case 6: return 1ull << below(64);
    case 7: return (1ull << below(64)) - 1;
    case 8: return rnd();
    case 9: return (uint32_t)rnd();
    case 10: return 4096 * below(70);
    case 11: return (uint64_t)getpid();
    default: return constant();
  }
}

static uint64_t pointer(void) {
  switch (below(40)) {
    case 0: return 0;
    case 1: return rnd();
    case 2: return (uint64_t)wild + below(WILD_BYTES);
    case 3: return (uint64_t)work + WORK_BYTES - below(16);
    default: return (uint64_t)work + (below(WORK_BYTES - 4096) & ~(below(4) ? 7ull : 0ull));
  }
}

static uint64_t fd(void) {
  switch (below(12)) {
    case 0: return (uint64_t)-100;
    case 1: return below(64);
    case 2: return (uint32_t)number();
    default: return (uint64_t)fds[below(FDS)];
  }
}

static uint64_t path(void) {
  if (below(30) == 0) return pointer();
  char *at = (char *)work + (below(WORK_BYTES - 8192) & ~7ull);
  if (below(60) == 0) {
    memset(at, below(2) ? '/' : 'x', 5000);
    at[5000 - below(900)] = 0;
  } else
    strcpy(at, PATHS[below(COUNT(PATHS))]);
  return (uint64_t)at;
}

static uint64_t flags(const struct set *set) {
  uint64_t value = set->values[below(set->count)];
  switch (below(8)) {
    case 0: return number();
    case 1: return value | 1ull << below(32);
    case 2: return 0;
    case 3: case 4:
      for (uint64_t n = below(4); n > 0; n--) value |= set->values[below(set->count)];
      return value;
    default: return value;
  }
}

/** Bytes that might be a struct: words and half words of numbers, descriptors, constants and pointers. */
static void fill(unsigned char *at, size_t bytes) {
  for (size_t i = 0; i + 8 <= bytes; i += 8) {
    uint64_t word;
    switch (below(8)) {
      case 0: word = pointer(); break;
      case 1: word = number() | fd() << 32; break;
      case 2: word = (uint32_t)constant() | constant() << 32; break;
      case 3: word = path(); break;
      case 4: word = below(100000); break;
      case 5: word = fd(); break;
      default: word = number();
    }
    memcpy(at + i, &word, 8);
  }
}

static uint64_t filled(void) {
  uint64_t at = pointer();
  if (at >= (uint64_t)work && at + 256 <= (uint64_t)work + WORK_BYTES && below(6)) fill((unsigned char *)at, 8 * below(24));
  return at;
}

static uint64_t iovec(void) {
  struct iovec *at = (struct iovec *)(work + 64 * below(64));
  for (int i = 0; i < 8; i++) at[i] = (struct iovec){(void *)pointer(), below(8) ? below(3000) : number()};
  return (uint64_t)at;
}

static uint64_t sockaddr(void) {
  unsigned char *at = work + 8192 + 128 * below(64);
  fill(at, 112);
  static const uint16_t families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNSPEC};
  if (below(10)) memcpy(at, &families[below(6)], 2);
  if (at[0] == AF_UNIX && below(2)) strcpy((char *)at + 2, below(2) ? "sock" : "new");
  if (at[0] == AF_INET && below(2)) memcpy(at + 2, "\x1f\x90\x7f\0\0\1", 6);
  return (uint64_t)at;
}

static uint64_t msghdr(void) {
  struct msghdr *at = (struct msghdr *)(work + 20480 + 64 * below(64));
  unsigned char *control = work + 28672 + 256 * below(16);
  fill(control, 256);
  struct cmsghdr head = {below(4) ? CMSG_LEN(4 * below(6)) : number(), below(3) ? SOL_SOCKET : (int)constant(), below(3) ? 1 + (int)below(2) : (int)number()};
  if (below(5)) memcpy(control, &head, sizeof head);
  for (int i = 0; i < 5; i++) ((int *)(control + 16))[i] = (int)fd();
  *at = (struct msghdr){below(2) ? (void *)sockaddr() : NULL, (uint32_t)(below(3) ? 16 : number()), (void *)iovec(), below(6) ? below(8) : number(),
                        below(2) ? control : NULL, below(4) ? 16 + 8 * below(6) : number(), (int)constant()};
  return (uint64_t)at;
}

static uint64_t argument(int kind) {
  if (below(50) == 0) return number();
  switch (kind) {
    case FD: return fd();
    case PATH: return path();
    case SIGNAL: return below(66);
    case MODE: return rnd() & 0177777;
    case ID: return below(3) ? below(4) * 1000 : number();
    case IOVEC: return iovec();
    case MSGHDR: return msghdr();
    case SOCKADDR: return sockaddr();
    case ADDRESS: return below(3) ? (uint64_t)wild + 4096 * below(64) : filled();
    case POINTER: return filled();
    case NUMBER: return below(6) ? number() : filled();
    default: return flags(&sets[kind - FLAGS]);
  }
}

/** Calls that are made by a child, since the caller may not come back. */
static int parting(long nr) {
  return nr == SYS_execve || nr == SYS_execveat || nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn || nr == SYS_kill || nr == SYS_tkill ||
         nr == SYS_tgkill || nr == SYS_rt_sigqueueinfo || nr == SYS_rt_tgsigqueueinfo || nr == SYS_pidfd_send_signal || nr == SYS_seccomp || nr == SYS_prctl ||
         nr == SYS_arch_prctl || nr == SYS_munmap || nr == SYS_brk || nr == SYS_close_range || nr == SYS_rt_sigprocmask || nr == SYS_rt_sigaction ||
         nr == SYS_setrlimit || nr == SYS_prlimit64 || nr == SYS_ptrace || nr == SYS_sigaltstack || nr == SYS_chroot || nr == SYS_setsid;
}

static void child_calls(int n);

/** Children of children have no more of them: exhaust.c is about too many. */
static int generation;
#define GENERATIONS 3

static pid_t new_child(long pid) {
  if (pid == 0) generation++;
  return (pid_t)pid;
}

static long forked(const struct call *call, uint64_t *a) {
  if (generation == GENERATIONS) return -1;
  pid_t pid = new_child(syscall(SYS_fork));
  if (pid == 0) {
    syscall(call->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    child_calls(6);
    _exit(0);
  }
  return pid;
}

static long made(const struct call *call, uint64_t *a) {
  long nr = call->nr;
  if (nr == SYS_vfork || nr == SYS_fork || nr == SYS_clone || nr == SYS_clone3) {
    if (generation == GENERATIONS) return -1;
    // A child with memory of its own.
    uint64_t how = a[0] & ~(uint64_t)(CLONE_VM | CLONE_SETTLS | CLONE_SIGHAND | CLONE_THREAD | 0xff) & 0xffffffff;
    pid_t pid = new_child(syscall(SYS_clone, below(2) ? how | below(65) : SIGCHLD, 0, a[2], a[3], 0));
    if (pid == 0) {
      child_calls(20);
      _exit(0);
    }
    return pid;
  }
  if (nr == SYS_reboot || nr == SYS_pause || nr == SYS_rt_sigsuspend) return -1;
  if (nr == SYS_mmap && below(4)) a[1] &= 0xffff, a[3] &= ~(uint64_t)MAP_FIXED;
  if (nr == SYS_mmap && a[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)) a[0] = (uint64_t)wild + 4096 * below(32), a[1] %= WILD_BYTES / 2;
  if (nr == SYS_shmat) a[1] = 0;
  if (nr == SYS_mprotect || nr == SYS_pkey_mprotect || nr == SYS_mremap || nr == SYS_madvise || nr == SYS_remap_file_pages || nr == MSEAL)
    a[0] = (uint64_t)wild + 4096 * below(32), a[1] %= WILD_BYTES / 2;
  if (nr == SYS_mremap) a[4] = (uint64_t)wild + 4096 * below(32), a[2] %= WILD_BYTES / 2;
  return parting(nr) ? forked(call, a) : syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static const struct call *wanted;

static void one_call(void) {
  const struct call *call = wanted && below(2) ? wanted : &calls[below(COUNT(calls))];
  if (parting(call->nr) && below(8)) return;
  uint64_t a[6] = {0};
  for (int i = 0; i < 6; i++) a[i] = i < call->args ? argument(call->kind[i]) : number();
  long result = made(call, a);
  tally[call - calls].made++;
  if (result < 0) return;
  tally[call - calls].fine++;
  if (result > 2 && result < 1000 && below(3) == 0) fds[below(FDS)] = (int)result;
}

static void child_calls(int n) {
  for (int i = 0; i < n; i++) one_call();
}

static void open_some(void) {
  int i = 0, pair[2];
#define ADD(descriptor) fds[i++] = (descriptor)
  ADD(open("file", O_RDWR)), ADD(open("dir", O_RDONLY)), ADD(open(".", O_PATH)), ADD(open("fifo", O_RDWR | O_NONBLOCK));
  ADD(open("/proc/self/maps", O_RDONLY)), ADD(open("/proc/self/mem", O_RDWR)), ADD(open("/proc/self/task", O_RDONLY)), ADD(open("/dev/zero", O_RDWR));
  ADD(open("/dev/ptmx", O_RDWR | O_NOCTTY)), ADD(open("/dev/tty", O_RDWR)), ADD(open("/usr/bin/true", O_RDONLY)), ADD(open("/usr/bin", O_RDONLY));
  for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++)
    if (socketpair(AF_UNIX, type, 0, pair) == 0) ADD(pair[0]), ADD(pair[1]);
  pipe(pair), ADD(pair[0]), ADD(pair[1]);
  ADD(socket(AF_INET, SOCK_STREAM, 0)), ADD(socket(AF_INET6, SOCK_STREAM, 0)), ADD(socket(AF_INET, SOCK_DGRAM, 0)), ADD(socket(AF_INET6, SOCK_DGRAM, 0));
  ADD(socket(AF_NETLINK, SOCK_RAW, 0)), ADD(socket(AF_NETLINK, SOCK_RAW, 4)), ADD(socket(AF_PACKET, SOCK_RAW, 0x300)), ADD(socket(AF_INET, SOCK_RAW, 1));
  ADD(socket(AF_UNIX, SOCK_STREAM, 0));
  ADD(epoll_create1(0)), ADD(timerfd_create(CLOCK_MONOTONIC, 0)), ADD(eventfd(3, 0)), ADD(inotify_init1(IN_NONBLOCK));
  sigset_t usr1;
  sigemptyset(&usr1), sigaddset(&usr1, SIGUSR1);
  ADD(signalfd(-1, &usr1, 0)), ADD(memfd_create("m", MFD_ALLOW_SEALING)), ADD((int)syscall(SYS_pidfd_open, getpid(), 0));
  ADD(open("/proc/self/ns/mnt", O_RDONLY)), ADD((int)syscall(SYS_fsopen, "tmpfs", 0)), ADD((int)syscall(SYS_open_tree, -100, ".", 1));
  while (i < FDS) ADD(open(PATHS[below(COUNT(PATHS))], O_RDWR | O_NONBLOCK));
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr at = {AF_INET, "\x1f\x90\x7f\0\0\1"};
  bind(listener, &at, sizeof at), listen(listener, 3);
  fds[below(FDS)] = listener;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void no_op(int signo) { (void)signo; }

static void *thread(void *seed) {
  state = (uint64_t)seed;
  child_calls(CALLS);
  return NULL;
}

static int round_of(void *seed) {
  state = ((uint64_t)seed + 1) * 0x9e3779b97f4a7c15ull;
  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
  mount("fuzz", "/tmp", "tmpfs", 0, "size=16m"), mount("proc", "/proc", "proc", 0, NULL);
  chdir("/tmp"), mkdir("dir", 0755), symlink("file", "link"), symlink("loop", "loop"), mkfifo("fifo", 0666);
  close(open("dir/file", O_CREAT | O_RDWR, 0666)), link("dir/file", "hard");
  int file = open("file", O_CREAT | O_RDWR, 0666), script = open("script", O_CREAT | O_RDWR, 0755);
  ftruncate(file, 100000), write(script, "#!/bin/sh\n", 10), close(file), close(script);
  int null = open("/dev/null", O_RDWR);
  dup2(null, 0), dup2(null, 1), dup2(null, 2);
  open_some();
  // Nothing waits for long.
  struct sigaction action = {.sa_handler = no_op};
  sigaction(SIGALRM, &action, NULL), sigaction(SIGUSR1, &action, NULL), sigaction(SIGIO, &action, NULL), sigaction(SIGPIPE, &action, NULL);
  struct itimerval often = {{0, 10000}, {0, 10000}};
  setitimer(ITIMER_REAL, &often, NULL);
  pthread_t other;
  for (uint64_t n = below(3); n > 0; n--) pthread_create(&other, NULL, thread, (void *)(rnd() | 1));
  child_calls(CALLS);
  _exit(0);
}

/** A new process that opens what no round can take away: how long it takes tells whether the kernel still serves others. */
static void check_others(uint64_t seed) {
  double from = now();
  pid_t pid = fork();
  if (pid == 0) _exit(open("/", O_RDONLY) < 0 || pipe(fds) < 0 ? errno : 0);
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) printf("seed %lu: another process failed: %d, %x\n", seed, pid, status);
  if (now() - from > 20) printf("seed %lu: another process took %.0f s\n", seed, now() - from);
}

static void run_round(uint64_t seed) {
  static unsigned char stack[65536] __attribute__((aligned(16)));
  int namespaces = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET;
  pid_t pid = clone(round_of, stack + sizeof stack, namespaces | SIGCHLD, (void *)seed);
  if (pid < 0) exit(printf("seed %lu: no process for it: %s\n", seed, strerror(errno)));
  int status;
  pid_t over;
  for (double end = now() + ROUND_SECONDS; (over = waitpid(pid, &status, WNOHANG)) == 0 && now() < end;) usleep(5000);
  if (over == 0) kill(pid, SIGKILL), waitpid(pid, &status, 0);
  check_others(seed);
}

int main(int argc, char **argv) {
  uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 0) : 0, rounds = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
  for (size_t i = 0; argc > 3 && i < COUNT(calls); i++)
    if (!strcmp(calls[i].name, argv[3])) wanted = &calls[i];
  setvbuf(stdout, NULL, _IOLBF, 0);
  tally = mmap(NULL, sizeof *tally * COUNT(calls), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  work = mmap(NULL, WORK_BYTES + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  wild = mmap(NULL, WILD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (uint64_t seed = first; seed < first + rounds; seed++) {
    printf("# %lu\n", seed);
    run_round(seed);
  }
  uint64_t made = 0, fine = 0, ever = 0;
  for (size_t i = 0; i < COUNT(calls); i++) made += tally[i].made, fine += tally[i].fine, ever += tally[i].fine > 0;
  for (size_t i = 0; i < COUNT(calls); i++)
    if (argc > 4) printf("%s %u %u\n", calls[i].name, tally[i].made, tally[i].fine);
  printf("over: %lu calls, %lu succeeded; %lu of %zu kinds did\n", made, fine, ever, COUNT(calls));
  return 0;
}
