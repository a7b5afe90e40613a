// Files of /proc that tell of changes by poll(2): the lists of mounts, the names of the host; and those that can be polled for nothing.
#include "test.h"

#include <sys/epoll.h>
#include <sys/mount.h>

enum { LIST = POLLIN | POLLRDNORM, VALUE = LIST | POLLOUT | POLLWRNORM, NEWS = POLLERR | POLLPRI };

static int events(int fd) {
  struct pollfd asked = {.fd = fd, .events = VALUE | POLLPRI};
  EXPECT_EQ(poll(&asked, 1, 0), 1);
  return asked.revents;
}
static int open_for_reading(const char *path) { return EXPECT_OK(open(path, O_RDONLY)); }

static void own_mounts(void) {
  EXPECT_OK(unshare(CLONE_NEWNS));
  EXPECT_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
  EXPECT_OK(mkdir("a", 0755));
  EXPECT_OK(mkdir("b", 0755));
}

TEST(mounts) {
  own_mounts();
  int fd = open_for_reading("/proc/self/mountinfo");
  EXPECT_EQ(events(fd), LIST);
  EXPECT_OK(mount("t", "a", "tmpfs", 0, NULL));
  EXPECT_EQ(events(fd), LIST | NEWS);
  // Once.
  EXPECT_EQ(events(fd), LIST);
  // What came before the file was opened is no news.
  int other = open_for_reading("/proc/self/mounts");
  EXPECT_EQ(events(other), LIST);
  EXPECT_OK(mount("none", "a", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
  EXPECT_EQ(events(fd), LIST | NEWS);
  EXPECT_EQ(events(other), LIST | NEWS);
  EXPECT_OK(mount("a", "b", NULL, MS_MOVE, NULL));
  EXPECT_EQ(events(fd), LIST | NEWS);
  EXPECT_OK(umount2("b", MNT_DETACH));
  EXPECT_EQ(events(fd), LIST | NEWS);
  EXPECT_EQ(events(fd), LIST);
  // Mounts of another namespace are no news here.
  IN_CHILD({
    EXPECT_OK(unshare(CLONE_NEWNS));
    EXPECT_OK(mount("t", "a", "tmpfs", 0, NULL));
  });
  EXPECT_EQ(events(fd), LIST);
}

TEST(waiting_for_mounts) {
  own_mounts();
  int fd = open_for_reading("/proc/self/mountinfo"), inner = EXPECT_OK(epoll_create1(0)), outer = EXPECT_OK(epoll_create1(0));
  struct epoll_event event = {.events = EPOLLIN | EPOLLET}, got;
  EXPECT_OK(epoll_ctl(inner, EPOLL_CTL_ADD, fd, &event));
  event.events = EPOLLIN;
  EXPECT_OK(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event));
  // It can be read from the start, which is told once.
  EXPECT_EQ(epoll_wait(outer, &got, 1, 0), 1);
  EXPECT_EQ(epoll_wait(inner, &got, 1, 0), 1);
  EXPECT_EQ(epoll_wait(outer, &got, 1, 0), 0);
  pid_t child = EXPECT_OK(fork());
  if (child == 0) {
    EXPECT_OK(mount("t", "a", "tmpfs", 0, NULL));
    _exit(0);
  }
  EXPECT_EQ(epoll_wait(outer, &got, 1, -1), 1);
  EXPECT_EQ(epoll_wait(inner, &got, 1, 0), 1);
  EXPECT_TRUE(got.events & EPOLLIN);
  EXPECT_EQ(waitpid(child, NULL, 0), child);
  struct pollfd asked = {.fd = fd, .events = POLLPRI};
  child = EXPECT_OK(fork());
  if (child == 0) {
    EXPECT_OK(umount2("a", 0));
    _exit(0);
  }
  int n;
  // The mount may not have been told yet.
  while ((n = poll(&asked, 1, -1)) == 1 && access("a", F_OK) == 0) {
    struct stat here, there;
    EXPECT_OK(stat(".", &here));
    EXPECT_OK(stat("a", &there));
    if (here.st_dev == there.st_dev) break;
  }
  EXPECT_EQ(n, 1);
  EXPECT_EQ(asked.revents, NEWS);
  EXPECT_EQ(waitpid(child, NULL, 0), child);
}

TEST(names) {
  EXPECT_OK(unshare(CLONE_NEWUTS));
  int host = open_for_reading("/proc/sys/kernel/hostname"), domain = open_for_reading("/proc/sys/kernel/domainname");
  EXPECT_EQ(events(host), VALUE);
  EXPECT_OK(sethostname("changed", 7));
  EXPECT_EQ(events(host), LIST | NEWS);
  EXPECT_EQ(events(host), VALUE);
  EXPECT_EQ(events(domain), VALUE);
  EXPECT_OK(setdomainname("changed", 7));
  EXPECT_EQ(events(domain), LIST | NEWS);
  int out = EXPECT_OK(open("/proc/sys/kernel/hostname", O_WRONLY));
  EXPECT_EQ(write(out, "again", 5), 5);
  EXPECT_EQ(events(host), LIST | NEWS);
  char name[16] = "";
  EXPECT_EQ(pread(host, name, sizeof name, 0), 6);
  EXPECT_EQ(memcmp(name, "again\n", 6), 0);
}

TEST(what_epoll_takes) {
  static const struct {
    const char *path;
    int first, after;
  } files[] = {
      {"/proc/meminfo", VALUE, VALUE},
      {"/proc/version", VALUE, VALUE},
      {"/proc/self/net/tcp", VALUE, VALUE},
      {"/proc/sys/kernel/ostype", VALUE, VALUE},
      {"/sys/devices/system/cpu/online", VALUE | NEWS, VALUE},
      {"/proc/self/status", 0, 0},
      {"/proc/self/stat", 0, 0},
      {"/proc/self/maps", 0, 0},
      {"/proc/self/comm", 0, 0},
      {"/proc/self/mountstats", 0, 0},
      {"/proc/self/fdinfo/0", 0, 0},
      {"/proc/self/cgroup", 0, 0},
      {"/proc/self/environ", 0, 0},
  };
  int epoll = EXPECT_OK(epoll_create1(0));
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    int fd = open_for_reading(files[i].path);
    struct epoll_event event = {.events = VALUE | POLLPRI}, got;
    if (files[i].first == 0) {
      EXPECT_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), EPERM);
      continue;
    }
    EXPECT_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    EXPECT_EQ(epoll_wait(epoll, &got, 1, 0), 1);
    EXPECT_EQ((int)got.events, files[i].first);
    char byte;
    EXPECT_EQ(read(fd, &byte, 1), 1);
    EXPECT_EQ(epoll_wait(epoll, &got, 1, 0), 1);
    EXPECT_EQ((int)got.events, files[i].after);
    EXPECT_OK(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
  }
}
