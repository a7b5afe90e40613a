// Options of all sockets: socket(7), net/core/sock.c.
#include "own-network.h"
#include <linux/errqueue.h>
#include <netinet/tcp.h>
#include <sys/un.h>

static int set(int s, int level, int name, int value) { return setsockopt(s, level, name, &value, sizeof value); }
static int get(int s, int level, int name) {
  int value = -77;
  socklen_t n = sizeof value;
  EXPECT_OK(getsockopt(s, level, name, &value, &n));
  return value;
}
static int tcp(void) { return EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)); }
static int udp(void) { return EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0)); }
static int un(void) { return EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0)); }

TEST(switches_are_kept) {
  const int names[] = {SO_RXQ_OVFL, SO_NOFCS, SO_SELECT_ERR_QUEUE, SO_WIFI_STATUS, SO_DONTROUTE, SO_KEEPALIVE};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    for (int kind = 0; kind < 3; kind++) {
      int s = kind == 0 ? tcp() : kind == 1 ? udp() : un();
      EXPECT_EQ(get(s, SOL_SOCKET, names[i]), 0);
      EXPECT_OK(set(s, SOL_SOCKET, names[i], 7));
      EXPECT_EQ(get(s, SOL_SOCKET, names[i]), 1);
      close(s);
    }
}

TEST(options_of_some_families) {
  int s = tcp(), u = un();
  EXPECT_ERRNO(set(s, SOL_SOCKET, SO_PASSCRED, 1), EOPNOTSUPP);
  EXPECT_ERRNO(set(u, SOL_SOCKET, SO_REUSEPORT, 1), EOPNOTSUPP);
  EXPECT_OK(set(u, SOL_SOCKET, SO_REUSEPORT, 0));
  EXPECT_EQ(get(s, SOL_SOCKET, SO_INCOMING_CPU), -1);
  EXPECT_OK(set(s, SOL_SOCKET, SO_INCOMING_CPU, 0));
  EXPECT_EQ(get(s, SOL_SOCKET, SO_INCOMING_CPU), 0);
  EXPECT_OK(set(s, SOL_SOCKET, SO_BSDCOMPAT, 1));
  EXPECT_EQ(get(s, SOL_SOCKET, SO_BSDCOMPAT), 0);
  EXPECT_EQ(get(s, SOL_SOCKET, SO_MAX_PACING_RATE), -1);
  EXPECT_ERRNO(set(s, SOL_SOCKET, SO_BUF_LOCK, 4), EINVAL);
  EXPECT_ERRNO(set(s, SOL_SOCKET, SO_BUSY_POLL, -1), EINVAL);
  EXPECT_ERRNO(set(s, SOL_SOCKET, SO_TYPE, 1), ENOPROTOOPT);
  uint32_t info[9];
  socklen_t n = sizeof info;
  EXPECT_OK(getsockopt(s, SOL_SOCKET, SO_MEMINFO, info, &n));
  EXPECT_EQ(n, sizeof info);
  EXPECT_EQ(info[1], (uint32_t)get(s, SOL_SOCKET, SO_RCVBUF));
}

TEST(binding_to_a_device) {
  own_network();
  int s = udp();
  char name[IFNAMSIZ] = "none";
  socklen_t n = sizeof name;
  EXPECT_OK(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, name, &n));
  EXPECT_EQ(n, 0);
  EXPECT_ERRNO(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "nosuch0", 7), ENODEV);
  EXPECT_OK(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
  EXPECT_EQ(get(s, SOL_SOCKET, SO_BINDTOIFINDEX), 1);
  n = 4;
  EXPECT_ERRNO(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, name, &n), EINVAL);
  n = sizeof name;
  EXPECT_OK(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, name, &n));
  EXPECT_EQ(n, 3);
  EXPECT_STR(name, "lo");
  EXPECT_OK(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "", 0));
  EXPECT_EQ(get(s, SOL_SOCKET, SO_BINDTOIFINDEX), 0);
  EXPECT_ERRNO(set(s, SOL_SOCKET, SO_BINDTOIFINDEX, -1), EINVAL);
}

TEST(time_stamps_have_forms) {
  int s = udp();
  EXPECT_OK(set(s, SOL_SOCKET, SO_TIMESTAMP_OLD, 1));
  EXPECT_EQ(get(s, SOL_SOCKET, SO_TIMESTAMP_OLD), 1);
  EXPECT_OK(set(s, SOL_SOCKET, SO_TIMESTAMPNS_NEW, 1));
  EXPECT_EQ(get(s, SOL_SOCKET, SO_TIMESTAMP_OLD), 0);
  EXPECT_EQ(get(s, SOL_SOCKET, SO_TIMESTAMPNS_OLD), 0);
  EXPECT_EQ(get(s, SOL_SOCKET, SO_TIMESTAMPNS_NEW), 1);
  EXPECT_OK(set(s, SOL_SOCKET, SO_TIMESTAMPNS_NEW, 0));
  EXPECT_EQ(get(s, SOL_SOCKET, SO_TIMESTAMPNS_NEW), 0);
  EXPECT_ERRNO(set(s, SOL_SOCKET, SO_TIMESTAMPING_OLD, -1), EINVAL);
  EXPECT_OK(set(s, SOL_SOCKET, SO_TIMESTAMPING_OLD, 0x18));
  EXPECT_EQ(get(s, SOL_SOCKET, SO_TIMESTAMPING_OLD), 0x18);
}

