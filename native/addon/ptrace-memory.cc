// Reading and writing programs' memory, and their FPU state.
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "fpu-state.h"
#include "ptrace.h"
#include "stub-memory.h"

#define NT_X86_XSTATE 0x202

namespace portcullis::ptrace {
namespace {

// A traced thread's tid cannot be used again before we have waited for it.
bool Reachable(const Thread* t) {
  return t->tid != 0 && t->state != State::kExiting && t->state != State::kDead;
}

}  // namespace

int64_t Platform::copyIn(const Thread* t, uint64_t addr, uint8_t* into, size_t length) const {
  return Reachable(t) ? ReadProcess(t->tid, addr, into, length) : -EFAULT;
}

int64_t Platform::copyOut(const Thread* t, uint64_t addr, const uint8_t* from, size_t length) const {
  return Reachable(t) ? WriteProcess(t->tid, addr, from, length) : -EFAULT;
}

int64_t Platform::readString(const Thread* t, uint64_t addr, uint8_t* into, size_t max) const {
  return Reachable(t) ? ReadProcessString(t->tid, addr, into, max) : -EFAULT;
}

// 0 when there is none any more.
pid_t Platform::hostTid(const Thread* t) const { return Reachable(t) ? t->tid : 0; }

// The host tells CPU time of another process only as a whole, so the whole is counted for the oldest thread and
// nothing for the others: the sum is right.
int Platform::cpuTimes(const Thread* t, CpuTimes* times) const {
  if (!Reachable(t)) return -ESRCH;
  return t->process->members.front() == t ? ProcessCpuTimes(t->process->pid, times) : 0;
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
