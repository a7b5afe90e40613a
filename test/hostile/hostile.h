// A frame for programs that attack their own sandbox. Each ATTACK runs in a process of its own, as a user of its
// own, while a witness (another process, another user) watches that nothing of its own changes. An attack may end in
// any way; the witness and this program must not. Results are printed line by line, so that the last line tells which
// attack a sandbox did not survive.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../native/stub/slot.h"

#define ATTACK_SECONDS 8
#define ATTACKER 4000
#define WITNESS 5000
#define NOBODY 65534
#define SECRET_BYTES 65536

struct attack {
  const char *name;
  void (*body)(void);
  struct attack *next;
};
static struct attack *first_attack, **last_attack = &first_attack;

#define ATTACK(id)                                                \
  static void attack_##id(void);                                  \
  __attribute__((constructor)) static void register_##id(void) {  \
    static struct attack self = {#id, attack_##id, NULL};         \
    *last_attack = &self;                                         \
    last_attack = &self.next;                                     \
  }                                                               \
  static void attack_##id(void)

/** The attack found a hole: the one way in which it fails by itself. */
#define BREACH 99
__attribute__((unused, noreturn, format(printf, 1, 2))) static void breach(const char *format, ...) {
  va_list args;
  va_start(args, format);
  printf("# breach: ");
  vprintf(format, args);
  printf("\n");
  fflush(stdout);
  _exit(BREACH);
}

static uint64_t random_state = 88172645463325252ULL;
/** Xorshift: the same sequence in every run. */
__attribute__((unused)) static uint64_t random64(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  return random_state ^= random_state << 17;
}

__attribute__((unused)) static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

__attribute__((unused)) static void no_op(int signo) { (void)signo; }

// ---- native calls, through the stub's own text

/** Where the stub makes its clone call: the code after it comes back to who called it. */
__attribute__((unused)) static uint64_t stub_gate(void) {
  static const unsigned char code[] = {0x0f, 0x05, 0x48, 0x85, 0xc0, 0x74};
  static uint64_t found;
  for (uint64_t at = STUB_BASE; !found && at < STUB_BASE + STUB_PAGE; at++)
    if (!memcmp((void *)at, code, sizeof code)) found = at;
  return found;
}

/** A system call whose instruction pointer is in the stub: the filter takes it for the stub's own. */
__attribute__((noinline, unused)) static long native(long nr, long a, long b, long c, long d, long e, long f) {
  uint64_t gate = stub_gate();
  if (!gate) return -ENOSYS;
  long result = nr;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  // When the call gives 0, the code there pops our return address and a word, and calls that address.
  asm volatile(
      "sub $128, %%rsp\n push $0\n mov %%rbp, %%r12\n lea 1f(%%rip), %%r13\n call *%[gate]\n"
      "1: mov %%r12, %%rbp\n cmp %%r13, %%rax\n jne 2f\n xor %%eax, %%eax\n"
      "2: add $136, %%rsp\n"
      : "+a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8), "+r"(r9)
      : [gate] "b"(gate)
      : "rcx", "r11", "r12", "r13", "memory", "cc");
  return result;
}

/** The index of the calling thread's slot, as its alternate stack tells. */
__attribute__((unused)) static uint64_t slot_index(void) {
  struct { uint64_t sp; int32_t flags, pad; uint64_t size; } stack = {0};
  if (native(SYS_sigaltstack, 0, (long)&stack, 0, 0, 0, 0) < 0) return 0;
  return (stack.sp - STUB_BLOCKS) / STUB_BLOCK_SIZE;
}

__attribute__((unused)) static struct StubSlot *own_slot(void) {
  return (struct StubSlot *)(STUB_SLOTS + slot_index() * STUB_SLOT_SIZE);
}

// ---- the witness

static volatile unsigned char *secret;
static int to_witness, from_witness;

static unsigned char secret_byte(size_t i) { return (unsigned char)(i * 7 + (i >> 8) * 13 + 1); }

static void become(uid_t id) {
  if (syscall(SYS_setgroups, 0, NULL) || setresgid(id, id, id) || setresuid(id, id, id)) _exit(98);
}

/** What a witness sees that something is wrong with, or NULL. */
static const char *complaint(int file, pid_t self, const sigset_t *mask) {
  unsigned char block[256];
  sigset_t now;
  for (size_t i = 0; i < SECRET_BYTES; i++)
    if (secret[i] != secret_byte(i)) return "its memory changed";
  if (pread(file, block, sizeof block, 0) != sizeof block) return "its file cannot be read";
  for (size_t i = 0; i < sizeof block; i++)
    if (block[i] != secret_byte(i)) return "its file changed";
  // Names that nobody has asked for yet: the gofer must be asked.
  static int asked;
  snprintf((char *)block, sizeof block, "/usr/nothing.%d", asked++);
  if (access((char *)block, F_OK) != -1 || errno != ENOENT) return "the host's files cannot be reached";
  if (getpid() != self || getuid() != WITNESS) return "it is somebody else";
  if (sigprocmask(SIG_SETMASK, NULL, &now) || memcmp(&now, mask, 8)) return "its signal mask changed";
  int ends[2];
  if (pipe(ends) || write(ends[1], "x", 1) != 1 || read(ends[0], block, 1) != 1) return "pipes do not work";
  close(ends[0]), close(ends[1]);
  pid_t child = fork();
  if (child == -1) return "it cannot fork";
  if (child == 0) _exit(42);
  int status;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 42) return "its child failed";
  void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED || *(volatile char *)page != 0 || munmap(page, 4096)) return "memory is not fresh";
  return NULL;
}

