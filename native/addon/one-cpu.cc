#include "one-cpu.h"

#include <cerrno>

#include "host-file.h"

namespace portcullis {
namespace {

using Info = Napi::CallbackInfo;

// So many messages in a row, each sent so soon after the one before, are worth it: on two CPUs one may take 0.3 ms.
constexpr int kStreak = 16;
constexpr double kCloseNs = 1.5e6;
// Affinity stays this long without a message.
constexpr double kLingerNs = 10e6;

// beforeMessage(): the CPU on which whoever answers should run, or -1 for any.
Napi::Value JsBeforeMessage(const Info& info) {
  return Num(info.Env(), g_oneCpu.beforeMessage(__builtin_ia32_rdtsc()));
}

// runOn(cpu): this thread runs there from now on; -1: wherever it could when this was first called.
Napi::Value JsRunOn(const Info& info) {
  static cpu_set_t all;
  static const bool known = sched_getaffinity(0, sizeof all, &all) == 0;
  int cpu = I32(info, 0);
  if (!known || cpu >= CPU_SETSIZE || cpu < -1) return Num(info.Env(), -EINVAL);
  cpu_set_t wanted = all;
  if (cpu >= 0) {
    CPU_ZERO(&wanted);
    CPU_SET(static_cast<size_t>(cpu), &wanted);
  }
  return Result(info.Env(), sched_setaffinity(0, sizeof wanted, &wanted));
}

}  // namespace

OneCpu g_oneCpu;

void OneCpu::start(const cpu_set_t& allowed, double ticksPerNs) {
  allowed_ = allowed;
  closeTicks_ = static_cast<uint64_t>(kCloseNs * ticksPerNs);
  lingerTicks_ = static_cast<uint64_t>(kLingerNs * ticksPerNs);
}

int OneCpu::beforeMessage(uint64_t now) {
  bool soon = now - last_ < closeTicks_;
  last_ = now;
  if (others > 0 || spinning) {
    release();
  } else {
    streak_ = soon ? streak_ + 1 : 0;
    if (streak_ >= kStreak && cpu_ < 0) join();
  }
  return cpu_;
}

void OneCpu::join() {
  int cpu = sched_getcpu();
  cpu_set_t one;
  CPU_ZERO(&one);
  if (cpu < 0 || cpu >= CPU_SETSIZE) return;
  CPU_SET(static_cast<size_t>(cpu), &one);
  if (sched_setaffinity(0, sizeof one, &one) == 0) cpu_ = cpu;
  else streak_ = 0;
}

void OneCpu::release() {
  streak_ = 0;
  if (cpu_ < 0) return;
  cpu_ = -1;
  sched_setaffinity(0, sizeof allowed_, &allowed_);
}

void RegisterOneCpu(Napi::Env env, Napi::Object exports) {
  Export<JsBeforeMessage>(env, exports, "beforeMessage");
  Export<JsRunOn>(env, exports, "runOn");
}

}  // namespace portcullis