TEST(options_of_ip) {
  int s = udp(), t = tcp();
  unsigned char byte = 0x37;
  socklen_t n = 1;
  EXPECT_OK(setsockopt(s, IPPROTO_IP, IP_TOS, &byte, 1));
  EXPECT_EQ(get(s, IPPROTO_IP, IP_TOS), 0x37);
  EXPECT_OK(set(s, IPPROTO_IP, IP_TOS, 0x123));
  EXPECT_EQ(get(s, IPPROTO_IP, IP_TOS), 0x23);
  EXPECT_OK(set(t, IPPROTO_IP, IP_TOS, 0x37));
  EXPECT_EQ(get(t, IPPROTO_IP, IP_TOS), 0x34);
  EXPECT_OK(getsockopt(s, IPPROTO_IP, IP_TTL, &byte, &n));
  EXPECT_EQ(n, 1);
  EXPECT_EQ(byte, 64);
  EXPECT_ERRNO(set(s, IPPROTO_IP, IP_TTL, 0), EINVAL);
  EXPECT_ERRNO(set(s, IPPROTO_IP, IP_MULTICAST_ALL, 2), EINVAL);
  EXPECT_OK(setsockopt(s, IPPROTO_IP, IP_PKTINFO, NULL, 0));
  n = 4;
  int mtu;
  EXPECT_ERRNO(getsockopt(s, IPPROTO_IP, IP_MTU, &mtu, &n), ENOTCONN);
  struct sockaddr_in to = address4(INADDR_LOOPBACK, 9);
  EXPECT_OK(connect(s, (struct sockaddr *)&to, sizeof to));
  EXPECT_EQ(get(s, IPPROTO_IP, IP_MTU), 65535);
  EXPECT_ERRNO(getsockopt(s, SOL_TCP, TCP_NODELAY, &mtu, &n), EOPNOTSUPP);
  EXPECT_ERRNO(set(s, SOL_TCP, TCP_NODELAY, 1), ENOPROTOOPT);
}

TEST(options_of_tcp) {
  int s = tcp();
  EXPECT_OK(set(s, SOL_TCP, TCP_DEFER_ACCEPT, 2));
  EXPECT_EQ(get(s, SOL_TCP, TCP_DEFER_ACCEPT), 3);
  EXPECT_OK(set(s, SOL_TCP, TCP_WINDOW_CLAMP, 1));
  EXPECT_EQ(get(s, SOL_TCP, TCP_WINDOW_CLAMP), 1152);
  EXPECT_OK(set(s, SOL_TCP, TCP_LINGER2, -5));
  EXPECT_EQ(get(s, SOL_TCP, TCP_LINGER2), -1);
  EXPECT_OK(set(s, SOL_TCP, TCP_LINGER2, 500));
  EXPECT_EQ(get(s, SOL_TCP, TCP_LINGER2), 120);
  EXPECT_ERRNO(set(s, SOL_TCP, TCP_MAXSEG, 63), EINVAL);
  EXPECT_ERRNO(set(s, SOL_TCP, TCP_THIN_LINEAR_TIMEOUTS, 2), EINVAL);
  EXPECT_ERRNO(setsockopt(s, SOL_TCP, TCP_ULP, "none", 4), ENOENT);
  EXPECT_ERRNO(setsockopt(s, SOL_TCP, TCP_CONGESTION, "none", 4), ENOENT);
  EXPECT_OK(setsockopt(s, SOL_TCP, TCP_CONGESTION, "reno", 4));
  char name[16];
  socklen_t n = sizeof name;
  EXPECT_OK(getsockopt(s, SOL_TCP, TCP_CONGESTION, name, &n));
  EXPECT_EQ(n, 16);
  EXPECT_STR(name, "reno");
}

TEST(a_source_for_one_packet) {
  int port, a = bound_udp(INADDR_ANY, 0, &port), s = udp();
  struct sockaddr_in to = address4(INADDR_LOOPBACK, port), from;
  char control[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0}, c = 'x';
  struct iovec iov = {&c, 1};
  struct msghdr h = {&to, sizeof to, &iov, 1, control, sizeof control, 0};
  struct cmsghdr *m = CMSG_FIRSTHDR(&h);
  *m = (struct cmsghdr){CMSG_LEN(sizeof(struct in_pktinfo)), IPPROTO_IP, IP_PKTINFO};
  struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(m);
  info->ipi_spec_dst.s_addr = htonl(INADDR_LOOPBACK + 5);
  EXPECT_EQ(sendmsg(s, &h, 0), 1);
  socklen_t n = sizeof from;
  EXPECT_EQ(recvfrom(a, &c, 1, 0, (struct sockaddr *)&from, &n), 1);
  EXPECT_EQ(from.sin_addr.s_addr, htonl(INADDR_LOOPBACK + 5));
  info->ipi_spec_dst.s_addr = htonl(0x08080808);
  EXPECT_ERRNO(sendmsg(s, &h, 0), ENETUNREACH);
}

