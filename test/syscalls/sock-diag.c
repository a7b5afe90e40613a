// NETLINK_SOCK_DIAG: sockets of TCP, UDP and AF_UNIX, of netlink and packets, as ss(8) asks for them.
#include "sock-diag.h"
#include <net/if.h>

static uint32_t wanted;
static struct nlmsghdr *found;
static char copy[8192];
static void find_inet(struct nlmsghdr *h) {
  struct inet_diag_msg *m = NLMSG_DATA(h);
  if (m->idiag_inode != wanted) return;
  EXPECT_TRUE(found == NULL);
  EXPECT_LE(h->nlmsg_len, sizeof copy);
  found = memcpy(copy, h, h->nlmsg_len);
}
static void find_unix(struct nlmsghdr *h) {
  struct unix_diag_msg *m = NLMSG_DATA(h);
  EXPECT_EQ(m->udiag_family, AF_UNIX);
  if (m->udiag_ino != wanted) return;
  EXPECT_TRUE(found == NULL);
  found = memcpy(copy, h, h->nlmsg_len);
}

/** Asks for all sockets of a protocol and gives the one of `fd`, or NULL. */
static struct inet_diag_msg *inet(int s, int fd, int protocol, uint32_t states, int extra) {
  out.inet = (struct inet_diag_req_v2){
      .sdiag_family = AF_INET, .sdiag_protocol = protocol, .idiag_ext = extra, .idiag_states = states};
  wanted = inode_of(fd);
  found = NULL;
  dump(s, 0, sizeof out.inet, find_inet);
  EXPECT_EQ(dump_end, 0);
  return found ? NLMSG_DATA(found) : NULL;
}
static struct rtattr *inet_attribute(int type) { return attribute_of(found, sizeof(struct inet_diag_msg), type); }
#define EXT(name) (1 << (INET_DIAG_##name - 1))

TEST(a_listener) {
  struct sockaddr_in name, own;
  int s = diag_socket(), l = bound_to(SOCK_STREAM, &name);
  EXPECT_TRUE(inet(s, l, IPPROTO_TCP, 0xfff, 0) == NULL);
  EXPECT_OK(listen(l, 7));
  connected_to(&name, SOCK_STREAM, &own);
  struct inet_diag_msg *m = inet(s, l, IPPROTO_TCP, 1 << TCP_LISTEN, 0xff);
  EXPECT_TRUE(m != NULL);
  EXPECT_EQ(m->idiag_family, AF_INET);
  EXPECT_EQ(m->idiag_state, TCP_LISTEN);
  EXPECT_EQ(m->idiag_timer, 0);
  EXPECT_EQ(m->idiag_uid, getuid());
  EXPECT_EQ(m->idiag_rqueue, 1);
  EXPECT_EQ(m->idiag_wqueue, 7);
  EXPECT_EQ(m->id.idiag_sport, name.sin_port);
  EXPECT_EQ(m->id.idiag_dport, 0);
  EXPECT_EQ(m->id.idiag_src[0], htonl(INADDR_LOOPBACK));
  EXPECT_EQ(m->id.idiag_src[1] | m->id.idiag_src[3] | m->id.idiag_dst[0], 0);
  EXPECT_EQ(m->id.idiag_if, 0);
  EXPECT_EQ(cookie_in(m->id.idiag_cookie), cookie_of(l));
  EXPECT_TRUE(cookie_of(l) != 0);
  EXPECT_EQ(RTA_PAYLOAD(inet_attribute(INET_DIAG_MEMINFO)), sizeof(struct inet_diag_meminfo));
  EXPECT_EQ(RTA_PAYLOAD(inet_attribute(INET_DIAG_SKMEMINFO)), 36);
  uint32_t *memory = RTA_DATA(inet_attribute(INET_DIAG_SKMEMINFO));
  int receive;
  socklen_t n = sizeof receive;
  EXPECT_OK(getsockopt(l, SOL_SOCKET, SO_RCVBUF, &receive, &n));
  EXPECT_EQ(memory[SK_MEMINFO_RCVBUF], receive);
  EXPECT_GE(RTA_PAYLOAD(inet_attribute(INET_DIAG_INFO)), 232);
  EXPECT_EQ(*(uint8_t *)RTA_DATA(inet_attribute(INET_DIAG_INFO)), TCP_LISTEN);
  char algorithm[16];
  n = sizeof algorithm;
  EXPECT_OK(getsockopt(l, SOL_TCP, TCP_CONGESTION, algorithm, &n));
  EXPECT_STR(RTA_DATA(inet_attribute(INET_DIAG_CONG)), algorithm);
  EXPECT_EQ(*(uint8_t *)RTA_DATA(inet_attribute(INET_DIAG_TOS)), 0);
  EXPECT_EQ(*(uint8_t *)RTA_DATA(inet_attribute(INET_DIAG_SHUTDOWN)), 0);
  struct inet_diag_sockopt *options = RTA_DATA(inet_attribute(INET_DIAG_SOCKOPT));
  EXPECT_EQ(options->is_icsk, 1);
  EXPECT_EQ(options->mc_loop, 1);
  EXPECT_EQ(options->freebind, 0);
  // Only what is asked for.
  EXPECT_TRUE(inet(s, l, IPPROTO_TCP, 1 << TCP_LISTEN, 0) != NULL);
  EXPECT_TRUE(inet_attribute(INET_DIAG_MEMINFO) == NULL);
  EXPECT_TRUE(inet_attribute(INET_DIAG_INFO) == NULL);
  EXPECT_TRUE(inet_attribute(INET_DIAG_CONG) == NULL);
  EXPECT_TRUE(inet_attribute(INET_DIAG_SHUTDOWN) != NULL);
  EXPECT_TRUE(inet(s, l, IPPROTO_TCP, 1 << TCP_ESTABLISHED, 0) == NULL);
  EXPECT_TRUE(inet(s, l, IPPROTO_UDP, ALL_STATES, 0) == NULL);
}

