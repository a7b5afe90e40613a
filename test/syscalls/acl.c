// POSIX access control lists: the attributes system.posix_acl_access and system.posix_acl_default.
#include "test.h"
#include <grp.h>
#include <sys/xattr.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };
#define NONE 0xffffffff
#define ALICE 1001
#define BOB 1002
#define STAFF 2001

struct entry {
  uint16_t tag, perm;
  uint32_t id;
};
struct list {
  uint32_t version;
  struct entry entries[8];
};
#define LENGTH(n) (4 + 8 * (n))

static int set(const char *path, const char *name, const struct list *list, int n) {
  return setxattr(path, name, list, LENGTH(n), 0);
}

static struct list named(int alice, int staff, int mask) {
  return (struct list){2, {{USER_OBJ, 6, NONE}, {USER, alice, ALICE}, {GROUP_OBJ, 4, NONE}, {GROUP, staff, STAFF}, {MASK, mask, NONE}, {OTHER, 0, NONE}}};
}

static void need_lists(void) {
  make_file("probe", "");
  if (getxattr("probe", ACCESS, NULL, 0) < 0 && errno == EOPNOTSUPP) SKIP("this file system has no access control lists");
  EXPECT_OK(unlink("probe"));
}

static mode_t mode_of(const char *path) {
  struct stat st;
  EXPECT_OK(lstat(path, &st));
  return st.st_mode & 07777;
}

/** Whether somebody may do all of `want` with the file. */
static int may(uid_t uid, gid_t gid, const char *path, int want) {
  int status;
  pid_t child = FORK(EXPECT_OK(setgroups(0, NULL)); EXPECT_OK(setresgid(gid, gid, gid)); EXPECT_OK(setresuid(uid, uid, uid));
                     _exit(access(path, want) == 0 ? 0 : errno));
  EXPECT_EQ(EXPECT_OK(waitpid(child, &status, 0)), child);
  EXPECT_TRUE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == EACCES);
  return WEXITSTATUS(status) == 0;
}

TEST(named_users_and_groups) {
  need_lists();
  EXPECT_OK(chmod(".", 0755));
  make_file("file", "");
  struct list list = named(6, 4, 7), back;
  EXPECT_OK(set("file", ACCESS, &list, 6));
  EXPECT_EQ(mode_of("file"), 0670);
  EXPECT_EQ(getxattr("file", ACCESS, &back, sizeof back), LENGTH(6));
  EXPECT_MEM(&back, &list, LENGTH(6));
  EXPECT_TRUE(may(ALICE, ALICE, "file", R_OK | W_OK));
  EXPECT_TRUE(!may(ALICE, ALICE, "file", X_OK));
  EXPECT_TRUE(may(BOB, STAFF, "file", R_OK));
  EXPECT_TRUE(!may(BOB, STAFF, "file", W_OK));
  EXPECT_TRUE(!may(BOB, BOB, "file", R_OK));
  EXPECT_TRUE(may(BOB, 0, "file", R_OK));
  // A named user is not asked for groups; and the mask limits both.
  list = named(0, 6, 6);
  EXPECT_OK(set("file", ACCESS, &list, 6));
  EXPECT_TRUE(!may(ALICE, STAFF, "file", R_OK));
  EXPECT_TRUE(may(BOB, STAFF, "file", R_OK | W_OK));
  EXPECT_OK(chmod("file", 0641));
  EXPECT_TRUE(!may(BOB, STAFF, "file", W_OK));
  EXPECT_TRUE(!may(BOB, STAFF, "file", X_OK));
  EXPECT_TRUE(may(BOB, BOB, "file", X_OK));
  EXPECT_EQ(getxattr("file", ACCESS, &back, sizeof back), LENGTH(6));
  EXPECT_EQ(back.entries[4].perm, 4);
  EXPECT_EQ(back.entries[5].perm, 1);
}

TEST(directories_on_the_way) {
  need_lists();
  EXPECT_OK(chmod(".", 0755));
  EXPECT_OK(mkdir("dir", 0700));
  make_file("dir/file", "");
  EXPECT_TRUE(!may(ALICE, ALICE, "dir/file", R_OK));
  struct list list = named(1, 0, 7);
  EXPECT_OK(set("dir", ACCESS, &list, 6));
  EXPECT_TRUE(may(ALICE, ALICE, "dir/file", R_OK));
  EXPECT_OK(removexattr("dir", ACCESS));
  // What the mask showed is left as the group's.
  EXPECT_EQ(mode_of("dir"), 0670);
  EXPECT_TRUE(!may(ALICE, ALICE, "dir/file", R_OK));
}

TEST(lists_that_say_no_more_than_the_mode) {
  need_lists();
  make_file("file", "");
  struct list list = {2, {{USER_OBJ, 7, NONE}, {GROUP_OBJ, 5, NONE}, {OTHER, 1, NONE}}};
  EXPECT_OK(set("file", ACCESS, &list, 3));
  EXPECT_EQ(mode_of("file"), 0751);
  EXPECT_ERRNO(getxattr("file", ACCESS, NULL, 0), ENODATA);
  EXPECT_OK(removexattr("file", ACCESS));
  EXPECT_ERRNO(removexattr("file", "user.none"), ENODATA);
}

