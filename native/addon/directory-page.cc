// Pages of directory entries on the side that has received them: checked once, then searched and turned into the records
// of getdents64(2) without a JavaScript object per entry.
#include <sys/stat.h>

#include <cstring>

#include "directory-page.h"
#include "host-file.h"

namespace portcullis {
namespace {

using Info = Napi::CallbackInfo;

bool IsName(const uint8_t* name, size_t length) {
  if (length == 0 || length > NAME_MAX) return false;
  if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'))) return false;
  return memchr(name, 0, length) == nullptr && memchr(name, '/', length) == nullptr;
}

bool IsSane(const StatRecord& stat) {
  if (stat.size >> 63 != 0 || stat.blocks >> 63 != 0) return false;
  switch (stat.mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
      return true;
    default:
      return false;
  }
}

// The entry at `data`, of which `room` bytes are there: its size, 0 when it is none.
size_t TakeEntry(const uint8_t* data, size_t room, EntryHeader* head) {
  if (room < kEntryHeader) return 0;
  memcpy(head, data, kEntryHeader);
  size_t size = EntrySize(*head);
  return size <= room ? size : 0;
}

// checkPage(bytes, at, end, found): whether a page starts at `at` and ends before `end`. Returns its number of entries, with
// [its end, the offset of its last entry] in `found`; or -EIO.
Napi::Value JsCheckPage(const Info& info) {
  auto array = info[0].As<Napi::Uint8Array>();
  const size_t at = U32(info, 1), end = U32(info, 2);
  auto found = info[3].As<Napi::Uint32Array>();
  const auto bad = Num(info.Env(), -EIO);
  PageHeader header;
  if (end > array.ByteLength() || at > end || end - at < sizeof header) return bad;
  if (found.ElementLength() < 2) return bad;
  const uint8_t* bytes = array.Data();
  memcpy(&header, bytes + at, sizeof header);
  // A page that is empty and not the last would have us ask for ever.
  if (header.complete > 1 || (header.entries == 0 && header.complete == 0)) return bad;
  size_t next = at + sizeof header, last = 0;
  for (uint32_t i = 0; i < header.entries; i++) {
    EntryHeader head;
    size_t size = TakeEntry(bytes + next, end - next, &head);
    if (size == 0 || !IsSane(head.stat)) return bad;
    if (!IsName(bytes + next + kEntryHeader, head.nameLength)) return bad;
    if (head.stat.targetLength > kInlineTarget && head.stat.targetLength != kTargetNotInline)
      return bad;
    last = next;
    next += size;
  }
  found[0] = static_cast<uint32_t>(next);
  found[1] = static_cast<uint32_t>(last);
  return Num(info.Env(), header.entries);
}

// findEntry(bytes, first, end, hint, name): the offset of the entry `name` among those from `first` to `end`, or -ENOENT. The
// search starts at the entry `hint`: names are mostly asked for in their order.
Napi::Value JsFindEntry(const Info& info) {
  auto array = info[0].As<Napi::Uint8Array>();
  const size_t first = U32(info, 1), end = U32(info, 2), hint = U32(info, 3);
  const auto missing = Num(info.Env(), -ENOENT);
  if (end > array.ByteLength() || first > hint || hint > end) return missing;
  Path name(info, 4);
  if (name.error() != 0) return missing;
  const uint8_t* bytes = array.Data();
  const size_t length = strlen(name.c_str());
  size_t at = hint, stop = end;
  bool again = false;
  for (;;) {
    EntryHeader head;
    size_t size = at < stop ? TakeEntry(bytes + at, stop - at, &head) : 0;
    if (size == 0) {
      if (again) return missing;
      // Once more, from the start to where it began.
      again = true;
      at = first;
      stop = hint;
      continue;
    }
    if (head.nameLength == length && memcmp(bytes + at + kEntryHeader, name.c_str(), length) == 0)
      return Num(info.Env(), static_cast<double>(at));
    at += size;
  }
}

struct Dirent {
  uint64_t ino;
  uint64_t next;
  uint16_t size;
  uint8_t type;
};

// Writes one record of getdents64(2), or of getdents(2), which has the type in its last byte.
void PutDirent(uint8_t* out, const Dirent& d, const uint8_t* name, size_t length, bool old) {
  const size_t nameAt = old ? 18 : 19;
  memcpy(out, &d.ino, 8);
  memcpy(out + 8, &d.next, 8);
  memcpy(out + 16, &d.size, 2);
  if (!old) out[18] = d.type;
  memcpy(out + nameAt, name, length);
  memset(out + nameAt + length, 0, d.size - nameAt - length);
  if (old) out[d.size - 1] = d.type;
}

// putDirents(bytes, at, end, position, out, from, capacity, old, left): entries of a page as the records of getdents64(2), as
// many as fit between `from` and `capacity` of `out`. d_off counts from `position`. Returns how many were taken, with [the
// end of the records, the offset of the next entry] in `left`.
Napi::Value JsPutDirents(const Info& info) {
  auto array = info[0].As<Napi::Uint8Array>();
  size_t at = U32(info, 1);
  const size_t end = U32(info, 2);
  uint64_t position = static_cast<uint64_t>(I64(info, 3));
  auto out = info[4].As<Napi::Uint8Array>();
  size_t used = U32(info, 5);
  const size_t capacity = U32(info, 6);
  const bool old = U32(info, 7) != 0;
  auto left = info[8].As<Napi::Uint32Array>();
  if (end > array.ByteLength() || capacity > out.ByteLength() || left.ElementLength() < 2)
    return Num(info.Env(), -EINVAL);
  const uint8_t* bytes = array.Data();
  const size_t fixed = old ? 18 + 2 : 19 + 1;
  uint32_t taken = 0;
  while (at < end && used < capacity) {
    EntryHeader head;
    size_t size = TakeEntry(bytes + at, end - at, &head);
    size_t record = (fixed + head.nameLength + 7) & ~size_t{7};
    if (size == 0 || record > capacity - used) break;
    Dirent dirent = {head.stat.ino, ++position, static_cast<uint16_t>(record),
                     static_cast<uint8_t>((head.stat.mode & S_IFMT) >> 12)};
    PutDirent(out.Data() + used, dirent, bytes + at + kEntryHeader, head.nameLength, old);
    used += record;
    at += size;
    taken++;
  }
  left[0] = static_cast<uint32_t>(used);
  left[1] = static_cast<uint32_t>(at);
  return Num(info.Env(), taken);
}

}  // namespace

void RegisterDirectoryPages(Napi::Env env, Napi::Object exports) {
  Export<JsCheckPage>(env, exports, "checkPage");
  Export<JsFindEntry>(env, exports, "findEntry");
  Export<JsPutDirents>(env, exports, "putDirents");
}

}  // namespace portcullis
