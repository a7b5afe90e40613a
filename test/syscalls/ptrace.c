// ptrace(2) and the waits of a tracer.

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include "traced.h"

/** PTRACE_EVENT_STOP, which C libraries know under different values. */
#define EVENT_STOP 128
static int event_of(int status) { return status >> 16; }

TEST(signals_stop_and_may_be_dropped) {
  pid_t pid = TRACED({
    raise(SIGUSR1);
    raise(SIGTERM);
    _exit(3);
  });
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGUSR1), 1);
  siginfo_t info;
  EXPECT_OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
  EXPECT_EQ(info.si_signo, SIGUSR1);
  EXPECT_EQ(info.si_code, SI_TKILL);
  EXPECT_EQ(info.si_pid, pid);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGTERM), 1);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, 3);
}

TEST(the_state_tells_a_traced_stop_from_another) {
  char path[64], text[4096];
  pid_t pid = TRACED({ raise(SIGSTOP); });
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  read_whole(path, text, sizeof text);
  EXPECT_TRUE(strstr(text, "State:\tt (tracing stop)\n"));
  EXPECT_OK(ptrace(PTRACE_DETACH, pid, 0, SIGSTOP));
  int status;
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  EXPECT_EQ(stopped_by(status, SIGSTOP), 1);
  read_whole(path, text, sizeof text);
  EXPECT_TRUE(strstr(text, "State:\tT (stopped)\n"));
  EXPECT_OK(kill(pid, SIGKILL));
  EXPECT_KILLED(pid, SIGKILL);
}

TEST(a_signal_is_delivered_or_replaced) {
  pid_t pid = TRACED({ raise(SIGUSR1); });
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGUSR1), 1);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, SIGKILL));
  EXPECT_EQ(WTERMSIG(wait_for(pid)), SIGKILL);
  pid = TRACED({ raise(SIGUSR1); });
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  wait_for(pid);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, SIGUSR1));
  EXPECT_EQ(WTERMSIG(wait_for(pid)), SIGUSR1);
}

static volatile sig_atomic_t caught;
static int caught_value;
static void catch_value(int signo, siginfo_t *info, void *context) {
  (void)context;
  caught = signo;
  caught_value = info->si_value.sival_int;
}

TEST(the_siginfo_can_be_changed_and_ignored_signals_stop_too) {
  pid_t pid = TRACED({
    struct sigaction action = {.sa_sigaction = catch_value, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR2, &action, NULL);
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    union sigval value = {.sival_int = 5};
    sigqueue(getpid(), SIGUSR2, value);
    _exit(caught == SIGUSR2 ? caught_value : 99);
  });
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGUSR1), 1);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, SIGUSR1));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGUSR2), 1);
  siginfo_t info;
  EXPECT_OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
  EXPECT_EQ(info.si_value.sival_int, 5);
  info.si_value.sival_int = 42;
  EXPECT_OK(ptrace(PTRACE_SETSIGINFO, pid, 0, &info));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, SIGUSR2));
  expect_exit(pid, 42);
}

TEST(calls_stop_at_both_ends) {
  pid_t pid = TRACED({
    syscall(SYS_getppid);
    _exit(1);
  });
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
  int found = 0;
  for (int i = 0; i < 20 && !found; i++) {
    EXPECT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
    EXPECT_EQ(stopped_by(wait_for(pid), SIGTRAP | 0x80), 1);
    struct user_regs_struct regs;
    EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
    found = regs.orig_rax == SYS_getppid;
    if (found) EXPECT_EQ((long)regs.rax, -ENOSYS);
  }
  EXPECT_EQ(found, 1);
  struct __ptrace_syscall_info call;
  EXPECT_EQ(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof call, &call), 80);
  EXPECT_EQ(call.op, 1);
  EXPECT_EQ(call.entry.nr, SYS_getppid);
  unsigned long message = 0;
  EXPECT_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &message));
  EXPECT_EQ(message, 1);
  EXPECT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGTRAP | 0x80), 1);
  EXPECT_EQ(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof call, &call), 33);
  EXPECT_EQ(call.op, 2);
  EXPECT_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &message));
  EXPECT_EQ(message, 2);
  EXPECT_EQ(call.exit.rval, getpid());
  EXPECT_EQ(call.exit.is_error, 0);
  struct user_regs_struct regs;
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  EXPECT_EQ((pid_t)regs.rax, getpid());
  EXPECT_EQ(regs.orig_rax, SYS_getppid);
  EXPECT_EQ(regs.cs, 0x33);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, 1);
}

