// Calls every system call of the generated table with one bad pointer at a time, each in a child of its own, and
// prints what came of it: `call.argument variant: result`. What Linux prints is the expected output.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define BUFFERS 6

enum { NUMBER, POINTER, STRING };

struct arg {
  const char *name;
  int kind;
  long value;
  const char *string;
};

struct call {
  const char *name;
  long nr;
  int tested;  // bits of the arguments that are made bad in turn
  struct arg args[6];
};

static const struct call calls[] = {
#include "table.h"
};

// What a child may use, at fixed descriptors.
enum { FILE_FD = 100, DIR_FD, PIPE_R, PIPE_W, STREAM, STREAM_PEER, DGRAM, DGRAM_PEER, LISTENER, EPOLL, EVENT, TIMER, SIGNAL_FD, TTY, PTMX, PIDFD };

static void put(int fd, int at) {
  if (fd < 0) _exit(99);
  dup2(fd, at);
  close(fd);
}

static void prepare(void) {
  int pair[2];
  put(open("f", O_RDWR | O_CREAT, 0644), FILE_FD);
  if (pwrite(FILE_FD, "#data of the file, long enough to be read", 40, 0) < 0) _exit(99);
  put(open(".", O_RDONLY | O_DIRECTORY), DIR_FD);
  if (pipe2(pair, O_NONBLOCK) < 0) _exit(99);
  if (write(pair[1], "datadatadatadata", 16) != 16) _exit(99);
  put(pair[0], PIPE_R);
  put(pair[1], PIPE_W);
  socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
  put(pair[0], STREAM);
  put(pair[1], STREAM_PEER);
  if (write(STREAM_PEER, "datadatadatadata", 16) != 16) _exit(99);
  socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair);
  put(pair[0], DGRAM);
  put(pair[1], DGRAM_PEER);
  if (write(DGRAM_PEER, "datadatadatadata", 16) != 16) _exit(99);
  put(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), LISTENER);
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  snprintf(name.sun_path + 1, 50, "pointers-%d", getpid());
  bind(LISTENER, (struct sockaddr *)&name, sizeof name);
  listen(LISTENER, 5);
  int client = socket(AF_UNIX, SOCK_STREAM, 0);
  connect(client, (struct sockaddr *)&name, sizeof name);
  put(epoll_create1(0), EPOLL);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = 7};
  epoll_ctl(EPOLL, EPOLL_CTL_ADD, PIPE_R, &event);
  put(eventfd(3, EFD_NONBLOCK), EVENT);
  put(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), TIMER);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, NULL);
  raise(SIGUSR2);
  put(signalfd(-1, &set, SFD_NONBLOCK), SIGNAL_FD);
  if (openpty(&pair[0], &pair[1], NULL, NULL, NULL) == 0) {
    put(pair[0], PTMX);
    put(pair[1], TTY);
  }
}

static char *pages(void) {
  char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(p + 2 * PAGE, PAGE);
  return p;
}

/** Bytes before memory ends that are zero (as no string, but as most structs), or 'x' (a string without an end). */
static long half(int length, int fill) {
  char *p = pages();
  memset(p, fill, 2 * PAGE);
  return (long)(p + 2 * PAGE - length);
}

static long readOnly(void) {
  char *p = pages();
  mprotect(p, 2 * PAGE, PROT_READ);
  return (long)p;
}

static long noAccess(void) {
  char *p = pages();
  mprotect(p, 2 * PAGE, PROT_NONE);
  return (long)p;
}

static const char *const variants[] = {"null",  "unmapped", "kernel", "not canonical", "last byte", "ones",     "half 1",
                                       "half 4", "half 8",   "half 16", "string",       "read-only", "no access", "unaligned"};

static long bad(int variant) {
  switch (variant) {
    case 0: return 0;
    case 1: return 0x123456789000;
    case 2: return (long)0xffff800000001000;
    case 3: return (long)0x0000900000000000;
    case 4: return 0x7fffffffefff;
    case 5: return -1;
    case 6: return half(1, 0);
    case 7: return half(4, 0);
    case 8: return half(8, 0);
    case 9: return half(16, 0);
    case 10: return half(PAGE, 'x');
    case 11: return readOnly();
    case 12: return noAccess();
    default: return (long)pages() + 1;
  }
}

static volatile int *result;

static void child(const struct call *call, int tested, int variant) {
  struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  prepare();
  long a[6] = {0};
  for (int i = 0; i < 6; i++) {
    const struct arg *arg = &call->args[i];
    char *p;
    if (i == tested) {
      a[i] = bad(variant);
      continue;
    }
    switch (arg->kind) {
      case NUMBER:
        a[i] = arg->value;
        break;
      case POINTER:
        p = pages();
        for (int at = 0; at < 16 && arg->string; at++) p[at] = arg->string[at];
        a[i] = (long)p;
        break;
      case STRING:
        a[i] = (long)arg->string;
        break;
    }
  }
  long r;
  register long r10 __asm__("r10") = a[3];
  register long r8 __asm__("r8") = a[4];
  register long r9 __asm__("r9") = a[5];
  __asm__ volatile("syscall" : "=a"(r) : "a"(call->nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  *result = r < 0 && r >= -4095 ? (int)-r : 0;
  // The stack and the table may be gone, so nothing else happens here.
  __asm__ volatile("syscall" : : "a"(231), "D"(0) : "rcx", "r11");
}

/** What calls have made in the directory. */
static void clean(void) {
  unlink("f");
  unlink("g");
  rmdir("g");
  unlink("x");
}

int main(void) {
  // A directory of our own that everything happens in, freshly made for each case.
  char dir[] = "/tmp/pointersXXXXXX";
  if (!mkdtemp(dir) || chdir(dir) < 0) return 1;
  result = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, NULL);
  setvbuf(stdout, NULL, _IOFBF, 1 << 20);
  for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
    const struct call *call = &calls[c];
    for (int i = 0; i < 6; i++) {
      if (!(call->tested & 1 << i)) continue;
      for (int v = 0; v < (int)(sizeof variants / sizeof *variants); v++) {
        *result = -1;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) child(call, i, v);
        // Some calls rightly wait for ever; the mask of the child may hold back an alarm of its own.
        struct timespec patience = {3, 0};
        int status;
        while (waitpid(pid, &status, WNOHANG) == 0) {
          if (sigtimedwait(&child_ended, NULL, &patience) < 0) kill(pid, SIGKILL);
        }
        printf("%s.%s %s: ", call->name, call->args[i].name, variants[v]);
        if (WIFSIGNALED(status)) printf("signal %d\n", WTERMSIG(status));
        else if (*result < 0) printf("ended with %d\n", WEXITSTATUS(status));
        else printf("%s\n", *result == 0 ? "ok" : strerrorname_np(*result));
        clean();
      }
    }
  }
  printf("end\n");
  return 0;
}
