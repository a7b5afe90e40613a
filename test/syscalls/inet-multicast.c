// Groups and broadcasts over lo: ip(7), udp(7).
#include "own-network.h"
#include <arpa/inet.h>

#define GROUP 0xe0010203

static int receives(int s) {
  char c;
  struct pollfd p = {s, POLLIN, 0};
  EXPECT_OK(poll(&p, 1, 200));
  ssize_t n = recv(s, &c, 1, MSG_DONTWAIT);
  if (n < 0) EXPECT_EQ(errno, EAGAIN);
  return n == 1;
}

static struct ip_mreqn by_index(uint32_t group) {
  return (struct ip_mreqn){.imr_multiaddr.s_addr = htonl(group), .imr_ifindex = 1};
}

static int join(int s, struct ip_mreqn m) { return setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m); }
static int leave(int s, struct ip_mreqn m) { return setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &m, sizeof m); }

/** A socket that sends to groups through lo. */
static int sender(void) {
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct in_addr lo = {htonl(INADDR_LOOPBACK)};
  EXPECT_OK(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof lo));
  return s;
}

TEST(a_group_needs_an_interface) {
  own_network();
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in to = address4(GROUP, 7);
  EXPECT_ERRNO(SEND_TO(s, "x", 1, to), ENETUNREACH);
  EXPECT_ERRNO(connect(s, (struct sockaddr *)&to, sizeof to), ENETUNREACH);
  struct in_addr foreign = {htonl(0x08080808)};
  EXPECT_ERRNO(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &foreign, sizeof foreign), EADDRNOTAVAIL);
  struct ip_mreqn bad = {.imr_ifindex = 77};
  EXPECT_ERRNO(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &bad, sizeof bad), EADDRNOTAVAIL);
  EXPECT_ERRNO(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &bad, 3), EINVAL);
  struct in_addr own = {htonl(INADDR_LOOPBACK)}, got;
  EXPECT_OK(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &own, sizeof own));
  socklen_t n = sizeof got;
  EXPECT_OK(getsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &got, &n));
  EXPECT_EQ(n, sizeof got);
  EXPECT_EQ(got.s_addr, own.s_addr);
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
}

TEST(members_receive) {
  own_network();
  int port, other = bound_udp(INADDR_ANY, 0, NULL);
  int a = bound_udp(INADDR_ANY, 0, &port), b = bound_udp(INADDR_ANY, port, NULL);
  int group = bound_udp(GROUP, port, NULL), unicast = bound_udp(INADDR_LOOPBACK, port, NULL);
  int s = sender();
  struct sockaddr_in to = address4(GROUP, port);
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  EXPECT_EQ(receives(a), 0);
  EXPECT_OK(join(a, by_index(GROUP)));
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  EXPECT_EQ(receives(a), 1);
  // The machine is in the group now, and a socket takes what comes unless it says otherwise.
  EXPECT_EQ(receives(b), 1);
  EXPECT_EQ(receives(group), 1);
  EXPECT_EQ(receives(unicast), 0);
  EXPECT_EQ(receives(other), 0);
  EXPECT_OK(setsockopt(b, IPPROTO_IP, IP_MULTICAST_ALL, &(int){0}, sizeof(int)));
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  EXPECT_EQ(receives(b), 0);
  EXPECT_EQ(receives(group), 1);
  EXPECT_OK(close(a));
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  EXPECT_EQ(receives(group), 0);
}

