// Asking for sockets through NETLINK_SOCK_DIAG: sock_diag(7).
#pragma once
#include "test.h"
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/netlink_diag.h>
#include <linux/packet_diag.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#define ALL_STATES 0xffffffffu
#define SEQUENCE 815

static union {
  char bytes[65536];
  struct nlmsghdr align;
} in;
static struct {
  struct nlmsghdr h;
  union {
    struct sock_diag_req any;
    struct inet_diag_req_v2 inet;
    struct inet_diag_req old;
    struct unix_diag_req un;
    struct netlink_diag_req nl;
    struct packet_diag_req packet;
  };
  char attributes[512];
} out;

static inline int diag_socket(void) {
  return EXPECT_OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
}

static inline void ask(int s, int type, int flags, size_t size) {
  out.h = (struct nlmsghdr){NLMSG_LENGTH(size), type, NLM_F_REQUEST | flags, SEQUENCE, 0};
  EXPECT_EQ(EXPECT_OK(send(s, &out, out.h.nlmsg_len, 0)), out.h.nlmsg_len);
}

/** Receives one datagram; its length. */
static inline int answer(int s) {
  int n = EXPECT_OK(recv(s, in.bytes, sizeof in, 0));
  EXPECT_GE(n, (int)sizeof(struct nlmsghdr));
  EXPECT_EQ(in.align.nlmsg_seq, SEQUENCE);
  return n;
}

/** The error that a request is answered with. */
static inline int error_of(int s) {
  answer(s);
  EXPECT_EQ(in.align.nlmsg_type, NLMSG_ERROR);
  return -((struct nlmsgerr *)NLMSG_DATA(&in.align))->error;
}

static inline struct rtattr *attribute_of(struct nlmsghdr *h, size_t size, int type) {
  struct rtattr *a = (struct rtattr *)((char *)NLMSG_DATA(h) + NLMSG_ALIGN(size));
  for (int left = h->nlmsg_len - NLMSG_SPACE(size); RTA_OK(a, left); a = RTA_NEXT(a, left))
    if ((a->rta_type & NLA_TYPE_MASK) == type) return a;
  return NULL;
}

/** Reads a dump to its end, calling `see` for each message; how it ended. */
static int dump_end, dump_datagrams;
static inline int dump(int s, int flags, size_t size, void (*see)(struct nlmsghdr *)) {
  ask(s, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP | flags, size);
  int count = 0;
  for (dump_datagrams = 0;; dump_datagrams++) {
    int n = answer(s);
    for (struct nlmsghdr *h = &in.align; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
      if (h->nlmsg_type == NLMSG_ERROR) FAIL("error %d", ((struct nlmsgerr *)NLMSG_DATA(h))->error);
      EXPECT_TRUE(h->nlmsg_flags & NLM_F_MULTI);
      if (h->nlmsg_type == NLMSG_DONE) {
        dump_end = *(int *)NLMSG_DATA(h);
        return count;
      }
      EXPECT_EQ(h->nlmsg_type, SOCK_DIAG_BY_FAMILY);
      count++;
      if (see) see(h);
    }
  }
}

static inline uint32_t inode_of(int fd) {
  struct stat st;
  EXPECT_OK(fstat(fd, &st));
  return st.st_ino;
}
static inline uint64_t cookie_of(int fd) {
  uint64_t cookie = 0;
  socklen_t n = sizeof cookie;
  EXPECT_OK(getsockopt(fd, SOL_SOCKET, 57 /* SO_COOKIE */, &cookie, &n));
  return cookie;
}
static inline uint64_t cookie_in(const uint32_t *cookie) { return cookie[0] | (uint64_t)cookie[1] << 32; }

static inline int bound_to(int type, struct sockaddr_in *name) {
  int s = EXPECT_OK(socket(AF_INET, type, 0));
  socklen_t n = sizeof *name;
  *name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  EXPECT_OK(bind(s, (struct sockaddr *)name, n));
  EXPECT_OK(getsockname(s, (struct sockaddr *)name, &n));
  return s;
}
static inline int connected_to(const struct sockaddr_in *name, int type, struct sockaddr_in *own) {
  int s = EXPECT_OK(socket(AF_INET, type, 0));
  socklen_t n = sizeof *own;
  EXPECT_OK(connect(s, (const struct sockaddr *)name, sizeof *name));
  EXPECT_OK(getsockname(s, (struct sockaddr *)own, &n));
  return s;
}
