// /proc/net/snmp and the tunables of /proc/sys/net, in a network namespace where nothing else happens.
#include "own-network.h"

/** A number of /proc/net/snmp. */
static long counter(const char *family, const char *name) {
  char names[4096], values[4096];
  FILE *f = fopen("/proc/thread-self/net/snmp", "r");
  if (f == NULL) FAIL("no snmp");
  while (fgets(names, sizeof names, f) && fgets(values, sizeof values, f)) {
    size_t n = strlen(family);
    if (strncmp(names, family, n) != 0 || names[n] != ':') continue;
    char *a, *b, *x = strtok_r(names, " \n", &a), *y = strtok_r(values, " \n", &b);
    for (; x && y; x = strtok_r(NULL, " \n", &a), y = strtok_r(NULL, " \n", &b))
      if (strcmp(x, name) == 0) {
        fclose(f);
        return atol(y);
      }
  }
  FAIL("no %s %s", family, name);
}

TEST(connections_are_counted) {
  own_network();
  int l = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0)), s = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  struct sockaddr_in to = address4(INADDR_LOOPBACK, 1234);
  EXPECT_ERRNO(connect(s, (struct sockaddr *)&to, sizeof to), ECONNREFUSED);
  EXPECT_EQ(counter("Tcp", "ActiveOpens"), 1);
  EXPECT_EQ(counter("Tcp", "AttemptFails"), 1);
  EXPECT_EQ(counter("Tcp", "OutRsts"), 1);
  EXPECT_OK(listen(l, 1));
  socklen_t n = sizeof to;
  EXPECT_OK(getsockname(l, (struct sockaddr *)&to, &n));
  EXPECT_OK(connect(s, (struct sockaddr *)&to, sizeof to));
  int c = EXPECT_OK(accept(l, NULL, NULL));
  EXPECT_EQ(counter("Tcp", "ActiveOpens"), 2);
  EXPECT_EQ(counter("Tcp", "PassiveOpens"), 1);
  EXPECT_EQ(counter("Tcp", "CurrEstab"), 2);
  EXPECT_EQ(send(s, "x", 1, 0), 1);
  struct pollfd p = {c, POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 30000), 1);
  EXPECT_OK(close(c));
  p.fd = s;
  EXPECT_EQ(poll(&p, 1, 30000), 1);
  EXPECT_EQ(counter("Tcp", "EstabResets"), 2);
  EXPECT_EQ(counter("Tcp", "CurrEstab"), 0);
}

TEST(datagrams_are_counted) {
  own_network();
  int port, a = bound_udp(INADDR_LOOPBACK, 0, &port), s = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0));
  struct sockaddr_in to = address4(INADDR_LOOPBACK, port);
  char c;
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  EXPECT_EQ(recv(a, &c, 1, 0), 1);
  EXPECT_EQ(counter("Udp", "OutDatagrams"), 1);
  EXPECT_EQ(counter("Udp", "InDatagrams"), 1);
  EXPECT_OK(close(a));
  EXPECT_EQ(SEND_TO(s, "x", 1, to), 1);
  WAIT_UNTIL(counter("Udp", "NoPorts") != 0);
  EXPECT_EQ(counter("Udp", "NoPorts"), 1);
}

static int store(const char *name, const char *text) {
  int fd = open(name, O_WRONLY);
  if (fd < 0) return -errno;
  int n = write(fd, text, strlen(text)) < 0 ? -errno : 0;
  close(fd);
  return n;
}

TEST(ports_come_from_a_range) {
  own_network();
  const char *range = "/proc/sys/net/ipv4/ip_local_port_range";
  EXPECT_EQ(store(range, "ten"), -EINVAL);
  EXPECT_EQ(store(range, "50005 50000"), -EINVAL);
  EXPECT_EQ(store(range, "50000 50003"), 0);
  for (int i = 0; i < 2; i++) {
    int port;
    bound_udp(INADDR_LOOPBACK, 0, &port);
    EXPECT_GE(port, 50000);
    EXPECT_LE(port, 50003);
  }
  EXPECT_EQ(store(range, "32768 60999"), 0);
}
