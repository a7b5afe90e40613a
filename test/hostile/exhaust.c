// Taking all of something: it must end with an error, and leave the others theirs.

#include "hostile.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <sys/un.h>

ATTACK(fork_until_it_fails) {
  struct rlimit limit = {200, 200};
  setrlimit(RLIMIT_NPROC, &limit);
  int made = 0;
  pid_t pid;
  while (made < 1000 && (pid = fork()) > 0) made++;
  if (pid == 0) {
    pause();
    _exit(0);
  }
  if (made >= 1000) breach("RLIMIT_NPROC does not hold");
}

ATTACK(fork_bomb) {
  struct rlimit limit = {150, 150};
  setrlimit(RLIMIT_NPROC, &limit);
  for (double end = seconds() + 3; seconds() < end;) fork();
  _exit(0);
}

static void *sleep_long(void *unused) {
  pause();
  return unused;
}
ATTACK(threads_until_it_fails) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 16384);
  pthread_t thread;
  struct rlimit limit = {1200, 1200};
  setrlimit(RLIMIT_NPROC, &limit);
  for (int i = 0; i < 5000; i++)
    if (pthread_create(&thread, &attributes, sleep_long, NULL)) break;
}

ATTACK(open_100000_files) {
  struct rlimit limit = {1 << 20, 1 << 20};
  setrlimit(RLIMIT_NOFILE, &limit);
  for (int i = 0; i < 100000; i++)
    if (open(i & 1 ? "/dev/null" : "/etc/passwd", O_RDONLY) < 0) break;
}

ATTACK(pipes_full_of_data) {
  static char block[65536];
  for (int i = 0; i < 2000; i++) {
    int fds[2];
    if (pipe2(fds, O_NONBLOCK)) break;
    fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
    while (write(fds[1], block, sizeof block) > 0) {
    }
  }
}

ATTACK(sockets_in_sockets) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair)) _exit(1);
  for (int i = 0; i < 5000; i++) {
    int inner[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, inner)) break;
    union { struct cmsghdr header; char space[CMSG_SPACE(2 * sizeof(int))]; } control;
    struct iovec iov = {"x", 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(c), i & 1 ? pair : inner, sizeof inner);
    sendmsg(inner[0], &message, MSG_DONTWAIT);
    close(inner[0]), close(inner[1]);
  }
}

ATTACK(many_of_each_object) {
  struct rlimit limit = {1 << 20, 1 << 20};
  setrlimit(RLIMIT_NOFILE, &limit);
  for (int i = 0; i < 20000; i++) {
    int fd = -1;
    switch (i % 5) {
      case 0: fd = eventfd(0, 0); break;
      case 1: fd = epoll_create1(0); break;
      case 2: fd = timerfd_create(CLOCK_MONOTONIC, 0); break;
      case 3: fd = socket(AF_UNIX, SOCK_STREAM, 0); break;
      case 4: fd = (int)syscall(SYS_memfd_create, "m", 0); break;
    }
    if (fd < 0) break;
  }
}

/** Nothing that needs a descriptor of the sentry's is left: that is an error of the calls, and of no more than them. */
static void with_no_descriptors_left(void) {
  int fd = open("/etc/hostname", O_RDONLY);
  if (fd < 0 && errno != ENFILE && errno != ENOENT) breach("open: %s", strerror(errno));
  void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED && errno != ENOMEM && errno != ENFILE) breach("mmap: %s", strerror(errno));
  pid_t child = fork();
  if (child < 0 && errno != ENOMEM && errno != EAGAIN) breach("fork: %s", strerror(errno));
  if (child == 0) {
    execl("/bin/true", "true", NULL);
    _exit(1);
  }
}

ATTACK(memory_files_until_it_fails) {
  struct rlimit limit = {1 << 20, 1 << 20};
  setrlimit(RLIMIT_NOFILE, &limit);
  for (int i = 0; i < 100000; i++) {
    int fd = (int)syscall(SYS_memfd_create, "m", 0);
    if (fd < 0 || ftruncate(fd, 1 << 20)) break;
  }
  with_no_descriptors_left();
}

ATTACK(shared_memory_until_it_fails) {
  for (int i = 0; i < 60000; i++)
    if (mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) break;
  with_no_descriptors_left();
}

ATTACK(large_tmpfs_files_until_it_fails) {
  char name[64];
  snprintf(name, sizeof name, "/tmp/large.%d", getpid());
  mkdir(name, 0700);
  chdir(name);
  for (int i = 0; i < 30000; i++) {
    snprintf(name, sizeof name, "%d", i);
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    if (fd < 0 || ftruncate(fd, 100000)) break;
    close(fd);
  }
  with_no_descriptors_left();
  for (int i = 0; i < 30000; i++) {
    snprintf(name, sizeof name, "%d", i);
    if (unlink(name)) break;
  }
}

ATTACK(epoll_of_everything) {
  int epoll = epoll_create1(0);
  struct rlimit limit = {1 << 20, 1 << 20};
  setrlimit(RLIMIT_NOFILE, &limit);
  for (int i = 0; i < 20000; i++) {
    int fd = eventfd(1, 0);
    struct epoll_event event = {.events = EPOLLIN};
    if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) break;
  }
  static struct epoll_event events[1000];
  for (int i = 0; i < 20; i++) epoll_wait(epoll, events, 1000, 0);
  epoll_wait(epoll, events, 0x7fffffff, 0);
}

