// What runsc starts Node.js with when it is about to make a sandbox: start [--any-user] FILTER PROGRAM ARGUMENT... Node will be forked into
// the sandbox's processes (native/addon/fork.cc), so that what must hold for those from the first moment is arranged here:
// the filter, without which libuv would make rings for I/O that no later filter sees; and descriptors that have
// fixed numbers in a forked process must not be Node's own.
// With --any-user, whoever is not root becomes root of a user and a mount namespace of his own.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EXIT_SETUP 128
#define FIRST_RESERVED 3
// Descriptors above are Node's: kAboveFixed in fork.cc.
#define END_RESERVED 64

static void fail(const char *step) {
  fprintf(stderr, "runsc: %s: %s\n", step, strerror(errno));
  _exit(EXIT_SETUP);
}

static void reserve_descriptors(void) {
  int null = open("/dev/null", O_RDWR);
  if (null < 0) fail("/dev/null");
  for (int fd = FIRST_RESERVED; fd < END_RESERVED; fd++) {
    if (fd != null && fcntl(fd, F_GETFD) < 0 && dup2(null, fd) < 0) fail("reserve descriptors");
  }
}

static void install_filter(const char *path) {
  static struct sock_filter filter[BPF_MAXINSNS];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, filter, sizeof filter);
  if (length < 0) fail(path);
  close(fd);
  struct sock_fprog program = {(unsigned short)((size_t)length / sizeof *filter), filter};
  // Without the capability there will be no sandbox either, and runsc says so.
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 && errno != EACCES) fail("install the filter");
}

static void write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  ssize_t length = (ssize_t)strlen(text);
  if (fd < 0 || write(fd, text, (size_t)length) != length) fail(path);
  close(fd);
}

// user_namespaces(7): one user may be mapped without rights, and a group once nobody can leave groups any more.
static void become_root_of_namespace(void) {
  char users[64], groups[64];
  snprintf(users, sizeof users, "0 %u 1", (unsigned)geteuid());
  snprintf(groups, sizeof groups, "0 %u 1", (unsigned)getegid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) fail("make a user namespace, which users other than root need");
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", users);
  write_file("/proc/self/gid_map", groups);
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) fail("make mounts private");
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "--any-user")) {
    if (geteuid() != 0) become_root_of_namespace();
    argc--, argv++;
  }
  if (argc < 3) return EXIT_SETUP;
  install_filter(argv[1]);
  reserve_descriptors();
  execv(argv[2], argv + 2);
  fail(argv[2]);
}
