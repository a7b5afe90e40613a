// Sandboxes that programs make for themselves: landlock(7), as far as files go.
#include "test.h"
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

enum { EXECUTE = 1, WRITE_FILE = 2, READ_FILE = 4, READ_DIR = 8, REMOVE_DIR = 16, REMOVE_FILE = 32, MAKE_CHAR = 64, MAKE_DIR = 128,
       MAKE_REG = 256, MAKE_SOCK = 512, MAKE_FIFO = 1024, MAKE_BLOCK = 2048, MAKE_SYM = 4096, REFER = 8192, TRUNCATE = 16384 };
#define ALL 0x7fff
struct path_rule {
  uint64_t allowed;
  int32_t fd;
} __attribute__((packed));

static int ruleset(uint64_t handled) { return syscall(444, &handled, sizeof handled, 0); }
static int add(int set, const char *path, uint64_t allowed) {
  struct path_rule rule = {allowed, EXPECT_OK(open(path, O_PATH | O_CLOEXEC))};
  int n = syscall(445, set, 1, &rule, 0);
  int error = errno;
  close(rule.fd);
  errno = error;
  return n;
}
static int restrict_self(int set) { return syscall(446, set, 0); }
/** Only `allowed` below `path`, and nothing of `handled` elsewhere. */
static void sandbox(uint64_t handled, const char *path, uint64_t allowed) {
  int set = EXPECT_OK(ruleset(handled));
  if (path) EXPECT_OK(add(set, path, allowed));
  EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  EXPECT_OK(restrict_self(set));
  EXPECT_OK(close(set));
}
static void begin(void) {
  EXPECT_OK(mkdir("in", 0777));
  EXPECT_OK(mkdir("in/deep", 0777));
  EXPECT_OK(mkdir("out", 0777));
  make_file("in/file", "inside");
  make_file("in/deep/file", "inside");
  make_file("out/file", "outside");
}
static void expect_open(const char *path, int flags) { EXPECT_OK(close(EXPECT_OK(open(path, flags)))); }

TEST(versions_and_arguments) {
  int version = EXPECT_OK(syscall(444, NULL, 0, 1));
  EXPECT_GE(version, 3);
  uint64_t handled = READ_FILE;
  EXPECT_ERRNO(syscall(444, &handled, 8, 1), EINVAL);
  EXPECT_ERRNO(syscall(444, NULL, 8, 1), EINVAL);
  EXPECT_ERRNO(syscall(444, &handled, 8, 1 << 30), EINVAL);
  EXPECT_ERRNO(syscall(444, &handled, 7, 0), EINVAL);
  EXPECT_ERRNO(syscall(444, &handled, 5000, 0), E2BIG);
  EXPECT_ERRNO(syscall(444, NULL, 8, 0), EFAULT);
  EXPECT_ERRNO(ruleset(0), ENOMSG);
  EXPECT_ERRNO(ruleset(1ULL << 63), EINVAL);
  int set = EXPECT_OK(ruleset(READ_FILE | READ_DIR | WRITE_FILE));
  EXPECT_EQ(fcntl(set, F_GETFD), FD_CLOEXEC);
  EXPECT_ERRNO(add(set, ".", EXECUTE), EINVAL);
  EXPECT_ERRNO(add(set, ".", 0), ENOMSG);
  make_file("file", "");
  EXPECT_ERRNO(add(set, "file", READ_DIR), EINVAL);
  EXPECT_OK(add(set, "file", READ_FILE));
  struct path_rule rule = {READ_FILE, 999};
  EXPECT_ERRNO(syscall(445, set, 1, &rule, 0), EBADF);
  rule.fd = set;
  EXPECT_ERRNO(syscall(445, set, 1, &rule, 0), EBADFD);
  int pipes[2];
  EXPECT_OK(pipe(pipes));
  rule.fd = pipes[0];
  EXPECT_ERRNO(syscall(445, set, 1, &rule, 0), EBADFD);
  rule.fd = EXPECT_OK(open(".", O_PATH));
  EXPECT_ERRNO(syscall(445, rule.fd, 1, &rule, 0), EBADF);
  EXPECT_ERRNO(syscall(445, pipes[0], 1, &rule, 0), EBADFD);
  EXPECT_ERRNO(syscall(445, 999, 1, &rule, 0), EBADF);
  EXPECT_ERRNO(syscall(445, set, 77, &rule, 0), EINVAL);
  EXPECT_ERRNO(syscall(445, set, 1, &rule, 1), EINVAL);
  EXPECT_ERRNO(syscall(445, set, 1, NULL, 0), EFAULT);
  EXPECT_ERRNO(syscall(446, set, 1 << 30), EINVAL);
  EXPECT_ERRNO(restrict_self(999), EBADF);
  EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  EXPECT_ERRNO(restrict_self(pipes[0]), EBADFD);
  char byte;
  EXPECT_ERRNO(read(set, &byte, 1), EINVAL);
  EXPECT_ERRNO(write(set, &byte, 1), EINVAL);
}

