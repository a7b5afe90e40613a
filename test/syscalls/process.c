// Processes: creation, exit, waiting, exec, groups and sessions, identities, limits, prctl.
#define TEST_HELPER
#include "test.h"
#include <linux/capability.h>
#include <linux/sched.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/times.h>
#include <sys/utsname.h>

static char self_path[PATH_MAX];
static const char *self(void) {
  ssize_t n = EXPECT_OK(readlink("/proc/self/exe", self_path, sizeof self_path - 1));
  self_path[n] = 0;
  return self_path;
}

/** What the program does when a test has executed it again. */
static void test_helper(int argc, char **argv) {
  if (strcmp(argv[1], "helper-exit") == 0) exit(atoi(argv[2]));
  if (strcmp(argv[1], "helper-args") == 0) exit(argc == 5 && strcmp(argv[4], "last arg") == 0 ? 0 : 1);
  if (strcmp(argv[1], "helper-env") == 0) exit(getenv("ONLY") && !getenv("PATH") ? 0 : 1);
  if (strcmp(argv[1], "helper-pid") == 0) exit(getpid() == atoi(argv[2]) ? 0 : 1);
  if (strcmp(argv[1], "helper-closed") == 0) exit(fcntl(atoi(argv[2]), F_GETFD) == -1 ? 0 : 1);
  if (strcmp(argv[1], "helper-signals") == 0) {
    sigset_t mask;
    struct sigaction usr1, usr2;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    sigaction(SIGUSR1, NULL, &usr1);
    sigaction(SIGUSR2, NULL, &usr2);
    exit(sigismember(&mask, SIGHUP) && usr1.sa_handler == SIG_DFL && usr2.sa_handler == SIG_IGN ? 0 : 1);
  }
}

TEST(exit_codes) {
  static const int codes[] = {0, 1, 42, 127, 255};
  for (size_t i = 0; i < 5; i++) EXPECT_EXIT(FORK({ _exit(codes[i]); }), codes[i]);
  EXPECT_EXIT(FORK({ _exit(256 + 7); }), 7);
  EXPECT_KILLED(FORK({ raise(SIGKILL); }), SIGKILL);
  EXPECT_KILLED(FORK({ raise(SIGTERM); }), SIGTERM);
  EXPECT_KILLED(FORK({ abort(); }), SIGABRT);
}

TEST(fork_has_private_memory_and_shared_offset) {
  int value = 1;
  make_file("f", "abcdef");
  int fd = EXPECT_OK(open("f", O_RDONLY));
  IN_CHILD({
    char c;
    value = 2;
    EXPECT_EQ(read(fd, &c, 1), 1);
    EXPECT_EQ(c, 'a');
  });
  char c;
  EXPECT_EQ(value, 1);
  EXPECT_EQ(read(fd, &c, 1), 1);
  EXPECT_EQ(c, 'b');
}

TEST(exit_signal_that_is_none) {
  pid_t child = syscall(SYS_clone, 200, 0, NULL, NULL, 0);
  if (child == 0) syscall(SYS_exit_group, 5);
  EXPECT_OK(child);
  int status;
  EXPECT_ERRNO(waitpid(child, &status, 0), ECHILD);
  EXPECT_EQ(waitpid(child, &status, __WALL), child);
  EXPECT_EQ(WEXITSTATUS(status), 5);
}

TEST(fork_pids) {
  pid_t parent = getpid();
  int pipe_fds[2];
  EXPECT_OK(pipe(pipe_fds));
  pid_t child = FORK({
    pid_t ids[3] = {getpid(), getppid(), gettid()};
    EXPECT_EQ(write(pipe_fds[1], ids, sizeof ids), sizeof ids);
  });
  pid_t ids[3];
  EXPECT_EQ(read(pipe_fds[0], ids, sizeof ids), sizeof ids);
  EXPECT_EQ(ids[0], child);
  EXPECT_EQ(ids[1], parent);
  EXPECT_EQ(ids[2], child);
  EXPECT_EXIT(child, 0);
}

TEST(fork_does_not_inherit_alarm_pending_signals_and_times) {
  alarm(100);
  sigset_t usr1;
  sigemptyset(&usr1), sigaddset(&usr1, SIGUSR1);
  sigprocmask(SIG_BLOCK, &usr1, NULL);
  raise(SIGUSR1);
  IN_CHILD({
    sigset_t pending;
    sigset_t mask;
    EXPECT_EQ(alarm(0), 0);
    EXPECT_OK(sigpending(&pending));
    EXPECT_EQ(sigismember(&pending, SIGUSR1), 0);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    EXPECT_EQ(sigismember(&mask, SIGUSR1), 1);
  });
  EXPECT_GT(alarm(0), 90);
}

