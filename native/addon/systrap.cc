// The exports of the systrap platform: one platform per process, called from the main thread only.
#include "systrap.h"

#include "addon.h"

namespace portcullis {
namespace {

using systrap::Platform;
using systrap::Thread;

// One sandbox per process; the SIGCHLD handler belongs to it as well.
std::unique_ptr<Platform> g_platform;
Napi::Reference<Napi::Uint8Array> g_records;

Thread* ThreadArg(const Napi::CallbackInfo& info) {
  return g_platform ? g_platform->thread(U32(info, 0)) : nullptr;
}

double F64(const Napi::CallbackInfo& info, size_t i) {
  return info[i].As<Napi::Number>().DoubleValue();
}

uint64_t Addr(const Napi::CallbackInfo& info, size_t i) {
  return static_cast<uint64_t>(I64(info, i));
}

// (stubFd, filter, records, report): 0 or -errno. `report` receives vdso, its hole, and the failed step.
Napi::Value JsStart(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto filter = info[1].As<Napi::Uint8Array>();
  auto records = info[2].As<Napi::Uint8Array>();
  auto report = info[3].As<Napi::Object>();
  if (g_platform) return Num(env, -EBUSY);
  if (records.ByteLength() < systrap::kMaxThreads * systrap::kRecordSize) return Num(env, -EINVAL);
  g_records = Napi::Reference<Napi::Uint8Array>::New(records, 1);
  g_platform = std::make_unique<Platform>();
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

Napi::Value JsStop(const Napi::CallbackInfo& info) {
  g_platform.reset();
  g_records.Reset();
  return Num(info.Env(), 0);
}

Napi::Value JsWait(const Napi::CallbackInfo& info) {
  return Num(info.Env(), g_platform ? g_platform->wait(F64(info, 0)) : -EINVAL);
}

Napi::Value JsNewThread(const Napi::CallbackInfo& info) {
  return Num(info.Env(), g_platform ? g_platform->newThread() : -EINVAL);
}

Napi::Value JsSpawn(const Napi::CallbackInfo& info) {
  Thread* t = ThreadArg(info);
  return Num(info.Env(), t ? g_platform->spawn(t) : -EINVAL);
}

// (id, result, withRegisters)
void JsResume(const Napi::CallbackInfo& info) {
  Thread* t = ThreadArg(info);
  if (t) g_platform->resume(t, Addr(info, 1), info[2].As<Napi::Boolean>());
}

// (id, result, withRegisters, ops, count): each op is a kind and up to seven numbers.
void JsResumeOps(const Napi::CallbackInfo& info) {
  Thread* t = ThreadArg(info);
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
Napi::Value JsResumeAndWait(const Napi::CallbackInfo& info) {
  JsResume(info);
  return Num(info.Env(), g_platform ? g_platform->wait(F64(info, 3)) : -EINVAL);
}

template <void (Platform::*method)(Thread*)>
void JsOnThread(const Napi::CallbackInfo& info) {
  Thread* t = ThreadArg(info);
  if (t) (g_platform.get()->*method)(t);
}

// (id, addr, array, at, length)
Napi::Value JsReadMemory(const Napi::CallbackInfo& info) {
  Thread* t = ThreadArg(info);
  Bytes b = Window(info, 2, 3, 4);
  if (!t || !b.data) return Num(info.Env(), b.length ? -EFAULT : 0);
  return Num(info.Env(), static_cast<double>(g_platform->copyIn(t, Addr(info, 1), b.data, b.length)));
}

Napi::Value JsWriteMemory(const Napi::CallbackInfo& info) {
  Thread* t = ThreadArg(info);
  Bytes b = Window(info, 2, 3, 4);
  if (!t || !b.data) return Num(info.Env(), b.length ? -EFAULT : 0);
  return Num(info.Env(), static_cast<double>(g_platform->copyOut(t, Addr(info, 1), b.data, b.length)));
}

Napi::Value JsReadString(const Napi::CallbackInfo& info) {
  Thread* t = ThreadArg(info);
  Bytes b = Window(info, 2, 3, 4);
  if (!t || !b.data) return Num(info.Env(), -EFAULT);
  return Num(info.Env(),
             static_cast<double>(g_platform->readString(t, Addr(info, 1), b.data, b.length)));
}

// (id, array)
Napi::Value JsGetFpu(const Napi::CallbackInfo& info) {
  Thread* t = ThreadArg(info);
  auto into = info[1].As<Napi::Uint8Array>();
  if (!t) return Num(info.Env(), -EINVAL);
  return Num(info.Env(), static_cast<double>(g_platform->getFpu(t, into.Data(), into.ByteLength())));
}

// (id, array, length)
Napi::Value JsSetFpu(const Napi::CallbackInfo& info) {
  Thread* t = ThreadArg(info);
  auto from = info[1].As<Napi::Uint8Array>();
  size_t length = U32(info, 2);
  if (!t || length > from.ByteLength()) return Num(info.Env(), -EINVAL);
  return Num(info.Env(), g_platform->setFpu(t, from.Data(), length));
}

Napi::Value JsCpuTime(const Napi::CallbackInfo& info) {
  Thread* t = ThreadArg(info);
  return Num(info.Env(), t ? static_cast<double>(g_platform->cpuTime(t)) : -ESRCH);
}

Napi::Value JsWatch(const Napi::CallbackInfo& info) {
  return Num(info.Env(), g_platform ? g_platform->watch(I32(info, 0), U32(info, 1)) : -EINVAL);
}

// (fds, events)
Napi::Value JsReadyFds(const Napi::CallbackInfo& info) {
  auto fds = info[0].As<Napi::Int32Array>();
  auto events = info[1].As<Napi::Int32Array>();
  size_t max = std::min(fds.ElementLength(), events.ElementLength());
  return Num(info.Env(), g_platform ? g_platform->readyFds(fds.Data(), events.Data(), max) : 0);
}

}  // namespace

void RegisterSystrap(Napi::Env env, Napi::Object exports) {
  exports.Set("systrapStart", Napi::Function::New<JsStart>(env));
  exports.Set("systrapStop", Napi::Function::New<JsStop>(env));
  exports.Set("systrapWait", Napi::Function::New<JsWait>(env));
  exports.Set("systrapNewThread", Napi::Function::New<JsNewThread>(env));
  exports.Set("systrapSpawn", Napi::Function::New<JsSpawn>(env));
  exports.Set("systrapResume", Napi::Function::New<JsResume>(env));
  exports.Set("systrapResumeOps", Napi::Function::New<JsResumeOps>(env));
  exports.Set("systrapResumeAndWait", Napi::Function::New<JsResumeAndWait>(env));
  exports.Set("systrapGetRegs", Napi::Function::New<JsOnThread<&Platform::getRegs>>(env));
  exports.Set("systrapInterrupt", Napi::Function::New<JsOnThread<&Platform::interrupt>>(env));
  exports.Set("systrapKill", Napi::Function::New<JsOnThread<&Platform::kill>>(env));
  exports.Set("systrapRelease", Napi::Function::New<JsOnThread<&Platform::release>>(env));
  exports.Set("systrapReadMemory", Napi::Function::New<JsReadMemory>(env));
  exports.Set("systrapWriteMemory", Napi::Function::New<JsWriteMemory>(env));
  exports.Set("systrapReadString", Napi::Function::New<JsReadString>(env));
  exports.Set("systrapGetFpu", Napi::Function::New<JsGetFpu>(env));
  exports.Set("systrapSetFpu", Napi::Function::New<JsSetFpu>(env));
  exports.Set("systrapCpuTime", Napi::Function::New<JsCpuTime>(env));
  exports.Set("systrapWatch", Napi::Function::New<JsWatch>(env));
  exports.Set("systrapReadyFds", Napi::Function::New<JsReadyFds>(env));
}

}  // namespace portcullis
