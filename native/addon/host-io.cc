// Host calls that are not about files: time, randomness, terminals, readiness, and Node's own event loop.
#include <fcntl.h>
#include <node_api.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <asm/termbits.h>

#include "addon.h"

// From libuv's interface, which Node exports without headers.
extern "C" {
struct uv_loop_s;
int uv_backend_fd(const uv_loop_s*);
int uv_backend_timeout(const uv_loop_s*);
}

namespace portcullis {
namespace {

constexpr size_t kTermiosSize = sizeof(struct termios);
static_assert(kTermiosSize == 36);

Napi::Value Clock(const Napi::CallbackInfo& info, clockid_t clock) {
  timespec t;
  if (clock_gettime(clock, &t) < 0) return Num(info.Env(), -errno);
  return Num(info.Env(), static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec));
}

// (clock id): ns. Realtime in ns passes 2^53, so its last bits are lost: use clockParts for exact values.
Napi::Value JsClockNs(const Napi::CallbackInfo& info) {
  return Clock(info, static_cast<clockid_t>(I32(info, 0)));
}

// (clock id, Float64Array): seconds and nanoseconds.
Napi::Value JsClockParts(const Napi::CallbackInfo& info) {
  auto out = info[1].As<Napi::Float64Array>();
  timespec t;
  if (out.ElementLength() < 2) return Num(info.Env(), -EINVAL);
  if (clock_gettime(static_cast<clockid_t>(I32(info, 0)), &t) < 0) return Num(info.Env(), -errno);
  out[0] = static_cast<double>(t.tv_sec);
  out[1] = static_cast<double>(t.tv_nsec);
  return Num(info.Env(), 0);
}

// (array, at, length)
Napi::Value JsGetrandom(const Napi::CallbackInfo& info) {
  Bytes b = Window(info, 0, 1, 2);
  size_t done = 0;
  while (done < b.length) {
    ssize_t n = getrandom(b.data + done, b.length - done, 0);
    if (n < 0 && errno != EINTR) return Num(info.Env(), -errno);
    if (n > 0) done += static_cast<size_t>(n);
  }
  return Num(info.Env(), static_cast<double>(done));
}

// (fd, events, timeoutMs): revents, 0 or -errno.
Napi::Value JsPoll(const Napi::CallbackInfo& info) {
  pollfd fd = {I32(info, 0), static_cast<short>(I32(info, 1)), 0};
  int n = poll(&fd, 1, I32(info, 2));
  return n < 0 ? Result(info.Env(), n) : Num(info.Env(), n > 0 ? static_cast<uint16_t>(fd.revents) : 0);
}

// (fd, array, at, length): at the file's own position.
Napi::Value JsRead(const Napi::CallbackInfo& info) {
  Bytes b = Window(info, 1, 2, 3);
  return Result(info.Env(), read(I32(info, 0), b.data, b.length));
}

Napi::Value JsWrite(const Napi::CallbackInfo& info) {
  Bytes b = Window(info, 1, 2, 3);
  return Result(info.Env(), write(I32(info, 0), b.data, b.length));
}

// (Int32Array[2], flags)
Napi::Value JsPipe2(const Napi::CallbackInfo& info) {
  auto fds = info[0].As<Napi::Int32Array>();
  if (fds.ElementLength() < 2) return Num(info.Env(), -EINVAL);
  return Result(info.Env(), pipe2(fds.Data(), I32(info, 1)));
}

// (fd, nonblocking)
Napi::Value JsSetNonblocking(const Napi::CallbackInfo& info) {
  int fd = I32(info, 0);
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return Result(info.Env(), -1);
  bool on = info[1].As<Napi::Boolean>();
  return Result(info.Env(), fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

Napi::Value JsFcntl(const Napi::CallbackInfo& info) {
  return Result(info.Env(), fcntl(I32(info, 0), I32(info, 1), I64(info, 2)));
}

// (fd, operation)
Napi::Value JsFlock(const Napi::CallbackInfo& info) {
  return Result(info.Env(), flock(I32(info, 0), I32(info, 1)));
}

// (fd, Uint8Array of at least 36): struct termios as the kernel has it.
Napi::Value JsTcgets(const Napi::CallbackInfo& info) {
  auto out = info[1].As<Napi::Uint8Array>();
  if (out.ByteLength() < kTermiosSize) return Num(info.Env(), -EINVAL);
  return Result(info.Env(), ioctl(I32(info, 0), TCGETS, out.Data()));
}

// (fd, action 0-2 (now, drain, flush), Uint8Array)
Napi::Value JsTcsets(const Napi::CallbackInfo& info) {
  auto from = info[2].As<Napi::Uint8Array>();
  uint32_t action = U32(info, 1);
  if (from.ByteLength() < kTermiosSize || action > 2) return Num(info.Env(), -EINVAL);
  return Result(info.Env(), ioctl(I32(info, 0), TCSETS + action, from.Data()));
}

// (fd, Uint16Array[4]): rows, columns, width and height in pixels.
Napi::Value JsGetWinsize(const Napi::CallbackInfo& info) {
  auto out = info[1].As<Napi::Uint16Array>();
  if (out.ElementLength() < 4) return Num(info.Env(), -EINVAL);
  return Result(info.Env(), ioctl(I32(info, 0), TIOCGWINSZ, out.Data()));
}

Napi::Value JsSetWinsize(const Napi::CallbackInfo& info) {
  auto from = info[1].As<Napi::Uint16Array>();
  if (from.ElementLength() < 4) return Num(info.Env(), -EINVAL);
  return Result(info.Env(), ioctl(I32(info, 0), TIOCSWINSZ, from.Data()));
}

// (fd): bytes that a read would return now.
Napi::Value JsReadable(const Napi::CallbackInfo& info) {
  int count = 0;
  int r = ioctl(I32(info, 0), FIONREAD, &count);
  return Result(info.Env(), r < 0 ? r : count);
}

uv_loop_s* Loop(napi_env env) {
  uv_loop_s* loop = nullptr;
  return napi_get_uv_event_loop(env, &loop) == napi_ok ? loop : nullptr;
}

// Readable when Node's event loop has something to do.
Napi::Value JsUvBackendFd(const Napi::CallbackInfo& info) {
  uv_loop_s* loop = Loop(info.Env());
  return Num(info.Env(), loop ? uv_backend_fd(loop) : -ENOSYS);
}

// Milliseconds until Node's next timer, 0 when something is due now, -1 for never.
Napi::Value JsUvBackendTimeout(const Napi::CallbackInfo& info) {
  uv_loop_s* loop = Loop(info.Env());
  return Num(info.Env(), loop ? uv_backend_timeout(loop) : -1);
}

// (signo): ignore it.
Napi::Value JsIgnoreSignal(const Napi::CallbackInfo& info) {
  return Result(info.Env(), signal(I32(info, 0), SIG_IGN) == SIG_ERR ? -1 : 0);
}

// (pid, signo)
Napi::Value JsKillProcess(const Napi::CallbackInfo& info) {
  return Result(info.Env(), kill(I32(info, 0), I32(info, 1)));
}

}  // namespace

void RegisterHostIo(Napi::Env env, Napi::Object exports) {
  exports.Set("clockNs", Napi::Function::New<JsClockNs>(env));
  exports.Set("clockParts", Napi::Function::New<JsClockParts>(env));
  exports.Set("getrandom", Napi::Function::New<JsGetrandom>(env));
  exports.Set("poll", Napi::Function::New<JsPoll>(env));
  exports.Set("read", Napi::Function::New<JsRead>(env));
  exports.Set("write", Napi::Function::New<JsWrite>(env));
  exports.Set("pipe2", Napi::Function::New<JsPipe2>(env));
  exports.Set("setNonblocking", Napi::Function::New<JsSetNonblocking>(env));
  exports.Set("fcntl", Napi::Function::New<JsFcntl>(env));
  exports.Set("flock", Napi::Function::New<JsFlock>(env));
  exports.Set("tcgets", Napi::Function::New<JsTcgets>(env));
  exports.Set("tcsets", Napi::Function::New<JsTcsets>(env));
  exports.Set("getWinsize", Napi::Function::New<JsGetWinsize>(env));
  exports.Set("setWinsize", Napi::Function::New<JsSetWinsize>(env));
  exports.Set("readable", Napi::Function::New<JsReadable>(env));
  exports.Set("uvBackendFd", Napi::Function::New<JsUvBackendFd>(env));
  exports.Set("uvBackendTimeout", Napi::Function::New<JsUvBackendTimeout>(env));
  exports.Set("ignoreSignal", Napi::Function::New<JsIgnoreSignal>(env));
  exports.Set("killProcess", Napi::Function::New<JsKillProcess>(env));
}

}  // namespace portcullis
