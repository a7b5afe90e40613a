// Names: symbolic links, renames, links, removal, directories, permissions, times, attributes, roots.
#include "test.h"
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static struct stat stat_of(const char *path) {
  struct stat st;
  EXPECT_OK(lstat(path, &st));
  return st;
}
static mode_t mode_of(const char *path) { return stat_of(path).st_mode & 07777; }
static int exists(const char *path) {
  struct stat st;
  return lstat(path, &st) == 0;
}

TEST(symbolic_links) {
  char target[16] = {0};
  make_file("f", "text");
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_OK(symlink("../f", "d/up"));
  EXPECT_OK(symlink("d/up", "twice"));
  expect_content("twice", "text");
  EXPECT_EQ(readlink("d/up", target, sizeof target), 4);
  EXPECT_STR(target, "../f");
  EXPECT_EQ(readlink("d/up", target, 2), 2);
  EXPECT_ERRNO(readlink("f", target, sizeof target), EINVAL);
  EXPECT_ERRNO(readlink("f", target, 0), EINVAL);
  EXPECT_ERRNO(symlink("x", "f"), EEXIST);
  EXPECT_ERRNO(symlink("", "empty"), ENOENT);
  struct stat st;
  EXPECT_OK(lstat("twice", &st));
  EXPECT_TRUE(S_ISLNK(st.st_mode) && st.st_size == 4);
  EXPECT_OK(symlink("none", "dangling"));
  EXPECT_ERRNO(stat("dangling", &st), ENOENT);
}

TEST(link_loops) {
  EXPECT_OK(symlink("b", "a"));
  EXPECT_OK(symlink("a", "b"));
  EXPECT_ERRNO(open("a", O_RDONLY), ELOOP);
  char from[16], to[16];
  make_file("l0", "end");
  for (int i = 1; i <= 45; i++) {
    snprintf(from, sizeof from, "l%d", i - 1), snprintf(to, sizeof to, "l%d", i);
    EXPECT_OK(symlink(from, to));
  }
  EXPECT_OK(access("l40", F_OK));
  EXPECT_ERRNO(access("l41", F_OK), ELOOP);
}

TEST(odd_paths) {
  make_file("f", "");
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_OK(access(".//d/./../f", F_OK));
  EXPECT_ERRNO(access("f/", F_OK), ENOTDIR);
  EXPECT_ERRNO(access("f/.", F_OK), ENOTDIR);
  EXPECT_OK(access("d/", F_OK));
  EXPECT_ERRNO(access("", F_OK), ENOENT);
  EXPECT_ERRNO(open("new/", O_WRONLY | O_CREAT, 0600), EISDIR);
  EXPECT_OK(mkdir("e/", 0755));
  EXPECT_ERRNO(access("none/../f", F_OK), ENOENT);
  char name[300], *path = malloc(5000);
  memset(name, 'n', 256), name[256] = 0;
  EXPECT_ERRNO(access(name, F_OK), ENAMETOOLONG);
  name[255] = 0;
  make_file(name, "");
  memset(path, '/', 4999), path[4999] = 0;
  EXPECT_ERRNO(access(path, F_OK), ENAMETOOLONG);
  path[4095] = 0;
  EXPECT_OK(access(path, F_OK));
  path[4096 - 1] = '/', path[4096] = 0;
  EXPECT_ERRNO(access(path, F_OK), ENAMETOOLONG);
  EXPECT_OK(access("/../../..", F_OK));
  make_file("\xff\xfe not utf-8", "");
  EXPECT_OK(access("\xff\xfe not utf-8", F_OK));
}

