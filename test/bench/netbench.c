// Costs of sockets over the loopback interface, in nanoseconds per operation: netbench PREFIX.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 64
#define BLOCK 65536

static char block[BLOCK];
static struct sockaddr_in address;
static int server, connection;

static void must(int ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static int bound(int type) {
  int s = socket(AF_INET, type, 0);
  socklen_t n = sizeof address;
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  must(s >= 0 && bind(s, (struct sockaddr *)&address, n) == 0, "bind");
  must(getsockname(s, (struct sockaddr *)&address, &n) == 0, "getsockname");
  return s;
}

static int connected(int type) {
  int s = socket(AF_INET, type, 0);
  must(s >= 0 && connect(s, (struct sockaddr *)&address, sizeof address) == 0, "connect");
  if (type == SOCK_STREAM) setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  return s;
}

static void listen_at(void) {
  server = bound(SOCK_STREAM);
  must(listen(server, 16) == 0, "listen");
}

static void tcp_echo(void) {
  char bytes[MESSAGE];
  int s = accept(server, NULL, NULL);
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  for (ssize_t n; (n = recv(s, bytes, sizeof bytes, 0)) > 0;) must(send(s, bytes, n, 0) == n, "echo");
}

static void udp_echo(void) {
  char bytes[MESSAGE];
  struct sockaddr_in from;
  for (;;) {
    socklen_t length = sizeof from;
    ssize_t n = recvfrom(server, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
    if (n <= 0) return;
    must(sendto(server, bytes, n, 0, (struct sockaddr *)&from, length) == n, "echo");
  }
}

static void accept_all(void) {
  char byte;
  for (;;) {
    int s = accept(server, NULL, NULL);
    if (read(s, &byte, 1) != 1) return;
    close(s);
  }
}

static void swallow(void) {
  int s = accept(server, NULL, NULL);
  while (read(s, block, sizeof block) > 0) {
  }
}

static void exchange(void) {
  char bytes[MESSAGE] = {0};
  must(send(connection, bytes, MESSAGE, 0) == MESSAGE, "send");
  must(recv(connection, bytes, MESSAGE, MSG_WAITALL) == MESSAGE, "receive");
}

static void connect_once(void) {
  int s = connected(SOCK_STREAM);
  must(write(s, "x", 1) == 1, "write");
  must(read(s, block, 1) == 0, "end");
  close(s);
}

static void send_block(void) {
  // gVisor's sockets of the host may send less than all.
  for (ssize_t sent = 0, n; sent < BLOCK; sent += n) must((n = send(connection, block, BLOCK - sent, 0)) > 0, "stream");
}

static void measure(const char *prefix, const char *name, void (*partner)(void), void (*operation)(void), int times) {
  pid_t pid = fork();
  must(pid >= 0, "fork");
  if (pid == 0) {
    partner();
    _exit(0);
  }
  int type = partner == udp_echo ? SOCK_DGRAM : SOCK_STREAM;
  if (operation != connect_once) connection = connected(type);
  for (int i = 0; i < times / 10; i++) operation();
  double start = now();
  for (int i = 0; i < times; i++) operation();
  if (operation == send_block) {
    shutdown(connection, SHUT_WR);
    must(read(connection, block, 1) == 0, "end");
  }
  printf("%s%s\t%.1f\n", prefix, name, (now() - start) / times);
  fflush(stdout);
  if (operation == connect_once) connection = connected(type);
  if (type == SOCK_DGRAM) send(connection, "", 0, 0);
  close(connection);
  close(server);
  waitpid(pid, NULL, 0);
}

int main(int count, char **words) {
  const char *prefix = count > 1 ? words[1] : "";
  listen_at();
  measure(prefix, "TCP ping-pong 64 B", tcp_echo, exchange, 5000);
  server = bound(SOCK_DGRAM);
  measure(prefix, "UDP ping-pong 64 B", udp_echo, exchange, 5000);
  listen_at();
  measure(prefix, "TCP connect to close", accept_all, connect_once, 1000);
  listen_at();
  measure(prefix, "TCP stream, each 64 KiB", swallow, send_block, 8000);
  return 0;
}
