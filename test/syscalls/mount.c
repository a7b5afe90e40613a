// The mount tree: bind mounts, propagation, namespaces, pivot_root, and the conditions of each.
#include "test.h"

#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

static int pivot_root(const char *to, const char *old) { return syscall(SYS_pivot_root, to, old); }

/** A mount namespace in which nothing reaches the outside, with a tmpfs as working directory. */
static void begin(void) {
  EXPECT_OK(unshare(CLONE_NEWNS));
  EXPECT_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
  EXPECT_OK(mkdir("base", 0755));
  EXPECT_OK(mount("base", "base", "tmpfs", 0, "mode=755"));
  EXPECT_OK(chdir("base"));
}

static void tmpfs(const char *at, const char *file) {
  char path[128];
  EXPECT_OK(mkdir(at, 0755) == -1 && errno != EEXIST ? -1 : 0);
  EXPECT_OK(mount("t", at, "tmpfs", 0, NULL));
  snprintf(path, sizeof path, "%s/%s", at, file);
  make_file(path, file);
}

static void dir(const char *path) { EXPECT_OK(mkdir(path, 0755)); }

/** The line of mountinfo whose mountpoint ends so; empty when there is none, the last if there are several. */
static const char *info_of(const char *suffix) {
  static char found[1024];
  char line[1024];
  char point[512];
  found[0] = 0;
  FILE *file = fopen("/proc/self/mountinfo", "r");
  while (fgets(line, sizeof line, file) != NULL) {
    sscanf(line, "%*d %*d %*s %*s %511s", point);
    size_t n = strlen(point);
    size_t m = strlen(suffix);
    if (n >= m && strcmp(point + n - m, suffix) == 0) strcpy(found, line);
  }
  fclose(file);
  return found;
}

static int group_of(const char *suffix, const char *kind) {
  const char *at = strstr(info_of(suffix), kind);
  return at == NULL ? 0 : atoi(at + strlen(kind));
}
#define SHARED(suffix) group_of(suffix, " shared:")
#define MASTER(suffix) group_of(suffix, " master:")

TEST(bind_and_recursive_bind) {
  begin();
  dir("a");
  tmpfs("a", "top");
  tmpfs("a/sub", "below");
  dir("b");
  dir("c");
  EXPECT_OK(mount("a", "b", NULL, MS_BIND, NULL));
  EXPECT_OK(access("b/top", F_OK));
  EXPECT_ERRNO(access("b/sub/below", F_OK), ENOENT);
  EXPECT_OK(mount("a", "c", NULL, MS_BIND | MS_REC, NULL));
  EXPECT_OK(access("c/sub/below", F_OK));
  EXPECT_OK(umount("c/sub"));
  EXPECT_OK(access("a/sub/below", F_OK));
  make_file("f", "f");
  make_file("g", "g");
  EXPECT_OK(mount("f", "g", NULL, MS_BIND, NULL));
  expect_content("g", "f");
  EXPECT_ERRNO(mount("f", "b", NULL, MS_BIND, NULL), ENOTDIR);
  EXPECT_ERRNO(mount("b", "g", NULL, MS_BIND, NULL), ENOTDIR);
  EXPECT_ERRNO(mount("missing", "b", NULL, MS_BIND, NULL), ENOENT);
  EXPECT_ERRNO(unlink("g"), EBUSY);
  EXPECT_ERRNO(rmdir("b"), EBUSY);
  EXPECT_ERRNO(rename("b", "z"), EBUSY);
}

TEST(bind_of_a_subtree_shows_its_root) {
  begin();
  dir("a");
  dir("a/deep");
  make_file("a/deep/file", "x");
  dir("b");
  EXPECT_OK(mount("a/deep", "b", NULL, MS_BIND, NULL));
  expect_content("b/file", "x");
  char root[256];
  EXPECT_EQ(sscanf(info_of("/base/b"), "%*d %*d %*s %255s", root), 1);
  EXPECT_STR(root, "/a/deep");
  struct stat a;
  struct stat b;
  EXPECT_OK(stat("b/..", &a));
  EXPECT_OK(stat(".", &b));
  EXPECT_EQ(a.st_ino, b.st_ino);
}

