// How long the kernel has worked for each thread: from the return of a thread's event until the kernel waits for the
// next one. For a program that is time in the kernel, which the host does not know of. It is measured by the CPU's
// clock, which costs next to nothing but goes on while the host lets others run: long services are bounded by the CPU
// time that our thread has really had.
#pragma once

#include <time.h>

#include <algorithm>
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
    if (at_ - check_.ticks > kLongTicks) check_ = look();
  }

  // The kernel has nothing more to do for it now.
  void end() {
    if (served_ < 0) return;
    uint64_t ticks = __builtin_ia32_rdtsc() - at_;
    uint64_t spun = ticks < spinTicks_ ? ticks : spinTicks_;
    if (ticks > kLongTicks) ticks = std::min(ticks, ticksOfCpuSinceCheck());
    Used& used = used_[static_cast<size_t>(served_)];
    used.spinning += spun;
    used.asleep += ticks > spun ? ticks - spun : 0;
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
  // About a millisecond: the host's clocks are asked that often at most.
  static constexpr uint64_t kLongTicks = 1 << 21;

  struct Clocks {
    uint64_t ticks = 0;
    int64_t wallNs = 0;
    int64_t cpuNs = 0;
  };

  static int64_t nsOf(clockid_t clock) {
    timespec t;
    return clock_gettime(clock, &t) < 0 ? 0 : t.tv_sec * 1'000'000'000LL + t.tv_nsec;
  }

  static Clocks look() {
    return {__builtin_ia32_rdtsc(), nsOf(CLOCK_MONOTONIC), nsOf(CLOCK_THREAD_CPUTIME_ID)};
  }

  uint64_t ticksOfCpuSinceCheck() const {
    Clocks now = look();
    int64_t wall = now.wallNs - check_.wallNs, cpu = now.cpuNs - check_.cpuNs;
    if (wall <= 0 || cpu <= 0) return 0;
    double share = std::min(static_cast<double>(cpu) / static_cast<double>(wall), 1.0);
    return static_cast<uint64_t>(static_cast<double>(now.ticks - check_.ticks) * share);
  }

  Clocks check_;
  int served_ = -1;
  uint64_t spinTicks_ = 0;
  uint64_t at_ = 0;
  std::array<Used, kMaxThreads> used_ = {};
};

}  // namespace portcullis
