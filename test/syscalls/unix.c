// AF_UNIX sockets: the three types, names, descriptors and credentials in messages, shutdown, flags.
#include "test.h"
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/un.h>

static struct sockaddr_un address;
static socklen_t name_it(const char *path) {
  address = (struct sockaddr_un){.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  return offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}
static socklen_t name_abstract(const char *name) {
  address = (struct sockaddr_un){.sun_family = AF_UNIX};
  snprintf(address.sun_path + 1, 90, "%s-%d", name, getpid());
  return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(address.sun_path + 1);
}
#define ADDRESS ((struct sockaddr *)&address)
static int pair[2];
static void open_pair(int type) { EXPECT_OK(socketpair(AF_UNIX, type, 0, pair)); }

TEST(stream_pair) {
  char buffer[16] = {0};
  open_pair(SOCK_STREAM);
  EXPECT_EQ(write(pair[0], "abc", 3), 3);
  EXPECT_EQ(send(pair[0], "def", 3, 0), 3);
  EXPECT_EQ(recv(pair[1], buffer, 2, 0), 2);
  EXPECT_EQ(recv(pair[1], buffer, 16, MSG_PEEK), 4);
  EXPECT_EQ(recv(pair[1], buffer, 16, 0), 4);
  EXPECT_STR(buffer, "cdef");
  EXPECT_ERRNO(recv(pair[1], buffer, 16, MSG_DONTWAIT), EAGAIN);
  close(pair[0]);
  EXPECT_EQ(read(pair[1], buffer, 16), 0);
  EXPECT_ERRNO(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_KILLED(FORK({ send(pair[1], "x", 1, 0); }), SIGPIPE);
}

TEST(datagram_and_packet_pairs_keep_boundaries) {
  char buffer[8];
  for (int i = 0; i < 2; i++) {
    open_pair(i ? SOCK_SEQPACKET : SOCK_DGRAM);
    EXPECT_EQ(send(pair[0], "12345", 5, 0), 5);
    EXPECT_EQ(send(pair[0], "", 0, 0), 0);
    EXPECT_EQ(send(pair[0], "678", 3, 0), 3);
    EXPECT_EQ(recv(pair[1], buffer, 2, MSG_TRUNC), 5);
    EXPECT_EQ(recv(pair[1], buffer, 8, 0), 0);
    EXPECT_EQ(recv(pair[1], buffer, 8, 0), 3);
  }
  struct iovec iov = {buffer, 2};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
  EXPECT_EQ(send(pair[0], "long", 4, 0), 4);
  EXPECT_EQ(recvmsg(pair[1], &m, 0), 2);
  EXPECT_EQ(m.msg_flags & MSG_TRUNC, MSG_TRUNC);
}

TEST(socket_errors) {
  EXPECT_ERRNO(socket(AF_UNIX, 99, 0), EINVAL);
  EXPECT_ERRNO(socket(AF_UNIX, SOCK_STREAM, 77), EPROTONOSUPPORT);
  EXPECT_ERRNO(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
  int s = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  EXPECT_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
  EXPECT_ERRNO(send(s, "x", 1, 0), ENOTCONN);
  EXPECT_ERRNO(listen(s, 1), EINVAL);
  EXPECT_ERRNO(accept(s, NULL, NULL), EINVAL);
  EXPECT_ERRNO(listen(0, 1), ENOTSOCK);
  socklen_t n = name_it("none");
  EXPECT_ERRNO(connect(s, ADDRESS, n), ENOENT);
  make_file("f", "");
  n = name_it("f");
  EXPECT_ERRNO(connect(s, ADDRESS, n), ECONNREFUSED);
  EXPECT_ERRNO(bind(s, ADDRESS, n), EADDRINUSE);
  EXPECT_ERRNO(bind(s, ADDRESS, 1), EINVAL);
  address.sun_family = AF_INET;
  EXPECT_ERRNO(bind(s, ADDRESS, n), EINVAL);
  EXPECT_ERRNO(bind(s, (struct sockaddr *)8, n), EFAULT);
}

static void serve(socklen_t n) {
  int server = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_OK(bind(server, ADDRESS, n));
  int early = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_ERRNO(connect(early, ADDRESS, n), ECONNREFUSED);
  EXPECT_OK(listen(server, 5));
  pid_t child = FORK({
    int client = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0));
    char reply[8] = {0};
    EXPECT_OK(connect(client, ADDRESS, n));
    EXPECT_ERRNO(connect(client, ADDRESS, n), EISCONN);
    EXPECT_EQ(write(client, "ping", 4), 4);
    EXPECT_EQ(read(client, reply, 8), 4);
    EXPECT_STR(reply, "pong");
  });
  struct sockaddr_un peer;
  socklen_t length = sizeof peer;
  int connection = EXPECT_OK(accept4(server, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC));
  EXPECT_EQ(length, 2);
  EXPECT_EQ(fcntl(connection, F_GETFD), FD_CLOEXEC);
  struct ucred creds;
  length = sizeof creds;
  EXPECT_OK(getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &creds, &length));
  EXPECT_EQ(creds.pid, child);
  char buffer[8];
  EXPECT_EQ(read(connection, buffer, 8), 4);
  EXPECT_EQ(write(connection, "pong", 4), 4);
  EXPECT_EXIT(child, 0);
  length = sizeof peer;
  EXPECT_OK(getsockname(connection, (struct sockaddr *)&peer, &length));
  EXPECT_EQ(length, n);
  EXPECT_MEM(&peer, &address, n);
}