TEST(membership_errors) {
  own_network();
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct ip_mreqn unnamed = {.imr_multiaddr.s_addr = htonl(GROUP)};
  EXPECT_ERRNO(join(s, unnamed), ENODEV);
  EXPECT_ERRNO(join(s, by_index(INADDR_LOOPBACK)), EINVAL);
  EXPECT_ERRNO(leave(s, by_index(GROUP)), EADDRNOTAVAIL);
  EXPECT_OK(join(s, by_index(GROUP)));
  EXPECT_ERRNO(join(s, by_index(GROUP)), EADDRINUSE);
  EXPECT_ERRNO(leave(s, unnamed), ENODEV);
  struct ip_mreq by_address = {.imr_multiaddr.s_addr = htonl(GROUP), .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
  EXPECT_OK(setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &by_address, sizeof by_address));
  EXPECT_OK(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &by_address, sizeof by_address));
  EXPECT_ERRNO(setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &by_address, 7), EINVAL);
  EXPECT_OK(leave(s, by_index(GROUP)));
  for (int i = 0; i < 20; i++) EXPECT_OK(join(s, by_index(GROUP + i)));
  EXPECT_ERRNO(join(s, by_index(GROUP + 20)), ENOBUFS);
  int stream = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERRNO(join(stream, by_index(GROUP)), EPROTO);
}

TEST(sources) {
  own_network();
  int port, a = bound_udp(INADDR_ANY, 0, &port), s = sender();
  struct sockaddr_in to = address4(GROUP, port);
  struct ip_mreq_source m = {{htonl(GROUP)}, {htonl(INADDR_LOOPBACK)}, {htonl(INADDR_LOOPBACK)}};
  EXPECT_ERRNO(setsockopt(a, IPPROTO_IP, IP_BLOCK_SOURCE, &m, sizeof m), EINVAL);
  EXPECT_OK(join(a, by_index(GROUP)));
  EXPECT_ERRNO(setsockopt(a, IPPROTO_IP, IP_UNBLOCK_SOURCE, &m, sizeof m), EADDRNOTAVAIL);
  EXPECT_OK(setsockopt(a, IPPROTO_IP, IP_BLOCK_SOURCE, &m, sizeof m));
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  EXPECT_EQ(receives(a), 0);
  EXPECT_OK(setsockopt(a, IPPROTO_IP, IP_UNBLOCK_SOURCE, &m, sizeof m));
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  EXPECT_EQ(receives(a), 1);
  EXPECT_OK(leave(a, by_index(GROUP)));
  EXPECT_OK(setsockopt(a, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &m, sizeof m));
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  EXPECT_EQ(receives(a), 1);
  EXPECT_OK(setsockopt(a, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &m, sizeof m));
  EXPECT_ERRNO(leave(a, by_index(GROUP)), EADDRNOTAVAIL);
}

TEST(joining_by_sockaddr) {
  own_network();
  int port, a = bound_udp(INADDR_ANY, 0, &port), s = sender();
  struct sockaddr_in to = address4(GROUP, port);
  struct group_req m = {.gr_interface = 1};
  memcpy(&m.gr_group, &to, sizeof to);
  EXPECT_OK(setsockopt(a, IPPROTO_IP, MCAST_JOIN_GROUP, &m, sizeof m));
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  EXPECT_EQ(receives(a), 1);
  EXPECT_OK(setsockopt(a, IPPROTO_IP, MCAST_LEAVE_GROUP, &m, sizeof m));
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  EXPECT_EQ(receives(a), 0);
}

TEST(ipv6_memberships) {
  own_network();
  int s = EXPECT_OK(socket(AF_INET6, SOCK_DGRAM, 0));
  struct ipv6_mreq m = {.ipv6mr_interface = 1};
  EXPECT_ERRNO(setsockopt(s, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m, sizeof m), EINVAL);
  EXPECT_EQ(inet_pton(AF_INET6, "ff02::1234", &m.ipv6mr_multiaddr), 1);
  EXPECT_ERRNO(setsockopt(s, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &m, sizeof m), EADDRNOTAVAIL);
  EXPECT_OK(setsockopt(s, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m, sizeof m));
  EXPECT_ERRNO(setsockopt(s, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m, sizeof m), EADDRINUSE);
  EXPECT_OK(setsockopt(s, IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, &m, sizeof m));
  m.ipv6mr_interface = 77;
  EXPECT_ERRNO(setsockopt(s, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &m, sizeof m), ENODEV);
}