/** Runs the child to the entry of its next call of this number. */
TEST(a_call_can_be_changed_cancelled_and_its_result_replaced) {
  pid_t pid = TRACED({
    int a = syscall(SYS_getpriority, 0, 0);
    int b = syscall(SYS_sethostname, "changed", 7);
    int c = syscall(SYS_getuid);
    _exit(a == getppid() && b == -1 && errno == EDOM && c == 7 ? 0 : 1);
  });
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
  struct user_regs_struct regs;
  run_to(pid, SYS_getpriority);
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  regs.orig_rax = SYS_getppid;
  EXPECT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  run_to(pid, SYS_sethostname);
  EXPECT_OK(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), -1L));
  EXPECT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
  wait_for(pid);
  EXPECT_OK(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), -(long)EDOM));
  run_to(pid, SYS_getuid);
  EXPECT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
  wait_for(pid);
  EXPECT_OK(ptrace(PTRACE_GETREGS, pid, 0, &regs));
  regs.rax = 7;
  EXPECT_OK(ptrace(PTRACE_SETREGS, pid, 0, &regs));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, 0);
}

TEST(a_fork_is_followed) {
  pid_t pid = TRACED({
    int status;
    pid_t child = fork();
    if (child == 0) _exit(9);
    waitpid(child, &status, 0);
    _exit(WEXITSTATUS(status));
  });
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  int status = wait_for(pid);
  EXPECT_EQ(event_of(status), PTRACE_EVENT_FORK);
  unsigned long child = 0;
  EXPECT_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &child));
  EXPECT_EQ(stopped_by(wait_for(child), SIGSTOP), 1);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_OK(ptrace(PTRACE_CONT, child, 0, 0));
  expect_exit(child, 9);
  status = wait_for(pid);
  if (stopped_by(status, SIGCHLD)) {
    EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, SIGCHLD));
    status = wait_for(pid);
  }
  EXPECT_EQ(WEXITSTATUS(status), 9);
}

TEST(a_vfork_and_its_exec_are_followed) {
  pid_t pid = TRACED({
    int status;
    char *args[] = {"/proc/self/exe", NULL};
    pid_t child = vfork();
    if (child == 0) {
      execve("/nowhere", args, NULL);
      _exit(6);
    }
    waitpid(child, &status, 0);
    _exit(WEXITSTATUS(status));
  });
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(event_of(wait_for(pid)), PTRACE_EVENT_VFORK);
  unsigned long child = 0;
  EXPECT_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &child));
  EXPECT_EQ(stopped_by(wait_for(child), SIGSTOP), 1);
  EXPECT_OK(ptrace(PTRACE_DETACH, child, 0, 0));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(event_of(wait_for(pid)), PTRACE_EVENT_VFORK_DONE);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  int status = wait_for(pid);
  if (stopped_by(status, SIGCHLD)) {
    EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
    status = wait_for(pid);
  }
  EXPECT_EQ(WEXITSTATUS(status), 6);
}

static void *thread_exits(void *unused) {
  (void)unused;
  return NULL;
}

