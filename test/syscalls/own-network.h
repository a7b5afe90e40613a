// A network namespace of the test's own, in which there is lo and it is up.
#pragma once
#include "test.h"
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

static inline void own_network(void) {
  if (unshare(CLONE_NEWNET) < 0) SKIP("no network namespace of our own");
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
  EXPECT_OK(ioctl(s, SIOCSIFFLAGS, &request));
  EXPECT_OK(close(s));
}

static inline struct sockaddr_in address4(uint32_t ip, int port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};
}

/** A UDP socket that is bound; its port, too. */
static inline int bound_udp(uint32_t ip, int port, int *chosen) {
  int s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  EXPECT_OK(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)));
  struct sockaddr_in a = address4(ip, port);
  EXPECT_OK(bind(s, (struct sockaddr *)&a, sizeof a));
  socklen_t n = sizeof a;
  EXPECT_OK(getsockname(s, (struct sockaddr *)&a, &n));
  if (chosen) *chosen = ntohs(a.sin_port);
  return s;
}

#define SEND_TO(s, bytes, n, address) sendto(s, bytes, n, 0, (struct sockaddr *)&(address), sizeof(address))
