// What counts as an access, and where none is noted.
#include "test.h"
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>

static const struct timespec old[2] = {{1000, 0}, {1000, 0}};

static void on_tmpfs(unsigned long flags) {
  EXPECT_OK(unshare(CLONE_NEWNS));
  EXPECT_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  EXPECT_OK(mkdir("mount", 0755));
  EXPECT_OK(mount("none", "mount", "tmpfs", flags, NULL));
  EXPECT_OK(chdir("mount"));
  make_file("file", "contents");
  EXPECT_OK(mkdir("dir", 0755));
  EXPECT_OK(symlink("file", "link"));
}

static void forget(const char *path) { EXPECT_OK(utimensat(AT_FDCWD, path, old, AT_SYMLINK_NOFOLLOW)); }

/** Whether there was an access since `forget`. */
static int accessed(const char *path) {
  struct stat st;
  EXPECT_OK(lstat(path, &st));
  return st.st_atime != 1000;
}

#define EXPECT_ACCESS(path, yes, ...) \
  do {                                \
    forget(path);                     \
    __VA_ARGS__;                      \
    EXPECT_EQ(accessed(path), yes);   \
  } while (0)

static void list(const char *path) {
  DIR *dir = opendir(path);
  EXPECT_TRUE(dir != NULL);
  readdir(dir);
  closedir(dir);
}

TEST(accesses) {
  on_tmpfs(0);
  char c;
  struct stat st;
  int fd = EXPECT_OK(open("file", O_RDWR)), quiet = EXPECT_OK(open("file", O_RDONLY | O_NOATIME)), fds[2];
  EXPECT_OK(pipe(fds));
  off_t start = 0, end = 100;
  loff_t from = 0;
  EXPECT_ACCESS("file", 1, EXPECT_EQ(pread(fd, &c, 1, 0), 1));
  EXPECT_ACCESS("file", 1, EXPECT_EQ(pread(fd, &c, 0, 0), 0));
  EXPECT_ACCESS("file", 1, EXPECT_EQ(pread(fd, &c, 1, 1000), 0));
  EXPECT_ACCESS("file", 0, EXPECT_EQ(pread(quiet, &c, 1, 0), 1));
  EXPECT_ACCESS("file", 0, EXPECT_EQ(pwrite(fd, "x", 1, 0), 1));
  EXPECT_ACCESS("file", 0, EXPECT_OK(stat("file", &st)));
  EXPECT_ACCESS("file", 1, EXPECT_TRUE(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED));
  EXPECT_ACCESS("file", 0, EXPECT_TRUE(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, quiet, 0) != MAP_FAILED));
  EXPECT_ACCESS("file", 1, EXPECT_EQ(splice(fd, &from, fds[1], NULL, 1, 0), 1));
  EXPECT_ACCESS("file", 1, EXPECT_EQ(sendfile(fds[1], fd, &start, 1), 1));
  start = 0;
  EXPECT_ACCESS("file", 1, EXPECT_EQ(copy_file_range(fd, &start, fd, &end, 1, 0), 1));
  EXPECT_ACCESS("dir", 1, list("dir"));
  EXPECT_ACCESS("dir", 0, make_file("dir/file", ""));
  EXPECT_ACCESS("link", 1, EXPECT_OK(readlink("link", &c, 1)));
  EXPECT_ACCESS("link", 1, EXPECT_OK(stat("link", &st)));
  EXPECT_ACCESS("link", 0, EXPECT_OK(lstat("link", &st)));
  // What is newer than the last change stays (relatime).
  struct timespec newer[2] = {{3000000000, 0}, {1000, 0}};
  EXPECT_OK(utimensat(AT_FDCWD, "file", newer, 0));
  EXPECT_EQ(pread(fd, &c, 1, 0), 1);
  EXPECT_OK(stat("file", &st));
  EXPECT_EQ(st.st_atime, 3000000000);
}

TEST(mounts_without) {
  on_tmpfs(MS_NOATIME);
  char c;
  EXPECT_ACCESS("file", 0, EXPECT_EQ(pread(EXPECT_OK(open("file", O_RDONLY)), &c, 1, 0), 1));
  EXPECT_ACCESS("dir", 0, list("dir"));
  EXPECT_ACCESS("link", 0, EXPECT_OK(readlink("link", &c, 1)));
  EXPECT_OK(mount(NULL, "../mount", NULL, MS_REMOUNT | MS_BIND | MS_NODIRATIME | MS_RELATIME, NULL));
  EXPECT_ACCESS("file", 1, EXPECT_EQ(pread(EXPECT_OK(open("file", O_RDONLY)), &c, 1, 0), 1));
  EXPECT_ACCESS("dir", 0, list("dir"));
  forget("file");
  EXPECT_OK(mount(NULL, "../mount", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
  EXPECT_EQ(pread(EXPECT_OK(open("file", O_RDONLY)), &c, 1, 0), 1);
  EXPECT_TRUE(!accessed("file"));
}

TEST(strictly) {
  on_tmpfs(MS_STRICTATIME);
  char c;
  struct stat st;
  struct timespec newer[2] = {{3000000000, 0}, {1000, 0}};
  EXPECT_OK(utimensat(AT_FDCWD, "file", newer, 0));
  EXPECT_EQ(pread(EXPECT_OK(open("file", O_RDONLY)), &c, 1, 0), 1);
  EXPECT_OK(stat("file", &st));
  EXPECT_NE(st.st_atime, 3000000000);
  int fd = EXPECT_OK(open("file", O_RDONLY)), flags = FS_NOATIME_FL;
  EXPECT_OK(ioctl(fd, FS_IOC_SETFLAGS, &flags));
  EXPECT_ACCESS("file", 0, EXPECT_EQ(pread(fd, &c, 1, 0), 1));
}

TEST(numbers_of_mounts) {
  struct statx plain, unique;
  EXPECT_OK(statx(AT_FDCWD, ".", 0, STATX_MNT_ID, &plain));
  EXPECT_OK(statx(AT_FDCWD, ".", 0, 0x4000, &unique));
  if ((unique.stx_mask & 0x4000) == 0) SKIP("this kernel has no unique numbers of mounts");
  EXPECT_TRUE(plain.stx_mask & STATX_MNT_ID);
  EXPECT_TRUE((unique.stx_mask & STATX_MNT_ID) == 0);
  EXPECT_GT(unique.stx_mnt_id, 0x7fffffff);
  EXPECT_TRUE(plain.stx_attributes_mask & STATX_ATTR_DAX);
}
