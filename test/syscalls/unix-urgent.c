// MSG_OOB of AF_UNIX streams (Linux 5.15), and SO_PEEK_OFF of AF_UNIX, UDP and TCP.
#include "test.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

static int a, b;
static char buffer[64];
static void make_pair(int type) {
  int fds[2];
  EXPECT_OK(socketpair(AF_UNIX, type, 0, fds));
  a = fds[0], b = fds[1];
}
static void say(const char *text, int flags) { EXPECT_EQ(send(a, text, strlen(text), flags), (ssize_t)strlen(text)); }
static const char *hear(int flags) {
  int n = EXPECT_OK(recv(b, buffer, sizeof buffer - 1, flags | MSG_DONTWAIT));
  buffer[n] = 0;
  return buffer;
}
static int at_mark(void) {
  int mark = -1;
  EXPECT_OK(ioctl(b, SIOCATMARK, &mark));
  return mark;
}
static int events(int fd) {
  struct pollfd p = {fd, POLLIN | POLLPRI, 0};
  EXPECT_GE(poll(&p, 1, 0), 0);
  return p.revents;
}
static int unread(void) {
  int n;
  EXPECT_OK(ioctl(b, FIONREAD, &n));
  return n;
}

TEST(the_last_byte_is_urgent) {
  make_pair(SOCK_STREAM);
  EXPECT_EQ(at_mark(), 0);
  EXPECT_EQ(events(b), 0);
  EXPECT_ERRNO(recv(b, buffer, 1, MSG_OOB), EINVAL);
  say("hello", MSG_OOB);
  EXPECT_EQ(events(b), POLLIN | POLLPRI);
  EXPECT_EQ(at_mark(), 0);
  EXPECT_EQ(unread(), 5);
  say("x", 0);
  EXPECT_STR(hear(0), "hell");
  EXPECT_EQ(at_mark(), 1);
  EXPECT_STR(hear(MSG_OOB | MSG_PEEK), "o");
  EXPECT_STR(hear(MSG_OOB), "o");
  EXPECT_EQ(at_mark(), 1);
  EXPECT_EQ(events(b), POLLIN);
  EXPECT_ERRNO(recv(b, buffer, 1, MSG_OOB), EINVAL);
  EXPECT_STR(hear(0), "x");
  EXPECT_EQ(at_mark(), 0);
}

TEST(an_urgent_byte_that_nobody_wants_is_lost) {
  make_pair(SOCK_STREAM);
  say("ab", MSG_OOB);
  say("cd", 0);
  EXPECT_STR(hear(MSG_PEEK), "a");
  EXPECT_STR(hear(0), "a");
  EXPECT_STR(hear(MSG_PEEK), "cd");
  EXPECT_STR(hear(0), "cd");
  EXPECT_ERRNO(recv(b, buffer, 1, MSG_OOB), EINVAL);
}

