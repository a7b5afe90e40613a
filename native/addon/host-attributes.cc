// Attributes of host files: stat, links' targets, mode, owner, times, file system, extended attributes.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "host-file.h"
#include "stat-record.h"

// Numbers newer than the build machine's headers may know.
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif

namespace portcullis {
namespace {

using Info = Napi::CallbackInfo;

// The record argument of the stat calls.
uint8_t* RecordAt(const Info& info, size_t array, size_t offset, size_t size) {
  auto bytes = info[array].As<Napi::Uint8Array>();
  uint64_t at = static_cast<uint64_t>(I64(info, offset));
  if (at > bytes.ByteLength() || bytes.ByteLength() - at < size) {
    Napi::RangeError::New(info.Env(), "record outside of array").ThrowAsJavaScriptException();
    return nullptr;
  }
  return bytes.Data() + at;
}

// statx(dirFd, path, flags, bytes, at): fills a StatRecord.
Napi::Value JsStatx(const Info& info) {
  Path path(info, 1);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  uint8_t* to = RecordAt(info, 3, 4, sizeof(StatRecord));
  if (to == nullptr) return Num(info.Env(), -EINVAL);
  StatRecord record;
  int r = ReadStat(I32(info, 0), path.c_str(), I32(info, 2), &record);
  if (r == 0) memcpy(to, &record, sizeof record);
  return Result(info.Env(), r);
}

// statFd(fd, bytes, at): the same for a descriptor, O_PATH ones included.
Napi::Value JsStatFd(const Info& info) {
  uint8_t* to = RecordAt(info, 1, 2, sizeof(StatRecord));
  if (to == nullptr) return Num(info.Env(), -EINVAL);
  StatRecord record;
  int r = ReadStat(I32(info, 0), "", AT_EMPTY_PATH, &record);
  if (r == 0) memcpy(to, &record, sizeof record);
  return Result(info.Env(), r);
}

// readlinkat(dirFd, path, bytes, at, length)
Napi::Value JsReadlinkat(const Info& info) {
  Path path(info, 1);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  Bytes to = Window(info, 2, 3, 4);
  if (to.data == nullptr) return Num(info.Env(), -EINVAL);
  return Result(info.Env(), readlinkat(I32(info, 0), path.c_str(),
                                       reinterpret_cast<char*>(to.data), to.length));
}

// fchmodat2(dirFd, path, mode, flags): -ENOSYS before Linux 6.6.
Napi::Value JsFchmodat2(const Info& info) {
  Path path(info, 1);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  return Result(info.Env(), syscall(SYS_fchmodat2, I32(info, 0), path.c_str(), U32(info, 2),
                                    U32(info, 3)));
}

// fchmodat(dirFd, path, mode): follows links, as the old system call does.
Napi::Value JsFchmodat(const Info& info) {
  Path path(info, 1);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  return Result(info.Env(), syscall(SYS_fchmodat, I32(info, 0), path.c_str(), U32(info, 2)));
}

// fchownat(dirFd, path, uid, gid, flags)
Napi::Value JsFchownat(const Info& info) {
  Path path(info, 1);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  return Result(info.Env(), fchownat(I32(info, 0), path.c_str(), U32(info, 2), U32(info, 3),
                                     I32(info, 4)));
}

// utimensat(dirFd, path, times, flags): times is a Float64Array [aSec, aNsec, mSec, mNsec], whose
// nanoseconds may be UTIME_NOW or UTIME_OMIT.
Napi::Value JsUtimensat(const Info& info) {
  Path path(info, 1);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  auto times = info[2].As<Napi::Float64Array>();
  if (times.ElementLength() < 4) return Num(info.Env(), -EINVAL);
  struct timespec t[2];
  for (int i = 0; i < 2; i++) {
    t[i].tv_sec = static_cast<time_t>(times.Data()[2 * i]);
    t[i].tv_nsec = static_cast<long>(times.Data()[2 * i + 1]);
  }
  return Result(info.Env(), utimensat(I32(info, 0), path.c_str(), t, I32(info, 3)));
}

// fstatfs(fd, out): out is a Float64Array of type, bsize, blocks, bfree, bavail, files, ffree,
// fsid (2 words), namelen, frsize, flags.
Napi::Value JsFstatfs(const Info& info) {
  auto out = info[1].As<Napi::Float64Array>();
  if (out.ElementLength() < 12) return Num(info.Env(), -EINVAL);
  struct statfs s;
  if (fstatfs(I32(info, 0), &s) < 0) return Result(info.Env(), -1);
  uint32_t fsid[2];
  memcpy(fsid, &s.f_fsid, sizeof fsid);
  const double values[] = {
      static_cast<double>(static_cast<uint32_t>(s.f_type)),
      static_cast<double>(s.f_bsize), static_cast<double>(s.f_blocks),
      static_cast<double>(s.f_bfree), static_cast<double>(s.f_bavail),
      static_cast<double>(s.f_files), static_cast<double>(s.f_ffree),
      static_cast<double>(fsid[0]), static_cast<double>(fsid[1]),
      static_cast<double>(s.f_namelen), static_cast<double>(s.f_frsize),
      static_cast<double>(s.f_flags)};
  memcpy(out.Data(), values, sizeof values);
  return Num(info.Env(), 0);
}

// The *xattrat calls came with Linux 6.13. Before, an O_PATH descriptor must be opened for real, which
// is harmless for files and directories only.
class XattrFile {
 public:
  XattrFile(int dirFd, const char* path) {
    struct stat s;
    if (fstatat(dirFd, path, &s, 0) < 0) return;
    if (!S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode)) {
      errno = EOPNOTSUPP;
      return;
    }
    fd_ = OpenAt2(dirFd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  }
  ~XattrFile() {
    if (fd_ < 0) return;
    int saved = errno;
    close(fd_);
    errno = saved;
  }
  XattrFile(const XattrFile&) = delete;
  XattrFile& operator=(const XattrFile&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

struct XattrArgs {
  alignas(8) uint64_t value;
  uint32_t size;
  uint32_t flags;
};

// getxattr(dirFd, path, name, bytes, at, length): length 0 asks for the size.
Napi::Value JsGetxattr(const Info& info) {
  Path path(info, 1), name(info, 2);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  if (name.error() != 0) return Num(info.Env(), -name.error());
  Bytes to = Window(info, 3, 4, 5);
  if (to.data == nullptr && info.Env().IsExceptionPending()) return Num(info.Env(), -EINVAL);
  XattrArgs args = {reinterpret_cast<uintptr_t>(to.data), static_cast<uint32_t>(to.length), 0};
  long n = syscall(SYS_getxattrat, I32(info, 0), path.c_str(), 0, name.c_str(), &args, sizeof args);
  if (n < 0 && errno == ENOSYS) {
    XattrFile file(I32(info, 0), path.c_str());
    n = file.fd() < 0 ? -1 : fgetxattr(file.fd(), name.c_str(), to.data, to.length);
  }
  return Result(info.Env(), n);
}

// setxattr(dirFd, path, name, value, flags): the whole array is the value.
Napi::Value JsSetxattr(const Info& info) {
  Path path(info, 1), name(info, 2);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  if (name.error() != 0) return Num(info.Env(), -name.error());
  auto value = info[3].As<Napi::Uint8Array>();
  XattrArgs args = {reinterpret_cast<uintptr_t>(value.Data()),
                    static_cast<uint32_t>(value.ByteLength()), U32(info, 4)};
  long n = syscall(SYS_setxattrat, I32(info, 0), path.c_str(), 0, name.c_str(), &args, sizeof args);
  if (n < 0 && errno == ENOSYS) {
    XattrFile file(I32(info, 0), path.c_str());
    n = file.fd() < 0
            ? -1
            : fsetxattr(file.fd(), name.c_str(), value.Data(), value.ByteLength(), I32(info, 4));
  }
  return Result(info.Env(), n);
}

// listxattr(dirFd, path, bytes, at, length)
Napi::Value JsListxattr(const Info& info) {
  Path path(info, 1);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  Bytes to = Window(info, 2, 3, 4);
  if (to.data == nullptr && info.Env().IsExceptionPending()) return Num(info.Env(), -EINVAL);
  char* list = reinterpret_cast<char*>(to.data);
  long n = syscall(SYS_listxattrat, I32(info, 0), path.c_str(), 0, list, to.length);
  if (n < 0 && errno == ENOSYS) {
    XattrFile file(I32(info, 0), path.c_str());
    n = file.fd() < 0 ? -1 : flistxattr(file.fd(), list, to.length);
  }
  return Result(info.Env(), n);
}

// attributesSize(fd) → bytes of the names of all extended attributes of an open file.
Napi::Value JsAttributesSize(const Info& info) {
  return Result(info.Env(), flistxattr(I32(info, 0), nullptr, 0));
}

Napi::Value JsRemovexattr(const Info& info) {
  Path path(info, 1), name(info, 2);
  if (path.error() != 0) return Num(info.Env(), -path.error());
  if (name.error() != 0) return Num(info.Env(), -name.error());
  long n = syscall(SYS_removexattrat, I32(info, 0), path.c_str(), 0, name.c_str());
  if (n < 0 && errno == ENOSYS) {
    XattrFile file(I32(info, 0), path.c_str());
    n = file.fd() < 0 ? -1 : fremovexattr(file.fd(), name.c_str());
  }
  return Result(info.Env(), n);
}

}  // namespace

void RegisterAttributes(Napi::Env env, Napi::Object exports) {
  Export<JsStatx>(env, exports, "statx");
  Export<JsStatFd>(env, exports, "statFd");
  Export<JsReadlinkat>(env, exports, "readlinkat");
  Export<JsFchmodat2>(env, exports, "fchmodat2");
  Export<JsFchmodat>(env, exports, "fchmodat");
  Export<JsFchownat>(env, exports, "fchownat");
  Export<JsUtimensat>(env, exports, "utimensat");
  Export<JsFstatfs>(env, exports, "fstatfs");
  Export<JsGetxattr>(env, exports, "getxattr");
  Export<JsSetxattr>(env, exports, "setxattr");
  Export<JsListxattr>(env, exports, "listxattr");
  Export<JsAttributesSize>(env, exports, "attributesSize");
  Export<JsRemovexattr>(env, exports, "removexattr");
}

}  // namespace portcullis
