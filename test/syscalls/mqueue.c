// POSIX message queues: mq_open(2) and its relatives, and their file system.
#include "test.h"

#include <mqueue.h>
#include <sys/mount.h>

static char name[64];
static struct mq_attr small = {.mq_maxmsg = 4, .mq_msgsize = 16};

/** A new queue without a name, which goes with its descriptors. */
static mqd_t new_queue(int flags) {
  snprintf(name, sizeof name, "/portcullis-%d", getpid());
  mqd_t q = EXPECT_OK(mq_open(name, O_RDWR | O_CREAT | O_EXCL | flags, 0600, &small));
  EXPECT_OK(mq_unlink(name));
  return q;
}

static struct mq_attr attr_of(mqd_t q) {
  struct mq_attr attr;
  EXPECT_OK(mq_getattr(q, &attr));
  return attr;
}

#define EXPECT_MESSAGE(q, text, priority)                              \
  do {                                                                 \
    char buffer_[64] = {0};                                            \
    unsigned prio_ = 99;                                               \
    EXPECT_EQ(EXPECT_OK(mq_receive(q, buffer_, 16, &prio_)), strlen(text)); \
    EXPECT_STR(buffer_, text);                                         \
    EXPECT_EQ(prio_, priority);                                        \
  } while (0)

TEST(opening) {
  snprintf(name, sizeof name, "/portcullis-%d", getpid());
  EXPECT_ERRNO(mq_open(name, O_RDWR), ENOENT);
  mqd_t q = EXPECT_OK(mq_open(name, O_RDWR | O_CREAT, 0640, NULL));
  EXPECT_EQ(EXPECT_OK(fcntl(q, F_GETFD)), FD_CLOEXEC);
  EXPECT_EQ(attr_of(q).mq_maxmsg, 10);
  EXPECT_EQ(attr_of(q).mq_msgsize, 8192);
  EXPECT_EQ(attr_of(q).mq_curmsgs, 0);
  EXPECT_EQ(attr_of(q).mq_flags, 0);
  EXPECT_ERRNO(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL), EEXIST);
  mqd_t again = EXPECT_OK(mq_open(name, O_WRONLY | O_CREAT, 0600, &small));
  EXPECT_EQ(attr_of(again).mq_maxmsg, 10);
  struct stat st;
  EXPECT_OK(fstat(q, &st));
  EXPECT_EQ(st.st_mode, S_IFREG | 0640);
  EXPECT_EQ(st.st_size, 80);
  IN_CHILD({
    become(NOBODY, NOBODY);
    EXPECT_ERRNO(mq_open(name, O_RDONLY), EACCES);
    EXPECT_ERRNO(syscall(SYS_mq_unlink, name + 1), EPERM);
  });
  EXPECT_OK(mq_unlink(name));
  EXPECT_ERRNO(mq_unlink(name), ENOENT);
  EXPECT_ERRNO(syscall(SYS_mq_open, "a/b", O_RDWR | O_CREAT, 0600, NULL), EACCES);
  EXPECT_ERRNO(syscall(SYS_mq_open, ".", O_RDWR | O_CREAT, 0600, NULL), EACCES);
  EXPECT_ERRNO(syscall(SYS_mq_open, "", O_RDWR | O_CREAT, 0600, NULL), ENOENT);
  EXPECT_ERRNO(syscall(SYS_mq_open, 8L, O_RDWR, 0600, NULL), EFAULT);
  EXPECT_ERRNO(syscall(SYS_mq_open, "x", O_RDWR | O_CREAT, 0600, 8L), EFAULT);
  char long_name[300];
  memset(long_name, 'n', sizeof long_name);
  long_name[256] = 0;
  EXPECT_ERRNO(syscall(SYS_mq_open, long_name, O_RDWR | O_CREAT, 0600, NULL), ENAMETOOLONG);
  struct mq_attr bad = {.mq_maxmsg = 0, .mq_msgsize = 16};
  EXPECT_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &bad), EINVAL);
  bad.mq_maxmsg = 4, bad.mq_msgsize = -1;
  EXPECT_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &bad), EINVAL);
  bad.mq_maxmsg = 65537, bad.mq_msgsize = 16;
  EXPECT_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &bad), EINVAL);
}

TEST(priorities) {
  mqd_t q = new_queue(0);
  EXPECT_OK(mq_send(q, "low", 3, 1));
  EXPECT_OK(mq_send(q, "high", 4, 7));
  EXPECT_OK(mq_send(q, "low2", 4, 1));
  EXPECT_OK(mq_send(q, "", 0, 3));
  EXPECT_EQ(attr_of(q).mq_curmsgs, 4);
  EXPECT_MESSAGE(q, "high", 7);
  EXPECT_MESSAGE(q, "", 3);
  EXPECT_MESSAGE(q, "low", 1);
  EXPECT_MESSAGE(q, "low2", 1);
}

