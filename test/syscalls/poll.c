// Waiting for many descriptors: poll, select and epoll.
#include "test.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>

static int pipe_in, pipe_out;
static void open_pipe(void) {
  int fds[2];
  EXPECT_OK(pipe2(fds, O_NONBLOCK));
  pipe_in = fds[0], pipe_out = fds[1];
}
static void put(void) { EXPECT_EQ(write(pipe_out, "x", 1), 1); }
static void take(void) {
  char c;
  EXPECT_EQ(read(pipe_in, &c, 1), 1);
}
static short poll_one(int fd, short events) {
  struct pollfd p = {fd, events, 0};
  EXPECT_GE(poll(&p, 1, 0), 0);
  return p.revents;
}

TEST(poll_events) {
  open_pipe();
  EXPECT_EQ(poll_one(pipe_in, POLLIN), 0);
  EXPECT_EQ(poll_one(pipe_out, POLLOUT), POLLOUT);
  put();
  EXPECT_EQ(poll_one(pipe_in, POLLIN | POLLRDNORM), POLLIN | POLLRDNORM);
  EXPECT_EQ(poll_one(99, POLLIN), POLLNVAL);
  EXPECT_EQ(poll_one(-1, POLLIN), 0);
  close(pipe_out);
  EXPECT_EQ(poll_one(pipe_in, POLLIN), POLLIN | POLLHUP);
  take();
  EXPECT_EQ(poll_one(pipe_in, POLLIN), POLLHUP);
  open_pipe();
  close(pipe_in);
  EXPECT_EQ(poll_one(pipe_out, POLLOUT), POLLOUT | POLLERR);
  EXPECT_EQ(poll_one(EXPECT_OK(open("f", O_CREAT | O_RDWR, 0600)), POLLIN | POLLOUT), POLLIN | POLLOUT);
}

TEST(poll_timeouts) {
  open_pipe();
  struct pollfd p = {pipe_in, POLLIN, 0};
  int64_t start = now_ms();
  EXPECT_EQ(poll(&p, 1, 30), 0);
  EXPECT_GE(now_ms() - start, 29);
  pid_t child = FORK({
    sleep_ms(20);
    put();
  });
  EXPECT_EQ(poll(&p, 1, -1), 1);
  EXPECT_EXIT(child, 0);
  struct rlimit limit;
  EXPECT_OK(getrlimit(RLIMIT_NOFILE, &limit));
  EXPECT_ERRNO(syscall(SYS_poll, &p, limit.rlim_cur + 1, 0), EINVAL);
}

static volatile sig_atomic_t count;
static void on_count(int sig) { (void)sig, count++; }

TEST(ppoll_swaps_the_mask) {
  open_pipe();
  sigset_t blocked, none;
  sigemptyset(&none), sigemptyset(&blocked), sigaddset(&blocked, SIGUSR1);
  set_handler(SIGUSR1, on_count, 0);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  raise(SIGUSR1);
  struct pollfd p = {pipe_in, POLLIN, 0};
  struct timespec t = {5, 0}, bad = {0, 1000000000};
  EXPECT_ERRNO(ppoll(&p, 1, &t, &none), EINTR);
  EXPECT_EQ(count, 1);
  EXPECT_ERRNO(ppoll(&p, 1, &bad, NULL), EINVAL);
  raise(SIGUSR1);
  t = (struct timespec){0, 1000000};
  EXPECT_EQ(ppoll(&p, 1, &t, NULL), 0);
  EXPECT_EQ(count, 1);
  EXPECT_ERRNO(pselect(0, NULL, NULL, NULL, &(struct timespec){5, 0}, &none), EINTR);
  EXPECT_EQ(count, 2);
}

TEST(select_sets) {
  open_pipe();
  fd_set in, out;
  struct timeval t = {0, 20000};
  FD_ZERO(&in);
  FD_ZERO(&out);
  FD_SET(pipe_in, &in);
  EXPECT_EQ(select(pipe_in + 1, &in, NULL, NULL, &t), 0);
  EXPECT_TRUE(!FD_ISSET(pipe_in, &in) && t.tv_usec == 0);
  put();
  FD_SET(pipe_in, &in);
  FD_SET(pipe_out, &out);
  EXPECT_EQ(select(pipe_out + 1, &in, &out, NULL, NULL), 2);
  EXPECT_TRUE(FD_ISSET(pipe_in, &in) && FD_ISSET(pipe_out, &out));
  FD_SET(99, &in);
  EXPECT_ERRNO(select(100, &in, NULL, NULL, NULL), EBADF);
  EXPECT_ERRNO(select(-1, NULL, NULL, NULL, NULL), EINVAL);
  t = (struct timeval){-1, 0};
  EXPECT_ERRNO(select(0, NULL, NULL, NULL, &t), EINVAL);
  close(pipe_out);
  FD_ZERO(&in);
  FD_SET(pipe_in, &in);
  EXPECT_EQ(select(pipe_in + 1, &in, NULL, NULL, NULL), 1);
}