TEST(many_children) {
  pid_t pids[50];
  for (int i = 0; i < 50; i++) pids[i] = FORK({ _exit(i); });
  for (int i = 49; i >= 0; i--) EXPECT_EXIT(pids[i], i);
  EXPECT_ERRNO(wait(NULL), ECHILD);
}

TEST(wait_no_hang_and_errors) {
  int status;
  EXPECT_ERRNO(waitpid(-1, &status, 0), ECHILD);
  int hold[2];
  EXPECT_OK(pipe(hold));
  pid_t child = FORK({
    char c;
    close(hold[1]);
    EXPECT_EQ(read(hold[0], &c, 1), 0);
  });
  EXPECT_EQ(waitpid(child, &status, WNOHANG), 0);
  EXPECT_ERRNO(waitpid(child + 1000, &status, 0), ECHILD);
  EXPECT_ERRNO(waitpid(child, &status, 0x100), EINVAL);
  EXPECT_ERRNO(syscall(SYS_wait4, child, (int *)8, WNOHANG | 0x40000000 | 0x100, NULL), EINVAL);
  close(hold[1]);
  EXPECT_EXIT(child, 0);
}

TEST(wait_stores_nothing_at_a_bad_address_but_reaps) {
  pid_t child = FORK({ _exit(3); });
  EXPECT_ERRNO(syscall(SYS_wait4, child, 8L, 0, NULL), EFAULT);
  EXPECT_ERRNO(waitpid(child, NULL, 0), ECHILD);
}

