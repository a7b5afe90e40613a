// Raw sockets and packet sockets over lo: raw(7), packet(7).
#include "own-network.h"
#include <arpa/inet.h>
#include <linux/icmp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

static uint16_t checksum(const void *bytes, size_t n) {
  uint32_t sum = 0;
  for (size_t i = 0; i < n; i += 2) {
    uint16_t word = 0;
    memcpy(&word, (const char *)bytes + i, n - i < 2 ? 1 : 2);
    sum += word;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

TEST(raw_sockets_of_any_protocol) {
  own_network();
  int a = EXPECT_OK(socket(AF_INET, SOCK_RAW, 253)), b = EXPECT_OK(socket(AF_INET, SOCK_RAW, 254));
  struct sockaddr_in to = address4(INADDR_LOOPBACK, 0), from;
  EXPECT_EQ(SEND_TO(a, "hello", 5, to), 5);
  char buffer[64];
  socklen_t n = sizeof from;
  EXPECT_EQ(recvfrom(a, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &n), 25);
  struct iphdr *ip = (struct iphdr *)buffer;
  EXPECT_EQ(ip->version, 4);
  EXPECT_EQ(ip->ihl, 5);
  EXPECT_EQ(ntohs(ip->tot_len), 25);
  EXPECT_EQ(ip->protocol, 253);
  EXPECT_EQ(ip->saddr, htonl(INADDR_LOOPBACK));
  EXPECT_EQ(ip->daddr, htonl(INADDR_LOOPBACK));
  EXPECT_EQ(checksum(ip, 20), 0);
  EXPECT_MEM(buffer + 20, "hello", 5);
  EXPECT_EQ(from.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  EXPECT_EQ(from.sin_port, 0);
  EXPECT_ERRNO(recv(b, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
  EXPECT_ERRNO(send(a, "x", 1, 0), EDESTADDRREQ);
  EXPECT_ERRNO(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
  EXPECT_OK(getsockname(a, (struct sockaddr *)&from, &n));
  EXPECT_EQ(ntohs(from.sin_port), 253);
  EXPECT_ERRNO(listen(a, 1), EOPNOTSUPP);
  EXPECT_ERRNO(shutdown(a, SHUT_RD), ENOTCONN);
  to.sin_family = AF_UNIX;
  EXPECT_ERRNO(SEND_TO(a, "hello", 5, to), EAFNOSUPPORT);
}

TEST(addresses_of_raw_sockets) {
  own_network();
  int any = EXPECT_OK(socket(AF_INET, SOCK_RAW, 253)), bound = EXPECT_OK(socket(AF_INET, SOCK_RAW, 253));
  struct sockaddr_in one = address4(INADDR_LOOPBACK, 0), two = address4(INADDR_LOOPBACK + 1, 0);
  struct sockaddr_in foreign = address4(0x08080808, 0);
  EXPECT_ERRNO(bind(bound, (struct sockaddr *)&foreign, sizeof foreign), EADDRNOTAVAIL);
  EXPECT_ERRNO(SEND_TO(any, "x", 1, foreign), ENETUNREACH);
  EXPECT_OK(bind(bound, (struct sockaddr *)&two, sizeof two));
  EXPECT_EQ(SEND_TO(any, "x", 1, one), 1);
  char buffer[64];
  EXPECT_EQ(recv(any, buffer, sizeof buffer, 0), 21);
  EXPECT_ERRNO(recv(bound, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
  EXPECT_EQ(SEND_TO(any, "x", 1, two), 1);
  EXPECT_EQ(recv(bound, buffer, sizeof buffer, 0), 21);
  EXPECT_OK(connect(bound, (struct sockaddr *)&one, sizeof one));
  EXPECT_EQ(send(bound, "y", 1, 0), 1);
  EXPECT_EQ(recv(any, buffer, sizeof buffer, 0), 21);
  EXPECT_EQ(recv(any, buffer, sizeof buffer, 0), 21);
  EXPECT_EQ(((struct iphdr *)buffer)->saddr, two.sin_addr.s_addr);
  struct sockaddr_in peer;
  socklen_t n = sizeof peer;
  EXPECT_ERRNO(getpeername(bound, (struct sockaddr *)&peer, &n), ENOTCONN);
  one.sin_port = htons(5);
  EXPECT_OK(connect(bound, (struct sockaddr *)&one, sizeof one));
  EXPECT_OK(getpeername(bound, (struct sockaddr *)&peer, &n));
  EXPECT_EQ(peer.sin_addr.s_addr, one.sin_addr.s_addr);
  EXPECT_OK(shutdown(bound, SHUT_WR));
}

TEST(headers_of_the_program) {
  own_network();
  int sink = EXPECT_OK(socket(AF_INET, SOCK_RAW, IPPROTO_UDP)), s = EXPECT_OK(socket(AF_INET, SOCK_RAW, IPPROTO_RAW));
  int port, udp = bound_udp(INADDR_LOOPBACK, 0, &port);
  int on = 0;
  socklen_t n = sizeof on;
  EXPECT_OK(getsockopt(s, IPPROTO_IP, IP_HDRINCL, &on, &n));
  EXPECT_EQ(on, 1);
  EXPECT_OK(getsockopt(sink, IPPROTO_IP, IP_HDRINCL, &on, &n));
  EXPECT_EQ(on, 0);
  struct {
    struct iphdr ip;
    struct udphdr udp;
    char data[3];
  } __attribute__((packed)) packet = {
      .ip = {.version = 4, .ihl = 5, .ttl = 7, .protocol = IPPROTO_UDP, .daddr = htonl(INADDR_LOOPBACK)},
      .udp = {.source = htons(99), .dest = htons(port), .len = htons(11)},
      .data = "abc",
  };
  struct sockaddr_in to = address4(INADDR_LOOPBACK, 0), from;
  EXPECT_ERRNO(SEND_TO(s, &packet, 19, to), EINVAL);
  EXPECT_EQ(SEND_TO(s, &packet, sizeof packet, to), sizeof packet);
  char buffer[64];
  EXPECT_EQ(recv(sink, buffer, sizeof buffer, 0), sizeof packet);
  struct iphdr *ip = (struct iphdr *)buffer;
  EXPECT_EQ(ip->ttl, 7);
  EXPECT_EQ(ip->saddr, htonl(INADDR_LOOPBACK));
  EXPECT_EQ(ntohs(ip->tot_len), sizeof packet);
  EXPECT_EQ(checksum(ip, 20), 0);
  n = sizeof from;
  EXPECT_EQ(recvfrom(udp, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &n), 3);
  EXPECT_MEM(buffer, "abc", 3);
  EXPECT_EQ(ntohs(from.sin_port), 99);
}

TEST(raw_sockets_see_datagrams) {
  own_network();
  int sink = EXPECT_OK(socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
  int port, udp = bound_udp(INADDR_LOOPBACK, 0, &port);
  struct sockaddr_in to = address4(INADDR_LOOPBACK, port);
  EXPECT_EQ(SEND_TO(udp, "abcd", 4, to), 4);
  char buffer[64];
  EXPECT_EQ(recv(sink, buffer, sizeof buffer, 0), 32);
  struct udphdr *header = (struct udphdr *)(buffer + 20);
  EXPECT_EQ(ntohs(header->source), port);
  EXPECT_EQ(ntohs(header->dest), port);
  EXPECT_EQ(ntohs(header->len), 12);
  EXPECT_MEM(buffer + 28, "abcd", 4);
}

TEST(icmp_filters) {
  own_network();
  int s = EXPECT_OK(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  struct icmp_filter only_replies = {~(1u << ICMP_ECHOREPLY)};
  EXPECT_OK(setsockopt(s, SOL_RAW, ICMP_FILTER, &only_replies, sizeof only_replies));
  struct icmphdr echo = {.type = ICMP_ECHO, .un.echo = {htons(5), htons(1)}};
  echo.checksum = checksum(&echo, sizeof echo);
  struct sockaddr_in to = address4(INADDR_LOOPBACK, 0);
  EXPECT_EQ(SEND_TO(s, &echo, sizeof echo, to), sizeof echo);
  char buffer[64];
  EXPECT_EQ(recv(s, buffer, sizeof buffer, 0), 28);
  EXPECT_EQ(((struct icmphdr *)(buffer + 20))->type, ICMP_ECHOREPLY);
  EXPECT_ERRNO(recv(s, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
  int other = EXPECT_OK(socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
  EXPECT_ERRNO(setsockopt(other, SOL_RAW, ICMP_FILTER, &only_replies, sizeof only_replies), EOPNOTSUPP);
}

TEST(raw_sockets_of_ipv6) {
  own_network();
  int s = EXPECT_OK(socket(AF_INET6, SOCK_RAW, 253));
  struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback}, from;
  EXPECT_EQ(SEND_TO(s, "hello", 5, to), 5);
  char buffer[64];
  socklen_t n = sizeof from;
  EXPECT_EQ(recvfrom(s, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &n), 5);
  EXPECT_MEM(buffer, "hello", 5);
  EXPECT_MEM(&from.sin6_addr, &in6addr_loopback, 16);
  to.sin6_port = htons(1);
  EXPECT_ERRNO(SEND_TO(s, "hello", 5, to), EINVAL);
  int at = 0;
  n = sizeof at;
  EXPECT_OK(getsockopt(s, IPPROTO_IPV6, IPV6_CHECKSUM, &at, &n));
  EXPECT_EQ(at, -1);
  EXPECT_ERRNO(setsockopt(s, IPPROTO_IPV6, IPV6_CHECKSUM, &(int){3}, sizeof(int)), EINVAL);
  int icmp = EXPECT_OK(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
  EXPECT_ERRNO(setsockopt(icmp, IPPROTO_IPV6, IPV6_CHECKSUM, &(int){2}, sizeof(int)), EINVAL);
  uint8_t echo[8] = {128, 0, 0, 0, 0, 9, 0, 1};
  to.sin6_port = 0;
  EXPECT_EQ(SEND_TO(icmp, echo, sizeof echo, to), sizeof echo);
  EXPECT_EQ(recv(icmp, buffer, sizeof buffer, 0), 8);
  EXPECT_EQ((uint8_t)buffer[0], 128);
  EXPECT_EQ(recv(icmp, buffer, sizeof buffer, 0), 8);
  EXPECT_EQ((uint8_t)buffer[0], 129);
  EXPECT_EQ(buffer[5], 9);
}

static int packet_socket(int type, int protocol) {
  return EXPECT_OK(socket(AF_PACKET, type, htons(protocol)));
}

TEST(frames_are_seen_coming) {
  own_network();
  int cooked = packet_socket(SOCK_DGRAM, ETH_P_IP), whole = packet_socket(SOCK_RAW, ETH_P_IP);
  int none = packet_socket(SOCK_RAW, 0);
  int port, udp = bound_udp(INADDR_LOOPBACK, 0, &port);
  struct sockaddr_in to = address4(INADDR_LOOPBACK, port);
  EXPECT_EQ(SEND_TO(udp, "abcd", 4, to), 4);
  char buffer[128];
  struct sockaddr_ll from;
  socklen_t n = sizeof from;
  EXPECT_EQ(recvfrom(cooked, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &n), 32);
  EXPECT_EQ(n, sizeof from);
  EXPECT_EQ(from.sll_family, AF_PACKET);
  EXPECT_EQ(from.sll_protocol, htons(ETH_P_IP));
  EXPECT_EQ(from.sll_ifindex, 1);
  EXPECT_EQ(from.sll_hatype, 772);
  EXPECT_EQ(from.sll_pkttype, PACKET_HOST);
  EXPECT_EQ(from.sll_halen, 6);
  EXPECT_EQ(((struct iphdr *)buffer)->protocol, IPPROTO_UDP);
  EXPECT_EQ(recv(whole, buffer, sizeof buffer, MSG_TRUNC), 46);
  EXPECT_EQ(((struct ethhdr *)buffer)->h_proto, htons(ETH_P_IP));
  EXPECT_MEM(buffer + 42, "abcd", 4);
  EXPECT_ERRNO(recv(cooked, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
  EXPECT_ERRNO(recv(none, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
  struct tpacket_stats stats;
  n = sizeof stats;
  EXPECT_OK(getsockopt(cooked, SOL_PACKET, PACKET_STATISTICS, &stats, &n));
  EXPECT_EQ(stats.tp_packets, 1);
  EXPECT_EQ(stats.tp_drops, 0);
}

TEST(all_frames_are_seen_twice) {
  own_network();
  int all = packet_socket(SOCK_DGRAM, ETH_P_ALL);
  int port, udp = bound_udp(INADDR_LOOPBACK, 0, &port);
  struct sockaddr_in to = address4(INADDR_LOOPBACK, port);
  EXPECT_EQ(SEND_TO(udp, "abcd", 4, to), 4);
  char buffer[128];
  struct sockaddr_ll from;
  socklen_t n = sizeof from;
  EXPECT_EQ(recvfrom(all, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &n), 32);
  EXPECT_EQ(from.sll_pkttype, PACKET_OUTGOING);
  EXPECT_EQ(recvfrom(all, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &n), 32);
  EXPECT_EQ(from.sll_pkttype, PACKET_HOST);
  EXPECT_ERRNO(recv(all, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
}

TEST(frames_that_are_sent_are_seen) {
  own_network();
  int s = packet_socket(SOCK_DGRAM, 0), other = packet_socket(SOCK_DGRAM, ETH_P_IPV6);
  int raw6 = EXPECT_OK(socket(AF_INET6, SOCK_RAW, 253));
  uint8_t packet[43] = {0x60, 0, 0, 0, 0, 3, 253, 9};
  packet[23] = packet[39] = 1;
  memcpy(packet + 40, "abc", 3);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IPV6), .sll_ifindex = 1, .sll_halen = 6};
  EXPECT_EQ(SEND_TO(s, packet, sizeof packet, to), sizeof packet);
  char buffer[64];
  EXPECT_EQ(recv(raw6, buffer, sizeof buffer, 0), 3);
  EXPECT_MEM(buffer, "abc", 3);
  EXPECT_EQ(recv(other, buffer, sizeof buffer, 0), sizeof packet);
  EXPECT_MEM(buffer, packet, sizeof packet);
  EXPECT_ERRNO(send(s, packet, sizeof packet, 0), ENXIO);
  to.sll_ifindex = 77;
  EXPECT_ERRNO(SEND_TO(s, packet, sizeof packet, to), ENXIO);
  EXPECT_ERRNO(sendto(s, packet, sizeof packet, 0, (struct sockaddr *)&to, 10), EINVAL);
  int raw = packet_socket(SOCK_RAW, 0);
  to.sll_ifindex = 1;
  EXPECT_ERRNO(SEND_TO(raw, packet, 13, to), EINVAL);
}

TEST(names_of_packet_sockets) {
  own_network();
  int s = packet_socket(SOCK_RAW, ETH_P_IP);
  struct sockaddr_ll name = {0};
  socklen_t n = sizeof name;
  EXPECT_OK(getsockname(s, (struct sockaddr *)&name, &n));
  EXPECT_EQ(n, 12);
  EXPECT_EQ(name.sll_ifindex, 0);
  EXPECT_EQ(name.sll_protocol, htons(ETH_P_IP));
  name = (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_ifindex = 77};
  EXPECT_ERRNO(bind(s, (struct sockaddr *)&name, sizeof name), ENODEV);
  name.sll_ifindex = 1;
  EXPECT_ERRNO(bind(s, (struct sockaddr *)&name, 19), EINVAL);
  EXPECT_OK(bind(s, (struct sockaddr *)&name, sizeof name));
  n = sizeof name;
  EXPECT_OK(getsockname(s, (struct sockaddr *)&name, &n));
  EXPECT_EQ(n, 18);
  EXPECT_EQ(name.sll_ifindex, 1);
  EXPECT_EQ(name.sll_hatype, 772);
  EXPECT_EQ(name.sll_protocol, htons(ETH_P_IP));
  EXPECT_ERRNO(getpeername(s, (struct sockaddr *)&name, &n), EOPNOTSUPP);
  EXPECT_ERRNO(connect(s, (struct sockaddr *)&name, sizeof name), EOPNOTSUPP);
  EXPECT_ERRNO(listen(s, 1), EOPNOTSUPP);
  EXPECT_ERRNO(shutdown(s, SHUT_RD), EOPNOTSUPP);
  EXPECT_ERRNO(socket(AF_PACKET, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
}

TEST(auxiliary_data_of_frames) {
  own_network();
  int s = packet_socket(SOCK_RAW, ETH_P_IP), port, udp = bound_udp(INADDR_LOOPBACK, 0, &port);
  EXPECT_OK(setsockopt(s, SOL_PACKET, PACKET_AUXDATA, &(int){1}, sizeof(int)));
  struct sockaddr_in to = address4(INADDR_LOOPBACK, port);
  EXPECT_EQ(SEND_TO(udp, "abcd", 4, to), 4);
  char buffer[16], control[128];
  struct iovec iov = {buffer, sizeof buffer};
  struct msghdr h = {NULL, 0, &iov, 1, control, sizeof control, 0};
  EXPECT_EQ(recvmsg(s, &h, 0), 16);
  EXPECT_EQ(h.msg_flags & MSG_TRUNC, MSG_TRUNC);
  struct cmsghdr *m = CMSG_FIRSTHDR(&h);
  EXPECT_EQ(m->cmsg_level, SOL_PACKET);
  EXPECT_EQ(m->cmsg_type, PACKET_AUXDATA);
  struct tpacket_auxdata *aux = (struct tpacket_auxdata *)CMSG_DATA(m);
  EXPECT_EQ(aux->tp_len, 46);
  EXPECT_EQ(aux->tp_net, 14);
}

TEST(both_need_a_capability) {
  pid_t child = fork();
  if (child == 0) {
    EXPECT_OK(setuid(NOBODY));
    EXPECT_ERRNO(socket(AF_INET, SOCK_RAW, IPPROTO_UDP), EPERM);
    EXPECT_ERRNO(socket(AF_INET6, SOCK_RAW, IPPROTO_UDP), EPERM);
    EXPECT_ERRNO(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
    _exit(0);
  }
  int status;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}
