// Addresses that a privileged program gives to lo: rtnetlink(7).
#include "own-network.h"
#include <linux/rtnetlink.h>

static char answer[32768];

/** Sends one request; the type of the answer's first message, whose error is in errno. */
static int ask(int type, int flags, const void *body, size_t n) {
  int s = EXPECT_OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  struct {
    struct nlmsghdr h;
    char body[64];
  } m = {.h = {NLMSG_LENGTH(n), type, NLM_F_REQUEST | flags, 1, 0}};
  memcpy(m.body, body, n);
  EXPECT_EQ(send(s, &m, m.h.nlmsg_len, 0), m.h.nlmsg_len);
  EXPECT_GE(recv(s, answer, sizeof answer, 0), NLMSG_LENGTH(0));
  struct nlmsghdr *h = (struct nlmsghdr *)answer;
  errno = h->nlmsg_type == NLMSG_ERROR ? -((struct nlmsgerr *)NLMSG_DATA(h))->error : 0;
  close(s);
  return h->nlmsg_type;
}

static int error_of(int type, int flags, const void *body, size_t n) {
  EXPECT_EQ(ask(type, NLM_F_ACK | flags, body, n), NLMSG_ERROR);
  return errno;
}

static int change(int type, int flags, uint32_t ip, int bits, int index) {
  struct {
    struct ifaddrmsg m;
    struct rtattr a;
    uint32_t ip;
  } body = {{.ifa_family = AF_INET, .ifa_prefixlen = bits, .ifa_index = index}, {8, IFA_LOCAL}, htonl(ip)};
  return error_of(type, flags, &body, sizeof body);
}

#define TEN 0x0a010203

TEST(an_address_comes_and_goes) {
  own_network();
  struct sockaddr_in to = address4(TEN, 0);
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_ERRNO(bind(s, (struct sockaddr *)&to, sizeof to), EADDRNOTAVAIL);
  EXPECT_EQ(change(RTM_DELADDR, 0, TEN, 24, 1), EADDRNOTAVAIL);
  EXPECT_EQ(change(RTM_NEWADDR, NLM_F_CREATE, TEN, 24, 77), ENODEV);
  EXPECT_EQ(change(RTM_NEWADDR, NLM_F_CREATE, TEN, 33, 1), EINVAL);
  EXPECT_EQ(change(RTM_NEWADDR, NLM_F_CREATE, TEN, 24, 1), 0);
  EXPECT_EQ(change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, TEN, 24, 1), EEXIST);
  EXPECT_EQ(change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, TEN, 24, 1), 0);
  int port, a = bound_udp(TEN, 0, &port);
  to = address4(TEN, port);
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  struct sockaddr_in from;
  socklen_t n = sizeof from;
  char c;
  EXPECT_EQ(recvfrom(a, &c, 1, 0, (struct sockaddr *)&from, &n), 1);
  EXPECT_EQ(from.sin_addr.s_addr, htonl(TEN));
  EXPECT_EQ(change(RTM_DELADDR, 0, TEN, 24, 1), 0);
  EXPECT_EQ(change(RTM_DELADDR, 0, TEN, 24, 1), EADDRNOTAVAIL);
  EXPECT_ERRNO(SEND_TO(s, "x", 1, to), ENETUNREACH);
}

TEST(its_network_is_local) {
  own_network();
  EXPECT_EQ(change(RTM_NEWADDR, NLM_F_CREATE, TEN, 24, 1), 0);
  int l = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), s = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_OK(listen(l, 1));
  struct sockaddr_in to;
  socklen_t n = sizeof to;
  EXPECT_OK(getsockname(l, (struct sockaddr *)&to, &n));
  to.sin_addr.s_addr = htonl(TEN + 4);
  EXPECT_OK(connect(s, (struct sockaddr *)&to, sizeof to));
  EXPECT_OK(getsockname(s, (struct sockaddr *)&to, &n));
  EXPECT_EQ(to.sin_addr.s_addr, htonl(TEN));
}

TEST(requests_that_are_wrong) {
  own_network();
  struct ifinfomsg link = {.ifi_index = -1};
  EXPECT_EQ(error_of(RTM_GETLINK, 0, &link, sizeof link), EINVAL);
  link.ifi_index = 99;
  EXPECT_EQ(error_of(RTM_GETLINK, 0, &link, sizeof link), ENODEV);
  EXPECT_EQ(error_of(RTM_SETLINK, 0, &link, sizeof link), ENODEV);
  link.ifi_index = 0;
  EXPECT_EQ(error_of(RTM_DELLINK, 0, &link, sizeof link), EINVAL);
  link.ifi_index = 1;
  EXPECT_EQ(error_of(RTM_DELLINK, 0, &link, sizeof link), EOPNOTSUPP);
  struct rtmsg route = {.rtm_family = AF_INET};
  EXPECT_EQ(error_of(RTM_GETROUTE, 0, &route, 4), EINVAL);
  EXPECT_EQ(ask(RTM_GETROUTE, 0, &route, sizeof route), RTM_NEWROUTE);
  // An error repeats the request, rounded up.
  EXPECT_EQ(error_of(200, 0, &link, 1), EOPNOTSUPP);
  EXPECT_EQ(((struct nlmsghdr *)answer)->nlmsg_len, 40);
}
