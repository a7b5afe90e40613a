// Open files of the host: opening, reading and writing, sizes, and the descriptors themselves.
#include "descriptors.h"
#include "host-file.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace portcullis {
namespace {

using Info = Napi::CallbackInfo;

// openat2(dirFd, path, flags, mode, resolve)
Napi::Value JsOpenat2(const Info& info) {
  Path path(info, 1);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  struct open_how how = {};
  how.flags = U32(info, 2) | O_CLOEXEC;
  how.mode = U32(info, 3);
  how.resolve = U32(info, 4);
  return Result(info.Env(), syscall(SYS_openat2, I32(info, 0), path.c_str(), &how, sizeof how));
}

// openat(dirFd, path, flags, mode)
Napi::Value JsOpenat(const Info& info) {
  Path path(info, 1);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  return Result(info.Env(),
                openat(I32(info, 0), path.c_str(), I32(info, 2) | O_CLOEXEC, U32(info, 3)));
}

// openTree(dirFd, path, flags): open_tree(2), which glibc of the build machine may lack.
Napi::Value JsOpenTree(const Info& info) {
  Path path(info, 1);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  unsigned flags = U32(info, 2) | OPEN_TREE_CLOEXEC;
  return Result(info.Env(), syscall(SYS_open_tree, I32(info, 0), path.c_str(), flags));
}

// mountSetattr(fd, flags, set, clear, userns): mount_setattr(2) of an open tree; `userns` is for MOUNT_ATTR_IDMAP.
Napi::Value JsMountSetattr(const Info& info) {
  mount_attr attributes{};
  attributes.attr_set = U32(info, 2);
  attributes.attr_clr = U32(info, 3);
  if (info.Length() > 4) attributes.userns_fd = U32(info, 4);
  unsigned flags = U32(info, 1) | AT_EMPTY_PATH;
  return Result(info.Env(), syscall(SYS_mount_setattr, I32(info, 0), "", flags, &attributes,
                                    sizeof attributes));
}

// pread(fd, bytes, at, length, position): a negative position means the file's own.
Napi::Value JsPread(const Info& info) {
  Bytes to = Window(info, 1, 2, 3);
  if (to.data == nullptr && info.Env().IsExceptionPending()) return Num(info.Env(), -EINVAL);
  int64_t position = I64(info, 4);
  int fd = I32(info, 0);
  return Result(info.Env(), position < 0 ? read(fd, to.data, to.length)
                                         : pread(fd, to.data, to.length, position));
}

Napi::Value JsPwrite(const Info& info) {
  Bytes from = Window(info, 1, 2, 3);
  if (from.data == nullptr && info.Env().IsExceptionPending()) return Num(info.Env(), -EINVAL);
  int64_t position = I64(info, 4);
  int fd = I32(info, 0);
  return Result(info.Env(), position < 0 ? write(fd, from.data, from.length)
                                         : pwrite(fd, from.data, from.length, position));
}

// The windows of preadv and pwritev: pairs (offset, length) into one array.
constexpr uint32_t kMaxWindows = 1024;
int Windows(const Info& info, struct iovec* iov) {
  auto bytes = info[1].As<Napi::Uint8Array>();
  auto pairs = info[2].As<Napi::Uint32Array>();
  uint32_t count = U32(info, 3);
  if (count > kMaxWindows || count * 2ull > pairs.ElementLength()) return -EINVAL;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t at = pairs.Data()[2 * i], length = pairs.Data()[2 * i + 1];
    if (at > bytes.ByteLength() || length > bytes.ByteLength() - at) return -EINVAL;
    iov[i] = {bytes.Data() + at, length};
  }
  return static_cast<int>(count);
}

// preadv(fd, bytes, windows, count, position)
Napi::Value JsPreadv(const Info& info) {
  struct iovec iov[kMaxWindows];
  int count = Windows(info, iov);
  if (count < 0) return Num(info.Env(), count);
  int64_t position = I64(info, 4);
  int fd = I32(info, 0);
  return Result(info.Env(),
                position < 0 ? readv(fd, iov, count) : preadv(fd, iov, count, position));
}