TEST(remount_flags) {
  begin();
  tmpfs("a", "f");
  dir("b");
  EXPECT_OK(mount("a", "b", NULL, MS_BIND, NULL));
  EXPECT_OK(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL));
  EXPECT_ERRNO(open("b/f", O_WRONLY), EROFS);
  int fd = EXPECT_OK(open("a/f", O_WRONLY));
  close(fd);
  struct statfs s;
  EXPECT_OK(statfs("b", &s));
  EXPECT_EQ(s.f_flags & 0xf, ST_RDONLY | ST_NOSUID | ST_NOEXEC);
  EXPECT_ERRNO(mount(NULL, "b/f", NULL, MS_REMOUNT | MS_BIND, NULL), EINVAL);
  EXPECT_OK(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_NOATIME, NULL));
  EXPECT_TRUE(strstr(info_of("/base/b"), " rw,noatime ") != NULL);
  // Without a word about access times they stay.
  EXPECT_OK(mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND, NULL));
  EXPECT_TRUE(strstr(info_of("/base/b"), " rw,noatime ") != NULL);
}

TEST(shared_mounts_tell_their_peers) {
  begin();
  dir("a");
  EXPECT_OK(mount("a", "a", "tmpfs", 0, NULL));
  EXPECT_OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
  int group = SHARED("/base/a");
  EXPECT_GT(group, 0);
  dir("b");
  EXPECT_OK(mount("a", "b", NULL, MS_BIND, NULL));
  EXPECT_EQ(SHARED("/base/b"), group);
  tmpfs("a/one", "f");
  EXPECT_OK(access("b/one/f", F_OK));
  EXPECT_GT(SHARED("/base/a/one"), 0);
  EXPECT_EQ(SHARED("/base/a/one"), SHARED("/base/b/one"));
  tmpfs("b/two", "f");
  EXPECT_OK(access("a/two/f", F_OK));
  EXPECT_OK(umount("a/two"));
  EXPECT_ERRNO(access("b/two/f", F_OK), ENOENT);
  // A private one is not told.
  EXPECT_OK(mount(NULL, "b", NULL, MS_PRIVATE, NULL));
  EXPECT_EQ(SHARED("/base/b"), 0);
  tmpfs("a/three", "f");
  EXPECT_ERRNO(access("b/three/f", F_OK), ENOENT);
}

TEST(slaves_only_listen) {
  begin();
  dir("a");
  EXPECT_OK(mount("a", "a", "tmpfs", 0, NULL));
  EXPECT_OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
  dir("b");
  EXPECT_OK(mount("a", "b", NULL, MS_BIND, NULL));
  EXPECT_OK(mount(NULL, "b", NULL, MS_SLAVE, NULL));
  EXPECT_EQ(SHARED("/base/b"), 0);
  EXPECT_EQ(MASTER("/base/b"), SHARED("/base/a"));
  tmpfs("a/one", "f");
  EXPECT_OK(access("b/one/f", F_OK));
  EXPECT_EQ(MASTER("/base/b/one"), SHARED("/base/a/one"));
  EXPECT_EQ(SHARED("/base/b/one"), 0);
  tmpfs("b/two", "f");
  EXPECT_ERRNO(access("a/two/f", F_OK), ENOENT);
  // A slave that is shared passes on what it hears.
  EXPECT_OK(mount(NULL, "b", NULL, MS_SHARED, NULL));
  EXPECT_GT(SHARED("/base/b"), 0);
  EXPECT_GT(MASTER("/base/b"), 0);
  dir("c");
  EXPECT_OK(mount("b", "c", NULL, MS_BIND, NULL));
  tmpfs("a/three", "f");
  EXPECT_OK(access("b/three/f", F_OK));
  EXPECT_OK(access("c/three/f", F_OK));
  EXPECT_EQ(SHARED("/base/b/three"), SHARED("/base/c/three"));
  EXPECT_EQ(MASTER("/base/c/three"), SHARED("/base/a/three"));
  EXPECT_OK(umount("a/three"));
  EXPECT_ERRNO(access("c/three/f", F_OK), ENOENT);
  // When the master goes, nothing is left to listen to.
  EXPECT_OK(mount(NULL, "a", NULL, MS_PRIVATE, NULL));
  EXPECT_EQ(MASTER("/base/b"), 0);
}