TEST(waitid_info) {
  siginfo_t info;
  pid_t child = FORK({ _exit(9); });
  memset(&info, 0xff, sizeof info);
  EXPECT_OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
  EXPECT_EQ(info.si_signo, SIGCHLD);
  EXPECT_EQ(info.si_code, CLD_EXITED);
  EXPECT_EQ(info.si_pid, child);
  EXPECT_EQ(info.si_status, 9);
  EXPECT_EQ(info.si_uid, getuid());
  EXPECT_OK(waitid(P_ALL, 0, &info, WEXITED));
  EXPECT_ERRNO(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
  EXPECT_ERRNO(waitid(P_ALL, 0, &info, WNOHANG), EINVAL);
  EXPECT_ERRNO(waitid(9, 0, &info, WEXITED), EINVAL);
  child = FORK({ raise(SIGUSR1); });
  EXPECT_OK(waitid(P_PGID, 0, &info, WEXITED));
  EXPECT_EQ(info.si_code, CLD_KILLED);
  EXPECT_EQ(info.si_status, SIGUSR1);
}

TEST(waitid_no_hang_clears_pid) {
  siginfo_t info;
  pid_t child = FORK({ pause(); });
  memset(&info, 0xff, sizeof info);
  EXPECT_OK(waitid(P_PID, child, &info, WEXITED | WNOHANG));
  EXPECT_EQ(info.si_pid, 0);
  EXPECT_EQ(info.si_signo, 0);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

TEST(wait_stopped_and_continued) {
  int status;
  pid_t child = FORK({
    set_handler(SIGTERM, (void (*)(int))_exit, 0);
    raise(SIGSTOP);
    for (;;) pause();
  });
  EXPECT_EQ(EXPECT_OK(waitpid(child, &status, WUNTRACED)), child);
  EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  EXPECT_EQ(process_state(child), 'T');
  EXPECT_EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
  EXPECT_OK(kill(child, SIGCONT));
  EXPECT_EQ(EXPECT_OK(waitpid(child, &status, WCONTINUED)), child);
  EXPECT_TRUE(WIFCONTINUED(status));
  kill(child, SIGTERM);
  EXPECT_EXIT(child, SIGTERM);
}

TEST(wait_by_group) {
  pid_t child = FORK({
    setpgid(0, 0);
    pause();
  });
  setpgid(child, child);
  EXPECT_ERRNO(waitpid(0, NULL, WNOHANG), ECHILD);
  EXPECT_EQ(waitpid(-child, NULL, WNOHANG), 0);
  kill(-child, SIGTERM);
  EXPECT_EQ(EXPECT_OK(waitpid(-child, NULL, 0)), child);
}

TEST(ignored_sigchld_reaps_children) {
  signal(SIGCHLD, SIG_IGN);
  FORK({ _exit(1); });
  FORK({ sleep_ms(20); });
  EXPECT_ERRNO(wait(NULL), ECHILD);
  set_handler(SIGCHLD, SIG_DFL, SA_NOCLDWAIT);
  FORK({ _exit(1); });
  EXPECT_ERRNO(wait(NULL), ECHILD);
}

TEST(wait_rusage) {
  struct rusage usage;
  pid_t child = FORK({
    int64_t end = now_ns(CLOCK_PROCESS_CPUTIME_ID) + 60000000;
    while (now_ns(CLOCK_PROCESS_CPUTIME_ID) < end) {
    }
  });
  EXPECT_EQ(EXPECT_OK(wait4(child, NULL, 0, &usage)), child);
  EXPECT_GE(usage.ru_utime.tv_sec * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_sec * 1000000 +
                usage.ru_stime.tv_usec, 30000);
  EXPECT_OK(getrusage(RUSAGE_CHILDREN, &usage));
  EXPECT_GE(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec + (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000, 30000);
  EXPECT_ERRNO(getrusage(5, &usage), EINVAL);
  struct tms tms;
  EXPECT_OK(times(&tms));
}

TEST(vfork_runs_the_child_first) {
  volatile int value = 0;
  pid_t child = vfork();
  if (child == 0) {
    value = 7;
    _exit(5);
  }
  EXPECT_EQ(value, 7);
  EXPECT_EXIT(child, 5);
  child = vfork();
  if (child == 0) {
    execl("/bin/true", "true", NULL);
    _exit(1);
  }
  EXPECT_EXIT(child, 0);
}

static int clone_child(void *arg) {
  *(volatile int *)arg = getpid();
  return 11;
}

TEST(clone_with_shared_memory) {
  static char stack[65536] __attribute__((aligned(16)));
  volatile int value = 0;
  pid_t child = EXPECT_OK(clone(clone_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)&value));
  EXPECT_EQ(value, child);
  EXPECT_EXIT(child, 11);
}

TEST(clone_without_exit_signal) {
  static char stack[65536] __attribute__((aligned(16)));
  int value = 0, status;
  pid_t child = EXPECT_OK(clone(clone_child, stack + sizeof stack, 0, &value));
  EXPECT_ERRNO(waitpid(child, &status, 0), ECHILD);
  EXPECT_EQ(EXPECT_OK(waitpid(child, &status, __WCLONE)), child);
  EXPECT_EQ(WEXITSTATUS(status), 11);
  EXPECT_EQ(value, 0);
}

TEST(clone_files_and_fs_are_shared) {
  long child = EXPECT_OK(syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, 0, 0, 0, 0));
  if (child == 0) {
    EXPECT_OK(mkdir("sub", 0777));
    EXPECT_OK(chdir("sub"));
    umask(077);
    EXPECT_EQ(dup2(1, 100), 100);
    _exit(0);
  }
  EXPECT_EXIT(child, 0);
  char cwd[PATH_MAX];
  EXPECT_TRUE(getcwd(cwd, sizeof cwd) != NULL);
  EXPECT_STR(strrchr(cwd, '/'), "/sub");
  EXPECT_EQ(umask(022), 077);
  EXPECT_OK(fcntl(100, F_GETFD));
}

TEST(clone_flag_errors) {
  EXPECT_ERRNO(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0), EINVAL);
  struct clone_args args = {.exit_signal = 200};
  EXPECT_ERRNO(syscall(SYS_clone3, &args, sizeof args), EINVAL);
  args = (struct clone_args){.exit_signal = SIGCHLD};
  EXPECT_ERRNO(syscall(SYS_clone3, &args, 8), EINVAL);
  EXPECT_ERRNO(syscall(SYS_clone3, &args, 100000), E2BIG);
  EXPECT_ERRNO(syscall(SYS_clone3, (void *)8, sizeof args), EFAULT);
}

TEST(clone3_and_tids) {
  pid_t parent_tid = 0, child_tid = 0;
  struct clone_args args = {.flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID, .exit_signal = SIGCHLD,
                            .parent_tid = (uintptr_t)&parent_tid, .child_tid = (uintptr_t)&child_tid};
  pid_t child = EXPECT_OK(syscall(SYS_clone3, &args, sizeof args));
  if (child == 0) _exit(child_tid == getpid() ? 6 : 1);
  EXPECT_EQ(parent_tid, child);
  EXPECT_EQ(child_tid, 0);
  EXPECT_EXIT(child, 6);
}