Napi::Value JsPwritev(const Info& info) {
  struct iovec iov[kMaxWindows];
  int count = Windows(info, iov);
  if (count < 0) return Num(info.Env(), count);
  int64_t position = I64(info, 4);
  int fd = I32(info, 0);
  return Result(info.Env(),
                position < 0 ? writev(fd, iov, count) : pwritev(fd, iov, count, position));
}

Napi::Value JsLseek(const Info& info) {
  return Result(info.Env(), lseek(I32(info, 0), I64(info, 1), I32(info, 2)));
}

Napi::Value JsFtruncate(const Info& info) {
  return Result(info.Env(), ftruncate(I32(info, 0), I64(info, 1)));
}

// fallocate(fd, mode, offset, length)
Napi::Value JsFallocate(const Info& info) {
  return Result(info.Env(), fallocate(I32(info, 0), I32(info, 1), I64(info, 2), I64(info, 3)));
}

Napi::Value JsFsync(const Info& info) { return Result(info.Env(), fsync(I32(info, 0))); }

Napi::Value JsFdatasync(const Info& info) { return Result(info.Env(), fdatasync(I32(info, 0))); }

// dup(fd, lowest): the copy is the first free number >= lowest.
Napi::Value JsDup(const Info& info) {
  return Result(info.Env(), fcntl(I32(info, 0), F_DUPFD_CLOEXEC, I32(info, 1)));
}

// close(2) frees the number even when it reports EINTR, so there is never a retry.
Napi::Value JsClose(const Info& info) { return Result(info.Env(), close(I32(info, 0))); }

// memfdCreate(name, flags)
Napi::Value JsMemfdCreate(const Info& info) {
  Path name(info, 0);
  if (name.error() != 0) return Num(info.Env(), -name.error());
  return Result(info.Env(), BelowCeiling(memfd_create(name.c_str(), U32(info, 1) | MFD_CLOEXEC)));
}

// setDescriptorCeiling(n): what programs make us open gets numbers below n, or -ENFILE.
Napi::Value JsSetDescriptorCeiling(const Napi::CallbackInfo& info) {
  g_descriptorCeiling = I32(info, 0);
  return Num(info.Env(), 0);
}

// belowCeiling(fd): the descriptor, or -ENFILE when it was too high and has been closed.
Napi::Value JsBelowCeiling(const Napi::CallbackInfo& info) {
  return Result(info.Env(), BelowCeiling(I32(info, 0)));
}

Napi::Value JsUmask(const Info& info) { return Num(info.Env(), umask(U32(info, 0))); }

// exitNow(status): _exit(2). Node's own way out uses calls that the filters forbid.
Napi::Value JsExitNow(const Info& info) { _exit(I32(info, 0)); }

}  // namespace

void RegisterHostFile(Napi::Env env, Napi::Object exports) {
  Export<JsOpenat2>(env, exports, "openat2");
  Export<JsOpenat>(env, exports, "openat");
  Export<JsOpenTree>(env, exports, "openTree");
  Export<JsMountSetattr>(env, exports, "mountSetattr");
  Export<JsPread>(env, exports, "pread");
  Export<JsPwrite>(env, exports, "pwrite");
  Export<JsPreadv>(env, exports, "preadv");
  Export<JsPwritev>(env, exports, "pwritev");
  Export<JsLseek>(env, exports, "lseek");
  Export<JsFtruncate>(env, exports, "ftruncate");
  Export<JsFallocate>(env, exports, "fallocate");
  Export<JsFsync>(env, exports, "fsync");
  Export<JsFdatasync>(env, exports, "fdatasync");
  Export<JsDup>(env, exports, "dup");
  Export<JsClose>(env, exports, "close");
  Export<JsMemfdCreate>(env, exports, "memfdCreate");
  Export<JsSetDescriptorCeiling>(env, exports, "setDescriptorCeiling");
  Export<JsBelowCeiling>(env, exports, "belowCeiling");
  Export<JsUmask>(env, exports, "umask");
  Export<JsExitNow>(env, exports, "exitNow");
  RegisterDirectoryPages(env, exports);
  RegisterDirectories(env, exports);
  RegisterAttributes(env, exports);
  RegisterOverlay(env, exports);
  RegisterNotifications(env, exports);
  RegisterMessages(env, exports);
  RegisterOneCpu(env, exports);
  RegisterSockets(env, exports);
}

}  // namespace portcullis