TEST(a_connection) {
  struct sockaddr_in name, own;
  int s = diag_socket(), l = bound_to(SOCK_STREAM, &name);
  EXPECT_OK(listen(l, 1));
  int c = connected_to(&name, SOCK_STREAM, &own), a = EXPECT_OK(accept(l, NULL, NULL));
  EXPECT_EQ(write(c, "hello", 5), 5);
  EXPECT_EQ(recv(a, in.bytes, 5, MSG_PEEK | MSG_WAITALL), 5);
  struct inet_diag_msg *m = inet(s, a, IPPROTO_TCP, ALL_STATES, EXT(INFO));
  EXPECT_TRUE(m != NULL);
  EXPECT_EQ(m->idiag_state, TCP_ESTABLISHED);
  EXPECT_EQ(m->idiag_rqueue, 5);
  EXPECT_EQ(m->id.idiag_sport, name.sin_port);
  EXPECT_EQ(m->id.idiag_dport, own.sin_port);
  EXPECT_EQ(m->id.idiag_dst[0], htonl(INADDR_LOOPBACK));
  EXPECT_EQ(*(uint8_t *)RTA_DATA(inet_attribute(INET_DIAG_INFO)), TCP_ESTABLISHED);
  m = inet(s, c, IPPROTO_TCP, ALL_STATES, 0);
  EXPECT_TRUE(m != NULL);
  EXPECT_EQ(m->id.idiag_sport, own.sin_port);
  EXPECT_EQ(m->idiag_rqueue, 0);
  EXPECT_OK(shutdown(a, SHUT_WR));
  while ((m = inet(s, c, IPPROTO_TCP, ALL_STATES, 0)) && m->idiag_state != TCP_CLOSE_WAIT) sched_yield();
  EXPECT_TRUE(m != NULL);
  EXPECT_EQ(*(uint8_t *)RTA_DATA(inet_attribute(INET_DIAG_SHUTDOWN)), 1);
  m = inet(s, a, IPPROTO_TCP, ALL_STATES, 0);
  EXPECT_EQ(*(uint8_t *)RTA_DATA(inet_attribute(INET_DIAG_SHUTDOWN)), 2);
}