TEST(renames) {
  make_file("a", "1"), make_file("b", "2");
  EXPECT_OK(rename("a", "b"));
  expect_content("b", "1");
  EXPECT_TRUE(!exists("a"));
  EXPECT_OK(mkdir("d", 0755)), EXPECT_OK(mkdir("d/sub", 0755)), EXPECT_OK(mkdir("e", 0755));
  EXPECT_ERRNO(rename("d", "d/sub/x"), EINVAL);
  EXPECT_ERRNO(rename("e", "d"), ENOTEMPTY);
  EXPECT_ERRNO(rename("b", "d"), EISDIR);
  EXPECT_ERRNO(rename("d", "b"), ENOTDIR);
  EXPECT_ERRNO(rename("none", "x"), ENOENT);
  EXPECT_OK(rename("d", "e"));
  EXPECT_TRUE(exists("e/sub"));
  EXPECT_OK(link("b", "c"));
  EXPECT_OK(rename("b", "c"));
  EXPECT_TRUE(exists("b"));
  EXPECT_OK(rename("b", "b"));
  EXPECT_ERRNO(rename("e", "/proc/x"), EXDEV);
  EXPECT_ERRNO(rename(".", "x"), EBUSY);
}

TEST(rename_flags) {
  make_file("a", "1"), make_file("b", "2");
  EXPECT_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
  EXPECT_OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE));
  expect_content("a", "2"), expect_content("b", "1");
  EXPECT_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
  EXPECT_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE | RENAME_EXCHANGE), EINVAL);
  EXPECT_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", 0x80), EINVAL);
}

TEST(hard_links) {
  make_file("a", "x");
  EXPECT_OK(link("a", "b"));
  EXPECT_EQ(stat_of("a").st_nlink, 2);
  EXPECT_EQ(stat_of("a").st_ino, stat_of("b").st_ino);
  EXPECT_ERRNO(link("a", "b"), EEXIST);
  EXPECT_ERRNO(link(".", "d"), EPERM);
  EXPECT_OK(symlink("a", "s"));
  EXPECT_OK(link("s", "s2"));
  EXPECT_TRUE(S_ISLNK(stat_of("s2").st_mode));
  EXPECT_OK(linkat(AT_FDCWD, "s", AT_FDCWD, "s3", AT_SYMLINK_FOLLOW));
  EXPECT_TRUE(S_ISREG(stat_of("s3").st_mode));
  EXPECT_OK(unlink("a"));
  expect_content("b", "x");
  EXPECT_ERRNO(link("none", "y"), ENOENT);
}

TEST(removal) {
  EXPECT_OK(mkdir("d", 0755));
  make_file("d/f", "");
  EXPECT_ERRNO(unlink("d"), EISDIR);
  EXPECT_ERRNO(rmdir("d"), ENOTEMPTY);
  EXPECT_ERRNO(rmdir("d/f"), ENOTDIR);
  EXPECT_ERRNO(rmdir("d/."), EINVAL);
  EXPECT_ERRNO(unlink("none"), ENOENT);
  EXPECT_ERRNO(unlinkat(AT_FDCWD, "d", 0x1), EINVAL);
  EXPECT_OK(unlink("d/f"));
  EXPECT_OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
  EXPECT_ERRNO(mkdir("none/d", 0755), ENOENT);
  EXPECT_ERRNO(mkdir("/", 0755), EEXIST);
}

TEST(link_counts_of_directories) {
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_OK(mkdir("d/a", 0755)), EXPECT_OK(mkdir("d/b", 0755));
  EXPECT_TRUE(stat_of("d").st_nlink == 4 || stat_of("d").st_nlink == 1);
  EXPECT_OK(rmdir("d/a"));
  EXPECT_TRUE(stat_of("d").st_nlink == 3 || stat_of("d").st_nlink == 1);
}