TEST(pidfd) {
  int pidfd = -1;
  struct clone_args args = {.flags = CLONE_PIDFD, .exit_signal = SIGCHLD, .pidfd = (uintptr_t)&pidfd};
  pid_t child = EXPECT_OK(syscall(SYS_clone3, &args, sizeof args));
  if (child == 0) {
    pause();
    _exit(0);
  }
  EXPECT_GE(pidfd, 0);
  EXPECT_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
  struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
  EXPECT_EQ(poll(&poll_fd, 1, 0), 0);
  EXPECT_OK(syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0));
  EXPECT_EQ(poll(&poll_fd, 1, 5000), 1);
  siginfo_t info;
  EXPECT_OK(waitid(P_PIDFD, pidfd, &info, WEXITED));
  EXPECT_EQ(info.si_status, SIGTERM);
  EXPECT_ERRNO(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), ESRCH);
  EXPECT_ERRNO(syscall(SYS_pidfd_open, child, 0), ESRCH);
  EXPECT_ERRNO(syscall(SYS_pidfd_open, getpid(), 0x10), EINVAL);
  EXPECT_OK(syscall(SYS_pidfd_open, getpid(), 0));
}

TEST(orphans_go_to_the_subreaper) {
  EXPECT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int flag = 0;
  EXPECT_OK(prctl(PR_GET_CHILD_SUBREAPER, &flag));
  EXPECT_EQ(flag, 1);
  int pipe_fds[2];
  EXPECT_OK(pipe(pipe_fds));
  pid_t child = FORK({
    pid_t middle = getpid();
    pid_t grandchild = FORK({
      while (getppid() == middle) sleep_ms(5);
      _exit(33);
    });
    EXPECT_EQ(write(pipe_fds[1], &grandchild, sizeof grandchild), sizeof grandchild);
  });
  pid_t grandchild;
  EXPECT_EQ(read(pipe_fds[0], &grandchild, sizeof grandchild), sizeof grandchild);
  EXPECT_EXIT(child, 0);
  EXPECT_EXIT(grandchild, 33);
}

