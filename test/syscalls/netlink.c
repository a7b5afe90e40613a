// AF_NETLINK: asking for interfaces, addresses and routes, ports, errors. True of any network namespace with lo.
#include "test.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

static union {
  char bytes[65536];
  struct nlmsghdr align;
} in;
static struct {
  struct nlmsghdr h;
  union {
    struct ifinfomsg link;
    struct ifaddrmsg addr;
    struct rtmsg route;
    struct rtgenmsg gen;
  };
  char attributes[64];
} out;

static int route_socket(void) { return EXPECT_OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)); }
static void request(int s, int type, int flags, size_t size) {
  out.h = (struct nlmsghdr){NLMSG_LENGTH(size), type, NLM_F_REQUEST | flags, 4711, 0};
  EXPECT_EQ(EXPECT_OK(send(s, &out, out.h.nlmsg_len, 0)), out.h.nlmsg_len);
}
static uint32_t port_of(int s) {
  struct sockaddr_nl a;
  socklen_t n = sizeof a;
  EXPECT_OK(getsockname(s, (struct sockaddr *)&a, &n));
  EXPECT_EQ(n, sizeof a);
  EXPECT_EQ(a.nl_family, AF_NETLINK);
  return a.nl_pid;
}
static int error_of_answer(int s) {
  ssize_t n = EXPECT_OK(recv(s, in.bytes, sizeof in, 0));
  EXPECT_GE(n, (int)NLMSG_LENGTH(sizeof(struct nlmsgerr)));
  EXPECT_EQ(in.align.nlmsg_type, NLMSG_ERROR);
  EXPECT_EQ(in.align.nlmsg_seq, 4711);
  struct nlmsgerr *error = NLMSG_DATA(&in.align);
  EXPECT_EQ(error->msg.nlmsg_type, out.h.nlmsg_type);
  return -error->error;
}
static struct rtattr *attribute(struct rtattr *a, int length, int type) {
  for (; RTA_OK(a, length); a = RTA_NEXT(a, length))
    if ((a->rta_type & NLA_TYPE_MASK) == type) return a;
  return NULL;
}

/** Calls `see` for each message of a dump. */
static int dump(int s, void (*see)(struct nlmsghdr *)) {
  int count = 0;
  for (;;) {
    int n = EXPECT_OK(recv(s, in.bytes, sizeof in, 0));
    EXPECT_GT(n, 0);
    for (struct nlmsghdr *h = &in.align; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
      EXPECT_EQ(h->nlmsg_seq, 4711);
      EXPECT_EQ(h->nlmsg_pid, port_of(s));
      EXPECT_TRUE(h->nlmsg_flags & NLM_F_MULTI);
      if (h->nlmsg_type == NLMSG_DONE) return count;
      count++;
      see(h);
    }
  }
}

static int seen;
static void see_link(struct nlmsghdr *h) {
  struct ifinfomsg *link = NLMSG_DATA(h);
  EXPECT_EQ(h->nlmsg_type, RTM_NEWLINK);
  struct rtattr *name = attribute(IFLA_RTA(link), IFLA_PAYLOAD(h), IFLA_IFNAME);
  EXPECT_TRUE(name != NULL);
  if (strcmp(RTA_DATA(name), "lo") != 0) return;
  seen++;
  EXPECT_EQ(link->ifi_index, if_nametoindex("lo"));
  EXPECT_TRUE(link->ifi_flags & IFF_LOOPBACK);
  struct rtattr *mtu = attribute(IFLA_RTA(link), IFLA_PAYLOAD(h), IFLA_MTU);
  EXPECT_EQ(*(uint32_t *)RTA_DATA(mtu), 65536);
}
TEST(links) {
  int s = route_socket();
  memset(&out, 0, sizeof out);
  request(s, RTM_GETLINK, NLM_F_DUMP, sizeof out.link);
  EXPECT_GE(dump(s, see_link), 1);
  EXPECT_EQ(seen, 1);
  out.link = (struct ifinfomsg){.ifi_index = 1};
  request(s, RTM_GETLINK, 0, sizeof out.link);
  EXPECT_GT(EXPECT_OK(recv(s, in.bytes, sizeof in, 0)), 0);
  EXPECT_EQ(in.align.nlmsg_flags & NLM_F_MULTI, 0);
  see_link(&in.align);
  EXPECT_EQ(seen, 2);
  out.link = (struct ifinfomsg){.ifi_index = 9999};
  request(s, RTM_GETLINK, 0, sizeof out.link);
  EXPECT_EQ(error_of_answer(s), ENODEV);
}

