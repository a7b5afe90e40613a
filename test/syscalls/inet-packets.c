// What comes and goes beside the bytes of packets: control messages, ICMP echo, interfaces.
#include "test.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/ioctl.h>

static struct sockaddr_in address;
#define ADDRESS ((struct sockaddr *)&address), sizeof address

static void loopback(int port) {
  address = (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}
static int bound(int type) {
  int s = EXPECT_OK(socket(AF_INET, type, 0));
  socklen_t n = sizeof address;
  loopback(0);
  EXPECT_OK(bind(s, ADDRESS));
  EXPECT_OK(getsockname(s, (struct sockaddr *)&address, &n));
  return s;
}
static void set(int s, int level, int name, int value) {
  EXPECT_OK(setsockopt(s, level, name, &value, sizeof value));
}

static struct msghdr message;
static union {
  char bytes[512];
  struct cmsghdr align;
} control;
static char data[64];
static struct cmsghdr *received(int s, int level, int type) {
  message = (struct msghdr){.msg_iov = &(struct iovec){data, sizeof data},
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
  EXPECT_GT(EXPECT_OK(recvmsg(s, &message, 0)), 0);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
    if (c->cmsg_level == level && c->cmsg_type == type) return c;
  FAIL("no control message %d of level %d", type, level);
}

TEST(control_messages_that_come) {
  int s = bound(SOCK_DGRAM), from = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  set(s, IPPROTO_IP, IP_PKTINFO, 1);
  set(s, IPPROTO_IP, IP_RECVTTL, 1);
  set(s, SOL_SOCKET, SO_TIMESTAMP, 1);
  set(from, IPPROTO_IP, IP_TTL, 33);
  for (int i = 0; i < 3; i++) EXPECT_EQ(sendto(from, "hello", 5, 0, ADDRESS), 5);
  struct in_pktinfo info;
  memcpy(&info, CMSG_DATA(received(s, IPPROTO_IP, IP_PKTINFO)), sizeof info);
  EXPECT_EQ(info.ipi_addr.s_addr, htonl(INADDR_LOOPBACK));
  EXPECT_EQ(info.ipi_ifindex, if_nametoindex("lo"));
  int ttl;
  memcpy(&ttl, CMSG_DATA(received(s, IPPROTO_IP, IP_TTL)), sizeof ttl);
  EXPECT_EQ(ttl, 33);
  struct timeval stamp;
  memcpy(&stamp, CMSG_DATA(received(s, SOL_SOCKET, SCM_TIMESTAMP)), sizeof stamp);
  EXPECT_GT(stamp.tv_sec, 1000000000);
  // Too little room: told, and the data comes all the same.
  EXPECT_EQ(sendto(from, "x", 1, 0, ADDRESS), 1);
  message.msg_controllen = 4;
  EXPECT_EQ(recvmsg(s, &message, 0), 1);
  EXPECT_TRUE(message.msg_flags & MSG_CTRUNC);
}

TEST(control_messages_that_are_sent) {
  int s = bound(SOCK_DGRAM), from = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  set(s, IPPROTO_IP, IP_RECVTTL, 1);
  memset(&control, 0, sizeof control);
  message = (struct msghdr){.msg_name = &address,
                            .msg_namelen = sizeof address,
                            .msg_iov = &(struct iovec){"ttl", 3},
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = CMSG_SPACE(sizeof(int))};
  control.align = (struct cmsghdr){.cmsg_level = IPPROTO_IP, .cmsg_type = IP_TTL, .cmsg_len = CMSG_LEN(sizeof(int))};
  *(int *)CMSG_DATA(&control.align) = 7;
  EXPECT_EQ(EXPECT_OK(sendmsg(from, &message, 0)), 3);
  int ttl;
  memcpy(&ttl, CMSG_DATA(received(s, IPPROTO_IP, IP_TTL)), sizeof ttl);
  EXPECT_EQ(ttl, 7);
  // A header that lies about its size.
  message = (struct msghdr){.msg_name = &address,
                            .msg_namelen = sizeof address,
                            .msg_iov = &(struct iovec){"ttl", 3},
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = CMSG_SPACE(sizeof(int))};
  control.align.cmsg_len = 1000;
  control.align.cmsg_level = IPPROTO_IP;
  EXPECT_ERRNO(sendmsg(from, &message, 0), EINVAL);
}

TEST(ipv6_takes_the_default_for_minus_one) {
  int s = EXPECT_OK(socket(AF_INET6, SOCK_DGRAM, 0)), from = EXPECT_OK(socket(AF_INET6, SOCK_DGRAM, 0));
  struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  socklen_t n = sizeof to;
  EXPECT_OK(bind(s, (struct sockaddr *)&to, sizeof to));
  EXPECT_OK(getsockname(s, (struct sockaddr *)&to, &n));
  set(s, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
  struct { struct cmsghdr head; int value; int pad; } sent = {
      {CMSG_LEN(sizeof(int)), IPPROTO_IPV6, IPV6_TCLASS}, -1, 0};
  struct msghdr m = {.msg_name = &to,
                     .msg_namelen = sizeof to,
                     .msg_iov = &(struct iovec){"x", 1},
                     .msg_iovlen = 1,
                     .msg_control = &sent,
                     .msg_controllen = sent.head.cmsg_len};
  EXPECT_EQ(EXPECT_OK(sendmsg(from, &m, 0)), 1);
  sent.head.cmsg_type = IPV6_HOPLIMIT;
  sent.value = -2;
  EXPECT_ERRNO(sendmsg(from, &m, 0), EINVAL);
  int hops;
  memcpy(&hops, CMSG_DATA(received(s, IPPROTO_IPV6, IPV6_HOPLIMIT)), sizeof hops);
  EXPECT_EQ(hops, 64);
}

TEST(udp_lite) {
  int s = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
  if (s == -1 && errno == EPROTONOSUPPORT) SKIP("no UDP-Lite");
  int udp = bound(SOCK_DGRAM), value;
  socklen_t n = sizeof value;
  // The ports are not those of UDP.
  EXPECT_OK(bind(s, ADDRESS));
  EXPECT_OK(getsockopt(s, SOL_SOCKET, SO_PROTOCOL, &value, &n));
  EXPECT_EQ(value, IPPROTO_UDPLITE);
  int from = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE));
  set(from, IPPROTO_UDPLITE, 10 /* UDPLITE_SEND_CSCOV */, 20);
  set(from, IPPROTO_UDPLITE, 11 /* UDPLITE_RECV_CSCOV */, 1);
  EXPECT_OK(getsockopt(from, IPPROTO_UDPLITE, 11, &value, &n));
  EXPECT_EQ(value, 8);
  EXPECT_ERRNO(setsockopt(udp, IPPROTO_UDPLITE, 10, &value, sizeof value), ENOPROTOOPT);
  EXPECT_EQ(sendto(from, "lite", 4, 0, ADDRESS), 4);
  EXPECT_ERRNO(recv(udp, data, sizeof data, MSG_DONTWAIT), EAGAIN);
  EXPECT_EQ(recv(s, data, sizeof data, 0), 4);
}

TEST(interfaces) {
  struct ifreq request = {.ifr_name = "lo"}, list[8];
  struct ifconf conf = {.ifc_len = sizeof list, .ifc_req = list};
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0)), other = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_OK(ioctl(s, SIOCGIFCONF, &conf));
  EXPECT_TRUE(conf.ifc_len >= (int)sizeof(struct ifreq) && conf.ifc_len % sizeof(struct ifreq) == 0);
  EXPECT_STR(list[0].ifr_name, "lo");
  conf = (struct ifconf){0};
  EXPECT_OK(ioctl(s, SIOCGIFCONF, &conf));
  EXPECT_GE(conf.ifc_len, (int)sizeof(struct ifreq));
  EXPECT_OK(ioctl(s, SIOCGIFFLAGS, &request));
  EXPECT_TRUE((request.ifr_flags & (IFF_UP | IFF_LOOPBACK)) == (IFF_UP | IFF_LOOPBACK));
  EXPECT_OK(ioctl(other, SIOCGIFMTU, &request));
  EXPECT_EQ(request.ifr_mtu, 65536);
  EXPECT_OK(ioctl(s, SIOCGIFINDEX, &request));
  EXPECT_EQ(request.ifr_ifindex, 1);
  strcpy(request.ifr_name, "none0");
  EXPECT_ERRNO(ioctl(s, SIOCGIFFLAGS, &request), ENODEV);
  EXPECT_ERRNO(ioctl(s, SIOCGIFFLAGS, NULL), EFAULT);
}