TEST(relative_to_descriptors) {
  EXPECT_OK(mkdir("d", 0755));
  int d = EXPECT_OK(open("d", O_RDONLY | O_DIRECTORY));
  int f = EXPECT_OK(openat(d, "f", O_RDWR | O_CREAT, 0600));
  EXPECT_TRUE(exists("d/f"));
  EXPECT_OK(mkdirat(d, "sub", 0700));
  EXPECT_OK(symlinkat("f", d, "link"));
  EXPECT_OK(faccessat(d, "link", R_OK, 0));
  EXPECT_OK(renameat(d, "f", AT_FDCWD, "moved"));
  EXPECT_TRUE(exists("moved"));
  EXPECT_ERRNO(openat(f, "x", O_RDONLY), ENOTDIR);
  EXPECT_ERRNO(openat(99, "x", O_RDONLY), EBADF);
  EXPECT_OK(openat(99, "/dev/null", O_RDONLY));
  EXPECT_OK(rename("d", "elsewhere"));
  EXPECT_OK(openat(d, "new", O_RDWR | O_CREAT, 0600));
  EXPECT_TRUE(exists("elsewhere/new"));
  struct stat st;
  EXPECT_OK(fstatat(f, "", &st, AT_EMPTY_PATH));
  EXPECT_TRUE(S_ISREG(st.st_mode));
  EXPECT_ERRNO(fstatat(f, "", &st, 0), ENOENT);
  EXPECT_ERRNO(fstatat(f, "", &st, 0x8000000), EINVAL);
  EXPECT_OK(fchownat(f, "", 5, 6, AT_EMPTY_PATH));
  EXPECT_EQ(stat_of("moved").st_uid, 5);
}

TEST(restricted_resolution) {
  EXPECT_OK(mkdir("d", 0755));
  make_file("d/f", "inside"), make_file("out", "outside");
  EXPECT_OK(symlink("/etc/passwd", "d/abs"));
  EXPECT_OK(symlink("f", "d/rel"));
  int d = EXPECT_OK(open("d", O_PATH));
  struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
  EXPECT_OK(syscall(SYS_openat2, d, "rel", &how, sizeof how));
  EXPECT_ERRNO(syscall(SYS_openat2, d, "../out", &how, sizeof how), EXDEV);
  EXPECT_ERRNO(syscall(SYS_openat2, d, "abs", &how, sizeof how), EXDEV);
  how.resolve = RESOLVE_NO_SYMLINKS;
  EXPECT_ERRNO(syscall(SYS_openat2, d, "rel", &how, sizeof how), ELOOP);
  how.resolve = RESOLVE_IN_ROOT;
  EXPECT_OK(syscall(SYS_openat2, d, "/../../f", &how, sizeof how));
  EXPECT_ERRNO(syscall(SYS_openat2, d, "abs", &how, sizeof how), ENOENT);
  how.resolve = 1ULL << 40;
  EXPECT_ERRNO(syscall(SYS_openat2, d, "f", &how, sizeof how), EINVAL);
  EXPECT_ERRNO(syscall(SYS_openat2, d, "f", &how, 4), EINVAL);
}

TEST(permissions_of_another_user) {
  make_file("secret", "x");
  EXPECT_OK(chmod("secret", 0600));
  EXPECT_OK(mkdir("closed", 0700));
  make_file("closed/f", "x");
  EXPECT_OK(mkdir("readable", 0744));
  make_file("readable/f", "x");
  make_file("group", "x");
  EXPECT_OK(chown("group", 0, 1000)), EXPECT_OK(chmod("group", 0060));
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(open("secret", O_RDONLY), EACCES);
    EXPECT_ERRNO(access("secret", R_OK), EACCES);
    EXPECT_OK(access("secret", F_OK));
    EXPECT_ERRNO(open("closed/f", O_RDONLY), EACCES);
    EXPECT_ERRNO(chdir("closed"), EACCES);
    EXPECT_OK(open("readable", O_RDONLY));
    EXPECT_ERRNO(open("readable/f", O_RDONLY), EACCES);
    EXPECT_OK(open("group", O_RDWR));
    EXPECT_ERRNO(chmod("secret", 0666), EPERM);
    EXPECT_ERRNO(chown("secret", 1000, 1000), EPERM);
    EXPECT_ERRNO(truncate("secret", 0), EACCES);
    EXPECT_ERRNO(rename("closed/f", "x"), EACCES);
    EXPECT_ERRNO(mknod("device", S_IFCHR | 0600, makedev(1, 3)), EPERM);
    EXPECT_ERRNO(chroot("."), EPERM);
  });
  EXPECT_OK(chmod(".", 0755));
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(open("new", O_WRONLY | O_CREAT, 0600), EACCES);
    EXPECT_ERRNO(unlink("secret"), EACCES);
    EXPECT_ERRNO(mkdir("dir", 0700), EACCES);
  });
}

