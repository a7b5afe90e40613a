// AF_INET and AF_INET6 sockets over the loopback interface: connections, ports, both versions, resets, datagrams.
#include "test.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

static struct sockaddr_in in4;
static struct sockaddr_in6 in6;
#define IN4 ((struct sockaddr *)&in4), sizeof in4
#define IN6 ((struct sockaddr *)&in6), sizeof in6
static void set4(uint32_t ip, int port) {
  in4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
}
static void set6(const char *ip, int port) {
  in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
  EXPECT_EQ(inet_pton(AF_INET6, ip, &in6.sin6_addr), 1);
}
static int port_of(int s) {
  struct sockaddr_in6 a;
  socklen_t n = sizeof a;
  EXPECT_OK(getsockname(s, (struct sockaddr *)&a, &n));
  return ntohs(a.sin6_port);
}
static int option(int s, int level, int name) {
  int value = -1;
  socklen_t n = sizeof value;
  EXPECT_OK(getsockopt(s, level, name, &value, &n));
  return value;
}
static void switch_on(int s, int level, int name) { EXPECT_OK(setsockopt(s, level, name, &(int){1}, sizeof(int))); }
static int events_of(int s) {
  struct pollfd p = {s, POLLIN | POLLOUT | POLLRDHUP, 0};
  EXPECT_OK(poll(&p, 1, 0));
  return p.revents;
}

static int server, client, accepted;
static void open_connection(void) {
  server = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  set4(INADDR_LOOPBACK, 0);
  EXPECT_OK(bind(server, IN4));
  EXPECT_OK(listen(server, 5));
  set4(INADDR_LOOPBACK, port_of(server));
  client = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_OK(connect(client, IN4));
  accepted = EXPECT_OK(accept(server, NULL, NULL));
}

