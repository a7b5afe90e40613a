// inotify(7): being told of changes in directories of the host.
#include <sys/inotify.h>

#include "host-file.h"

namespace portcullis {
namespace {

using Info = Napi::CallbackInfo;

// watchStart(): a new instance, which never blocks who reads it.
Napi::Value JsWatchStart(const Info& info) {
  return Result(info.Env(), inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
}

// watchDirectory(instance, dirFd, events): the watch's number. There is no inotify_add_watch for a descriptor.
Napi::Value JsWatchDirectory(const Info& info) {
  InDirectory directory(I32(info, 1));
  if (directory.error() != 0) return Num(info.Env(), -directory.error());
  int n = inotify_add_watch(I32(info, 0), ".", U32(info, 2) | IN_ONLYDIR);
  return Result(info.Env(), n);
}

// watchEnd(instance, watch)
Napi::Value JsWatchEnd(const Info& info) {
  return Result(info.Env(), inotify_rm_watch(I32(info, 0), I32(info, 1)));
}

}  // namespace

void RegisterNotifications(Napi::Env env, Napi::Object exports) {
  Export<JsWatchStart>(env, exports, "watchStart");
  Export<JsWatchDirectory>(env, exports, "watchDirectory");
  Export<JsWatchEnd>(env, exports, "watchEnd");
}

}  // namespace portcullis
