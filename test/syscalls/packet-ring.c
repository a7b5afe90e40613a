// Rings of packet sockets that programs map: PACKET_RX_RING of packet(7), as tcpdump uses it.
#include "own-network.h"
#include <linux/if_ether.h>
#include <linux/if_packet.h>

#define FRAMES 8
#define FRAME_SIZE 1024

static int s, to;
static char *ring;
static int option(int name, const void *value, socklen_t n) { return setsockopt(s, SOL_PACKET, name, value, n); }
static int number(int name, int value) { return option(name, &value, sizeof value); }
static int set_ring(unsigned block_size, unsigned blocks, unsigned frame_size, unsigned frames) {
  struct tpacket_req r = {block_size, blocks, frame_size, frames};
  return option(PACKET_RX_RING, &r, sizeof r);
}
static void *map_ring(size_t size) { return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0); }

static void open_ring(int type, int version) {
  own_network();
  s = EXPECT_OK(socket(AF_PACKET, type, 0));
  EXPECT_OK(number(PACKET_VERSION, version));
  EXPECT_OK(set_ring(4096, FRAMES * FRAME_SIZE / 4096, FRAME_SIZE, FRAMES));
  ring = map_ring(FRAMES * FRAME_SIZE);
  EXPECT_TRUE(ring != MAP_FAILED);
  // What arrives is enough: each frame is seen once.
  EXPECT_OK(number(PACKET_IGNORE_OUTGOING, 1));
  struct sockaddr_ll name = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  EXPECT_OK(bind(s, (struct sockaddr *)&name, sizeof name));
  to = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in peer = address4(INADDR_LOOPBACK, 0);
  socklen_t n = sizeof peer;
  int sink = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_OK(bind(sink, (struct sockaddr *)&peer, n));
  EXPECT_OK(getsockname(sink, (struct sockaddr *)&peer, &n));
  EXPECT_OK(connect(to, (struct sockaddr *)&peer, n));
}
static void say(const char *text) { EXPECT_EQ(send(to, text, strlen(text), 0), (ssize_t)strlen(text)); }
static int readable(int wait) {
  struct pollfd p = {s, POLLIN, 0};
  return EXPECT_OK(poll(&p, 1, wait));
}
static struct tpacket2_hdr *frame(int i) { return (struct tpacket2_hdr *)(ring + i % FRAMES * FRAME_SIZE); }

