// SO_ATTACH_FILTER: programs of classic BPF that decide which packets a socket gets, and how much of them.
#include "own-network.h"
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/ip.h>
#include <netinet/udp.h>

#define ATTACH(s, ...)                                                                 \
  ({                                                                                   \
    struct sock_filter program_[] = {__VA_ARGS__};                                     \
    struct sock_fprog f_ = {sizeof program_ / sizeof program_[0], program_};           \
    setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &f_, sizeof f_);                       \
  })
#define LD(size, at) BPF_STMT(BPF_LD | size | BPF_ABS, at)
#define RET(k) BPF_STMT(BPF_RET | BPF_K, k)
#define EQ(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no)
#define ALL 0xffffffff

static int a, b;
static char buffer[256];
static void make_udp(int family) {
  struct sockaddr_storage name = {.ss_family = family};
  socklen_t n = sizeof name;
  if (family == AF_INET) ((struct sockaddr_in *)&name)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  else ((struct sockaddr_in6 *)&name)->sin6_addr = in6addr_loopback;
  b = EXPECT_OK(socket(family, SOCK_DGRAM, 0));
  EXPECT_OK(bind(b, (struct sockaddr *)&name, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)));
  EXPECT_OK(getsockname(b, (struct sockaddr *)&name, &n));
  a = EXPECT_OK(socket(family, SOCK_DGRAM, 0));
  EXPECT_OK(connect(a, (struct sockaddr *)&name, n));
}
static void say(const char *text) { EXPECT_EQ(send(a, text, strlen(text), 0), (ssize_t)strlen(text)); }
/** The next datagram, or NULL. */
static const char *hear(void) {
  int n = recv(b, buffer, sizeof buffer - 1, MSG_DONTWAIT);
  if (n == -1) {
    EXPECT_EQ(errno, EAGAIN);
    return "nothing";
  }
  buffer[n] = 0;
  return buffer;
}
static int detach(int s) {
  int zero = 0;
  return setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &zero, sizeof zero);
}

TEST(datagrams_of_udp) {
  make_udp(AF_INET);
  // The data begins with the header of UDP.
  EXPECT_OK(ATTACH(b, LD(BPF_B, 8), EQ('y', 0, 1), RET(ALL), RET(0)));
  say("no"), say("yes");
  EXPECT_STR(hear(), "yes");
  EXPECT_STR(hear(), "nothing");
  EXPECT_OK(ATTACH(b, RET(10)));
  say("shorter");
  EXPECT_STR(hear(), "sh");
  EXPECT_OK(ATTACH(b, RET(3)));
  say("empty");
  EXPECT_STR(hear(), "");
  EXPECT_OK(ATTACH(b, RET(0)));
  say("lost");
  EXPECT_STR(hear(), "nothing");
  EXPECT_OK(detach(b));
  say("again");
  EXPECT_STR(hear(), "again");
  EXPECT_ERRNO(detach(b), ENOENT);
}

/** Whether a load gives a number, for the next datagram. */
#define LOADS(number, ...)                                          \
  do {                                                              \
    EXPECT_OK(ATTACH(b, __VA_ARGS__, EQ(number, 0, 1), RET(ALL), RET(0))); \
    say("abcdef");                                                  \
    EXPECT_STR(hear(), "abcdef");                                   \
  } while (0)
#define MISSES(...)                                 \
  do {                                              \
    EXPECT_OK(ATTACH(b, __VA_ARGS__, RET(ALL)));    \
    say("abcdef");                                  \
    EXPECT_STR(hear(), "nothing");                  \
  } while (0)