TEST(connection) {
  char buffer[16] = {0};
  open_connection();
  struct sockaddr_in peer;
  socklen_t n = sizeof peer;
  EXPECT_OK(getpeername(accepted, (struct sockaddr *)&peer, &n));
  EXPECT_EQ(n, sizeof peer);
  EXPECT_EQ(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  EXPECT_EQ(ntohs(peer.sin_port), port_of(client));
  EXPECT_EQ(port_of(accepted), port_of(server));
  EXPECT_ERRNO(connect(client, IN4), EISCONN);
  EXPECT_EQ(events_of(accepted), POLLOUT);
  EXPECT_EQ(write(client, "abcdef", 6), 6);
  EXPECT_EQ(events_of(accepted), POLLIN | POLLOUT);
  int unread = 0;
  EXPECT_OK(ioctl(accepted, FIONREAD, &unread));
  EXPECT_EQ(unread, 6);
  EXPECT_EQ(recv(accepted, buffer, 3, MSG_PEEK), 3);
  EXPECT_EQ(recv(accepted, NULL, 2, MSG_TRUNC), 2);
  EXPECT_EQ(recv(accepted, buffer, 16, 0), 4);
  EXPECT_MEM(buffer, "cdef", 4);
  EXPECT_ERRNO(recv(accepted, buffer, 16, MSG_DONTWAIT), EAGAIN);
}

TEST(half_close) {
  char buffer[4];
  open_connection();
  EXPECT_EQ(write(client, "x", 1), 1);
  EXPECT_OK(shutdown(client, SHUT_WR));
  EXPECT_ERRNO(send(client, "y", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_EQ(events_of(accepted), POLLIN | POLLOUT | POLLRDHUP);
  EXPECT_EQ(read(accepted, buffer, 4), 1);
  EXPECT_EQ(read(accepted, buffer, 4), 0);
  EXPECT_EQ(write(accepted, "back", 4), 4);
  EXPECT_EQ(read(client, buffer, 4), 4);
  EXPECT_OK(shutdown(accepted, SHUT_WR));
  EXPECT_EQ(read(client, buffer, 4), 0);
  EXPECT_TRUE(events_of(client) & POLLHUP);
}

TEST(resets) {
  char buffer[4];
  open_connection();
  EXPECT_EQ(write(client, "unread", 6), 6);
  close(accepted);
  EXPECT_EQ(events_of(client), POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP);
  EXPECT_ERRNO(read(client, buffer, 4), ECONNRESET);
  EXPECT_EQ(read(client, buffer, 4), 0);
  EXPECT_KILLED(FORK({ send(client, "x", 1, 0); }), SIGPIPE);
  open_connection();
  close(accepted);
  EXPECT_EQ(read(client, buffer, 4), 0);
  EXPECT_EQ(send(client, "x", 1, MSG_NOSIGNAL), 1);
  EXPECT_ERRNO(send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
  open_connection();
  struct linger hard = {1, 0};
  EXPECT_OK(setsockopt(accepted, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
  close(accepted);
  EXPECT_EQ(option(client, SOL_SOCKET, SO_ERROR), ECONNRESET);
}

TEST(refused_and_nonblocking) {
  open_connection();
  int s = EXPECT_OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  EXPECT_EQ(events_of(s), POLLOUT | POLLHUP);
  EXPECT_ERRNO(connect(s, IN4), EINPROGRESS);
  EXPECT_EQ(events_of(s), POLLOUT);
  EXPECT_EQ(option(s, SOL_SOCKET, SO_ERROR), 0);
  EXPECT_OK(connect(s, IN4));
  close(accept(server, NULL, NULL));
  close(server);
  s = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERRNO(connect(s, IN4), ECONNREFUSED);
  EXPECT_ERRNO(connect(s, IN4), ECONNREFUSED);
  EXPECT_ERRNO(recv(s, &s, 1, 0), ENOTCONN);
  EXPECT_ERRNO(send(s, "x", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_ERRNO(accept(s, NULL, NULL), EINVAL);
  s = EXPECT_OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  EXPECT_ERRNO(connect(s, IN4), EINPROGRESS);
  EXPECT_TRUE(events_of(s) & POLLERR);
  EXPECT_EQ(option(s, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
}

TEST(ports) {
  int a = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), b = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  set4(0x08080808, 0);
  EXPECT_ERRNO(bind(a, IN4), EADDRNOTAVAIL);
  EXPECT_ERRNO(bind(a, (struct sockaddr *)&in4, 8), EINVAL);
  in4.sin_family = AF_UNIX;
  EXPECT_ERRNO(bind(a, IN4), EAFNOSUPPORT);
  set4(INADDR_LOOPBACK, 0);
  EXPECT_OK(bind(a, IN4));
  EXPECT_ERRNO(bind(a, IN4), EINVAL);
  set4(INADDR_ANY, port_of(a));
  EXPECT_ERRNO(bind(b, IN4), EADDRINUSE);
  switch_on(a, SOL_SOCKET, SO_REUSEADDR);
  switch_on(b, SOL_SOCKET, SO_REUSEADDR);
  EXPECT_OK(bind(b, IN4));
  EXPECT_OK(listen(a, 1));
  EXPECT_ERRNO(listen(b, 1), EADDRINUSE);
  EXPECT_EQ(option(a, SOL_SOCKET, SO_ACCEPTCONN), 1);
  IN_CHILD({
    become(NOBODY, NOBODY);
    int s = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_ERRNO(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
    set4(INADDR_LOOPBACK, 7);
    EXPECT_TRUE(bind(s, IN4) == 0 || errno == EACCES);
  });
}

TEST(both_versions) {
  char name[INET6_ADDRSTRLEN];
  int s = EXPECT_OK(socket(AF_INET6, SOCK_STREAM, 0));
  set6("::", 0);
  EXPECT_OK(bind(s, IN6));
  EXPECT_OK(listen(s, 5));
  set4(INADDR_LOOPBACK, port_of(s));
  set6("::1", port_of(s));
  int four = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), six = EXPECT_OK(socket(AF_INET6, SOCK_STREAM, 0));
  EXPECT_ERRNO(bind(EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), IN4), EADDRINUSE);
  EXPECT_OK(connect(four, IN4));
  EXPECT_OK(connect(six, IN6));
  for (int i = 0; i < 2; i++) {
    struct sockaddr_in6 peer;
    socklen_t n = sizeof peer;
    EXPECT_OK(accept(s, (struct sockaddr *)&peer, &n));
    EXPECT_EQ(n, sizeof peer);
    EXPECT_STR(inet_ntop(AF_INET6, &peer.sin6_addr, name, sizeof name), i ? "::1" : "::ffff:127.0.0.1");
  }
  int only = EXPECT_OK(socket(AF_INET6, SOCK_STREAM, 0));
  switch_on(only, IPPROTO_IPV6, IPV6_V6ONLY);
  set6("::ffff:127.0.0.1", 0);
  EXPECT_ERRNO(bind(only, IN6), EINVAL);
  set6("::", 0);
  EXPECT_OK(bind(only, IN6));
  set4(INADDR_ANY, port_of(only));
  EXPECT_OK(bind(EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), IN4));
}

TEST(full_buffers_block) {
  static char block[65536];
  open_connection();
  // Sizes that are set do not grow.
  EXPECT_OK(setsockopt(accepted, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int)));
  EXPECT_OK(setsockopt(client, SOL_SOCKET, SO_SNDBUF, &(int){65536}, sizeof(int)));
  EXPECT_OK(fcntl(client, F_SETFL, O_NONBLOCK));
  long total = 0, got = 0, n;
  // What is on its way still makes room.
  struct pollfd room = {client, POLLOUT, 0};
  do {
    while ((n = write(client, block, sizeof block)) > 0) total += n;
    EXPECT_EQ(errno, EAGAIN);
  } while (poll(&room, 1, 200) > 0);
  EXPECT_EQ(events_of(client) & POLLOUT, 0);
  EXPECT_OK(fcntl(client, F_SETFL, 0));
  pid_t child = FORK({ EXPECT_EQ(write(client, block, sizeof block), sizeof block); });
  wait_asleep(child);
  close(client);
  while ((n = read(accepted, block, sizeof block)) > 0) got += n;
  EXPECT_EQ(got, total + sizeof block);
  EXPECT_EXIT(child, 0);
}

TEST(stream_options) {
  open_connection();
  switch_on(client, IPPROTO_TCP, TCP_NODELAY);
  EXPECT_EQ(option(client, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_OK(setsockopt(client, IPPROTO_TCP, TCP_KEEPIDLE, &(int){30}, sizeof(int)));
  EXPECT_EQ(option(client, IPPROTO_TCP, TCP_KEEPIDLE), 30);
  EXPECT_ERRNO(setsockopt(client, IPPROTO_TCP, TCP_KEEPIDLE, &(int){0}, sizeof(int)), EINVAL);
  EXPECT_OK(setsockopt(client, IPPROTO_IP, IP_TTL, &(int){9}, sizeof(int)));
  EXPECT_EQ(option(client, IPPROTO_IP, IP_TTL), 9);
  struct tcp_info info;
  socklen_t n = sizeof info;
  EXPECT_OK(getsockopt(server, IPPROTO_TCP, TCP_INFO, &info, &n));
  EXPECT_EQ(info.tcpi_state, TCP_LISTEN);
  EXPECT_EQ(option(client, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
}

TEST(datagrams) {
  char buffer[8];
  int a = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0)), b = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_ERRNO(send(b, "x", 1, 0), EDESTADDRREQ);
  set4(INADDR_LOOPBACK, 0);
  EXPECT_OK(bind(a, IN4));
  set4(INADDR_LOOPBACK, port_of(a));
  EXPECT_EQ(sendto(b, "12345", 5, 0, IN4), 5);
  EXPECT_EQ(sendto(b, "", 0, 0, IN4), 0);
  EXPECT_EQ(sendto(b, "678", 3, 0, IN4), 3);
  struct sockaddr_in from;
  socklen_t n = sizeof from;
  EXPECT_EQ(recvfrom(a, buffer, 2, MSG_TRUNC, (struct sockaddr *)&from, &n), 5);
  EXPECT_EQ(ntohs(from.sin_port), port_of(b));
  EXPECT_EQ(recv(a, buffer, 8, 0), 0);
  EXPECT_EQ(recv(a, buffer, 8, 0), 3);
  EXPECT_ERRNO(recv(a, buffer, 8, MSG_DONTWAIT), EAGAIN);
  EXPECT_OK(connect(b, IN4));
  EXPECT_EQ(send(b, "x", 1, 0), 1);
  EXPECT_ERRNO(sendto(b, malloc(70000), 70000, 0, NULL, 0), EMSGSIZE);
  close(a);
  EXPECT_EQ(send(b, "x", 1, 0), 1);
  EXPECT_TRUE(events_of(b) & POLLERR);
  EXPECT_ERRNO(recv(b, buffer, 8, 0), ECONNREFUSED);
  EXPECT_ERRNO(listen(b, 1), EOPNOTSUPP);
}

TEST(connected_datagrams_come_from_the_peer_only) {
  char buffer[8];
  int a = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0)), b = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  int stranger = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  set4(INADDR_LOOPBACK, 0);
  EXPECT_OK(bind(a, IN4));
  EXPECT_OK(bind(b, IN4));
  set4(INADDR_LOOPBACK, port_of(b));
  EXPECT_OK(connect(a, IN4));
  set4(INADDR_LOOPBACK, port_of(a));
  EXPECT_EQ(sendto(stranger, "no", 2, 0, IN4), 2);
  EXPECT_EQ(sendto(b, "yes", 3, 0, IN4), 3);
  EXPECT_EQ(recv(a, buffer, 8, 0), 3);
  struct sockaddr none = {.sa_family = AF_UNSPEC};
  EXPECT_OK(connect(a, &none, sizeof none));
  // The port was not of the program's choice, and is free again.
  EXPECT_EQ(port_of(a), 0);
}
