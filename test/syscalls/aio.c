// Asynchronous I/O: io_setup(2), io_submit(2), io_getevents(2) and their relatives.
#include "test.h"

#include <linux/aio_abi.h>
#include <sys/eventfd.h>

#ifndef IOCB_CMD_POLL
#define IOCB_CMD_POLL 5
#endif

static int setup(unsigned n, aio_context_t *ctx) { return syscall(SYS_io_setup, n, ctx); }
static int destroy(aio_context_t ctx) { return syscall(SYS_io_destroy, ctx); }
static int submit(aio_context_t ctx, long n, struct iocb **list) {
  return syscall(SYS_io_submit, ctx, n, list);
}
static int get(aio_context_t ctx, long least, long most, struct io_event *events, struct timespec *t) {
  return syscall(SYS_io_getevents, ctx, least, most, events, t);
}
static int submit_one(aio_context_t ctx, struct iocb *cb) { return submit(ctx, 1, &cb); }

static struct iocb make(int opcode, int fd, void *buf, size_t n, long offset) {
  return (struct iocb){.aio_data = 0x1122334455667788,
                       .aio_lio_opcode = opcode,
                       .aio_fildes = fd,
                       .aio_buf = (unsigned long)buf,
                       .aio_nbytes = n,
                       .aio_offset = offset};
}

TEST(setup_and_destroy) {
  aio_context_t ctx = 0;
  EXPECT_ERRNO(setup(0, &ctx), EINVAL);
  EXPECT_ERRNO(setup(1, (void *)8), EFAULT);
  EXPECT_ERRNO(setup(0x7fffffff, &ctx), EINVAL);
  EXPECT_ERRNO(setup(0x700000, &ctx), EINVAL);
  char text[32];
  read_whole("/proc/sys/fs/aio-max-nr", text, sizeof text);
  EXPECT_ERRNO(setup(atoi(text) + 1, &ctx), EAGAIN);
  EXPECT_OK(setup(10, &ctx));
  EXPECT_NE(ctx, 0);
  aio_context_t used = ctx;
  EXPECT_ERRNO(setup(10, &used), EINVAL);
  // The identifier is the address of the ring.
  unsigned *ring = (unsigned *)ctx;
  EXPECT_GE(ring[1], 10);
  EXPECT_EQ(ring[2], ring[3]);
  EXPECT_EQ(ring[4], 0xa10a10a1);
  EXPECT_EQ(ring[7], 32);
  IN_CHILD({ EXPECT_ERRNO(destroy(ctx), EINVAL); });
  EXPECT_OK(destroy(ctx));
  EXPECT_ERRNO(destroy(ctx), EINVAL);
  EXPECT_ERRNO(msync(ring, 4096, MS_ASYNC), ENOMEM);
}

TEST(reading_and_writing) {
  aio_context_t ctx = 0;
  struct io_event events[8];
  char in[16] = {0};
  EXPECT_OK(setup(8, &ctx));
  int fd = EXPECT_OK(open("file", O_RDWR | O_CREAT, 0600));
  struct iocb w = make(IOCB_CMD_PWRITE, fd, "hello world", 11, 0);
  EXPECT_EQ(EXPECT_OK(submit_one(ctx, &w)), 1);
  EXPECT_EQ(EXPECT_OK(get(ctx, 1, 8, events, NULL)), 1);
  EXPECT_EQ(events[0].data, 0x1122334455667788);
  EXPECT_EQ(events[0].obj, (unsigned long)&w);
  EXPECT_EQ(events[0].res, 11);
  EXPECT_EQ(events[0].res2, 0);
  struct iovec iov[2] = {{in, 3}, {in + 3, 5}};
  char other[8] = {0};
  struct iocb r = make(IOCB_CMD_PREADV, fd, iov, 2, 3);
  struct iocb r2 = make(IOCB_CMD_PREAD, fd, other, 5, 6);
  struct iocb s = make(IOCB_CMD_FSYNC, fd, NULL, 0, 0), d = make(IOCB_CMD_FDSYNC, fd, NULL, 0, 0);
  struct iocb *list[] = {&r, &r2, &s, &d};
  EXPECT_EQ(EXPECT_OK(submit(ctx, 4, list)), 4);
  struct timespec zero = {0, 0}, second = {10, 0};
  int n = 0;
  while (n < 4) n += EXPECT_OK(get(ctx, 1, 4 - n, events + n, &second));
  EXPECT_EQ(EXPECT_OK(get(ctx, 0, 1, events + n, &zero)), 0);
  long sum = 0;
  for (int i = 0; i < 4; i++) sum += events[i].res;
  EXPECT_EQ(sum, 8 + 5);
  EXPECT_STR(in, "lo world");
  EXPECT_STR(other, "world");
  struct iovec out[2] = {{"AB", 2}, {"C", 1}};
  struct iocb v = make(IOCB_CMD_PWRITEV, fd, out, 2, 0);
  EXPECT_OK(submit_one(ctx, &v));
  EXPECT_EQ(EXPECT_OK(get(ctx, 1, 1, events, NULL)), 1);
  EXPECT_EQ(events[0].res, 3);
  expect_content("file", "ABClo world");
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
  // Failures of the transfer itself are results.
  struct iocb bad = make(IOCB_CMD_PREAD, fd, (void *)8, 5, 0);
  EXPECT_OK(submit_one(ctx, &bad));
  EXPECT_EQ(EXPECT_OK(get(ctx, 1, 1, events, NULL)), 1);
  EXPECT_EQ(events[0].res, -EFAULT);
  EXPECT_OK(destroy(ctx));
}