TEST(loads) {
  make_udp(AF_INET);
  struct sockaddr_in name;
  socklen_t n = sizeof name;
  EXPECT_OK(getsockname(b, (struct sockaddr *)&name, &n));
  LOADS(ntohs(name.sin_port), LD(BPF_H, 2));
  LOADS(14, LD(BPF_H, 4));
  LOADS(14, BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0));
  LOADS('a' << 24 | 'b' << 16 | 'c' << 8 | 'd', LD(BPF_W, 8));
  LOADS('c' << 8 | 'd', BPF_STMT(BPF_LDX | BPF_IMM, 7), BPF_STMT(BPF_LD | BPF_H | BPF_IND, 3));
  // 'f' & 15 is 6.
  LOADS(24, BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 13), BPF_STMT(BPF_MISC | BPF_TXA, 0));
  LOADS(0x45, LD(BPF_B, SKF_NET_OFF));
  LOADS(0x7f000001, LD(BPF_W, SKF_NET_OFF + 16));
  LOADS('d', BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, SKF_NET_OFF), BPF_STMT(BPF_LD | BPF_B | BPF_IND, SKF_NET_OFF + 11));
  LOADS(ETH_P_IP, LD(BPF_H, SKF_AD_OFF + SKF_AD_PROTOCOL));
  LOADS(PACKET_HOST, LD(BPF_B, SKF_AD_OFF + SKF_AD_PKTTYPE));
  LOADS(1, LD(BPF_W, SKF_AD_OFF + SKF_AD_IFINDEX));
  LOADS(772, LD(BPF_H, SKF_AD_OFF + SKF_AD_HATYPE));
  LOADS(5 ^ 3, BPF_STMT(BPF_LDX | BPF_IMM, 3), BPF_STMT(BPF_LD | BPF_IMM, 5), LD(BPF_W, SKF_AD_OFF + SKF_AD_ALU_XOR_X));
  LOADS(2, BPF_STMT(BPF_LD | BPF_IMM, 17), BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 5));
  LOADS(7, BPF_STMT(BPF_LD | BPF_IMM, 7), BPF_STMT(BPF_ST, 15), BPF_STMT(BPF_LD | BPF_IMM, 0), BPF_STMT(BPF_LD | BPF_MEM, 15));
  // Beyond the end, before the start, and a division by nothing.
  MISSES(LD(BPF_B, 14));
  MISSES(LD(BPF_W, 11));
  MISSES(LD(BPF_B, SKF_NET_OFF + 34));
  MISSES(BPF_STMT(BPF_LDX | BPF_IMM, 0), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0));
  MISSES(BPF_STMT(BPF_LDX | BPF_IMM, 0), BPF_STMT(BPF_ALU | BPF_MOD | BPF_X, 0));
  make_udp(AF_INET6);
  LOADS(0x60, LD(BPF_B, SKF_NET_OFF));
  LOADS(ETH_P_IPV6, LD(BPF_H, SKF_AD_OFF + SKF_AD_PROTOCOL));
  LOADS('b', LD(BPF_B, 9));
}

TEST(programs_that_are_refused) {
  make_udp(AF_INET);
  EXPECT_ERRNO(ATTACH(b, LD(BPF_B, 0)), EINVAL);
  EXPECT_ERRNO(ATTACH(b, BPF_STMT(BPF_LD | BPF_MEM, 3), RET(0)), EINVAL);
  EXPECT_ERRNO(ATTACH(b, BPF_STMT(BPF_ST, 16), RET(0)), EINVAL);
  EXPECT_ERRNO(ATTACH(b, BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RET(0)), EINVAL);
  EXPECT_ERRNO(ATTACH(b, BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RET(0)), EINVAL);
  EXPECT_ERRNO(ATTACH(b, EQ(0, 1, 0), RET(0)), EINVAL);
  EXPECT_ERRNO(ATTACH(b, BPF_STMT(BPF_JMP | BPF_JA, 1), RET(0)), EINVAL);
  EXPECT_ERRNO(ATTACH(b, LD(BPF_B, SKF_AD_OFF + SKF_AD_MAX), RET(0)), EINVAL);
  EXPECT_ERRNO(ATTACH(b, LD(BPF_B, SKF_AD_OFF + 1), RET(0)), EINVAL);
  EXPECT_ERRNO(ATTACH(b, BPF_STMT(0xf7, 0), RET(0)), EINVAL);
  struct sock_filter one = RET(0);
  struct sock_fprog f = {0, &one};
  EXPECT_ERRNO(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof f), EINVAL);
  f.len = 5000;
  EXPECT_ERRNO(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof f), EINVAL);
  f.len = 1;
  EXPECT_ERRNO(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &f, 8), EINVAL);
  EXPECT_ERRNO(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof f + 1), EINVAL);
  f.filter = NULL;
  EXPECT_ERRNO(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof f), EINVAL);
  f.filter = (struct sock_filter *)8;
  EXPECT_ERRNO(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof f), EFAULT);
  EXPECT_ERRNO(detach(b), ENOENT);
}

