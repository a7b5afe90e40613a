// Reading and writing programs' memory, and their FPU state.
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "fpu-state.h"
#include "ptrace.h"

#define NT_X86_XSTATE 0x202

namespace portcullis::ptrace {
namespace {

constexpr size_t kStringChunk = 512;

// A traced thread's tid cannot be used again before we have waited for it.
bool Reachable(const Thread* t) {
  return t->tid != 0 && t->state != State::kExiting && t->state != State::kDead;
}

}  // namespace

int64_t Platform::copyIn(const Thread* t, uint64_t addr, uint8_t* into, size_t length) const {
  if (length == 0) return 0;
  if (!Reachable(t)) return -EFAULT;
  iovec local = {into, length};
  iovec remote = {reinterpret_cast<void*>(addr), length};
  ssize_t n = process_vm_readv(t->tid, &local, 1, &remote, 1, 0);
  return n <= 0 ? -EFAULT : n;
}

int64_t Platform::copyOut(const Thread* t, uint64_t addr, const uint8_t* from, size_t length) const {
  if (length == 0) return 0;
  if (!Reachable(t)) return -EFAULT;
  iovec local = {const_cast<uint8_t*>(from), length};
  iovec remote = {reinterpret_cast<void*>(addr), length};
  ssize_t n = process_vm_writev(t->tid, &local, 1, &remote, 1, 0);
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

int64_t Platform::getFpu(const Thread* t, uint8_t* into, size_t room) const {
  if (room < fpu_.size()) return -EINVAL;
  if (t->state != State::kStopped) return -ESRCH;
  // The regset ends before the frame's last magic word.
  iovec area = {into, fpu_.size() - 4};
  if (Trace(PTRACE_GETREGSET, t->tid, NT_X86_XSTATE, &area) < 0) return -ESRCH;
  fpu::Stamp(fpu_, into);
  return static_cast<int64_t>(fpu_.size());
}

int Platform::setFpu(const Thread* t, const uint8_t* from, size_t length) const {
  if (!fpu::LengthFits(fpu_, length)) return -EINVAL;
  if (t->state != State::kStopped) return -ESRCH;
  std::vector<uint8_t> state = fpu::Compose(fpu_, from, length);
  iovec area = {state.data(), state.size() - 4};
  return static_cast<int>(Trace(PTRACE_SETREGSET, t->tid, NT_X86_XSTATE, &area));
}

}  // namespace portcullis::ptrace
