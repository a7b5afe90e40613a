// Who is at the other end of an AF_UNIX socket, and who has sent: SO_PEERPIDFD, SO_PEERGROUPS, SO_PASSPIDFD.
#include "test.h"
#include <netinet/in.h>
#include <sys/un.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#define SO_PEERPIDFD 77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

static int a, b;
static void make_pair(int type) {
  int fds[2];
  EXPECT_OK(socketpair(AF_UNIX, type, 0, fds));
  a = fds[0], b = fds[1];
}
static int get(int s, int name) {
  int value = -77;
  socklen_t n = sizeof value;
  EXPECT_OK(getsockopt(s, SOL_SOCKET, name, &value, &n));
  return value;
}
/** The process that a pidfd is for. */
static pid_t process_of(int pidfd) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
  read_whole(path, text, sizeof text);
  char *pid = strstr(text, "\nPid:");
  EXPECT_TRUE(pid != NULL);
  return atoi(pid + 5);
}

TEST(the_process_of_a_peer) {
  make_pair(SOCK_STREAM);
  int pidfd = get(a, SO_PEERPIDFD);
  EXPECT_EQ(process_of(pidfd), getpid());
  EXPECT_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
  int value;
  socklen_t n = sizeof value;
  EXPECT_ERRNO(getsockopt(socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_PEERPIDFD, &value, &n), ENODATA);
}

TEST(the_groups_of_a_peer) {
  struct sockaddr_un name = {AF_UNIX, "here"};
  int l = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_OK(bind(l, (struct sockaddr *)&name, sizeof name));
  EXPECT_OK(listen(l, 1));
  IN_CHILD({
    gid_t groups[3] = {7, 8, 4242};
    EXPECT_OK(syscall(SYS_setgroups, 3, groups));
    int s = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0));
    EXPECT_OK(connect(s, (struct sockaddr *)&name, sizeof name));
  });
  int s = EXPECT_OK(accept(l, NULL, NULL));
  gid_t groups[8] = {0};
  socklen_t n = sizeof groups;
  EXPECT_OK(getsockopt(s, SOL_SOCKET, SO_PEERGROUPS, groups, &n));
  EXPECT_EQ(n, 12);
  EXPECT_EQ(groups[0], 7);
  EXPECT_EQ(groups[2], 4242);
  n = 8;
  EXPECT_ERRNO(getsockopt(s, SOL_SOCKET, SO_PEERGROUPS, groups, &n), ERANGE);
  EXPECT_EQ(n, 12);
  EXPECT_ERRNO(getsockopt(socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_PEERGROUPS, groups, &n), ENODATA);
}

static union {
  char bytes[256];
  struct cmsghdr align;
} control;
static struct msghdr message;
static struct cmsghdr *receive(size_t room) {
  static char byte;
  message = (struct msghdr){.msg_iov = &(struct iovec){&byte, 1},
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = room};
  EXPECT_EQ(EXPECT_OK(recvmsg(b, &message, 0)), 1);
  return CMSG_FIRSTHDR(&message);
}

static void expect_sender(void) {
  int on = 1;
  EXPECT_OK(setsockopt(b, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on));
  EXPECT_EQ(get(b, SO_PASSPIDFD), 1);
  int hold[2];
  EXPECT_OK(pipe(hold));
  pid_t child = FORK({
    EXPECT_EQ(write(a, "x", 1), 1);
    char byte;
    close(hold[1]);
    EXPECT_EQ(read(hold[0], &byte, 1), 0);
  });
  struct cmsghdr *h = receive(sizeof control);
  EXPECT_TRUE(h != NULL);
  EXPECT_EQ(h->cmsg_level, SOL_SOCKET);
  EXPECT_EQ(h->cmsg_type, SCM_PIDFD);
  EXPECT_EQ(h->cmsg_len, CMSG_LEN(sizeof(int)));
  EXPECT_EQ(process_of(*(int *)CMSG_DATA(h)), child);
  EXPECT_TRUE(CMSG_NXTHDR(&message, h) == NULL);
  // With credentials these come first.
  EXPECT_OK(setsockopt(b, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  EXPECT_EQ(write(a, "x", 1), 1);
  h = receive(sizeof control);
  EXPECT_EQ(h->cmsg_type, SCM_CREDENTIALS);
  h = CMSG_NXTHDR(&message, h);
  EXPECT_EQ(h->cmsg_type, SCM_PIDFD);
  EXPECT_EQ(process_of(*(int *)CMSG_DATA(h)), getpid());
  EXPECT_EQ(write(a, "x", 1), 1);
  receive(CMSG_SPACE(12));
  EXPECT_TRUE(message.msg_flags & MSG_CTRUNC);
  EXPECT_OK(close(hold[1]));
  EXPECT_EXIT(child, 0);
}
TEST(the_sender_of_a_datagram) {
  make_pair(SOCK_DGRAM);
  expect_sender();
}
TEST(the_sender_of_bytes) {
  make_pair(SOCK_STREAM);
  expect_sender();
}

TEST(other_families) {
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0)), on = 1;
  socklen_t n = sizeof on;
  EXPECT_ERRNO(setsockopt(s, SOL_SOCKET, SO_PASSPIDFD, &on, n), EOPNOTSUPP);
  EXPECT_ERRNO(getsockopt(s, SOL_SOCKET, SO_PASSPIDFD, &on, &n), EOPNOTSUPP);
  EXPECT_ERRNO(getsockopt(s, SOL_SOCKET, SO_PEERPIDFD, &on, &n), ENODATA);
  on = -1;
  EXPECT_ERRNO(setsockopt(s, SOL_SOCKET, 50 /* SO_ATTACH_BPF */, &on, n), EBADF);
  int t = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERRNO(setsockopt(t, SOL_SOCKET, 27 /* SO_DETACH_FILTER */, &on, n), ENOENT);
  // Streams of TCP have no band of data.
  struct pollfd p = {t, POLLOUT | POLLWRNORM | POLLWRBAND, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(p.revents, POLLOUT | POLLWRNORM | POLLHUP);
}
