// See stub-memory.h.
#include "stub-memory.h"

#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace portcullis {
namespace {

constexpr size_t kStringChunk = 512;
constexpr size_t kPage = 4096;

}  // namespace

int64_t ReadProcess(pid_t pid, uint64_t addr, uint8_t* into, size_t length) {
  if (length == 0) return 0;
  iovec local = {into, length};
  iovec remote = {reinterpret_cast<void*>(addr), length};
  ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);
  return n <= 0 ? -EFAULT : n;
}

int64_t WriteProcess(pid_t pid, uint64_t addr, const uint8_t* from, size_t length) {
  if (length == 0) return 0;
  iovec local = {const_cast<uint8_t*>(from), length};
  iovec remote = {reinterpret_cast<void*>(addr), length};
  ssize_t n = process_vm_writev(pid, &local, 1, &remote, 1, 0);
  return n <= 0 ? -EFAULT : n;
}

int64_t ReadProcessString(pid_t pid, uint64_t addr, uint8_t* into, size_t max) {
  size_t have = 0;
  while (have < max) {
    // The read stops by itself where memory ends; most strings are short.
    size_t want = std::min(max - have, have == 0 ? kStringChunk : kPage);
    int64_t n = ReadProcess(pid, addr + have, into + have, want);
    if (n < 0) return n;
    const void* end = memchr(into + have, 0, static_cast<size_t>(n));
    if (end) return static_cast<const uint8_t*>(end) - into;
    have += static_cast<size_t>(n);
  }
  return -ENAMETOOLONG;
}

// The clock id is built as posix-timers.h says.
double MonotonicNs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

namespace {

// CPUCLOCK_PROF, _VIRT and _SCHED: user and system time as sampled, user time as sampled, all time exactly.
enum { kProf, kVirt, kSched };

int ProcessClock(pid_t pid, unsigned which, double* ns) {
  timespec used;
  auto clock = static_cast<clockid_t>(~static_cast<unsigned>(pid) << 3 | which);
  if (clock_gettime(clock, &used) < 0) return -errno;
  *ns = static_cast<double>(used.tv_sec) * 1e9 + static_cast<double>(used.tv_nsec);
  return 0;
}

}  // namespace

// As Linux does for its own figures: the exact total is split in the proportion of the samples.
int ProcessCpuTimes(pid_t pid, CpuTimes* times) {
  double both, user;
  if (int r = ProcessClock(pid, kSched, &times->total); r < 0) return r;
  if (int r = ProcessClock(pid, kVirt, &user); r < 0) return r;
  if (int r = ProcessClock(pid, kProf, &both); r < 0) return r;
  times->user = both > 0 ? times->total * std::min(user / both, 1.0) : times->total;
  return 0;
}

}  // namespace portcullis