TEST(a_socket_of_udp) {
  struct sockaddr_in name, own;
  int s = diag_socket(), a = bound_to(SOCK_DGRAM, &name), b = connected_to(&name, SOCK_DGRAM, &own);
  int unbound = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct inet_diag_msg *m = inet(s, a, IPPROTO_UDP, ALL_STATES, EXT(SKMEMINFO) | EXT(INFO));
  EXPECT_TRUE(m != NULL);
  EXPECT_EQ(m->idiag_state, TCP_CLOSE);
  EXPECT_EQ(m->id.idiag_sport, name.sin_port);
  EXPECT_EQ(m->id.idiag_dport, 0);
  EXPECT_EQ(m->idiag_rqueue, 0);
  EXPECT_TRUE(inet_attribute(INET_DIAG_INFO) == NULL);
  EXPECT_EQ(write(b, "x", 1), 1);
  EXPECT_EQ(recv(a, in.bytes, 5, MSG_PEEK), 1);
  m = inet(s, a, IPPROTO_UDP, ALL_STATES, 0);
  EXPECT_GT(m->idiag_rqueue, 0);
  m = inet(s, b, IPPROTO_UDP, ALL_STATES, 0);
  EXPECT_EQ(m->idiag_state, TCP_ESTABLISHED);
  EXPECT_EQ(m->id.idiag_dport, name.sin_port);
  EXPECT_TRUE(inet(s, unbound, IPPROTO_UDP, ALL_STATES, 0) == NULL);
}

TEST(sockets_of_ipv6) {
  struct sockaddr_in6 name = {.sin6_family = AF_INET6};
  socklen_t n = sizeof name;
  int s = diag_socket(), l = EXPECT_OK(socket(AF_INET6, SOCK_STREAM, 0));
  EXPECT_OK(bind(l, (struct sockaddr *)&name, n));
  EXPECT_OK(getsockname(l, (struct sockaddr *)&name, &n));
  EXPECT_OK(listen(l, 1));
  EXPECT_TRUE(inet(s, l, IPPROTO_TCP, ALL_STATES, 0) == NULL);
  out.inet = (struct inet_diag_req_v2){
      .sdiag_family = AF_INET6, .sdiag_protocol = IPPROTO_TCP, .idiag_ext = EXT(TCLASS), .idiag_states = ALL_STATES};
  dump(s, 0, sizeof out.inet, find_inet);
  EXPECT_TRUE(found != NULL);
  struct inet_diag_msg *m = NLMSG_DATA(found);
  EXPECT_EQ(m->idiag_family, AF_INET6);
  EXPECT_EQ(m->id.idiag_sport, name.sin6_port);
  EXPECT_EQ(*(uint8_t *)RTA_DATA(inet_attribute(INET_DIAG_SKV6ONLY)), 0);
  EXPECT_EQ(*(uint8_t *)RTA_DATA(inet_attribute(INET_DIAG_TCLASS)), 0);
}

/** How many of the sockets with our ports a program of conditions lets through; -errno when it is refused. */
static int filtered(int s, const void *program, size_t size) {
  out.inet = (struct inet_diag_req_v2){
      .sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1 << TCP_LISTEN};
  struct rtattr *a = (struct rtattr *)((char *)&out.inet + sizeof out.inet);
  *a = (struct rtattr){RTA_LENGTH(size), INET_DIAG_REQ_BYTECODE};
  memcpy(RTA_DATA(a), program, size);
  ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof out.inet + RTA_SPACE(size));
  int count = 0;
  for (;;) {
    int n = answer(s);
    for (struct nlmsghdr *h = &in.align; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
      if (h->nlmsg_type == NLMSG_ERROR) return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
      if (h->nlmsg_type == NLMSG_DONE) return count;
      count++;
    }
  }
}