TEST(what_lies_at_the_place_of_an_arrival_covers_it) {
  begin();
  dir("a");
  EXPECT_OK(mount("a", "a", "tmpfs", 0, NULL));
  EXPECT_OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
  dir("a/x");
  dir("b");
  EXPECT_OK(mount("a", "b", NULL, MS_BIND, NULL));
  EXPECT_OK(mount(NULL, "b", NULL, MS_SLAVE, NULL));
  tmpfs("b/x", "own");
  tmpfs("a/x", "come");
  EXPECT_OK(access("b/x/own", F_OK));
  EXPECT_OK(umount("b/x"));
  EXPECT_OK(access("b/x/come", F_OK));
}

TEST(unbindable) {
  begin();
  tmpfs("a", "f");
  tmpfs("a/sub", "g");
  EXPECT_OK(mount(NULL, "a/sub", NULL, MS_UNBINDABLE, NULL));
  EXPECT_TRUE(strstr(info_of("/base/a/sub"), " unbindable ") != NULL);
  dir("b");
  EXPECT_ERRNO(mount("a/sub", "b", NULL, MS_BIND, NULL), EINVAL);
  EXPECT_OK(mount("a", "b", NULL, MS_BIND | MS_REC, NULL));
  EXPECT_ERRNO(access("b/sub/g", F_OK), ENOENT);
}

TEST(propagation_flags_that_are_wrong) {
  begin();
  tmpfs("a", "f");
  dir("a/d");
  EXPECT_ERRNO(mount(NULL, "a/d", NULL, MS_SHARED, NULL), EINVAL);
  EXPECT_ERRNO(mount(NULL, "a", NULL, MS_SHARED | MS_PRIVATE, NULL), EINVAL);
  EXPECT_ERRNO(mount(NULL, "a", NULL, MS_SHARED | MS_NOSUID, NULL), EINVAL);
  EXPECT_OK(mount(NULL, "a", NULL, MS_SHARED | MS_REC | MS_SILENT, NULL));
}

TEST(move) {
  begin();
  tmpfs("a", "f");
  tmpfs("a/sub", "g");
  dir("b");
  EXPECT_OK(mount("a", "b", NULL, MS_MOVE, NULL));
  EXPECT_OK(access("b/sub/g", F_OK));
  EXPECT_ERRNO(access("a/f", F_OK), ENOENT);
  EXPECT_ERRNO(mount("b", "b/sub", NULL, MS_MOVE, NULL), ELOOP);
  EXPECT_ERRNO(mount("a", "b", NULL, MS_MOVE, NULL), EINVAL);
  make_file("file", "");
  EXPECT_ERRNO(mount("b", "file", NULL, MS_MOVE, NULL), EINVAL);
  // Nothing is moved out of a shared mount.
  tmpfs("s", "x");
  EXPECT_OK(mount(NULL, "s", NULL, MS_SHARED, NULL));
  tmpfs("s/t", "y");
  EXPECT_ERRNO(mount("s/t", "a", NULL, MS_MOVE, NULL), EINVAL);
}

TEST(unmount_conditions) {
  begin();
  tmpfs("a", "f");
  tmpfs("a/sub", "g");
  EXPECT_ERRNO(umount("a"), EBUSY);
  EXPECT_ERRNO(umount("a/f"), EINVAL);
  EXPECT_ERRNO(umount2("a", 0x100), EINVAL);
  EXPECT_ERRNO(umount("missing"), ENOENT);
  int fd = EXPECT_OK(open("a/sub/g", O_RDONLY));
  EXPECT_ERRNO(umount("a/sub"), EBUSY);
  EXPECT_OK(umount2("a", MNT_DETACH));
  EXPECT_ERRNO(access("a/f", F_OK), ENOENT);
  char text[4];
  EXPECT_EQ(read(fd, text, 1), 1);
  EXPECT_OK(close(fd));
  EXPECT_OK(symlink("a", "link"));
  tmpfs("a", "f");
  EXPECT_ERRNO(umount2("link", UMOUNT_NOFOLLOW), EINVAL);
  EXPECT_OK(umount2("link", 0));
  // A working directory keeps it busy.
  tmpfs("a", "f");
  EXPECT_OK(chdir("a"));
  EXPECT_ERRNO(umount("../a"), EBUSY);
  EXPECT_OK(chdir(".."));
  EXPECT_OK(umount("a"));
}