static void see_address(struct nlmsghdr *h) {
  struct ifaddrmsg *addr = NLMSG_DATA(h);
  EXPECT_EQ(h->nlmsg_type, RTM_NEWADDR);
  EXPECT_EQ(addr->ifa_family, AF_INET);
  struct rtattr *local = attribute(IFA_RTA(addr), IFA_PAYLOAD(h), IFA_LOCAL);
  if (*(uint32_t *)RTA_DATA(local) != htonl(INADDR_LOOPBACK)) return;
  seen++;
  EXPECT_EQ(addr->ifa_prefixlen, 8);
  EXPECT_EQ(addr->ifa_scope, RT_SCOPE_HOST);
}
TEST(addresses) {
  int s = route_socket();
  memset(&out, 0, sizeof out);
  out.gen.rtgen_family = AF_INET;
  request(s, RTM_GETADDR, NLM_F_DUMP, sizeof out.gen);
  EXPECT_GE(dump(s, see_address), 1);
  EXPECT_EQ(seen, 1);
  struct ifaddrs *all, *one;
  EXPECT_OK(getifaddrs(&all));
  int families[16] = {0};
  for (one = all; one; one = one->ifa_next)
    if (strcmp(one->ifa_name, "lo") == 0 && one->ifa_addr) families[one->ifa_addr->sa_family & 15]++;
  EXPECT_EQ(families[AF_INET], 1);
  struct if_nameindex *names = if_nameindex();
  EXPECT_TRUE(names != NULL);
  EXPECT_STR(names[0].if_name, "lo");
  char name[IF_NAMESIZE];
  EXPECT_STR(if_indextoname(1, name), "lo");
}

static void see_route(struct nlmsghdr *h) {
  struct rtmsg *route = NLMSG_DATA(h);
  EXPECT_EQ(h->nlmsg_type, RTM_NEWROUTE);
  if (route->rtm_table != RT_TABLE_LOCAL || route->rtm_dst_len != 8 || route->rtm_type != RTN_LOCAL) return;
  struct rtattr *to = attribute(RTM_RTA(route), RTM_PAYLOAD(h), RTA_DST);
  EXPECT_EQ(*(uint32_t *)RTA_DATA(to), htonl(0x7f000000));
  seen++;
}
TEST(routes) {
  int s = route_socket();
  memset(&out, 0, sizeof out);
  out.gen.rtgen_family = AF_INET;
  request(s, RTM_GETROUTE, NLM_F_DUMP, sizeof out.route);
  EXPECT_GE(dump(s, see_route), 2);
  EXPECT_EQ(seen, 1);
  // The way to one address.
  out.route = (struct rtmsg){.rtm_family = AF_INET, .rtm_dst_len = 32};
  struct rtattr *to = (struct rtattr *)((char *)&out.route + sizeof out.route);
  *to = (struct rtattr){8, RTA_DST};
  *(uint32_t *)RTA_DATA(to) = htonl(INADDR_LOOPBACK);
  request(s, RTM_GETROUTE, 0, sizeof out.route + 8);
  EXPECT_GT(EXPECT_OK(recv(s, in.bytes, sizeof in, 0)), 0);
  EXPECT_EQ(in.align.nlmsg_type, RTM_NEWROUTE);
  struct rtmsg *route = NLMSG_DATA(&in.align);
  EXPECT_EQ(route->rtm_type, RTN_LOCAL);
  EXPECT_EQ(*(int *)RTA_DATA(attribute(RTM_RTA(route), RTM_PAYLOAD(&in.align), RTA_OIF)), 1);
}