TEST(errors) {
  aio_context_t ctx = 0;
  struct io_event events[2];
  EXPECT_OK(setup(1, &ctx));
  char c;
  int fd = EXPECT_OK(open("file", O_RDONLY | O_CREAT, 0600));
  struct iocb cb = make(IOCB_CMD_PREAD, 99, &c, 1, 0);
  EXPECT_ERRNO(submit_one(ctx, &cb), EBADF);
  cb = make(IOCB_CMD_PWRITE, fd, &c, 1, 0);
  EXPECT_ERRNO(submit_one(ctx, &cb), EBADF);
  cb = make(99, fd, &c, 1, 0);
  EXPECT_ERRNO(submit_one(ctx, &cb), EINVAL);
  cb = make(IOCB_CMD_PREAD, fd, &c, 1, 0);
  cb.aio_reserved2 = 1;
  EXPECT_ERRNO(submit_one(ctx, &cb), EINVAL);
  cb = make(IOCB_CMD_PREAD, fd, &c, -1, 0);
  EXPECT_ERRNO(submit_one(ctx, &cb), EINVAL);
  cb = make(IOCB_CMD_FSYNC, fd, NULL, 1, 0);
  EXPECT_ERRNO(submit_one(ctx, &cb), EINVAL);
  cb = make(IOCB_CMD_PREAD, fd, &c, 1, 0);
  cb.aio_flags = IOCB_FLAG_RESFD, cb.aio_resfd = 99;
  EXPECT_ERRNO(submit_one(ctx, &cb), EBADF);
  cb.aio_resfd = fd;
  EXPECT_ERRNO(submit_one(ctx, &cb), EINVAL);
  cb = make(IOCB_CMD_PREAD, fd, &c, 1, 0);
  cb.aio_rw_flags = 0x8000;
  EXPECT_ERRNO(submit_one(ctx, &cb), EOPNOTSUPP);
  EXPECT_ERRNO(submit(ctx, -1, NULL), EINVAL);
  EXPECT_EQ(EXPECT_OK(submit(ctx, 0, NULL)), 0);
  EXPECT_ERRNO(submit(ctx, 1, (void *)8), EFAULT);
  struct iocb *nowhere = (void *)8;
  EXPECT_ERRNO(submit(ctx, 1, &nowhere), EFAULT);
  EXPECT_ERRNO(submit(0, 1, &nowhere), EINVAL);
  EXPECT_ERRNO(get(0, 0, 1, events, NULL), EINVAL);
  EXPECT_ERRNO(get(ctx, 2, 1, events, NULL), EINVAL);
  EXPECT_ERRNO(get(ctx, -1, 1, events, NULL), EINVAL);
  EXPECT_ERRNO(get(ctx, 1, 1, events, (void *)8), EFAULT);
  // The ones before a bad one are done.
  struct iocb good = make(IOCB_CMD_PREAD, fd, &c, 1, 0), bad = make(99, fd, &c, 1, 0);
  struct iocb *list[] = {&good, &bad};
  EXPECT_EQ(EXPECT_OK(submit(ctx, 2, list)), 1);
  EXPECT_EQ(EXPECT_OK(get(ctx, 1, 2, events, NULL)), 1);
  EXPECT_EQ(events[0].res, 0);
}