TEST(parent_death_signal) {
  int pipe_fds[2];
  EXPECT_OK(pipe(pipe_fds));
  EXPECT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  pid_t child = FORK({
    pid_t grandchild = FORK({
      EXPECT_OK(prctl(PR_SET_PDEATHSIG, SIGUSR2));
      EXPECT_EQ(write(pipe_fds[1], "x", 1), 1);
      for (;;) pause();
    });
    char c;
    EXPECT_EQ(read(pipe_fds[0], &c, 1), 1);
    EXPECT_EQ(write(pipe_fds[1], &grandchild, sizeof grandchild), sizeof grandchild);
  });
  EXPECT_EXIT(child, 0);
  pid_t grandchild;
  EXPECT_EQ(read(pipe_fds[0], &grandchild, sizeof grandchild), sizeof grandchild);
  EXPECT_KILLED(grandchild, SIGUSR2);
  EXPECT_ERRNO(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
}

TEST(exec_arguments_and_environment) {
  self();
  EXPECT_EXIT(FORK({ execl(self_path, "x", "helper-exit", "23", NULL); }), 23);
  EXPECT_EXIT(FORK({ execl(self_path, "x", "helper-args", "", "second", "last arg", NULL); }), 0);
  EXPECT_EXIT(FORK({ execl(self_path, "x", "helper-args", "", "last arg", NULL); }), 1);
  char *argv[] = {"x", "helper-env", NULL};
  char *env[] = {"ONLY=1", NULL};
  EXPECT_EXIT(FORK({ execve(self_path, argv, env); }), 0);
}

TEST(exec_keeps_pid_mask_and_ignored_signals) {
  self();
  IN_CHILD({
    char pid[16];
    snprintf(pid, sizeof pid, "%d", getpid());
    execl(self_path, "x", "helper-pid", pid, NULL);
    _exit(9);
  });
  IN_CHILD({
    sigset_t mask;
    sigemptyset(&mask), sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    signal(SIGUSR1, (void (*)(int))abort);
    signal(SIGUSR2, SIG_IGN);
    execl(self_path, "x", "helper-signals", NULL);
    _exit(9);
  });
}

TEST(exec_errors) {
  char *argv[] = {"x", NULL}, *env[] = {NULL};
  EXPECT_ERRNO(execve("none", argv, env), ENOENT);
  EXPECT_ERRNO(execve("", argv, env), ENOENT);
  EXPECT_ERRNO(execve("/tmp", argv, env), EACCES);
  EXPECT_ERRNO(syscall(SYS_execve, 8L, argv, env), EFAULT);
  make_file("plain", "not a program");
  EXPECT_ERRNO(execve("plain", argv, env), EACCES);
  EXPECT_OK(chmod("plain", 0755));
  EXPECT_ERRNO(execve("plain", argv, env), ENOEXEC);
  EXPECT_ERRNO(execve("plain/x", argv, env), ENOTDIR);
  make_file("empty", "");
  chmod("empty", 0755);
  EXPECT_ERRNO(execve("empty", argv, env), ENOEXEC);
  make_file("script", "#!/none/here\n");
  chmod("script", 0755);
  EXPECT_ERRNO(execve("script", argv, env), ENOENT);
  make_file("short", "\177ELF\2\1\1");
  chmod("short", 0755);
  EXPECT_ERRNO(execve("short", argv, env), ENOEXEC);
  EXPECT_OK(symlink("loop", "loop"));
  EXPECT_ERRNO(execve("loop", argv, env), ELOOP);
  char *huge = malloc(200 * 1024);
  memset(huge, 'a', 200 * 1024 - 1), huge[200 * 1024 - 1] = 0;
  char *big[] = {"x", huge, NULL};
  EXPECT_ERRNO(execve("/bin/true", big, env), E2BIG);
  EXPECT_ERRNO(syscall(SYS_execve, "/bin/true", 8L, env), EFAULT);
}

TEST(exec_script) {
  make_file("outer", "#!/bin/sh -e\n[ \"$1\" = a ] && [ \"$2\" = 'b c' ] && [ $# = 2 ] && exit 17\n");
  chmod("outer", 0755);
  EXPECT_EXIT(FORK({ execl("./outer", "outer", "a", "b c", NULL); }), 17);
  make_file("recursive", "#!./recursive\n");
  chmod("recursive", 0755);
  char *argv[] = {"x", NULL};
  EXPECT_ERRNO(execve("./recursive", argv, environ), ELOOP);
}

TEST(execveat) {
  char *argv[] = {"true", NULL};
  int directory = EXPECT_OK(open("/bin", O_RDONLY | O_DIRECTORY));
  IN_CHILD(syscall(SYS_execveat, directory, "true", argv, environ, 0); _exit(9));
  int file = EXPECT_OK(open("/bin/true", O_PATH));
  IN_CHILD(syscall(SYS_execveat, file, "", argv, environ, AT_EMPTY_PATH); _exit(9));
  EXPECT_ERRNO(syscall(SYS_execveat, file, "", argv, environ, 0), ENOENT);
  EXPECT_OK(symlink("/bin/true", "link"));
  EXPECT_ERRNO(syscall(SYS_execveat, AT_FDCWD, "link", argv, environ, AT_SYMLINK_NOFOLLOW), ELOOP);
}

TEST(exec_closes_marked_descriptors) {
  self();
  int fd = EXPECT_OK(open("/dev/null", O_RDONLY | O_CLOEXEC));
  IN_CHILD({
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    execl(self_path, "x", "helper-closed", number, NULL);
    _exit(9);
  });
}

static void *thread_execs(void *arg) {
  execl(self_path, "x", "helper-pid", (char *)arg, NULL);
  _exit(9);
}
static void *thread_spins(void *arg) {
  (void)arg;
  for (;;) pause();
  return NULL;
}

TEST(exec_from_a_thread_takes_the_leaders_pid) {
  self();
  IN_CHILD({
    static char pid[16];
    pthread_t thread;
    snprintf(pid, sizeof pid, "%d", getpid());
    for (int i = 0; i < 4; i++) pthread_create(&thread, NULL, thread_spins, NULL);
    pthread_create(&thread, NULL, thread_execs, pid);
    for (;;) pause();
  });
}

TEST(writing_a_running_program) {
  char *argv[] = {"copy", NULL};
  IN_CHILD(execl("/bin/cp", "cp", "/bin/sleep", "copy", NULL); _exit(9));
  EXPECT_OK(chmod("copy", 0755));
  int fd = EXPECT_OK(open("copy", O_WRONLY));
  EXPECT_ERRNO(execve("copy", argv, environ), ETXTBSY);
  close(fd);
  pid_t child = FORK({ execl("./copy", "copy", "100", NULL); });
  for (int i = 0; i < 500; i++) {
    char comm[64], path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", child);
    read_whole(path, comm, sizeof comm);
    if (strcmp(comm, "copy\n") == 0) break;
    sleep_ms(4);
  }
  EXPECT_ERRNO(open("copy", O_WRONLY), ETXTBSY);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
  EXPECT_OK(open("copy", O_WRONLY));
}

TEST(exit_group_ends_all_threads) {
  EXPECT_EXIT(FORK({
    pthread_t thread;
    for (int i = 0; i < 8; i++) pthread_create(&thread, NULL, thread_spins, NULL);
    _exit(12);
  }), 12);
}

static void *exits_the_process(void *arg) {
  sleep_ms(20);
  _exit((int)(intptr_t)arg);
}

TEST(leader_thread_may_exit_first) {
  EXPECT_EXIT(FORK({
    pthread_t thread;
    pthread_create(&thread, NULL, exits_the_process, (void *)13);
    syscall(SYS_exit, 1);
  }), 13);
}

TEST(process_groups) {
  pid_t child = FORK({ pause(); });
  EXPECT_EQ(getpgid(child), getpgrp());
  EXPECT_OK(setpgid(child, 0));
  EXPECT_EQ(getpgid(child), child);
  EXPECT_OK(setpgid(child, getpgrp()));
  EXPECT_ERRNO(setpgid(child, child + 3000), EPERM);
  EXPECT_ERRNO(setpgid(child, -1), EINVAL);
  EXPECT_ERRNO(setpgid(getppid(), 0), ESRCH);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
  EXPECT_ERRNO(getpgid(child), ESRCH);
  EXPECT_ERRNO(setpgid(child, 0), ESRCH);
}

TEST(setpgid_after_exec_is_refused) {
  int pipe_fds[2];
  EXPECT_OK(pipe2(pipe_fds, O_CLOEXEC));
  pid_t child = FORK({ execl("/bin/sleep", "sleep", "100", NULL); });
  char c;
  close(pipe_fds[1]);
  EXPECT_EQ(read(pipe_fds[0], &c, 1), 0);
  EXPECT_ERRNO(setpgid(child, child), EACCES);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

TEST(sessions) {
  EXPECT_ERRNO(setsid(), EPERM);
  pid_t old = getsid(0);
  IN_CHILD({
    EXPECT_EQ(getsid(0), old);
    EXPECT_EQ(setsid(), getpid());
    EXPECT_EQ(getsid(0), getpid());
    EXPECT_EQ(getpgrp(), getpid());
    EXPECT_ERRNO(setpgid(0, 0), EPERM);
  });
}

TEST(identities) {
  uid_t r, e, s;
  IN_CHILD({
    EXPECT_OK(setresuid(1, 2, 3));
    EXPECT_OK(getresuid(&r, &e, &s));
    EXPECT_TRUE(r == 1 && e == 2 && s == 3);
    EXPECT_EQ(getuid(), 1);
    EXPECT_EQ(geteuid(), 2);
    EXPECT_ERRNO(setresuid(4, -1, -1), EPERM);
    EXPECT_OK(setresuid(-1, 3, -1));
    EXPECT_ERRNO(setuid(0), EPERM);
    EXPECT_OK(setreuid(3, 1));
  });
  IN_CHILD({
    EXPECT_OK(setuid(1000));
    EXPECT_OK(getresuid(&r, &e, &s));
    EXPECT_TRUE(r == 1000 && e == 1000 && s == 1000);
    EXPECT_ERRNO(setgid(5), EPERM);
    EXPECT_ERRNO(syscall(SYS_setgroups, 0, NULL), EPERM);
  });
  IN_CHILD({
    EXPECT_OK(setresgid(10, 20, 30));
    EXPECT_OK(getresgid(&r, &e, &s));
    EXPECT_TRUE(r == 10 && e == 20 && s == 30);
  });
  IN_CHILD({
    EXPECT_EQ(setfsuid(99), 0);
    EXPECT_EQ(setfsuid(-1), 99);
  });
}

TEST(groups) {
  IN_CHILD({
    gid_t list[3] = {3, 1, 2};
    gid_t back[8];
    EXPECT_OK(syscall(SYS_setgroups, 3, list));
    EXPECT_EQ(getgroups(0, NULL), 3);
    EXPECT_EQ(getgroups(8, back), 3);
    EXPECT_EQ(back[0] + back[1] + back[2], 6);
    EXPECT_ERRNO(getgroups(2, back), EINVAL);
    EXPECT_ERRNO(syscall(SYS_setgroups, 70000, list), EINVAL);
  });
}

static uint64_t capabilities(int set) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  EXPECT_OK(syscall(SYS_capget, &header, data));
  return set == 0 ? data[0].effective | (uint64_t)data[1].effective << 32
                  : data[0].permitted | (uint64_t)data[1].permitted << 32;
}

TEST(capabilities_follow_the_user_id) {
  uint64_t all = capabilities(1);
  EXPECT_TRUE(all & 1 << CAP_CHOWN);
  IN_CHILD({
    EXPECT_OK(seteuid(1000));
    EXPECT_EQ(capabilities(0), 0);
    EXPECT_EQ(capabilities(1), all);
    EXPECT_OK(seteuid(0));
    EXPECT_EQ(capabilities(0), all);
    EXPECT_OK(setuid(1000));
    EXPECT_EQ(capabilities(1), 0);
  });
  IN_CHILD({
    EXPECT_OK(prctl(PR_SET_KEEPCAPS, 1));
    EXPECT_OK(setuid(1000));
    EXPECT_EQ(capabilities(1), all);
    EXPECT_EQ(capabilities(0), 0);
  });
}

TEST(capset_and_bounding_set) {
  IN_CHILD({
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    EXPECT_OK(syscall(SYS_capset, &header, data));
    EXPECT_EQ(capabilities(1), 0);
    data[0].permitted = 1;
    EXPECT_ERRNO(syscall(SYS_capset, &header, data), EPERM);
    header.version = 7;
    EXPECT_ERRNO(syscall(SYS_capget, &header, data), EINVAL);
    EXPECT_EQ(header.version, _LINUX_CAPABILITY_VERSION_3);
    EXPECT_ERRNO(chown("/", 1, 1), EPERM);
  });
  IN_CHILD({
    EXPECT_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
    EXPECT_OK(prctl(PR_CAPBSET_DROP, CAP_CHOWN));
    EXPECT_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 0);
    EXPECT_ERRNO(prctl(PR_CAPBSET_READ, 99), EINVAL);
  });
}