TEST(threads_are_followed_to_their_end) {
  pid_t pid = TRACED({
    pthread_t thread;
    pthread_create(&thread, NULL, thread_exits, NULL);
    pthread_join(thread, NULL);
    _exit(2);
  });
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACECLONE));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(event_of(wait_for(pid)), PTRACE_EVENT_CLONE);
  unsigned long tid = 0;
  EXPECT_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &tid));
  EXPECT_EQ(stopped_by(wait_for(tid), SIGSTOP), 1);
  EXPECT_OK(ptrace(PTRACE_CONT, tid, 0, 0));
  expect_exit(tid, 0);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, 2);
}

TEST(exec_stops) {
  char *args[] = {"/proc/self/exe", "--no-such-test", NULL};
  pid_t pid = TRACED({ execv(args[0], args); });
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXEC));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(event_of(wait_for(pid)), PTRACE_EVENT_EXEC);
  EXPECT_OK(ptrace(PTRACE_KILL, pid, 0, 0));
  EXPECT_EQ(WTERMSIG(wait_for(pid)), SIGKILL);
  // Without the option it is a plain SIGTRAP.
  pid = TRACED({ execv(args[0], args); });
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(wait_for(pid), SIGTRAP << 8 | 0x7f);
  EXPECT_OK(kill(pid, SIGKILL));
  EXPECT_EQ(WTERMSIG(wait_for(pid)), SIGKILL);
}

TEST(the_end_is_an_event) {
  pid_t pid = TRACED({ _exit(5); });
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(event_of(wait_for(pid)), PTRACE_EVENT_EXIT);
  unsigned long status = 0;
  EXPECT_OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &status));
  EXPECT_EQ(status, 5 << 8);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  expect_exit(pid, 5);
  pid = TRACED({ raise(SIGTERM); });
  EXPECT_OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEEXIT));
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGTERM), 1);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, SIGTERM));
  EXPECT_EQ(event_of(wait_for(pid)), PTRACE_EVENT_EXIT);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_EQ(WTERMSIG(wait_for(pid)), SIGTERM);
}

TEST(attach_and_detach) {
  int ends[2];
  EXPECT_OK(pipe(ends));
  pid_t pid = FORK({
    char byte;
    _exit(read(ends[0], &byte, 1) == 1 ? 8 : 1);
  });
  EXPECT_OK(ptrace(PTRACE_ATTACH, pid, 0, 0));
  EXPECT_EQ(stopped_by(wait_for(pid), SIGSTOP), 1);
  EXPECT_ERRNO(ptrace(PTRACE_ATTACH, pid, 0, 0), EPERM);
  char path[50], line[200];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  FILE *file = fopen(path, "r");
  int tracer = 0;
  while (fgets(line, sizeof line, file)) sscanf(line, "TracerPid: %d", &tracer);
  fclose(file);
  EXPECT_EQ(tracer, getpid());
  EXPECT_OK(ptrace(PTRACE_DETACH, pid, 0, 0));
  EXPECT_ERRNO(ptrace(PTRACE_CONT, pid, 0, 0), ESRCH);
  // The call that was interrupted goes on.
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  expect_exit(pid, 8);
}

TEST(seize_and_interrupt) {
  pid_t pid = FORK({
    for (;;) {
    }
  });
  EXPECT_OK(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD));
  EXPECT_ERRNO(ptrace(PTRACE_CONT, pid, 0, 0), ESRCH);
  EXPECT_OK(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
  int status = wait_for(pid);
  EXPECT_EQ(stopped_by(status, SIGTRAP), 1);
  EXPECT_EQ(event_of(status), EVENT_STOP);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  EXPECT_OK(kill(pid, SIGKILL));
  EXPECT_EQ(WTERMSIG(wait_for(pid)), SIGKILL);
}

TEST(a_blocked_call_goes_on_after_an_interrupt) {
  int ends[2];
  EXPECT_OK(pipe(ends));
  pid_t pid = FORK({
    char byte;
    _exit(read(ends[0], &byte, 1) == 1 ? 8 : 1);
  });
  EXPECT_OK(ptrace(PTRACE_SEIZE, pid, 0, 0));
  for (int i = 0; i < 3; i++) {
    EXPECT_OK(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
    EXPECT_EQ(event_of(wait_for(pid)), EVENT_STOP);
    EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, 0));
  }
  EXPECT_EQ(write(ends[1], "x", 1), 1);
  expect_exit(pid, 8);
}

