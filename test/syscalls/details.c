// Small points in which programs and test suites look closely: what is read of a struct, what can be spliced, and such.
#include "test.h"
#include <linux/openat2.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/xattr.h>
#include <sys/sysmacros.h>

TEST(structs_of_later_kernels) {
  char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_OK(munmap(page + 4096, 4096));
  // What stands behind is looked at up to the first byte that is not zero.
  char *at = page + 4096 - 64;
  struct open_how how = {.flags = O_RDONLY};
  memcpy(at, &how, sizeof how);
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, ".", at, 128), EFAULT);
  at[sizeof how + 3] = 1;
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, ".", at, 128), E2BIG);
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, ".", at, 64), E2BIG);
  at[sizeof how + 3] = 0;
  EXPECT_OK(syscall(SYS_openat2, AT_FDCWD, ".", at, 64));
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, ".", at, 5000), E2BIG);
  EXPECT_ERRNO(syscall(SYS_openat2, AT_FDCWD, ".", at, 8), EINVAL);
}

TEST(what_can_be_sent) {
  int out = open_new("out"), pipes[2];
  EXPECT_OK(pipe(pipes));
  int proc = EXPECT_OK(open("/proc/version", O_RDONLY)), task = EXPECT_OK(open("/proc/self/maps", O_RDONLY));
  EXPECT_GT(sendfile(out, proc, NULL, 100), 1);
  EXPECT_EQ(lseek(proc, 0, SEEK_CUR), lseek(out, 0, SEEK_CUR));
  EXPECT_OK(lseek(proc, 0, SEEK_SET));
  EXPECT_GT(splice(proc, NULL, pipes[1], NULL, 100, 0), 1);
  // Files of tasks cannot.
  EXPECT_ERRNO(sendfile(out, task, NULL, 100), EINVAL);
  EXPECT_ERRNO(splice(task, NULL, pipes[1], NULL, 100, 0), EINVAL);
  int sys = EXPECT_OK(open("/proc/sys/kernel/pid_max", O_RDONLY));
  EXPECT_GT(sendfile(out, sys, NULL, 100), 1);
  int null = EXPECT_OK(open("/dev/null", O_RDWR)), zero = EXPECT_OK(open("/dev/zero", O_RDWR));
  EXPECT_GT(splice(pipes[0], NULL, null, NULL, 100, 0), 1);
  EXPECT_ERRNO(sendfile(out, null, NULL, 100), EINVAL);
  EXPECT_ERRNO(splice(null, NULL, pipes[1], NULL, 100, 0), EINVAL);
  EXPECT_EQ(sendfile(out, zero, NULL, 100), 100);
  EXPECT_EQ(splice(zero, NULL, pipes[1], NULL, 100, 0), 100);
  int file = open_with("file", "some text");
  EXPECT_OK(lseek(file, 0, SEEK_SET));
  EXPECT_EQ(sendfile(null, file, NULL, 100), 9);
  int dir = EXPECT_OK(open(".", O_RDONLY));
  EXPECT_ERRNO(sendfile(out, dir, NULL, 100), EINVAL);
}

static int open_how(const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {flags, mode, resolve};
  return syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}
TEST(only_from_the_cache) {
  make_file("here", "");
  EXPECT_OK(open_how("here", O_RDONLY, 0, RESOLVE_CACHED));
  EXPECT_ERRNO(open_how("here", O_RDWR | O_TRUNC, 0, RESOLVE_CACHED), EAGAIN);
  EXPECT_ERRNO(open_how("new", O_RDWR | O_CREAT, 0600, RESOLVE_CACHED), EAGAIN);
  EXPECT_ERRNO(open_how(".", O_RDWR | O_TMPFILE, 0600, RESOLVE_CACHED), EAGAIN);
}

TEST(largest_segment) {
  struct shminfo info;
  EXPECT_OK(shmctl(0, IPC_INFO, (struct shmid_ds *)&info));
  char text[32];
  read_whole("/proc/sys/kernel/shmmax", text, sizeof text);
  EXPECT_EQ(info.shmmax, strtoull(text, NULL, 10));
  read_whole("/proc/sys/kernel/shmall", text, sizeof text);
  EXPECT_EQ(info.shmall, strtoull(text, NULL, 10));
}

