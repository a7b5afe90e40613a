// Calls that another process answers: SECCOMP_RET_USER_NOTIF, seccomp_unotify(2).
#include "test.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/un.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#define SENTINEL SYS_getppid

/** A filter that asks about one call. */
static long asking(int nr, unsigned flags) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
static int listen_to(int nr) { return EXPECT_OK(asking(nr, SECCOMP_FILTER_FLAG_NEW_LISTENER)); }

static struct seccomp_notif receive(int fd) {
  struct seccomp_notif notice = {0};
  EXPECT_OK(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &notice));
  return notice;
}
static int answer(int fd, uint64_t id, int64_t value, int error, unsigned flags) {
  struct seccomp_notif_resp response = {id, value, error, flags};
  return ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &response);
}
static int events(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
  EXPECT_OK(poll(&p, 1, 0));
  return p.revents;
}

TEST(sizes_and_flags) {
  struct seccomp_notif_sizes sizes;
  EXPECT_OK(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
  EXPECT_EQ(sizes.seccomp_notif, sizeof(struct seccomp_notif));
  EXPECT_EQ(sizes.seccomp_notif_resp, sizeof(struct seccomp_notif_resp));
  EXPECT_EQ(sizes.seccomp_data, sizeof(struct seccomp_data));
  EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 1, &sizes), EINVAL);
  EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, NULL), EFAULT);
  uint32_t action = SECCOMP_RET_USER_NOTIF;
  EXPECT_OK(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
  EXPECT_ERRNO(asking(SENTINEL, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV), EINVAL);
  EXPECT_ERRNO(asking(SENTINEL, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC), EINVAL);
  int fd = EXPECT_OK(asking(SENTINEL, SECCOMP_FILTER_FLAG_NEW_LISTENER));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
  // There is one listener for all filters of a task.
  EXPECT_ERRNO(asking(SYS_getpgid, SECCOMP_FILTER_FLAG_NEW_LISTENER), EBUSY);
}

TEST(nobody_listens) {
  EXPECT_OK(asking(SENTINEL, 0));
  EXPECT_ERRNO(syscall(SENTINEL), ENOSYS);
}

TEST(answers) {
  int fd = listen_to(SYS_getpgid);
  EXPECT_EQ(events(fd), 0);
  pid_t child = FORK({
    EXPECT_EQ(syscall(SYS_getpgid, 0x123456789abcdL, 2, 3, 4, 5, 6), 4711);
    EXPECT_ERRNO(syscall(SYS_getpgid, 0), EXDEV);
    EXPECT_EQ(syscall(SYS_getpgid, 0), getpgrp());
    EXPECT_EQ(syscall(SYS_getpgid, 0), 0);
  });
  struct pollfd p = {.fd = fd, .events = POLLIN};
  EXPECT_EQ(poll(&p, 1, -1), 1);
  EXPECT_EQ(p.revents, POLLIN);
  struct seccomp_notif notice = receive(fd);
  EXPECT_EQ(notice.pid, child);
  EXPECT_EQ(notice.flags, 0);
  EXPECT_EQ(notice.data.nr, SYS_getpgid);
  EXPECT_EQ(notice.data.arch, AUDIT_ARCH_X86_64);
  EXPECT_EQ(notice.data.args[0], 0x123456789abcdL);
  for (int i = 1; i < 6; i++) EXPECT_EQ(notice.data.args[i], i + 1);
  EXPECT_NE(notice.data.instruction_pointer, 0);
  EXPECT_EQ(events(fd), POLLOUT);
  EXPECT_OK(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &notice.id));
  // Both directions of the number are known.
  EXPECT_OK(ioctl(fd, _IOR('!', 2, uint64_t), &notice.id));
  uint64_t other = notice.id + 1;
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &other), ENOENT);
  EXPECT_ERRNO(answer(fd, other, 0, 0, 0), ENOENT);
  EXPECT_ERRNO(answer(fd, notice.id, 0, 0, 2), EINVAL);
  EXPECT_ERRNO(answer(fd, notice.id, 1, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
  EXPECT_ERRNO(answer(fd, notice.id, 0, 1, SECCOMP_USER_NOTIF_FLAG_CONTINUE), EINVAL);
  EXPECT_OK(answer(fd, notice.id, 4711, 0, 0));
  uint64_t last = notice.id;
  notice = receive(fd);
  EXPECT_EQ(notice.id, last + 1);
  EXPECT_OK(answer(fd, notice.id, 0, -EXDEV, 0));
  notice = receive(fd);
  EXPECT_OK(answer(fd, notice.id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
  notice = receive(fd);
  EXPECT_OK(answer(fd, notice.id, 0, 0, 0));
  EXPECT_EXIT(child, 0);
  EXPECT_ERRNO(answer(fd, notice.id, 0, 0, 0), ENOENT);
}

TEST(wrong_arguments) {
  int fd = listen_to(SENTINEL);
  pid_t child = FORK({ EXPECT_EQ(syscall(SENTINEL), 5); });
  struct seccomp_notif notice = {.pid = 1};
  // What is received into must be clean.
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &notice), EINVAL);
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, NULL), EFAULT);
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, NULL), EFAULT);
  EXPECT_ERRNO(ioctl(fd, _IO('!', 77), NULL), EINVAL);
  char byte;
  EXPECT_ERRNO(read(fd, &byte, 1), EINVAL);
  struct pollfd p = {.fd = fd, .events = POLLIN};
  EXPECT_EQ(poll(&p, 1, -1), 1);
  // Received to a place that cannot be written: it is still there.
  void *readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, readonly), EFAULT);
  notice = receive(fd);
  EXPECT_OK(answer(fd, notice.id, 5, 0, 0));
  EXPECT_EXIT(child, 0);
}

