// Reading and writing programs' memory, and the FPU state in their signal frames.
#include <cerrno>

#include "fpu-state.h"
#include "stub-memory.h"
#include "systrap.h"

namespace portcullis::systrap {
namespace {

bool Reachable(const Thread* t) {
  return t->process && !t->process->reaped && !t->process->killed;
}

}  // namespace

int64_t Platform::copyIn(const Thread* t, uint64_t addr, uint8_t* into, size_t length) const {
  return Reachable(t) ? ReadProcess(t->process->pid, addr, into, length) : -EFAULT;
}

int64_t Platform::copyOut(const Thread* t, uint64_t addr, const uint8_t* from, size_t length) const {
  return Reachable(t) ? WriteProcess(t->process->pid, addr, from, length) : -EFAULT;
}

int64_t Platform::readString(const Thread* t, uint64_t addr, uint8_t* into, size_t max) const {
  return Reachable(t) ? ReadProcessString(t->process->pid, addr, into, max) : -EFAULT;
}

// The host tells CPU time of another process only as a whole, so the whole is counted for the oldest thread and
// nothing for the others: the sum is right.
int64_t Platform::cpuTime(const Thread* t) const {
  if (!Reachable(t)) return -ESRCH;
  return t->process->members.front() == t ? ProcessCpuTime(t->process->pid) : 0;
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