TEST(conditions) {
  struct sockaddr_in name;
  int s = diag_socket(), l = bound_to(SOCK_STREAM, &name), port = ntohs(name.sin_port);
  EXPECT_OK(listen(l, 1));
  struct inet_diag_bc_op both[] = {{INET_DIAG_BC_S_GE, 8, 20}, {0, 0, port}, {INET_DIAG_BC_S_LE, 8, 12}, {0, 0, port}};
  EXPECT_EQ(filtered(s, both, sizeof both), 1);
  both[3].no = port - 1;
  EXPECT_EQ(filtered(s, both, sizeof both), 0);
  struct inet_diag_bc_op equal[] = {{INET_DIAG_BC_S_EQ, 8, 12}, {0, 0, port}};
  EXPECT_EQ(filtered(s, equal, sizeof equal), 1);
  equal[0].code = INET_DIAG_BC_D_EQ;
  EXPECT_EQ(filtered(s, equal, sizeof equal), 0);
  struct {
    struct inet_diag_bc_op op;
    struct inet_diag_hostcond host;
    uint32_t address;
  } host = {{INET_DIAG_BC_S_COND, sizeof host, sizeof host + 4}, {AF_INET, 32, port}, htonl(INADDR_LOOPBACK)};
  EXPECT_EQ(filtered(s, &host, sizeof host), 1);
  host.address = htonl(0x7f0000ff);
  EXPECT_EQ(filtered(s, &host, sizeof host), 0);
  host.host.prefix_len = 24;
  EXPECT_EQ(filtered(s, &host, sizeof host), 1);
  host.host.prefix_len = 33;
  EXPECT_EQ(filtered(s, &host, sizeof host), -EINVAL);
  // Either of two: the first one's failure leads to the second, its success beyond the end of a jump.
  struct inet_diag_bc_op either[] = {{INET_DIAG_BC_S_EQ, 8, 12}, {0, 0, port ^ 1},
                                     {INET_DIAG_BC_JMP, 4, 12},  {INET_DIAG_BC_S_EQ, 8, 12},
                                     {0, 0, port}};
  EXPECT_EQ(filtered(s, either, sizeof either), 1);
  struct inet_diag_bc_op no_end[] = {{INET_DIAG_BC_S_EQ, 8, 200}, {0, 0, port}};
  EXPECT_EQ(filtered(s, no_end, sizeof no_end), -EINVAL);
  struct inet_diag_bc_op half[] = {{INET_DIAG_BC_S_EQ, 8, 12}};
  EXPECT_EQ(filtered(s, half, sizeof half), -EINVAL);
  struct inet_diag_bc_op unknown[] = {{77, 4, 4}};
  EXPECT_EQ(filtered(s, unknown, sizeof unknown), -EINVAL);
  struct inet_diag_bc_op still[] = {{INET_DIAG_BC_NOP, 0, 0}};
  EXPECT_EQ(filtered(s, still, sizeof still), -EINVAL);
  // By the ports of the request itself.
  out.inet = (struct inet_diag_req_v2){.sdiag_family = AF_INET,
                                       .sdiag_protocol = IPPROTO_TCP,
                                       .idiag_states = ALL_STATES,
                                       .id.idiag_sport = name.sin_port};
  EXPECT_EQ(dump(s, 0, sizeof out.inet, NULL), 1);
}

TEST(one_of_them) {
  struct sockaddr_in name, own;
  int s = diag_socket(), l = bound_to(SOCK_STREAM, &name);
  EXPECT_OK(listen(l, 1));
  int c = connected_to(&name, SOCK_STREAM, &own);
  struct inet_diag_sockid id = {.idiag_sport = own.sin_port,
                                .idiag_dport = name.sin_port,
                                .idiag_src = {htonl(INADDR_LOOPBACK)},
                                .idiag_dst = {htonl(INADDR_LOOPBACK)},
                                .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}};
  out.inet = (struct inet_diag_req_v2){.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .id = id};
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.inet);
  answer(s);
  EXPECT_EQ(in.align.nlmsg_type, SOCK_DIAG_BY_FAMILY);
  EXPECT_EQ(in.align.nlmsg_flags & NLM_F_MULTI, 0);
  struct inet_diag_msg *m = NLMSG_DATA(&in.align);
  EXPECT_EQ(m->idiag_inode, inode_of(c));
  // Its cookie is good, another one is not.
  memcpy(out.inet.id.idiag_cookie, m->id.idiag_cookie, 8);
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.inet);
  answer(s);
  EXPECT_EQ(in.align.nlmsg_type, SOCK_DIAG_BY_FAMILY);
  out.inet.id.idiag_cookie[0]++;
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.inet);
  EXPECT_EQ(error_of(s), ENOENT);
  // A pair of ports that nobody has is found as the listener of one of them.
  out.inet.id = id;
  out.inet.id.idiag_sport = name.sin_port;
  out.inet.id.idiag_dport = htons(1);
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.inet);
  answer(s);
  EXPECT_EQ(((struct inet_diag_msg *)NLMSG_DATA(&in.align))->idiag_inode, inode_of(l));
  out.inet.id.idiag_sport = htons(1);
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.inet);
  EXPECT_EQ(error_of(s), ENOENT);
  out.inet.sdiag_family = AF_UNSPEC;
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.inet);
  EXPECT_EQ(error_of(s), ENOENT);
}

