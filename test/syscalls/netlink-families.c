// Requests of NETLINK_ROUTE about namespaces, routes and interfaces that cannot be, and NETLINK_GENERIC.
#include "own-network.h"
#include <arpa/inet.h>
#include <linux/genetlink.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

static union {
  char bytes[32768];
  struct nlmsghdr align;
} in;
static struct {
  struct nlmsghdr h;
  union {
    struct genlmsghdr generic;
    struct rtgenmsg any;
    struct rtmsg route;
    struct ifinfomsg link;
  };
  char attributes[256];
} out;
static size_t end;
static int received;

static int open_netlink(int protocol) { return EXPECT_OK(socket(AF_NETLINK, SOCK_RAW, protocol)); }
static void begin(int type, int flags, size_t size) {
  memset(&out, 0, sizeof out);
  out.h = (struct nlmsghdr){0, type, NLM_F_REQUEST | flags, 99, 0};
  end = NLMSG_LENGTH(NLMSG_ALIGN(size));
}
static void add(int type, const void *value, size_t size) {
  struct rtattr *a = (struct rtattr *)((char *)&out + end);
  *a = (struct rtattr){RTA_LENGTH(size), type};
  memcpy(RTA_DATA(a), value, size);
  end += RTA_SPACE(size);
}
/** Sends the request; the error of its answer, or 0. */
static int ask(int s) {
  out.h.nlmsg_len = end;
  EXPECT_EQ(EXPECT_OK(send(s, &out, end, 0)), end);
  received = EXPECT_OK(recv(s, in.bytes, sizeof in, 0));
  EXPECT_EQ(in.align.nlmsg_seq, 99);
  return in.align.nlmsg_type == NLMSG_ERROR ? -((struct nlmsgerr *)NLMSG_DATA(&in.align))->error : 0;
}
static struct rtattr *attribute(size_t size, int type) {
  struct rtattr *a = (struct rtattr *)((char *)NLMSG_DATA(&in.align) + NLMSG_ALIGN(size));
  for (int left = in.align.nlmsg_len - NLMSG_SPACE(size); RTA_OK(a, left); a = RTA_NEXT(a, left))
    if ((a->rta_type & NLA_TYPE_MASK) == type) return a;
  return NULL;
}

TEST(numbers_of_namespaces) {
  own_network();
  int s = open_netlink(NETLINK_ROUTE), pid = getpid(), fd = EXPECT_OK(open("/proc/self/ns/net", O_RDONLY)), bad = 999;
  begin(RTM_GETNSID, 0, sizeof out.any);
  add(NETNSA_PID, &pid, sizeof pid);
  EXPECT_EQ(ask(s), 0);
  EXPECT_EQ(in.align.nlmsg_type, RTM_NEWNSID);
  EXPECT_EQ(*(int *)RTA_DATA(attribute(sizeof out.any, NETNSA_NSID)), NETNSA_NSID_NOT_ASSIGNED);
  begin(RTM_GETNSID, 0, sizeof out.any);
  add(NETNSA_FD, &fd, sizeof fd);
  EXPECT_EQ(ask(s), 0);
  begin(RTM_GETNSID, 0, sizeof out.any);
  add(NETNSA_FD, &bad, sizeof bad);
  EXPECT_EQ(ask(s), EBADF);
  begin(RTM_GETNSID, 0, sizeof out.any);
  add(NETNSA_FD, &s, sizeof s);
  EXPECT_EQ(ask(s), EINVAL);
  bad = 0x7fffffff;
  begin(RTM_GETNSID, 0, sizeof out.any);
  add(NETNSA_PID, &bad, sizeof bad);
  EXPECT_EQ(ask(s), ESRCH);
  begin(RTM_GETNSID, 0, sizeof out.any);
  EXPECT_EQ(ask(s), EINVAL);
}

TEST(the_way_to_an_address) {
  own_network();
  int s = open_netlink(NETLINK_ROUTE);
  uint32_t to = htonl(0x7f000005);
  begin(RTM_GETROUTE, 0, sizeof out.route);
  out.route.rtm_family = AF_INET;
  out.route.rtm_dst_len = 32;
  add(RTA_DST, &to, sizeof to);
  EXPECT_EQ(ask(s), 0);
  struct rtmsg *m = NLMSG_DATA(&in.align);
  EXPECT_EQ(m->rtm_type, RTN_LOCAL);
  EXPECT_EQ(m->rtm_table, RT_TABLE_MAIN);
  EXPECT_EQ(m->rtm_dst_len, 32);
  EXPECT_TRUE(m->rtm_flags & RTM_F_CLONED);
  EXPECT_EQ(*(uint32_t *)RTA_DATA(attribute(sizeof *m, RTA_DST)), to);
  EXPECT_EQ(*(uint32_t *)RTA_DATA(attribute(sizeof *m, RTA_OIF)), 1);
  EXPECT_EQ(*(uint32_t *)RTA_DATA(attribute(sizeof *m, RTA_PREFSRC)), htonl(INADDR_LOOPBACK));
  EXPECT_EQ(*(uint32_t *)RTA_DATA(attribute(sizeof *m, RTA_UID)), getuid());
  EXPECT_EQ(RTA_PAYLOAD(attribute(sizeof *m, RTA_CACHEINFO)), sizeof(struct rta_cacheinfo));
  to = htonl(0x08080808);
  begin(RTM_GETROUTE, 0, sizeof out.route);
  out.route.rtm_family = AF_INET;
  out.route.rtm_dst_len = 32;
  add(RTA_DST, &to, sizeof to);
  EXPECT_EQ(ask(s), ENETUNREACH);
}