TEST(eventfd_is_signalled) {
  aio_context_t ctx = 0;
  struct io_event event;
  EXPECT_OK(setup(4, &ctx));
  int efd = EXPECT_OK(eventfd(0, EFD_NONBLOCK));
  make_file("file", "0123456789");
  int fd = EXPECT_OK(open("file", O_RDONLY));
  char buffer[4];
  uint64_t count = 0;
  for (int i = 0; i < 2; i++) {
    struct iocb cb = make(IOCB_CMD_PREAD, fd, buffer, 4, 0);
    cb.aio_flags = IOCB_FLAG_RESFD, cb.aio_resfd = efd;
    EXPECT_OK(submit_one(ctx, &cb));
  }
  struct pollfd p = {efd, POLLIN, 0};
  EXPECT_EQ(EXPECT_OK(poll(&p, 1, 10000)), 1);
  int n = 0;
  while (n < 2) n += EXPECT_OK(get(ctx, 1, 1, &event, NULL));
  EXPECT_EQ(read(efd, &count, 8), 8);
  EXPECT_EQ(count, 2);
}

TEST(polling) {
  aio_context_t ctx = 0;
  struct io_event events[2];
  struct timespec zero = {0, 0};
  int fds[2];
  EXPECT_OK(setup(4, &ctx));
  EXPECT_OK(pipe(fds));
  struct iocb cb = make(IOCB_CMD_POLL, fds[0], (void *)POLLIN, 0, 0);
  EXPECT_OK(submit_one(ctx, &cb));
  EXPECT_EQ(EXPECT_OK(get(ctx, 0, 1, events, &zero)), 0);
  pid_t child = FORK({
    sleep_ms(20);
    EXPECT_EQ(write(fds[1], "x", 1), 1);
  });
  EXPECT_EQ(EXPECT_OK(get(ctx, 1, 2, events, NULL)), 1);
  EXPECT_TRUE(events[0].res & POLLIN);
  EXPECT_EQ(events[0].obj, (unsigned long)&cb);
  EXPECT_EXIT(child, 0);
  // At once, when it is ready; and once only.
  EXPECT_OK(submit_one(ctx, &cb));
  EXPECT_EQ(EXPECT_OK(get(ctx, 1, 2, events, NULL)), 1);
  EXPECT_EQ(EXPECT_OK(get(ctx, 0, 1, events, &zero)), 0);
  char c;
  EXPECT_EQ(read(fds[0], &c, 1), 1);
  EXPECT_OK(submit_one(ctx, &cb));
  EXPECT_ERRNO(syscall(SYS_io_cancel, ctx, &cb, events), EINPROGRESS);
  EXPECT_EQ(EXPECT_OK(get(ctx, 1, 2, events, NULL)), 1);
  EXPECT_EQ(events[0].res, 0);
  EXPECT_ERRNO(syscall(SYS_io_cancel, ctx, &cb, events), EINVAL);
  EXPECT_ERRNO(syscall(SYS_io_cancel, ctx, 8L, events), EFAULT);
  cb = make(IOCB_CMD_POLL, fds[0], (void *)0x10001, 0, 0);
  EXPECT_ERRNO(submit_one(ctx, &cb), EINVAL);
  cb = make(IOCB_CMD_POLL, fds[0], (void *)POLLIN, 1, 0);
  EXPECT_ERRNO(submit_one(ctx, &cb), EINVAL);
  // A context goes with what is under way in it.
  cb = make(IOCB_CMD_POLL, fds[0], (void *)POLLIN, 0, 0);
  EXPECT_OK(submit_one(ctx, &cb));
  EXPECT_OK(destroy(ctx));
  EXPECT_EQ(write(fds[1], "x", 1), 1);
}

static void nothing(int sig) { (void)sig; }

