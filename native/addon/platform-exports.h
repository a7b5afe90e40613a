// The exports of a platform: one platform per process, called from one thread only.
#pragma once

#include <sched.h>

#include <algorithm>
#include <memory>
#include <string>

#include "addon.h"
#include "record.h"
#include "service-time.h"
#include "stub-memory.h"

namespace portcullis {

inline double F64(const Napi::CallbackInfo& info, size_t i) {
  return info[i].As<Napi::Number>().DoubleValue();
}

inline uint64_t Addr(const Napi::CallbackInfo& info, size_t i) {
  return static_cast<uint64_t>(I64(info, i));
}

template <class Platform>
struct PlatformExports {
  static inline std::unique_ptr<Platform> g_platform;
  static inline Napi::Reference<Napi::Uint8Array> g_records;
  static inline ServiceTime g_service;
  // When the platform started, in ticks and ns: what a tick is.
  static inline uint64_t g_startTicks;
  static inline double g_startNs;

  static auto* ThreadArg(const Napi::CallbackInfo& info) {
    return g_platform ? g_platform->thread(U32(info, 0)) : nullptr;
  }

  // (stubFd, filter, records, report): 0 or -errno. `report` receives vdso, its hole, and the failed step.
  static Napi::Value JsStart(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    auto filter = info[1].As<Napi::Uint8Array>();
    auto records = info[2].As<Napi::Uint8Array>();
    auto report = info[3].As<Napi::Object>();
    if (g_platform) return Num(env, -EBUSY);
    if (records.ByteLength() < kMaxThreads * kRecordSize) return Num(env, -EINVAL);
    g_records = Napi::Reference<Napi::Uint8Array>::New(records, 1);
    g_platform = std::make_unique<Platform>();
    g_startTicks = __builtin_ia32_rdtsc();
    g_startNs = MonotonicNs();
    std::string failure;
    int r = g_platform->start(I32(info, 0), filter.Data(), filter.ByteLength(), records.Data(), &failure);
    if (r < 0) {
      report.Set("failure", failure);
      g_platform.reset();
      g_records.Reset();
      return Num(env, r);
    }
    report.Set("vdso", static_cast<double>(g_platform->vdso));
    report.Set("holeStart", static_cast<double>(g_platform->holeStart));
    report.Set("holeEnd", static_cast<double>(g_platform->holeEnd));
    return Num(env, 0);
  }

  static Napi::Value JsStop(const Napi::CallbackInfo& info) {
    g_platform.reset();
    g_records.Reset();
    return Num(info.Env(), 0);
  }

  static Napi::Value Wait(Napi::Env env, double deadline) {
    if (!g_platform) return Num(env, -EINVAL);
    int id = g_platform->wait(deadline);
    if (id >= 0) g_service.begin(id, g_platform->spinTicks(g_platform->thread(static_cast<uint32_t>(id))));
    return Num(env, id);
  }

  static Napi::Value JsWait(const Napi::CallbackInfo& info) {
    g_service.end();
    return Wait(info.Env(), F64(info, 0));
  }

  static Napi::Value JsNewThread(const Napi::CallbackInfo& info) {
    int id = g_platform ? g_platform->newThread() : -EINVAL;
    g_service.forget(id);
    return Num(info.Env(), id);
  }

  static Napi::Value JsSpawn(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    return Num(info.Env(), t ? g_platform->spawn(t) : -EINVAL);
  }

  // (id, result, withRegisters)
  static void JsResume(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    if (t) g_platform->resume(t, Addr(info, 1), info[2].As<Napi::Boolean>());
  }

  // (id, result, withRegisters, ops, count): each op is a kind and up to seven numbers.
  static void JsResumeOps(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    auto ops = info[3].As<Napi::Float64Array>();
    size_t count = U32(info, 4);
    if (!t || count * 8 > ops.ElementLength()) return;
    for (size_t i = 0; i < count; i++) {
      const double* op = ops.Data() + i * 8;
      g_platform->addOp(t, static_cast<int>(op[0]), op + 1, static_cast<int>(i));
    }
    g_platform->resume(t, Addr(info, 1), info[2].As<Napi::Boolean>());
  }

  // (id, result, withRegisters, deadline): resume and wait in one crossing.
  static Napi::Value JsResumeAndWait(const Napi::CallbackInfo& info) {
    g_service.end();
    JsResume(info);
    return Wait(info.Env(), F64(info, 3));
  }

  template <auto method>
  static void JsOnThread(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    if (t) (g_platform.get()->*method)(t);
  }

  // (id, addr, array, at, length)
  static Napi::Value JsReadMemory(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    Bytes b = Window(info, 2, 3, 4);
    if (!t || !b.data) return Num(info.Env(), b.length ? -EFAULT : 0);
    return Num(info.Env(), static_cast<double>(g_platform->copyIn(t, Addr(info, 1), b.data, b.length)));
  }

  static Napi::Value JsWriteMemory(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    Bytes b = Window(info, 2, 3, 4);
    if (!t || !b.data) return Num(info.Env(), b.length ? -EFAULT : 0);
    return Num(info.Env(), static_cast<double>(g_platform->copyOut(t, Addr(info, 1), b.data, b.length)));
  }

  static Napi::Value JsWriteResult(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    Bytes b = Window(info, 2, 3, 4);
    if (!t || !b.data) return Num(info.Env(), b.length ? -EFAULT : 0);
    return Num(info.Env(), static_cast<double>(g_platform->copyResult(t, Addr(info, 1), b.data, b.length)));
  }

  static Napi::Value JsReadString(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    Bytes b = Window(info, 2, 3, 4);
    if (!t || !b.data) return Num(info.Env(), -EFAULT);
    return Num(info.Env(),
               static_cast<double>(g_platform->readString(t, Addr(info, 1), b.data, b.length)));
  }

