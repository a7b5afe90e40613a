// How bytes move through AF_INET sockets: partial transfers, flags, time-outs, signals, readiness, batches, splicing.
#include "test.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

static struct sockaddr_in address;
#define ADDRESS ((struct sockaddr *)&address), sizeof address
#define LARGE (8 << 20)

static void loopback(int port) {
  address = (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}
static void address_of(int s) {
  socklen_t n = sizeof address;
  EXPECT_OK(getsockname(s, (struct sockaddr *)&address, &n));
}
static int bound(int type) {
  int s = EXPECT_OK(socket(AF_INET, type, 0));
  loopback(0);
  EXPECT_OK(bind(s, ADDRESS));
  address_of(s);
  return s;
}
static int server, client, accepted;
static void connection(void) {
  server = bound(SOCK_STREAM);
  EXPECT_OK(listen(server, 5));
  client = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_OK(connect(client, ADDRESS));
  accepted = EXPECT_OK(accept(server, NULL, NULL));
}
static int events_of(int s, int wanted, int timeout) {
  struct pollfd p = {s, wanted, 0};
  EXPECT_OK(poll(&p, 1, timeout));
  return p.revents;
}
static int error_of(int s) {
  int value = -1;
  socklen_t n = sizeof value;
  EXPECT_OK(getsockopt(s, SOL_SOCKET, SO_ERROR, &value, &n));
  return value;
}
static void set_timeout(int s, int name, int ms) {
  struct timeval t = {ms / 1000, ms % 1000 * 1000};
  EXPECT_OK(setsockopt(s, SOL_SOCKET, name, &t, sizeof t));
}
static void nonblocking(int s) { EXPECT_OK(fcntl(s, F_SETFL, O_NONBLOCK)); }

static int handled;
static void on_signal(int sig) {
  (void)sig;
  handled++;
}

TEST(a_connect_that_does_not_wait) {
  server = bound(SOCK_STREAM);
  EXPECT_OK(listen(server, 5));
  client = EXPECT_OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  if (connect(client, ADDRESS) < 0) EXPECT_EQ(errno, EINPROGRESS);
  EXPECT_EQ(events_of(client, POLLOUT, 30000), POLLOUT);
  EXPECT_EQ(error_of(client), 0);
  if (connect(client, ADDRESS) < 0) EXPECT_EQ(errno, EISCONN);
  EXPECT_ERRNO(connect(client, ADDRESS), EISCONN);
  EXPECT_ERRNO(read(client, &(char){0}, 1), EAGAIN);
}

TEST(a_connect_that_is_refused_later) {
  int s = bound(SOCK_STREAM);
  client = EXPECT_OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  // Nobody listens. How soon the answer comes is open.
  int n = connect(client, ADDRESS), first = errno;
  EXPECT_EQ(n, -1);
  EXPECT_TRUE(first == EINPROGRESS || first == ECONNREFUSED);
  if (first == EINPROGRESS) {
    EXPECT_TRUE((events_of(client, POLLOUT, 30000) & (POLLERR | POLLHUP | POLLOUT)) ==
                (POLLERR | POLLHUP | POLLOUT));
    EXPECT_EQ(error_of(client), ECONNREFUSED);
    EXPECT_EQ(error_of(client), 0);
  }
  int waits = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
  EXPECT_ERRNO(connect(waits, ADDRESS), ECONNREFUSED);
  EXPECT_OK(close(s));
}

TEST(writes_that_do_not_wait_are_partial) {
  connection();
  nonblocking(client);
  char *bytes = calloc(1, LARGE);
  size_t sent = 0;
  // The peer's late acknowledgement may make room between the two.
  for (int full = 0; full < 2;) {
    ssize_t n = full ? send(client, bytes, 1 << 20, 0) : write(client, bytes, LARGE);
    if (n < 0) EXPECT_EQ(errno, EAGAIN);
    else EXPECT_GT(n, 0);
    full = n < 0 ? full + 1 : 0;
    sent += n < 0 ? 0 : n;
  }
  EXPECT_GT(sent, 65536);
  size_t got = 0;
  while (got < sent) got += EXPECT_OK(read(accepted, bytes, LARGE));
  EXPECT_EQ(got, sent);
  EXPECT_EQ(events_of(client, POLLOUT, 30000), POLLOUT);
  EXPECT_ERRNO(recv(accepted, bytes, 1, MSG_DONTWAIT), EAGAIN);
}

TEST(writes_that_wait_are_whole) {
  connection();
  char *bytes = malloc(LARGE);
  for (size_t i = 0; i < LARGE; i++) bytes[i] = (char)(i * 7 + i / 4096);
  pid_t reader = FORK({
    char *copy = malloc(LARGE);
    size_t got = 0;
    close(client);
    while (got < LARGE) {
      ssize_t n = EXPECT_OK(read(accepted, copy + got, 100000));
      EXPECT_GT(n, 0);
      got += n;
    }
    EXPECT_MEM(copy, bytes, LARGE);
    EXPECT_EQ(read(accepted, copy, 1), 0);
  });
  EXPECT_EQ(EXPECT_OK(write(client, bytes, LARGE)), LARGE);
  EXPECT_OK(shutdown(client, SHUT_WR));
  EXPECT_EXIT(reader, 0);
}

TEST(vectors_larger_than_any_buffer) {
  connection();
  char *bytes = malloc(LARGE);
  memset(bytes, 'v', LARGE);
  struct iovec out[3] = {{bytes, 3 << 20}, {bytes, 0}, {bytes + (3 << 20), 1 << 20}};
  pid_t writer = FORK({ EXPECT_EQ(EXPECT_OK(writev(client, out, 3)), 4 << 20); });
  char *copy = calloc(1, LARGE);
  struct msghdr message = {.msg_iov = (struct iovec[]){{copy, 1}, {copy + 1, (4 << 20) - 1}}, .msg_iovlen = 2};
  EXPECT_EQ(EXPECT_OK(recvmsg(accepted, &message, MSG_WAITALL)), 4 << 20);
  EXPECT_MEM(copy, bytes, 4 << 20);
  EXPECT_EXIT(writer, 0);
}

TEST(flags_of_receiving) {
  char buffer[16] = {0};
  connection();
  EXPECT_EQ(send(client, "abcdef", 6, 0), 6);
  EXPECT_EQ(events_of(accepted, POLLIN, 30000), POLLIN);
  EXPECT_EQ(recv(accepted, buffer, 3, MSG_PEEK), 3);
  EXPECT_MEM(buffer, "abc", 3);
  int there = 0;
  EXPECT_OK(ioctl(accepted, FIONREAD, &there));
  EXPECT_EQ(there, 6);
  EXPECT_EQ(recv(accepted, buffer, 2, MSG_TRUNC), 2);
  EXPECT_EQ(recv(accepted, buffer, sizeof buffer, 0), 4);
  EXPECT_MEM(buffer, "cdef", 4);
  EXPECT_ERRNO(recv(accepted, buffer, 1, MSG_DONTWAIT), EAGAIN);
  EXPECT_ERRNO(recv(accepted, buffer, 1, MSG_DONTWAIT | MSG_PEEK), EAGAIN);
  pid_t later = FORK({
    EXPECT_EQ(send(client, "12", 2, 0), 2);
    sleep_ms(30);
    EXPECT_EQ(send(client, "34", 2, 0), 2);
  });
  EXPECT_EQ(recv(accepted, buffer, 4, MSG_WAITALL), 4);
  EXPECT_MEM(buffer, "1234", 4);
  EXPECT_EXIT(later, 0);
  // The end of the stream ends the wait for all.
  EXPECT_EQ(send(client, "5", 1, 0), 1);
  EXPECT_OK(shutdown(client, SHUT_WR));
  EXPECT_EQ(recv(accepted, buffer, 4, MSG_WAITALL), 1);
  EXPECT_EQ(recv(accepted, buffer, 4, 0), 0);
  EXPECT_EQ(recv(accepted, buffer, 0, 0), 0);
}

TEST(urgent_data) {
  char buffer[8];
  int mark;
  connection();
  EXPECT_EQ(send(client, "abX", 3, MSG_OOB), 3);
  EXPECT_TRUE(events_of(accepted, POLLPRI, 30000) & POLLPRI);
  EXPECT_EQ(recv(accepted, buffer, 1, MSG_OOB), 1);
  EXPECT_EQ(buffer[0], 'X');
  EXPECT_ERRNO(recv(accepted, buffer, 1, MSG_OOB), EINVAL);
  EXPECT_OK(ioctl(accepted, FIONREAD, &mark));
  EXPECT_EQ(mark, 2);
  EXPECT_OK(ioctl(accepted, SIOCATMARK, &mark));
  EXPECT_EQ(mark, 0);
  EXPECT_EQ(recv(accepted, buffer, sizeof buffer, 0), 2);
  EXPECT_EQ(events_of(accepted, POLLIN | POLLPRI, 0), 0);
  EXPECT_OK(ioctl(accepted, SIOCATMARK, &mark));
  EXPECT_EQ(mark, 1);
  EXPECT_OK(setsockopt(accepted, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int)));
  // A byte that was taken out of line comes again; reading stops before the next mark.
  EXPECT_EQ(send(client, "Y", 1, MSG_OOB), 1);
  EXPECT_TRUE(events_of(accepted, POLLPRI, 30000) & POLLPRI);
  EXPECT_EQ(recv(accepted, buffer, sizeof buffer, 0), 1);
  EXPECT_EQ(buffer[0], 'X');
  EXPECT_EQ(recv(accepted, buffer, sizeof buffer, 0), 1);
  EXPECT_EQ(buffer[0], 'Y');
  // Between two pieces: passed over, unless a read has fetched it before.
  set_timeout(accepted, SO_RCVTIMEO, 30000);
  EXPECT_OK(setsockopt(accepted, SOL_SOCKET, SO_OOBINLINE, &(int){0}, sizeof(int)));
  EXPECT_EQ(send(client, "12", 2, MSG_OOB), 2);
  EXPECT_EQ(send(client, "34", 2, 0), 2);
  EXPECT_EQ(recv(accepted, buffer, 3, MSG_WAITALL), 1);
  EXPECT_EQ(recv(accepted, buffer, 2, MSG_WAITALL), 2);
  EXPECT_MEM(buffer, "34", 2);
  EXPECT_ERRNO(recv(accepted, buffer, 1, MSG_OOB), EINVAL);
}