static int ep;
static int control(int op, int fd, uint32_t events) {
  struct epoll_event e = {.events = events, .data.u64 = 0x1234567800000000ULL + fd};
  return epoll_ctl(ep, op, fd, &e);
}
static struct epoll_event got[8];
static int wait_ms(int ms) { return epoll_wait(ep, got, 8, ms); }

TEST(epoll_level_triggered) {
  open_pipe();
  ep = EXPECT_OK(epoll_create1(EPOLL_CLOEXEC));
  EXPECT_OK(control(EPOLL_CTL_ADD, pipe_in, EPOLLIN));
  EXPECT_EQ(wait_ms(0), 0);
  put();
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(wait_ms(0), 1);
    EXPECT_EQ(got[0].events, EPOLLIN);
    EXPECT_EQ(got[0].data.u64, 0x1234567800000000ULL + pipe_in);
  }
  take();
  EXPECT_EQ(wait_ms(0), 0);
  close(pipe_out);
  EXPECT_EQ(wait_ms(0), 1);
  EXPECT_EQ(got[0].events, EPOLLHUP);
}

TEST(epoll_edge_triggered) {
  open_pipe();
  ep = EXPECT_OK(epoll_create1(0));
  put();
  EXPECT_OK(control(EPOLL_CTL_ADD, pipe_in, EPOLLIN | EPOLLET));
  EXPECT_EQ(wait_ms(0), 1);
  EXPECT_EQ(wait_ms(0), 0);
  put();
  EXPECT_EQ(wait_ms(0), 1);
  EXPECT_EQ(wait_ms(0), 0);
  EXPECT_OK(control(EPOLL_CTL_MOD, pipe_in, EPOLLIN | EPOLLET));
  EXPECT_EQ(wait_ms(0), 1);
  EXPECT_EQ(wait_ms(0), 0);
}

TEST(epoll_one_shot) {
  open_pipe();
  ep = EXPECT_OK(epoll_create1(0));
  EXPECT_OK(control(EPOLL_CTL_ADD, pipe_in, EPOLLIN | EPOLLONESHOT));
  put();
  EXPECT_EQ(wait_ms(0), 1);
  put();
  EXPECT_EQ(wait_ms(0), 0);
  EXPECT_OK(control(EPOLL_CTL_MOD, pipe_in, EPOLLIN | EPOLLONESHOT));
  EXPECT_EQ(wait_ms(0), 1);
}

TEST(epoll_errors) {
  open_pipe();
  ep = EXPECT_OK(epoll_create(1));
  EXPECT_OK(control(EPOLL_CTL_ADD, pipe_in, EPOLLIN));
  EXPECT_ERRNO(control(EPOLL_CTL_ADD, pipe_in, EPOLLIN), EEXIST);
  EXPECT_ERRNO(control(EPOLL_CTL_MOD, pipe_out, EPOLLIN), ENOENT);
  EXPECT_ERRNO(control(EPOLL_CTL_DEL, pipe_out, 0), ENOENT);
  EXPECT_ERRNO(control(EPOLL_CTL_ADD, 99, EPOLLIN), EBADF);
  EXPECT_ERRNO(control(EPOLL_CTL_ADD, ep, EPOLLIN), EINVAL);
  EXPECT_ERRNO(control(77, pipe_out, EPOLLIN), EINVAL);
  EXPECT_ERRNO(control(EPOLL_CTL_ADD, open("f", O_CREAT | O_RDWR, 0600), EPOLLIN), EPERM);
  EXPECT_ERRNO(epoll_wait(ep, got, 0, 0), EINVAL);
  EXPECT_ERRNO(epoll_wait(pipe_in, got, 1, 0), EINVAL);
  EXPECT_ERRNO(epoll_create(0), EINVAL);
  EXPECT_ERRNO(epoll_create1(1), EINVAL);
  EXPECT_OK(control(EPOLL_CTL_DEL, pipe_in, 0));
}