  static Napi::Value JsFsBase(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    return Num(info.Env(), t ? g_platform->fsBase(t) : -1);
  }

  // (id, array)
  static Napi::Value JsGetFpu(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    auto into = info[1].As<Napi::Uint8Array>();
    if (!t) return Num(info.Env(), -EINVAL);
    return Num(info.Env(), static_cast<double>(g_platform->getFpu(t, into.Data(), into.ByteLength())));
  }

  // (id, array, length)
  static Napi::Value JsSetFpu(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    auto from = info[1].As<Napi::Uint8Array>();
    size_t length = U32(info, 2);
    if (!t || length > from.ByteLength()) return Num(info.Env(), -EINVAL);
    return Num(info.Env(), g_platform->setFpu(t, from.Data(), length));
  }

  // Measured until it is exact enough, and fixed then: times must not go back.
  static double TickNs() {
    constexpr double kExactNs = 1e9;
    static double fixed = 0;
    if (fixed > 0) return fixed;
    double ns = MonotonicNs() - g_startNs;
    double tick = ns / static_cast<double>(__builtin_ia32_rdtsc() - g_startTicks);
    if (ns > kExactNs) fixed = tick;
    return tick;
  }

  // (id, into): the host's CPU time of the thread, its part in user mode, and the kernel's work for it while it
  // slept and while it spun; all in ns.
  static Napi::Value JsCpuTimes(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    auto into = info[1].As<Napi::Float64Array>();
    if (!t || into.ElementLength() < 4) return Num(info.Env(), -EINVAL);
    CpuTimes host;
    int r = g_platform->cpuTimes(t, &host);
    auto used = g_service.used(t->id);
    into[0] = host.total;
    into[1] = host.user;
    into[2] = static_cast<double>(used.asleep) * TickNs();
    into[3] = static_cast<double>(used.spinning) * TickNs();
    return Num(info.Env(), r);
  }

  // The host process of the thread's, by its first thread; as our pid namespace has it.
  static Napi::Value JsHostPid(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    return Num(info.Env(), t ? g_platform->hostTid(t) : 0);
  }

  // (id, mask): the CPUs that the host thread may use, one bit each.
  static Napi::Value JsSetAffinity(const Napi::CallbackInfo& info) {
    auto* t = ThreadArg(info);
    auto mask = info[1].As<Napi::Uint8Array>();
    pid_t tid = t ? g_platform->hostTid(t) : 0;
    // 0 would be ourselves.
    if (tid <= 0) return Num(info.Env(), -ESRCH);
    auto* set = reinterpret_cast<const cpu_set_t*>(mask.Data());
    return Num(info.Env(), sched_setaffinity(tid, mask.ByteLength(), set) < 0 ? -errno : 0);
  }

  static Napi::Value JsWatch(const Napi::CallbackInfo& info) {
    return Num(info.Env(), g_platform ? g_platform->host().watch(I32(info, 0), U32(info, 1)) : -EINVAL);
  }

  // (fds, events)
  static Napi::Value JsReadyFds(const Napi::CallbackInfo& info) {
    auto fds = info[0].As<Napi::Int32Array>();
    auto events = info[1].As<Napi::Int32Array>();
    size_t max = std::min(fds.ElementLength(), events.ElementLength());
    return Num(info.Env(), g_platform ? g_platform->host().ready(fds.Data(), events.Data(), max) : 0);
  }

  // Export everything under names that begin with `prefix`.
  static void Register(Napi::Env env, Napi::Object exports, const std::string& prefix) {
    auto set = [&](const char* name, Napi::Function f) { exports.Set(prefix + name, f); };
    set("Start", Napi::Function::New<JsStart>(env));
    set("Stop", Napi::Function::New<JsStop>(env));
    set("Wait", Napi::Function::New<JsWait>(env));
    set("NewThread", Napi::Function::New<JsNewThread>(env));
    set("Spawn", Napi::Function::New<JsSpawn>(env));
    set("Resume", Napi::Function::New<JsResume>(env));
    set("ResumeOps", Napi::Function::New<JsResumeOps>(env));
    set("ResumeAndWait", Napi::Function::New<JsResumeAndWait>(env));
    set("GetRegs", Napi::Function::New<JsOnThread<&Platform::getRegs>>(env));
    set("FsBase", Napi::Function::New<JsFsBase>(env));
    set("Frame", Napi::Function::New<JsOnThread<&Platform::frame>>(env));
    set("Interrupt", Napi::Function::New<JsOnThread<&Platform::interrupt>>(env));
    set("Kill", Napi::Function::New<JsOnThread<&Platform::kill>>(env));
    set("Release", Napi::Function::New<JsOnThread<&Platform::release>>(env));
    set("ReadMemory", Napi::Function::New<JsReadMemory>(env));
    set("WriteMemory", Napi::Function::New<JsWriteMemory>(env));
    set("WriteResult", Napi::Function::New<JsWriteResult>(env));
    set("ReadString", Napi::Function::New<JsReadString>(env));
    set("GetFpu", Napi::Function::New<JsGetFpu>(env));
    set("SetFpu", Napi::Function::New<JsSetFpu>(env));
    set("CpuTimes", Napi::Function::New<JsCpuTimes>(env));
    set("HostPid", Napi::Function::New<JsHostPid>(env));
    set("SetAffinity", Napi::Function::New<JsSetAffinity>(env));
    set("Watch", Napi::Function::New<JsWatch>(env));
    set("ReadyFds", Napi::Function::New<JsReadyFds>(env));
  }
};

}  // namespace portcullis
