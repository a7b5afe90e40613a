// Shared by the files that export host file calls: names from JavaScript, and the registration steps.
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "addon.h"

namespace portcullis {

// A path or name argument. Linux names are bytes: they travel as strings with one character per byte.
class Path {
 public:
  Path(const Napi::CallbackInfo& info, size_t i) {
    size_t length = 0;
    napi_status status =
        napi_get_value_string_latin1(info.Env(), info[i], bytes_, sizeof bytes_, &length);
    if (status != napi_ok) {
      Napi::TypeError::New(info.Env(), "name must be a string").ThrowAsJavaScriptException();
      error_ = EINVAL;
    } else if (length >= PATH_MAX) {
      error_ = ENAMETOOLONG;
    } else if (memchr(bytes_, 0, length) != nullptr) {
      // Never act on a prefix of what the caller has checked.
      error_ = EINVAL;
    }
  }
  int error() const { return error_; }
  const char* c_str() const { return bytes_; }

 private:
  char bytes_[PATH_MAX + 1];
  int error_ = 0;
};

// openat2(2) as the only way to open anything: the processes of a sandbox are refused the others.
inline int OpenAt2(int dirFd, const char* path, uint64_t flags) {
  struct open_how how = {};
  how.flags = flags | O_CLOEXEC;
  return static_cast<int>(syscall(SYS_openat2, dirFd, path, &how, sizeof how));
}

// The working directory is `fd` as long as this lives: for calls that take a path and no descriptor.
class InDirectory {
 public:
  explicit InDirectory(int fd) : before_(OpenAt2(AT_FDCWD, ".", O_PATH | O_DIRECTORY)) {
    if (before_ < 0 || fchdir(fd) < 0) error_ = errno;
  }
  InDirectory(const InDirectory&) = delete;
  InDirectory& operator=(const InDirectory&) = delete;
  ~InDirectory() { leave(); }

  int error() const { return error_; }

  // 0 or an error number.
  int leave() {
    if (before_ < 0) return 0;
    int failure = fchdir(before_) < 0 ? errno : 0;
    close(before_);
    before_ = -1;
    return failure;
  }

 private:
  int before_;
  int error_ = 0;
};

template <Napi::Value (*Callback)(const Napi::CallbackInfo&)>
void Export(Napi::Env env, Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<Callback>(env, name));
}

void RegisterDirectoryPages(Napi::Env env, Napi::Object exports);
void RegisterDirectories(Napi::Env env, Napi::Object exports);
void RegisterAttributes(Napi::Env env, Napi::Object exports);
void RegisterOverlay(Napi::Env env, Napi::Object exports);
void RegisterNotifications(Napi::Env env, Napi::Object exports);
void RegisterMessages(Napi::Env env, Napi::Object exports);
void RegisterOneCpu(Napi::Env env, Napi::Object exports);
void RegisterSockets(Napi::Env env, Napi::Object exports);

}  // namespace portcullis
