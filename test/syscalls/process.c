// Processes: creation, exit, waiting, groups and sessions, prctl.
#include "test.h"
#include <linux/sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/times.h>
#include <sys/utsname.h>

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

TEST(a_directory_of_proc_is_a_pidfd_for_signals) {
  pid_t child = FORK(pause());
  char path[64];
  snprintf(path, sizeof path, "/proc/%d", child);
  int fd = EXPECT_OK(open(path, O_RDONLY | O_DIRECTORY));
  EXPECT_OK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
  EXPECT_OK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
  EXPECT_KILLED(child, SIGTERM);
  EXPECT_ERRNO(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
  EXPECT_ERRNO(syscall(SYS_pidfd_send_signal, EXPECT_OK(open("/proc", O_RDONLY)), 0, NULL, 0), EBADF);
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
  EXPECT_EQ(poll(&poll_fd, 1, 30000), 1);
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

TEST(the_death_signal_comes_from_the_parent) {
  int pipe_fds[2];
  EXPECT_OK(pipe(pipe_fds));
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  EXPECT_OK(sigprocmask(SIG_BLOCK, &set, NULL));
  pid_t parent = FORK({
    pid_t self = getpid();
    FORK({
      EXPECT_OK(prctl(PR_SET_PDEATHSIG, SIGUSR2));
      EXPECT_EQ(write(pipe_fds[1], "x", 1), 1);
      siginfo_t info;
      EXPECT_EQ(sigwaitinfo(&set, &info), SIGUSR2);
      EXPECT_TRUE(info.si_code == SI_USER && info.si_pid == self);
      EXPECT_EQ(write(pipe_fds[1], "y", 1), 1);
      _exit(0);
    });
    char c;
    EXPECT_EQ(read(pipe_fds[0], &c, 1), 1);
    _exit(0);
  });
  EXPECT_EXIT(parent, 0);
  close(pipe_fds[1]);
  char c = 0;
  EXPECT_EQ(read(pipe_fds[0], &c, 1), 1);
  EXPECT_EQ(c, 'y');
}

static int death_pipe[2];
static void *thread_with_a_child(void *arg) {
  *(pid_t *)arg = FORK({
    EXPECT_OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
    EXPECT_EQ(write(death_pipe[1], "x", 1), 1);
    for (;;) pause();
  });
  char c;
  EXPECT_EQ(read(death_pipe[0], &c, 1), 1);
  return NULL;
}
TEST(the_parent_of_a_child_is_a_thread) {
  EXPECT_OK(pipe(death_pipe));
  pid_t child = 0, grown = FORK({ pause(); });
  pthread_t thread;
  pthread_create(&thread, NULL, thread_with_a_child, &child);
  pthread_join(thread, NULL);
  EXPECT_KILLED(child, SIGUSR1);
  // Children of other threads do not mind.
  EXPECT_EQ(waitpid(grown, NULL, WNOHANG), 0);
  kill(grown, SIGKILL);
}

static void *thread_spins(void *arg) {
  (void)arg;
  for (;;) pause();
  return NULL;
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