/** Answers each byte with a verdict, until its pipe closes. */
static void witness(int in, int out) {
  become(WITNESS);
  secret = mmap(NULL, SECRET_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (size_t i = 0; i < SECRET_BYTES; i++) secret[i] = secret_byte(i);
  char name[] = "/tmp/witness.XXXXXX";
  int file = mkstemp(name);
  if (file < 0 || write(file, (void *)secret, SECRET_BYTES) != SECRET_BYTES) _exit(97);
  pid_t self = getpid();
  sigset_t mask;
  sigprocmask(SIG_SETMASK, NULL, &mask);
  for (char byte; read(in, &byte, 1) == 1;) {
    const char *wrong = complaint(file, self, &mask);
    char line[128] = {0};
    snprintf(line, sizeof line, "%s", wrong ? wrong : "well");
    if (write(out, line, sizeof line) != sizeof line) break;
  }
  unlink(name);
  _exit(0);
}

static pid_t witness_pid;
static void start_witness(void) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) exit(96);
  if ((witness_pid = fork()) == 0) {
    close(in[1]), close(out[0]);
    witness(in[0], out[1]);
  }
  close(in[0]), close(out[1]);
  to_witness = in[1], from_witness = out[0];
}

/** Asks the witness; what it says must come in time. */
static const char *ask_witness(void) {
  static char line[128];
  struct timeval limit = {60, 0};
  fd_set set;
  FD_ZERO(&set);
  FD_SET(from_witness, &set);
  if (write(to_witness, "?", 1) != 1) return "it is gone";
  if (select(from_witness + 1, &set, NULL, NULL, &limit) != 1) return "it does not answer";
  return read(from_witness, line, sizeof line) == sizeof line ? line : "it died";
}

// ---- running the attacks

static int attack_seconds = ATTACK_SECONDS;

/** Waits for the attacker with a time limit. Returns its wait status, or -1 when it had to be killed and went, -2 when it did not. */
static int outcome(pid_t pid) {
  int status;
  for (double end = seconds() + attack_seconds; seconds() < end; usleep(2000))
    if (waitpid(pid, &status, WNOHANG) == pid) return status;
  kill(-pid, SIGKILL);
  kill(pid, SIGKILL);
  for (double end = seconds() + 60; seconds() < end; usleep(2000))
    if (waitpid(pid, &status, WNOHANG) == pid) return -1;
  return -2;
}

static void reap_all(void) {
  // Orphans of attacks belong to process 1, which we are. Their groups are gone by now, or about to be.
  for (int i = 0; i < 200; i++) {
    pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);
    if (pid == 0) usleep(1000);
    if (pid < 0) break;
    if (pid == witness_pid) witness_pid = 0;
  }
}

/** Streams whose open files nobody shares: what a wild call does to them must not reach our reports. */
static void own_streams(void) {
  int out = open("/proc/self/fd/1", O_WRONLY | O_APPEND), null = open("/dev/null", O_RDWR);
  if (out < 0 || null < 0) _exit(95);
  dup2(null, 0), dup2(out, 1), dup2(out, 2);
  close(out), close(null);
}

static int run_attack(const struct attack *attack) {
  printf("# %s\n", attack->name);
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) return printf("not ok %s: no process for it\n", attack->name), 1;
  if (pid == 0) {
    setpgid(0, 0);
    close(to_witness), close(from_witness);
    own_streams();
    become(ATTACKER);
    struct rlimit core = {0, 0};
    setrlimit(RLIMIT_CORE, &core);
    attack->body();
    _exit(0);
  }
  setpgid(pid, pid);
  int status = outcome(pid);
  kill(-pid, SIGKILL);
  // Whoever left the group is of the same user.
  pid_t sweeper = fork();
  if (sweeper == 0) {
    become(ATTACKER);
    for (int i = 0; i < 20 && kill(-1, SIGKILL) == 0; i++) usleep(1000);
    _exit(0);
  }
  waitpid(sweeper, NULL, 0);
  reap_all();
  const char *wrong = ask_witness();
  int bad = strcmp(wrong, "well") || status == -2 || (WIFEXITED(status) && WEXITSTATUS(status) == BREACH);
  printf("%s %s: status 0x%x, the witness is %s\n", bad ? "not ok" : "ok", attack->name, status, wrong);
  fflush(stdout);
  return bad;
}

int main(int argc, char **argv) {
  int failures = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGPIPE, SIG_IGN);
  start_witness();
  ask_witness();
  for (const struct attack *attack = first_attack; attack; attack = attack->next) {
    if (argc > 1 && strcmp(attack->name, argv[1])) continue;
    failures += run_attack(attack);
  }
  close(to_witness);
  printf("over: %d failed\n", failures);
  return failures != 0;
}