TEST(raw_sockets_ping) {
  struct icmphdr echo = {.type = ICMP_ECHO, .un.echo = {.id = htons(77), .sequence = htons(1)}};
  echo.checksum = ~(htons(0x800) + htons(77) + htons(1));
  int s = EXPECT_OK(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  loopback(0);
  EXPECT_EQ(EXPECT_OK(sendto(s, &echo, sizeof echo, 0, ADDRESS)), sizeof echo);
  char packet[128];
  for (;;) {
    ssize_t n = EXPECT_OK(recv(s, packet, sizeof packet, 0));
    EXPECT_GE(n, 20 + (int)sizeof echo);
    if (((struct icmphdr *)(packet + 20))->type == ICMP_ECHOREPLY) break;
  }
  IN_CHILD({
    EXPECT_OK(setuid(NOBODY));
    EXPECT_ERRNO(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), EPERM);
  });
}

TEST(information_of_ipv6) {
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
  socklen_t n = sizeof six;
  int s = EXPECT_OK(socket(AF_INET6, SOCK_DGRAM, 0)), from = EXPECT_OK(socket(AF_INET6, SOCK_DGRAM, 0));
  EXPECT_OK(bind(s, (struct sockaddr *)&six, n));
  EXPECT_OK(getsockname(s, (struct sockaddr *)&six, &n));
  set(s, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
  set(s, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
  set(from, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 9);
  for (int i = 0; i < 2; i++) EXPECT_EQ(sendto(from, "six", 3, 0, (struct sockaddr *)&six, n), 3);
  struct in6_pktinfo info;
  memcpy(&info, CMSG_DATA(received(s, IPPROTO_IPV6, IPV6_PKTINFO)), sizeof info);
  EXPECT_MEM(&info.ipi6_addr, &in6addr_loopback, 16);
  EXPECT_EQ(info.ipi6_ifindex, if_nametoindex("lo"));
  int hops;
  memcpy(&hops, CMSG_DATA(received(s, IPPROTO_IPV6, IPV6_HOPLIMIT)), sizeof hops);
  EXPECT_EQ(hops, 9);
}

TEST(a_datagram_socket_that_may_not_send) {
  int s = bound(SOCK_DGRAM), from = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_OK(connect(from, ADDRESS));
  EXPECT_OK(shutdown(from, SHUT_WR));
  // No stream: EPIPE without its signal.
  EXPECT_ERRNO(send(from, "x", 1, 0), EPIPE);
  EXPECT_OK(close(s));
}

/** The range of groups decides who may have them; a program cannot count on it. */
TEST(ping_sockets) {
  int s = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  if (s < 0 && errno == EACCES) SKIP("net.ipv4.ping_group_range leaves our group out");
  EXPECT_OK(s);
  struct icmphdr echo = {.type = ICMP_ECHO, .un.echo = {.id = htons(1), .sequence = htons(5)}};
  struct sockaddr_in name;
  socklen_t n = sizeof name;
  loopback(0);
  EXPECT_EQ(EXPECT_OK(sendto(s, &echo, sizeof echo, 0, ADDRESS)), sizeof echo);
  EXPECT_OK(getsockname(s, (struct sockaddr *)&name, &n));
  EXPECT_NE(name.sin_port, 0);
  EXPECT_EQ(EXPECT_OK(recv(s, data, sizeof data, 0)), sizeof echo);
  struct icmphdr *reply = (struct icmphdr *)data;
  EXPECT_EQ(reply->type, ICMP_ECHOREPLY);
  EXPECT_EQ(reply->un.echo.id, name.sin_port);
  EXPECT_EQ(ntohs(reply->un.echo.sequence), 5);
  EXPECT_ERRNO(sendto(s, &echo, 4, 0, ADDRESS), EINVAL);
  echo.type = ICMP_TIMESTAMP;
  EXPECT_ERRNO(sendto(s, &echo, sizeof echo, 0, ADDRESS), EINVAL);
}