TEST(who_may_restrict_itself) {
  int set = EXPECT_OK(ruleset(READ_FILE));
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(restrict_self(set), EPERM);
    EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    EXPECT_OK(restrict_self(set));
  });
  if (getuid() == 0) IN_CHILD(EXPECT_OK(restrict_self(set)));
}

TEST(reading_and_writing) {
  begin();
  int before = EXPECT_OK(open("out/file", O_RDWR)), other = EXPECT_OK(open("out", O_PATH));
  sandbox(READ_FILE | WRITE_FILE | READ_DIR, "in", READ_FILE);
  expect_open("in/file", O_RDONLY);
  expect_open("in/deep/file", O_RDONLY);
  EXPECT_ERRNO(open("in/file", O_RDWR), EACCES);
  EXPECT_ERRNO(open("in/file", O_WRONLY), EACCES);
  EXPECT_ERRNO(open("in", O_RDONLY), EACCES);
  EXPECT_ERRNO(open("out/file", O_RDONLY), EACCES);
  EXPECT_ERRNO(openat(other, "file", O_RDONLY), EACCES);
  expect_open("out/file", O_PATH);
  struct stat st;
  EXPECT_OK(stat("out/file", &st));
  // What is open stays usable, and what was not handled is free.
  char text[16];
  EXPECT_GT(read(before, text, sizeof text), 0);
  EXPECT_OK(mkdir("out/new", 0755));
  EXPECT_OK(unlink("out/file"));
  IN_CHILD(EXPECT_ERRNO(open("in", O_RDONLY), EACCES));
  // By whatever way.
  char magic[64];
  snprintf(magic, sizeof magic, "/proc/self/fd/%d", before);
  EXPECT_ERRNO(open(magic, O_RDONLY), EACCES);
  int pipes[2];
  EXPECT_OK(pipe(pipes));
}

TEST(making_and_removing) {
  begin();
  sandbox(ALL & ~REFER, "in", ALL & ~REFER);
  EXPECT_OK(mkdir("in/d", 0755));
  EXPECT_OK(symlink("x", "in/l"));
  EXPECT_OK(mkfifo("in/p", 0644));
  EXPECT_OK(close(EXPECT_OK(open("in/new", O_CREAT | O_WRONLY, 0644))));
  EXPECT_OK(rename("in/new", "in/newer"));
  EXPECT_OK(link("in/newer", "in/also"));
  EXPECT_OK(unlink("in/newer"));
  EXPECT_OK(rmdir("in/d"));
  EXPECT_ERRNO(mkdir("out/d", 0755), EACCES);
  EXPECT_ERRNO(symlink("x", "out/l"), EACCES);
  EXPECT_ERRNO(mkfifo("out/p", 0644), EACCES);
  EXPECT_ERRNO(open("out/new", O_CREAT | O_WRONLY, 0644), EACCES);
  EXPECT_ERRNO(open("out", O_TMPFILE | O_WRONLY, 0644), EACCES);
  EXPECT_ERRNO(unlink("out/file"), EACCES);
  EXPECT_ERRNO(rmdir("out"), EACCES);
  EXPECT_ERRNO(rename("out/file", "out/new"), EACCES);
  EXPECT_ERRNO(link("out/file", "out/new"), EACCES);
}

TEST(sizes) {
  begin();
  int before = EXPECT_OK(open("out/file", O_RDWR));
  sandbox(TRUNCATE, "in", TRUNCATE);
  EXPECT_OK(truncate("in/file", 1));
  expect_open("in/file", O_WRONLY | O_TRUNC);
  EXPECT_ERRNO(truncate("out/file", 1), EACCES);
  EXPECT_ERRNO(open("out/file", O_WRONLY | O_TRUNC), EACCES);
  // It depends on how the file was opened.
  int later = EXPECT_OK(open("out/file", O_RDWR));
  EXPECT_ERRNO(ftruncate(later, 1), EACCES);
  EXPECT_OK(ftruncate(before, 1));
  later = EXPECT_OK(open("in/file", O_RDWR));
  EXPECT_OK(ftruncate(later, 1));
}

