// A page of directory entries: how listDirectory writes it, how it crosses the gofer's wire, and how the sentry keeps
// it. native/host-file.ts has the same numbers.
#pragma once

#include <climits>

#include "stat-record.h"

namespace portcullis {

struct PageHeader {
  uint32_t entries;
  uint32_t complete;
};
struct EntryHeader {
  uint64_t next;
  StatRecord stat;
  uint16_t nameLength;
  uint16_t flags;
};
constexpr uint16_t kEntryBare = 1;
// Without the structure's padding at its end.
constexpr size_t kEntryHeader = 8 + sizeof(StatRecord) + 4;
constexpr size_t kMaxEntry = (kEntryHeader + NAME_MAX + kInlineTarget + 7) & ~size_t{7};

inline size_t EntrySize(const EntryHeader& head) {
  size_t target = head.stat.targetLength == kTargetNotInline ? 0 : head.stat.targetLength;
  return (kEntryHeader + head.nameLength + target + 7) & ~size_t{7};
}

}  // namespace portcullis
