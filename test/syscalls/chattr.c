// Immutable and append-only files, and other flags of chattr(1).
#include "test.h"
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#define FILE_GETATTR 468
#define FILE_SETATTR 469
#define CHANGEABLE (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL)

/** A tmpfs is the same everywhere. */
static void on_tmpfs(void) {
  EXPECT_OK(unshare(CLONE_NEWNS));
  EXPECT_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  EXPECT_OK(mkdir("mount", 0755));
  EXPECT_OK(mount("none", "mount", "tmpfs", 0, NULL));
  EXPECT_OK(chdir("mount"));
}

static int try(int fd, int flags) { return ioctl(fd, FS_IOC_SETFLAGS, &flags); }

static int get(const char *path) {
  int fd = EXPECT_OK(open(path, O_RDONLY)), flags = 0;
  EXPECT_OK(ioctl(fd, FS_IOC_GETFLAGS, &flags));
  EXPECT_OK(close(fd));
  return flags & CHANGEABLE;
}

/** Keeps the flags that only the file system sets. */
static void set(const char *path, int flags) {
  int fd = EXPECT_OK(open(path, O_RDONLY)), before = 0;
  if (ioctl(fd, FS_IOC_GETFLAGS, &before) < 0 && errno == ENOTTY) SKIP("this file system has no such flags");
  EXPECT_OK(try(fd, (before & ~CHANGEABLE) | flags));
  EXPECT_OK(close(fd));
}

TEST(immutable_files) {
  make_file("file", "contents");
  int fd = EXPECT_OK(open("file", O_RDWR));
  struct timespec old[2] = {{1, 0}, {1, 0}};
  set("file", FS_IMMUTABLE_FL);
  EXPECT_EQ(get("file"), FS_IMMUTABLE_FL);
  EXPECT_ERRNO(open("file", O_WRONLY), EPERM);
  EXPECT_ERRNO(access("file", W_OK), EPERM);
  EXPECT_ERRNO(truncate("file", 0), EPERM);
  EXPECT_ERRNO(fallocate(fd, 0, 0, 100), EPERM);
  EXPECT_ERRNO(chmod("file", 0600), EPERM);
  EXPECT_ERRNO(chown("file", 1, 1), EPERM);
  EXPECT_ERRNO(utimensat(AT_FDCWD, "file", NULL, 0), EPERM);
  EXPECT_ERRNO(utimensat(AT_FDCWD, "file", old, 0), EPERM);
  EXPECT_ERRNO(unlink("file"), EPERM);
  EXPECT_ERRNO(rename("file", "other"), EPERM);
  EXPECT_ERRNO(link("file", "other"), EPERM);
  EXPECT_ERRNO(setxattr("file", "user.x", "", 0, 0), EPERM);
  EXPECT_ERRNO(removexattr("file", "user.x"), EPERM);
  int from = EXPECT_OK(open("from", O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(write(from, "x", 1), 1);
  off_t start = 0;
  EXPECT_ERRNO(copy_file_range(from, &start, fd, NULL, 1, 0), EPERM);
  struct statx stx;
  EXPECT_OK(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &stx));
  EXPECT_TRUE(stx.stx_attributes_mask & STATX_ATTR_IMMUTABLE);
  EXPECT_EQ(stx.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND), STATX_ATTR_IMMUTABLE);
  set("file", 0);
  EXPECT_OK(unlink("file"));
}

TEST(files_that_only_grow) {
  make_file("file", "contents");
  struct timespec old[2] = {{1, 0}, {1, 0}};
  set("file", FS_APPEND_FL);
  EXPECT_ERRNO(open("file", O_WRONLY), EPERM);
  EXPECT_ERRNO(open("file", O_WRONLY | O_APPEND | O_TRUNC), EPERM);
  EXPECT_ERRNO(truncate("file", 0), EPERM);
  EXPECT_ERRNO(unlink("file"), EPERM);
  EXPECT_ERRNO(chmod("file", 0600), EPERM);
  EXPECT_OK(utimensat(AT_FDCWD, "file", NULL, 0));
  EXPECT_ERRNO(utimensat(AT_FDCWD, "file", old, 0), EPERM);
  int fd = EXPECT_OK(open("file", O_WRONLY | O_APPEND));
  EXPECT_EQ(write(fd, "more", 4), 4);
  EXPECT_ERRNO(fcntl(fd, F_SETFL, 0), EPERM);
  EXPECT_ERRNO(ftruncate(fd, 0), EPERM);
  EXPECT_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1), EPERM);
  set("file", 0);
  EXPECT_OK(fcntl(fd, F_SETFL, 0));
}

TEST(directories) {
  EXPECT_OK(mkdir("grows", 0755));
  EXPECT_OK(mkdir("stays", 0755));
  make_file("stays/file", "");
  set("grows", FS_APPEND_FL);
  set("stays", FS_IMMUTABLE_FL);
  make_file("grows/file", "");
  EXPECT_ERRNO(unlink("grows/file"), EPERM);
  EXPECT_ERRNO(rename("grows/file", "file"), EPERM);
  EXPECT_ERRNO(open("stays/new", O_CREAT | O_WRONLY, 0600), EPERM);
  EXPECT_ERRNO(mkdir("stays/new", 0700), EPERM);
  EXPECT_ERRNO(unlink("stays/file"), EPERM);
  EXPECT_ERRNO(rmdir("stays"), EPERM);
  // The files in it are none of its business.
  EXPECT_OK(truncate("stays/file", 5));
  set("grows", 0);
  set("stays", 0);
}

