// listmount(2), statmount(2), open_tree_attr(2), and move_mount(2) beneath other mounts and into their groups.
#include "test.h"

#include <linux/mount.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

// <sys/mount.h> has some of the same names.
int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
#ifndef MOVE_MOUNT_BENEATH
#define MOVE_MOUNT_BENEATH 0x200
#endif
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif
#define MNT_DETACH 2
#define ROOT UINT64_MAX
#define UNIQUE_ID_OFFSET (1ULL << 31)

enum { SB_BASIC = 1, MNT_BASIC = 2, PROPAGATE_FROM = 4, MNT_ROOT = 8, MNT_POINT = 16, FS_TYPE = 32, MNT_NS_ID = 64, MNT_OPTS = 128,
       SB_SOURCE = 0x200, OPT_ARRAY = 0x400, SUPPORTED_MASK = 0x1000 };
struct request {
  uint32_t size, fd;
  uint64_t id, param, ns;
};
struct info {
  uint32_t size, opts;
  uint64_t mask;
  uint32_t major, minor;
  uint64_t magic;
  uint32_t sb_flags, type;
  uint64_t id, parent;
  uint32_t old_id, old_parent;
  uint64_t attr, propagation, peer_group, master, from;
  uint32_t root, point;
  uint64_t ns;
  uint32_t subtype, source, option_count, option_array, security_count, security_array;
  uint64_t supported;
  uint32_t uids, uid, gids, gid;
  uint64_t spare[43];
  char text[3000];
};

