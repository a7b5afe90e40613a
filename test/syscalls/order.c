// Which of several mistakes a call complains of, and arguments with more bits than are usual.
#include "test.h"

#include <mqueue.h>
#include <sys/ioctl.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <linux/sockios.h>
#include <time.h>

#define BAD ((void *)0x7ffffffff000)
#define NO_SIGNAL 1000
#define MISSING 0x3ffffff

TEST(addresses_before_what_they_are_for) {
  EXPECT_ERRNO(syscall(SYS_semtimedop, -1, BAD, 1, NULL), EFAULT);
  EXPECT_ERRNO(syscall(SYS_semtimedop, -1, BAD, 0xdeadbeef, NULL), E2BIG);
  EXPECT_ERRNO(syscall(SYS_semtimedop, -1, BAD, 0, NULL), EINVAL);
  EXPECT_ERRNO(syscall(SYS_mq_timedsend, -1, "", 0, 1 << 20, BAD), EFAULT);
  EXPECT_ERRNO(syscall(SYS_mq_timedsend, -1, "", 0, 1 << 20, NULL), EINVAL);
  EXPECT_ERRNO(syscall(SYS_sendfile, -1, -1, BAD, 1), EFAULT);
  EXPECT_ERRNO(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, NULL), EFAULT);
  struct timex timex = {0};
  EXPECT_ERRNO(syscall(SYS_clock_adjtime, CLOCK_MONOTONIC, &timex), EOPNOTSUPP);
  EXPECT_ERRNO(syscall(SYS_faccessat2, -1, NULL, F_OK, AT_EMPTY_PATH), EFAULT);
}

TEST(files_before_arguments) {
  char *none[] = {NULL};
  make_file("text", "");
  EXPECT_OK(chmod("text", 0600));
  EXPECT_ERRNO(syscall(SYS_execve, "missing", BAD, none), ENOENT);
  EXPECT_ERRNO(syscall(SYS_execve, "missing", none, BAD), ENOENT);
  EXPECT_ERRNO(syscall(SYS_execve, "text", BAD, none), EACCES);
  EXPECT_ERRNO(syscall(SYS_execve, "/proc/self/exe", BAD, none), EFAULT);
}

TEST(targets_before_signals) {
  EXPECT_ERRNO(kill(MISSING, NO_SIGNAL), ESRCH);
  EXPECT_ERRNO(kill(-MISSING, NO_SIGNAL), ESRCH);
  EXPECT_ERRNO(kill(-2147483647 - 1, NO_SIGNAL), ESRCH);
  EXPECT_ERRNO(kill(getpid(), NO_SIGNAL), EINVAL);
  EXPECT_ERRNO(kill(0, NO_SIGNAL), EINVAL);
}

TEST(offsets_of_sendfile) {
  make_file("from", "text");
  int from = EXPECT_OK(open("from", O_RDONLY));
  int pipe_fds[2];
  EXPECT_OK(pipe(pipe_fds));
  off_t negative = -5, start = 0;
  EXPECT_ERRNO(sendfile(-1, from, &negative, 1), EINVAL);
  EXPECT_ERRNO(sendfile(-1, from, &start, 1), EBADF);
  EXPECT_ERRNO(sendfile(-1, pipe_fds[0], &start, 1), ESPIPE);
  EXPECT_ERRNO(sendfile(pipe_fds[1], pipe_fds[1], &start, 1), EBADF);
}

TEST(types_of_messages_beyond_2_to_the_53) {
  struct {
    long type;
    char text[4];
  } message = {0x7facefed5adc0ded, "abc"};
  int id = EXPECT_OK(msgget(IPC_PRIVATE, 0600));
  EXPECT_OK(msgsnd(id, &message, 4, 0));
  EXPECT_ERRNO(msgrcv(id, &message, 4, message.type - 1, IPC_NOWAIT), ENOMSG);
  EXPECT_ERRNO(msgrcv(id, &message, 4, 1 - message.type, IPC_NOWAIT), ENOMSG);
  EXPECT_EQ(msgrcv(id, &message, 4, -message.type, IPC_NOWAIT), 4);
  EXPECT_OK(msgsnd(id, &message, 4, 0));
  EXPECT_EQ(msgrcv(id, &message, 4, message.type, IPC_NOWAIT), 4);
  EXPECT_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(owners_of_sockets) {
  int pid = 0, self = getpid(), group = -getpgrp();
  int fd = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(ioctl(fd, FIOGETOWN, BAD), EFAULT);
  EXPECT_ERRNO(ioctl(fd, FIOSETOWN, BAD), EFAULT);
  EXPECT_OK(ioctl(fd, FIOSETOWN, &self));
  EXPECT_OK(ioctl(fd, SIOCGPGRP, &pid));
  EXPECT_EQ(pid, self);
  EXPECT_EQ(fcntl(fd, F_GETOWN), self);
  EXPECT_OK(ioctl(fd, SIOCSPGRP, &group));
  EXPECT_OK(ioctl(fd, FIOGETOWN, &pid));
  EXPECT_EQ(pid, group);
  make_file("file", "");
  fd = EXPECT_OK(open("file", O_RDONLY));
  EXPECT_ERRNO(ioctl(fd, FIOGETOWN, &pid), ENOTTY);
}

TEST(timers_for_threads) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_signo = SIGALRM};
  int id;
  // The C library makes the thread: to the kernel it is a signal.
  EXPECT_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
  EXPECT_OK(syscall(SYS_timer_delete, id));
  event.sigev_signo = 0;
  EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
  event.sigev_notify = 3;
  EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id), EINVAL);
}