TEST(listener_goes) {
  int fd = listen_to(SENTINEL), pipes[2];
  EXPECT_OK(pipe(pipes));
  pid_t child = FORK({
    close(fd);
    EXPECT_ERRNO(syscall(SENTINEL), ENOSYS);
    EXPECT_ERRNO(syscall(SENTINEL), ENOSYS);
  });
  struct seccomp_notif notice = receive(fd);
  EXPECT_OK(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &notice.id));
  close(fd);
  EXPECT_EXIT(child, 0);
}

TEST(asker_is_killed) {
  int fd = listen_to(SENTINEL);
  pid_t child = FORK({ syscall(SENTINEL); });
  struct seccomp_notif notice = receive(fd);
  EXPECT_OK(kill(child, SIGKILL));
  EXPECT_KILLED(child, SIGKILL);
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &notice.id), ENOENT);
  EXPECT_ERRNO(answer(fd, notice.id, 0, 0, 0), ENOENT);
}

static volatile int handled;
static void on_signal(int sig) { (void)sig, handled++; }

TEST(asker_is_interrupted) {
  int fd = listen_to(SENTINEL);
  pid_t child = FORK({
    set_handler(SIGUSR1, on_signal, 0);
    set_handler(SIGUSR2, on_signal, SA_RESTART);
    EXPECT_ERRNO(syscall(SENTINEL), EINTR);
    EXPECT_EQ(handled, 1);
    // Asked again.
    EXPECT_EQ(syscall(SENTINEL), 42);
    EXPECT_EQ(handled, 2);
  });
  struct seccomp_notif notice = receive(fd);
  EXPECT_OK(kill(child, SIGUSR1));
  struct seccomp_notif second = receive(fd);
  EXPECT_NE(notice.id, second.id);
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &notice.id), ENOENT);
  EXPECT_OK(kill(child, SIGUSR2));
  struct seccomp_notif third = receive(fd);
  EXPECT_NE(third.id, second.id);
  EXPECT_OK(answer(fd, third.id, 42, 0, 0));
  EXPECT_EXIT(child, 0);
}

TEST(stopped_and_continued) {
  int fd = listen_to(SENTINEL);
  pid_t child = FORK({ EXPECT_EQ(syscall(SENTINEL), 42); });
  receive(fd);
  EXPECT_OK(kill(child, SIGSTOP));
  int status;
  EXPECT_OK(waitpid(child, &status, WUNTRACED));
  EXPECT_OK(kill(child, SIGCONT));
  struct seccomp_notif notice = receive(fd);
  EXPECT_OK(answer(fd, notice.id, 42, 0, 0));
  EXPECT_EXIT(child, 0);
}

TEST(only_fatal_signals) {
  int fd = EXPECT_OK(asking(SENTINEL, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV));
  pid_t child = FORK({
    set_handler(SIGUSR1, on_signal, 0);
    EXPECT_EQ(syscall(SENTINEL), 42);
    EXPECT_EQ(handled, 1);
  });
  struct seccomp_notif notice = receive(fd);
  EXPECT_OK(kill(child, SIGUSR1));
  EXPECT_OK(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &notice.id));
  EXPECT_OK(answer(fd, notice.id, 42, 0, 0));
  EXPECT_EXIT(child, 0);
  child = FORK({ syscall(SENTINEL); });
  receive(fd);
  EXPECT_OK(kill(child, SIGKILL));
  EXPECT_KILLED(child, SIGKILL);
}