static long list_after(uint64_t of, uint64_t after, uint64_t *ids, size_t n, unsigned flags) {
  struct request request = {32, 0, of, after, 0};
  return syscall(458, &request, ids, n, flags);
}
static long list(uint64_t of, uint64_t *ids, size_t n) { return list_after(of, 0, ids, n, 0); }
static struct info info;
static long stat_in(uint64_t id, uint64_t mask, size_t size) {
  struct request request = {32, 0, id, mask, 0};
  memset(&info, 0xee, sizeof info);
  return syscall(457, &request, &info, size, 0);
}
static void told(uint64_t id, uint64_t mask) { EXPECT_OK(stat_in(id, mask, sizeof info)); }
static uint64_t id_of(const char *path) {
  struct statx st;
  EXPECT_OK(statx(AT_FDCWD, path, 0, STATX_MNT_ID_UNIQUE, &st));
  EXPECT_TRUE(st.stx_mask & STATX_MNT_ID_UNIQUE);
  return st.stx_mnt_id;
}
static int do_move_mount(const char *from, const char *to, unsigned flags) {
  return syscall(SYS_move_mount, AT_FDCWD, from, AT_FDCWD, to, flags);
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

TEST(listing) {
  begin();
  EXPECT_OK(mount("t", "a", "tmpfs", 0, NULL));
  EXPECT_OK(mkdir("a/sub", 0755));
  EXPECT_OK(mount("t", "a/sub", "tmpfs", 0, NULL));
  EXPECT_OK(mount("t", "b", "tmpfs", 0, NULL));
  uint64_t ids[4000], base = id_of("."), a = id_of("a"), sub = id_of("a/sub"), b = id_of("b");
  long all = EXPECT_OK(list(ROOT, ids, 4000));
  int seen = 0;
  for (long i = 0; i < all; i++) {
    EXPECT_GT(ids[i], UNIQUE_ID_OFFSET);
    if (i > 0) EXPECT_GT(ids[i], ids[i - 1]);
    seen += ids[i] == base || ids[i] == a || ids[i] == sub || ids[i] == b;
  }
  EXPECT_EQ(seen, 4);
  // All that is below, not only the children, and in the order in which they came.
  EXPECT_EQ(list(base, ids, 4000), 3);
  EXPECT_TRUE(ids[0] == a && ids[1] == sub && ids[2] == b);
  EXPECT_EQ(list(a, ids, 4000), 1);
  EXPECT_EQ(ids[0], sub);
  EXPECT_EQ(list(sub, ids, 4000), 0);
  EXPECT_EQ(list(base, ids, 2), 2);
  EXPECT_EQ(list_after(base, ids[1], ids, 2, 0), 1);
  EXPECT_EQ(ids[0], b);
  EXPECT_EQ(list_after(base, 0, ids, 4000, 1), 3);
  EXPECT_TRUE(ids[0] == b && ids[1] == sub && ids[2] == a);
  EXPECT_EQ(list_after(base, sub, ids, 4000, 1), 1);
  EXPECT_EQ(ids[0], a);
  EXPECT_EQ(list(base, ids, 0), 0);
}

TEST(refused_lists) {
  begin();
  uint64_t ids[10], base = id_of(".");
  EXPECT_ERRNO(list_after(base, 0, ids, 10, 2), EINVAL);
  EXPECT_ERRNO(list_after(base, 5, ids, 10, 0), EINVAL);
  EXPECT_ERRNO(list(5, ids, 10), EINVAL);
  EXPECT_ERRNO(list(UNIQUE_ID_OFFSET, ids, 10), EINVAL);
  EXPECT_ERRNO(list(1ULL << 40, ids, 10), ENOENT);
  EXPECT_ERRNO(list(base, ids, 1000001), EOVERFLOW);
  EXPECT_OK(mount("t", "a", "tmpfs", 0, NULL));
  EXPECT_ERRNO(list(base, NULL, 10), EFAULT);
  EXPECT_ERRNO(syscall(458, NULL, ids, 10, 0), EFAULT);
  struct request request = {23, 0, base, 0, 0};
  EXPECT_ERRNO(syscall(458, &request, ids, 10, 0), EINVAL);
  request.size = 5000;
  EXPECT_ERRNO(syscall(458, &request, ids, 10, 0), E2BIG);
  request.size = 24;
  EXPECT_EQ(syscall(458, &request, ids, 10, 0), 1);
  request = (struct request){32, 0, base, 0, 1ULL << 40};
  EXPECT_ERRNO(syscall(458, &request, ids, 10, 0), ENOENT);
}

TEST(what_a_mount_is) {
  begin();
  EXPECT_OK(mount("the source", "a", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOATIME, "size=4096k,mode=711"));
  uint64_t base = id_of("."), a = id_of("a");
  told(a, SB_BASIC | MNT_BASIC | MNT_ROOT | MNT_POINT | FS_TYPE | SB_SOURCE);
  EXPECT_EQ(info.mask, SB_BASIC | MNT_BASIC | MNT_ROOT | MNT_POINT | FS_TYPE | SB_SOURCE);
  struct stat st;
  EXPECT_OK(stat("a", &st));
  EXPECT_TRUE(info.major == major(st.st_dev) && info.minor == minor(st.st_dev));
  EXPECT_EQ(info.magic, 0x01021994);
  EXPECT_TRUE(info.id == a && info.parent == base);
  EXPECT_EQ(info.attr, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME);
  EXPECT_EQ(info.propagation, MS_PRIVATE);
  EXPECT_TRUE(info.peer_group == 0 && info.master == 0);
  EXPECT_STR(info.text + info.type, "tmpfs");
  EXPECT_STR(info.text + info.root, "/");
  EXPECT_STR(info.text + info.source, "the source");
  char cwd[PATH_MAX], want[PATH_MAX + 4];
  snprintf(want, sizeof want, "%s/a", getcwd(cwd, sizeof cwd));
  EXPECT_STR(info.text + info.point, want);
  // What was not asked for refers to the empty string.
  EXPECT_TRUE(info.opts == 0 && info.text[0] == 0);
  EXPECT_TRUE(info.spare[0] == 0 && info.spare[42] == 0);
  EXPECT_GT(info.size, 512);
  struct statx stx;
  EXPECT_OK(statx(AT_FDCWD, "a", 0, STATX_MNT_ID, &stx));
  EXPECT_EQ(info.old_id, stx.stx_mnt_id);
  told(a, MNT_OPTS | OPT_ARRAY);
  EXPECT_EQ(info.mask, MNT_OPTS | OPT_ARRAY);
  EXPECT_TRUE(strstr(info.text + info.opts, "size=4096k") && strstr(info.text + info.opts, "mode=711"));
  EXPECT_GE(info.option_count, 2);
  EXPECT_TRUE(info.text[info.opts] != ',');
  unsigned options = 0;
  for (const char *at = info.text + info.option_array; options < info.option_count; at += strlen(at) + 1) {
    EXPECT_TRUE(*at && !strchr(at, ','));
    options++;
  }
  told(a, SUPPORTED_MASK | MNT_NS_ID);
  EXPECT_EQ(info.mask, SUPPORTED_MASK | MNT_NS_ID);
  EXPECT_EQ(info.size, 512);
  EXPECT_EQ(info.supported & 0x7ff, 0x7ff);
  EXPECT_GT(info.ns, 0);
  uint64_t ns = 0;
  EXPECT_OK(ioctl(EXPECT_OK(open("/proc/self/ns/mnt", O_RDONLY)), 0x8008b705UL, &ns));
  EXPECT_EQ(ns, info.ns);
  struct request request = {32, 0, a, MNT_BASIC, ns};
  EXPECT_OK(syscall(457, &request, &info, sizeof info, 0));
}

TEST(roots_and_groups) {
  begin();
  EXPECT_OK(mkdir("a/dir", 0755));
  EXPECT_OK(mount("a/dir", "b", NULL, MS_BIND, NULL));
  EXPECT_OK(mount("none", "b", NULL, MS_SHARED, NULL));
  uint64_t b = id_of("b");
  told(b, MNT_BASIC | MNT_ROOT | PROPAGATE_FROM);
  EXPECT_EQ(info.mask, MNT_BASIC | MNT_ROOT | PROPAGATE_FROM);
  EXPECT_STR(info.text + info.root, "/a/dir");
  EXPECT_EQ(info.propagation, MS_SHARED);
  uint64_t group = info.peer_group;
  EXPECT_GT(group, 0);
  EXPECT_EQ(info.from, 0);
  EXPECT_OK(mount("b", "a", NULL, MS_BIND, NULL));
  EXPECT_OK(mount("none", "a", NULL, MS_SLAVE, NULL));
  told(id_of("a"), MNT_BASIC | PROPAGATE_FROM);
  EXPECT_EQ(info.propagation, MS_SLAVE);
  EXPECT_TRUE(info.peer_group == 0 && info.master == group && info.from == group);
  EXPECT_OK(mount("none", "b", NULL, MS_UNBINDABLE, NULL));
  told(b, MNT_BASIC);
  EXPECT_EQ(info.propagation, MS_UNBINDABLE);
}

TEST(sizes_of_answers) {
  begin();
  uint64_t base = id_of(".");
  EXPECT_OK(stat_in(base, MNT_BASIC, 48));
  EXPECT_EQ(info.size, 48);
  EXPECT_EQ(info.parent, 0xeeeeeeeeeeeeeeeeULL);
  EXPECT_OK(stat_in(base, MNT_BASIC, 0));
  EXPECT_ERRNO(stat_in(base, FS_TYPE, 512), EOVERFLOW);
  EXPECT_ERRNO(stat_in(base, FS_TYPE, 514), EOVERFLOW);
  EXPECT_OK(stat_in(base, FS_TYPE, 520));
  EXPECT_STR(info.text + info.type, "tmpfs");
  EXPECT_OK(stat_in(base, 1ULL << 40, sizeof info));
  EXPECT_EQ(info.mask, 0);
  struct request request = {32, 0, base, 0, 0};
  EXPECT_ERRNO(syscall(457, &request, &info, sizeof info, 1), EINVAL);
  request.id = UNIQUE_ID_OFFSET;
  EXPECT_ERRNO(syscall(457, &request, &info, sizeof info, 0), EINVAL);
  request.id = ROOT;
  EXPECT_ERRNO(syscall(457, &request, &info, sizeof info, 0), ENOENT);
  request.id = base;
  EXPECT_ERRNO(syscall(457, &request, NULL, 512, 0), EFAULT);
  EXPECT_ERRNO(syscall(457, NULL, &info, sizeof info, 0), EFAULT);
  IN_CHILD({
    EXPECT_OK(chroot("a"));
    become(1000, 1000);
    // Out of reach.
    EXPECT_ERRNO(stat_in(base, MNT_BASIC, sizeof info), EPERM);
  });
}

TEST(trees_with_attributes) {
  begin();
  EXPECT_OK(mount("t", "a", "tmpfs", 0, NULL));
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
  EXPECT_ERRNO(syscall(467, AT_FDCWD, "a", 0, NULL, sizeof attr), EINVAL);
  EXPECT_ERRNO(syscall(467, AT_FDCWD, "a", OPEN_TREE_CLONE, &attr, 5), EINVAL);
  int fd = EXPECT_OK(syscall(467, AT_FDCWD, "a", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, &attr, sizeof attr));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_ERRNO(openat(fd, "new", O_CREAT | O_WRONLY, 0644), EROFS);
  EXPECT_OK(close(EXPECT_OK(open("a/new", O_CREAT | O_WRONLY, 0644))));
  EXPECT_OK(faccessat(fd, "new", F_OK, 0));
  // Without a copy it is the mount itself that changes.
  EXPECT_OK(mount("t", "b", "tmpfs", 0, NULL));
  EXPECT_OK(close(EXPECT_OK(syscall(467, AT_FDCWD, "b", 0, &attr, sizeof attr))));
  EXPECT_ERRNO(open("b/new", O_CREAT | O_WRONLY, 0644), EROFS);
  // Without attributes it is open_tree.
  fd = EXPECT_OK(syscall(467, AT_FDCWD, "a", 0, NULL, 0));
  EXPECT_OK(faccessat(fd, "new", F_OK, 0));
}

TEST(beneath) {
  begin();
  EXPECT_OK(mount("above", "a", "tmpfs", 0, NULL));
  make_file("a/above", "");
  EXPECT_OK(mount("below", "b", "tmpfs", 0, NULL));
  make_file("b/below", "");
  EXPECT_OK(do_move_mount("b", "a", MOVE_MOUNT_BENEATH));
  EXPECT_OK(access("a/above", F_OK));
  EXPECT_ERRNO(access("b/below", F_OK), ENOENT);
  EXPECT_OK(umount2("a", 0));
  EXPECT_OK(access("a/below", F_OK));
  EXPECT_OK(umount2("a", 0));
  EXPECT_ERRNO(access("a/below", F_OK), ENOENT);
}

TEST(not_beneath) {
  begin();
  EXPECT_OK(mount("t", "b", "tmpfs", 0, NULL));
  // There is no mount here.
  EXPECT_ERRNO(do_move_mount("b", "a", MOVE_MOUNT_BENEATH), EINVAL);
  EXPECT_OK(mount("t", "a", "tmpfs", 0, NULL));
  EXPECT_ERRNO(do_move_mount("b", "/", MOVE_MOUNT_BENEATH), EINVAL);
  EXPECT_ERRNO(do_move_mount("b", "a", MOVE_MOUNT_BENEATH | MOVE_MOUNT_SET_GROUP), EINVAL);
  EXPECT_OK(mkdir("a/in", 0755));
  EXPECT_OK(mount("t", "a/in", "tmpfs", 0, NULL));
  EXPECT_ERRNO(do_move_mount("a", "a/in", MOVE_MOUNT_BENEATH), ELOOP);
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(do_move_mount("b", "a", MOVE_MOUNT_BENEATH), EPERM);
  });
}

