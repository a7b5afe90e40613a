// What a stand-in does: it is the process of the host that stands for a process of the sandbox. It passes signals on
// and dies as that process dies. It is linked with the sentry by a stream socket: a byte to the sentry is the number
// of a signal; the sentry sends four bytes, a wait(2) status, when the process has ended. sentry/boot/stand-in.ts
// has the other end.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>


// End as a process with this wait(2) status ended.
__attribute__((noreturn)) static void die_as(int status) {
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
  int signo = WTERMSIG(status);
  // A core would be ours, not the program's.
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
  signal(signo, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signo);
  kill(getpid(), signo);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  _exit(128 + signo);
}

// Keep all signals for `stand_in`. `before` is for children.
static void hold_signals(sigset_t *before) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, before);
  // An ignored signal is dropped even when it is blocked.
  for (int signo = 1; signo <= SIGRTMAX; signo++) signal(signo, SIG_DFL);
}

// The terminal's window and its hang-up reach us: it becomes the controlling terminal of our session.
static void control_terminal(int fd) {
  setsid();
  // One that has been hung up already cannot: we learn of it as we would have later.
  if (ioctl(fd, TIOCSCTTY, 0) < 0 && errno == EIO) kill(getpid(), SIGHUP);
}

static void drop_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {{0}};
  syscall(SYS_capset, &header, none);
}

// Of the host: what a container has at this path is not to be opened.
static int open_null(void) {
  return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void silence(int null) {
  for (int fd = 0; fd < 3 && null >= 0; fd++) dup2(null, fd);
}

// The name in ps(1): the last part of the program's path.
static void take_name(const char *program) {
  const char *slash = strrchr(program, '/');
  prctl(PR_SET_NAME, slash && slash[1] ? slash + 1 : program);
}

// The wait(2) status that `link` brings; -1 when there is none yet, or the sentry is gone.
static int read_status(int link) {
  int32_t status;
  ssize_t n = recv(link, &status, sizeof status, MSG_DONTWAIT);
  return n == sizeof status ? status : -1;
}

// The child is the sentry: without a word of its own, it ended before there was a program, or was killed.
__attribute__((noreturn)) static void die_as_child(int status, int child_status) {
  if (status >= 0) die_as(status);
  die_as(WIFEXITED(child_status) ? child_status : SIGKILL);
}

// Pass signals on until the process has ended; with a child (none: 0), until the child has too. All other
// descriptors are closed.
__attribute__((noreturn)) static void stand_in(int link, pid_t child) {
  sigset_t all;
  sigfillset(&all);
  int signals = signalfd(-1, &all, SFD_CLOEXEC);
  struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = link, .events = POLLIN}};
  int status = -1, child_status;
  // One that ended before signals were held has left no SIGCHLD.
  if (child > 0 && waitpid(child, &child_status, WNOHANG) == child) die_as_child(read_status(link), child_status);
  for (;;) {
    if (poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents) {
      status = read_status(link);
      if (child == 0) die_as(status >= 0 ? status : SIGKILL);
      fds[1].fd = -1;
    }
    struct signalfd_siginfo info;
    if (!(fds[0].revents & POLLIN) || read(signals, &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo == SIGCHLD && child > 0) {
      if (waitpid(child, &child_status, WNOHANG) != child) continue;
      die_as_child(status >= 0 ? status : read_status(link), child_status);
    }
    unsigned char signo = (unsigned char)info.ssi_signo;
    send(link, &signo, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}