TEST(timeouts_and_signals) {
  aio_context_t ctx = 0;
  struct io_event event;
  EXPECT_OK(setup(4, &ctx));
  struct timespec t = {0, 20 * 1000000};
  int64_t start = now_ms();
  EXPECT_EQ(EXPECT_OK(get(ctx, 1, 1, &event, &t)), 0);
  EXPECT_GE(now_ms() - start, 19);
  set_handler(SIGUSR1, nothing, SA_RESTART);
  pid_t parent = getpid();
  pid_t child = FORK({
    // A signal that comes before the call interrupts nothing, so there are more of them.
    for (wait_asleep(parent);; sleep_ms(5)) EXPECT_OK(kill(parent, SIGUSR1));
  });
  EXPECT_ERRNO(get(ctx, 1, 1, &event, NULL), EINTR);
  EXPECT_OK(kill(child, SIGKILL));
  EXPECT_KILLED(child, SIGKILL);
}

TEST(the_program_takes_events_by_itself) {
  aio_context_t ctx = 0;
  EXPECT_OK(setup(4, &ctx));
  make_file("file", "0123456789");
  int fd = EXPECT_OK(open("file", O_RDONLY));
  volatile unsigned *ring = (unsigned *)ctx;
  struct io_event *slots = (struct io_event *)(ctx + 32);
  char buffer[4];
  // More often than there are slots.
  for (unsigned i = 0; i < 3 * ring[1]; i++) {
    struct iocb cb = make(IOCB_CMD_PREAD, fd, buffer, i % 4, 0);
    EXPECT_OK(submit_one(ctx, &cb));
    WAIT_UNTIL(ring[2] != ring[3]);
    EXPECT_EQ(slots[ring[2]].res, i % 4);
    ring[2] = (ring[2] + 1) % ring[1];
  }
  struct io_event event;
  struct timespec zero = {0, 0};
  EXPECT_EQ(EXPECT_OK(get(ctx, 0, 1, &event, &zero)), 0);
  // Nonsense in the ring hurts nobody.
  ring[2] = 0xfffffff0, ring[3] = 77, ring[1] = 0;
  struct iocb cb = make(IOCB_CMD_PREAD, fd, buffer, 1, 0);
  submit_one(ctx, &cb);
  get(ctx, 0, 1, &event, &zero);
  destroy(ctx);
}

TEST(ring_is_bounded) {
  aio_context_t ctx = 0;
  EXPECT_OK(setup(4, &ctx));
  make_file("file", "0123456789");
  int fd = EXPECT_OK(open("file", O_RDONLY));
  char buffer[4];
  int n = 0;
  for (; n < 100000; n++) {
    struct iocb cb = make(IOCB_CMD_PREAD, fd, buffer, 1, 0);
    if (submit_one(ctx, &cb) == -1) break;
  }
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GE(n, 4);
  struct io_event *events = calloc(n + 1, sizeof *events);
  int got = 0;
  while (got < n) got += EXPECT_OK(get(ctx, 1, n + 1 - got, events + got, NULL));
  EXPECT_EQ(got, n);
}

TEST(signal_mask) {
  aio_context_t ctx = 0;
  struct io_event event;
  EXPECT_OK(setup(4, &ctx));
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  set_handler(SIGUSR1, nothing, 0);
  EXPECT_OK(sigprocmask(SIG_SETMASK, &all, NULL));
  EXPECT_OK(raise(SIGUSR1));
  struct {
    const sigset_t *mask;
    size_t size;
  } sig = {&none, 8};
  EXPECT_ERRNO(syscall(SYS_io_pgetevents, ctx, 1, 1, &event, NULL, &sig), EINTR);
  sigset_t now;
  EXPECT_OK(sigprocmask(SIG_SETMASK, NULL, &now));
  EXPECT_TRUE(sigismember(&now, SIGUSR2));
  sig.size = 4;
  EXPECT_ERRNO(syscall(SYS_io_pgetevents, ctx, 1, 1, &event, NULL, &sig), EINVAL);
  struct timespec t = {0, 1000};
  EXPECT_EQ(EXPECT_OK(syscall(SYS_io_pgetevents, ctx, 1, 1, &event, &t, NULL)), 0);
}
