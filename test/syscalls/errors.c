// What calls refuse, and what they accept although it looks wrong: edges that are easy to get different from Linux.
#include "test.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>
#include <linux/fs.h>
#include <netinet/in.h>

#define OUTSIDE ((void *)0x7ffffffff000)

TEST(ranges_beyond_the_address_space) {
  char c;
  int fd = EXPECT_OK(open("file", O_RDWR | O_CREAT, 0600));
  // Refused although there is nothing to read.
  EXPECT_ERRNO(syscall(SYS_read, fd, OUTSIDE, 4097L), EFAULT);
  EXPECT_ERRNO(syscall(SYS_read, fd, &c, -1L), EFAULT);
  EXPECT_ERRNO(syscall(SYS_write, fd, &c, -1L), EFAULT);
  EXPECT_ERRNO(syscall(SYS_pread64, fd, &c, -1L, 0L), EFAULT);
  EXPECT_ERRNO(syscall(SYS_pwrite64, fd, &c, -1L, 0L), EFAULT);
  EXPECT_ERRNO(pread(fd, &c, 1, 0x7fffffffffffffff), EINVAL);
  EXPECT_ERRNO(pwrite(fd, &c, 1, 0x7fffffffffffffff), EINVAL);
  struct iovec iov[2] = {{&c, 1}, {&c, 0x7fffffffffffffff}};
  EXPECT_ERRNO(writev(fd, iov, 2), EFAULT);
  iov[1].iov_len = 0x8000000000000000;
  EXPECT_ERRNO(writev(fd, iov, 2), EINVAL);
}

TEST(owner_that_stays) {
  make_file("file", "");
  struct stat st;
  EXPECT_OK(chown("file", 12, 34));
  EXPECT_OK(chown("file", -1, -1));
  EXPECT_OK(chown("file", -1, 56));
  EXPECT_OK(stat("file", &st));
  EXPECT_EQ(st.st_uid, 12);
  EXPECT_EQ(st.st_gid, 56);
  int fd = EXPECT_OK(open("file", O_RDONLY));
  EXPECT_OK(fchown(fd, 78, -1));
  EXPECT_OK(stat("file", &st));
  EXPECT_EQ(st.st_uid, 78);
  EXPECT_EQ(st.st_gid, 56);
}

TEST(times_that_both_stay) {
  struct timespec omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  EXPECT_OK(utimensat(AT_FDCWD, "missing", omit, 0));
  EXPECT_OK(utimensat(99, "missing", omit, 0));
}

TEST(attribute_without_a_name) {
  make_file("file", "");
  setxattr("file", "user.x", "1", 1, 0);
  if (errno == EOPNOTSUPP || errno == EPERM) SKIP("no user attributes here");
  EXPECT_ERRNO(setxattr("file", "user.", "1", 1, 0), EINVAL);
}

TEST(odd_flags) {
  int fds[2];
  EXPECT_OK(pipe(fds));
  EXPECT_ERRNO(fcntl(fds[0], F_SETPIPE_SZ, -1), EINVAL);
  int fd = EXPECT_OK(open("file", O_RDWR | O_CREAT, 0600));
  EXPECT_OK(fcntl(fd, F_SETFL, O_ASYNC));
  EXPECT_EQ(EXPECT_OK(fcntl(fd, F_GETFL)) & O_ASYNC, 0);
  char c;
  struct iovec iov = {&c, 1};
  EXPECT_EQ(EXPECT_OK(preadv2(fd, &iov, 1, 0, RWF_APPEND)), 0);
  int size = 0, dir = EXPECT_OK(open(".", O_RDONLY));
  EXPECT_OK(ioctl(dir, FIGETBSZ, &size));
  EXPECT_GT(size, 0);
}

TEST(path_descriptors_cannot_be_waited_for) {
  int path = EXPECT_OK(open("/", O_PATH)), ep = EXPECT_OK(epoll_create1(0));
  struct pollfd p = {path, POLLIN, 0};
  EXPECT_EQ(EXPECT_OK(poll(&p, 1, 0)), 1);
  EXPECT_EQ(p.revents, POLLNVAL);
  struct epoll_event event = {.events = EPOLLIN};
  EXPECT_ERRNO(epoll_ctl(ep, EPOLL_CTL_ADD, path, &event), EBADF);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(path, &set);
  struct timeval zero = {0, 0};
  EXPECT_EQ(EXPECT_OK(select(path + 1, &set, NULL, NULL, &zero)), 1);
  EXPECT_TRUE(FD_ISSET(path, &set));
}

TEST(seeking_where_there_is_no_position) {
  sigset_t none;
  sigemptyset(&none);
  EXPECT_EQ(EXPECT_OK(lseek(eventfd(0, 0), 5, SEEK_SET)), 0);
  EXPECT_EQ(EXPECT_OK(lseek(timerfd_create(CLOCK_MONOTONIC, 0), 5, SEEK_SET)), 0);
  EXPECT_EQ(EXPECT_OK(lseek(signalfd(-1, &none, 0), 5, SEEK_SET)), 0);
}

TEST(process_arguments) {
  EXPECT_ERRNO(setpgid(-1, 0), EINVAL);
  EXPECT_ERRNO(setpgid(-1, 5), ESRCH);
  struct timespec t = {0, 1};
  EXPECT_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL), EOPNOTSUPP);
  int mode = 0;
  EXPECT_OK(prctl(PR_GET_TSC, &mode));
  EXPECT_EQ(mode, PR_TSC_ENABLE);
  EXPECT_OK(prctl(PR_SET_TSC, PR_TSC_ENABLE));
  EXPECT_ERRNO(prctl(PR_GET_TSC, 8), EFAULT);
}

TEST(socket_arguments) {
  EXPECT_ERRNO(socket(AF_INET, SOCK_STREAM, 999), EINVAL);
  EXPECT_ERRNO(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
  int tcp = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), v = 0;
  EXPECT_ERRNO(setsockopt(tcp, 99, 1, &v, sizeof v), ENOPROTOOPT);
  EXPECT_ERRNO(setsockopt(tcp, IPPROTO_IPV6, IPV6_V6ONLY, &v, sizeof v), ENOPROTOOPT);
  EXPECT_ERRNO(setsockopt(tcp, IPPROTO_IP, IP_TTL, &v, sizeof v), EINVAL);
}

TEST(advice_that_the_host_must_not_get) {
  char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  m[0] = 'x';
  EXPECT_OK(madvise(m, 8192, MADV_PAGEOUT));
  EXPECT_OK(madvise(m, 8192, MADV_COLD));
  EXPECT_EQ(m[0], 'x');
  if (madvise(m, 8192, 24 /* MADV_DONTNEED_LOCKED */) == 0) EXPECT_EQ(m[0], 0);
  if (mlock(m, 4096) == -1) SKIP("may not lock memory here");
  EXPECT_ERRNO(madvise(m, 4096, MADV_PAGEOUT), EINVAL);
}