TEST(unmount_expire) {
  begin();
  tmpfs("a", "f");
  EXPECT_ERRNO(umount2("a", MNT_EXPIRE | MNT_DETACH), EINVAL);
  EXPECT_ERRNO(umount2("a", MNT_EXPIRE), EAGAIN);
  EXPECT_OK(access("a/f", F_OK));
  EXPECT_ERRNO(umount2("a", MNT_EXPIRE), EAGAIN);
  EXPECT_OK(umount2("a", MNT_EXPIRE));
  EXPECT_ERRNO(access("a/f", F_OK), ENOENT);
}

TEST(stacked_mounts) {
  begin();
  tmpfs("a", "one");
  tmpfs("a", "two");
  EXPECT_OK(access("a/two", F_OK));
  EXPECT_ERRNO(access("a/one", F_OK), ENOENT);
  EXPECT_OK(umount("a"));
  EXPECT_OK(access("a/one", F_OK));
  EXPECT_OK(umount("a"));
  EXPECT_ERRNO(umount("a"), EINVAL);
}

TEST(namespaces_are_copies) {
  begin();
  tmpfs("a", "f");
  dir("s");
  EXPECT_OK(mount("s", "s", "tmpfs", 0, NULL));
  EXPECT_OK(mount(NULL, "s", NULL, MS_SHARED, NULL));
  dir("s/in");
  dir("s/out");
  int go[2];
  int done[2];
  EXPECT_OK(pipe(go));
  EXPECT_OK(pipe(done));
  pid_t child = FORK({
    EXPECT_OK(unshare(CLONE_NEWNS));
    EXPECT_OK(access("a/f", F_OK));
    EXPECT_OK(umount("a"));
    tmpfs("s/in", "x");
    EXPECT_EQ(write(done[1], "d", 1), 1);
    char c;
    EXPECT_EQ(read(go[0], &c, 1), 1);
    EXPECT_OK(access("s/out/y", F_OK));
    char cwd[PATH_MAX];
    EXPECT_TRUE(getcwd(cwd, sizeof cwd) != NULL);
    EXPECT_TRUE(strstr(cwd, "/base") != NULL);
  });
  char c;
  EXPECT_EQ(read(done[0], &c, 1), 1);
  EXPECT_OK(access("a/f", F_OK));
  EXPECT_OK(access("s/in/x", F_OK));
  tmpfs("s/out", "y");
  EXPECT_EQ(write(go[1], "g", 1), 1);
  EXPECT_EXIT(child, 0);
}

TEST(a_mountpoint_of_another_namespace_can_be_removed) {
  begin();
  dir("p");
  int go[2];
  int done[2];
  EXPECT_OK(pipe(go));
  EXPECT_OK(pipe(done));
  pid_t child = FORK({
    EXPECT_OK(unshare(CLONE_NEWNS));
    EXPECT_OK(mount("t", "p", "tmpfs", 0, NULL));
    EXPECT_EQ(write(done[1], "d", 1), 1);
    char c;
    EXPECT_EQ(read(go[0], &c, 1), 1);
    EXPECT_STR(info_of("/base/p"), "");
  });
  char c;
  EXPECT_EQ(read(done[0], &c, 1), 1);
  EXPECT_OK(rmdir("p"));
  EXPECT_EQ(write(go[1], "g", 1), 1);
  EXPECT_EXIT(child, 0);
}

TEST(less_privileged_namespaces_are_locked) {
  begin();
  tmpfs("a", "secret");
  EXPECT_OK(mount("t", "a", "tmpfs", MS_RDONLY | MS_NOSUID, NULL));
  dir("s");
  EXPECT_OK(mount("s", "s", "tmpfs", 0, NULL));
  EXPECT_OK(mount(NULL, "s", NULL, MS_SHARED, NULL));
  IN_CHILD({
    EXPECT_OK(unshare(CLONE_NEWUSER | CLONE_NEWNS));
    EXPECT_ERRNO(umount("a"), EINVAL);
    EXPECT_ERRNO(umount2("a", MNT_DETACH), EINVAL);
    EXPECT_ERRNO(mount(NULL, "a", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL), EPERM);
    EXPECT_OK(mount(NULL, "a", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL));
    EXPECT_EQ(SHARED("/base/s"), 0);
    EXPECT_GT(MASTER("/base/s"), 0);
    // Without what covers it nothing may be shown again.
    EXPECT_ERRNO(mount(".", "s", NULL, MS_BIND, NULL), EINVAL);
    EXPECT_OK(mount(".", "s", NULL, MS_BIND | MS_REC, NULL));
    EXPECT_ERRNO(access("s/a/secret", F_OK), ENOENT);
  });
}

