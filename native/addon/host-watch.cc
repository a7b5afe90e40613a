#include "host-watch.h"

#include <errno.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cmath>

namespace portcullis {
namespace {

constexpr int kMaxEpollEvents = 64;

}  // namespace

double NowNs() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

TimeLimit::TimeLimit(double deadlineNs) : limited_(std::isfinite(deadlineNs)) {
  if (!limited_) return;
  double left = std::max(0.0, deadlineNs - NowNs());
  left_.tv_sec = static_cast<time_t>(left / 1e9);
  left_.tv_nsec = static_cast<long>(left - static_cast<double>(left_.tv_sec) * 1e9);
}

bool Readable(int fd) {
  pollfd p = {fd, POLLIN, 0};
  return poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

int HostWatch::open() {
  epoll_ = Fd(epoll_create1(EPOLL_CLOEXEC));
  return epoll_.valid() ? 0 : -errno;
}

int HostWatch::watch(int fd, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.fd = fd;
  if (events == 0) {
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) < 0) return -errno;
    watched_--;
    return 0;
  }
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0) return 0;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return -errno;
  watched_++;
  return 0;
}

int HostWatch::ready(int32_t* fds, int32_t* events, size_t max) const {
  epoll_event ready[kMaxEpollEvents];
  size_t room = std::min<size_t>(max, kMaxEpollEvents);
  if (room == 0) return 0;
  int n = epoll_wait(epoll_.get(), ready, static_cast<int>(room), 0);
  for (int i = 0; i < n; i++) {
    fds[i] = ready[i].data.fd;
    events[i] = static_cast<int32_t>(ready[i].events);
  }
  return std::max(n, 0);
}

bool HostWatch::due(uint64_t now, uint64_t interval) {
  if (now - lastLook_ < interval) return false;
  lastLook_ = now;
  return Readable(epoll_.get());
}

}  // namespace portcullis
