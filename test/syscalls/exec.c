// Execution of programs: execve(2), execveat(2).
#define TEST_HELPER
#include "test.h"
#include <sys/auxv.h>
#include <sys/personality.h>

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
  if (strcmp(argv[1], "helper-top") == 0) {
    // The program's name is the last string below the end of memory, and the environment comes before it.
    const char *name = (const char *)getauxval(AT_EXECFN);
    char *exit_with_23[] = {"x", "helper-exit", "23", NULL};
    if ((uintptr_t)name + strlen(name) + 9 != 0x7ffffffff000 || open(name, O_RDONLY) == -1) exit(1);
    execve(name, exit_with_23, environ);
    exit(2);
  }
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

TEST(exec_arguments_and_environment) {
  self();
  EXPECT_EXIT(FORK({ execl(self_path, "x", "helper-exit", "23", NULL); }), 23);
  EXPECT_EXIT(FORK({ execl(self_path, "x", "helper-args", "", "second", "last arg", NULL); }), 0);
  EXPECT_EXIT(FORK({ execl(self_path, "x", "helper-args", "", "last arg", NULL); }), 1);
  char *argv[] = {"x", "helper-env", NULL};
  char *env[] = {"ONLY=1", NULL};
  EXPECT_EXIT(FORK({ execve(self_path, argv, env); }), 0);
}

TEST(strings_at_the_end_of_memory) {
  self();
  pid_t child = FORK({
    EXPECT_OK(personality(ADDR_NO_RANDOMIZE));
    execl(self_path, "x", "helper-top", NULL);
  });
  EXPECT_EXIT(child, 23);
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
  char comm[64], path[64];
  snprintf(path, sizeof path, "/proc/%d/comm", child);
  WAIT_UNTIL((read_whole(path, comm, sizeof comm), strcmp(comm, "copy\n") == 0));
  EXPECT_ERRNO(open("copy", O_WRONLY), ETXTBSY);
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
  EXPECT_OK(open("copy", O_WRONLY));
}