TEST(the_error_queue) {
  int port, closed = bound_udp(INADDR_LOOPBACK, 0, &port), s = udp();
  close(closed);
  struct sockaddr_in to = address4(INADDR_LOOPBACK, port), name;
  EXPECT_EQ(SEND_TO(s, "ab", 2, to), 2);
  EXPECT_EQ(SEND_TO(s, "cd", 2, to), 2);
  EXPECT_OK(set(s, IPPROTO_IP, IP_RECVERR, 1));
  char buffer[8], control[256];
  EXPECT_ERRNO(recv(s, buffer, sizeof buffer, MSG_ERRQUEUE), EAGAIN);
  EXPECT_EQ(SEND_TO(s, "ef", 2, to), 2);
  struct pollfd p = {s, POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 5000), 1);
  EXPECT_EQ(p.revents, POLLERR);
  struct iovec iov = {buffer, sizeof buffer};
  struct msghdr h = {&name, sizeof name, &iov, 1, control, sizeof control, 0};
  EXPECT_EQ(recvmsg(s, &h, MSG_ERRQUEUE), 2);
  EXPECT_MEM(buffer, "ef", 2);
  EXPECT_EQ(h.msg_flags, MSG_ERRQUEUE);
  EXPECT_EQ(name.sin_port, htons(port));
  struct cmsghdr *m = CMSG_FIRSTHDR(&h);
  EXPECT_EQ(m->cmsg_level, IPPROTO_IP);
  EXPECT_EQ(m->cmsg_type, IP_RECVERR);
  struct sock_extended_err *e = (struct sock_extended_err *)CMSG_DATA(m);
  EXPECT_EQ(e->ee_errno, ECONNREFUSED);
  EXPECT_EQ(e->ee_origin, SO_EE_ORIGIN_ICMP);
  EXPECT_EQ(e->ee_type, 3);
  EXPECT_EQ(e->ee_code, 3);
  EXPECT_EQ(((struct sockaddr_in *)SO_EE_OFFENDER(e))->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  EXPECT_EQ(get(s, SOL_SOCKET, SO_ERROR), 0);
  EXPECT_ERRNO(recv(s, buffer, sizeof buffer, MSG_ERRQUEUE), EAGAIN);
}

TEST(more_of_a_datagram) {
  int port, a = bound_udp(INADDR_LOOPBACK, 0, &port), s = udp();
  struct sockaddr_in to = address4(INADDR_LOOPBACK, port);
  char buffer[16];
  EXPECT_OK(connect(s, (struct sockaddr *)&to, sizeof to));
  EXPECT_EQ(send(s, "ab", 2, MSG_MORE), 2);
  EXPECT_ERRNO(recv(a, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
  EXPECT_EQ(send(s, "cd", 2, MSG_MORE), 2);
  EXPECT_EQ(send(s, "ef", 2, 0), 2);
  EXPECT_EQ(recv(a, buffer, sizeof buffer, 0), 6);
  EXPECT_MEM(buffer, "abcdef", 6);
  EXPECT_OK(set(s, IPPROTO_UDP, 1, 1));
  EXPECT_EQ(send(s, "gh", 2, 0), 2);
  EXPECT_EQ(send(s, "i", 1, 0), 1);
  EXPECT_ERRNO(recv(a, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
  EXPECT_OK(set(s, IPPROTO_UDP, 1, 0));
  EXPECT_EQ(recv(a, buffer, sizeof buffer, 0), 3);
  EXPECT_MEM(buffer, "ghi", 3);
}

/** What lies behind the value of an option is not read, whatever length is given. */
TEST(values_at_the_end_of_memory) {
  char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *end = pages + 4096;
  EXPECT_TRUE(pages != MAP_FAILED);
  EXPECT_OK(munmap(end, 4096));
  int s = EXPECT_OK(socket(AF_INET6, SOCK_STREAM, 0)), u = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  *(int *)(end - 4) = 1;
  EXPECT_OK(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, end - 4, 4096));
  EXPECT_OK(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, end - 4, INT_MAX));
  EXPECT_OK(setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, end - 4, 100));
  EXPECT_OK(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, end - 4, 100));
  EXPECT_OK(setsockopt(u, IPPROTO_IP, IP_TTL, end - 4, 100));
  EXPECT_OK(setsockopt(u, IPPROTO_IP, IP_MULTICAST_TTL, end - 1, 1));
  EXPECT_ERRNO(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, end - 2, 4), EFAULT);
  EXPECT_ERRNO(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, end - 8, 16), EFAULT);
  memset(end - 16, 0, 16);
  EXPECT_OK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, end - 16, 400));
  EXPECT_OK(setsockopt(s, SOL_SOCKET, SO_LINGER, end - 8, 400));
  memcpy(end - 15, "cubic", 6);
  EXPECT_OK(setsockopt(s, IPPROTO_TCP, TCP_CONGESTION, end - 15, 400));
}