TEST(what_a_packet_to_a_group_tells) {
  own_network();
  int port, a = bound_udp(INADDR_ANY, 0, &port), s = sender();
  EXPECT_OK(join(a, by_index(GROUP)));
  EXPECT_OK(setsockopt(a, IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int)));
  EXPECT_OK(setsockopt(a, IPPROTO_IP, IP_RECVTTL, &(int){1}, sizeof(int)));
  EXPECT_OK(setsockopt(a, IPPROTO_IP, IP_RECVORIGDSTADDR, &(int){1}, sizeof(int)));
  struct sockaddr_in to = address4(GROUP, port), from;
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  char c, control[256];
  struct iovec iov = {&c, 1};
  struct msghdr h = {&from, sizeof from, &iov, 1, control, sizeof control, 0};
  EXPECT_EQ(recvmsg(a, &h, 0), 1);
  EXPECT_EQ(from.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  struct cmsghdr *m = CMSG_FIRSTHDR(&h);
  EXPECT_EQ(m->cmsg_type, IP_PKTINFO);
  struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(m);
  EXPECT_EQ(info->ipi_ifindex, 1);
  EXPECT_EQ(info->ipi_spec_dst.s_addr, htonl(INADDR_LOOPBACK));
  EXPECT_EQ(info->ipi_addr.s_addr, htonl(GROUP));
  m = CMSG_NXTHDR(&h, m);
  EXPECT_EQ(m->cmsg_type, IP_TTL);
  EXPECT_EQ(*(int *)CMSG_DATA(m), 1);
  m = CMSG_NXTHDR(&h, m);
  EXPECT_EQ(m->cmsg_type, IP_ORIGDSTADDR);
  EXPECT_MEM(CMSG_DATA(m), &to, sizeof to);
  EXPECT_TRUE(CMSG_NXTHDR(&h, m) == NULL);
}

TEST(an_interface_by_its_number_gives_no_address) {
  own_network();
  int port, a = bound_udp(INADDR_ANY, 0, &port), s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct ip_mreqn lo = {.imr_ifindex = 1};
  EXPECT_OK(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof lo));
  EXPECT_OK(join(a, by_index(GROUP)));
  struct sockaddr_in to = address4(GROUP, port), from;
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  socklen_t n = sizeof from;
  char c;
  EXPECT_EQ(recvfrom(a, &c, 1, 0, (struct sockaddr *)&from, &n), 1);
  EXPECT_EQ(from.sin_addr.s_addr, 0);
}

TEST(broadcasts) {
  own_network();
  int port, a = bound_udp(INADDR_ANY, 0, &port), b = bound_udp(INADDR_ANY, port, NULL);
  int exact = bound_udp(0x7fffffff, port, NULL), s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in to = address4(0x7fffffff, port), all = address4(INADDR_BROADCAST, port);
  EXPECT_ERRNO(SEND_TO(s, "x", 1, to), EACCES);
  EXPECT_ERRNO(connect(s, (struct sockaddr *)&to, sizeof to), EACCES);
  EXPECT_ERRNO(SEND_TO(s, "x", 1, all), ENETUNREACH);
  EXPECT_OK(setsockopt(s, SOL_SOCKET, SO_BROADCAST, &(int){1}, sizeof(int)));
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  EXPECT_EQ(receives(a), 1);
  EXPECT_EQ(receives(b), 1);
  EXPECT_EQ(receives(exact), 1);
  EXPECT_OK(connect(s, (struct sockaddr *)&to, sizeof to));
  EXPECT_EQ(send(s, "x", 1, 0), 1);
  EXPECT_EQ(receives(a), 1);
  int stream = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERRNO(connect(stream, (struct sockaddr *)&to, sizeof to), ENETUNREACH);
}