TEST(defaults_are_inherited) {
  need_lists();
  struct list list = named(7, 5, 5), back;
  char names[128];
  EXPECT_OK(mkdir("dir", 0755));
  EXPECT_OK(set("dir", DEFAULT, &list, 6));
  EXPECT_EQ(mode_of("dir"), 0755);
  EXPECT_EQ(listxattr("dir", names, sizeof names), sizeof DEFAULT);
  EXPECT_STR(names, DEFAULT);
  umask(077);
  // The umask does not count here.
  EXPECT_OK(close(EXPECT_OK(open("dir/file", O_CREAT | O_WRONLY, 0666))));
  EXPECT_EQ(mode_of("dir/file"), 0640);
  EXPECT_EQ(getxattr("dir/file", ACCESS, &back, sizeof back), LENGTH(6));
  EXPECT_EQ(back.entries[1].perm, 7);
  EXPECT_EQ(back.entries[4].perm, 4);
  EXPECT_ERRNO(getxattr("dir/file", DEFAULT, NULL, 0), ENODATA);
  EXPECT_OK(mkdir("dir/sub", 0777));
  EXPECT_EQ(mode_of("dir/sub"), 0650);
  EXPECT_EQ(getxattr("dir/sub", DEFAULT, &back, sizeof back), LENGTH(6));
  EXPECT_MEM(&back, &list, LENGTH(6));
  EXPECT_OK(mknod("dir/fifo", S_IFIFO | 0600, 0));
  EXPECT_EQ(mode_of("dir/fifo"), 0600);
  EXPECT_OK(symlink("x", "dir/link"));
  EXPECT_EQ(mode_of("dir/link"), 0777);
  int fd = open("dir", O_TMPFILE | O_RDWR, 0666);
  if (fd >= 0) EXPECT_EQ(fgetxattr(fd, ACCESS, &back, sizeof back), LENGTH(6));
  EXPECT_OK(removexattr("dir", DEFAULT));
  EXPECT_OK(close(EXPECT_OK(open("dir/masked", O_CREAT | O_WRONLY, 0666))));
  EXPECT_EQ(mode_of("dir/masked"), 0600);
}

TEST(lists_that_are_refused) {
  need_lists();
  make_file("file", "");
  EXPECT_OK(symlink("file", "link"));
  EXPECT_OK(mkfifo("fifo", 0600));
  struct list list = named(7, 5, 5);
  EXPECT_ERRNO(setxattr("file", ACCESS, &list, 3, 0), EINVAL);
  EXPECT_ERRNO(setxattr("file", ACCESS, &list, LENGTH(6) - 1, 0), EINVAL);
  EXPECT_ERRNO(set("file", ACCESS, &list, 5), EINVAL);
  EXPECT_ERRNO(set("file", DEFAULT, &list, 6), EACCES);
  EXPECT_ERRNO(lsetxattr("link", ACCESS, &list, LENGTH(6), 0), EOPNOTSUPP);
  EXPECT_ERRNO(lgetxattr("link", ACCESS, NULL, 0), EOPNOTSUPP);
  EXPECT_OK(set("fifo", ACCESS, &list, 6));
  EXPECT_EXIT(FORK(EXPECT_OK(setresuid(NOBODY, NOBODY, NOBODY)); EXPECT_ERRNO(set("file", ACCESS, &list, 6), EPERM);
                   EXPECT_ERRNO(removexattr("file", ACCESS), EPERM)),
              0);
  struct list wrong = list;
  wrong.version = 1;
  EXPECT_ERRNO(set("file", ACCESS, &wrong, 6), EOPNOTSUPP);
  wrong = list;
  wrong.entries[1].perm = 8;
  EXPECT_ERRNO(set("file", ACCESS, &wrong, 6), EINVAL);
  wrong = list;
  wrong.entries[4].tag = 3;
  EXPECT_ERRNO(set("file", ACCESS, &wrong, 6), EINVAL);
  wrong = list;
  wrong.entries[1] = list.entries[2];
  wrong.entries[2] = list.entries[1];
  EXPECT_ERRNO(set("file", ACCESS, &wrong, 6), EINVAL);
  wrong = (struct list){2, {{USER_OBJ, 7, NONE}, {USER, 7, ALICE}, {GROUP_OBJ, 5, NONE}, {OTHER, 1, NONE}}};
  EXPECT_ERRNO(set("file", ACCESS, &wrong, 4), EINVAL);
  // Of what is no list, nothing is left.
  EXPECT_OK(set("file", ACCESS, &list, 6));
  EXPECT_OK(setxattr("file", ACCESS, NULL, 0, 0));
  EXPECT_ERRNO(getxattr("file", ACCESS, NULL, 0), ENODATA);
  EXPECT_ERRNO(setxattr("/proc/self/status", ACCESS, &list, LENGTH(6), 0), EOPNOTSUPP);
}

TEST(lists_outlive_renames_and_links) {
  need_lists();
  make_file("file", "contents");
  struct list list = named(6, 4, 7), back;
  EXPECT_OK(set("file", ACCESS, &list, 6));
  EXPECT_OK(link("file", "other"));
  EXPECT_OK(rename("file", "moved"));
  EXPECT_OK(unlink("moved"));
  EXPECT_OK(truncate("other", 3));
  EXPECT_EQ(getxattr("other", ACCESS, &back, sizeof back), LENGTH(6));
  EXPECT_MEM(&back, &list, LENGTH(6));
  EXPECT_OK(chown("other", BOB, BOB));
  EXPECT_EQ(mode_of("other"), 0670);
  EXPECT_TRUE(may(BOB, BOB, "other", W_OK));
}
