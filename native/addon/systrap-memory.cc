// Reading and writing programs' memory, and the FPU state in their signal frames.
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "systrap.h"

namespace portcullis::systrap {
namespace {

constexpr size_t kStringChunk = 512;

// Where the FXSAVE area and the XSAVE header keep what must be valid before a state may be loaded.
constexpr size_t kFxSize = 512;
constexpr size_t kMxcsr = 24;
constexpr size_t kMxcsrMask = 28;
constexpr size_t kSoftware = 464;
constexpr size_t kXstateBv = 512;
constexpr size_t kXsaveHeaderEnd = 576;
constexpr uint32_t kMagic1 = 0x46505853;
constexpr size_t kMaxFpu = 65536;
constexpr uint64_t kFpAndSse = 3;
constexpr uint32_t kDefaultMxcsrMask = 0xffbf;

// struct _fpx_sw_bytes
struct Software {
  uint32_t magic1;
  uint32_t extendedSize;
  uint64_t features;
  uint32_t xstateSize;
  uint32_t unused[7];
};

template <typename T>
T Get(const uint8_t* from, size_t at) {
  T value;
  memcpy(&value, from + at, sizeof value);
  return value;
}

template <typename T>
void Put(uint8_t* to, size_t at, T value) {
  memcpy(to + at, &value, sizeof value);
}

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
  std::vector<uint8_t> state(kXsaveHeaderEnd);
  uint64_t addr = zygote_->fpstate;
  if (copyIn(zygote_, addr, state.data(), state.size()) != static_cast<int64_t>(state.size())) {
    return -EFAULT;
  }
  auto software = Get<Software>(state.data(), kSoftware);
  size_t size = software.magic1 == kMagic1 ? software.extendedSize : kFxSize;
  if (size < kFxSize || size > kMaxFpu) return -EINVAL;
  state.resize(size);
  if (copyIn(zygote_, addr, state.data(), size) != static_cast<int64_t>(size)) return -EFAULT;
  Software kept = Get<Software>(state.data(), kSoftware);
  uint32_t mask = Get<uint32_t>(state.data(), kMxcsrMask);
  uint32_t magic2 = Get<uint32_t>(state.data(), size - 4);
  std::fill(state.begin(), state.end(), 0);
  Put<uint16_t>(state.data(), 0, 0x37f);
  Put<uint32_t>(state.data(), kMxcsr, 0x1f80);
  Put<uint32_t>(state.data(), kMxcsrMask, mask ? mask : kDefaultMxcsrMask);
  Put(state.data(), kSoftware, kept);
  if (size > kFxSize) Put(state.data(), size - 4, magic2);
  fpu_ = std::move(state);
  return 0;
}

int64_t Platform::getFpu(const Thread* t, uint8_t* into, size_t room) const {
  if (room < fpu_.size()) return -EINVAL;
  int64_t n = copyIn(t, t->fpstate, into, fpu_.size());
  if (n != static_cast<int64_t>(fpu_.size())) return -EFAULT;
  // The sizes and magic words are the host's, whatever the stub wrote there.
  memcpy(into + kSoftware, fpu_.data() + kSoftware, sizeof(Software));
  if (fpu_.size() > kFxSize) memcpy(into + fpu_.size() - 4, fpu_.data() + fpu_.size() - 4, 4);
  return n;
}

// The host refuses to load a state with reserved bits set and kills the thread instead: clear them, as
// Linux does when it takes a frame that a program built.
int Platform::setFpu(const Thread* t, const uint8_t* from, size_t length) const {
  bool legacy = length == kFxSize;
  if (length != 0 && !legacy && length != fpu_.size()) return -EINVAL;
  std::vector<uint8_t> state = fpu_;
  if (length) {
    memcpy(state.data(), from, legacy ? kSoftware : length);
    memcpy(state.data() + kSoftware, fpu_.data() + kSoftware, sizeof(Software));
    uint32_t mask = Get<uint32_t>(fpu_.data(), kMxcsrMask);
    Put(state.data(), kMxcsr, Get<uint32_t>(state.data(), kMxcsr) & mask);
    Put(state.data(), kMxcsrMask, mask);
  }
  if (state.size() > kXsaveHeaderEnd) {
    uint64_t allowed = Get<Software>(fpu_.data(), kSoftware).features;
    uint64_t present = legacy ? kFpAndSse : Get<uint64_t>(state.data(), kXstateBv) & allowed;
    memset(state.data() + kXstateBv, 0, kXsaveHeaderEnd - kXstateBv);
    Put(state.data(), kXstateBv, present);
    memcpy(state.data() + state.size() - 4, fpu_.data() + fpu_.size() - 4, 4);
  }
  return copyOut(t, t->fpstate, state.data(), state.size()) == static_cast<int64_t>(state.size())
             ? 0
             : -EFAULT;
}

}  // namespace portcullis::systrap