TEST(into_a_group) {
  begin();
  EXPECT_OK(mkdir("from", 0755));
  EXPECT_OK(mkdir("to", 0755));
  EXPECT_OK(mount("t", "from", "tmpfs", 0, NULL));
  EXPECT_OK(mkdir("from/place", 0755));
  EXPECT_OK(mount("from", "to", NULL, MS_BIND, NULL));
  // The source takes part in nothing yet.
  EXPECT_ERRNO(do_move_mount("from", "to", MOVE_MOUNT_SET_GROUP), EINVAL);
  EXPECT_OK(mount("none", "from", NULL, MS_SHARED, NULL));
  EXPECT_OK(do_move_mount("from", "to", MOVE_MOUNT_SET_GROUP));
  EXPECT_OK(mount("in", "from/place", "tmpfs", 0, NULL));
  make_file("from/place/file", "");
  EXPECT_OK(access("to/place/file", F_OK));
  // It is a member now.
  EXPECT_ERRNO(do_move_mount("from", "to", MOVE_MOUNT_SET_GROUP), EINVAL);
  // Of another file system, or showing more than the source.
  EXPECT_OK(mount("t", "a", "tmpfs", 0, NULL));
  EXPECT_ERRNO(do_move_mount("from", "a", MOVE_MOUNT_SET_GROUP), EINVAL);
  EXPECT_ERRNO(do_move_mount("from", "b", MOVE_MOUNT_SET_GROUP), EINVAL);
}