TEST(a_peer_that_is_gone) {
  char buffer[64];
  connection();
  EXPECT_OK(setsockopt(accepted, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)));
  EXPECT_OK(close(accepted));
  EXPECT_EQ(events_of(client, POLLIN, 30000), POLLIN | POLLERR | POLLHUP);
  EXPECT_ERRNO(recv(client, buffer, 1, 0), ECONNRESET);
  EXPECT_EQ(recv(client, buffer, 1, 0), 0);
  set_handler(SIGPIPE, on_signal, 0);
  EXPECT_ERRNO(send(client, "x", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_EQ(handled, 0);
  EXPECT_ERRNO(send(client, "x", 1, 0), EPIPE);
  EXPECT_EQ(handled, 1);
  EXPECT_ERRNO(write(client, "x", 1), EPIPE);
  EXPECT_EQ(handled, 2);
  IN_CHILD({
    set_handler(SIGPIPE, SIG_DFL, 0);
    EXPECT_KILLED(FORK({
                    if (write(client, "x", 1)) {
                    }
                  }),
                  SIGPIPE);
  });
}

TEST(a_long_write_to_who_has_left_fails) {
  connection();
  EXPECT_OK(close(accepted));
  static char data[1 << 20];
  struct iovec parts[1024];
  for (int i = 0; i < 1024; i++) parts[i] = (struct iovec){data, sizeof data};
  set_handler(SIGPIPE, on_signal, 0);
  ssize_t n = writev(client, parts, 1024);
  if (n >= 0) {
    EXPECT_LT(n, 512 << 20);
    n = writev(client, parts, 1024);
  }
  EXPECT_EQ(n, -1);
  EXPECT_TRUE(errno == EPIPE || errno == ECONNRESET);
}

TEST(timeouts) {
  char byte;
  connection();
  set_timeout(accepted, SO_RCVTIMEO, 40);
  int64_t start = now_ms();
  EXPECT_ERRNO(recv(accepted, &byte, 1, 0), EAGAIN);
  EXPECT_ERRNO(read(accepted, &byte, 1), EAGAIN);
  EXPECT_GE(now_ms() - start, 70);
  set_timeout(server, SO_RCVTIMEO, 40);
  EXPECT_ERRNO(accept(server, NULL, NULL), EAGAIN);
  char *bytes = calloc(1, LARGE);
  set_timeout(client, SO_SNDTIMEO, 40);
  ssize_t n = EXPECT_OK(write(client, bytes, LARGE));
  EXPECT_GT(n, 0);
  EXPECT_LT(n, LARGE);
}

TEST(signals_interrupt_and_restart) {
  char byte;
  connection();
  pid_t self = getpid();
  set_handler(SIGUSR1, on_signal, 0);
  pid_t sender = FORK({
    wait_asleep(self);
    kill(self, SIGUSR1);
  });
  EXPECT_ERRNO(recv(accepted, &byte, 1, 0), EINTR);
  EXPECT_EQ(handled, 1);
  EXPECT_EXIT(sender, 0);
  set_handler(SIGUSR1, on_signal, SA_RESTART);
  sender = FORK({
    wait_asleep(self);
    kill(self, SIGUSR1);
    sleep_ms(20);
    EXPECT_EQ(send(client, "r", 1, 0), 1);
  });
  EXPECT_EQ(EXPECT_OK(recv(accepted, &byte, 1, 0)), 1);
  EXPECT_EQ(handled, 2);
  EXPECT_EXIT(sender, 0);
}

static void *closer(void *arg) {
  sleep_ms(30);
  EXPECT_OK(shutdown(*(int *)arg, SHUT_RDWR));
  return NULL;
}
TEST(shutdown_wakes_who_waits) {
  char byte;
  pthread_t thread;
  connection();
  EXPECT_EQ(pthread_create(&thread, NULL, closer, &accepted), 0);
  EXPECT_EQ(recv(accepted, &byte, 1, 0), 0);
  EXPECT_EQ(pthread_join(thread, NULL), 0);
  EXPECT_TRUE((events_of(accepted, POLLIN, 0) & (POLLIN | POLLHUP)) == (POLLIN | POLLHUP));
  EXPECT_EQ(recv(client, &byte, 1, 0), 0);
  EXPECT_EQ(pthread_create(&thread, NULL, closer, &server), 0);
  EXPECT_ERRNO(accept(server, NULL, NULL), EINVAL);
  EXPECT_EQ(pthread_join(thread, NULL), 0);
}

TEST(epoll_by_level_and_by_edge) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.u32 = 1}, ready[4];
  char buffer[16];
  connection();
  int level = EXPECT_OK(epoll_create1(0)), edge = EXPECT_OK(epoll_create1(0));
  EXPECT_OK(epoll_ctl(level, EPOLL_CTL_ADD, accepted, &event));
  event.events |= EPOLLET;
  EXPECT_OK(epoll_ctl(edge, EPOLL_CTL_ADD, accepted, &event));
  EXPECT_EQ(epoll_wait(level, ready, 4, 0), 0);
  EXPECT_EQ(epoll_wait(edge, ready, 4, 0), 0);
  EXPECT_EQ(send(client, "ab", 2, 0), 2);
  EXPECT_EQ(epoll_wait(level, ready, 4, 30000), 1);
  EXPECT_EQ(ready[0].events, EPOLLIN);
  EXPECT_EQ(epoll_wait(edge, ready, 4, 30000), 1);
  EXPECT_EQ(epoll_wait(level, ready, 4, 0), 1);
  EXPECT_EQ(epoll_wait(edge, ready, 4, 0), 0);
  EXPECT_EQ(read(accepted, buffer, 1), 1);
  EXPECT_EQ(epoll_wait(level, ready, 4, 0), 1);
  EXPECT_EQ(epoll_wait(edge, ready, 4, 0), 0);
  EXPECT_EQ(send(client, "c", 1, 0), 1);
  EXPECT_EQ(epoll_wait(edge, ready, 4, 30000), 1);
  EXPECT_EQ(read(accepted, buffer, sizeof buffer), 2);
  EXPECT_EQ(epoll_wait(level, ready, 4, 0), 0);
  EXPECT_OK(shutdown(client, SHUT_WR));
  EXPECT_EQ(epoll_wait(level, ready, 4, 30000), 1);
  EXPECT_EQ(ready[0].events, EPOLLIN | EPOLLRDHUP);
  EXPECT_EQ(epoll_wait(edge, ready, 4, 30000), 1);
  EXPECT_EQ(ready[0].events, EPOLLIN | EPOLLRDHUP);
}

