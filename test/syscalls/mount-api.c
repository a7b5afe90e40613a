// The mount API of descriptors: open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr.
#include "test.h"

#include <linux/mount.h>

// <sys/mount.h> has some of the same names.
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
#define MNT_DETACH 2

static int do_open_tree(int dfd, const char *path, unsigned flags) { return syscall(SYS_open_tree, dfd, path, flags); }
static int do_move_mount(int from, const char *f, int to, const char *t, unsigned flags) {
  return syscall(SYS_move_mount, from, f, to, t, flags);
}
static int do_fsopen(const char *type, unsigned flags) { return syscall(SYS_fsopen, type, flags); }
static int do_fsconfig(int fd, unsigned cmd, const char *key, const void *value, int aux) {
  return syscall(SYS_fsconfig, fd, cmd, key, value, aux);
}
static int do_fsmount(int fd, unsigned flags, unsigned attr) { return syscall(SYS_fsmount, fd, flags, attr); }
static int setattr(int dfd, const char *path, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation) {
  struct mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
  return syscall(SYS_mount_setattr, dfd, path, flags, &attr, sizeof attr);
}

static void begin(void) {
  EXPECT_OK(unshare(CLONE_NEWNS));
  EXPECT_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
  EXPECT_OK(mkdir("base", 0755));
  EXPECT_OK(mount("base", "base", "tmpfs", 0, "mode=755"));
  EXPECT_OK(chdir("base"));
  EXPECT_OK(mkdir("a", 0755));
  EXPECT_OK(mkdir("b", 0755));
}

static int new_tmpfs(void) {
  int fs = EXPECT_OK(do_fsopen("tmpfs", FSOPEN_CLOEXEC));
  EXPECT_OK(do_fsconfig(fs, FSCONFIG_SET_STRING, "source", "mine", 0));
  EXPECT_OK(do_fsconfig(fs, FSCONFIG_SET_STRING, "mode", "711", 0));
  EXPECT_OK(do_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
  int tree = EXPECT_OK(do_fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID));
  EXPECT_OK(close(fs));
  return tree;
}

static int shown(const char *what) {
  char text[8192];
  read_whole("/proc/self/mountinfo", text, sizeof text);
  return strstr(text, what) != NULL;
}

