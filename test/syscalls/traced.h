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