TEST(no_new_privileges_and_dumpable) {
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 1);
  EXPECT_OK(prctl(PR_SET_DUMPABLE, 0));
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
  EXPECT_ERRNO(prctl(PR_SET_DUMPABLE, 9), EINVAL);
  EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  EXPECT_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
  EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  IN_CHILD(EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1));
}

TEST(set_user_id_program) {
  IN_CHILD(execl("/bin/cp", "cp", "/usr/bin/id", "id", NULL); _exit(9));
  EXPECT_OK(chown("id", 77, 78));
  EXPECT_OK(chmod("id", 06755));
  int pipe_fds[2];
  EXPECT_OK(pipe(pipe_fds));
  IN_CHILD({
    become(1000, 1000);
    dup2(pipe_fds[1], 1);
    execl("./id", "id", NULL);
    _exit(9);
  });
  char text[256] = {0};
  EXPECT_GT(read(pipe_fds[0], text, sizeof text - 1), 0);
  if (!strstr(text, "euid=")) SKIP("the file system is mounted nosuid");
  EXPECT_TRUE(strstr(text, "uid=1000") && strstr(text, "euid=77") && strstr(text, "egid=78"));
}

TEST(thread_name) {
  char name[32] = {0};
  EXPECT_OK(prctl(PR_SET_NAME, "a-name-that-is-too-long"));
  EXPECT_OK(prctl(PR_GET_NAME, name));
  EXPECT_STR(name, "a-name-that-is-");
  char comm[64];
  read_whole("/proc/self/comm", comm, sizeof comm);
  EXPECT_STR(comm, "a-name-that-is-\n");
  EXPECT_ERRNO(prctl(0x7fff1234), EINVAL);
}

