// Opens sockets for a sentry in a network namespace that the sentry is not in: a container of a sandbox may have another
// network than the first one. The sentry cannot enter it, which would take rights over the host.
//
//   socket-server FILTER [--raw] [--net] [--join-net PATH] [--loopback] [--sysctl PATH=VALUE]...
//
// Descriptor 3 is a SOCK_SEQPACKET socket; further ones are cgroup.procs files to enter by. A request is three numbers,
// the arguments of socket(2); the answer is one, 0 or an error, and with 0 the socket. When it is ready, it tells on descriptor 1 the
// first port that anybody may use there; it ends with the other side of its socket. --raw lets it open raw sockets, with its
// only capability. Of the host it sees no file, and its filter leaves it no call but those that it needs.
#define _GNU_SOURCE
#include "network.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define EXIT_SETUP 128
#define LINK_FD 3
#define FIRST_CGROUP 4
#define NOBODY 65534
#define DEFAULT_PORTS 1024

__attribute__((noreturn)) static void fail(const char *step) {
  fprintf(stderr, "%s: %s\n", step, strerror(errno));
  exit(EXIT_SETUP);
}

// Returns whether raw sockets are wanted.
static int set_up_network(char **argument) {
  int raw = 0;
  for (; *argument; argument++) {
    const char *failed = NULL;
    if (!strcmp(*argument, "--raw")) raw = 1;
    else if (!strcmp(*argument, "--net")) failed = unshare(CLONE_NEWNET) < 0 ? "unshare" : NULL;
    else if (!strcmp(*argument, "--join-net") && argument[1]) failed = join_network(*++argument);
    else if (!strcmp(*argument, "--loopback")) failed = loopback_up();
    else if (!strcmp(*argument, "--sysctl") && argument[1]) failed = set_sysctl(*++argument);
    else failed = *argument;
    if (failed) fail(failed);
  }
  return raw;
}

static int unprivileged_ports(void) {
  FILE *file = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
  int port;
  if (!file || fscanf(file, "%d", &port) != 1) port = DEFAULT_PORTS;
  if (file) fclose(file);
  return port;
}

static void enter_cgroups(void) {
  for (int fd = FIRST_CGROUP; fcntl(fd, F_GETFD) >= 0; fd++) {
    if (write(fd, "0", 1) != 1) fail("enter the cgroup");
    close(fd);
  }
}

static void become_nobody(int raw) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct kept[2] = {{0}};
  if (raw) kept[0].effective = kept[0].permitted = 1u << CAP_NET_RAW;
  // An empty directory, which nobody can enter any more once we are somebody else.
  if (chroot("/proc/self/fdinfo") < 0 || chdir("/") < 0) fail("leave the root directory");
  if (prctl(PR_SET_KEEPCAPS, raw) < 0 || setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
      setresuid(NOBODY, NOBODY, NOBODY) < 0 || syscall(SYS_capset, &header, kept) < 0)
    fail("give up rights");
}

static void install_filter(struct sock_fprog *program) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) < 0)
    fail("install the filter");
}

static void answer(int32_t result, int fd) {
  struct iovec iov = {&result, sizeof result};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  if (fd >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
  }
  sendmsg(LINK_FD, &message, MSG_NOSIGNAL);
}

// The requests are hostile: the filter tells which sockets there are.
__attribute__((noreturn)) static void serve(void) {
  for (;;) {
    int32_t request[3];
    struct iovec iov = {request, sizeof request};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n = recvmsg(LINK_FD, &message, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n != sizeof request) _exit(0);
    int fd = socket(request[0], request[1] | SOCK_CLOEXEC | SOCK_NONBLOCK, request[2]);
    answer(fd < 0 ? -errno : 0, fd);
    if (fd >= 0) close(fd);
  }
}

int main(int argc, char **argv) {
  static struct sock_filter filter[BPF_MAXINSNS];
  if (argc < 2) return EXIT_SETUP;
  int raw = set_up_network(argv + 2);
  int file = open(argv[1], O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, filter, sizeof filter);
  if (length < 0) fail(argv[1]);
  close(file);
  struct sock_fprog program = {(unsigned short)((size_t)length / sizeof *filter), filter};
  int port = unprivileged_ports();
  enter_cgroups();
  syscall(SYS_close_range, FIRST_CGROUP, ~0U, 0);
  // A signal of a terminal is for the container's program.
  setsid();
  become_nobody(raw);
  dprintf(1, "%d", port);
  for (int fd = 0; fd < LINK_FD; fd++) close(fd);
  install_filter(&program);
  serve();
}
