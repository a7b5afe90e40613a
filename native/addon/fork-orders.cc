// What runsc sends to the processes that it has forked: descriptors, and text.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "fork.h"

namespace portcullis::fork {
namespace {

constexpr int kMaxFds = 253;

/// One message: descriptors, and text that begins with "+" when more follow. False when the peer is gone.
bool ReceivePart(int socket, Orders* orders, bool* last) {
  static char text[1 << 17];
  struct iovec iov = {text, sizeof text};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n <= 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return false;
  for (auto* h = CMSG_FIRSTHDR(&message); h != nullptr; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
      const int above = fcntl(fd, F_DUPFD_CLOEXEC, kAboveFixed);
      close(fd);
      if (above < 0) return false;
      orders->fds.push_back(above);
    }
  }
  *last = text[0] != '+';
  orders->text.assign(text + 1, static_cast<size_t>(n) - 1);
  return true;
}

}  // namespace

bool Receive(int socket, Orders* orders) {
  for (bool last = false; !last;)
    if (!ReceivePart(socket, orders, &last)) return false;
  return true;
}

bool Place(Orders* orders, size_t count) {
  if (count > kAboveFixed || count > orders->fds.size()) return false;
  if (count < kAboveFixed) syscall(SYS_close_range, static_cast<unsigned>(count), kAboveFixed - 1U, 0);
  for (size_t i = 0; i < count; i++) {
    if (dup2(orders->fds[i], static_cast<int>(i)) < 0) return false;
    close(orders->fds[i]);
    orders->fds[i] = static_cast<int>(i);
  }
  return true;
}

}  // namespace portcullis::fork