static struct unix_diag_msg *un(int s, int fd, uint32_t states, int show) {
  out.un = (struct unix_diag_req){.sdiag_family = AF_UNIX, .udiag_states = states, .udiag_show = show};
  wanted = inode_of(fd);
  found = NULL;
  dump(s, 0, sizeof out.un, find_unix);
  EXPECT_EQ(dump_end, 0);
  return found ? NLMSG_DATA(found) : NULL;
}
static struct rtattr *unix_attribute(int type) { return attribute_of(found, sizeof(struct unix_diag_msg), type); }

TEST(unix_listener) {
  struct sockaddr_un name = {AF_UNIX, "here"};
  int s = diag_socket(), l = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0));
  struct unix_diag_msg *m = un(s, l, ALL_STATES, 0xff);
  EXPECT_TRUE(m != NULL);
  EXPECT_EQ(m->udiag_state, TCP_CLOSE);
  EXPECT_EQ(m->udiag_type, SOCK_STREAM);
  EXPECT_TRUE(unix_attribute(UNIX_DIAG_NAME) == NULL);
  EXPECT_TRUE(unix_attribute(UNIX_DIAG_PEER) == NULL);
  EXPECT_OK(bind(l, (struct sockaddr *)&name, sizeof name));
  EXPECT_OK(listen(l, 3));
  int c = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_OK(connect(c, (struct sockaddr *)&name, sizeof name));
  m = un(s, l, 1 << TCP_LISTEN, 0xff);
  EXPECT_TRUE(m != NULL);
  EXPECT_EQ(m->udiag_state, TCP_LISTEN);
  EXPECT_EQ(cookie_in(m->udiag_cookie), cookie_of(l));
  EXPECT_EQ(RTA_PAYLOAD(unix_attribute(UNIX_DIAG_NAME)), 5);
  EXPECT_STR(RTA_DATA(unix_attribute(UNIX_DIAG_NAME)), "here");
  struct stat st;
  EXPECT_OK(stat("here", &st));
  EXPECT_EQ(((struct unix_diag_vfs *)RTA_DATA(unix_attribute(UNIX_DIAG_VFS)))->udiag_vfs_ino, (uint32_t)st.st_ino);
  EXPECT_EQ(RTA_PAYLOAD(unix_attribute(UNIX_DIAG_ICONS)), 4);
  EXPECT_EQ(*(uint32_t *)RTA_DATA(unix_attribute(UNIX_DIAG_ICONS)), inode_of(c));
  struct unix_diag_rqlen *queues = RTA_DATA(unix_attribute(UNIX_DIAG_RQLEN));
  EXPECT_EQ(queues->udiag_rqueue, 1);
  EXPECT_EQ(queues->udiag_wqueue, 3);
  EXPECT_EQ(RTA_PAYLOAD(unix_attribute(UNIX_DIAG_MEMINFO)), 36);
  EXPECT_EQ(*(uint8_t *)RTA_DATA(unix_attribute(UNIX_DIAG_SHUTDOWN)), 0);
  EXPECT_EQ(*(uint32_t *)RTA_DATA(unix_attribute(UNIX_DIAG_UID)), getuid());
  EXPECT_TRUE(un(s, l, 1 << TCP_LISTEN, 0) != NULL);
  EXPECT_TRUE(unix_attribute(UNIX_DIAG_NAME) == NULL);
  EXPECT_TRUE(unix_attribute(UNIX_DIAG_SHUTDOWN) != NULL);
  EXPECT_TRUE(un(s, l, 1 << TCP_ESTABLISHED, 0) == NULL);
}