TEST(asking_and_locking) {
  make_udp(AF_INET);
  struct sock_filter told[4];
  // Lengths are those in instructions, both ways.
  socklen_t n = 4;
  EXPECT_OK(getsockopt(b, SOL_SOCKET, SO_GET_FILTER, told, &n));
  EXPECT_EQ(n, 0);
  EXPECT_OK(ATTACH(b, LD(BPF_B, 8), RET(77)));
  n = 0;
  EXPECT_OK(getsockopt(b, SOL_SOCKET, SO_GET_FILTER, NULL, &n));
  EXPECT_EQ(n, 2);
  n = 1;
  EXPECT_ERRNO(getsockopt(b, SOL_SOCKET, SO_GET_FILTER, told, &n), EINVAL);
  n = 4;
  EXPECT_OK(getsockopt(b, SOL_SOCKET, SO_GET_FILTER, told, &n));
  EXPECT_EQ(n, 2);
  EXPECT_EQ(told[0].code, BPF_LD | BPF_B | BPF_ABS);
  EXPECT_EQ(told[0].k, 8);
  EXPECT_EQ(told[1].k, 77);
  int on = 1;
  n = sizeof on;
  EXPECT_OK(setsockopt(b, SOL_SOCKET, SO_LOCK_FILTER, &on, n));
  on = 0;
  EXPECT_OK(getsockopt(b, SOL_SOCKET, SO_LOCK_FILTER, &on, &n));
  EXPECT_EQ(on, 1);
  EXPECT_ERRNO(detach(b), EPERM);
  EXPECT_ERRNO(ATTACH(b, RET(0)), EPERM);
  on = 0;
  EXPECT_ERRNO(setsockopt(b, SOL_SOCKET, SO_LOCK_FILTER, &on, n), EPERM);
  on = 1;
  EXPECT_OK(setsockopt(b, SOL_SOCKET, SO_LOCK_FILTER, &on, n));
}

TEST(datagrams_of_unix) {
  int fds[2];
  EXPECT_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
  a = fds[0], b = fds[1];
  EXPECT_OK(ATTACH(b, LD(BPF_B, 0), EQ('y', 0, 1), RET(4), RET(0)));
  say("no"), say("y"), say("yellow");
  EXPECT_STR(hear(), "y");
  EXPECT_STR(hear(), "yell");
  EXPECT_STR(hear(), "nothing");
  // There is no device.
  EXPECT_OK(ATTACH(b, LD(BPF_W, SKF_AD_OFF + SKF_AD_IFINDEX), RET(ALL)));
  say("yes");
  EXPECT_STR(hear(), "nothing");
  EXPECT_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds));
  a = fds[0], b = fds[1];
  EXPECT_OK(ATTACH(b, RET(0)));
  say("lost");
  EXPECT_STR(hear(), "nothing");
}

TEST(answers_of_netlink) {
  struct {
    struct nlmsghdr h;
    struct rtgenmsg gen;
  } out = {{sizeof out, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 5, 0}, {AF_UNSPEC}};
  int s = EXPECT_OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  EXPECT_OK(ATTACH(s, RET(0)));
  EXPECT_OK(send(s, &out, sizeof out, 0));
  EXPECT_ERRNO(recv(s, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
  EXPECT_OK(detach(s));
}

TEST(packets) {
  own_network();
  make_udp(AF_INET);
  int raw = EXPECT_OK(socket(AF_PACKET, SOCK_RAW, 0)), cooked = EXPECT_OK(socket(AF_PACKET, SOCK_DGRAM, 0));
  // Only those of UDP that arrive, the first one without its payload.
  EXPECT_OK(ATTACH(raw, LD(BPF_H, 12), EQ(ETH_P_IP, 0, 5), LD(BPF_B, 23), EQ(IPPROTO_UDP, 0, 3),
                   LD(BPF_B, SKF_AD_OFF + SKF_AD_PKTTYPE), EQ(PACKET_HOST, 0, 1), RET(14 + 20 + 8), RET(0)));
  EXPECT_OK(ATTACH(cooked, LD(BPF_B, 0), EQ(0x45, 0, 3), LD(BPF_B, SKF_NET_OFF + 9), EQ(IPPROTO_UDP, 0, 1), RET(ALL), RET(0)));
  struct sockaddr_ll name = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
  EXPECT_OK(bind(raw, (struct sockaddr *)&name, sizeof name));
  EXPECT_OK(bind(cooked, (struct sockaddr *)&name, sizeof name));
  say("hello");
  EXPECT_EQ(recv(raw, buffer, sizeof buffer, MSG_TRUNC), 42);
  EXPECT_ERRNO(recv(raw, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
  EXPECT_EQ(recv(cooked, buffer, sizeof buffer, 0), 33);
  EXPECT_MEM(buffer + 28, "hello", 5);
}

TEST(raw_sockets) {
  own_network();
  make_udp(AF_INET);
  int raw = EXPECT_OK(socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
  EXPECT_OK(ATTACH(raw, LD(BPF_B, 28), EQ('y', 0, 1), RET(30), RET(0)));
  say("no"), say("yes");
  EXPECT_EQ(recv(raw, buffer, sizeof buffer, 0), 30);
  EXPECT_MEM(buffer + 28, "ye", 2);
  EXPECT_ERRNO(recv(raw, buffer, sizeof buffer, MSG_DONTWAIT), EAGAIN);
}