TEST(group_stops_and_listen) {
  pid_t pid = FORK({
    for (;;) pause();
  });
  EXPECT_OK(ptrace(PTRACE_SEIZE, pid, 0, 0));
  EXPECT_OK(kill(pid, SIGSTOP));
  int status = wait_for(pid);
  EXPECT_EQ(status, SIGSTOP << 8 | 0x7f);
  EXPECT_OK(ptrace(PTRACE_CONT, pid, 0, SIGSTOP));
  status = wait_for(pid);
  EXPECT_EQ(stopped_by(status, SIGSTOP), 1);
  EXPECT_EQ(event_of(status), EVENT_STOP);
  EXPECT_OK(ptrace(PTRACE_LISTEN, pid, 0, 0));
  EXPECT_OK(kill(pid, SIGCONT));
  status = wait_for(pid);
  EXPECT_EQ(event_of(status), EVENT_STOP);
  EXPECT_EQ(stopped_by(status, SIGTRAP), 1);
  EXPECT_OK(kill(pid, SIGKILL));
  for (status = wait_for(pid); WIFSTOPPED(status); status = wait_for(pid)) {
  }
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST(a_tracer_that_ends_lets_go_or_kills) {
  for (int kills = 0; kills < 2; kills++) {
    int ends[2];
    EXPECT_OK(pipe(ends));
    pid_t pid = FORK({
      char byte;
      _exit(read(ends[0], &byte, 1) == 1 ? 8 : 1);
    });
    IN_CHILD({
      EXPECT_OK(ptrace(PTRACE_SEIZE, pid, 0, kills ? PTRACE_O_EXITKILL : 0));
      EXPECT_OK(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
      EXPECT_EQ(event_of(wait_for(pid)), EVENT_STOP);
    });
    if (kills) EXPECT_EQ(WTERMSIG(wait_for(pid)), SIGKILL);
    else {
      EXPECT_EQ(write(ends[1], "x", 1), 1);
      expect_exit(pid, 8);
    }
  }
}

TEST(errors) {
  EXPECT_ERRNO(ptrace(PTRACE_CONT, 4000000, 0, 0), ESRCH);
  EXPECT_ERRNO(ptrace(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
  pid_t pid = TRACED({ pause(); });
  EXPECT_ERRNO(ptrace(PTRACE_PEEKDATA, pid, 8, 0), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_POKEDATA, pid, 8, 0), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_PEEKUSER, pid, 3, 0), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_PEEKUSER, pid, 100000, 0), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_GETREGS, pid, 0, 8), EFAULT);
  EXPECT_ERRNO(ptrace(PTRACE_SETOPTIONS, pid, 0, 0x40000000), EINVAL);
  EXPECT_ERRNO(ptrace(PTRACE_CONT, pid, 0, 100), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_INTERRUPT, pid, 0, 0), EIO);
  EXPECT_ERRNO(ptrace(PTRACE_LISTEN, pid, 0, 0), EIO);
  EXPECT_ERRNO(ptrace(9999, pid, 0, 0), EIO);
  IN_CHILD(EXPECT_ERRNO(ptrace(PTRACE_CONT, pid, 0, 0), ESRCH));
  sigset_t mask;
  sigemptyset(&mask);
  EXPECT_ERRNO(ptrace(PTRACE_GETSIGMASK, pid, 4, &mask), EINVAL);
  EXPECT_OK(ptrace(PTRACE_GETSIGMASK, pid, 8, &mask));
  EXPECT_OK(kill(pid, SIGKILL));
  EXPECT_EQ(WTERMSIG(wait_for(pid)), SIGKILL);
}
