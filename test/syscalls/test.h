// A small test framework for programs that check a kernel from the inside. Each TEST runs in a process of its own,
// in an empty directory of its own, with a time limit; results are printed as TAP. A program is one .c file.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/** For what waits for ever: a busy machine may take many times what a quiet one does. */
#define TEST_SECONDS 150
#define SKIP_STATUS 77
#define NOBODY 65534

struct test {
  const char *name;
  void (*body)(void);
  struct test *next;
};
static struct test *first_test, **last_test = &first_test;
/** The reports of the running test go here; its number is high, so that tests see the usual low numbers. */
static int report_fd = -1;

#define TEST(id)                                                    \
  static void test_##id(void);                                      \
  __attribute__((constructor)) static void register_##id(void) {    \
    static struct test self = {#id, test_##id, NULL};               \
    *last_test = &self;                                             \
    last_test = &self.next;                                         \
  }                                                                 \
  static void test_##id(void)

/** Ends the calling process as failed. Async-signal-safe enough for handlers: it only formats and writes. */
__attribute__((noreturn, format(printf, 3, 4))) static inline void fail_at(const char *file, int line,
                                                                           const char *format, ...) {
  char text[512];
  const char *base = strrchr(file, '/');
  int n = snprintf(text, sizeof text, "%s:%d: ", base ? base + 1 : file, line);
  va_list args;
  va_start(args, format);
  n += vsnprintf(text + n, sizeof text - n - 2, format, args);
  va_end(args);
  if (n > (int)sizeof text - 2) n = sizeof text - 2;
  text[n++] = '\n';
  if (write(report_fd, text, n) != n) _exit(2);
  _exit(1);
}

#define FAIL(...) fail_at(__FILE__, __LINE__, __VA_ARGS__)

/** The system lacks what the test is about: not a failure. */
#define SKIP(why)                                                          \
  do {                                                                     \
    if (write(report_fd, why "\n", sizeof why) < 0) _exit(2);              \
    _exit(SKIP_STATUS);                                                    \
  } while (0)

/** Statics that handlers change must be read again, although the C library declares its calls as leaves. */
#define RELOAD() asm volatile("" : : : "memory")