TEST(unix_pair) {
  int s = diag_socket(), pair[2];
  EXPECT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  EXPECT_EQ(write(pair[0], "abcdefg", 7), 7);
  struct unix_diag_msg *m = un(s, pair[1], ALL_STATES, UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN);
  EXPECT_EQ(m->udiag_state, TCP_ESTABLISHED);
  EXPECT_EQ(*(uint32_t *)RTA_DATA(unix_attribute(UNIX_DIAG_PEER)), inode_of(pair[0]));
  EXPECT_EQ(((struct unix_diag_rqlen *)RTA_DATA(unix_attribute(UNIX_DIAG_RQLEN)))->udiag_rqueue, 7);
  EXPECT_EQ(((struct unix_diag_rqlen *)RTA_DATA(unix_attribute(UNIX_DIAG_RQLEN)))->udiag_wqueue, 0);
  EXPECT_OK(shutdown(pair[0], SHUT_WR));
  un(s, pair[1], ALL_STATES, 0);
  EXPECT_EQ(*(uint8_t *)RTA_DATA(unix_attribute(UNIX_DIAG_SHUTDOWN)), 1);
  // One by its inode.
  out.un = (struct unix_diag_req){
      .sdiag_family = AF_UNIX, .udiag_ino = inode_of(pair[0]), .udiag_cookie = {-1, -1}, .udiag_show = UDIAG_SHOW_PEER};
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.un);
  answer(s);
  EXPECT_EQ(in.align.nlmsg_type, SOCK_DIAG_BY_FAMILY);
  EXPECT_EQ(((struct unix_diag_msg *)NLMSG_DATA(&in.align))->udiag_ino, inode_of(pair[0]));
  out.un.udiag_cookie[0] = 0;
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.un);
  EXPECT_EQ(error_of(s), ESTALE);
  out.un.udiag_ino = inode_of(s);
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.un);
  EXPECT_EQ(error_of(s), ENOENT);
  out.un.udiag_ino = 0;
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.un);
  EXPECT_EQ(error_of(s), EINVAL);
}

TEST(abstract_names) {
  struct sockaddr_un name = {AF_UNIX, {0, 'n', 0, 'm'}};
  int s = diag_socket(), d = EXPECT_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  EXPECT_OK(bind(d, (struct sockaddr *)&name, sizeof(sa_family_t) + 4));
  EXPECT_TRUE(un(s, d, ALL_STATES, UDIAG_SHOW_NAME | UDIAG_SHOW_VFS) != NULL);
  EXPECT_EQ(RTA_PAYLOAD(unix_attribute(UNIX_DIAG_NAME)), 4);
  EXPECT_MEM(RTA_DATA(unix_attribute(UNIX_DIAG_NAME)), "\0n\0m", 4);
  EXPECT_TRUE(unix_attribute(UNIX_DIAG_VFS) == NULL);
}

static void find_netlink(struct nlmsghdr *h) {
  struct netlink_diag_msg *m = NLMSG_DATA(h);
  EXPECT_EQ(m->ndiag_family, AF_NETLINK);
  // Linux lists a socket with groups twice.
  if (m->ndiag_ino != wanted || found) return;
  found = memcpy(copy, h, h->nlmsg_len);
}
TEST(sockets_of_netlink) {
  struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = 5};
  int s = diag_socket(), r = EXPECT_OK(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE));
  EXPECT_OK(bind(r, (struct sockaddr *)&name, sizeof name));
  out.nl = (struct netlink_diag_req){AF_NETLINK, NDIAG_PROTO_ALL, .ndiag_show = 0xff};
  wanted = inode_of(r);
  dump(s, 0, sizeof out.nl, find_netlink);
  EXPECT_TRUE(found != NULL);
  struct netlink_diag_msg *m = NLMSG_DATA(found);
  socklen_t n = sizeof name;
  EXPECT_OK(getsockname(r, (struct sockaddr *)&name, &n));
  EXPECT_EQ(m->ndiag_portid, name.nl_pid);
  EXPECT_EQ(m->ndiag_type, SOCK_DGRAM);
  EXPECT_EQ(m->ndiag_protocol, NETLINK_ROUTE);
  EXPECT_EQ(m->ndiag_dst_portid, 0);
  EXPECT_EQ(cookie_in(m->ndiag_cookie), cookie_of(r));
  struct rtattr *groups = attribute_of(found, sizeof *m, NETLINK_DIAG_GROUPS);
  EXPECT_EQ(*(uint32_t *)RTA_DATA(groups), 5);
  EXPECT_EQ(RTA_PAYLOAD(attribute_of(found, sizeof *m, NETLINK_DIAG_MEMINFO)), 36);
  found = NULL;
  out.nl.sdiag_protocol = NETLINK_KOBJECT_UEVENT;
  dump(s, 0, sizeof out.nl, find_netlink);
  EXPECT_TRUE(found == NULL);
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.nl);
  EXPECT_EQ(error_of(s), EOPNOTSUPP);
  out.nl.sdiag_protocol = 99;
  dump(s, 0, sizeof out.nl, NULL);
  EXPECT_EQ(dump_end, -ENOENT);
}