TEST(who_may_set_flags) {
  on_tmpfs();
  make_file("file", "");
  EXPECT_OK(chown("file", NOBODY, NOBODY));
  int fd = EXPECT_OK(open("file", O_RDONLY));
  EXPECT_ERRNO(try(fd, FS_COMPR_FL), EOPNOTSUPP);
  EXPECT_ERRNO(ioctl(fd, FS_IOC_SETFLAGS, NULL), EFAULT);
  EXPECT_EXIT(FORK(EXPECT_OK(setresuid(NOBODY, NOBODY, NOBODY)); EXPECT_OK(try(fd, FS_NODUMP_FL)); EXPECT_EQ(get("file"), FS_NODUMP_FL);
                   EXPECT_ERRNO(try(fd, FS_NODUMP_FL | FS_IMMUTABLE_FL), EPERM)),
              0);
  EXPECT_EXIT(FORK(EXPECT_OK(setresuid(1, 1, 1)); EXPECT_ERRNO(try(fd, 0), EPERM)), 0);
  EXPECT_OK(mkdir("dir", 0700));
  set("dir", FS_NOATIME_FL);
  make_file("dir/file", "");
  EXPECT_EQ(get("dir/file"), FS_NOATIME_FL);
  EXPECT_OK(mkfifo("fifo", 0600));
  EXPECT_ERRNO(ioctl(EXPECT_OK(open("fifo", O_RDWR)), FS_IOC_GETFLAGS, &fd), ENOTTY);
}

TEST(the_other_encoding) {
  on_tmpfs();
  make_file("file", "");
  int fd = EXPECT_OK(open("file", O_RDONLY));
  struct fsxattr x = {.fsx_xflags = FS_XFLAG_APPEND | FS_XFLAG_NODUMP};
  EXPECT_OK(ioctl(fd, FS_IOC_FSSETXATTR, &x));
  EXPECT_EQ(get("file"), FS_APPEND_FL | FS_NODUMP_FL);
  memset(&x, 0xff, sizeof x);
  EXPECT_OK(ioctl(fd, FS_IOC_FSGETXATTR, &x));
  EXPECT_EQ(x.fsx_xflags, FS_XFLAG_APPEND | FS_XFLAG_NODUMP);
  EXPECT_EQ(x.fsx_projid, 0);
  x.fsx_extsize = 4096;
  EXPECT_ERRNO(ioctl(fd, FS_IOC_FSSETXATTR, &x), EOPNOTSUPP);
  uint64_t attr[5] = {0};
  long n = syscall(FILE_GETATTR, AT_FDCWD, "file", attr, 24, 0);
  if (n < 0 && errno == ENOSYS) SKIP("this kernel has no file_getattr");
  EXPECT_EQ(n, 0);
  EXPECT_EQ(attr[0], FS_XFLAG_APPEND | FS_XFLAG_NODUMP);
  EXPECT_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "file", attr, 23, 0), EINVAL);
  EXPECT_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "file", attr, 5000, 0), E2BIG);
  EXPECT_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "file", attr, 24, AT_EACCESS), EINVAL);
  EXPECT_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "/proc/self/status", attr, 24, 0), EOPNOTSUPP);
  attr[0] = FS_XFLAG_IMMUTABLE;
  EXPECT_OK(syscall(FILE_SETATTR, AT_FDCWD, "file", attr, 24, 0));
  EXPECT_EQ(get("file"), FS_IMMUTABLE_FL);
  attr[0] = 1ull << 40;
  EXPECT_ERRNO(syscall(FILE_SETATTR, AT_FDCWD, "file", attr, 24, 0), EINVAL);
  attr[0] = FS_XFLAG_IMMUTABLE;
  attr[4] = 1;
  EXPECT_ERRNO(syscall(FILE_SETATTR, AT_FDCWD, "file", attr, 40, 0), E2BIG);
}

TEST(requests_that_every_file_knows) {
  on_tmpfs();
  int fds[2], size = 0, a, b;
  EXPECT_OK(pipe(fds));
  EXPECT_OK(ioctl(fds[0], FIGETBSZ, &size));
  EXPECT_EQ(size, 4096);
  a = EXPECT_OK(open("a", O_RDWR | O_CREAT, 0600));
  b = EXPECT_OK(open("b", O_RDWR | O_CREAT, 0600));
  EXPECT_ERRNO(ioctl(a, FICLONE, b), EOPNOTSUPP);
  EXPECT_ERRNO(ioctl(a, FICLONE, -1), EBADF);
  EXPECT_ERRNO(ioctl(EXPECT_OK(open("a", O_RDONLY)), FICLONE, b), EBADF);
  EXPECT_ERRNO(ioctl(EXPECT_OK(open(".", O_RDONLY)), FICLONE, b), EISDIR);
  EXPECT_ERRNO(ioctl(fds[1], FICLONE, b), EXDEV);
  EXPECT_ERRNO(ioctl(a, FICLONERANGE, NULL), EFAULT);
  EXPECT_ERRNO(ioctl(a, FIDEDUPERANGE, NULL), EFAULT);
  struct file_dedupe_range range = {.dest_count = 200};
  EXPECT_ERRNO(ioctl(a, FIDEDUPERANGE, &range), ENOMEM);
  EXPECT_ERRNO(ioctl(a, FIFREEZE, 0), EOPNOTSUPP);
  EXPECT_EXIT(FORK(EXPECT_OK(setresuid(NOBODY, NOBODY, NOBODY)); EXPECT_ERRNO(ioctl(a, FIFREEZE, 0), EPERM);
                   EXPECT_ERRNO(ioctl(a, FIBMAP, &size), EPERM)),
              0);
}