TEST(limits) {
  struct rlimit limit, old;
  EXPECT_OK(getrlimit(RLIMIT_NOFILE, &old));
  limit = (struct rlimit){20, old.rlim_max};
  EXPECT_OK(setrlimit(RLIMIT_NOFILE, &limit));
  EXPECT_ERRNO(dup2(0, 20), EBADF);
  EXPECT_OK(dup2(0, 19));
  EXPECT_ERRNO(fcntl(0, F_DUPFD, 20), EINVAL);
  int fd;
  while ((fd = open("/dev/null", O_RDONLY)) >= 0) EXPECT_LT(fd, 20);
  EXPECT_EQ(errno, EMFILE);
  IN_CHILD({
    struct rlimit inherited;
    EXPECT_OK(getrlimit(RLIMIT_NOFILE, &inherited));
    EXPECT_EQ(inherited.rlim_cur, 20);
  });
  limit = (struct rlimit){30, 10};
  EXPECT_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
  EXPECT_ERRNO(getrlimit(99, &limit), EINVAL);
  IN_CHILD({
    become(1000, 1000);
    limit = (struct rlimit){10, 10};
    EXPECT_OK(setrlimit(RLIMIT_NOFILE, &limit));
    limit = (struct rlimit){10, 11};
    EXPECT_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
  });
}