#define EXPECT_TRUE(what)                          \
  do {                                             \
    RELOAD();                                      \
    if (!(what)) FAIL("expected %s", #what);       \
  } while (0)

#define EXPECT_RELATION(a, op, b)                                                                         \
  do {                                                                                                    \
    RELOAD();                                                                                             \
    long long left_ = (long long)(a), right_ = (long long)(b);                                            \
    if (!(left_ op right_)) FAIL("expected %s " #op " %s, got %lld and %lld", #a, #b, left_, right_);     \
  } while (0)
#define EXPECT_EQ(a, b) EXPECT_RELATION(a, ==, b)
#define EXPECT_NE(a, b) EXPECT_RELATION(a, !=, b)
#define EXPECT_GE(a, b) EXPECT_RELATION(a, >=, b)
#define EXPECT_LE(a, b) EXPECT_RELATION(a, <=, b)
#define EXPECT_GT(a, b) EXPECT_RELATION(a, >, b)
#define EXPECT_LT(a, b) EXPECT_RELATION(a, <, b)

#define EXPECT_STR(a, b)                                                                  \
  do {                                                                                    \
    const char *left_ = (a), *right_ = (b);                                               \
    if (strcmp(left_, right_) != 0) FAIL("expected %s to be \"%s\", got \"%s\"", #a, right_, left_); \
  } while (0)

#define EXPECT_MEM(a, b, n)                                                               \
  do {                                                                                    \
    if (memcmp((a), (b), (n)) != 0) FAIL("expected the bytes of %s and %s to be equal", #a, #b); \
  } while (0)

/** The call succeeds; its value. */
#define EXPECT_OK(call)                                                                   \
  ({                                                                                      \
    errno = 0;                                                                            \
    long long result_ = (long long)(call);                                                \
    if (result_ == -1) FAIL("%s failed: %s", #call, strerrorname_np(errno));              \
    result_;                                                                              \
  })

#define EXPECT_ERRNO(call, error)                                                                       \
  do {                                                                                                  \
    errno = 0;                                                                                          \
    long long result_ = (long long)(call);                                                              \
    if (result_ != -1) FAIL("%s succeeded with %lld, expected %s", #call, result_, #error);             \
    if (errno != (error)) FAIL("%s failed with %s, expected %s", #call, strerrorname_np(errno), #error); \
  } while (0)

/** Runs a block in a child, which exits with 0 at its end; the child's pid. */
#define FORK(...)                            \
  ({                                         \
    pid_t child_ = (pid_t)EXPECT_OK(fork()); \
    if (child_ == 0) {                       \
      __VA_ARGS__;                           \
      _exit(0);                              \
    }                                        \
    child_;                                  \
  })

#define EXPECT_EXIT(pid, code)                                                              \
  do {                                                                                      \
    int status_ = 0;                                                                        \
    pid_t pid_ = (pid);                                                                     \
    EXPECT_EQ(EXPECT_OK(waitpid(pid_, &status_, 0)), pid_);                                 \
    if (!WIFEXITED(status_) || WEXITSTATUS(status_) != (code))                              \
      FAIL("expected %s to exit with %d, status is 0x%x", #pid, (int)(code), status_);      \
  } while (0)

#define EXPECT_KILLED(pid, sig)                                                             \
  do {                                                                                      \
    int status_ = 0;                                                                        \
    pid_t pid_ = (pid);                                                                     \
    EXPECT_EQ(EXPECT_OK(waitpid(pid_, &status_, 0)), pid_);                                 \
    if (!WIFSIGNALED(status_) || WTERMSIG(status_) != (sig))                                \
      FAIL("expected %s to be killed by %s, status is 0x%x", #pid, #sig, status_);          \
  } while (0)

/** Runs a block in a child and expects it to succeed. */
#define IN_CHILD(...) EXPECT_EXIT(FORK(__VA_ARGS__), 0)

static inline int64_t now_ns(clockid_t clock) {
  struct timespec t;
  EXPECT_OK(clock_gettime(clock, &t));
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}
static inline int64_t now_ms(void) { return now_ns(CLOCK_MONOTONIC) / 1000000; }

static inline void sleep_ms(int ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
  while (nanosleep(&t, &t) == -1 && errno == EINTR) {
  }
}

/** Makes a file with this text. */
static inline void make_file(const char *path, const char *text) {
  int fd = EXPECT_OK(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644));
  size_t n = strlen(text);
  EXPECT_EQ(write(fd, text, n), n);
  EXPECT_OK(close(fd));
}

/** An empty file, open for reading and writing. */
static inline int open_new(const char *path) {
  return EXPECT_OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0644));
}

/** A file with this text, open for reading and writing. */
static inline int open_with(const char *path, const char *text) {
  make_file(path, text);
  return EXPECT_OK(open(path, O_RDWR));
}

/** Reads a whole file into a terminated buffer; its length. */
static inline size_t read_whole(const char *path, char *buffer, size_t size) {
  int fd = EXPECT_OK(open(path, O_RDONLY));
  size_t length = 0;
  while (length < size - 1) {
    ssize_t n = EXPECT_OK(read(fd, buffer + length, size - 1 - length));
    if (n == 0) break;
    length += n;
  }
  buffer[length] = 0;
  EXPECT_OK(close(fd));
  return length;
}

static inline void expect_content(const char *path, const char *text) {
  char buffer[4096];
  read_whole(path, buffer, sizeof buffer);
  EXPECT_STR(buffer, text);
}

/** The state letter in a file as /proc/PID/stat. */
static inline char state_in(const char *path) {
  char buffer[512];
  read_whole(path, buffer, sizeof buffer);
  char *paren = strrchr(buffer, ')');
  EXPECT_TRUE(paren != NULL);
  return paren[2];
}

/** The state letter of a process, as /proc tells it. */
static inline char process_state(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  return state_in(path);
}

/** Waits for what others bring about, however busy the machine is: the time limit of the test is the only one. */
#define WAIT_UNTIL(what)                    \
  do {                                      \
    while (!({                              \
      RELOAD();                             \
      (what);                               \
    }))                                     \
      sleep_ms(1);                          \
  } while (0)

/** Waits until a process sleeps, so that a test can act on a blocked call. */
static inline void wait_asleep(pid_t pid) { WAIT_UNTIL(process_state(pid) == 'S'); }

/** Stops a child that sleeps a while, and lets it go on, until it was stopped before its end: that must be a success. */
#define STOP_A_SLEEPER(...)                                              \
  do {                                                                   \
    pid_t sleeper_ = FORK(__VA_ARGS__);                                  \
    WAIT_UNTIL(strchr("SZ", process_state(sleeper_)) != NULL);           \
    EXPECT_OK(kill(sleeper_, SIGSTOP));                                  \
    int how_ = 0;                                                        \
    EXPECT_EQ(EXPECT_OK(waitpid(sleeper_, &how_, WUNTRACED)), sleeper_); \
    if (WIFSTOPPED(how_)) {                                              \
      EXPECT_OK(kill(sleeper_, SIGCONT));                                \
      EXPECT_EXIT(sleeper_, 0);                                          \
      break;                                                             \
    }                                                                    \
    EXPECT_EQ(how_, 0);                                                  \
  } while (1)

/** The same for a thread of this process. */
static inline void wait_thread_asleep(pid_t tid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  WAIT_UNTIL(state_in(path) == 'S');
}

static inline void set_handler(int sig, void (*handler)(int), int flags) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
  EXPECT_OK(sigaction(sig, &action, NULL));
}

static inline void set_info_handler(int sig, void (*handler)(int, siginfo_t *, void *), int flags) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
  EXPECT_OK(sigaction(sig, &action, NULL));
}

/** Gives up root for another user, for good. */
static inline void become(uid_t uid, gid_t gid) {
  EXPECT_OK(syscall(SYS_setgroups, 0, NULL));
  EXPECT_OK(setresgid(gid, gid, gid));
  EXPECT_OK(setresuid(uid, uid, uid));
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
  (void)st, (void)type, (void)ftw;
  return remove(path), 0;
}

static volatile sig_atomic_t timed_out_pid;
static void on_time_limit(int sig) {
  (void)sig;
  kill(-timed_out_pid, SIGKILL);
  kill(timed_out_pid, SIGKILL);
}

/** Runs one test; its exit status, or 128+signal, with the report in `report`. */
static int run_test(const struct test *test, const char *directory, char *report, size_t size) {
  int pipe_fds[2];
  if (mkdir(directory, 0777) == -1 || chmod(directory, 0777) == -1) return perror(directory), 2;
  if (pipe2(pipe_fds, O_CLOEXEC) == -1) return perror("pipe2"), 2;
  pid_t pid = fork();
  if (pid == -1) return perror("fork"), 2;
  if (pid == 0) {
    setpgid(0, 0);
    signal(SIGALRM, SIG_DFL);
    report_fd = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, 200);
    close(pipe_fds[0]), close(pipe_fds[1]);
    if (chdir(directory) == -1) FAIL("chdir: %s", strerror(errno));
    test->body();
    _exit(0);
  }
  close(pipe_fds[1]);
  setpgid(pid, pid);
  timed_out_pid = pid;
  alarm(TEST_SECONDS);
  int status = 0, timed_out = 0;
  // In a sandbox this program may be process 1: then the orphans of tests are its children, and it must reap them.
  for (pid_t ended; (ended = waitpid(-1, &status, 0)) != pid;)
    if (ended == -1 && errno == EINTR) timed_out = 1;
  alarm(0);
  int ended_status = status;
  kill(-pid, SIGKILL);
  while (waitpid(-1, &status, WNOHANG) > 0) {
  }
  status = ended_status;
  fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
  ssize_t n = read(pipe_fds[0], report, size - 1);
  report[n < 0 ? 0 : n] = 0;
  char *end = strchr(report, '\n');
  if (end) *end = 0;
  close(pipe_fds[0]);
  if (report[0] == 0 && timed_out) snprintf(report, size, "still running after %d s", TEST_SECONDS);
  else if (report[0] == 0 && WIFSIGNALED(status))
    snprintf(report, size, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int selected(const char *name, int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (strstr(name, argv[i])) return 1;
  return argc <= 1;
}

/** Programs that are started again by their own tests define this, to act by argv before any test runs. */
#ifdef TEST_HELPER
static void test_helper(int argc, char **argv);
#endif

int main(int argc, char **argv) {
#ifdef TEST_HELPER
  if (argc > 1 && strncmp(argv[1], "helper-", 7) == 0) return test_helper(argc, argv), 3;
#endif
  setvbuf(stdout, NULL, _IOLBF, 0);
  // The tests see the same descriptor 0 wherever they run: it may be a socket, a terminal or nothing.
  close(0);
  if (open("/dev/null", O_RDWR) != 0) return perror("/dev/null"), 2;
  const char *tmp = getenv("TMPDIR");
  char root[256], directory[320], report[600];
  snprintf(root, sizeof root, "%s/syscalls.XXXXXX", tmp ? tmp : "/tmp");
  if (!mkdtemp(root) || chmod(root, 0755) == -1) return perror(root), 2;
  umask(022);
  struct sigaction on_alarm = {.sa_handler = on_time_limit};
  sigaction(SIGALRM, &on_alarm, NULL);
  int number = 0, failures = 0;
  for (const struct test *test = first_test; test; test = test->next) {
    if (!selected(test->name, argc, argv)) continue;
    number++;
    snprintf(directory, sizeof directory, "%s/%d", root, number);
    int status = run_test(test, directory, report, sizeof report);
    if (status == SKIP_STATUS) printf("ok %d - %s # SKIP %s\n", number, test->name, report);
    else if (status == 0) printf("ok %d - %s\n", number, test->name);
    else {
      printf("not ok %d - %s: %s (status %d)\n", number, test->name, report, status);
      failures++;
    }
  }
  printf("1..%d\n", number);
  nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  return failures != 0;
}
