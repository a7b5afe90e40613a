// run-filtered FILTER PROGRAM ARGS...: execs the program under the seccomp filter in a file.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sock_filter insns[BPF_MAXINSNS];

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, insns, sizeof insns);
  if (n <= 0) return perror(argv[1]), 2;
  struct sock_fprog program = {(unsigned short)(n / (ssize_t)sizeof insns[0]), insns};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return perror("no_new_privs"), 2;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return perror("seccomp"), 2;
  execv(argv[2], argv + 2);
  return perror(argv[2]), 2;
}
