// tmpfs(5): its limits, and what a remount changes.
#include "test.h"

#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#define PAGE 4096

static void mounted(unsigned long flags, const char *options) {
  EXPECT_OK(unshare(CLONE_NEWNS));
  EXPECT_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
  EXPECT_OK(mkdir("m", 0755));
  EXPECT_OK(mount("none", "m", "tmpfs", flags, options));
}

/** The options of the mount and of its file system, as mountinfo tells them. */
static void options_of(char *own, char *shared) {
  char line[1024], point[512];
  FILE *file = fopen("/proc/self/mountinfo", "r");
  *own = *shared = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    sscanf(line, "%*d %*d %*s %*s %511s", point);
    if (strcmp(point + strlen(point) - 2, "/m") == 0)
      sscanf(line, "%*d %*d %*s %*s %*s %255s - %*s %*s %255s", own, shared);
  }
  fclose(file);
}

TEST(a_write_takes_what_is_left) {
  static char data[6 * PAGE];
  mounted(0, "size=16k");
  int fd = EXPECT_OK(open("m/file", O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(write(fd, data, 9000), 9000);
  EXPECT_EQ(write(fd, data, 9000), 4 * PAGE - 9000);
  EXPECT_ERRNO(write(fd, data, 1), ENOSPC);
  // What there is may be written again.
  EXPECT_EQ(pwrite(fd, data, sizeof data, 100), 4 * PAGE - 100);
  EXPECT_ERRNO(pwrite(fd, data, 1, 1 << 20), ENOSPC);
  struct statfs fs;
  EXPECT_OK(statfs("m", &fs));
  EXPECT_EQ(fs.f_blocks, 4);
  EXPECT_EQ(fs.f_bfree, 0);
  EXPECT_OK(ftruncate(fd, PAGE));
  EXPECT_OK(statfs("m", &fs));
  EXPECT_EQ(fs.f_bfree, 3);
}

TEST(names_count_as_inodes) {
  mounted(0, "nr_inodes=4");
  make_file("m/a", "");
  EXPECT_OK(link("m/a", "m/b"));
  EXPECT_OK(symlink("a", "m/c"));
  EXPECT_ERRNO(link("m/a", "m/d"), ENOSPC);
  EXPECT_ERRNO(mkdir("m/d", 0700), ENOSPC);
  EXPECT_OK(unlink("m/b"));
  EXPECT_OK(link("m/a", "m/d"));
  EXPECT_OK(unlink("m/a"));
  EXPECT_OK(unlink("m/d"));
  struct statfs fs;
  EXPECT_OK(statfs("m", &fs));
  EXPECT_EQ(fs.f_files, 4);
  EXPECT_EQ(fs.f_ffree, 2);
}

TEST(flags_of_mount_and_file_system) {
  char own[256], shared[256];
  mounted(MS_RDONLY | MS_NOATIME | MS_STRICTATIME | MS_NODIRATIME | MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME, "size=64k");
  options_of(own, shared);
  EXPECT_STR(own, "ro,nodiratime");
  EXPECT_TRUE(strncmp(shared, "ro,sync,dirsync,lazytime,size=64k", 33) == 0);
  struct statvfs fs;
  EXPECT_OK(statvfs("m", &fs));
  EXPECT_EQ(fs.f_flag & (ST_RDONLY | ST_SYNCHRONOUS | ST_NOATIME | ST_NODIRATIME), ST_RDONLY | ST_SYNCHRONOUS | ST_NODIRATIME);
  EXPECT_OK(mount("none", "m", NULL, MS_REMOUNT, "size=128k"));
  options_of(own, shared);
  EXPECT_STR(own, "rw,nodiratime");
  EXPECT_TRUE(strncmp(shared, "rw,dirsync,size=128k", 20) == 0);
}

TEST(remount) {
  char own[256], shared[256];
  mounted(0, "size=64k");
  EXPECT_ERRNO(mount("none", "m", NULL, MS_REMOUNT, "size=red"), EINVAL);
  int fd = EXPECT_OK(open("m/file", O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(pwrite(fd, "x", 1, 0), 1);
  EXPECT_EQ(pwrite(fd, "x", 1, PAGE), 1);
  EXPECT_ERRNO(mount("none", "m", NULL, MS_REMOUNT, "size=4k"), EINVAL);
  EXPECT_OK(mount("none", "m", NULL, MS_REMOUNT, "size=8k"));
  EXPECT_ERRNO(pwrite(fd, "x", 1, 2 * PAGE), ENOSPC);
  // Not under the hands of who writes.
  EXPECT_ERRNO(mount("none", "m", NULL, MS_REMOUNT | MS_RDONLY, NULL), EBUSY);
  EXPECT_ERRNO(mount("none", "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), EBUSY);
  EXPECT_OK(close(fd));
  EXPECT_OK(mount("none", "m", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
  options_of(own, shared);
  EXPECT_STR(own, "ro,relatime");
  EXPECT_TRUE(strncmp(shared, "rw", 2) == 0);
  EXPECT_OK(mount("none", "m", NULL, MS_REMOUNT | MS_BIND, NULL));
  EXPECT_OK(mount("none", "m", NULL, MS_REMOUNT | MS_RDONLY, NULL));
  EXPECT_ERRNO(unlink("m/file"), EROFS);
  options_of(own, shared);
  EXPECT_TRUE(strncmp(shared, "ro", 2) == 0);
}

TEST(ramfs) {
  char own[256], shared[256];
  EXPECT_OK(unshare(CLONE_NEWNS));
  EXPECT_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
  EXPECT_OK(mkdir("m", 0755));
  EXPECT_ERRNO(mount("none", "m", "ramfs", 0, "mode=9"), EINVAL);
  // It takes whatever is said, and minds only the mode.
  EXPECT_OK(mount("none", "m", "ramfs", MS_NODEV, "size=4k,mode=700"));
  options_of(own, shared);
  EXPECT_STR(own, "rw,nodev,relatime");
  EXPECT_STR(shared, "rw,mode=700");
  struct statfs fs;
  EXPECT_OK(statfs("m", &fs));
  EXPECT_EQ(fs.f_type, 0x858458f6);
  EXPECT_EQ(fs.f_blocks, 0);
  static char data[5 * PAGE];
  int fd = EXPECT_OK(open("m/file", O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(write(fd, data, sizeof data), sizeof data);
  EXPECT_OK(close(fd));
  EXPECT_OK(umount("m"));
}
