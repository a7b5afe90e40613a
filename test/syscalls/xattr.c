// Extended attributes relative to a directory descriptor, Linux 6.13.
#include "test.h"
#include <sys/xattr.h>

#define SETXATTRAT 463
#define GETXATTRAT 464
#define LISTXATTRAT 465
#define REMOVEXATTRAT 466

struct args {
  unsigned long value;
  unsigned size;
  unsigned flags;
};

static long set_at(int dfd, const char *path, unsigned at, const char *name, const char *value, unsigned flags) {
  struct args a = {(unsigned long)value, strlen(value), flags};
  return syscall(SETXATTRAT, dfd, path, at, name, &a, sizeof a);
}

static long get_at(int dfd, const char *path, unsigned at, const char *name, char *value, unsigned size) {
  struct args a = {(unsigned long)value, size, 0};
  return syscall(GETXATTRAT, dfd, path, at, name, &a, sizeof a);
}

static void need_attributes(void) {
  make_file("probe", "");
  if (set_at(AT_FDCWD, "probe", 0, "user.a", "1", 0) == 0) return;
  if (errno == ENOSYS) SKIP("this kernel has no setxattrat");
  if (errno == EOPNOTSUPP) SKIP("this file system has no user attributes");
}

TEST(attributes_at_a_directory) {
  char value[64] = {0};
  need_attributes();
  EXPECT_OK(mkdir("d", 0755));
  make_file("d/f", "");
  int d = EXPECT_OK(open("d", O_RDONLY | O_DIRECTORY));
  EXPECT_OK(set_at(d, "f", 0, "user.color", "blue", 0));
  EXPECT_EQ(get_at(d, "f", 0, "user.color", value, sizeof value), 4);
  EXPECT_STR(value, "blue");
  EXPECT_EQ(get_at(d, "f", 0, "user.color", NULL, 0), 4);
  EXPECT_ERRNO(get_at(d, "f", 0, "user.color", value, 3), ERANGE);
  EXPECT_ERRNO(set_at(d, "f", 0, "user.color", "x", XATTR_CREATE), EEXIST);
  EXPECT_ERRNO(set_at(d, "f", 0, "user.none", "x", XATTR_REPLACE), ENODATA);
  EXPECT_EQ(syscall(LISTXATTRAT, d, "f", 0, value, sizeof value), 11);
  EXPECT_STR(value, "user.color");
  EXPECT_OK(syscall(REMOVEXATTRAT, d, "f", 0, "user.color"));
  EXPECT_ERRNO(get_at(d, "f", 0, "user.color", value, sizeof value), ENODATA);
  EXPECT_ERRNO(get_at(d, "none", 0, "user.color", value, sizeof value), ENOENT);
  EXPECT_ERRNO(get_at(99, "f", 0, "user.color", value, sizeof value), EBADF);
}

TEST(attributes_of_the_descriptor_itself) {
  char value[8] = {0};
  need_attributes();
  int f = EXPECT_OK(open("probe", O_RDONLY));
  EXPECT_EQ(get_at(f, "", AT_EMPTY_PATH, "user.a", value, sizeof value), 1);
  EXPECT_EQ(get_at(f, NULL, AT_EMPTY_PATH, "user.a", value, sizeof value), 1);
  EXPECT_ERRNO(get_at(f, "", 0, "user.a", value, sizeof value), ENOENT);
  EXPECT_OK(set_at(AT_FDCWD, "", AT_EMPTY_PATH, "user.here", "1", 0));
  EXPECT_EQ(getxattr(".", "user.here", value, sizeof value), 1);
  int path = EXPECT_OK(open("probe", O_PATH));
  EXPECT_ERRNO(get_at(path, "", AT_EMPTY_PATH, "user.a", value, sizeof value), EBADF);
  EXPECT_ERRNO(syscall(LISTXATTRAT, path, "", AT_EMPTY_PATH, value, sizeof value), EBADF);
}

TEST(links_and_attributes) {
  char value[64];
  need_attributes();
  EXPECT_OK(symlink("probe", "link"));
  EXPECT_EQ(get_at(AT_FDCWD, "link", 0, "user.a", value, sizeof value), 1);
  // A symbolic link bears no user attributes.
  EXPECT_ERRNO(set_at(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, "user.a", "1", 0), EPERM);
  EXPECT_OK(syscall(LISTXATTRAT, AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, value, sizeof value));
}

TEST(arguments_of_xattrat) {
  char value[8];
  need_attributes();
  struct {
    struct args a;
    unsigned long more;
  } longer = {{(unsigned long)value, sizeof value, 0}, 0};
  EXPECT_EQ(syscall(GETXATTRAT, AT_FDCWD, "probe", 0, "user.a", &longer, sizeof longer), 1);
  longer.more = 1;
  EXPECT_ERRNO(syscall(GETXATTRAT, AT_FDCWD, "probe", 0, "user.a", &longer, sizeof longer), E2BIG);
  EXPECT_ERRNO(syscall(GETXATTRAT, AT_FDCWD, "probe", 0, "user.a", &longer, 15), EINVAL);
  EXPECT_ERRNO(syscall(GETXATTRAT, AT_FDCWD, "probe", 0, "user.a", &longer, 4097), E2BIG);
  EXPECT_ERRNO(syscall(GETXATTRAT, AT_FDCWD, "probe", 0, "user.a", NULL, 16), EFAULT);
  longer.a.flags = XATTR_CREATE;
  EXPECT_ERRNO(syscall(GETXATTRAT, AT_FDCWD, "probe", 0, "user.a", &longer, 16), EINVAL);
  EXPECT_ERRNO(get_at(AT_FDCWD, "probe", AT_SYMLINK_FOLLOW, "user.a", value, sizeof value), EINVAL);
  EXPECT_ERRNO(syscall(REMOVEXATTRAT, AT_FDCWD, "probe", 1, "user.a"), EINVAL);
  EXPECT_ERRNO(set_at(AT_FDCWD, "probe", 0, "user.a", "1", 4), EINVAL);
}
