// What lo answers to packets that nobody takes: ICMP errors to datagrams, segments to segments. Scanners and traceroute(8) live
// of it.
#include "own-network.h"
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/icmp6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

static unsigned char packet[2048];
static int next(int s) { return EXPECT_OK(recv(s, packet, sizeof packet, 0)); }

TEST(datagrams_to_nowhere) {
  own_network();
  int icmp = EXPECT_OK(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)), s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in to = address4(INADDR_LOOPBACK, 7777);
  EXPECT_EQ(SEND_TO(s, "hello", 5, to), 5);
  EXPECT_EQ(next(icmp), 20 + 8 + 20 + 8 + 5);
  struct icmphdr *message = (struct icmphdr *)(packet + 20);
  EXPECT_EQ(message->type, ICMP_DEST_UNREACH);
  EXPECT_EQ(message->code, ICMP_PORT_UNREACH);
  EXPECT_EQ(((struct iphdr *)packet)->tos, 0xc0);
  struct iphdr *quoted = (struct iphdr *)(packet + 28);
  EXPECT_EQ(quoted->protocol, IPPROTO_UDP);
  EXPECT_EQ(quoted->daddr, htonl(INADDR_LOOPBACK));
  EXPECT_EQ(((struct udphdr *)(quoted + 1))->dest, htons(7777));
  EXPECT_MEM(packet + 56, "hello", 5);
  // A large one is cut to what every host takes.
  static char large[1000];
  EXPECT_EQ(SEND_TO(s, large, sizeof large, to), 1000);
  EXPECT_EQ(next(icmp), 576);
  // One from a raw socket is answered, too.
  int raw = EXPECT_OK(socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
  struct udphdr header = {.source = htons(5555), .dest = htons(7777), .len = htons(8)};
  EXPECT_EQ(SEND_TO(raw, &header, 8, to), 8);
  EXPECT_EQ(next(icmp), 56);
  EXPECT_EQ(((struct udphdr *)(packet + 48))->source, htons(5555));
}

TEST(datagrams_to_nowhere_in_ipv6) {
  own_network();
  int icmp = EXPECT_OK(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)), s = EXPECT_OK(socket(AF_INET6, SOCK_DGRAM, 0));
  struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(7777), .sin6_addr = in6addr_loopback};
  EXPECT_EQ(SEND_TO(s, "hello", 5, to), 5);
  EXPECT_EQ(next(icmp), 8 + 40 + 8 + 5);
  EXPECT_EQ(packet[0], ICMP6_DST_UNREACH);
  EXPECT_EQ(packet[1], ICMP6_DST_UNREACH_NOPORT);
  EXPECT_MEM(packet + 56, "hello", 5);
}

static uint16_t checksum(struct tcphdr *t) {
  struct {
    uint32_t from, to;
    uint16_t protocol, length;
    struct tcphdr t;
  } whole = {htonl(INADDR_LOOPBACK), htonl(INADDR_LOOPBACK), htons(IPPROTO_TCP), htons(sizeof *t), *t};
  uint32_t sum = 0;
  for (size_t i = 0; i < sizeof whole / 2; i++) sum += ((uint16_t *)&whole)[i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}
static void send_segment(int raw, struct tcphdr t) {
  struct sockaddr_in to = address4(INADDR_LOOPBACK, 0);
  t.doff = 5;
  t.window = htons(1000);
  t.check = checksum(&t);
  EXPECT_EQ(SEND_TO(raw, &t, sizeof t, to), sizeof t);
  // On lo it is seen to arrive.
  EXPECT_EQ(next(raw), 40);
  EXPECT_MEM(packet + 20, &t, 4);
}
static struct tcphdr *segment(int raw) {
  EXPECT_GE(next(raw), 40);
  return (struct tcphdr *)(packet + 20);
}

TEST(segments_to_a_closed_port) {
  own_network();
  int raw = EXPECT_OK(socket(AF_INET, SOCK_RAW, IPPROTO_TCP));
  struct tcphdr t = {.source = htons(4000), .dest = htons(9), .seq = htonl(100), .syn = 1};
  send_segment(raw, t);
  struct tcphdr *answer = segment(raw);
  EXPECT_EQ(answer->source, htons(9));
  EXPECT_EQ(answer->dest, htons(4000));
  EXPECT_EQ(answer->rst, 1);
  EXPECT_EQ(answer->ack, 1);
  EXPECT_EQ(answer->syn, 0);
  EXPECT_EQ(answer->seq, 0);
  EXPECT_EQ(answer->ack_seq, htonl(101));
  EXPECT_EQ(answer->window, 0);
  t = (struct tcphdr){.source = htons(4000), .dest = htons(9), .seq = htonl(100), .ack = 1, .ack_seq = htonl(700)};
  send_segment(raw, t);
  answer = segment(raw);
  EXPECT_EQ(answer->rst, 1);
  EXPECT_EQ(answer->ack, 0);
  EXPECT_EQ(answer->seq, htonl(700));
  // A reset is not answered, nor what is broken.
  t = (struct tcphdr){.source = htons(4000), .dest = htons(9), .rst = 1};
  send_segment(raw, t);
  t.rst = 0, t.syn = 1, t.doff = 5, t.check = 0x1234;
  struct sockaddr_in to = address4(INADDR_LOOPBACK, 0);
  EXPECT_EQ(SEND_TO(raw, &t, sizeof t, to), sizeof t);
  EXPECT_EQ(next(raw), 40);
  EXPECT_ERRNO(recv(raw, packet, sizeof packet, MSG_DONTWAIT), EAGAIN);
}

TEST(segments_to_a_listener) {
  own_network();
  struct sockaddr_in name = address4(INADDR_LOOPBACK, 0);
  socklen_t n = sizeof name;
  int l = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), raw = EXPECT_OK(socket(AF_INET, SOCK_RAW, IPPROTO_TCP));
  EXPECT_OK(bind(l, (struct sockaddr *)&name, n));
  EXPECT_OK(getsockname(l, (struct sockaddr *)&name, &n));
  EXPECT_OK(listen(l, 1));
  struct tcphdr t = {.source = htons(4000), .dest = name.sin_port, .seq = htonl(100), .syn = 1};
  send_segment(raw, t);
  struct tcphdr *answer = segment(raw);
  EXPECT_EQ(answer->syn, 1);
  EXPECT_EQ(answer->ack, 1);
  EXPECT_EQ(answer->source, name.sin_port);
  EXPECT_EQ(answer->ack_seq, htonl(101));
  // Here nobody has asked for a connection.
  uint32_t sequence = ntohl(answer->seq);
  answer = segment(raw);
  EXPECT_EQ(answer->rst, 1);
  EXPECT_EQ(answer->dest, name.sin_port);
  EXPECT_EQ(answer->seq, htonl(101));
  t = (struct tcphdr){.source = htons(4001), .dest = name.sin_port, .ack = 1, .ack_seq = htonl(sequence)};
  send_segment(raw, t);
  EXPECT_EQ(segment(raw)->rst, 1);
  // No connection has come of it.
  EXPECT_OK(fcntl(l, F_SETFL, O_NONBLOCK));
  EXPECT_ERRNO(accept(l, NULL, NULL), EAGAIN);
}