TEST(errors) {
  mqd_t q = new_queue(O_NONBLOCK);
  char buffer[32] = {0};
  EXPECT_ERRNO(mq_receive(q, buffer, 16, NULL), EAGAIN);
  EXPECT_ERRNO(mq_receive(q, buffer, 15, NULL), EMSGSIZE);
  EXPECT_ERRNO(mq_send(q, buffer, 17, 0), EMSGSIZE);
  EXPECT_ERRNO(mq_send(q, buffer, 1, 32768), EINVAL);
  EXPECT_OK(mq_send(q, buffer, 16, 32767));
  for (int i = 0; i < 3; i++) EXPECT_OK(mq_send(q, buffer, 1, 0));
  EXPECT_ERRNO(mq_send(q, buffer, 1, 0), EAGAIN);
  EXPECT_ERRNO(mq_send(0, buffer, 1, 0), EBADF);
  EXPECT_ERRNO(mq_send(-1, buffer, 1, 0), EBADF);
  EXPECT_ERRNO(mq_receive(0, buffer, 16, NULL), EBADF);
  EXPECT_ERRNO(syscall(SYS_mq_timedsend, q, 8L, 4L, 0, NULL), EFAULT);
  EXPECT_ERRNO(syscall(SYS_mq_getsetattr, 0, NULL, NULL), EBADF);
  struct mq_attr attr = {.mq_flags = O_APPEND};
  EXPECT_ERRNO(syscall(SYS_mq_getsetattr, q, &attr, NULL), EINVAL);
  attr.mq_flags = 0;
  struct mq_attr old;
  EXPECT_OK(mq_setattr(q, &attr, &old));
  EXPECT_EQ(old.mq_flags, O_NONBLOCK);
  EXPECT_EQ(old.mq_curmsgs, 4);
  EXPECT_EQ(attr_of(q).mq_flags, 0);
  EXPECT_EQ(EXPECT_OK(fcntl(q, F_GETFL)) & O_NONBLOCK, 0);
}

TEST(one_way_descriptors) {
  snprintf(name, sizeof name, "/portcullis-%d", getpid());
  mqd_t both = EXPECT_OK(mq_open(name, O_RDWR | O_CREAT, 0600, &small));
  mqd_t in = EXPECT_OK(mq_open(name, O_RDONLY | O_NONBLOCK));
  mqd_t out = EXPECT_OK(mq_open(name, O_WRONLY));
  EXPECT_OK(mq_unlink(name));
  char buffer[16];
  EXPECT_ERRNO(mq_send(in, "x", 1, 0), EBADF);
  EXPECT_ERRNO(mq_receive(out, buffer, 16, NULL), EBADF);
  EXPECT_OK(mq_send(out, "x", 1, 0));
  EXPECT_MESSAGE(in, "x", 0);
  (void)both;
}

TEST(waiting) {
  mqd_t q = new_queue(0);
  pid_t child = FORK({ EXPECT_MESSAGE(q, "hello", 2); });
  wait_asleep(child);
  EXPECT_OK(mq_send(q, "hello", 5, 2));
  EXPECT_EXIT(child, 0);
  for (int i = 0; i < 4; i++) EXPECT_OK(mq_send(q, "x", 1, 0));
  child = FORK({ EXPECT_OK(mq_send(q, "last", 4, 0)); });
  wait_asleep(child);
  EXPECT_MESSAGE(q, "x", 0);
  EXPECT_EXIT(child, 0);
  for (int i = 0; i < 3; i++) EXPECT_MESSAGE(q, "x", 0);
  EXPECT_MESSAGE(q, "last", 0);
}

static void nothing(int sig) { (void)sig; }