TEST(epoll_forgets_closed_files) {
  open_pipe();
  ep = EXPECT_OK(epoll_create1(0));
  put();
  int copy = EXPECT_OK(dup(pipe_in));
  EXPECT_OK(control(EPOLL_CTL_ADD, pipe_in, EPOLLIN));
  close(pipe_in);
  EXPECT_EQ(wait_ms(0), 1);  // the copy keeps the open file
  close(copy);
  EXPECT_EQ(wait_ms(0), 0);
}

TEST(epoll_nested) {
  open_pipe();
  int inner = EXPECT_OK(epoll_create1(0));
  ep = inner;
  EXPECT_OK(control(EPOLL_CTL_ADD, pipe_in, EPOLLIN));
  int outer = ep = EXPECT_OK(epoll_create1(0));
  EXPECT_OK(control(EPOLL_CTL_ADD, inner, EPOLLIN));
  EXPECT_EQ(wait_ms(0), 0);
  put();
  EXPECT_EQ(wait_ms(0), 1);
  EXPECT_EQ(poll_one(outer, POLLIN), POLLIN);
  ep = inner;
  EXPECT_ERRNO(control(EPOLL_CTL_ADD, outer, EPOLLIN), ELOOP);
}

TEST(epoll_wakes_a_sleeper) {
  open_pipe();
  ep = EXPECT_OK(epoll_create1(0));
  EXPECT_OK(control(EPOLL_CTL_ADD, pipe_in, EPOLLIN | EPOLLET));
  pid_t child = FORK({
    sleep_ms(20);
    put();
  });
  EXPECT_EQ(wait_ms(-1), 1);
  EXPECT_EXIT(child, 0);
  int64_t start = now_ms();
  EXPECT_EQ(wait_ms(25), 0);
  EXPECT_GE(now_ms() - start, 24);
  struct timespec t = {0, 5000000};
  EXPECT_EQ(syscall(SYS_epoll_pwait2, ep, got, 8, &t, NULL, 8), 0);
}

TEST(epoll_many_and_fair) {
  int fds[100], seen[300] = {0};
  ep = EXPECT_OK(epoll_create1(0));
  for (int i = 0; i < 100; i++) {
    fds[i] = EXPECT_OK(eventfd(1, EFD_NONBLOCK));
    EXPECT_OK(control(EPOLL_CTL_ADD, fds[i], EPOLLIN));
  }
  for (int i = 0; i < 40; i++) {
    int n = wait_ms(0);
    for (int j = 0; j < n; j++) seen[got[j].data.u64 & 0xfff]++;
  }
  for (int i = 0; i < 100; i++) EXPECT_GE(seen[fds[i]], 1);
}

static void *waits_in_epoll(void *arg) {
  struct epoll_event e;
  *(int *)arg = epoll_wait(ep, &e, 1, 30000);
  return NULL;
}

TEST(epoll_reports_thousands_of_files_at_once) {
  static struct epoll_event events[7000];
  const int files = 7000;
  struct rlimit limit = {files + 100, files + 100};
  if (setrlimit(RLIMIT_NOFILE, &limit) == -1) SKIP("not enough descriptors");
  int ep = EXPECT_OK(epoll_create1(0));
  int first = EXPECT_OK(eventfd(1, 0));
  for (int i = 0; i < files; i++) {
    struct epoll_event event = {EPOLLIN, {.u32 = (uint32_t)i}};
    EXPECT_OK(epoll_ctl(ep, EPOLL_CTL_ADD, i == 0 ? first : EXPECT_OK(dup(first)), &event));
  }
  EXPECT_EQ(epoll_wait(ep, events, files, 0), files);
  EXPECT_EQ(events[files - 1].events, EPOLLIN);
  EXPECT_EQ(epoll_wait(ep, events, 10, 0), 10);
}

TEST(epoll_added_while_another_thread_waits) {
  open_pipe();
  put();
  ep = EXPECT_OK(epoll_create1(0));
  int result = -1;
  pthread_t thread;
  EXPECT_EQ(pthread_create(&thread, NULL, waits_in_epoll, &result), 0);
  sleep_ms(30);
  EXPECT_OK(control(EPOLL_CTL_ADD, pipe_in, EPOLLIN));
  EXPECT_EQ(pthread_join(thread, NULL), 0);
  EXPECT_EQ(result, 1);
}
