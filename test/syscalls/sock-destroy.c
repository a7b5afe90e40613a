// SOCK_DESTROY of NETLINK_SOCK_DIAG: a privileged program ends the connections of others.
#include "sock-diag.h"

static int destroy(int s, int protocol, const struct sockaddr_in *own, const struct sockaddr_in *peer) {
  out.inet = (struct inet_diag_req_v2){
      .sdiag_family = AF_INET,
      .sdiag_protocol = protocol,
      .idiag_states = ALL_STATES,
      .id = {.idiag_sport = own->sin_port,
             .idiag_dport = peer ? peer->sin_port : 0,
             .idiag_src = {own->sin_addr.s_addr},
             .idiag_dst = {peer ? peer->sin_addr.s_addr : 0},
             .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}};
  ask(s, SOCK_DESTROY, NLM_F_ACK, sizeof out.inet);
  return error_of(s);
}

TEST(a_connection) {
  struct sockaddr_in name, own;
  int s = diag_socket(), l = bound_to(SOCK_STREAM, &name);
  EXPECT_OK(listen(l, 1));
  int c = connected_to(&name, SOCK_STREAM, &own), a = EXPECT_OK(accept(l, NULL, NULL));
  char byte;
  IN_CHILD({
    become(NOBODY, NOBODY);
    int t = diag_socket();
    EXPECT_EQ(destroy(t, IPPROTO_TCP, &own, &name), EPERM);
    EXPECT_EQ(destroy(t, IPPROTO_TCP, &own, &own), ENOENT);
  });
  pid_t reader = FORK({
    EXPECT_ERRNO(read(c, &byte, 1), ECONNABORTED);
    EXPECT_EQ(read(c, &byte, 1), 0);
    EXPECT_EQ(send(c, &byte, 1, MSG_NOSIGNAL), -1);
    EXPECT_EQ(errno, EPIPE);
  });
  wait_asleep(reader);
  EXPECT_EQ(destroy(s, IPPROTO_TCP, &own, &name), 0);
  EXPECT_EXIT(reader, 0);
  EXPECT_ERRNO(read(a, &byte, 1), ECONNRESET);
  struct pollfd p = {c, POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_TRUE(p.revents & POLLHUP);
  EXPECT_EQ(destroy(s, IPPROTO_TCP, &own, &name), ENOENT);
}

TEST(a_listener) {
  struct sockaddr_in name, own;
  int s = diag_socket(), l = bound_to(SOCK_STREAM, &name);
  EXPECT_OK(listen(l, 2));
  int c = connected_to(&name, SOCK_STREAM, &own);
  EXPECT_EQ(destroy(s, IPPROTO_TCP, &name, NULL), 0);
  char byte;
  EXPECT_ERRNO(read(c, &byte, 1), ECONNRESET);
  EXPECT_ERRNO(accept(l, NULL, NULL), EINVAL);
  EXPECT_ERRNO(connect(EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), (struct sockaddr *)&name, sizeof name), ECONNREFUSED);
}

TEST(datagrams) {
  struct sockaddr_in name, own;
  int s = diag_socket(), a = bound_to(SOCK_DGRAM, &name), b = connected_to(&name, SOCK_DGRAM, &own);
  EXPECT_EQ(destroy(s, IPPROTO_UDP, &own, &name), 0);
  char byte;
  EXPECT_ERRNO(recv(b, &byte, 1, MSG_DONTWAIT), ECONNABORTED);
  EXPECT_ERRNO(recv(b, &byte, 1, MSG_DONTWAIT), EAGAIN);
  EXPECT_ERRNO(send(b, "x", 1, 0), EDESTADDRREQ);
  EXPECT_ERRNO(recv(a, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(other_families) {
  int s = diag_socket();
  out.un = (struct unix_diag_req){.sdiag_family = AF_UNIX, .udiag_ino = 1};
  ask(s, SOCK_DESTROY, 0, sizeof out.un);
  EXPECT_EQ(error_of(s), EOPNOTSUPP);
}
