// What the tests of namespaces share.
#pragma once

#include <linux/capability.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sys/fsuid.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/utsname.h>

__attribute__((unused)) static pid_t raw_clone(unsigned long flags) { return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0); }

/** Runs a block in a child that clone makes with namespace flags. */
#define CLONE(flags, ...)                        \
  ({                                             \
    pid_t child_ = EXPECT_OK(raw_clone(flags));  \
    if (child_ == 0) {                           \
      __VA_ARGS__;                               \
      _exit(0);                                  \
    }                                            \
    child_;                                      \
  })

__attribute__((unused)) static ino_t ns_ino(const char *path) {
  struct stat st;
  EXPECT_OK(stat(path, &st));
  return st.st_ino;
}

__attribute__((unused)) static int write_text(const char *path, const char *text) {
  int fd = EXPECT_OK(open(path, O_WRONLY));
  int n = write(fd, text, strlen(text));
  int error = errno;
  close(fd);
  errno = error;
  return n;
}