TEST(named_stream_server) { serve(name_it("socket")); }
TEST(abstract_stream_server) { serve(name_abstract("stream")); }

TEST(socket_files) {
  socklen_t n = name_it("socket");
  int s = EXPECT_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  EXPECT_OK(bind(s, ADDRESS, n));
  struct stat st;
  EXPECT_OK(stat("socket", &st));
  EXPECT_TRUE(S_ISSOCK(st.st_mode));
  EXPECT_ERRNO(open("socket", O_RDONLY), ENXIO);
  EXPECT_ERRNO(bind(s, ADDRESS, n), EADDRINUSE);
  name_it("another");
  EXPECT_ERRNO(bind(s, ADDRESS, n + 1), EINVAL);
  name_it("socket");
  EXPECT_OK(chmod("socket", 0700));
  IN_CHILD({
    become(1000, 1000);
    int c = EXPECT_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
    EXPECT_ERRNO(connect(c, ADDRESS, n), EACCES);
  });
  EXPECT_OK(unlink("socket"));
  int c = EXPECT_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  EXPECT_ERRNO(connect(c, ADDRESS, n), ENOENT);
}

TEST(datagrams_with_names) {
  struct sockaddr_un from;
  int a = EXPECT_OK(socket(AF_UNIX, SOCK_DGRAM, 0)), b = EXPECT_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  socklen_t n = name_it("a");
  EXPECT_OK(bind(a, ADDRESS, n));
  n = name_it("b");
  EXPECT_OK(bind(b, ADDRESS, n));
  EXPECT_EQ(sendto(a, "hi", 2, 0, ADDRESS, n), 2);
  char buffer[8];
  socklen_t length = sizeof from;
  EXPECT_EQ(recvfrom(b, buffer, 8, 0, (struct sockaddr *)&from, &length), 2);
  EXPECT_STR(from.sun_path, "a");
  EXPECT_ERRNO(send(a, "x", 1, 0), ENOTCONN);
  EXPECT_OK(connect(a, ADDRESS, n));
  EXPECT_EQ(send(a, "x", 1, 0), 1);
  int other = EXPECT_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  EXPECT_OK(connect(b, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr)));
  EXPECT_EQ(sendto(other, "y", 1, 0, ADDRESS, n), 1);
  close(b);
  EXPECT_ERRNO(send(a, "x", 1, 0), ECONNREFUSED);
}