TEST(accept_by_many) {
  int served = 0, status;
  server = bound(SOCK_STREAM);
  EXPECT_OK(listen(server, 16));
  pid_t workers[3];
  for (int i = 0; i < 3; i++)
    workers[i] = FORK({
      for (int k = 0; k < 4; k++) {
        struct sockaddr_in peer;
        socklen_t n = sizeof peer;
        int s = EXPECT_OK(accept4(server, (struct sockaddr *)&peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK));
        EXPECT_EQ(n, sizeof peer);
        EXPECT_EQ(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
        EXPECT_EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
        EXPECT_TRUE(fcntl(s, F_GETFL) & O_NONBLOCK);
        EXPECT_EQ(send(s, "hello", 5, 0), 5);
        EXPECT_OK(close(s));
      }
    });
  for (int i = 0; i < 12; i++) {
    char buffer[8];
    int s = EXPECT_OK(socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_OK(connect(s, ADDRESS));
    EXPECT_EQ(recv(s, buffer, 5, MSG_WAITALL), 5);
    EXPECT_OK(close(s));
    served++;
  }
  for (int i = 0; i < 3; i++) {
    EXPECT_OK(waitpid(workers[i], &status, 0));
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(served, 12);
}

TEST(descriptors_share_a_socket) {
  char buffer[4];
  connection();
  int copy = EXPECT_OK(dup(client));
  IN_CHILD({
    EXPECT_EQ(send(client, "c", 1, 0), 1);
    EXPECT_OK(close(client));
    EXPECT_OK(close(copy));
  });
  EXPECT_OK(close(client));
  EXPECT_EQ(send(copy, "d", 1, 0), 1);
  EXPECT_EQ(recv(accepted, buffer, 2, MSG_WAITALL), 2);
  EXPECT_MEM(buffer, "cd", 2);
  EXPECT_OK(close(copy));
  EXPECT_EQ(recv(accepted, buffer, 1, 0), 0);
}

TEST(files_and_pipes_go_through_sockets) {
  static char bytes[100000], copy[100000];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i % 251);
  int fd = EXPECT_OK(open("file", O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(write(fd, bytes, sizeof bytes), sizeof bytes);
  connection();
  pid_t sender = FORK({
    off_t offset = 0;
    while (offset < (off_t)sizeof bytes) EXPECT_GT(EXPECT_OK(sendfile(client, fd, &offset, sizeof bytes)), 0);
  });
  EXPECT_EQ(EXPECT_OK(recv(accepted, copy, sizeof copy, MSG_WAITALL)), sizeof copy);
  EXPECT_MEM(bytes, copy, sizeof bytes);
  EXPECT_EXIT(sender, 0);
  int ends[2];
  EXPECT_OK(pipe(ends));
  EXPECT_EQ(write(ends[1], "through", 7), 7);
  EXPECT_EQ(splice(ends[0], NULL, client, NULL, 7, 0), 7);
  EXPECT_EQ(splice(accepted, NULL, ends[1], NULL, 7, 0), 7);
  EXPECT_EQ(read(ends[0], copy, 16), 7);
  EXPECT_MEM(copy, "through", 7);
}

TEST(datagrams_in_batches) {
  int a = bound(SOCK_DGRAM), b;
  EXPECT_OK(connect(b = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0)), ADDRESS));
  char in[4][8] = {"one", "two", "three", "four"}, out[4][8];
  struct iovec iov[8];
  struct mmsghdr send_[4] = {0}, receive[4] = {0};
  struct sockaddr_in names[4];
  for (int i = 0; i < 4; i++) {
    iov[i] = (struct iovec){in[i], strlen(in[i])};
    iov[4 + i] = (struct iovec){out[i], i == 2 ? 2 : sizeof out[i]};
    send_[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    receive[i].msg_hdr = (struct msghdr){
        .msg_iov = &iov[4 + i], .msg_iovlen = 1, .msg_name = &names[i], .msg_namelen = sizeof names[i]};
  }
  EXPECT_EQ(EXPECT_OK(sendmmsg(b, send_, 4, 0)), 4);
  for (int i = 0; i < 4; i++) EXPECT_EQ(send_[i].msg_len, strlen(in[i]));
  EXPECT_EQ(EXPECT_OK(recvmmsg(a, receive, 4, MSG_WAITFORONE, NULL)), 4);
  address_of(b);
  for (int i = 0; i < 4; i++) {
    EXPECT_EQ(receive[i].msg_len, i == 2 ? 2 : strlen(in[i]));
    EXPECT_EQ(receive[i].msg_hdr.msg_flags, i == 2 ? MSG_TRUNC : 0);
    EXPECT_EQ(receive[i].msg_hdr.msg_namelen, sizeof names[i]);
    EXPECT_EQ(names[i].sin_port, address.sin_port);
  }
  EXPECT_ERRNO(recvmmsg(a, receive, 4, MSG_DONTWAIT, NULL), EAGAIN);
}

TEST(datagrams_are_whole) {
  char buffer[70000];
  int a = bound(SOCK_DGRAM), b = EXPECT_OK(socket(AF_INET, SOCK_DGRAM, 0)), there;
  EXPECT_ERRNO(send(b, "x", 1, 0), EDESTADDRREQ);
  EXPECT_ERRNO(sendto(b, buffer, 65508, 0, ADDRESS), EMSGSIZE);
  EXPECT_EQ(sendto(b, buffer, 65507, 0, ADDRESS), 65507);
  EXPECT_EQ(recv(a, buffer, 10, MSG_PEEK | MSG_TRUNC), 65507);
  EXPECT_EQ(recv(a, buffer, sizeof buffer, 0), 65507);
  EXPECT_EQ(sendto(b, "", 0, 0, ADDRESS), 0);
  EXPECT_EQ(sendto(b, "abc", 3, 0, ADDRESS), 3);
  EXPECT_OK(ioctl(a, FIONREAD, &there));
  EXPECT_EQ(there, 0);
  EXPECT_EQ(recv(a, buffer, sizeof buffer, 0), 0);
  EXPECT_OK(ioctl(a, FIONREAD, &there));
  EXPECT_EQ(there, 3);
  EXPECT_EQ(recv(a, buffer, 1, 0), 1);
  EXPECT_ERRNO(recv(a, buffer, 1, MSG_DONTWAIT), EAGAIN);
  // A peer without a socket answers by ICMP.
  EXPECT_OK(connect(b, ADDRESS));
  EXPECT_OK(close(a));
  EXPECT_EQ(send(b, "x", 1, 0), 1);
  EXPECT_ERRNO(recv(b, buffer, 1, 0), ECONNREFUSED);
  EXPECT_OK(connect(b, (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_UNSPEC}, sizeof address));
  EXPECT_ERRNO(send(b, "x", 1, 0), EDESTADDRREQ);
}

TEST(facts_of_a_connection) {
  struct tcp_info info;
  struct sockaddr_in peer;
  socklen_t n = sizeof info;
  int value;
  connection();
  EXPECT_OK(getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &n));
  EXPECT_EQ(info.tcpi_state, TCP_ESTABLISHED);
  n = sizeof value;
  EXPECT_OK(getsockopt(server, SOL_SOCKET, SO_ACCEPTCONN, &value, &n));
  EXPECT_EQ(value, 1);
  EXPECT_OK(getsockopt(client, SOL_SOCKET, SO_PROTOCOL, &value, &n));
  EXPECT_EQ(value, IPPROTO_TCP);
  EXPECT_OK(getsockopt(client, SOL_SOCKET, SO_TYPE, &value, &n));
  EXPECT_EQ(value, SOCK_STREAM);
  n = sizeof peer;
  EXPECT_OK(getsockopt(client, SOL_SOCKET, SO_PEERNAME, &peer, &n));
  EXPECT_EQ(peer.sin_port, address.sin_port);
  n = 2;
  EXPECT_OK(getsockname(server, (struct sockaddr *)&peer, &n));
  EXPECT_EQ(n, sizeof peer);
  struct linger linger = {1, 7}, told;
  EXPECT_OK(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  n = sizeof told;
  EXPECT_OK(getsockopt(client, SOL_SOCKET, SO_LINGER, &told, &n));
  EXPECT_MEM(&linger, &told, sizeof told);
  EXPECT_ERRNO(setsockopt(client, SOL_SOCKET, SO_KEEPALIVE, &value, 2), EINVAL);
  EXPECT_ERRNO(setsockopt(client, SOL_SOCKET, 9999, &value, sizeof value), ENOPROTOOPT);
  EXPECT_ERRNO(setsockopt(client, IPPROTO_TCP, 9999, &value, sizeof value), ENOPROTOOPT);
  EXPECT_ERRNO(getsockopt(client, SOL_SOCKET, SO_TYPE, (int *)8, &n), EFAULT);
}
