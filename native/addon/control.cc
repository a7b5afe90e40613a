// The listening socket on which a sandbox takes runsc's commands, and what runsc does with its own descriptors.
#include <linux/close_range.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "addon.h"

namespace portcullis {

// listenUnix(path): a listening stream socket bound to `path`. Longer paths than sun_path holds are
// -ENAMETOOLONG: the caller binds through /proc/self/fd then.
static Napi::Value ListenUnix(const Napi::CallbackInfo& info) {
  std::string path = info[0].As<Napi::String>().Utf8Value();
  sockaddr_un addr{};
  addr.sun_family = AF_UNIX;
  if (path.size() >= sizeof addr.sun_path) return Num(info.Env(), -ENAMETOOLONG);
  memcpy(addr.sun_path, path.data(), path.size());
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Result(info.Env(), -1);
  if (bind(fd, reinterpret_cast<sockaddr*>(&addr), sizeof addr) < 0 || listen(fd, 64) < 0) {
    int error = errno;
    close(fd);
    return Num(info.Env(), -error);
  }
  return Num(info.Env(), fd);
}

// accept(fd): the next connection, nonblocking and close-on-exec.
static Napi::Value Accept(const Napi::CallbackInfo& info) {
  return Result(info.Env(), accept4(I32(info, 0), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

// closeOnExec(first): no program that is executed gets a descriptor from `first` on, unless it is put in place for it.
static Napi::Value CloseOnExec(const Napi::CallbackInfo& info) {
  return Result(info.Env(), syscall(SYS_close_range, U32(info, 0), ~0U, CLOSE_RANGE_CLOEXEC));
}

void RegisterControl(Napi::Env env, Napi::Object exports) {
  exports.Set("listenUnix", Napi::Function::New<ListenUnix>(env));
  exports.Set("accept", Napi::Function::New<Accept>(env));
  exports.Set("closeOnExec", Napi::Function::New<CloseOnExec>(env));
}

}  // namespace portcullis
