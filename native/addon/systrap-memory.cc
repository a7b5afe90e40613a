// Reading and writing programs' memory, and the FPU state in their signal frames.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fpu-state.h"
#include "stub-memory.h"
#include "systrap.h"

namespace portcullis::systrap {
namespace {

constexpr uint64_t kUserEnd = 0x7ffffffff000;

bool Reachable(const Thread* t) {
  return t->process && !t->process->reaped && !t->process->killed;
}

}  // namespace

// Note what the thread brought along with its call. It is as good as what a read would find now, for as long as the
// handler runs and nothing is written.
void Platform::takeFetched(const Thread* t) {
  fetchedLength_ = 0;
  current_ = -1;
  if (record(t)->event != STUB_EV_SYSCALL || t->state != State::kStopped) return;
  current_ = t->id;
  if (t->fetched == 0 || t->fetched > STUB_DATA_MAX) return;
  fetchedAt_ = record(t)->args[t->fetchedArg];
  fetchedLength_ = t->fetched;
}

bool Platform::hasFetched(const Thread* t, uint64_t addr, size_t length) const {
  return current_ == t->id && length <= fetchedLength_ && addr >= fetchedAt_ &&
         addr - fetchedAt_ <= fetchedLength_ - length;
}

// The thread will not write it, or not soon enough: do so now.
void Platform::writeDeferred(Thread* t) {
  uint32_t length = t->outLength;
  if (length == 0) return;
  t->outLength = 0;
  const uint8_t* from = length <= STUB_SMALL_MAX ? t->outSmall : slot_data(t->slot);
  t->outFault = !Reachable(t) || WriteProcess(t->process->pid, t->outAddr, from, length) != length;
}

int64_t Platform::copyIn(Thread* t, uint64_t addr, uint8_t* into, size_t length) {
  if (!Reachable(t)) return -EFAULT;
  writeDeferred(t);
  if (!hasFetched(t, addr, length)) return ReadProcess(t->process->pid, addr, into, length);
  memcpy(into, slot_data(t->slot) + (addr - fetchedAt_), length);
  return static_cast<int64_t>(length);
}

int64_t Platform::copyOut(Thread* t, uint64_t addr, const uint8_t* from, size_t length) {
  if (!Reachable(t)) return -EFAULT;
  fetchedLength_ = 0;
  writeDeferred(t);
  return WriteProcess(t->process->pid, addr, from, length);
}

int64_t Platform::copyResult(Thread* t, uint64_t addr, const uint8_t* from, size_t length) {
  bool defer = Reachable(t) && t->state == State::kStopped && record(t)->event == STUB_EV_SYSCALL &&
               t->outLength == 0 && !t->outFault && length > 0 && length <= STUB_DATA_MAX &&
               addr < kUserEnd - STUB_DATA_MAX;
  if (!defer) return copyOut(t, addr, from, length);
  fetchedLength_ = 0;
  memcpy(length <= STUB_SMALL_MAX ? t->outSmall : slot_data(t->slot), from, length);
  t->outAddr = addr;
  t->outLength = static_cast<uint32_t>(length);
  return static_cast<int64_t>(length);
}

int64_t Platform::readString(Thread* t, uint64_t addr, uint8_t* into, size_t max) {
  if (!Reachable(t)) return -EFAULT;
  writeDeferred(t);
  if (hasFetched(t, addr, 1)) {
    size_t have = std::min<size_t>(fetchedLength_ - (addr - fetchedAt_), max);
    memcpy(into, slot_data(t->slot) + (addr - fetchedAt_), have);
    if (const void* end = memchr(into, 0, have)) return static_cast<const uint8_t*>(end) - into;
  }
  return ReadProcessString(t->process->pid, addr, into, max);
}

// 0 when there is none any more.
pid_t Platform::hostTid(const Thread* t) const { return Reachable(t) ? t->tid : 0; }

// The host tells CPU time of another process only as a whole, so the whole is counted for the oldest thread and
// nothing for the others: the sum is right.
int Platform::cpuTimes(const Thread* t, CpuTimes* times) const {
  if (!Reachable(t)) return -ESRCH;
  return t->process->members.front() == t ? ProcessCpuTimes(t->process->pid, times) : 0;
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

int64_t Platform::getFpu(Thread* t, uint8_t* into, size_t room) {
  if (room < fpu_.size() || t->bare) return -EINVAL;
  int64_t n = copyIn(t, t->fpstate, into, fpu_.size());
  if (n != static_cast<int64_t>(fpu_.size())) return -EFAULT;
  // The sizes and magic words are the host's, whatever the stub wrote there.
  fpu::Stamp(fpu_, into);
  return n;
}

int Platform::setFpu(Thread* t, const uint8_t* from, size_t length) {
  if (!fpu::LengthFits(fpu_, length) || t->bare) return -EINVAL;
  std::vector<uint8_t> state = fpu::Compose(fpu_, from, length);
  int64_t n = copyOut(t, t->fpstate, state.data(), state.size());
  return n == static_cast<int64_t>(state.size()) ? 0 : -EFAULT;
}

}  // namespace portcullis::systrap
