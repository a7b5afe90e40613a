// Directories of the host: their entries, and the calls that add, remove and rename them.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "directory-page.h"
#include "host-file.h"

#ifndef SYS_listxattrat
#define SYS_listxattrat 465
#endif

namespace portcullis {
namespace {

using Info = Napi::CallbackInfo;

struct LinuxDirent {
  uint64_t ino;
  uint64_t next;
  uint16_t reclen;
  uint8_t type;
  char name[];
};
constexpr size_t kDirentHeader = 19;
constexpr int kMaxScanned = 8192;

bool IsDots(const char* name) {
  return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

// Whether it is certain that the entry has no extended attributes of any kind. Not known before Linux 6.13.
bool IsBare(int dirFd, const char* name) {
  long n = syscall(SYS_listxattrat, dirFd, name, AT_SYMLINK_NOFOLLOW, nullptr, 0);
  return n == 0 || (n < 0 && errno == EOPNOTSUPP);
}

// Writes one entry, padded to 8 bytes. Returns its size, 0 when the entry is gone or cannot be told.
size_t PutEntry(int dirFd, const LinuxDirent* dirent, bool xattrs, uint8_t* out) {
  size_t length = strnlen(dirent->name, dirent->reclen - kDirentHeader);
  if (length == 0 || length > NAME_MAX || IsDots(dirent->name)) return 0;
  EntryHeader head;
  head.next = dirent->next;
  head.nameLength = static_cast<uint16_t>(length);
  head.flags = 0;
  if (ReadStat(dirFd, dirent->name, AT_SYMLINK_NOFOLLOW, &head.stat) < 0) return 0;
  if (xattrs && IsBare(dirFd, dirent->name)) head.flags = kEntryBare;
  uint8_t* target = out + kEntryHeader + length;
  if (S_ISLNK(head.stat.mode)) {
    head.stat.targetLength = ReadTarget(dirFd, dirent->name, reinterpret_cast<char*>(target));
  }
  memcpy(out, &head, kEntryHeader);
  memcpy(out + kEntryHeader, dirent->name, length);
  return EntrySize(head);
}

// listDirectory(fd, out, at, cookieLow, cookieHigh, xattrs) → bytes written at `at`: a page of entries with
// their attributes, from the position `cookie` on. "." and ".." are left out.
Napi::Value JsListDirectory(const Info& info) {
  int fd = I32(info, 0);
  auto array = info[1].As<Napi::Uint8Array>();
  size_t at = static_cast<size_t>(I64(info, 2));
  if (at > array.ByteLength() || array.ByteLength() - at < sizeof(PageHeader) + kMaxEntry)
    return Num(info.Env(), -EINVAL);
  uint64_t cookie = U32(info, 3) | static_cast<uint64_t>(U32(info, 4)) << 32;
  const bool xattrs = U32(info, 5) != 0;
  if (lseek(fd, static_cast<off_t>(cookie), SEEK_SET) < 0) return Result(info.Env(), -1);

  uint8_t* page = array.Data() + at;
  const size_t limit = array.ByteLength() - at;
  PageHeader header = {0, 0};
  size_t used = sizeof header;
  bool full = false;
  alignas(8) uint8_t buffer[32768];
  while (!full) {
    // A record is at most some six times its dirent: ask for no more than is likely to fit.
    size_t want = std::min(sizeof buffer, std::max<size_t>((limit - used) / 6, 512));
    long got = syscall(SYS_getdents64, fd, buffer, want);
    if (got < 0) {
      if (header.entries > 0) break;  // what has been read is delivered first
      return Result(info.Env(), -1);
    }
    if (got == 0) {
      header.complete = 1;
      break;
    }
    for (long i = 0; i < got;) {
      if (limit - used < kMaxEntry) {
        full = true;
        break;
      }
      auto* dirent = reinterpret_cast<const LinuxDirent*>(buffer + i);
      size_t size = PutEntry(fd, dirent, xattrs, page + used);
      used += size;
      header.entries += size != 0;
      i += dirent->reclen;
    }
    full = full || limit - used < kMaxEntry;
  }
  memcpy(page, &header, sizeof header);
  return Num(info.Env(), static_cast<double>(used));
}

// attributedEntries(fd, out, at) → bytes written at `at`: the names of the entries that have extended attributes, each with
// a NUL at its end. -ENOSYS before Linux 6.13, -E2BIG for a directory that is too large for one answer.
Napi::Value JsAttributedEntries(const Info& info) {
  int fd = I32(info, 0);
  auto array = info[1].As<Napi::Uint8Array>();
  size_t at = static_cast<size_t>(I64(info, 2));
  if (at > array.ByteLength()) return Num(info.Env(), -EINVAL);
  uint8_t* out = array.Data() + at;
  const size_t limit = array.ByteLength() - at;
  size_t used = 0;
  int entries = 0;
  alignas(8) uint8_t buffer[32768];
  for (;;) {
    long got = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
    if (got < 0) return Result(info.Env(), -1);
    if (got == 0) return Num(info.Env(), static_cast<double>(used));
    for (long i = 0; i < got;) {
      auto* dirent = reinterpret_cast<const LinuxDirent*>(buffer + i);
      i += dirent->reclen;
      size_t length = strnlen(dirent->name, dirent->reclen - kDirentHeader);
      if (length == 0 || IsDots(dirent->name)) continue;
      if (++entries > kMaxScanned) return Num(info.Env(), -E2BIG);
      long n = syscall(SYS_listxattrat, fd, dirent->name, AT_SYMLINK_NOFOLLOW, nullptr, 0);
      if (n < 0 && errno == ENOSYS) return Result(info.Env(), -1);
      // An error (but not a file system without attributes) is for whoever asks for this file to see.
      if (n == 0 || (n < 0 && errno == EOPNOTSUPP)) continue;
      if (limit - used < length + 1) return Num(info.Env(), -E2BIG);
      memcpy(out + used, dirent->name, length);
      out[used + length] = 0;
      used += length + 1;
    }
  }
}

// getdents64(fd, bytes, at, length): the kernel's own records.
Napi::Value JsGetdents64(const Info& info) {
  Bytes to = Window(info, 1, 2, 3);
  if (to.data == nullptr && info.Env().IsExceptionPending()) return Num(info.Env(), -EINVAL);
  return Result(info.Env(), syscall(SYS_getdents64, I32(info, 0), to.data, to.length));
}

Napi::Value JsMkdirat(const Info& info) {
  Path name(info, 1);
  if (name.error() != 0) return Num(info.Env(), -name.error());
  return Result(info.Env(), mkdirat(I32(info, 0), name.c_str(), U32(info, 2)));
}

// mknodat(dirFd, name, mode, major, minor)
Napi::Value JsMknodat(const Info& info) {
  Path name(info, 1);
  if (name.error() != 0) return Num(info.Env(), -name.error());
  // The system call takes the kernel's 32-bit device number, which bounds both parts.
  uint32_t major = U32(info, 3), minor = U32(info, 4);
  if (major >= 1u << 12 || minor >= 1u << 20) return Num(info.Env(), -EINVAL);
  uint32_t dev = (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
  return Result(info.Env(),
                syscall(SYS_mknodat, I32(info, 0), name.c_str(), U32(info, 2), dev));
}

// symlinkat(target, dirFd, name)
Napi::Value JsSymlinkat(const Info& info) {
  Path target(info, 0), name(info, 2);
  if (target.error() != 0) return Num(info.Env(), -target.error());
  if (name.error() != 0) return Num(info.Env(), -name.error());
  return Result(info.Env(), symlinkat(target.c_str(), I32(info, 1), name.c_str()));
}

// linkat(oldDirFd, oldPath, newDirFd, newName, flags)
Napi::Value JsLinkat(const Info& info) {
  Path from(info, 1), to(info, 3);
  if (from.error() != 0) return Num(info.Env(), -from.error());
  if (to.error() != 0) return Num(info.Env(), -to.error());
  return Result(info.Env(),
                linkat(I32(info, 0), from.c_str(), I32(info, 2), to.c_str(), I32(info, 4)));
}

Napi::Value JsUnlinkat(const Info& info) {
  Path name(info, 1);
  if (name.error() != 0) return Num(info.Env(), -name.error());
  return Result(info.Env(), unlinkat(I32(info, 0), name.c_str(), I32(info, 2)));
}

// renameat2(oldDirFd, oldName, newDirFd, newName, flags)
Napi::Value JsRenameat2(const Info& info) {
  Path from(info, 1), to(info, 3);
  if (from.error() != 0) return Num(info.Env(), -from.error());
  if (to.error() != 0) return Num(info.Env(), -to.error());
  // Not through glibc, which makes another call of it when the flags are 0: filters allow just this one.
  return Result(info.Env(), syscall(SYS_renameat2, I32(info, 0), from.c_str(), I32(info, 2),
                                    to.c_str(), U32(info, 4)));
}

}  // namespace

void RegisterDirectories(Napi::Env env, Napi::Object exports) {
  Export<JsListDirectory>(env, exports, "listDirectory");
  Export<JsGetdents64>(env, exports, "getdents64");
  Export<JsAttributedEntries>(env, exports, "attributedEntries");
  Export<JsMkdirat>(env, exports, "mkdirat");
  Export<JsMknodat>(env, exports, "mknodat");
  Export<JsSymlinkat>(env, exports, "symlinkat");
  Export<JsLinkat>(env, exports, "linkat");
  Export<JsUnlinkat>(env, exports, "unlinkat");
  Export<JsRenameat2>(env, exports, "renameat2");
}

}  // namespace portcullis
