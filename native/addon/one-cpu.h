// Keeping the kernel's thread on one CPU with the process that answers its messages. They never run at once, so that a switch on
// one CPU is all that a message costs; the scheduler would wake each of them on another CPU that is idle, which
// takes several times as long.
#pragma once

#include <sched.h>

#include <cstddef>
#include <cstdint>

namespace portcullis {

class OneCpu {
 public:
  // The CPU on which the answer to the next message should be worked for, or -1 for any.
  int beforeMessage(uint64_t now);
  // The thread has nothing to do at the moment: when there were no messages lately, it may run anywhere.
  void idle(uint64_t now) {
    if (now - last_ > lingerTicks_) release();
  }
  void release();
  // Whether a message was sent after `ticks`.
  bool messagedSince(uint64_t ticks) const { return last_ > ticks; }

  // Threads of programs that run while the kernel is busy, and whether they spin for their answers: then there is
  // more to do than one CPU can.
  size_t others = 0;
  bool spinning = false;
  // Who tells about these; without it nothing is known of CPUs.
  void start(const cpu_set_t& allowed, double ticksPerNs);

 private:
  void join();

  cpu_set_t allowed_ = {};
  uint64_t closeTicks_ = 0, lingerTicks_ = 0;
  uint64_t last_ = 0;
  int streak_ = 0;
  int cpu_ = -1;
};

// There is one kernel thread in a process.
extern OneCpu g_oneCpu;

}  // namespace portcullis