static void send_fds(int s, const int *fds, int n) {
  char control[CMSG_SPACE(16 * sizeof(int))] = {0};
  struct iovec iov = {"m", 1};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(n * sizeof(int))};
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(n * sizeof(int))};
  memcpy(CMSG_DATA(c), fds, n * sizeof(int));
  EXPECT_EQ(EXPECT_OK(sendmsg(s, &m, 0)), 1);
}
static int receive_fds(int s, int *fds, int room, int flags, int *out_flags) {
  char control[CMSG_SPACE(16 * sizeof(int))] = {0}, byte;
  struct iovec iov = {&byte, 1};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room ? CMSG_LEN(room * sizeof(int)) : 0};
  EXPECT_EQ(EXPECT_OK(recvmsg(s, &m, flags)), 1);
  if (out_flags) *out_flags = m.msg_flags;
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  if (!c || m.msg_controllen == 0) return 0;
  EXPECT_EQ(c->cmsg_type, SCM_RIGHTS);
  int n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  memcpy(fds, CMSG_DATA(c), n * sizeof(int));
  return n;
}

TEST(descriptors_in_messages) {
  open_pair(SOCK_STREAM);
  int fds[2], got[4];
  EXPECT_OK(pipe(fds));
  send_fds(pair[0], fds, 2);
  EXPECT_EQ(receive_fds(pair[1], got, 2, MSG_CMSG_CLOEXEC, NULL), 2);
  EXPECT_TRUE(got[0] != fds[0] && got[1] != fds[1]);
  EXPECT_EQ(fcntl(got[0], F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(write(got[1], "w", 1), 1);
  char c;
  EXPECT_EQ(read(fds[0], &c, 1), 1);
  send_fds(pair[0], fds, 2);
  int flags;
  EXPECT_EQ(receive_fds(pair[1], got, 1, 0, &flags), 1);
  EXPECT_EQ(flags & MSG_CTRUNC, MSG_CTRUNC);
  send_fds(pair[0], fds + 1, 1);
  close(fds[1]), close(got[1]), close(got[0]);
  IN_CHILD({
    EXPECT_EQ(receive_fds(pair[1], got, 1, 0, NULL), 1);
    EXPECT_EQ(write(got[0], "late", 4), 4);
  });
  char text[8] = {0};
  EXPECT_EQ(read(fds[0], text, 8), 4);
}

TEST(descriptors_in_flight_are_released) {
  int fds[2];
  char c;
  open_pair(SOCK_STREAM);
  EXPECT_OK(pipe(fds));
  send_fds(pair[0], fds + 1, 1);
  close(fds[1]), close(pair[0]), close(pair[1]);
  EXPECT_EQ(read(fds[0], &c, 1), 0);
  open_pair(SOCK_STREAM);
  EXPECT_ERRNO(({
    char control[CMSG_SPACE(4)] = {0};
    struct iovec iov = {"m", 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    *h = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(4)};
    *(int *)CMSG_DATA(h) = 99;
    sendmsg(pair[0], &m, 0);
  }), EBADF);
}

TEST(credentials_in_messages) {
  open_pair(SOCK_DGRAM);
  int on = 1;
  EXPECT_OK(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  pid_t child = FORK(EXPECT_EQ(send(pair[0], "x", 1, 0), 1));
  char control[CMSG_SPACE(sizeof(struct ucred))], byte;
  struct iovec iov = {&byte, 1};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  EXPECT_EQ(recvmsg(pair[1], &m, 0), 1);
  struct cmsghdr *c = CMSG_FIRSTHDR(&m);
  EXPECT_TRUE(c && c->cmsg_type == SCM_CREDENTIALS);
  struct ucred creds;
  memcpy(&creds, CMSG_DATA(c), sizeof creds);
  EXPECT_TRUE(creds.pid == child && creds.uid == 0);
  EXPECT_EXIT(child, 0);
}

TEST(shutting_down) {
  char c;
  signal(SIGPIPE, SIG_IGN);
  open_pair(SOCK_STREAM);
  EXPECT_EQ(write(pair[0], "z", 1), 1);
  EXPECT_OK(shutdown(pair[0], SHUT_WR));
  EXPECT_ERRNO(write(pair[0], "x", 1), EPIPE);
  EXPECT_EQ(read(pair[1], &c, 1), 1);
  EXPECT_EQ(read(pair[1], &c, 1), 0);
  EXPECT_EQ(write(pair[1], "back", 4), 4);
  EXPECT_EQ(read(pair[0], &c, 1), 1);
  struct pollfd p = {pair[1], POLLIN | POLLRDHUP, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(p.revents, POLLIN | POLLRDHUP);
  EXPECT_ERRNO(shutdown(pair[0], 9), EINVAL);
  EXPECT_OK(shutdown(pair[1], SHUT_RDWR));
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_TRUE(p.revents & POLLHUP);
}

TEST(blocking_and_timeouts) {
  static char block[1 << 20];
  open_pair(SOCK_STREAM);
  struct timeval t = {0, 30000};
  EXPECT_OK(setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
  int64_t start = now_ms();
  EXPECT_ERRNO(read(pair[1], block, 1), EAGAIN);
  EXPECT_GE(now_ms() - start, 28);
  EXPECT_OK(fcntl(pair[0], F_SETFL, O_NONBLOCK));
  long sent = 0;
  for (ssize_t n; (n = write(pair[0], block, sizeof block)) > 0;) sent += n;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GE(sent, 4096);
  EXPECT_OK(fcntl(pair[0], F_SETFL, 0));
  pid_t child = FORK(EXPECT_EQ(write(pair[0], block, sizeof block), sizeof block));
  wait_asleep(child);
  long want = sent + sizeof block;
  while (want > 0) want -= EXPECT_OK(read(pair[1], block, sizeof block));
  EXPECT_EQ(want, 0);
  EXPECT_EXIT(child, 0);
}

TEST(waiting_for_all_bytes) {
  char buffer[8] = {0};
  open_pair(SOCK_STREAM);
  pid_t child = FORK({
    EXPECT_EQ(write(pair[0], "abc", 3), 3);
    sleep_ms(20);
    EXPECT_EQ(write(pair[0], "def", 3), 3);
  });
  EXPECT_EQ(recv(pair[1], buffer, 6, MSG_WAITALL), 6);
  EXPECT_STR(buffer, "abcdef");
  EXPECT_EXIT(child, 0);
}

TEST(options) {
  open_pair(SOCK_STREAM);
  int value = 0;
  socklen_t length = sizeof value;
  EXPECT_OK(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value, &length));
  EXPECT_EQ(value, SOCK_STREAM);
  EXPECT_OK(getsockopt(pair[0], SOL_SOCKET, SO_DOMAIN, &value, &length));
  EXPECT_EQ(value, AF_UNIX);
  EXPECT_OK(getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &value, &length));
  EXPECT_EQ(value, 0);
  value = 50000;
  EXPECT_OK(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &value, sizeof value));
  EXPECT_OK(getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &value, &length));
  EXPECT_EQ(value, 100000);
  EXPECT_ERRNO(getsockopt(pair[0], SOL_SOCKET, 9999, &value, &length), ENOPROTOOPT);
  EXPECT_OK(ioctl(pair[0], FIONREAD, &value));
}

TEST(many_messages_at_once) {
  char a[4], b[4];
  open_pair(SOCK_DGRAM);
  struct iovec out[2] = {{"one", 3}, {"two", 3}}, in[2] = {{a, 4}, {b, 4}};
  struct mmsghdr send_two[2] = {{.msg_hdr = {.msg_iov = &out[0], .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &out[1], .msg_iovlen = 1}}};
  struct mmsghdr get_two[2] = {{.msg_hdr = {.msg_iov = &in[0], .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &in[1], .msg_iovlen = 1}}};
  EXPECT_EQ(sendmmsg(pair[0], send_two, 2, 0), 2);
  EXPECT_EQ(recvmmsg(pair[1], get_two, 2, 0, NULL), 2);
  EXPECT_EQ(get_two[1].msg_len, 3);
  EXPECT_MEM(b, "two", 3);
}

TEST(full_backlog_blocks_or_refuses) {
  int server = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0)), refused = 0;
  socklen_t n = name_abstract("backlog");
  EXPECT_OK(bind(server, ADDRESS, n));
  EXPECT_OK(listen(server, 1));
  for (int i = 0; i < 5 && !refused; i++) {
    int c = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    if (connect(c, ADDRESS, n) == -1) refused = errno;
  }
  EXPECT_EQ(refused, EAGAIN);
}