TEST(frames_in_memory) {
  open_ring(SOCK_RAW, TPACKET_V2);
  EXPECT_EQ(readable(0), 0);
  EXPECT_EQ(frame(0)->tp_status, TP_STATUS_KERNEL);
  say("hello");
  EXPECT_EQ(readable(-1), 1);
  struct tpacket2_hdr *h = frame(0);
  EXPECT_TRUE(h->tp_status & TP_STATUS_USER);
  EXPECT_EQ(h->tp_len, 14 + 28 + 5);
  EXPECT_EQ(h->tp_snaplen, h->tp_len);
  EXPECT_EQ(h->tp_net, 80);
  EXPECT_EQ(h->tp_mac, 80 - 14);
  EXPECT_MEM((char *)h + h->tp_net + 28, "hello", 5);
  EXPECT_EQ(*(uint16_t *)((char *)h + h->tp_mac + 12), htons(ETH_P_IP));
  EXPECT_GT(h->tp_sec, 1000000);
  struct sockaddr_ll *from = (struct sockaddr_ll *)((char *)h + TPACKET_ALIGN(sizeof *h));
  EXPECT_EQ(from->sll_family, AF_PACKET);
  EXPECT_EQ(from->sll_protocol, htons(ETH_P_IP));
  EXPECT_EQ(from->sll_ifindex, 1);
  EXPECT_EQ(from->sll_hatype, 772);
  EXPECT_EQ(from->sll_pkttype, PACKET_HOST);
  // A frame that is given back is free again, and nothing is read from the socket itself.
  h->tp_status = TP_STATUS_KERNEL;
  EXPECT_EQ(readable(0), 0);
  char byte;
  EXPECT_ERRNO(recv(s, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(a_full_ring) {
  open_ring(SOCK_RAW, TPACKET_V2);
  char text[] = "0";
  for (int i = 0; i < FRAMES + 3; i++, text[0]++) say(text);
  for (int i = 0; i < FRAMES; i++) {
    EXPECT_TRUE(frame(i)->tp_status & TP_STATUS_USER);
    EXPECT_EQ(*((char *)frame(i) + frame(i)->tp_net + 28), '0' + i);
  }
  struct tpacket_stats stats;
  socklen_t n = sizeof stats;
  EXPECT_OK(getsockopt(s, SOL_PACKET, PACKET_STATISTICS, &stats, &n));
  EXPECT_EQ(stats.tp_packets, FRAMES + 3);
  EXPECT_EQ(stats.tp_drops, 3);
  // It goes on where it stopped.
  frame(0)->tp_status = TP_STATUS_KERNEL;
  say("next");
  EXPECT_TRUE(frame(0)->tp_status & TP_STATUS_USER);
  EXPECT_MEM((char *)frame(0) + frame(0)->tp_net + 28, "next", 4);
  EXPECT_EQ(readable(0), 1);
}

TEST(without_the_header_of_the_link) {
  open_ring(SOCK_DGRAM, TPACKET_V2);
  say("hello");
  EXPECT_EQ(readable(-1), 1);
  EXPECT_EQ(frame(0)->tp_len, 33);
  EXPECT_EQ(frame(0)->tp_mac, frame(0)->tp_net);
  EXPECT_MEM((char *)frame(0) + frame(0)->tp_net + 28, "hello", 5);
  // What does not fit is cut.
  char large[2000] = "large";
  EXPECT_EQ(send(to, large, sizeof large, 0), sizeof large);
  EXPECT_EQ(frame(1)->tp_len, 2028);
  EXPECT_EQ(frame(1)->tp_snaplen, FRAME_SIZE - frame(1)->tp_mac);
}

TEST(the_first_version) {
  open_ring(SOCK_RAW, TPACKET_V1);
  say("hello");
  EXPECT_EQ(readable(-1), 1);
  struct tpacket_hdr *h = (struct tpacket_hdr *)ring;
  EXPECT_TRUE(h->tp_status & TP_STATUS_USER);
  EXPECT_EQ(h->tp_len, 47);
  EXPECT_MEM((char *)h + h->tp_net + 28, "hello", 5);
}

TEST(a_sleeper_is_woken) {
  open_ring(SOCK_RAW, TPACKET_V2);
  pid_t child = FORK({
    EXPECT_EQ(readable(-1), 1);
    // The ring is the same memory here.
    EXPECT_MEM((char *)frame(0) + frame(0)->tp_net + 28, "hello", 5);
  });
  wait_asleep(child);
  say("hello");
  EXPECT_EXIT(child, 0);
}

TEST(what_is_refused) {
  own_network();
  s = EXPECT_OK(socket(AF_PACKET, SOCK_RAW, 0));
  int length = TPACKET_V2;
  socklen_t n = sizeof length;
  EXPECT_OK(getsockopt(s, SOL_PACKET, PACKET_HDRLEN, &length, &n));
  EXPECT_EQ(length, sizeof(struct tpacket2_hdr));
  length = 77;
  EXPECT_ERRNO(getsockopt(s, SOL_PACKET, PACKET_HDRLEN, &length, &n), EINVAL);
  EXPECT_OK(number(PACKET_VERSION, TPACKET_V2));
  EXPECT_TRUE(map_ring(4096) == MAP_FAILED);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_ERRNO(set_ring(1000, 1, 500, 2), EINVAL);
  EXPECT_ERRNO(set_ring(4096, 1, 40, 102), EINVAL);
  EXPECT_ERRNO(set_ring(4096, 1, 1000, 4), EINVAL);
  EXPECT_ERRNO(set_ring(4096, 1, 8192, 1), EINVAL);
  EXPECT_ERRNO(set_ring(4096, 1, 1024, 5), EINVAL);
  EXPECT_ERRNO(set_ring(0, 0, 0, 1), EINVAL);
  struct tpacket_req request = {4096, 1, 1024, 4};
  EXPECT_ERRNO(option(PACKET_RX_RING, &request, 12), EINVAL);
  EXPECT_OK(number(PACKET_RESERVE, 32));
  EXPECT_OK(set_ring(4096, 2, 1024, 8));
  EXPECT_ERRNO(set_ring(4096, 2, 1024, 8), EBUSY);
  EXPECT_ERRNO(number(PACKET_VERSION, TPACKET_V1), EBUSY);
  EXPECT_ERRNO(number(PACKET_RESERVE, 0), EBUSY);
  EXPECT_TRUE(map_ring(4096) == MAP_FAILED);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_TRUE(mmap(NULL, 4096, PROT_READ, MAP_SHARED, s, 4096) == MAP_FAILED);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_OK(set_ring(0, 0, 0, 0));
  EXPECT_OK(set_ring(4096, 1, 1024, 4));
  void *memory = map_ring(4096);
  EXPECT_TRUE(memory != MAP_FAILED);
  EXPECT_OK(munmap(memory, 4096));
  EXPECT_OK(set_ring(0, 0, 0, 0));
}