TEST(descriptors_for_the_asker) {
  int fd = listen_to(SENTINEL), file = open_with("file", "given");
  int free_fd = EXPECT_OK(dup(file));
  close(free_fd);
  pid_t child = FORK({
    int got = EXPECT_OK(syscall(SENTINEL));
    EXPECT_EQ(got, 60);
    char text[8] = {0};
    EXPECT_EQ(pread(got, text, 8, 0), 5);
    EXPECT_STR(text, "given");
    EXPECT_EQ(fcntl(got, F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(syscall(SENTINEL), free_fd);
    EXPECT_EQ(pread(free_fd, text, 8, 0), 5);
    EXPECT_EQ(fcntl(free_fd, F_GETFD), 0);
  });
  struct seccomp_notif notice = receive(fd);
  struct seccomp_notif_addfd add = {.id = notice.id, .flags = SECCOMP_ADDFD_FLAG_SETFD, .srcfd = file, .newfd = 60, .newfd_flags = O_CLOEXEC};
  EXPECT_EQ(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add), 60);
  struct seccomp_notif_addfd bad = add;
  bad.flags = 4;
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &bad), EINVAL);
  bad.flags = 0;
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &bad), EINVAL);
  bad = add;
  bad.newfd_flags = O_APPEND;
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &bad), EINVAL);
  bad = add;
  bad.srcfd = 999;
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &bad), EBADF);
  bad = add;
  bad.id++;
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &bad), ENOENT);
  EXPECT_ERRNO(ioctl(fd, _IOW('!', 3, uint64_t), &add), EINVAL);
  EXPECT_OK(answer(fd, notice.id, 60, 0, 0));
  // Added and answered in one.
  notice = receive(fd);
  add = (struct seccomp_notif_addfd){.id = notice.id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = file};
  EXPECT_EQ(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add), free_fd);
  EXPECT_EXIT(child, 0);
}

TEST(not_received_yet) {
  int fd = listen_to(SENTINEL);
  pid_t child = FORK({ EXPECT_EQ(syscall(SENTINEL), 7); });
  struct seccomp_notif first = receive(fd);
  pid_t second_child = FORK({ EXPECT_EQ(syscall(SENTINEL), 8); });
  struct pollfd p = {.fd = fd, .events = POLLIN};
  EXPECT_EQ(poll(&p, 1, -1), 1);
  uint64_t second = first.id + 1;
  EXPECT_ERRNO(answer(fd, second, 0, 0, 0), EINPROGRESS);
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &second), ENOENT);
  EXPECT_EQ(events(fd), POLLIN | POLLOUT);
  EXPECT_OK(answer(fd, first.id, 7, 0, 0));
  EXPECT_OK(answer(fd, receive(fd).id, 8, 0, 0));
  EXPECT_EXIT(child, 0);
  EXPECT_EXIT(second_child, 0);
}

/** Hands a descriptor over. */
static void pass(int socket, int fd) {
  char control[CMSG_SPACE(sizeof fd)] = {0};
  struct iovec iov = {"x", 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  EXPECT_EQ(sendmsg(socket, &message, 0), 1);
}
static int passed(int socket) {
  char control[CMSG_SPACE(sizeof(int))], byte;
  struct iovec iov = {&byte, 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  EXPECT_EQ(recvmsg(socket, &message, 0), 1);
  int fd;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

TEST(supervisor_outlives_all) {
  int pair[2];
  EXPECT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  pid_t child = FORK({
    int fd = listen_to(SENTINEL);
    pass(pair[1], fd);
    close(fd);
    EXPECT_EQ(syscall(SENTINEL), 1);
  });
  int fd = passed(pair[0]);
  struct seccomp_notif notice = receive(fd);
  EXPECT_EQ(notice.pid, child);
  EXPECT_OK(answer(fd, notice.id, 1, 0, 0));
  EXPECT_EXIT(child, 0);
  struct pollfd p = {.fd = fd, .events = POLLIN};
  EXPECT_EQ(poll(&p, 1, -1), 1);
  EXPECT_EQ(p.revents & POLLHUP, POLLHUP);
  struct seccomp_notif none = {0};
  EXPECT_ERRNO(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &none), ENOENT);
}
