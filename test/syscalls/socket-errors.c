// What calls on sockets answer to arguments that are wrong, and requests to sockets that are not about their data.
#include "test.h"
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>
#include <net/if.h>

static struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}
static int port_of(int s) {
  struct sockaddr_in a;
  socklen_t n = sizeof a;
  EXPECT_OK(getsockname(s, (struct sockaddr *)&a, &n));
  return ntohs(a.sin_port);
}
static int events_of(int s) {
  struct pollfd p = {s, POLLIN | POLLOUT | POLLRDHUP, 0};
  EXPECT_OK(poll(&p, 1, 0));
  return p.revents;
}

TEST(making_sockets) {
  int pair[2];
  EXPECT_ERRNO(socket(AF_INET, 75, 0), EINVAL);
  EXPECT_ERRNO(socket(AF_INET, 7, 0), ESOCKTNOSUPPORT);
  EXPECT_ERRNO(socketpair(AF_INET, SOCK_STREAM, 0, pair), EOPNOTSUPP);
  EXPECT_ERRNO(socketpair(AF_INET, SOCK_STREAM, IPPROTO_UDP, pair), EPROTONOSUPPORT);
}

TEST(memory_that_nobody_has) {
  char *nowhere = (char *)-1;
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in a = loopback(0);
  EXPECT_OK(bind(s, (struct sockaddr *)&a, sizeof a));
  EXPECT_ERRNO(recv(s, nowhere, 1, MSG_DONTWAIT), EFAULT);
  EXPECT_ERRNO(recv(s, nowhere, 0, MSG_DONTWAIT), EFAULT);
  EXPECT_ERRNO(recv(s, NULL, 0, MSG_DONTWAIT), EAGAIN);
  EXPECT_ERRNO(send(s, nowhere, 1, 0), EFAULT);
}

TEST(link_local_addresses_need_an_interface) {
  int s = EXPECT_OK(socket(AF_INET6, SOCK_STREAM, 0));
  struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr.s6_addr = {0xfe, 0x80}};
  a.sin6_addr.s6_addr[15] = 77;
  EXPECT_ERRNO(bind(s, (struct sockaddr *)&a, sizeof a), EINVAL);
  a.sin6_scope_id = 1;
  EXPECT_ERRNO(bind(s, (struct sockaddr *)&a, sizeof a), EADDRNOTAVAIL);
}

TEST(destinations_of_other_families) {
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0)), six = EXPECT_OK(socket(AF_INET6, SOCK_DGRAM, 0));
  struct sockaddr_in a = loopback(0);
  EXPECT_OK(bind(s, (struct sockaddr *)&a, sizeof a));
  a = loopback(port_of(s));
  EXPECT_EQ(sendto(six, "x", 1, 0, (struct sockaddr *)&a, sizeof a), 1);
  a.sin_family = AF_UNSPEC;
  EXPECT_EQ(sendto(s, "x", 1, 0, (struct sockaddr *)&a, sizeof a), 1);
  a.sin_family = AF_UNIX;
  EXPECT_ERRNO(sendto(s, "x", 1, 0, (struct sockaddr *)&a, sizeof a), EAFNOSUPPORT);
  char c;
  EXPECT_EQ(recv(s, &c, 1, MSG_OOB), 1);
  EXPECT_EQ(recv(s, &c, 1, 0), 1);
}

TEST(control_messages_that_mean_nothing) {
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in a = loopback(9);
  char c = 'x', control[32] = {0};
  struct iovec iov = {&c, 1};
  struct msghdr h = {&a, sizeof a, &iov, 1, control, 16, 0};
  struct cmsghdr *m = (struct cmsghdr *)control;
  *m = (struct cmsghdr){16, SOL_SOCKET, SCM_RIGHTS};
  EXPECT_EQ(sendmsg(s, &h, 0), 1);
  *m = (struct cmsghdr){16, 77, 1};
  EXPECT_EQ(sendmsg(s, &h, 0), 1);
  *m = (struct cmsghdr){16, IPPROTO_IPV6, IPV6_PKTINFO};
  EXPECT_EQ(sendmsg(s, &h, 0), 1);
  *m = (struct cmsghdr){16, IPPROTO_IP, 77};
  EXPECT_ERRNO(sendmsg(s, &h, 0), EINVAL);
  *m = (struct cmsghdr){15, SOL_SOCKET, SCM_RIGHTS};
  EXPECT_ERRNO(sendmsg(s, &h, 0), EINVAL);
  *m = (struct cmsghdr){17, SOL_SOCKET, SCM_RIGHTS};
  EXPECT_ERRNO(sendmsg(s, &h, 0), EINVAL);
}

