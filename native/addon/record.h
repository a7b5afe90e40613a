// What every platform's threads have in common: the record that JavaScript reads, and owned descriptors.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace portcullis {

constexpr int kMaxThreads = 4096;

// The events of sentry/platform.ts.
constexpr int kEventSyscall = 1;
constexpr int kEventFault = 2;
constexpr int kEventInterrupt = 3;
constexpr int kEventStarted = 4;
constexpr int kEventOpsFailed = 5;
constexpr int kEventDead = 6;
constexpr int kEventFrame = 8;

// Results of wait() that are no thread's id.
constexpr int kTimeout = -1;
constexpr int kHost = -2;

// One thread's record in the array that JavaScript reads: doubles, then arguments, then registers.
constexpr size_t kRecordSize = 512;
struct Record {
  double event, nr, ip, sp, signo, code, faultAddr, errorCode, trapNo, failedOp, failedErrno,
      exitStatus;
  // A system call came without a signal frame, or often enough from one place that its site may be rewritten.
  double bare, hot;
  double unused[2];
  uint64_t args[6];
  uint64_t regs[18];
};
static_assert(sizeof(Record) <= kRecordSize);

// The kinds of op that native/systrap-context.ts writes.
enum OpKind {
  kMmap = 1,
  kMunmap,
  kMprotect,
  kMremap,
  kMadvise,
  kFutexWake,
  kSetFs,
  kSetGs,
  kFork,
  kClone,
  kExit,
  kRewrite,
  kGetrusage,
  kThreadClock,
  kSetName,
  kSetTitle,
  kFutexSetWaiters,
};

// futex(2)'s FUTEX_WAKE_OP as a way to set FUTEX_WAITERS in a word: *addr |= 1 << 31. The comparison, with -1, does not
// hold, and nobody waits at such a word on the host.
inline constexpr uint64_t kFutexWakeOp = 5;
inline constexpr uint64_t kFutexOrWaiters = 0xaULL << 28 | 31ULL << 12 | 0xfff;

// An owned file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    reset();
    fd_ = other.release();
    return *this;
  }
  ~Fd() { reset(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

}  // namespace portcullis
