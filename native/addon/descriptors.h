// Host descriptors that a program can make the sentry hold. They have a ceiling, above which the sentry's own stay:
// whatever programs have used up, it can still take a connection of runsc's and talk to its gofer.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <climits>

namespace portcullis {

// Numbers from here on are not for programs. Other processes than the sentry set none.
inline int g_descriptorCeiling = INT_MAX;

// `fd`, or -1 and ENFILE when it is too high: a new descriptor has the lowest free number, so all below are in use.
inline int BelowCeiling(int fd) {
  if (fd < g_descriptorCeiling) return fd;
  close(fd);
  errno = ENFILE;
  return -1;
}

}  // namespace portcullis
