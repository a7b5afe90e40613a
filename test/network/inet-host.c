// Sockets of a whole network stack, which the loopback of a sandbox without one need not have: urgent data, control
// messages, ping, interfaces, multicast. Needs a network namespace with lo, and root.
#include "test.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/errqueue.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
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
static int events_of(int s, int wanted, int timeout) {
  struct pollfd p = {s, wanted, 0};
  EXPECT_OK(poll(&p, 1, timeout));
  return p.revents;
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
TEST(errors_have_a_queue) {
  int s = bound(SOCK_DGRAM);
  EXPECT_OK(close(s));
  int from = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  set(from, IPPROTO_IP, IP_RECVERR, 1);
  EXPECT_OK(connect(from, ADDRESS));
  EXPECT_EQ(send(from, "lost", 4, 0), 4);
  EXPECT_TRUE(events_of(from, 0, 5000) & POLLERR);
  message = (struct msghdr){.msg_iov = &(struct iovec){data, sizeof data},
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
  EXPECT_EQ(EXPECT_OK(recvmsg(from, &message, MSG_ERRQUEUE)), 4);
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  EXPECT_EQ(c->cmsg_type, IP_RECVERR);
  EXPECT_EQ(((struct sock_extended_err *)CMSG_DATA(c))->ee_errno, ECONNREFUSED);
  EXPECT_ERRNO(recvmsg(from, &message, MSG_ERRQUEUE), EAGAIN);
}

TEST(multicast_on_loopback) {
  struct ip_mreqn group = {.imr_multiaddr.s_addr = inet_addr("239.1.2.3"), .imr_ifindex = 1};
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = group.imr_multiaddr};
  EXPECT_OK(bind(s, ADDRESS));
  socklen_t n = sizeof address;
  EXPECT_OK(getsockname(s, (struct sockaddr *)&address, &n));
  EXPECT_OK(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group));
  int from = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_OK(setsockopt(from, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group));
  EXPECT_EQ(sendto(from, "all", 3, 0, ADDRESS), 3);
  EXPECT_EQ(recv(s, data, sizeof data, 0), 3);
}

TEST(privileged_ports) {
  int s = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  loopback(81);
  EXPECT_OK(bind(s, ADDRESS));
  IN_CHILD({
    EXPECT_OK(setuid(NOBODY));
    int other = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
    loopback(82);
    EXPECT_ERRNO(bind(other, ADDRESS), EACCES);
    other = EXPECT_OK(socket(AF_INET6, SOCK_DGRAM, 0));
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(83)};
    EXPECT_ERRNO(bind(other, (struct sockaddr *)&six, sizeof six), EACCES);
  });
}

TEST(segments_of_udp) {
  int s = bound(SOCK_DGRAM), from = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  char bytes[3000] = {0};
  set(from, IPPROTO_UDP, 103 /* UDP_SEGMENT */, 1000);
  EXPECT_EQ(sendto(from, bytes, sizeof bytes, 0, ADDRESS), sizeof bytes);
  for (int i = 0; i < 3; i++) EXPECT_EQ(recv(s, bytes, sizeof bytes, 0), 1000);
}
