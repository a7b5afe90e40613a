// The fixed record in which file attributes travel: from native code to JavaScript, and over the gofer's
// wire as it is. native/host-file.ts has the offsets.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>

namespace portcullis {

struct StatRecord {
  uint64_t ino;
  uint64_t size;
  uint64_t blocks;
  int64_t atime, mtime, ctime, btime;
  uint32_t atimeNsec, mtimeNsec, ctimeNsec, btimeNsec;
  uint32_t mode, nlink, uid, gid, blksize;
  uint32_t devMajor, devMinor, rdevMajor, rdevMinor;
  // For a symlink whose target follows the record: its length, else 0 or kTargetNotInline.
  uint16_t targetLength;
  uint16_t zero;
};
static_assert(sizeof(StatRecord) == 112);

// Targets up to this long are sent along with the attributes.
constexpr size_t kInlineTarget = 1024;
constexpr uint16_t kTargetNotInline = 0xffff;

inline int ReadStat(int dirFd, const char* path, int flags, StatRecord* to) {
  struct statx s;
  if (statx(dirFd, path, flags | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &s) < 0)
    return -1;
  const bool born = (s.stx_mask & STATX_BTIME) != 0;
  *to = {
      s.stx_ino, s.stx_size, s.stx_blocks,
      s.stx_atime.tv_sec, s.stx_mtime.tv_sec, s.stx_ctime.tv_sec, born ? s.stx_btime.tv_sec : 0,
      s.stx_atime.tv_nsec, s.stx_mtime.tv_nsec, s.stx_ctime.tv_nsec,
      born ? s.stx_btime.tv_nsec : 0,
      s.stx_mode, s.stx_nlink, s.stx_uid, s.stx_gid, s.stx_blksize,
      s.stx_dev_major, s.stx_dev_minor, s.stx_rdev_major, s.stx_rdev_minor,
      0, 0,
  };
  return 0;
}

// Reads a symlink's target to `to`, which has room for kInlineTarget bytes. Returns its length, or
// kTargetNotInline for a longer one or one that cannot be read.
inline uint16_t ReadTarget(int dirFd, const char* path, char* to) {
  char buffer[kInlineTarget + 1];
  ssize_t n = readlinkat(dirFd, path, buffer, sizeof buffer);
  if (n < 0 || static_cast<size_t>(n) > kInlineTarget) return kTargetNotInline;
  __builtin_memcpy(to, buffer, static_cast<size_t>(n));
  return static_cast<uint16_t>(n);
}

}  // namespace portcullis