TEST(root_ignores_modes_except_execution) {
  make_file("f", "#!/bin/true\n");
  EXPECT_OK(chmod("f", 0));
  EXPECT_OK(open("f", O_RDWR));
  EXPECT_OK(access("f", R_OK | W_OK));
  EXPECT_ERRNO(access("f", X_OK), EACCES);
}

TEST(access_uses_the_real_user) {
  make_file("f", "");
  EXPECT_OK(chmod("f", 0600));
  IN_CHILD({
    EXPECT_OK(setresuid(1000, 0, 0));
    EXPECT_ERRNO(access("f", R_OK), EACCES);
    EXPECT_OK(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
    EXPECT_OK(open("f", O_RDONLY));
  });
  EXPECT_ERRNO(access("f", 9), EINVAL);
}

TEST(sticky_directories) {
  EXPECT_OK(mkdir("tmp", 0777));
  EXPECT_OK(chmod("tmp", 01777));
  IN_CHILD({
    become(1000, 1000);
    make_file("tmp/mine", "x");
  });
  IN_CHILD({
    become(2000, 2000);
    EXPECT_ERRNO(unlink("tmp/mine"), EPERM);
    EXPECT_ERRNO(rename("tmp/mine", "tmp/other"), EPERM);
    make_file("tmp/own", "");
    EXPECT_OK(unlink("tmp/own"));
  });
}

TEST(umask_and_inherited_group) {
  umask(027);
  make_file("f", "");
  EXPECT_EQ(mode_of("f"), 0640);
  EXPECT_OK(mkdir("d", 0777));
  EXPECT_EQ(mode_of("d"), 0750);
  EXPECT_EQ(umask(022), 027);
  EXPECT_OK(chown("d", 0, 50));
  EXPECT_OK(chmod("d", 02755));
  make_file("d/f", "");
  EXPECT_EQ(stat_of("d/f").st_gid, 50);
  EXPECT_OK(mkdir("d/sub", 0755));
  EXPECT_EQ(mode_of("d/sub"), 02755);
  EXPECT_OK(open("masked", O_CREAT | O_WRONLY, 07777));
  EXPECT_EQ(mode_of("masked"), 07755);
}

TEST(owner_change_clears_set_id_bits) {
  make_file("f", "");
  EXPECT_OK(chmod("f", 06755));
  EXPECT_EQ(mode_of("f"), 06755);
  EXPECT_OK(chown("f", 1000, 1000));
  EXPECT_EQ(mode_of("f"), 0755);
  EXPECT_OK(chmod("f", 06777));
  IN_CHILD({
    become(2000, 2000);
    int fd = EXPECT_OK(open("f", O_WRONLY));
    EXPECT_EQ(write(fd, "x", 1), 1);
  });
  EXPECT_EQ(mode_of("f"), 0777);
  IN_CHILD({
    become(1000, 1000);
    EXPECT_OK(chown("f", -1, 1000));
    EXPECT_ERRNO(chown("f", 0, -1), EPERM);
    EXPECT_ERRNO(chown("f", -1, 0), EPERM);
    EXPECT_OK(chmod("f", 0700));
  });
  EXPECT_OK(symlink("f", "s"));
  EXPECT_OK(lchown("s", 7, 7));
  EXPECT_EQ(stat_of("s").st_uid, 7);
  EXPECT_EQ(stat_of("f").st_uid, 1000);
}

TEST(times) {
  make_file("f", "x");
  struct timespec t[2] = {{1000, 5}, {2000, 7}};
  EXPECT_OK(utimensat(AT_FDCWD, "f", t, 0));
  struct stat st = stat_of("f");
  EXPECT_TRUE(st.st_atim.tv_sec == 1000 && st.st_mtim.tv_sec == 2000 && st.st_mtim.tv_nsec == 7);
  t[0].tv_nsec = UTIME_OMIT, t[1].tv_nsec = UTIME_NOW;
  EXPECT_OK(utimensat(AT_FDCWD, "f", t, 0));
  st = stat_of("f");
  EXPECT_EQ(st.st_atim.tv_sec, 1000);
  EXPECT_LE(llabs(st.st_mtim.tv_sec - (long long)time(NULL)), 2);
  t[1].tv_nsec = 1000000000;
  EXPECT_ERRNO(utimensat(AT_FDCWD, "f", t, 0), EINVAL);
  EXPECT_OK(futimens(EXPECT_OK(open("f", O_RDONLY)), NULL));
  EXPECT_OK(symlink("f", "s"));
  t[0] = t[1] = (struct timespec){77, 0};
  EXPECT_OK(utimensat(AT_FDCWD, "s", t, AT_SYMLINK_NOFOLLOW));
  EXPECT_EQ(stat_of("s").st_mtim.tv_sec, 77);
  EXPECT_NE(stat_of("f").st_mtim.tv_sec, 77);
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(utimensat(AT_FDCWD, "f", t, 0), EPERM);
    EXPECT_ERRNO(utimensat(AT_FDCWD, "f", NULL, 0), EACCES);
  });
}

