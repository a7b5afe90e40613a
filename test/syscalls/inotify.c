// inotify(7): which operation makes which events, in which order, and the rules of the queue.
#include "test.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/un.h>
#include <sys/xattr.h>

static char queue[65536] __attribute__((aligned(8)));
static ssize_t filled, used;

static int watcher(void) {
  filled = used = 0;
  return EXPECT_OK(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
}

/** The next event, or NULL when there is none. */
static struct inotify_event *next(int fd) {
  if (used >= filled) {
    used = 0;
    filled = read(fd, queue, sizeof queue);
    if (filled == -1) {
      EXPECT_EQ(errno, EAGAIN);
      filled = 0;
      return NULL;
    }
  }
  struct inotify_event *event = (void *)(queue + used);
  used += sizeof *event + event->len;
  return event;
}

static uint32_t cookie;
#define EVENT(fd, watch, bits, text)                                                             \
  do {                                                                                           \
    struct inotify_event *e_ = next(fd);                                                         \
    if (!e_) FAIL("expected event %s of %s, got none", #bits, (const char *)(text));             \
    const char *n_ = e_->len ? e_->name : "";                                                    \
    if (e_->wd != (watch) || e_->mask != (uint32_t)(bits) || strcmp(n_, text))                   \
      FAIL("expected event %s (0x%x) of %d '%s', got 0x%x of %d '%s'", #bits, (unsigned)(bits),  \
           (int)(watch), (const char *)(text), e_->mask, e_->wd, n_);                            \
    cookie = e_->cookie;                                                                         \
  } while (0)
#define QUIET(fd)                                                                     \
  do {                                                                                \
    struct inotify_event *e_ = next(fd);                                              \
    if (e_) FAIL("unexpected event 0x%x of %d '%s'", e_->mask, e_->wd, e_->len ? e_->name : ""); \
  } while (0)

TEST(init_flags) {
  int fd = EXPECT_OK(inotify_init());
  EXPECT_EQ(EXPECT_OK(fcntl(fd, F_GETFL)) & (O_ACCMODE | O_NONBLOCK), O_RDONLY);
  EXPECT_EQ(EXPECT_OK(fcntl(fd, F_GETFD)), 0);
  int other = EXPECT_OK(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  EXPECT_EQ(EXPECT_OK(fcntl(other, F_GETFL)) & (O_ACCMODE | O_NONBLOCK), O_NONBLOCK);
  EXPECT_EQ(EXPECT_OK(fcntl(other, F_GETFD)), FD_CLOEXEC);
  EXPECT_ERRNO(inotify_init1(1), EINVAL);
  char path[64], link[64] = {0};
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  EXPECT_OK(readlink(path, link, sizeof link - 1));
  EXPECT_STR(link, "anon_inode:inotify");
}

TEST(add_watch_errors) {
  int fd = watcher();
  make_file("file", "");
  EXPECT_ERRNO(inotify_add_watch(-1, ".", IN_CREATE), EBADF);
  EXPECT_ERRNO(inotify_add_watch(0, ".", IN_CREATE), EINVAL);
  EXPECT_ERRNO(inotify_add_watch(fd, ".", 0), EINVAL);
  EXPECT_ERRNO(inotify_add_watch(fd, ".", 0x1000), EINVAL);
  EXPECT_ERRNO(inotify_add_watch(fd, ".", IN_CREATE | IN_MASK_ADD | IN_MASK_CREATE), EINVAL);
  EXPECT_ERRNO(inotify_add_watch(fd, "missing", IN_CREATE), ENOENT);
  EXPECT_ERRNO(inotify_add_watch(fd, "", IN_CREATE), ENOENT);
  EXPECT_ERRNO(inotify_add_watch(fd, "file", IN_CREATE | IN_ONLYDIR), ENOTDIR);
  EXPECT_ERRNO(inotify_add_watch(fd, (char *)8, IN_CREATE), EFAULT);
  EXPECT_ERRNO(inotify_rm_watch(fd, 1), EINVAL);
  EXPECT_ERRNO(inotify_rm_watch(0, 1), EINVAL);
  EXPECT_ERRNO(inotify_rm_watch(-1, 1), EBADF);
  EXPECT_OK(chmod("file", 0200));
  IN_CHILD({
    become(NOBODY, NOBODY);
    EXPECT_ERRNO(inotify_add_watch(fd, "file", IN_OPEN), EACCES);
  });
}

TEST(watch_numbers) {
  int fd = watcher();
  make_file("a", "");
  make_file("b", "");
  EXPECT_EQ(EXPECT_OK(inotify_add_watch(fd, "a", IN_OPEN)), 1);
  EXPECT_EQ(EXPECT_OK(inotify_add_watch(fd, "b", IN_OPEN)), 2);
  // A second watch of the same file is the first one, whatever the name.
  EXPECT_OK(link("a", "c"));
  EXPECT_EQ(EXPECT_OK(inotify_add_watch(fd, "c", IN_CLOSE_NOWRITE)), 1);
  EXPECT_ERRNO(inotify_add_watch(fd, "a", IN_CLOSE_NOWRITE | IN_MASK_CREATE), EEXIST);
  int a = EXPECT_OK(open("a", O_RDONLY));
  close(a);
  EVENT(fd, 1, IN_CLOSE_NOWRITE, "");
  QUIET(fd);
  EXPECT_EQ(EXPECT_OK(inotify_add_watch(fd, "a", IN_OPEN | IN_MASK_ADD)), 1);
  close(EXPECT_OK(open("a", O_RDONLY)));
  EVENT(fd, 1, IN_OPEN, "");
  EVENT(fd, 1, IN_CLOSE_NOWRITE, "");
  EXPECT_OK(inotify_rm_watch(fd, 1));
  EVENT(fd, 1, IN_IGNORED, "");
  EXPECT_ERRNO(inotify_rm_watch(fd, 1), EINVAL);
  // Numbers are not used again soon.
  EXPECT_EQ(EXPECT_OK(inotify_add_watch(fd, "a", IN_OPEN)), 3);
}

TEST(file_in_directory) {
  int fd = watcher();
  int wd = EXPECT_OK(inotify_add_watch(fd, ".", IN_ALL_EVENTS));
  int file = EXPECT_OK(open("file", O_RDWR | O_CREAT | O_TRUNC, 0644));
  EVENT(fd, wd, IN_CREATE, "file");
  EVENT(fd, wd, IN_OPEN, "file");
  EXPECT_EQ(write(file, "hello", 5), 5);
  EVENT(fd, wd, IN_MODIFY, "file");
  char c[8];
  EXPECT_EQ(pread(file, c, 5, 0), 5);
  EVENT(fd, wd, IN_ACCESS, "file");
  EXPECT_EQ(pread(file, c, 5, 5), 0);
  QUIET(fd);
  EXPECT_OK(ftruncate(file, 2));
  EVENT(fd, wd, IN_MODIFY, "file");
  EXPECT_OK(fallocate(file, 0, 0, 100));
  EVENT(fd, wd, IN_MODIFY, "file");
  EXPECT_OK(fchmod(file, 0600));
  EVENT(fd, wd, IN_ATTRIB, "file");
  EXPECT_OK(fchown(file, 1, 1));
  EVENT(fd, wd, IN_ATTRIB, "file");
  int copy = dup(file);
  close(copy);
  QUIET(fd);
  close(file);
  EVENT(fd, wd, IN_CLOSE_WRITE, "file");
  file = EXPECT_OK(open("file", O_WRONLY | O_TRUNC));
  // Which of the two comes first has changed over the versions of Linux.
  struct inotify_event *one = next(fd);
  uint32_t both_bits = one ? one->mask : 0;
  struct inotify_event *two = next(fd);
  both_bits |= two ? two->mask : 0;
  EXPECT_EQ(both_bits, IN_MODIFY | IN_OPEN);
  close(file);
  EVENT(fd, wd, IN_CLOSE_WRITE, "file");
  file = EXPECT_OK(open("file", O_RDONLY));
  close(file);
  EVENT(fd, wd, IN_OPEN, "file");
  EVENT(fd, wd, IN_CLOSE_NOWRITE, "file");
  file = EXPECT_OK(open("file", O_PATH));
  close(file);
  QUIET(fd);
  EXPECT_OK(truncate("file", 10));
  EVENT(fd, wd, IN_MODIFY, "file");
  EXPECT_OK(chmod("file", 0644));
  EVENT(fd, wd, IN_ATTRIB, "file");
  struct timespec both[2] = {{1, 0}, {2, 0}};
  EXPECT_OK(utimensat(AT_FDCWD, "file", both, 0));
  EVENT(fd, wd, IN_ATTRIB, "file");
  struct timespec first[2] = {{1, 0}, {0, UTIME_OMIT}}, second[2] = {{0, UTIME_OMIT}, {3, 0}};
  EXPECT_OK(utimensat(AT_FDCWD, "file", first, 0));
  EVENT(fd, wd, IN_ACCESS, "file");
  EXPECT_OK(utimensat(AT_FDCWD, "file", second, 0));
  EVENT(fd, wd, IN_MODIFY, "file");
  EXPECT_OK(link("file", "other"));
  EVENT(fd, wd, IN_CREATE, "other");
  EXPECT_OK(unlink("other"));
  EVENT(fd, wd, IN_DELETE, "other");
  EXPECT_OK(symlink("file", "link"));
  EVENT(fd, wd, IN_CREATE, "link");
  EXPECT_OK(mkfifo("fifo", 0600));
  EVENT(fd, wd, IN_CREATE, "fifo");
  int sock = EXPECT_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "sock"};
  EXPECT_OK(bind(sock, (void *)&addr, sizeof addr));
  EVENT(fd, wd, IN_CREATE, "sock");
  EXPECT_OK(mkdir("dir", 0755));
  EVENT(fd, wd, IN_CREATE | IN_ISDIR, "dir");
  close(EXPECT_OK(open("dir/inner", O_WRONLY | O_CREAT, 0644)));
  QUIET(fd);
  EXPECT_OK(unlink("dir/inner"));
  EXPECT_OK(rmdir("dir"));
  EVENT(fd, wd, IN_DELETE | IN_ISDIR, "dir");
  QUIET(fd);
}

TEST(xattr_is_an_attribute) {
  int fd = watcher();
  make_file("file", "");
  if (setxattr("file", "user.a", "1", 1, 0) == -1 && errno == EOPNOTSUPP) SKIP("no user xattrs here");
  int wd = EXPECT_OK(inotify_add_watch(fd, ".", IN_ALL_EVENTS));
  EXPECT_OK(setxattr("file", "user.b", "1", 1, 0));
  EVENT(fd, wd, IN_ATTRIB, "file");
  EXPECT_OK(removexattr("file", "user.b"));
  EVENT(fd, wd, IN_ATTRIB, "file");
  QUIET(fd);
}

TEST(directory_itself) {
  int fd = watcher();
  EXPECT_OK(mkdir("dir", 0755));
  int wd = EXPECT_OK(inotify_add_watch(fd, "dir", IN_ALL_EVENTS | IN_ONLYDIR));
  DIR *dir = opendir("dir");
  EVENT(fd, wd, IN_OPEN | IN_ISDIR, "");
  while (readdir(dir)) {
  }
  EVENT(fd, wd, IN_ACCESS | IN_ISDIR, "");
  closedir(dir);
  struct inotify_event *e = next(fd);
  EXPECT_TRUE(e != NULL);
  if (e->mask == (IN_ACCESS | IN_ISDIR)) e = next(fd);
  EXPECT_TRUE(e != NULL);
  EXPECT_EQ(e->mask, IN_CLOSE_NOWRITE | IN_ISDIR);
  EXPECT_OK(chmod("dir", 0700));
  EVENT(fd, wd, IN_ATTRIB | IN_ISDIR, "");
  EXPECT_OK(rename("dir", "moved"));
  EVENT(fd, wd, IN_MOVE_SELF, "");
  EXPECT_OK(rmdir("moved"));
  EVENT(fd, wd, IN_DELETE_SELF, "");
  EVENT(fd, wd, IN_IGNORED, "");
  EXPECT_ERRNO(inotify_rm_watch(fd, wd), EINVAL);
  QUIET(fd);
}

TEST(deletion_of_a_watched_file) {
  int fd = watcher();
  make_file("file", "");
  int dir = EXPECT_OK(inotify_add_watch(fd, ".", IN_ALL_EVENTS));
  int wd = EXPECT_OK(inotify_add_watch(fd, "file", IN_ALL_EVENTS));
  EXPECT_OK(link("file", "again"));
  EVENT(fd, wd, IN_ATTRIB, "");
  EVENT(fd, dir, IN_CREATE, "again");
  EXPECT_OK(unlink("file"));
  EVENT(fd, wd, IN_ATTRIB, "");
  EVENT(fd, dir, IN_DELETE, "file");
  EXPECT_OK(unlink("again"));
  EVENT(fd, wd, IN_ATTRIB, "");
  EVENT(fd, wd, IN_DELETE_SELF, "");
  EVENT(fd, wd, IN_IGNORED, "");
  EVENT(fd, dir, IN_DELETE, "again");
  QUIET(fd);
}

TEST(deletion_waits_for_the_last_close) {
  int fd = watcher();
  int file = EXPECT_OK(open("file", O_RDWR | O_CREAT, 0644));
  int wd = EXPECT_OK(inotify_add_watch(fd, "file", IN_ALL_EVENTS));
  EXPECT_OK(unlink("file"));
  EVENT(fd, wd, IN_ATTRIB, "");
  QUIET(fd);
  EXPECT_EQ(write(file, "x", 1), 1);
  EVENT(fd, wd, IN_MODIFY, "");
  close(file);
  EVENT(fd, wd, IN_CLOSE_WRITE, "");
  EVENT(fd, wd, IN_DELETE_SELF, "");
  EVENT(fd, wd, IN_IGNORED, "");
  QUIET(fd);
}

TEST(parent_before_file) {
  int fd = watcher();
  make_file("file", "");
  int wd = EXPECT_OK(inotify_add_watch(fd, "file", IN_OPEN));
  int dir = EXPECT_OK(inotify_add_watch(fd, ".", IN_OPEN));
  close(EXPECT_OK(open("file", O_RDONLY)));
  EVENT(fd, dir, IN_OPEN, "file");
  EVENT(fd, wd, IN_OPEN, "");
  QUIET(fd);
}

TEST(renaming) {
  int fd = watcher();
  EXPECT_OK(mkdir("a", 0755));
  EXPECT_OK(mkdir("b", 0755));
  make_file("a/file", "");
  make_file("b/old", "");
  int a = EXPECT_OK(inotify_add_watch(fd, "a", IN_ALL_EVENTS));
  int b = EXPECT_OK(inotify_add_watch(fd, "b", IN_ALL_EVENTS));
  int file = EXPECT_OK(inotify_add_watch(fd, "a/file", IN_ALL_EVENTS));
  int old = EXPECT_OK(inotify_add_watch(fd, "b/old", IN_ALL_EVENTS));
  EXPECT_OK(rename("a/file", "b/new"));
  EVENT(fd, a, IN_MOVED_FROM, "file");
  uint32_t first = cookie;
  EXPECT_NE(first, 0);
  EVENT(fd, b, IN_MOVED_TO, "new");
  EXPECT_EQ(cookie, first);
  EVENT(fd, file, IN_MOVE_SELF, "");
  EXPECT_EQ(cookie, 0);
  EXPECT_OK(rename("b/new", "b/old"));
  EVENT(fd, b, IN_MOVED_FROM, "new");
  EXPECT_NE(cookie, first);
  EVENT(fd, b, IN_MOVED_TO, "old");
  EVENT(fd, old, IN_ATTRIB, "");
  EVENT(fd, file, IN_MOVE_SELF, "");
  EVENT(fd, old, IN_DELETE_SELF, "");
  EVENT(fd, old, IN_IGNORED, "");
  // The watch went along: the file is known to its new directory.
  close(EXPECT_OK(open("b/old", O_RDONLY)));
  EVENT(fd, b, IN_OPEN, "old");
  EVENT(fd, file, IN_OPEN, "");
  EVENT(fd, b, IN_CLOSE_NOWRITE, "old");
  EVENT(fd, file, IN_CLOSE_NOWRITE, "");
  QUIET(fd);
}

TEST(exchange) {
  int fd = watcher();
  make_file("a", "");
  EXPECT_OK(mkdir("b", 0755));
  int wd = EXPECT_OK(inotify_add_watch(fd, ".", IN_ALL_EVENTS));
  int a = EXPECT_OK(inotify_add_watch(fd, "a", IN_MOVE_SELF));
  int b = EXPECT_OK(inotify_add_watch(fd, "b", IN_MOVE_SELF));
  if (renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE) == -1) SKIP("no RENAME_EXCHANGE here");
  EVENT(fd, wd, IN_MOVED_FROM, "a");
  EVENT(fd, wd, IN_MOVED_TO, "b");
  EVENT(fd, a, IN_MOVE_SELF, "");
  EVENT(fd, wd, IN_MOVED_FROM | IN_ISDIR, "b");
  EVENT(fd, wd, IN_MOVED_TO | IN_ISDIR, "a");
  EVENT(fd, b, IN_MOVE_SELF, "");
  QUIET(fd);
}

TEST(oneshot) {
  int fd = watcher();
  make_file("file", "x");
  int wd = EXPECT_OK(inotify_add_watch(fd, "file", IN_ALL_EVENTS | IN_ONESHOT));
  int file = EXPECT_OK(open("file", O_RDONLY));
  char c;
  EXPECT_EQ(read(file, &c, 1), 1);
  close(file);
  EVENT(fd, wd, IN_OPEN, "");
  EVENT(fd, wd, IN_IGNORED, "");
  QUIET(fd);
  EXPECT_ERRNO(inotify_rm_watch(fd, wd), EINVAL);
}

TEST(dont_follow) {
  int fd = watcher();
  make_file("file", "");
  EXPECT_OK(symlink("file", "link"));
  int link_wd = EXPECT_OK(inotify_add_watch(fd, "link", IN_ALL_EVENTS | IN_DONT_FOLLOW));
  close(EXPECT_OK(open("link", O_RDONLY)));
  QUIET(fd);
  int file_wd = EXPECT_OK(inotify_add_watch(fd, "link", IN_OPEN));
  EXPECT_NE(file_wd, link_wd);
  close(EXPECT_OK(open("link", O_RDONLY)));
  EVENT(fd, file_wd, IN_OPEN, "");
  EXPECT_OK(unlink("link"));
  EVENT(fd, link_wd, IN_ATTRIB, "");
  EVENT(fd, link_wd, IN_DELETE_SELF, "");
  EVENT(fd, link_wd, IN_IGNORED, "");
  QUIET(fd);
}

TEST(excl_unlink) {
  for (int excl = 0; excl < 2; excl++) {
    int fd = watcher();
    int file = EXPECT_OK(open("file", O_RDWR | O_CREAT, 0644));
    int wd = EXPECT_OK(inotify_add_watch(fd, ".", IN_MODIFY | IN_CLOSE | (excl ? IN_EXCL_UNLINK : 0)));
    EXPECT_OK(unlink("file"));
    EXPECT_EQ(write(file, "x", 1), 1);
    if (!excl) EVENT(fd, wd, IN_MODIFY, "file");
    close(file);
    if (!excl) EVENT(fd, wd, IN_CLOSE_WRITE, "file");
    QUIET(fd);
    close(fd);
  }
}

TEST(equal_neighbours_are_one_event) {
  int fd = watcher();
  int file = EXPECT_OK(open("file", O_RDWR | O_CREAT, 0644));
  int wd = EXPECT_OK(inotify_add_watch(fd, "file", IN_ALL_EVENTS));
  char c;
  for (int i = 0; i < 5; i++) EXPECT_EQ(write(file, "x", 1), 1);
  EXPECT_EQ(pread(file, &c, 1, 0), 1);
  for (int i = 0; i < 5; i++) EXPECT_EQ(write(file, "x", 1), 1);
  EVENT(fd, wd, IN_MODIFY, "");
  EVENT(fd, wd, IN_ACCESS, "");
  EVENT(fd, wd, IN_MODIFY, "");
  QUIET(fd);
}

TEST(reading_and_polling) {
  int fd = watcher();
  struct pollfd p = {fd, POLLIN | POLLOUT, 0};
  int count = -1;
  EXPECT_OK(inotify_add_watch(fd, ".", IN_CREATE));
  EXPECT_EQ(EXPECT_OK(poll(&p, 1, 0)), 0);
  EXPECT_OK(ioctl(fd, FIONREAD, &count));
  EXPECT_EQ(count, 0);
  char small[20], large[64];
  EXPECT_ERRNO(read(fd, small, sizeof small), EAGAIN);
  EXPECT_ERRNO(write(fd, small, 1), EBADF);
  make_file("0123456789abcde", "");
  make_file("0123456789abcdef", "");
  EXPECT_EQ(EXPECT_OK(poll(&p, 1, 0)), 1);
  EXPECT_EQ(p.revents, POLLIN);
  EXPECT_OK(ioctl(fd, FIONREAD, &count));
  EXPECT_EQ(count, 16 + 16 + 16 + 32);
  // The first event does not fit.
  EXPECT_ERRNO(read(fd, small, sizeof small), EINVAL);
  EXPECT_EQ(EXPECT_OK(read(fd, large, sizeof large)), 32);
  struct inotify_event *e = (void *)large;
  EXPECT_EQ(e->len, 16);
  EXPECT_STR(e->name, "0123456789abcde");
  EXPECT_EQ(EXPECT_OK(read(fd, large, sizeof large)), 48);
  EXPECT_EQ(e->len, 32);
  EXPECT_ERRNO(read(fd, large, sizeof large), EAGAIN);
  EXPECT_EQ(EXPECT_OK(lseek(fd, 7, SEEK_SET)), 0);
  make_file("x", "");
  EXPECT_ERRNO(syscall(SYS_read, fd, 8L, 64), EFAULT);
}

TEST(blocking_read_and_epoll) {
  int fd = EXPECT_OK(inotify_init());
  EXPECT_OK(inotify_add_watch(fd, ".", IN_CREATE));
  int ep = EXPECT_OK(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN | EPOLLET};
  EXPECT_OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
  pid_t child = FORK({
    char buffer[64];
    EXPECT_EQ(EXPECT_OK(read(fd, buffer, sizeof buffer)), 32);
  });
  wait_asleep(child);
  make_file("x", "");
  EXPECT_EXIT(child, 0);
  child = FORK({
    sleep_ms(20);
    make_file("y", "");
  });
  for (;;) {
    EXPECT_EQ(EXPECT_OK(epoll_wait(ep, &event, 1, 10000)), 1);
    int count = 0;
    EXPECT_OK(ioctl(fd, FIONREAD, &count));
    if (count > 0) break;
  }
  EXPECT_EXIT(child, 0);
}

TEST(overflow) {
  int fd = watcher();
  char text[32];
  read_whole("/proc/sys/fs/inotify/max_queued_events", text, sizeof text);
  int max = atoi(text);
  EXPECT_GT(max, 0);
  if (max > 20000) SKIP("the queue is very long here");
  int file = EXPECT_OK(open("file", O_RDWR | O_CREAT, 0644));
  EXPECT_EQ(write(file, "x", 1), 1);
  int wd = EXPECT_OK(inotify_add_watch(fd, "file", IN_MODIFY | IN_ACCESS));
  char c;
  for (int i = 0; i < max; i += 2) {
    EXPECT_EQ(pwrite(file, "x", 1, 0), 1);
    EXPECT_EQ(pread(file, &c, 1, 0), 1);
  }
  for (int i = 0; i < 4; i++) {
    EXPECT_EQ(pwrite(file, "x", 1, 0), 1);
    EXPECT_EQ(pread(file, &c, 1, 0), 1);
  }
  int events = 0, overflows = 0;
  for (struct inotify_event *e; (e = next(fd));) {
    if (e->mask == IN_Q_OVERFLOW) {
      EXPECT_EQ(e->wd, -1);
      overflows++;
    } else {
      EXPECT_EQ(e->wd, wd);
      EXPECT_EQ(overflows, 0);
      events++;
    }
  }
  EXPECT_EQ(events, max);
  EXPECT_EQ(overflows, 1);
  EXPECT_EQ(pwrite(file, "x", 1, 0), 1);
  EVENT(fd, wd, IN_MODIFY, "");
}

TEST(two_watchers) {
  int a = watcher();
  int b = EXPECT_OK(inotify_init1(IN_NONBLOCK));
  int aw = EXPECT_OK(inotify_add_watch(a, ".", IN_CREATE));
  int bw = EXPECT_OK(inotify_add_watch(b, ".", IN_CREATE | IN_DELETE));
  EXPECT_OK(mkdir("d", 0755));
  EXPECT_OK(rmdir("d"));
  EVENT(a, aw, IN_CREATE | IN_ISDIR, "d");
  QUIET(a);
  EVENT(b, bw, IN_CREATE | IN_ISDIR, "d");
  EVENT(b, bw, IN_DELETE | IN_ISDIR, "d");
  QUIET(b);
  close(a);
  EXPECT_OK(mkdir("e", 0755));
  EVENT(b, bw, IN_CREATE | IN_ISDIR, "e");
}

TEST(copies_inside_the_kernel) {
  int fd = watcher();
  make_file("from", "0123456789");
  int from = EXPECT_OK(open("from", O_RDONLY));
  int to = EXPECT_OK(open("to", O_RDWR | O_CREAT, 0644));
  int source = EXPECT_OK(inotify_add_watch(fd, "from", IN_ACCESS | IN_MODIFY));
  int target = EXPECT_OK(inotify_add_watch(fd, "to", IN_ACCESS | IN_MODIFY));
  EXPECT_EQ(copy_file_range(from, NULL, to, NULL, 4, 0), 4);
  EVENT(fd, source, IN_ACCESS, "");
  EVENT(fd, target, IN_MODIFY, "");
  QUIET(fd);
}

TEST(execution) {
  int fd = watcher();
  int wd = EXPECT_OK(inotify_add_watch(fd, "/bin/true", IN_OPEN | IN_CLOSE));
  IN_CHILD({
    execl("/bin/true", "true", NULL);
    FAIL("exec failed");
  });
  EVENT(fd, wd, IN_OPEN, "");
}

TEST(unmounting) {
  int fd = watcher();
  EXPECT_OK(mkdir("m", 0755));
  if (unshare(CLONE_NEWNS) == -1 && errno != EINVAL && errno != ENOSYS && errno != EPERM)
    FAIL("unshare: %s", strerror(errno));
  mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
  if (mount("none", "m", "tmpfs", 0, NULL) == -1) SKIP("may not mount here");
  EXPECT_OK(mkdir("m/d", 0755));
  int wd = EXPECT_OK(inotify_add_watch(fd, "m/d", IN_CREATE));
  EXPECT_OK(umount("m"));
  EVENT(fd, wd, IN_UNMOUNT | IN_ISDIR, "");
  EVENT(fd, wd, IN_IGNORED, "");
  QUIET(fd);
}

TEST(fdinfo) {
  int fd = watcher();
  struct stat st;
  EXPECT_OK(stat(".", &st));
  EXPECT_OK(inotify_add_watch(fd, ".", IN_CREATE | IN_DELETE));
  char path[64], text[1024], expected[128];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  read_whole(path, text, sizeof text);
  snprintf(expected, sizeof expected, "inotify wd:1 ino:%lx sdev:", (long)st.st_ino);
  EXPECT_TRUE(strstr(text, expected) != NULL);
  EXPECT_TRUE(strstr(text, "mask:300 ignored_mask:0") != NULL);
}