TEST(timeouts_and_signals) {
  mqd_t q = new_queue(0);
  char buffer[16];
  struct timespec t = {0, 0};
  EXPECT_ERRNO(mq_timedreceive(q, buffer, 16, NULL, &t), ETIMEDOUT);
  EXPECT_OK(clock_gettime(CLOCK_REALTIME, &t));
  t.tv_nsec += 20 * 1000000;
  if (t.tv_nsec >= 1000000000) t.tv_nsec -= 1000000000, t.tv_sec++;
  EXPECT_ERRNO(mq_timedreceive(q, buffer, 16, NULL, &t), ETIMEDOUT);
  EXPECT_OK(mq_timedsend(q, "x", 1, 0, &t));
  EXPECT_EQ(EXPECT_OK(mq_timedreceive(q, buffer, 16, NULL, &t)), 1);
  t.tv_nsec = 1000000000;
  EXPECT_ERRNO(mq_timedreceive(q, buffer, 16, NULL, &t), EINVAL);
  EXPECT_ERRNO(syscall(SYS_mq_timedreceive, q, buffer, 16L, NULL, 8L), EFAULT);
  int fds[2];
  EXPECT_OK(pipe2(fds, O_NONBLOCK));
  set_handler(SIGUSR1, nothing, 0);
  pid_t child = FORK({
    EXPECT_ERRNO(mq_receive(q, buffer, 16, NULL), EINTR);
    set_handler(SIGUSR1, nothing, SA_RESTART);
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    EXPECT_MESSAGE(q, "after", 0);
  });
  // A signal that comes before the call interrupts nothing, so there are more of them.
  char c;
  while (read(fds[0], &c, 1) != 1) {
    EXPECT_OK(kill(child, SIGUSR1));
    sleep_ms(5);
  }
  wait_asleep(child);
  EXPECT_OK(kill(child, SIGUSR1));
  wait_asleep(child);
  EXPECT_OK(mq_send(q, "after", 5, 0));
  EXPECT_EXIT(child, 0);
}

TEST(polling) {
  mqd_t q = new_queue(0);
  struct pollfd p = {q, POLLIN | POLLOUT, 0};
  EXPECT_EQ(EXPECT_OK(poll(&p, 1, 0)), 1);
  EXPECT_EQ(p.revents, POLLOUT);
  EXPECT_OK(mq_send(q, "x", 1, 0));
  EXPECT_EQ(EXPECT_OK(poll(&p, 1, 0)), 1);
  EXPECT_EQ(p.revents, POLLIN | POLLOUT);
  for (int i = 0; i < 3; i++) EXPECT_OK(mq_send(q, "x", 1, 0));
  EXPECT_EQ(EXPECT_OK(poll(&p, 1, 0)), 1);
  EXPECT_EQ(p.revents, POLLIN);
  pid_t child = FORK({
    p.events = POLLOUT;
    EXPECT_EQ(EXPECT_OK(poll(&p, 1, 10000)), 1);
  });
  wait_asleep(child);
  EXPECT_MESSAGE(q, "x", 0);
  EXPECT_EXIT(child, 0);
}

static volatile sig_atomic_t signalled, code, from, value;
static void on_message(int sig, siginfo_t *info, void *context) {
  (void)context;
  signalled = sig, code = info->si_code, from = info->si_pid, value = info->si_value.sival_int;
}

TEST(notification_by_signal) {
  mqd_t q = new_queue(0);
  set_info_handler(SIGUSR1, on_message, SA_RESTART);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  event.sigev_value.sival_int = 42;
  EXPECT_OK(mq_notify(q, &event));
  EXPECT_ERRNO(mq_notify(q, &event), EBUSY);
  IN_CHILD({ EXPECT_ERRNO(mq_notify(q, &event), EBUSY); });
  pid_t child = FORK({ EXPECT_OK(mq_send(q, "x", 1, 0)); });
  EXPECT_EXIT(child, 0);
  WAIT_UNTIL(signalled);
  EXPECT_EQ(signalled, SIGUSR1);
  EXPECT_EQ(code, SI_MESGQ);
  EXPECT_EQ(from, child);
  EXPECT_EQ(value, 42);
  // Once only, and only when the queue was empty.
  signalled = 0;
  EXPECT_OK(mq_notify(q, &event));
  EXPECT_OK(mq_send(q, "y", 1, 0));
  EXPECT_EQ(signalled, 0);
  EXPECT_OK(mq_notify(q, NULL));
  EXPECT_MESSAGE(q, "x", 0);
  EXPECT_MESSAGE(q, "y", 0);
  EXPECT_OK(mq_send(q, "z", 1, 0));
  EXPECT_EQ(signalled, 0);
  EXPECT_MESSAGE(q, "z", 0);
  // A receiver that waits comes first.
  EXPECT_OK(mq_notify(q, &event));
  child = FORK({ EXPECT_MESSAGE(q, "w", 0); });
  wait_asleep(child);
  EXPECT_OK(mq_send(q, "w", 1, 0));
  int taken = attr_of(q).mq_curmsgs == 0;
  EXPECT_EXIT(child, 0);
  // A receiver that was slow to come was no receiver yet.
  if (!taken) SKIP("the machine is too busy");
  EXPECT_EQ(signalled, 0);
  EXPECT_OK(mq_send(q, "v", 1, 0));
  EXPECT_EQ(signalled, SIGUSR1);
  // Registered to nobody's signal; the end of the process frees the place, and so does a close.
  EXPECT_MESSAGE(q, "v", 0);
  IN_CHILD({
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    EXPECT_OK(mq_notify(q, &none));
  });
  EXPECT_OK(mq_notify(q, &event));
  close(dup(q));
  EXPECT_OK(mq_notify(q, &event));
  event.sigev_notify = 77;
  EXPECT_ERRNO(mq_notify(q, &event), EINVAL);
  event.sigev_notify = SIGEV_SIGNAL, event.sigev_signo = 100;
  EXPECT_ERRNO(mq_notify(q, &event), EINVAL);
  EXPECT_ERRNO(syscall(SYS_mq_notify, q, 8L), EFAULT);
  EXPECT_ERRNO(mq_notify(0, NULL), EBADF);
}