TEST(a_new_file_system) {
  begin();
  int tree = new_tmpfs();
  // It can be used before it is anywhere.
  int fd = EXPECT_OK(openat(tree, "file", O_CREAT | O_WRONLY, 0644));
  EXPECT_OK(close(fd));
  EXPECT_TRUE(!shown(" mine "));
  EXPECT_OK(do_move_mount(tree, "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH));
  EXPECT_OK(access("a/file", F_OK));
  struct stat st;
  EXPECT_OK(stat("a", &st));
  EXPECT_EQ(st.st_mode & 07777, 0711);
  EXPECT_TRUE(shown(" rw,nosuid,relatime - tmpfs mine "));
  // From now on it is a mount like others.
  EXPECT_OK(do_move_mount(AT_FDCWD, "a", AT_FDCWD, "b", 0));
  EXPECT_OK(access("b/file", F_OK));
  EXPECT_OK(close(tree));
  EXPECT_OK(access("b/file", F_OK));
  EXPECT_OK(umount2("b", 0));
}

TEST(contexts_have_phases) {
  begin();
  EXPECT_ERRNO(do_fsopen("no-such-type", 0), ENODEV);
  EXPECT_ERRNO(do_fsopen("tmpfs", 0x10), EINVAL);
  int fs = EXPECT_OK(do_fsopen("tmpfs", 0));
  EXPECT_ERRNO(do_fsmount(fs, 0, 0), EINVAL);
  EXPECT_ERRNO(do_fsconfig(fs, 99, NULL, NULL, 0), EOPNOTSUPP);
  EXPECT_ERRNO(do_fsconfig(fs, FSCONFIG_SET_FLAG, NULL, NULL, 0), EINVAL);
  EXPECT_ERRNO(do_fsconfig(fs, FSCONFIG_SET_FLAG, "ro", "x", 0), EINVAL);
  EXPECT_ERRNO(do_fsconfig(fs, FSCONFIG_SET_STRING, "size", NULL, 0), EINVAL);
  EXPECT_ERRNO(do_fsconfig(fs, FSCONFIG_CMD_CREATE, "x", NULL, 0), EINVAL);
  EXPECT_ERRNO(do_fsconfig(0, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EINVAL);
  EXPECT_ERRNO(do_fsconfig(-1, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EINVAL);
  EXPECT_ERRNO(do_fsconfig(777, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EBADF);
  EXPECT_OK(do_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
  EXPECT_ERRNO(do_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EBUSY);
  EXPECT_ERRNO(do_fsconfig(fs, FSCONFIG_SET_STRING, "size", "1m", 0), EBUSY);
  EXPECT_ERRNO(do_fsmount(fs, 0x10, 0), EINVAL);
  EXPECT_ERRNO(do_fsmount(fs, 0, 0x40000000), EINVAL);
  char text[16];
  EXPECT_ERRNO(read(fs, text, sizeof text), ENODATA);
  int tree = EXPECT_OK(do_fsmount(fs, 0, 0));
  EXPECT_ERRNO(write(tree, "x", 1), EBADF);
  EXPECT_EQ(fcntl(tree, F_GETFD), 0);
}

TEST(clones_of_trees) {
  begin();
  EXPECT_OK(mount("t", "a", "tmpfs", 0, NULL));
  make_file("a/top", "");
  EXPECT_OK(mkdir("a/sub", 0755));
  EXPECT_OK(mount("t", "a/sub", "tmpfs", 0, NULL));
  make_file("a/sub/below", "");
  EXPECT_ERRNO(do_open_tree(AT_FDCWD, "a", AT_RECURSIVE), EINVAL);
  EXPECT_ERRNO(do_open_tree(AT_FDCWD, "a", 0x2), EINVAL);
  EXPECT_ERRNO(do_open_tree(AT_FDCWD, "missing", OPEN_TREE_CLONE), ENOENT);
  int plain = EXPECT_OK(do_open_tree(AT_FDCWD, "a", 0));
  EXPECT_OK(faccessat(plain, "sub/below", F_OK, 0));
  EXPECT_OK(close(plain));
  int one = EXPECT_OK(do_open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  EXPECT_ERRNO(faccessat(one, "sub/below", F_OK, 0), ENOENT);
  int all = EXPECT_OK(do_open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE | AT_RECURSIVE));
  EXPECT_OK(faccessat(all, "sub/below", F_OK, 0));
  EXPECT_OK(setattr(all, "", AT_EMPTY_PATH | AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0));
  EXPECT_ERRNO(openat(all, "sub/new", O_CREAT | O_WRONLY, 0644), EROFS);
  EXPECT_OK(do_move_mount(all, "", AT_FDCWD, "b", MOVE_MOUNT_F_EMPTY_PATH));
  EXPECT_OK(access("b/sub/below", F_OK));
  EXPECT_ERRNO(open("b/sub/new", O_CREAT | O_WRONLY, 0644), EROFS);
  int fd = EXPECT_OK(open("a/sub/new", O_CREAT | O_WRONLY, 0644));
  EXPECT_OK(close(fd));
  // Thrown away: nothing holds the original any more.
  EXPECT_OK(close(one));
  EXPECT_OK(umount2("b", MNT_DETACH));
  EXPECT_OK(umount2("a/sub", 0));
  EXPECT_OK(umount2("a", 0));
}

TEST(moves_that_are_wrong) {
  begin();
  int tree = new_tmpfs();
  make_file("file", "");
  EXPECT_ERRNO(do_move_mount(tree, "", AT_FDCWD, "a", 0), ENOENT);
  EXPECT_ERRNO(do_move_mount(tree, "", AT_FDCWD, "a", 0x8000), EINVAL);
  EXPECT_ERRNO(do_move_mount(tree, "", AT_FDCWD, "file", MOVE_MOUNT_F_EMPTY_PATH), EINVAL);
  EXPECT_ERRNO(do_move_mount(AT_FDCWD, "a", AT_FDCWD, "b", 0), EINVAL);
  IN_CHILD({
    EXPECT_OK(setresuid(NOBODY, NOBODY, NOBODY));
    EXPECT_ERRNO(do_move_mount(tree, "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH), EPERM);
    EXPECT_ERRNO(do_open_tree(AT_FDCWD, "a", OPEN_TREE_CLONE), EPERM);
    EXPECT_ERRNO(do_fsopen("tmpfs", 0), EPERM);
    EXPECT_ERRNO(setattr(AT_FDCWD, "a", 0, MOUNT_ATTR_RDONLY, 0, 0), EPERM);
  });
}

TEST(attributes) {
  begin();
  EXPECT_OK(mount("mine", "a", "tmpfs", MS_NOSUID, NULL));
  EXPECT_OK(setattr(AT_FDCWD, "a", 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, 0));
  EXPECT_TRUE(shown(" ro,noexec,relatime - tmpfs mine "));
  EXPECT_OK(setattr(AT_FDCWD, "a", 0, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME | MOUNT_ATTR_RDONLY, 0));
  EXPECT_TRUE(shown(" rw,noexec,noatime - tmpfs mine "));
  EXPECT_OK(setattr(AT_FDCWD, "a", 0, 0, 0, MS_SHARED));
  EXPECT_TRUE(shown(" rw,noexec,noatime shared:"));
  EXPECT_OK(setattr(AT_FDCWD, "a", 0, 0, 0, MS_PRIVATE));
  EXPECT_OK(setattr(AT_FDCWD, "a", 0, 0, 0, 0));
  EXPECT_ERRNO(setattr(AT_FDCWD, "a", 0, MOUNT_ATTR_NOATIME, 0, 0), EINVAL);
  EXPECT_ERRNO(setattr(AT_FDCWD, "a", 0, 0, MOUNT_ATTR_NOATIME, 0), EINVAL);
  EXPECT_ERRNO(setattr(AT_FDCWD, "a", 0, 1ull << 40, 0, 0), EINVAL);
  EXPECT_ERRNO(setattr(AT_FDCWD, "a", 0, 0, 0, MS_SHARED | MS_PRIVATE), EINVAL);
  EXPECT_ERRNO(setattr(AT_FDCWD, "a", 0, 0, 0, MS_RDONLY), EINVAL);
  EXPECT_ERRNO(setattr(AT_FDCWD, "a", 0x1, 1, 0, 0), EINVAL);
  EXPECT_ERRNO(setattr(AT_FDCWD, "missing", 0, 1, 0, 0), ENOENT);
  EXPECT_OK(mkdir("a/d", 0755));
  EXPECT_ERRNO(setattr(AT_FDCWD, "a/d", 0, 1, 0, 0), EINVAL);
  struct mount_attr attr[2] = {{.attr_set = 1}, {.attr_set = 1}};
  EXPECT_ERRNO(syscall(SYS_mount_setattr, AT_FDCWD, "a", 0, attr, 8), EINVAL);
  EXPECT_ERRNO(syscall(SYS_mount_setattr, AT_FDCWD, "a", 0, attr, sizeof attr), E2BIG);
  EXPECT_ERRNO(syscall(SYS_mount_setattr, AT_FDCWD, "a", 0, attr, 5000), E2BIG);
  EXPECT_ERRNO(syscall(SYS_mount_setattr, AT_FDCWD, "a", 0, NULL, sizeof *attr), EFAULT);
}

TEST(pick) {
  begin();
  EXPECT_OK(mount("mine", "a", "tmpfs", 0, NULL));
  int fs = EXPECT_OK(syscall(SYS_fspick, AT_FDCWD, "a", FSPICK_CLOEXEC));
  EXPECT_ERRNO(do_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EBUSY);
  EXPECT_OK(do_fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
  EXPECT_OK(mkdir("a/d", 0755));
  EXPECT_ERRNO(syscall(SYS_fspick, AT_FDCWD, "a/d", 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_fspick, AT_FDCWD, "a", 0x100), EINVAL);
}

TEST(options_are_checked_one_by_one) {
  begin();
  char text[256];
  int fs = EXPECT_OK(do_fsopen("tmpfs", 0));
  EXPECT_ERRNO(do_fsconfig(fs, FSCONFIG_SET_STRING, "color", "red", 0), EINVAL);
  EXPECT_ERRNO(do_fsconfig(fs, FSCONFIG_SET_STRING, "size", "red", 0), EINVAL);
  EXPECT_ERRNO(do_fsconfig(fs, FSCONFIG_SET_BINARY, "size", "red", 3), EINVAL);
  EXPECT_ERRNO(read(fs, text, 3), EMSGSIZE);
  ssize_t n = EXPECT_OK(read(fs, text, sizeof text));
  text[n] = 0;
  EXPECT_STR(text, "e tmpfs: Unknown parameter 'color'\n");
  n = EXPECT_OK(read(fs, text, sizeof text));
  text[n] = 0;
  EXPECT_STR(text, "e tmpfs: Bad value for 'size'\n");
  // None of that has spoilt it.
  EXPECT_OK(do_fsconfig(fs, FSCONFIG_SET_STRING, "size", "64k", 0));
  EXPECT_OK(do_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
  int tree = EXPECT_OK(do_fsmount(fs, 0, 0));
  EXPECT_ERRNO(do_fsmount(fs, 0, 0), EBUSY);
  EXPECT_OK(do_move_mount(tree, "", AT_FDCWD, "a", MOVE_MOUNT_F_EMPTY_PATH));
  EXPECT_TRUE(shown("size=64k"));
}

TEST(a_file_system_is_reconfigured) {
  begin();
  EXPECT_OK(mount("mine", "a", "tmpfs", 0, "size=64k"));
  int fs = EXPECT_OK(syscall(SYS_fspick, AT_FDCWD, "a", 0));
  EXPECT_OK(do_fsconfig(fs, FSCONFIG_SET_STRING, "size", "128k", 0));
  EXPECT_OK(do_fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0));
  int fd = EXPECT_OK(open("a/file", O_CREAT | O_WRONLY, 0600));
  EXPECT_ERRNO(setattr(AT_FDCWD, "a", 0, MOUNT_ATTR_RDONLY, 0, 0), EBUSY);
  EXPECT_OK(close(fd));
  EXPECT_OK(do_fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
  EXPECT_TRUE(shown("mine ro,size=128k"));
  EXPECT_ERRNO(open("a/other", O_CREAT | O_WRONLY, 0600), EROFS);
}
