// Reading and writing programs' memory, and the FPU state in their signal frames.
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "fpu-state.h"
#include "systrap.h"

namespace portcullis::systrap {
namespace {

constexpr size_t kStringChunk = 512;

bool Reachable(const Thread* t) {
  return t->process && !t->process->reaped && !t->process->killed;
}

}  // namespace

int64_t Platform::copyIn(const Thread* t, uint64_t addr, uint8_t* into, size_t length) const {
  if (length == 0) return 0;
  if (!Reachable(t)) return -EFAULT;
  iovec local = {into, length};
  iovec remote = {reinterpret_cast<void*>(addr), length};
  ssize_t n = process_vm_readv(t->process->pid, &local, 1, &remote, 1, 0);
  return n <= 0 ? -EFAULT : n;
}

int64_t Platform::copyOut(const Thread* t, uint64_t addr, const uint8_t* from, size_t length) const {
  if (length == 0) return 0;
  if (!Reachable(t)) return -EFAULT;
  iovec local = {const_cast<uint8_t*>(from), length};
  iovec remote = {reinterpret_cast<void*>(addr), length};
  ssize_t n = process_vm_writev(t->process->pid, &local, 1, &remote, 1, 0);
  return n <= 0 ? -EFAULT : n;
}

// Returns the length without the NUL, -ENAMETOOLONG when there is none within `max` bytes, or -EFAULT.
int64_t Platform::readString(const Thread* t, uint64_t addr, uint8_t* into, size_t max) const {
  size_t have = 0;
  while (have < max) {
    // The read stops by itself where memory ends; most strings are short.
    size_t want = std::min(max - have, have == 0 ? kStringChunk : size_t{STUB_PAGE});
    int64_t n = copyIn(t, addr + have, into + have, want);
    if (n < 0) return n;
    const void* end = memchr(into + have, 0, static_cast<size_t>(n));
    if (end) return static_cast<const uint8_t*>(end) - into;
    have += static_cast<size_t>(n);
  }
  return -ENAMETOOLONG;
}

// CPU time in ns. The host tells that of another process only as a whole, so the whole is counted for the
// oldest thread and nothing for the others: the sum is right. The clock id is built as posix-timers.h says.
int64_t Platform::cpuTime(const Thread* t) const {
  constexpr unsigned kProcessClock = 2;
  if (!Reachable(t)) return -ESRCH;
  if (t->process->members.front() != t) return 0;
  timespec used;
  auto clock = static_cast<clockid_t>(~static_cast<unsigned>(t->process->pid) << 3 | kProcessClock);
  if (clock_gettime(clock, &used) < 0) return -errno;
  return used.tv_sec * 1'000'000'000LL + used.tv_nsec;
}

// Take the shape of the FPU state from the zygote's signal frame, which no program has touched.
int Platform::learnFpu() {
  std::vector<uint8_t> sample(fpu::kXsaveHeaderEnd);
  uint64_t addr = zygote_->fpstate;
  auto read = [&] { return copyIn(zygote_, addr, sample.data(), sample.size()); };
  if (read() != static_cast<int64_t>(sample.size())) return -EFAULT;
  size_t size = fpu::FrameSize(sample.data());
  if (size == 0) return -EINVAL;
  sample.resize(size);
  if (read() != static_cast<int64_t>(size)) return -EFAULT;
  fpu_ = fpu::Initial(sample);
  return 0;
}

int64_t Platform::getFpu(const Thread* t, uint8_t* into, size_t room) const {
  if (room < fpu_.size()) return -EINVAL;
  int64_t n = copyIn(t, t->fpstate, into, fpu_.size());
  if (n != static_cast<int64_t>(fpu_.size())) return -EFAULT;
  // The sizes and magic words are the host's, whatever the stub wrote there.
  fpu::Stamp(fpu_, into);
  return n;
}

int Platform::setFpu(const Thread* t, const uint8_t* from, size_t length) const {
  if (!fpu::LengthFits(fpu_, length)) return -EINVAL;
  std::vector<uint8_t> state = fpu::Compose(fpu_, from, length);
  int64_t n = copyOut(t, t->fpstate, state.data(), state.size());
  return n == static_cast<int64_t>(state.size()) ? 0 : -EFAULT;
}

}  // namespace portcullis::systrap
