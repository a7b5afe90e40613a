// What the waiters of all platforms share: the host's descriptors that the kernel waits for, and time limits.
#pragma once

#include <poll.h>
#include <time.h>

#include <cstddef>
#include <cstdint>

#include "record.h"

namespace portcullis {

// Monotonic time, in nanoseconds.
double NowNs();

// The time from now until `deadlineNs`, in ppoll's form; infinity is no limit.
class TimeLimit {
 public:
  explicit TimeLimit(double deadlineNs);
  const timespec* get() const { return limited_ ? &left_ : nullptr; }

 private:
  bool limited_;
  timespec left_ = {};
};

// Whether poll(2) finds something to read at once.
bool Readable(int fd);

// Watched descriptors of the host, in one epoll instance.
class HostWatch {
 public:
  // 0 or -errno.
  int open();
  int fd() const { return epoll_.get(); }
  bool any() const { return watched_ > 0; }
  // Set what is waited for at `fd`; nothing (0) forgets it. Returns 0 or -errno.
  int watch(int fd, uint32_t events);
  // The descriptors that are ready: their number, at most `max`.
  int ready(int32_t* fds, int32_t* events, size_t max) const;
  // Whether one is ready, looked at once in `interval`; both in the caller's unit of time.
  bool due(uint64_t now, uint64_t interval);

 private:
  Fd epoll_;
  int watched_ = 0;
  uint64_t lastLook_ = 0;
};

}  // namespace portcullis
