// How long the kernel has worked for each thread: from the return of a thread's event until the kernel waits for the
// next one. For a program that is time in the kernel, which the host does not know of.
#pragma once

#include <array>
#include <cstdint>

#include "record.h"

namespace portcullis {

class ServiceTime {
 public:
  // In ticks of the CPU's clock. While it spins for its answer, a thread uses CPU time itself, and in user mode.
  struct Used {
    uint64_t asleep = 0;
    uint64_t spinning = 0;
  };

  // The event of thread `id` is returned. It spins for its answer for `spinTicks` at most.
  void begin(int id, uint64_t spinTicks) {
    if (id < 0 || id >= static_cast<int>(kMaxThreads)) return;
    served_ = id;
    spinTicks_ = spinTicks;
    at_ = __builtin_ia32_rdtsc();
  }

  // The kernel has nothing more to do for it now.
  void end() {
    if (served_ < 0) return;
    uint64_t ticks = __builtin_ia32_rdtsc() - at_;
    uint64_t spun = ticks < spinTicks_ ? ticks : spinTicks_;
    Used& used = used_[static_cast<size_t>(served_)];
    used.spinning += spun;
    used.asleep += ticks - spun;
    served_ = -1;
  }

  void forget(int id) {
    if (id >= 0 && id < static_cast<int>(kMaxThreads)) used_[static_cast<size_t>(id)] = Used();
  }

  // What is under way counts as well.
  Used used(int id) {
    if (served_ == id) {
      uint64_t bound = spinTicks_;
      end();
      begin(id, bound);
    }
    return used_[static_cast<size_t>(id)];
  }

 private:
  int served_ = -1;
  uint64_t spinTicks_ = 0;
  uint64_t at_ = 0;
  std::array<Used, kMaxThreads> used_ = {};
};

}  // namespace portcullis