TEST(a_second_one_takes_its_place) {
  make_pair(SOCK_STREAM);
  say("ab", MSG_OOB);
  say("cd", MSG_OOB);
  EXPECT_STR(hear(0), "abc");
  EXPECT_EQ(at_mark(), 1);
  EXPECT_STR(hear(MSG_OOB), "d");
  EXPECT_ERRNO(recv(b, buffer, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(in_line) {
  int one = 1;
  make_pair(SOCK_STREAM);
  EXPECT_OK(setsockopt(b, SOL_SOCKET, SO_OOBINLINE, &one, sizeof one));
  say("ab", MSG_OOB);
  say("c", 0);
  EXPECT_ERRNO(recv(b, buffer, 1, MSG_OOB), EINVAL);
  EXPECT_STR(hear(0), "a");
  EXPECT_EQ(at_mark(), 1);
  EXPECT_STR(hear(0), "bc");
}

static volatile sig_atomic_t urgent;
static void on_urgent(int sig) { urgent = sig; }
TEST(signals_and_waiting) {
  make_pair(SOCK_STREAM);
  set_handler(SIGURG, on_urgent, SA_RESTART);
  EXPECT_OK(fcntl(b, F_SETOWN, getpid()));
  say("!", MSG_OOB);
  EXPECT_EQ(urgent, SIGURG);
  EXPECT_STR(hear(MSG_OOB), "!");
  pid_t child = FORK({
    struct pollfd p = {b, POLLPRI, 0};
    EXPECT_EQ(poll(&p, 1, -1), 1);
    EXPECT_EQ(p.revents, POLLPRI);
  });
  wait_asleep(child);
  say("?", MSG_OOB);
  EXPECT_EXIT(child, 0);
  // A byte that has been read out of line is nothing that is left unread.
  EXPECT_STR(hear(MSG_OOB), "?");
  EXPECT_OK(close(b));
  EXPECT_EQ(recv(a, buffer, 1, 0), 0);
}

TEST(urgent_data_elsewhere) {
  make_pair(SOCK_STREAM);
  EXPECT_ERRNO(send(a, "", 0, MSG_OOB), EOPNOTSUPP);
  make_pair(SOCK_DGRAM);
  EXPECT_ERRNO(send(a, "x", 1, MSG_OOB), EOPNOTSUPP);
  EXPECT_ERRNO(recv(b, buffer, 1, MSG_OOB), EOPNOTSUPP);
  int mark;
  EXPECT_ERRNO(ioctl(b, SIOCATMARK, &mark), EOPNOTSUPP);
}

static int offset(int fd) {
  int value = 77;
  socklen_t n = sizeof value;
  EXPECT_OK(getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &value, &n));
  return value;
}
static void set_offset(int value) { EXPECT_OK(setsockopt(b, SOL_SOCKET, SO_PEEK_OFF, &value, sizeof value)); }
static const char *peek(int size) {
  int n = EXPECT_OK(recv(b, buffer, size, MSG_PEEK | MSG_DONTWAIT));
  buffer[n] = 0;
  return buffer;
}

static void peek_in_a_stream(void) {
  EXPECT_EQ(offset(b), -1);
  say("abcdef", 0);
  EXPECT_STR(peek(2), "ab");
  EXPECT_STR(peek(2), "ab");
  set_offset(0);
  EXPECT_STR(peek(2), "ab");
  EXPECT_STR(peek(2), "cd");
  EXPECT_EQ(offset(b), 4);
  say("ghi", 0);
  while (unread() < 9) sched_yield();
  EXPECT_EQ(recv(b, buffer, 3, 0), 3);
  EXPECT_EQ(offset(b), 1);
  EXPECT_STR(peek(20), "efghi");
  EXPECT_EQ(offset(b), 6);
  EXPECT_ERRNO(recv(b, buffer, 1, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
  set_offset(2);
  EXPECT_STR(peek(1), "f");
  EXPECT_EQ(recv(b, buffer, 20, 0), 6);
  EXPECT_EQ(offset(b), 0);
  set_offset(-5);
  EXPECT_EQ(offset(b), -5);
}
TEST(offsets_of_streams) {
  make_pair(SOCK_STREAM);
  peek_in_a_stream();
}
TEST(offsets_of_tcp) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof name;
  int l = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_OK(bind(l, (struct sockaddr *)&name, n));
  EXPECT_OK(listen(l, 1));
  EXPECT_OK(getsockname(l, (struct sockaddr *)&name, &n));
  a = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_OK(connect(a, (struct sockaddr *)&name, n));
  b = EXPECT_OK(accept(l, NULL, NULL));
  peek_in_a_stream();
}

static void peek_at_datagrams(void) {
  EXPECT_EQ(offset(b), -1);
  say("abcd", 0);
  say("efg", 0);
  set_offset(1);
  EXPECT_STR(peek(2), "bc");
  EXPECT_EQ(offset(b), 3);
  EXPECT_STR(peek(9), "d");
  EXPECT_STR(peek(9), "efg");
  EXPECT_ERRNO(recv(b, buffer, 1, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
  EXPECT_EQ(offset(b), 7);
  EXPECT_EQ(recv(b, buffer, 20, 0), 4);
  EXPECT_EQ(offset(b), 3);
  EXPECT_EQ(recv(b, buffer, 20, 0), 3);
  EXPECT_EQ(offset(b), 0);
}
TEST(offsets_of_datagrams) {
  make_pair(SOCK_DGRAM);
  peek_at_datagrams();
}
TEST(offsets_of_udp) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof name;
  b = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_OK(bind(b, (struct sockaddr *)&name, n));
  EXPECT_OK(getsockname(b, (struct sockaddr *)&name, &n));
  a = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_OK(connect(a, (struct sockaddr *)&name, n));
  peek_at_datagrams();
}
TEST(sockets_without_an_offset) {
  int value = 0;
  socklen_t n = sizeof value;
  int s = EXPECT_OK(socket(AF_NETLINK, SOCK_RAW, 0));
  EXPECT_ERRNO(setsockopt(s, SOL_SOCKET, SO_PEEK_OFF, &value, n), EOPNOTSUPP);
  EXPECT_ERRNO(getsockopt(s, SOL_SOCKET, SO_PEEK_OFF, &value, &n), EOPNOTSUPP);
}

/** Both ends of a connection can be one socket: its SYN crosses itself. */
TEST(a_connection_to_itself) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer;
  socklen_t n = sizeof name;
  a = b = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_OK(bind(a, (struct sockaddr *)&name, n));
  EXPECT_OK(getsockname(a, (struct sockaddr *)&name, &n));
  EXPECT_OK(connect(a, (struct sockaddr *)&name, n));
  EXPECT_OK(getpeername(a, (struct sockaddr *)&peer, &n));
  EXPECT_MEM(&name, &peer, sizeof name);
  say("echo", 0);
  EXPECT_EQ(recv(b, buffer, 4, MSG_WAITALL), 4);
  EXPECT_MEM(buffer, "echo", 4);
  EXPECT_ERRNO(connect(a, (struct sockaddr *)&name, n), EISCONN);
  say("rest", 0);
  EXPECT_OK(shutdown(a, SHUT_WR));
  EXPECT_EQ(recv(b, buffer, 10, MSG_WAITALL), 4);
  EXPECT_EQ(recv(b, buffer, 10, 0), 0);
  EXPECT_OK(close(a));
}
