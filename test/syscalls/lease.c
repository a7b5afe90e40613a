// Leases: F_SETLEASE, F_GETLEASE, and opens that break them.
#include "test.h"

static volatile int told;
static siginfo_t seen;
static void on_break(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)context;
  seen = *info;
  told++;
}
static int lease_on(const char *path, int flags, int type) {
  int fd = EXPECT_OK(open(path, flags));
  set_info_handler(SIGRTMIN, on_break, SA_RESTART);
  EXPECT_OK(fcntl(fd, F_SETSIG, SIGRTMIN));
  EXPECT_OK(fcntl(fd, F_SETLEASE, type));
  return fd;
}
static int opener(const char *path, int flags) {
  pid_t child = FORK({ close(EXPECT_OK(open(path, flags))); });
  return child;
}

TEST(who_may_have_one) {
  make_file("f", "x");
  int fd = EXPECT_OK(open("f", O_RDONLY));
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
  EXPECT_ERRNO(fcntl(fd, F_SETLEASE, F_UNLCK), EAGAIN);
  EXPECT_ERRNO(fcntl(fd, F_SETLEASE, 99), EINVAL);
  EXPECT_OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
  EXPECT_OK(fcntl(fd, F_SETLEASE, F_WRLCK));
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_WRLCK);
  EXPECT_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
  int again = EXPECT_OK(open("f", O_RDONLY));
  EXPECT_ERRNO(fcntl(fd, F_SETLEASE, F_WRLCK), EAGAIN);
  EXPECT_OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  EXPECT_OK(fcntl(again, F_SETLEASE, F_RDLCK));
  EXPECT_ERRNO(fcntl(fd, F_SETLEASE, F_WRLCK), EAGAIN);
  EXPECT_OK(close(fd));
  EXPECT_OK(close(again));
  int writer = EXPECT_OK(open("f", O_RDWR));
  EXPECT_ERRNO(fcntl(writer, F_SETLEASE, F_RDLCK), EAGAIN);
  EXPECT_OK(fcntl(writer, F_SETLEASE, F_WRLCK));
  int dir = EXPECT_OK(open(".", O_RDONLY));
  EXPECT_TRUE(fcntl(dir, F_SETLEASE, F_RDLCK) == -1 && errno == EINVAL);
}

TEST(others_may_not) {
  if (getuid() != 0) SKIP("not root");
  make_file("f", "x");
  EXPECT_OK(chmod("f", 0666));
  IN_CHILD({
    become(NOBODY, NOBODY);
    EXPECT_ERRNO(fcntl(EXPECT_OK(open("f", O_RDONLY)), F_SETLEASE, F_RDLCK), EACCES);
  });
}

TEST(a_writer_waits_until_the_lease_is_given_up) {
  make_file("f", "x");
  int fd = lease_on("f", O_RDONLY, F_RDLCK);
  EXPECT_EXIT(opener("f", O_RDONLY), 0);
  EXPECT_EQ(told, 0);
  EXPECT_ERRNO(open("f", O_WRONLY | O_NONBLOCK), EAGAIN);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(seen.si_fd, fd);
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
  pid_t child = opener("f", O_WRONLY);
  wait_asleep(child);
  EXPECT_EQ(told, 1);
  EXPECT_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
  EXPECT_EXIT(child, 0);
}

TEST(a_reader_makes_a_write_lease_a_read_lease) {
  make_file("f", "x");
  int fd = lease_on("f", O_RDONLY, F_WRLCK);
  pid_t child = opener("f", O_RDONLY);
  wait_asleep(child);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
  EXPECT_OK(fcntl(fd, F_SETLEASE, F_RDLCK));
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
}

TEST(truncation_breaks_leases) {
  make_file("f", "text");
  int fd = lease_on("f", O_RDONLY, F_RDLCK);
  pid_t child = FORK(EXPECT_OK(truncate("f", 0)));
  wait_asleep(child);
  EXPECT_EQ(told, 1);
  EXPECT_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
  EXPECT_EXIT(child, 0);
}

TEST(a_lease_ends_when_its_time_is_over) {
  char before[32];
  read_whole("/proc/sys/fs/lease-break-time", before, sizeof before);
  int setting = open("/proc/sys/fs/lease-break-time", O_WRONLY);
  if (setting == -1 || write(setting, "1", 1) != 1) SKIP("the time cannot be set");
  make_file("f", "x");
  int fd = lease_on("f", O_RDONLY, F_RDLCK);
  EXPECT_EXIT(opener("f", O_WRONLY), 0);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(fcntl(fd, F_GETLEASE), F_UNLCK);
  EXPECT_ERRNO(fcntl(fd, F_SETLEASE, F_UNLCK), EAGAIN);
  EXPECT_EQ(pwrite(setting, before, strlen(before), 0), strlen(before));
}