static volatile int threaded;
static void in_thread(union sigval v) { __atomic_store_n(&threaded, v.sival_int, __ATOMIC_SEQ_CST); }

TEST(notification_by_thread) {
  mqd_t q = new_queue(0);
  struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = in_thread};
  event.sigev_value.sival_int = 42;
  EXPECT_OK(mq_notify(q, &event));
  EXPECT_ERRNO(mq_notify(q, &event), EBUSY);
  EXPECT_OK(mq_send(q, "x", 1, 0));
  WAIT_UNTIL(threaded);
  EXPECT_EQ(threaded, 42);
  EXPECT_OK(mq_notify(q, &event));
  EXPECT_OK(mq_notify(q, NULL));
}

TEST(limits) {
  snprintf(name, sizeof name, "/portcullis-%d", getpid());
  IN_CHILD({
    become(NOBODY, NOBODY);
    struct mq_attr attr = {.mq_maxmsg = 11, .mq_msgsize = 16};
    EXPECT_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &attr), EINVAL);
    attr.mq_maxmsg = 10, attr.mq_msgsize = 8193;
    EXPECT_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &attr), EINVAL);
    struct rlimit limit = {1000, 1000};
    EXPECT_OK(setrlimit(RLIMIT_MSGQUEUE, &limit));
    attr.mq_msgsize = 16;
    EXPECT_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &attr), EMFILE);
    attr.mq_maxmsg = 8;
    mqd_t q = EXPECT_OK(mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
    EXPECT_OK(mq_unlink(name));
    EXPECT_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &attr), EMFILE);
    EXPECT_OK(mq_close(q));
    EXPECT_OK(mq_open(name, O_RDWR | O_CREAT, 0600, &attr));
    EXPECT_OK(mq_unlink(name));
  });
  expect_content("/proc/sys/fs/mqueue/msg_default", "10\n");
}

TEST(file_system) {
  if (unshare(CLONE_NEWNS) == -1 && errno != EINVAL && errno != ENOSYS && errno != EPERM)
    FAIL("unshare: %s", strerror(errno));
  mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
  EXPECT_OK(mkdir("q", 0755));
  if (mount("none", "q", "mqueue", 0, NULL) == -1) SKIP("may not mount here");
  char path[80], text[128];
  snprintf(name, sizeof name, "/portcullis-%d", getpid());
  snprintf(path, sizeof path, "q%s", name);
  mqd_t q = EXPECT_OK(mq_open(name, O_RDWR | O_CREAT, 0600, &small));
  EXPECT_OK(mq_send(q, "12345", 5, 0));
  read_whole(path, text, sizeof text);
  EXPECT_STR(text, "QSIZE:5          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n");
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  EXPECT_OK(mq_notify(q, &event));
  read_whole(path, text, sizeof text);
  char wanted[128];
  snprintf(wanted, sizeof wanted, "QSIZE:5          NOTIFY:0     SIGNO:%-5d NOTIFY_PID:%-6d\n", SIGUSR1, getpid());
  EXPECT_STR(text, wanted);
  EXPECT_OK(unlink(path));
  EXPECT_ERRNO(mq_open(name, O_RDWR), ENOENT);
  // A file that is made here is a queue.
  close(EXPECT_OK(open(path, O_RDWR | O_CREAT, 0600)));
  q = EXPECT_OK(mq_open(name, O_RDWR));
  EXPECT_EQ(attr_of(q).mq_maxmsg, 10);
  EXPECT_ERRNO(mkdir("q/dir", 0755), EPERM);
  EXPECT_ERRNO(symlink("x", "q/link"), EPERM);
  EXPECT_ERRNO(rename(path, "q/other"), EPERM);
  EXPECT_OK(mq_unlink(name));
  EXPECT_OK(umount("q"));
}