ATTACK(epolls_in_a_chain_and_a_ring) {
  int fds[200];
  struct epoll_event event = {.events = EPOLLIN};
  for (int i = 0; i < 200; i++) fds[i] = epoll_create1(0);
  for (int i = 0; i < 200; i++)
    for (int k = 0; k < 200; k++) epoll_ctl(fds[i], EPOLL_CTL_ADD, fds[k], &event);
  int end = eventfd(1, 0);
  epoll_ctl(fds[199], EPOLL_CTL_ADD, end, &event);
  epoll_wait(fds[0], &event, 1, 0);
}

ATTACK(timers_by_the_million) {
  timer_t timer;
  struct itimerspec spec = {{0, 1}, {0, 1}};
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  for (int i = 0; i < 1000000; i++)
    if (timer_create(CLOCK_MONOTONIC, &event, &timer)) break;
    else timer_settime(timer, 0, &spec, NULL);
}

ATTACK(timer_signals_without_end) {
  signal(SIGALRM, no_op);
  struct itimerval often = {{0, 1}, {0, 1}};
  setitimer(ITIMER_REAL, &often, NULL);
  for (double end = seconds() + 1; seconds() < end;) syscall(SYS_getppid);
}

ATTACK(signals_queued_without_end) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  union sigval value = {0};
  for (int i = 0; i < 300000; i++)
    if (sigqueue(getpid(), SIGRTMIN + i % 20, value)) break;
}

ATTACK(huge_vectors) {
  static struct iovec iov[1025];
  static char block[65536];
  for (int i = 0; i < 1025; i++) iov[i] = (struct iovec){block, 0x7fffffffffffffff};
  writev(2, iov, 1024);
  int null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY);
  for (int i = 0; i < 1025; i++) iov[i] = (struct iovec){block, sizeof block};
  for (int count = -1; count < 1026; count += 205) {
    writev(null, iov, count), readv(zero, iov, count);
    syscall(SYS_preadv2, zero, iov, count, -1, -1, 0);
    syscall(SYS_process_vm_readv, getpid(), iov, count, iov, count, 0);
    syscall(SYS_vmsplice, null, iov, count, 0);
  }
  read(zero, block, SIZE_MAX);
  write(null, block, SIZE_MAX);
  syscall(SYS_getrandom, block, SIZE_MAX, 0);
}

ATTACK(mappings_until_it_fails) {
  for (int i = 0; i < 100000; i++) {
    void *page = mmap(NULL, 4096, i & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) break;
  }
  pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, NULL, 0);
}

ATTACK(address_space_until_it_fails) {
  for (size_t size = 1UL << 46; size >= 4096; size /= 2)
    for (int i = 0; i < 100; i++)
      if (mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED) break;
  fork();
}

ATTACK(tmpfs_files_without_end) {
  char name[64];
  snprintf(name, sizeof name, "/tmp/many.%d", getpid());
  mkdir(name, 0700);
  chdir(name);
  for (int i = 0; i < 20000; i++) {
    snprintf(name, sizeof name, "%d", i);
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    if (fd < 0) break;
    close(fd);
  }
}

ATTACK(deep_directories) {
  chdir("/tmp");
  for (int i = 0; i < 3000; i++)
    if (mkdir("deep", 0700) || chdir("deep")) break;
  char buffer[PATH_MAX];
  syscall(SYS_getcwd, buffer, sizeof buffer);
  open("../../../deep/deep/deep", O_RDONLY);
  rename("../deep", "../deeper");
}

ATTACK(symlinks_in_circles) {
  chdir("/tmp");
  symlink("round/round/round/round", "round");
  open("round/x", O_RDONLY);
  char name[16], target[4096];
  memset(target, 0, sizeof target);
  for (int i = 0; i < 800; i++) strcat(target, "../p/");
  mkdir("p", 0700);
  symlink(target, "p/long");
  open("p/long/long/long/long", O_RDONLY);
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof name, "l%d", i), snprintf(target, sizeof target, "l%d", i + 1);
    symlink(target, name);
  }
  open("l0", O_RDONLY);
}

ATTACK(sparse_giant) {
  int fd = open("/tmp/giant", O_CREAT | O_RDWR, 0600);
  ftruncate(fd, INT64_MAX);
  ftruncate(fd, 1LL << 50);
  pwrite(fd, "x", 1, INT64_MAX - 1);
  pwrite(fd, "x", 1, 1LL << 45);
  lseek(fd, 0, SEEK_DATA);
  void *map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 1LL << 44);
  if (map != MAP_FAILED) *(volatile char *)map = 1;
  fallocate(fd, 0, 0, INT64_MAX);
  syscall(SYS_copy_file_range, fd, NULL, fd, NULL, SIZE_MAX, 0);
  syscall(SYS_sendfile, fd, fd, NULL, SIZE_MAX);
  unlink("/tmp/giant");
}

ATTACK(locks_by_the_thousand) {
  int fd = open("/tmp/locks", O_CREAT | O_RDWR, 0600);
  for (int i = 0; i < 20000; i++) {
    struct flock lock = {.l_type = i & 1 ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET, .l_start = i * 3L, .l_len = 1};
    if (fcntl(fd, F_SETLK, &lock)) break;
  }
  unlink("/tmp/locks");
}

ATTACK(arguments_without_end) {
  static char big[200000];
  memset(big, 'a', sizeof big - 1);
  static char *argv[100000];
  for (int i = 0; i < 99999; i++) argv[i] = "12345678901234567890";
  execv("/bin/true", argv);
  for (int i = 0; i < 99999; i++) argv[i] = big;
  execv("/bin/true", argv);
  argv[1] = NULL;
  execv("/bin/true", argv);
}