TEST(file_size_limit) {
  struct rlimit limit = {4096, 4096};
  EXPECT_OK(setrlimit(RLIMIT_FSIZE, &limit));
  signal(SIGXFSZ, SIG_IGN);
  int fd = EXPECT_OK(open("f", O_RDWR | O_CREAT, 0644));
  char block[4096] = {1};
  EXPECT_EQ(pwrite(fd, block, 4096, 96), 4000);
  EXPECT_ERRNO(pwrite(fd, block, 1, 4096), EFBIG);
  EXPECT_ERRNO(ftruncate(fd, 5000), EFBIG);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_KILLED(FORK({ pwrite(fd, block, 1, 4096); }), SIGXFSZ);
}

TEST(cpu_time_limit) {
  EXPECT_KILLED(FORK({
    struct rlimit limit = {1, 2};
    EXPECT_OK(setrlimit(RLIMIT_CPU, &limit));
    for (;;) {
    }
  }), SIGXCPU);
}

TEST(cpu_limit_is_inherited) {
  struct rlimit before, limit = {1, 3};
  EXPECT_OK(getrlimit(RLIMIT_CPU, &before));
  limit.rlim_max = before.rlim_max;
  IN_CHILD({
    EXPECT_OK(setrlimit(RLIMIT_CPU, &limit));
    EXPECT_KILLED(FORK({
      for (;;) {
      }
    }), SIGXCPU);
  });
}

TEST(prlimit_of_another_process) {
  pid_t child = FORK({ pause(); });
  struct rlimit limit = {50, 50}, old;
  EXPECT_OK(prlimit(child, RLIMIT_NOFILE, &limit, &old));
  EXPECT_OK(prlimit(child, RLIMIT_NOFILE, NULL, &old));
  EXPECT_EQ(old.rlim_cur, 50);
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(prlimit(child, RLIMIT_NOFILE, NULL, &old), EPERM);
  });
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
  EXPECT_ERRNO(prlimit(child, RLIMIT_NOFILE, NULL, &old), ESRCH);
}

TEST(priorities) {
  errno = 0;
  // The tests may have been started by nice(1).
  EXPECT_OK(setpriority(PRIO_PROCESS, 0, 0));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 0);
  EXPECT_OK(setpriority(PRIO_PROCESS, 0, 5));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 5);
  EXPECT_OK(setpriority(PRIO_PROCESS, 0, 100));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19);
  IN_CHILD(EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19));
  EXPECT_ERRNO(setpriority(7, 0, 0), EINVAL);
  EXPECT_ERRNO(setpriority(PRIO_PROCESS, 4000000, 0), ESRCH);
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(setpriority(PRIO_PROCESS, 0, 3), EACCES);
  });
}

TEST(host_names) {
  struct utsname name;
  EXPECT_OK(uname(&name));
  EXPECT_STR(name.sysname, "Linux");
  EXPECT_STR(name.machine, "x86_64");
  EXPECT_ERRNO(uname((struct utsname *)8), EFAULT);
}

TEST(set_tid_address_is_cleared_and_woken_on_exit) {
  pid_t *tid = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  *tid = 1;
  pid_t child = EXPECT_OK(syscall(SYS_clone, CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | SIGCHLD, 0, 0, tid, 0));
  if (child == 0) {
    sleep_ms(10);
    _exit(0);
  }
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(*tid, child);  // only cleared while another process shares the memory map
}

TEST(kill_zero_and_minus_one_permissions) {
  EXPECT_OK(kill(getpid(), 0));
  EXPECT_ERRNO(kill(4000000, 0), ESRCH);
  EXPECT_ERRNO(kill(getpid(), 65), EINVAL);
  EXPECT_ERRNO(kill(getpid(), -1), EINVAL);
  EXPECT_ERRNO(kill(INT_MIN, SIGTERM), ESRCH);
}