TEST(names_of_protocols) {
  char text[64];
  int s = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_EQ(fgetxattr(s, "system.sockprotoname", NULL, 0), sizeof "UNIX-STREAM");
  EXPECT_EQ(fgetxattr(s, "system.sockprotoname", text, sizeof text), sizeof "UNIX-STREAM");
  EXPECT_STR(text, "UNIX-STREAM");
  EXPECT_ERRNO(fgetxattr(s, "system.sockprotoname", text, 3), ERANGE);
  EXPECT_EQ(flistxattr(s, text, sizeof text), sizeof "system.sockprotoname");
  EXPECT_STR(text, "system.sockprotoname");
  s = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_EQ(fgetxattr(s, "system.sockprotoname", text, sizeof text), sizeof "TCP");
  EXPECT_STR(text, "TCP");
  s = EXPECT_OK(socket(AF_INET6, SOCK_DGRAM, 0));
  EXPECT_GT(fgetxattr(s, "system.sockprotoname", text, sizeof text), 0);
  EXPECT_STR(text, "UDPv6");
  s = EXPECT_OK(socket(AF_NETLINK, SOCK_RAW, 0));
  EXPECT_GT(fgetxattr(s, "system.sockprotoname", text, sizeof text), 0);
  EXPECT_STR(text, "NETLINK");
  EXPECT_ERRNO(fsetxattr(s, "system.sockprotoname", "x", 1, 0), EOPNOTSUPP);
}

TEST(far_offsets) {
  int fd = open_with("file", "x");
  char byte;
  EXPECT_EQ(pread(fd, &byte, 1, 1LL << 60), 0);
  EXPECT_ERRNO(pread(fd, &byte, 1, INT64_MAX), EINVAL);
  EXPECT_EQ(pread(fd, &byte, 1, INT64_MAX - 4095), 0);
  EXPECT_ERRNO(pwrite(fd, &byte, 1, INT64_MAX), EINVAL);
  EXPECT_ERRNO(pread(fd, &byte, 1, -1), EINVAL);
  EXPECT_ERRNO(pread(fd, &byte, 1, INT64_MIN), EINVAL);
  EXPECT_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
  EXPECT_ERRNO(lseek(fd, INT64_MIN, SEEK_END), EINVAL);
  EXPECT_ERRNO(ftruncate(fd, INT64_MIN), EINVAL);
  EXPECT_ERRNO(fallocate(fd, 0, INT64_MAX, 1), EFBIG);
  EXPECT_ERRNO(fallocate(fd, 0, 1LL << 62, 1LL << 62), EFBIG);
  EXPECT_ERRNO(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, INT64_MAX & ~4095), EOVERFLOW);
  struct flock lock = {.l_type = F_WRLCK, .l_start = INT64_MAX, .l_len = 2};
  EXPECT_ERRNO(fcntl(fd, F_SETLK, &lock), EOVERFLOW);
  lock = (struct flock){.l_type = F_WRLCK, .l_start = -1, .l_len = 2};
  EXPECT_ERRNO(fcntl(fd, F_SETLK, &lock), EINVAL);
  EXPECT_ERRNO(posix_fallocate(fd, -1, 1) ? (errno = EINVAL, -1) : 0, EINVAL);
}

TEST(whiteouts) {
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_OK(unshare(CLONE_NEWNS));
  EXPECT_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
  EXPECT_OK(mount("t", "d", "tmpfs", 0, NULL));
  make_file("d/old", "text");
  EXPECT_OK(renameat2(AT_FDCWD, "d/old", AT_FDCWD, "d/new", RENAME_WHITEOUT));
  struct stat st;
  EXPECT_OK(lstat("d/old", &st));
  EXPECT_TRUE(S_ISCHR(st.st_mode));
  EXPECT_EQ(st.st_rdev, 0);
  expect_content("d/new", "text");
  make_file("d/other", "2");
  EXPECT_OK(renameat2(AT_FDCWD, "d/other", AT_FDCWD, "d/new", RENAME_WHITEOUT));
  expect_content("d/new", "2");
  EXPECT_OK(lstat("d/other", &st));
  EXPECT_ERRNO(renameat2(AT_FDCWD, "d/new", AT_FDCWD, "d/x", RENAME_WHITEOUT | RENAME_EXCHANGE), EINVAL);
  EXPECT_ERRNO(renameat2(AT_FDCWD, "d/new", AT_FDCWD, "d/other", RENAME_WHITEOUT | RENAME_NOREPLACE), EEXIST);
  EXPECT_OK(unlink("d/other"));
  EXPECT_OK(unlink("d/old"));
  IN_CHILD({
    EXPECT_OK(chmod("d", 0777));
    become(1000, 1000);
    // It needs no privilege, whatever the kind of the node.
    EXPECT_OK(close(EXPECT_OK(open("d/mine", O_CREAT | O_WRONLY, 0644))));
    EXPECT_OK(renameat2(AT_FDCWD, "d/mine", AT_FDCWD, "d/moved", RENAME_WHITEOUT));
    EXPECT_OK(lstat("d/mine", &st));
    EXPECT_TRUE(S_ISCHR(st.st_mode));
  });
}
