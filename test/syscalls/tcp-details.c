// Details of TCP connections over lo: tcp(7).
#include "test.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

static int client, server;
static int option(int s, int level, int name) {
  int value = -1;
  socklen_t n = sizeof value;
  EXPECT_OK(getsockopt(s, level, name, &value, &n));
  return value;
}
static void set(int s, int level, int name, int value) { EXPECT_OK(setsockopt(s, level, name, &value, sizeof value)); }
static void open_connection(void) {
  int l = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_OK(listen(l, 1));
  struct sockaddr_in a;
  socklen_t n = sizeof a;
  EXPECT_OK(getsockname(l, (struct sockaddr *)&a, &n));
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  client = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_OK(connect(client, (struct sockaddr *)&a, sizeof a));
  server = EXPECT_OK(accept(l, NULL, NULL));
  close(l);
}

/** Sends two bytes that wait for more, and expects that they have not come. Linux sends them after 0.2 s all the same. */
static void expect_held_back(int flags) {
  char b[16];
  for (;;) {
    int64_t start = now_ms();
    EXPECT_EQ(send(client, "ab", 2, flags), 2);
    ssize_t n = recv(server, b, sizeof b, MSG_DONTWAIT);
    if (n == -1) {
      EXPECT_EQ(errno, EAGAIN);
      return;
    }
    // That was so slow that it tells nothing.
    EXPECT_GE(now_ms() - start, 199);
  }
}

TEST(more_to_come) {
  char b[16];
  open_connection();
  expect_held_back(MSG_MORE);
  EXPECT_EQ(send(client, "cd", 2, 0), 2);
  EXPECT_EQ(recv(server, b, 4, MSG_WAITALL), 4);
  EXPECT_MEM(b, "abcd", 4);
  // Nobody waits for ever.
  EXPECT_EQ(send(client, "e", 1, MSG_MORE), 1);
  EXPECT_EQ(recv(server, b, sizeof b, 0), 1);
  EXPECT_EQ(send(client, "fg", 2, MSG_MORE), 2);
  EXPECT_OK(shutdown(client, SHUT_WR));
  EXPECT_EQ(recv(server, b, 3, MSG_WAITALL), 2);
  EXPECT_EQ(recv(server, b, 3, 0), 0);
}

TEST(corks) {
  char b[16];
  open_connection();
  set(client, IPPROTO_TCP, TCP_CORK, 1);
  expect_held_back(0);
  set(client, IPPROTO_TCP, TCP_CORK, 0);
  EXPECT_EQ(recv(server, b, sizeof b, 0), 2);
  set(client, IPPROTO_TCP, TCP_CORK, 1);
  EXPECT_EQ(send(client, "cd", 2, 0), 2);
  EXPECT_OK(close(client));
  EXPECT_EQ(recv(server, b, 3, MSG_WAITALL), 2);
}

static volatile sig_atomic_t urgent;
static void on_urgent(int signal) { urgent = signal; }

TEST(urgent_bytes_signal_the_owner) {
  open_connection();
  signal(SIGURG, on_urgent);
  EXPECT_OK(fcntl(server, F_SETOWN, getpid()));
  EXPECT_EQ(send(client, "x", 1, MSG_OOB), 1);
  while (urgent == 0) usleep(1000);
  char b;
  EXPECT_EQ(recv(server, &b, 1, MSG_OOB), 1);
  EXPECT_EQ(b, 'x');
}

TEST(low_water) {
  char b[16];
  open_connection();
  set(server, SOL_SOCKET, SO_RCVLOWAT, 4);
  EXPECT_EQ(send(client, "abc", 3, 0), 3);
  int unread = 0;
  while (unread < 3) EXPECT_OK(ioctl(server, FIONREAD, &unread));
  struct pollfd p = {server, POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 0), 0);
  EXPECT_EQ(recv(server, b, 1, MSG_DONTWAIT | MSG_PEEK), 1);
  EXPECT_EQ(send(client, "d", 1, 0), 1);
  EXPECT_EQ(poll(&p, 1, 30000), 1);
  EXPECT_EQ(recv(server, b, sizeof b, 0), 4);
}

TEST(information) {
  open_connection();
  struct tcp_info info = {0};
  socklen_t n = sizeof info;
  EXPECT_OK(getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &n));
  EXPECT_EQ(info.tcpi_state, TCP_ESTABLISHED);
  EXPECT_EQ(info.tcpi_ca_state, 0);
  EXPECT_GT(info.tcpi_rto, 0);
  EXPECT_GT(info.tcpi_snd_mss, 0);
  EXPECT_GT(info.tcpi_snd_cwnd, 0);
  // More where Linux remembers that an earlier connection needed it.
  EXPECT_GE(info.tcpi_reordering, 3);
  EXPECT_EQ(info.tcpi_pmtu, 65535);
  EXPECT_GT(option(client, IPPROTO_TCP, TCP_MAXSEG), 1000);
}

TEST(bytes_that_are_only_counted) {
  char b[4] = "....";
  open_connection();
  EXPECT_EQ(send(client, "abc", 3, 0), 3);
  EXPECT_EQ(recv(server, b, 2, MSG_WAITALL | MSG_PEEK | MSG_TRUNC), 2);
  EXPECT_MEM(b, "....", 4);
  EXPECT_EQ(recv(server, b, 3, 0), 3);
  EXPECT_MEM(b, "abc.", 4);
}

TEST(a_failed_send_takes_a_port) {
  int u = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_ERRNO(send(u, "x", 1, 0), EDESTADDRREQ);
  struct sockaddr_in a;
  socklen_t n = sizeof a;
  EXPECT_OK(getsockname(u, (struct sockaddr *)&a, &n));
  EXPECT_NE(a.sin_port, 0);
  a = (struct sockaddr_in){.sin_family = AF_INET};
  EXPECT_ERRNO(bind(u, (struct sockaddr *)&a, sizeof a), EINVAL);
}

TEST(a_connection_inherits) {
  int l = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  struct linger linger = {1, 5};
  EXPECT_OK(setsockopt(l, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  EXPECT_OK(listen(l, 1));
  struct sockaddr_in a;
  socklen_t n = sizeof a;
  EXPECT_OK(getsockname(l, (struct sockaddr *)&a, &n));
  client = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_OK(connect(client, (struct sockaddr *)&a, sizeof a));
  server = EXPECT_OK(accept(l, NULL, NULL));
  linger = (struct linger){0, 0};
  n = sizeof linger;
  EXPECT_OK(getsockopt(server, SOL_SOCKET, SO_LINGER, &linger, &n));
  EXPECT_EQ(linger.l_onoff, 1);
  EXPECT_EQ(linger.l_linger, 5);
}