TEST(from_one_directory_to_another) {
  begin();
  EXPECT_OK(mkdir("in/other", 0777));
  sandbox(MAKE_REG | REMOVE_FILE, "in", MAKE_REG | REMOVE_FILE);
  // Without a word about it, files stay in their directories.
  EXPECT_ERRNO(rename("in/file", "in/other/file"), EXDEV);
  EXPECT_ERRNO(link("in/file", "in/other/file"), EXDEV);
  EXPECT_OK(rename("in/file", "in/renamed"));
}

TEST(moving_is_allowed) {
  begin();
  EXPECT_OK(mkdir("in/other", 0777));
  int set = EXPECT_OK(ruleset(REFER | READ_FILE | MAKE_REG | REMOVE_FILE));
  EXPECT_OK(add(set, "in", REFER | MAKE_REG | REMOVE_FILE));
  EXPECT_OK(add(set, "in/other", READ_FILE));
  EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  EXPECT_OK(restrict_self(set));
  EXPECT_OK(rename("in/file", "in/deep/moved"));
  // Not to where more would be allowed.
  EXPECT_ERRNO(rename("in/deep/moved", "in/other/file"), EXDEV);
  EXPECT_ERRNO(link("in/deep/moved", "in/other/file"), EXDEV);
  EXPECT_ERRNO(rename("in/deep/moved", "out/moved"), EACCES);
}

TEST(layers) {
  begin();
  sandbox(READ_FILE, "in", READ_FILE);
  sandbox(READ_FILE, "in/deep", READ_FILE);
  expect_open("in/deep/file", O_RDONLY);
  EXPECT_ERRNO(open("in/file", O_RDONLY), EACCES);
  sandbox(READ_FILE, "out", READ_FILE);
  EXPECT_ERRNO(open("in/deep/file", O_RDONLY), EACCES);
  EXPECT_ERRNO(open("out/file", O_RDONLY), EACCES);
  int set = EXPECT_OK(ruleset(READ_FILE));
  for (int i = 3; i < 16; i++) EXPECT_OK(restrict_self(set));
  EXPECT_ERRNO(restrict_self(set), E2BIG);
}

TEST(programs) {
  begin();
  static const char *const argv[] = {"true", NULL};
  pid_t child = FORK({
    int set = EXPECT_OK(ruleset(EXECUTE));
    EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    EXPECT_OK(restrict_self(set));
    EXPECT_ERRNO(execv("/bin/true", (char **)argv), EACCES);
    expect_open("/bin/true", O_RDONLY);
  });
  EXPECT_EXIT(child, 0);
  child = FORK({
    sandbox(EXECUTE, "/", EXECUTE);
    execv("/bin/true", (char **)argv);
    _exit(9);
  });
  EXPECT_EXIT(child, 0);
}

TEST(mounts_are_kept_out) {
  EXPECT_OK(unshare(CLONE_NEWNS));
  EXPECT_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
  begin();
  EXPECT_OK(mount("t", "in/deep", "tmpfs", 0, NULL));
  make_file("in/deep/file", "x");
  sandbox(READ_FILE, "in", READ_FILE);
  // Rules reach into what is mounted below.
  expect_open("in/deep/file", O_RDONLY);
  EXPECT_ERRNO(mount("t", "out", "tmpfs", 0, NULL), EPERM);
  EXPECT_ERRNO(mount("in", "out", NULL, MS_BIND, NULL), EPERM);
  EXPECT_ERRNO(mount(NULL, "in/deep", NULL, MS_REMOUNT | MS_RDONLY, NULL), EPERM);
  EXPECT_ERRNO(umount2("in/deep", 0), EPERM);
  EXPECT_ERRNO(syscall(SYS_move_mount, AT_FDCWD, "in/deep", AT_FDCWD, "out", 0), EPERM);
  EXPECT_ERRNO(syscall(SYS_pivot_root, "in/deep", "in/deep"), EPERM);
}

TEST(tracing) {
  int pipes[2];
  EXPECT_OK(pipe(pipes));
  char byte;
  pid_t child = FORK({ read(pipes[0], &byte, 1); });
  pid_t inner = FORK({
    sandbox(READ_FILE, NULL, 0);
    // Who is not in the sandbox is out of reach, and one's own children are not.
    EXPECT_ERRNO(ptrace(PTRACE_ATTACH, child, NULL, NULL), EPERM);
    pid_t own = FORK({ read(pipes[0], &byte, 1); });
    EXPECT_OK(ptrace(PTRACE_ATTACH, own, NULL, NULL));
    int status;
    EXPECT_OK(waitpid(own, &status, 0));
    EXPECT_OK(kill(own, SIGKILL));
    waitpid(own, &status, 0);
  });
  EXPECT_EXIT(inner, 0);
  EXPECT_OK(kill(child, SIGKILL));
}