static int packets;
static void find_packet(struct nlmsghdr *h) {
  struct packet_diag_msg *m = NLMSG_DATA(h);
  if (m->pdiag_ino != wanted) return;
  packets++;
  EXPECT_EQ(m->pdiag_family, AF_PACKET);
  EXPECT_EQ(m->pdiag_type, SOCK_RAW);
  EXPECT_EQ(m->pdiag_num, 0x0800);
  EXPECT_EQ(RTA_PAYLOAD(attribute_of(h, sizeof *m, PACKET_DIAG_INFO)), sizeof(struct packet_diag_info));
  EXPECT_EQ(*(uint32_t *)RTA_DATA(attribute_of(h, sizeof *m, PACKET_DIAG_UID)), getuid());
  EXPECT_EQ(RTA_PAYLOAD(attribute_of(h, sizeof *m, PACKET_DIAG_MEMINFO)), 36);
}
TEST(sockets_of_packets) {
  int s = diag_socket(), p = socket(AF_PACKET, SOCK_RAW, htons(0x0800));
  if (p == -1 && (errno == EPERM || errno == EAFNOSUPPORT)) SKIP("no packet sockets");
  wanted = inode_of(p);
  out.packet = (struct packet_diag_req){AF_PACKET, .pdiag_show = PACKET_SHOW_INFO | PACKET_SHOW_MEMINFO};
  dump(s, 0, sizeof out.packet, find_packet);
  EXPECT_EQ(packets, 1);
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.packet);
  EXPECT_EQ(error_of(s), EOPNOTSUPP);
  out.packet.sdiag_protocol = 1;
  ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof out.packet);
  EXPECT_EQ(error_of(s), EINVAL);
}

TEST(what_is_refused) {
  int s = diag_socket();
  memset(&out, 0, sizeof out);
  ask(s, SOCK_DIAG_BY_FAMILY, 0, 1);
  EXPECT_EQ(error_of(s), EINVAL);
  out.any.sdiag_family = AF_MAX;
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.any);
  EXPECT_EQ(error_of(s), EINVAL);
  out.any.sdiag_family = AF_BLUETOOTH;
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.any);
  EXPECT_EQ(error_of(s), ENOENT);
  out.any.sdiag_family = AF_INET;
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.any);
  EXPECT_EQ(error_of(s), EINVAL);
  out.any.sdiag_family = AF_UNIX;
  ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof out.any);
  EXPECT_EQ(error_of(s), EINVAL);
  ask(s, 4000, 0, sizeof out.any);
  EXPECT_EQ(error_of(s), EINVAL);
  // A protocol that has no sockets ends the dump with an error.
  out.inet = (struct inet_diag_req_v2){.sdiag_family = AF_INET, .sdiag_protocol = 200, .idiag_states = ALL_STATES};
  EXPECT_EQ(dump(s, 0, sizeof out.inet, NULL), 0);
  EXPECT_EQ(dump_end, -ENOENT);
  ask(s, SOCK_DIAG_BY_FAMILY, 0, sizeof out.inet);
  EXPECT_EQ(error_of(s), ENOENT);
  // A dump is no request that could be acknowledged.
  out.inet.sdiag_protocol = IPPROTO_UDP;
  out.inet.idiag_states = 0;
  EXPECT_EQ(dump(s, NLM_F_ACK, sizeof out.inet, NULL), 0);
  EXPECT_ERRNO(recv(s, in.bytes, sizeof in, MSG_DONTWAIT), EAGAIN);
}

