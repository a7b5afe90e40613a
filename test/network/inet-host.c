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
static int server, client, accepted;
static void connection(void) {
  server = bound(SOCK_STREAM);
  EXPECT_OK(listen(server, 5));
  client = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_OK(connect(client, ADDRESS));
  accepted = EXPECT_OK(accept(server, NULL, NULL));
}
static int events_of(int s, int wanted, int timeout) {
  struct pollfd p = {s, wanted, 0};
  EXPECT_OK(poll(&p, 1, timeout));
  return p.revents;
}
static void set(int s, int level, int name, int value) {
  EXPECT_OK(setsockopt(s, level, name, &value, sizeof value));
}

TEST(urgent_data) {
  char buffer[8];
  int mark;
  connection();
  EXPECT_EQ(send(client, "abX", 3, MSG_OOB), 3);
  EXPECT_TRUE(events_of(accepted, POLLPRI, 5000) & POLLPRI);
  EXPECT_EQ(recv(accepted, buffer, 1, MSG_OOB), 1);
  EXPECT_EQ(buffer[0], 'X');
  EXPECT_ERRNO(recv(accepted, buffer, 1, MSG_OOB), EINVAL);
  EXPECT_EQ(recv(accepted, buffer, sizeof buffer, 0), 2);
  EXPECT_OK(ioctl(accepted, SIOCATMARK, &mark));
  EXPECT_EQ(mark, 1);
  set(accepted, SOL_SOCKET, SO_OOBINLINE, 1);
  // A byte that was taken out of line comes again; reading stops before the next mark.
  EXPECT_EQ(send(client, "Y", 1, MSG_OOB), 1);
  EXPECT_TRUE(events_of(accepted, POLLPRI, 5000) & POLLPRI);
  EXPECT_EQ(recv(accepted, buffer, sizeof buffer, 0), 1);
  EXPECT_EQ(buffer[0], 'X');
  EXPECT_EQ(recv(accepted, buffer, sizeof buffer, 0), 1);
  EXPECT_EQ(buffer[0], 'Y');
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