TEST(shutting_down_without_a_connection) {
  char c;
  int s = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), u = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_ERRNO(recv(s, &c, 1, 0), ENOTCONN);
  EXPECT_ERRNO(shutdown(s, SHUT_RD), ENOTCONN);
  EXPECT_EQ(recv(s, &c, 1, 0), 0);
  EXPECT_ERRNO(shutdown(u, SHUT_RDWR), ENOTCONN);
  EXPECT_EQ(recv(u, &c, 1, 0), 0);
}

TEST(after_both_ends_have_finished) {
  int l = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), c = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_OK(listen(l, 1));
  struct sockaddr_in a = loopback(port_of(l));
  socklen_t n = sizeof a;
  EXPECT_OK(connect(c, (struct sockaddr *)&a, sizeof a));
  int s = EXPECT_OK(accept(l, NULL, NULL));
  EXPECT_OK(shutdown(l, SHUT_RD));
  EXPECT_EQ(events_of(l), POLLOUT | POLLHUP);
  EXPECT_ERRNO(accept(l, NULL, NULL), EINVAL);
  EXPECT_OK(listen(l, 1));
  EXPECT_OK(shutdown(c, SHUT_WR));
  EXPECT_OK(getpeername(c, (struct sockaddr *)&a, &n));
  char byte;
  EXPECT_EQ(recv(s, &byte, 1, 0), 0);
  EXPECT_OK(shutdown(s, SHUT_RDWR));
  EXPECT_EQ(recv(c, &byte, 1, 0), 0);
  EXPECT_ERRNO(shutdown(c, SHUT_RDWR), ENOTCONN);
  EXPECT_ERRNO(getpeername(c, (struct sockaddr *)&a, &n), ENOTCONN);
}

TEST(owners_by_ioctl) {
  int s = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), owner = getpid();
  EXPECT_OK(ioctl(s, FIOSETOWN, &owner));
  EXPECT_EQ(fcntl(s, F_GETOWN), owner);
  owner = -getpgrp();
  EXPECT_OK(ioctl(s, SIOCSPGRP, &owner));
  owner = 0;
  EXPECT_OK(ioctl(s, SIOCGPGRP, &owner));
  EXPECT_EQ(owner, -getpgrp());
  owner = 0x7ffffff0;
  EXPECT_ERRNO(ioctl(s, SIOCSPGRP, &owner), ESRCH);
  EXPECT_ERRNO(ioctl(s, SIOCSPGRP, NULL), EFAULT);
}

TEST(the_time_of_the_last_packet) {
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct timeval before, stamp;
  struct timespec precise;
  EXPECT_ERRNO(ioctl(s, SIOCGSTAMP, &stamp), ENOENT);
  struct sockaddr_in a = loopback(0);
  EXPECT_OK(bind(s, (struct sockaddr *)&a, sizeof a));
  a = loopback(port_of(s));
  EXPECT_OK(gettimeofday(&before, NULL));
  EXPECT_EQ(sendto(s, "x", 1, 0, (struct sockaddr *)&a, sizeof a), 1);
  char c;
  EXPECT_EQ(recv(s, &c, 1, 0), 1);
  EXPECT_OK(ioctl(s, SIOCGSTAMP, &stamp));
  EXPECT_GE(stamp.tv_sec, before.tv_sec);
  EXPECT_OK(ioctl(s, SIOCGSTAMPNS, &precise));
  EXPECT_EQ(precise.tv_sec, stamp.tv_sec);
}

TEST(requests_to_interfaces) {
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct ifreq r = {.ifr_name = "lo"};
  EXPECT_OK(ioctl(s, SIOCGIFMAP, &r));
  EXPECT_EQ(r.ifr_map.base_addr, 0);
  EXPECT_ERRNO(ioctl(s, SIOCGMIIPHY, &r), EOPNOTSUPP);
  r.ifr_data = NULL;
  EXPECT_ERRNO(ioctl(s, SIOCETHTOOL, &r), EFAULT);
  strcpy(r.ifr_name, "nosuch0");
  EXPECT_ERRNO(ioctl(s, SIOCGMIIPHY, &r), ENODEV);
  EXPECT_ERRNO(ioctl(s, SIOCGIFBRDADDR, &r), ENODEV);
}