TEST(ports) {
  struct sockaddr_nl name = {.nl_family = AF_NETLINK};
  int a = route_socket(), b = route_socket();
  EXPECT_EQ(port_of(a), 0);
  EXPECT_OK(bind(a, (struct sockaddr *)&name, sizeof name));
  EXPECT_EQ(port_of(a), getpid());
  EXPECT_OK(bind(b, (struct sockaddr *)&name, sizeof name));
  EXPECT_TRUE(port_of(b) != 0 && port_of(b) != port_of(a));
  name.nl_pid = 123456;
  EXPECT_ERRNO(bind(a, (struct sockaddr *)&name, sizeof name), EINVAL);
  int c = route_socket(), d = route_socket();
  EXPECT_OK(bind(c, (struct sockaddr *)&name, sizeof name));
  EXPECT_EQ(port_of(c), 123456);
  EXPECT_ERRNO(bind(d, (struct sockaddr *)&name, sizeof name), EADDRINUSE);
  EXPECT_OK(close(c));
  EXPECT_OK(bind(d, (struct sockaddr *)&name, sizeof name));
  // An answer comes to the port that was chosen.
  memset(&out, 0, sizeof out);
  request(d, RTM_GETLINK, NLM_F_DUMP, sizeof out.link);
  dump(d, see_link);
  EXPECT_ERRNO(bind(d, (struct sockaddr *)&name, 4), EINVAL);
  name.nl_family = AF_INET;
  EXPECT_ERRNO(bind(d, (struct sockaddr *)&name, sizeof name), EINVAL);
}

TEST(waiting_and_truncation) {
  int s = route_socket();
  EXPECT_ERRNO(recv(s, in.bytes, sizeof in, MSG_DONTWAIT), EAGAIN);
  struct pollfd p = {s, POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(p.revents, POLLOUT);
  memset(&out, 0, sizeof out);
  out.link.ifi_index = 1;
  request(s, RTM_GETLINK, 0, sizeof out.link);
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(p.revents, POLLIN | POLLOUT);
  ssize_t whole = EXPECT_OK(recv(s, NULL, 0, MSG_PEEK | MSG_TRUNC));
  EXPECT_GT(whole, 100);
  struct sockaddr_nl from = {0};
  struct msghdr m = {.msg_name = &from,
                     .msg_namelen = sizeof from,
                     .msg_iov = &(struct iovec){in.bytes, 20},
                     .msg_iovlen = 1};
  EXPECT_EQ(EXPECT_OK(recvmsg(s, &m, 0)), 20);
  EXPECT_TRUE(m.msg_flags & MSG_TRUNC);
  EXPECT_EQ(m.msg_namelen, sizeof from);
  EXPECT_EQ(from.nl_family, AF_NETLINK);
  EXPECT_EQ(from.nl_pid, 0);
  EXPECT_ERRNO(recv(s, in.bytes, sizeof in, MSG_DONTWAIT), EAGAIN);
}

TEST(what_is_refused) {
  int s = route_socket(), option = 1;
  memset(&out, 0, sizeof out);
  // A type that there is not, and an acknowledgement on request.
  request(s, 127, NLM_F_DUMP, sizeof out.gen);
  EXPECT_EQ(error_of_answer(s), EOPNOTSUPP);
  request(s, NLMSG_NOOP, NLM_F_ACK, 0);
  EXPECT_EQ(error_of_answer(s), 0);
  IN_CHILD({
    EXPECT_OK(setuid(NOBODY));
    out.link = (struct ifinfomsg){.ifi_index = 1, .ifi_change = IFF_UP};
    request(s, RTM_NEWLINK, NLM_F_ACK, sizeof out.link);
    EXPECT_EQ(error_of_answer(s), EPERM);
    struct sockaddr_nl to = {.nl_family = AF_NETLINK, .nl_pid = 77777};
    EXPECT_ERRNO(sendto(s, &out, 16, 0, (struct sockaddr *)&to, sizeof to), EPERM);
    EXPECT_ERRNO(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
  });
  EXPECT_ERRNO(listen(s, 1), EOPNOTSUPP);
  EXPECT_ERRNO(shutdown(s, SHUT_RDWR), EOPNOTSUPP);
  EXPECT_OK(setsockopt(s, SOL_NETLINK, NETLINK_EXT_ACK, &option, sizeof option));
  EXPECT_OK(setsockopt(s, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &option, sizeof option));
  EXPECT_ERRNO(setsockopt(s, SOL_NETLINK, 9999, &option, sizeof option), ENOPROTOOPT);
  EXPECT_ERRNO(socket(AF_NETLINK, SOCK_RAW, 31), EPROTONOSUPPORT);
  EXPECT_ERRNO(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE), ESOCKTNOSUPPORT);
}

TEST(uevents_are_silent) {
  struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = 1};
  int s = EXPECT_OK(socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  EXPECT_OK(bind(s, (struct sockaddr *)&name, sizeof name));
  EXPECT_ERRNO(recv(s, in.bytes, sizeof in, 0), EAGAIN);
}