TEST(interfaces_that_are_not_there) {
  own_network();
  int s = open_netlink(NETLINK_ROUTE);
  begin(RTM_NEWLINK, NLM_F_ACK, sizeof out.link);
  EXPECT_EQ(ask(s), ENODEV);
  out.link.ifi_index = 77;
  EXPECT_EQ(ask(s), ENODEV);
  out.link.ifi_index = -3;
  EXPECT_EQ(ask(s), EINVAL);
  begin(RTM_SETLINK, NLM_F_ACK, sizeof out.link);
  add(IFLA_IFNAME, "nothing", 8);
  EXPECT_EQ(ask(s), ENODEV);
  begin(RTM_NEWLINK, NLM_F_ACK, sizeof out.link);
  add(IFLA_IFNAME, "nothing", 8);
  EXPECT_EQ(ask(s), ENODEV);
  // A kind that nobody has.
  begin(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof out.link);
  add(IFLA_IFNAME, "nothing", 8);
  struct {
    struct rtattr a;
    char kind[12];
  } info = {{sizeof info, IFLA_INFO_KIND}, "nosuchkind"};
  add(IFLA_LINKINFO, &info, sizeof info);
  EXPECT_EQ(ask(s), EOPNOTSUPP);
}

static int family(int s, int attribute, const void *value, size_t size) {
  begin(GENL_ID_CTRL, 0, sizeof out.generic);
  out.generic.cmd = CTRL_CMD_GETFAMILY;
  if (value) add(attribute, value, size);
  return ask(s);
}
TEST(generic_families) {
  int s = open_netlink(NETLINK_GENERIC);
  EXPECT_EQ(family(s, CTRL_ATTR_FAMILY_NAME, "nlctrl", 7), 0);
  EXPECT_EQ(in.align.nlmsg_type, GENL_ID_CTRL);
  struct genlmsghdr *m = NLMSG_DATA(&in.align);
  EXPECT_EQ(m->cmd, CTRL_CMD_NEWFAMILY);
  EXPECT_EQ(m->version, 2);
  EXPECT_STR(RTA_DATA(attribute(sizeof *m, CTRL_ATTR_FAMILY_NAME)), "nlctrl");
  EXPECT_EQ(*(uint16_t *)RTA_DATA(attribute(sizeof *m, CTRL_ATTR_FAMILY_ID)), GENL_ID_CTRL);
  EXPECT_EQ(*(uint32_t *)RTA_DATA(attribute(sizeof *m, CTRL_ATTR_HDRSIZE)), 0);
  // Two operations and a group.
  EXPECT_EQ(RTA_PAYLOAD(attribute(sizeof *m, CTRL_ATTR_OPS)), 40);
  EXPECT_EQ(RTA_PAYLOAD(attribute(sizeof *m, CTRL_ATTR_MCAST_GROUPS)), 24);
  uint16_t id = GENL_ID_CTRL;
  EXPECT_EQ(family(s, CTRL_ATTR_FAMILY_ID, &id, sizeof id), 0);
  id = 0x3ff0;
  EXPECT_EQ(family(s, CTRL_ATTR_FAMILY_ID, &id, sizeof id), ENOENT);
  EXPECT_EQ(family(s, CTRL_ATTR_FAMILY_NAME, "not there", 10), ENOENT);
  EXPECT_EQ(family(s, 0, NULL, 0), EINVAL);
  begin(GENL_ID_CTRL, 0, sizeof out.generic);
  out.generic.cmd = 99;
  EXPECT_EQ(ask(s), EOPNOTSUPP);
  begin(GENL_ID_CTRL, 0, 0);
  EXPECT_EQ(ask(s), EINVAL);
  begin(0x3ff0, 0, sizeof out.generic);
  EXPECT_EQ(ask(s), ENOENT);
  // All of them: this one is among them.
  begin(GENL_ID_CTRL, NLM_F_DUMP, sizeof out.generic);
  out.generic.cmd = CTRL_CMD_GETFAMILY;
  EXPECT_EQ(ask(s), 0);
  int seen = 0, done = 0;
  for (;;) {
    for (struct nlmsghdr *h = &in.align; NLMSG_OK(h, received) && !done; h = NLMSG_NEXT(h, received)) {
      EXPECT_TRUE(h->nlmsg_flags & NLM_F_MULTI);
      // The name is the first attribute.
      if (h->nlmsg_type == NLMSG_DONE) done = 1;
      else seen |= strcmp((char *)NLMSG_DATA(h) + sizeof *m + sizeof(struct rtattr), "nlctrl") == 0;
    }
    if (done) break;
    received = EXPECT_OK(recv(s, in.bytes, sizeof in, 0));
  }
  EXPECT_TRUE(seen);
}