TEST(the_old_request) {
  struct sockaddr_in name;
  int s = diag_socket(), l = bound_to(SOCK_STREAM, &name);
  EXPECT_OK(listen(l, 1));
  out.old = (struct inet_diag_req){.idiag_family = AF_INET, .idiag_states = 1 << TCP_LISTEN};
  ask(s, TCPDIAG_GETSOCK, NLM_F_DUMP, sizeof out.old);
  wanted = inode_of(l);
  for (int end = 0; !end;) {
    int n = answer(s);
    for (struct nlmsghdr *h = &in.align; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
      EXPECT_NE(h->nlmsg_type, NLMSG_ERROR);
      if (h->nlmsg_type == NLMSG_DONE) {
        end = 1;
        break;
      }
      EXPECT_EQ(h->nlmsg_type, TCPDIAG_GETSOCK);
      find_inet(h);
    }
  }
  EXPECT_TRUE(found != NULL);
}

/** A dump comes in pieces, as they are read. */
TEST(many_sockets) {
  int s = diag_socket(), fds[400];
  for (int i = 0; i < 400; i += 2) EXPECT_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds + i));
  out.un = (struct unix_diag_req){.sdiag_family = AF_UNIX, .udiag_states = ALL_STATES, .udiag_show = 0x7f};
  ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof out.un);
  ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof out.un);
  int count = 0, datagrams = 0, busy = 0;
  for (int end = 0; !end; datagrams++) {
    int n = answer(s);
    for (struct nlmsghdr *h = &in.align; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
      if (h->nlmsg_type == NLMSG_DONE) end = 1;
      else if (h->nlmsg_type == NLMSG_ERROR) {
        EXPECT_EQ(((struct nlmsgerr *)NLMSG_DATA(h))->error, -EBUSY);
        busy++;
      } else count++;
    }
  }
  EXPECT_GE(count, 400);
  EXPECT_GT(datagrams, 3);
  EXPECT_EQ(busy, 1);
}

/** The line of a table of /proc/net that has an inode as its column `at` and ends with `end`. */
static int has_line(const char *table, uint32_t inode, int at, const char *end) {
  static char text[1 << 20];
  read_whole(table, text, sizeof text);
  for (char *next, *line = text; (next = strchr(line, '\n')); line = next + 1) {
    *next = 0;
    char *word = line;
    for (int i = 0; i < at; i++) {
      while (*word && *word != ' ') word++;
      while (*word == ' ') word++;
    }
    size_t length = strlen(line), tail = strlen(end);
    if (strtoul(word, NULL, 10) == inode && length >= tail && strcmp(line + length - tail, end) == 0) return 1;
  }
  return 0;
}

TEST(tables) {
  struct sockaddr_un name = {AF_UNIX, "there"}, abstract = {AF_UNIX, {0, 'q', 0, 'r'}};
  struct sockaddr_nl nl = {.nl_family = AF_NETLINK, .nl_groups = 1};
  int l = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0)), d = EXPECT_OK(socket(AF_UNIX, SOCK_DGRAM, 0));
  EXPECT_OK(bind(l, (struct sockaddr *)&name, sizeof name));
  EXPECT_OK(bind(d, (struct sockaddr *)&abstract, sizeof(sa_family_t) + 4));
  char end[64];
  snprintf(end, sizeof end, " 00000000 0001 01 %5u there", inode_of(l));
  EXPECT_TRUE(has_line("/proc/net/unix", inode_of(l), 6, end));
  EXPECT_OK(listen(l, 1));
  snprintf(end, sizeof end, " 00010000 0001 01 %5u there", inode_of(l));
  EXPECT_TRUE(has_line("/proc/net/unix", inode_of(l), 6, end));
  snprintf(end, sizeof end, " 00000000 0002 01 %5u @q@r", inode_of(d));
  EXPECT_TRUE(has_line("/proc/net/unix", inode_of(d), 6, end));
  int r = EXPECT_OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  EXPECT_OK(bind(r, (struct sockaddr *)&nl, sizeof nl));
  EXPECT_TRUE(has_line("/proc/net/netlink", inode_of(r), 9, ""));
}

TEST(owners_of_sockets) {
  IN_CHILD({
    become(NOBODY, NOBODY);
    struct stat st;
    struct sockaddr_in name;
    int s = diag_socket(), l = bound_to(SOCK_STREAM, &name);
    EXPECT_OK(listen(l, 1));
    EXPECT_OK(fstat(l, &st));
    EXPECT_EQ(st.st_uid, NOBODY);
    EXPECT_EQ(st.st_gid, NOBODY);
    EXPECT_EQ(inet(s, l, IPPROTO_TCP, ALL_STATES, 0)->idiag_uid, NOBODY);
  });
}
