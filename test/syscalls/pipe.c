// Pipes, FIFOs, event counters and signal descriptors.
#include "test.h"
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>

static void no_sigpipe(void) { signal(SIGPIPE, SIG_IGN); }

TEST(bytes_in_order_and_end_of_file) {
  int fds[2];
  char buffer[16] = {0};
  EXPECT_OK(pipe(fds));
  EXPECT_EQ(write(fds[1], "abc", 3), 3);
  EXPECT_EQ(write(fds[1], "def", 3), 3);
  EXPECT_EQ(read(fds[0], buffer, 2), 2);
  EXPECT_EQ(read(fds[0], buffer, 16), 4);
  EXPECT_MEM(buffer, "cdef", 4);
  close(fds[1]);
  EXPECT_EQ(read(fds[0], buffer, 16), 0);
  EXPECT_ERRNO(write(fds[0], "x", 1), EBADF);
}

TEST(flags_and_errors) {
  int fds[2];
  EXPECT_OK(pipe2(fds, O_CLOEXEC | O_NONBLOCK));
  EXPECT_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(fds[1], F_GETFL), O_WRONLY | O_NONBLOCK);
  char c;
  EXPECT_ERRNO(read(fds[0], &c, 1), EAGAIN);
  EXPECT_EQ(read(fds[0], &c, 0), 0);
  EXPECT_ERRNO(pipe2(fds, O_APPEND), EINVAL);
}

TEST(a_full_pipe_blocks_or_refuses) {
  int fds[2], n;
  static char block[70000];
  EXPECT_OK(pipe2(fds, O_NONBLOCK));
  EXPECT_EQ(write(fds[1], block, sizeof block), 65536);
  EXPECT_ERRNO(write(fds[1], block, 1), EAGAIN);
  EXPECT_OK(ioctl(fds[0], FIONREAD, &n));
  EXPECT_EQ(n, 65536);
  EXPECT_EQ(read(fds[0], block, 100), 100);
  EXPECT_ERRNO(write(fds[1], block, 4096), EAGAIN);  // small writes are whole or not at all
  EXPECT_EQ(read(fds[0], block, 3996), 3996);
  EXPECT_EQ(write(fds[1], block, 4096), 4096);
}

