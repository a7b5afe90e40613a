// Descriptors over a fork: event queues, wake-ups and pipes that Node has for itself are replaced by new ones.
#include <dirent.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "fork.h"

namespace portcullis::fork {
namespace {

FILE* OpenInfo(int fd) { return fopen(("/proc/self/fdinfo/" + std::to_string(fd)).c_str(), "re"); }

/// A wake-up that has not been heeded yet: libuv sends no second one.
unsigned CountOf(int fd) {
  FILE* info = OpenInfo(fd);
  if (info == nullptr) return 0;
  unsigned count = 0;
  char line[256];
  while (fgets(line, sizeof line, info) != nullptr && sscanf(line, "eventfd-count: %x", &count) != 1) {
  }
  fclose(info);
  return count;
}

std::vector<Own::Watched> WatchedBy(int fd) {
  std::vector<Own::Watched> found;
  FILE* info = OpenInfo(fd);
  if (info == nullptr) return found;
  char line[256];
  while (fgets(line, sizeof line, info) != nullptr) {
    int target;
    unsigned events;
    unsigned long long data;
    if (sscanf(line, "tfd: %d events: %x data: %llx", &target, &events, &data) != 3) continue;
    epoll_event event = {};
    event.events = events;
    event.data.u64 = data;
    found.push_back({target, event});
  }
  fclose(info);
  return found;
}

bool Replace(int fd, int by) {
  if (by < 0) return false;
  const bool done = dup3(by, fd, O_CLOEXEC) >= 0;
  close(by);
  return done;
}

bool ReplacePipe(const Own& own) {
  int ends[2];
  const int flags = fcntl(own.fd, F_GETFL) & O_NONBLOCK;
  if (pipe2(ends, O_CLOEXEC | flags) < 0) return false;
  const char zeros[16] = {};
  const size_t waiting = own.waiting < sizeof zeros ? own.waiting : sizeof zeros;
  if (write(ends[1], zeros, waiting) != static_cast<ssize_t>(waiting)) return false;
  return Replace(own.fd, ends[0]) && Replace(own.other, ends[1]);
}

bool ReplacePoll(const Own& own) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  if (poll < 0) return false;
  for (Own::Watched watched : own.watched) epoll_ctl(poll, EPOLL_CTL_ADD, watched.fd, &watched.event);
  return Replace(own.fd, poll);
}

}  // namespace

std::vector<Own> ListDescriptors(bool* usable) {
  std::vector<Own> list;
  std::vector<std::string> names;
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return list;
  while (const dirent* entry = readdir(dir)) {
    const int fd = atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd <= STDERR_FILENO || fd == dirfd(dir)) continue;
    char target[64] = {};
    if (readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1) < 0) continue;
    const std::string name = target;
    // Its operations would pass no filter of ours: start.c has seen to it that there is none.
    if (name == "anon_inode:[io_uring]") *usable = false;
    Own own = {Own::kClosed, fd, -1, 0, {}};
    if (name == "anon_inode:[eventfd]") {
      own.kind = Own::kEvent;
      own.waiting = CountOf(fd);
    }
    if (name == "anon_inode:[eventpoll]") {
      own.kind = Own::kPoll;
      own.watched = WatchedBy(fd);
    }
    if (name.rfind("pipe:", 0) == 0 && fd >= kAboveFixed) {
      for (size_t i = 0; i < list.size(); i++) {
        if (names[i] != name || list[i].kind != Own::kClosed || list[i].fd < kAboveFixed) continue;
        // libuv has the reading end first.
        list[i].kind = Own::kPipe;
        list[i].other = fd;
        ioctl(list[i].fd, FIONREAD, &list[i].waiting);
      }
    }
    // Those below are the caller's, whatever they are: start.c has reserved the numbers.
    if (fd < kAboveFixed) own.kind = Own::kClosed;
    list.push_back(own);
    names.push_back(name);
  }
  closedir(dir);
  return list;
}

bool ReplaceDescriptors(const std::vector<Own>& list, const std::vector<int>& kept) {
  for (const Own& own : list) {
    bool stays = false;
    for (int fd : kept) stays |= fd == own.fd;
    bool is_end = false;
    for (const Own& pipe : list) is_end |= pipe.kind == Own::kPipe && pipe.other == own.fd;
    if (own.kind == Own::kClosed && own.fd >= kAboveFixed && !stays && !is_end) close(own.fd);
    if (own.kind == Own::kEvent && !Replace(own.fd, eventfd(own.waiting, EFD_CLOEXEC | EFD_NONBLOCK))) return false;
    if (own.kind == Own::kPipe && !ReplacePipe(own)) return false;
  }
  // Last: they watch the others.
  for (const Own& own : list)
    if (own.kind == Own::kPoll && !ReplacePoll(own)) return false;
  return true;
}

}  // namespace portcullis::fork