TEST(pivot_root_and_unmount_the_old) {
  begin();
  tmpfs("new", "here");
  dir("new/old");
  dir("new/proc");
  IN_CHILD({
    EXPECT_OK(unshare(CLONE_NEWNS));
    EXPECT_OK(pivot_root("new", "new/old"));
    EXPECT_OK(chdir("/"));
    EXPECT_OK(access("/here", F_OK));
    EXPECT_OK(access("/old/proc/self", F_OK));
    EXPECT_OK(umount2("/old", MNT_DETACH));
    EXPECT_ERRNO(access("/old/proc", F_OK), ENOENT);
    EXPECT_OK(mount("proc", "/proc", "proc", 0, NULL));
    char text[4096];
    read_whole("/proc/self/mountinfo", text, sizeof text);
    int lines = 0;
    for (char *p = text; *p != 0; p++) lines += *p == '\n';
    EXPECT_EQ(lines, 2);
  });
  // The parent lives in the old namespace.
  EXPECT_OK(access("/proc/self", F_OK));
}

TEST(pivot_root_onto_itself) {
  begin();
  tmpfs("new", "here");
  EXPECT_OK(chdir("new"));
  EXPECT_OK(pivot_root(".", "."));
  EXPECT_OK(umount2(".", MNT_DETACH));
  EXPECT_OK(chdir("/"));
  EXPECT_OK(access("here", F_OK));
  EXPECT_ERRNO(access("/proc/self", F_OK), ENOENT);
}

TEST(pivot_root_conditions) {
  begin();
  dir("plain");
  dir("plain/old");
  tmpfs("new", "here");
  dir("new/old");
  EXPECT_ERRNO(pivot_root("plain", "plain/old"), EINVAL);
  EXPECT_ERRNO(pivot_root("new", "plain"), EINVAL);
  EXPECT_ERRNO(pivot_root("/", "/"), EBUSY);
  EXPECT_ERRNO(pivot_root("new/here", "new/old"), ENOTDIR);
  EXPECT_ERRNO(pivot_root("missing", "new/old"), ENOENT);
  EXPECT_OK(mount(NULL, "new", NULL, MS_SHARED, NULL));
  EXPECT_ERRNO(pivot_root("new", "new/old"), EINVAL);
  EXPECT_OK(mount(NULL, "new", NULL, MS_PRIVATE, NULL));
  IN_CHILD({
    EXPECT_OK(setresuid(NOBODY, NOBODY, NOBODY));
    EXPECT_ERRNO(pivot_root("new", "new/old"), EPERM);
    EXPECT_ERRNO(mount("t", "new", "tmpfs", 0, NULL), EPERM);
    EXPECT_ERRNO(umount("new"), EPERM);
  });
}

TEST(other_namespaces_mounts_are_out_of_reach) {
  begin();
  tmpfs("a", "f");
  int fd = EXPECT_OK(open("a", O_RDONLY | O_DIRECTORY));
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  IN_CHILD({
    EXPECT_OK(unshare(CLONE_NEWNS));
    // The descriptor still leads to the old namespace's mount.
    EXPECT_ERRNO(umount2(path, MNT_DETACH), EINVAL);
    EXPECT_ERRNO(mount(path, "a", NULL, MS_BIND, NULL), EINVAL);
    EXPECT_ERRNO(mount("t", path, "tmpfs", 0, NULL), EINVAL);
    EXPECT_OK(mount(NULL, path, NULL, MS_PRIVATE, NULL));
  });
}

TEST(mounts_that_multiply_come_to_an_end) {
  begin();
  dir("a");
  EXPECT_OK(mount("a", "a", "tmpfs", 0, NULL));
  dir("a/m");
  EXPECT_OK(mount(NULL, "a", NULL, MS_SHARED, NULL));
  int made = 0;
  while (mount("a", "a/m", NULL, MS_BIND | MS_REC, NULL) == 0) EXPECT_LT(++made, 64);
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_OK(umount2("a", MNT_DETACH));
  EXPECT_OK(mount("a", "a", "tmpfs", 0, NULL));
}