TEST(capacity) {
  int fds[2];
  EXPECT_OK(pipe(fds));
  EXPECT_EQ(fcntl(fds[0], F_GETPIPE_SZ), 65536);
  EXPECT_EQ(fcntl(fds[0], F_SETPIPE_SZ, 5000), 8192);
  EXPECT_EQ(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
  static char block[1 << 20];
  EXPECT_EQ(write(fds[1], block, sizeof block), sizeof block);
  EXPECT_ERRNO(fcntl(fds[1], F_SETPIPE_SZ, 4096), EBUSY);
}

TEST(big_transfer_keeps_every_byte) {
  int fds[2];
  EXPECT_OK(pipe(fds));
  pid_t child = FORK({
    static unsigned char block[100003];
    for (int i = 0; i < 50; i++) {
      for (size_t j = 0; j < sizeof block; j++) block[j] = (i * sizeof block + j) * 2654435761u >> 24;
      EXPECT_EQ(write(fds[1], block, sizeof block), sizeof block);
    }
  });
  close(fds[1]);
  static unsigned char got[30011];
  size_t at = 0;
  for (ssize_t n; (n = EXPECT_OK(read(fds[0], got, sizeof got))) > 0; at += n)
    for (ssize_t j = 0; j < n; j++) EXPECT_EQ(got[j], (unsigned char)((at + j) * 2654435761u >> 24));
  EXPECT_EQ(at, 50 * 100003);
  EXPECT_EXIT(child, 0);
}

TEST(small_writes_are_atomic) {
  int fds[2];
  EXPECT_OK(pipe(fds));
  for (int i = 0; i < 4; i++) FORK({
    char block[512];
    memset(block, 'a' + i, sizeof block);
    for (int j = 0; j < 100; j++) EXPECT_EQ(write(fds[1], block, sizeof block), sizeof block);
  });
  close(fds[1]);
  char block[512];
  for (int blocks = 0; blocks < 400; blocks++) {
    size_t got = 0;
    while (got < sizeof block) got += EXPECT_OK(read(fds[0], block + got, sizeof block - got));
    for (size_t j = 1; j < sizeof block; j++) EXPECT_EQ(block[j], block[0]);
  }
}

TEST(close_wakes_the_other_side) {
  int fds[2];
  no_sigpipe();
  EXPECT_OK(pipe(fds));
  pid_t reader = FORK({
    char c;
    close(fds[1]);
    EXPECT_EQ(read(fds[0], &c, 1), 0);
  });
  wait_asleep(reader);
  close(fds[1]);
  EXPECT_EXIT(reader, 0);
  EXPECT_OK(pipe(fds));
  pid_t writer = FORK({
    static char block[100000];
    close(fds[0]);
    EXPECT_EQ(write(fds[1], block, sizeof block), 65536);
    EXPECT_ERRNO(write(fds[1], block, 1), EPIPE);
  });
  wait_asleep(writer);
  close(fds[0]);
  EXPECT_EXIT(writer, 0);
}

TEST(packets) {
  int fds[2];
  char buffer[16];
  if (pipe2(fds, O_DIRECT) == -1) SKIP("no packet pipes");
  EXPECT_EQ(write(fds[1], "abc", 3), 3);
  EXPECT_EQ(write(fds[1], "defg", 4), 4);
  EXPECT_EQ(read(fds[0], buffer, 2), 2);
  EXPECT_EQ(read(fds[0], buffer, 16), 4);
}

TEST(fifos) {
  EXPECT_OK(mkfifo("fifo", 0600));
  EXPECT_ERRNO(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
  int reader = EXPECT_OK(open("fifo", O_RDONLY | O_NONBLOCK));
  char c;
  EXPECT_EQ(read(reader, &c, 1), 0);
  int writer = EXPECT_OK(open("fifo", O_WRONLY | O_NONBLOCK));
  EXPECT_ERRNO(read(reader, &c, 1), EAGAIN);
  EXPECT_EQ(write(writer, "f", 1), 1);
  EXPECT_EQ(read(reader, &c, 1), 1);
  close(reader), close(writer);
  pid_t child = FORK({
    int fd = EXPECT_OK(open("fifo", O_WRONLY));
    EXPECT_EQ(write(fd, "met", 3), 3);
  });
  int fd = EXPECT_OK(open("fifo", O_RDONLY));
  char text[8] = {0};
  EXPECT_EQ(read(fd, text, 8), 3);
  EXPECT_STR(text, "met");
  EXPECT_EXIT(child, 0);
  EXPECT_OK(open("fifo", O_RDWR));
}

TEST(reopening_a_pipe_through_proc) {
  int fds[2];
  char path[64], text[64] = {0}, c;
  EXPECT_OK(pipe(fds));
  snprintf(path, sizeof path, "/proc/self/fd/%d", fds[1]);
  EXPECT_OK(readlink(path, text, sizeof text - 1));
  EXPECT_EQ(strncmp(text, "pipe:[", 6), 0);
  int again = EXPECT_OK(open(path, O_WRONLY));
  EXPECT_EQ(write(again, "r", 1), 1);
  EXPECT_EQ(read(fds[0], &c, 1), 1);
}

TEST(tee_and_vmsplice) {
  int a[2], b[2];
  char text[16] = {0};
  EXPECT_OK(pipe(a)), EXPECT_OK(pipe(b));
  EXPECT_EQ(write(a[1], "twice", 5), 5);
  EXPECT_EQ(tee(a[0], b[1], 100, 0), 5);
  EXPECT_EQ(read(b[0], text, 16), 5);
  EXPECT_EQ(read(a[0], text, 16), 5);
  EXPECT_STR(text, "twice");
  struct iovec iov = {"iov", 3};
  EXPECT_EQ(vmsplice(a[1], &iov, 1, 0), 3);
  EXPECT_EQ(read(a[0], text, 16), 3);
  EXPECT_ERRNO(tee(a[0], a[1], 1, 0), EINVAL);
}

TEST(event_counter) {
  uint64_t value = 5;
  int fd = EXPECT_OK(eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC));
  EXPECT_EQ(write(fd, &value, 8), 8);
  EXPECT_EQ(read(fd, &value, 8), 8);
  EXPECT_EQ(value, 8);
  EXPECT_ERRNO(read(fd, &value, 8), EAGAIN);
  EXPECT_ERRNO(read(fd, &value, 4), EINVAL);
  EXPECT_ERRNO(write(fd, &value, 4), EINVAL);
  value = UINT64_MAX;
  EXPECT_ERRNO(write(fd, &value, 8), EINVAL);
  value = UINT64_MAX - 1;
  EXPECT_EQ(write(fd, &value, 8), 8);
  struct pollfd p = {fd, POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(p.revents, POLLIN);
  value = 1;
  EXPECT_ERRNO(write(fd, &value, 8), EAGAIN);
  EXPECT_ERRNO(eventfd(0, 0x10), EINVAL);
}

TEST(event_semaphore) {
  uint64_t value;
  int fd = EXPECT_OK(eventfd(2, EFD_SEMAPHORE));
  EXPECT_EQ(read(fd, &value, 8), 8);
  EXPECT_EQ(value, 1);
  EXPECT_EQ(read(fd, &value, 8), 8);
  pid_t child = FORK(EXPECT_EQ(read(fd, &value, 8), 8));
  wait_asleep(child);
  value = 1;
  EXPECT_EQ(write(fd, &value, 8), 8);
  EXPECT_EXIT(child, 0);
}

TEST(signal_descriptor) {
  sigset_t set;
  sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, NULL);
  int fd = EXPECT_OK(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  struct signalfd_siginfo info[4];
  EXPECT_ERRNO(read(fd, info, sizeof info), EAGAIN);
  EXPECT_ERRNO(read(fd, info, 100), EINVAL);
  kill(getpid(), SIGUSR1);
  sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 321});
  struct pollfd p = {fd, POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(read(fd, info, sizeof info), 2 * sizeof info[0]);
  EXPECT_EQ(info[0].ssi_signo, SIGUSR1);
  EXPECT_EQ(info[0].ssi_pid, getpid());
  EXPECT_EQ(info[1].ssi_int, 321);
  EXPECT_EQ(poll(&p, 1, 0), 0);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, NULL);
  EXPECT_EQ(signalfd(fd, &set, 0), fd);
  raise(SIGUSR2);
  EXPECT_EQ(read(fd, info, sizeof info), sizeof info[0]);
  EXPECT_ERRNO(signalfd(0, &set, 0), EINVAL);
  EXPECT_ERRNO(signalfd(-1, &set, 0x10), EINVAL);
}
