// Asks the real kernel about seccomp filters. Standard input is a sequence of requests, standard output has one
// int32 per question.
//   check:  u32 0, u32 length, instructions     -> errno of seccomp(2), 0 when it would take the program
//   decide: u32 1, u32 length, instructions, u32 count, count x (u64 nr, 6 x u64 argument)
//           -> per record the errno of the call under the filter
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_RECORDS = 4096, MAX_LENGTH = 5000 };

struct record {
  uint64_t nr, args[6];
};

static struct sock_filter insns[MAX_LENGTH];
static struct record records[MAX_RECORDS];

static int get(void *into, size_t size, size_t count) { return fread(into, size, count, stdin) == count; }

static void put(int32_t value) { fwrite(&value, sizeof value, 1, stdout); }

static uint32_t get_length(uint32_t max) {
  uint32_t n;
  if (!get(&n, sizeof n, 1) || n > max) exit(2);
  return n;
}

// The kernel checks the program before it makes the listener's fd, and no fd can be made here: EMFILE means
// that the program is good, and nothing is ever installed.
static int check(struct sock_fprog *program) {
  long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, program);
  if (rc >= 0) exit(3);
  return errno == EMFILE ? 0 : errno;
}

// The child may be unable to do anything but the calls asked about, so it reports through shared memory.
static void decide(struct sock_fprog *program, uint32_t count) {
  volatile int32_t *results = mmap(0, 4 * (MAX_RECORDS + 1), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (results == MAP_FAILED) exit(4);
  pid_t child = fork();
  if (child == 0) {
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) != 0) results[MAX_RECORDS] = 2;
    for (uint32_t i = 0; results[MAX_RECORDS] == 0 && i < count; i++) {
      const struct record *r = &records[i];
      register uint64_t r10 __asm__("r10") = r->args[3];
      register uint64_t r8 __asm__("r8") = r->args[4];
      register uint64_t r9 __asm__("r9") = r->args[5];
      uint64_t rax = r->nr;
      __asm__ volatile("syscall"
                       : "+a"(rax)
                       : "D"(r->args[0]), "S"(r->args[1]), "d"(r->args[2]), "r"(r10), "r"(r8), "r"(r9)
                       : "rcx", "r11", "memory");
      results[i] = (int32_t)-(int64_t)rax;
    }
    if (results[MAX_RECORDS] == 0) results[MAX_RECORDS] = 1;
    for (;;) __asm__ volatile("pause");
  }
  int status = 0;
  while (results[MAX_RECORDS] == 0 && waitpid(child, &status, WNOHANG) == 0) usleep(200);
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  if (results[MAX_RECORDS] != 1) exit(5);
  for (uint32_t i = 0; i < count; i++) put(results[i]);
  munmap((void *)results, 4 * (MAX_RECORDS + 1));
}

int main(void) {
  struct rlimit none = {0, 0};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || setrlimit(RLIMIT_NOFILE, &none) != 0) return 1;
  uint32_t kind;
  while (get(&kind, sizeof kind, 1)) {
    uint32_t length = get_length(MAX_LENGTH);
    if (!get(insns, sizeof insns[0], length)) return 2;
    struct sock_fprog program = {(unsigned short)length, insns};
    if (kind == 0) {
      put(check(&program));
    } else {
      uint32_t count = get_length(MAX_RECORDS);
      if (!get(records, sizeof records[0], count)) return 2;
      fflush(stdout);
      decide(&program, count);
    }
  }
  return 0;
}