TEST(changes_update_times) {
  struct timespec old[2] = {{1000, 0}, {1000, 0}};
  EXPECT_OK(mkdir("d", 0755));
  int fd = EXPECT_OK(open("f", O_RDWR | O_CREAT, 0644));
  EXPECT_OK(utimensat(AT_FDCWD, "f", old, 0)), EXPECT_OK(utimensat(AT_FDCWD, "d", old, 0));
  EXPECT_EQ(write(fd, "x", 1), 1);
  EXPECT_GT(stat_of("f").st_mtim.tv_sec, 1000);
  make_file("d/new", "");
  EXPECT_GT(stat_of("d").st_mtim.tv_sec, 1000);
  EXPECT_OK(utimensat(AT_FDCWD, "f", old, 0));
  EXPECT_OK(chmod("f", 0600));
  EXPECT_EQ(stat_of("f").st_mtim.tv_sec, 1000);
  EXPECT_GT(stat_of("f").st_ctim.tv_sec, 1000);
  EXPECT_OK(ftruncate(fd, 10));
  EXPECT_GT(stat_of("f").st_mtim.tv_sec, 1000);
}

TEST(extended_stat) {
  struct statx x;
  make_file("f", "12345");
  EXPECT_OK(syscall(SYS_statx, AT_FDCWD, "f", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x));
  EXPECT_EQ(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
  EXPECT_TRUE(x.stx_size == 5 && x.stx_nlink == 1 && S_ISREG(x.stx_mode));
  EXPECT_EQ(x.stx_ino, stat_of("f").st_ino);
  EXPECT_EQ(makedev(x.stx_dev_major, x.stx_dev_minor), stat_of("f").st_dev);
  EXPECT_OK(syscall(SYS_statx, EXPECT_OK(open("f", O_RDONLY)), "", AT_EMPTY_PATH, STATX_SIZE, &x));
  EXPECT_ERRNO(syscall(SYS_statx, AT_FDCWD, "f", 0x10000000, 0, &x), EINVAL);
  EXPECT_ERRNO(syscall(SYS_statx, AT_FDCWD, "f", 0, 0x80000000, &x), EINVAL);
}

TEST(special_files) {
  EXPECT_OK(mkfifo("fifo", 0640));
  EXPECT_TRUE(S_ISFIFO(stat_of("fifo").st_mode));
  EXPECT_OK(mknod("regular", S_IFREG | 0600, 0));
  EXPECT_OK(mknod("socket", S_IFSOCK | 0600, 0));
  EXPECT_ERRNO(mknod("dir", S_IFDIR | 0600, 0), EPERM);
  EXPECT_ERRNO(mknod("bad", 0130000, 0), EINVAL);
  EXPECT_ERRNO(open("socket", O_RDONLY), ENXIO);
}

TEST(extended_attributes) {
  char value[64] = {0};
  make_file("f", "");
  if (setxattr("f", "user.color", "blue", 4, 0) == -1 && errno == ENOTSUP) SKIP("this file system has no user attributes");
  EXPECT_EQ(getxattr("f", "user.color", value, sizeof value), 4);
  EXPECT_STR(value, "blue");
  EXPECT_EQ(getxattr("f", "user.color", NULL, 0), 4);
  EXPECT_ERRNO(getxattr("f", "user.color", value, 2), ERANGE);
  EXPECT_ERRNO(getxattr("f", "user.none", value, 2), ENODATA);
  EXPECT_ERRNO(setxattr("f", "user.color", "x", 1, XATTR_CREATE), EEXIST);
  EXPECT_ERRNO(setxattr("f", "user.other", "x", 1, XATTR_REPLACE), ENODATA);
  EXPECT_ERRNO(setxattr("f", "nonsense", "x", 1, 0), EOPNOTSUPP);
  EXPECT_EQ(listxattr("f", value, sizeof value), 11);
  EXPECT_OK(removexattr("f", "user.color"));
  EXPECT_ERRNO(removexattr("f", "user.color"), ENODATA);
}

TEST(working_directory) {
  char cwd[PATH_MAX];
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_OK(chdir("d"));
  EXPECT_TRUE(getcwd(cwd, sizeof cwd) != NULL);
  EXPECT_STR(strrchr(cwd, '/'), "/d");
  EXPECT_ERRNO(syscall(SYS_getcwd, cwd, 3), ERANGE);
  EXPECT_OK(rename("../d", "../e"));
  EXPECT_TRUE(getcwd(cwd, sizeof cwd) != NULL);
  EXPECT_STR(strrchr(cwd, '/'), "/e");
  EXPECT_OK(rmdir("../e"));
  EXPECT_ERRNO(syscall(SYS_getcwd, cwd, sizeof cwd), ENOENT);
  EXPECT_ERRNO(open("f", O_WRONLY | O_CREAT, 0600), ENOENT);
  EXPECT_OK(open(".", O_RDONLY));
  EXPECT_OK(chdir(".."));
  EXPECT_ERRNO(chdir("/etc/passwd"), ENOTDIR);
  int root = EXPECT_OK(open("/", O_RDONLY));
  EXPECT_OK(fchdir(root));
  EXPECT_TRUE(getcwd(cwd, sizeof cwd) != NULL);
  EXPECT_STR(cwd, "/");
  EXPECT_ERRNO(fchdir(99), EBADF);
}

TEST(changed_root) {
  EXPECT_OK(mkdir("jail", 0755));
  make_file("jail/inside", "");
  IN_CHILD({
    char cwd[256];
    EXPECT_OK(chroot("jail"));
    EXPECT_OK(access("/inside", F_OK));
    EXPECT_ERRNO(access("/etc/passwd", F_OK), ENOENT);
    EXPECT_OK(chdir("/"));
    EXPECT_OK(access("../../../inside", F_OK));
    EXPECT_TRUE(getcwd(cwd, sizeof cwd) != NULL);
    EXPECT_STR(cwd, "/");
  });
}

TEST(deep_trees) {
  for (int i = 0; i < 100; i++) {
    EXPECT_OK(mkdir("deeper-and-deeper-and-deeper", 0755));
    EXPECT_OK(chdir("deeper-and-deeper-and-deeper"));
  }
  char cwd[64];
  EXPECT_ERRNO(syscall(SYS_getcwd, cwd, sizeof cwd), ERANGE);
  make_file("leaf", "x");
  for (int i = 0; i < 100; i++) EXPECT_OK(chdir(".."));
}
