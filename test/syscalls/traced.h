// Children that their parent traces.
#pragma once
#include "test.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

static inline int stopped_by(int status, int signo) { return WIFSTOPPED(status) && WSTOPSIG(status) == signo; }

static inline int wait_for(pid_t pid) {
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, __WALL), pid);
  return status;
}

static inline void expect_exit(pid_t pid, int code) {
  int status = wait_for(pid);
  EXPECT_EQ(WIFEXITED(status), 1);
  EXPECT_EQ(WEXITSTATUS(status), code);
}

static inline void run_to(pid_t pid, long nr) {
  for (;;) {
    EXPECT_OK(ptrace(PTRACE_SYSCALL, pid, 0, 0));
    int status = wait_for(pid);
    if (!WIFSTOPPED(status)) _exit(98);
    struct __ptrace_syscall_info call;
    EXPECT_OK(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof call, &call));
    if (call.op == 1 && (long)call.entry.nr == nr) return;
  }
}

/** A child that is traced and has stopped itself. */
#define TRACED(...)                                      \
  ({                                                     \
    pid_t child_ = FORK({                                \
      ptrace(PTRACE_TRACEME, 0, 0, 0);                   \
      raise(SIGSTOP);                                    \
      __VA_ARGS__;                                       \
    });                                                  \
    EXPECT_EQ(stopped_by(wait_for(child_), SIGSTOP), 1); \
    child_;                                              \
  })
