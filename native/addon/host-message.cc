// Message sockets between the processes of a sandbox, with descriptor passing.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include "host-file.h"

namespace portcullis {
namespace {

using Info = Napi::CallbackInfo;

constexpr size_t kMaxFds = 253;

// socketpair(type, fds): an AF_UNIX pair into an Int32Array.
Napi::Value JsSocketpair(const Info& info) {
  auto fds = info[1].As<Napi::Int32Array>();
  if (fds.ElementLength() < 2) return Num(info.Env(), -EINVAL);
  int pair[2];
  int r = socketpair(AF_UNIX, I32(info, 0) | SOCK_CLOEXEC, 0, pair);
  if (r == 0) {
    fds[0] = pair[0];
    fds[1] = pair[1];
  }
  return Result(info.Env(), r);
}

// setSendBuffer(fd, bytes): a message can be no larger than the sender's buffer.
Napi::Value JsSetSendBuffer(const Info& info) {
  int bytes = I32(info, 1);
  return Result(info.Env(), setsockopt(I32(info, 0), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes));
}

// sendMessage(fd, bytes, at, length, fds, fdCount)
Napi::Value JsSendMessage(const Info& info) {
  Bytes from = Window(info, 1, 2, 3);
  if (from.data == nullptr) return Num(info.Env(), -EINVAL);
  uint32_t count = U32(info, 5);
  struct iovec iov = {from.data, from.length};
  struct msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  alignas(struct cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  if (count > 0) {
    auto fds = info[4].As<Napi::Int32Array>();
    if (count > kMaxFds || count > fds.ElementLength()) return Num(info.Env(), -EINVAL);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds.Data(), count * sizeof(int));
  }
  ssize_t n;
  do n = sendmsg(I32(info, 0), &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return Result(info.Env(), n);
}

// Takes the descriptors out of a received message; those beyond `capacity` are closed.
int TakeFds(struct msghdr* message, int32_t* to, uint32_t capacity) {
  uint32_t count = 0;
  for (auto* h = CMSG_FIRSTHDR(message); h != nullptr; h = CMSG_NXTHDR(message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof fd);
      if (count < capacity) {
        to[count++] = fd;
      } else {
        close(fd);
      }
    }
  }
  return static_cast<int>(count);
}

// recvMessage(fd, bytes, fdsOut) → the message's length, 0 when the peer is gone, -EMSGSIZE when it was
// larger than the array. fdsOut[0] becomes the number of descriptors received, which follow it; an
// array of one element accepts none: the kernel drops them.
Napi::Value JsRecvMessage(const Info& info) {
  auto bytes = info[1].As<Napi::Uint8Array>();
  auto fds = info[2].As<Napi::Int32Array>();
  if (fds.ElementLength() < 1) return Num(info.Env(), -EINVAL);
  const uint32_t capacity =
      static_cast<uint32_t>(std::min<size_t>(fds.ElementLength() - 1, kMaxFds));
  fds.Data()[0] = 0;
  struct iovec iov = {bytes.Data(), bytes.ByteLength()};
  struct msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  alignas(struct cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  if (capacity > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(capacity * sizeof(int));
  }
  ssize_t n;
  do n = recvmsg(I32(info, 0), &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) return Result(info.Env(), n);
  fds.Data()[0] = TakeFds(&message, fds.Data() + 1, capacity);
  if ((message.msg_flags & MSG_TRUNC) != 0) return Num(info.Env(), -EMSGSIZE);
  return Num(info.Env(), static_cast<double>(n));
}

// connect(2) or bind(2).
using AddressCall = int (*)(int, const struct sockaddr*, socklen_t);

int CallHere(AddressCall call, int socketFd, const char* name) {
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (strlen(name) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, name);
  return call(socketFd, reinterpret_cast<struct sockaddr*>(&address), sizeof address);
}

// A socket of type info[2] on which `call` was made with the name info[1] in the directory info[0]. There is no
// connectat(2), so the working directory of the process is moved for the moment.
Napi::Value UnixSocketAt(const Info& info, AddressCall call) {
  Path name(info, 1);
  if (name.error() != 0) return Num(info.Env(), -name.error());
  InDirectory directory(I32(info, 0));
  if (directory.error() != 0) return Num(info.Env(), -directory.error());
  int fd = socket(AF_UNIX, I32(info, 2) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int failure = fd < 0 || CallHere(call, fd, name.c_str()) < 0 ? errno : 0;
  int left = directory.leave();
  if (failure == 0) failure = left;
  if (failure != 0 && fd >= 0) close(fd);
  return Num(info.Env(), failure != 0 ? -failure : fd);
}

// connectUnix(dirFd, name, type): a socket connected to the one that `name` leads to in `dirFd`.
Napi::Value JsConnectUnix(const Info& info) { return UnixSocketAt(info, connect); }

// bindUnix(dirFd, name, type): a socket bound to a new name in `dirFd`.
Napi::Value JsBindUnix(const Info& info) { return UnixSocketAt(info, bind); }

// latin1(bytes, at, length): a string with one character per byte.
Napi::Value JsLatin1(const Info& info) {
  Bytes from = Window(info, 0, 1, 2);
  napi_value string = nullptr;
  napi_create_string_latin1(info.Env(), reinterpret_cast<const char*>(from.data), from.length,
                            &string);
  return Napi::Value(info.Env(), string);
}

}  // namespace

void RegisterMessages(Napi::Env env, Napi::Object exports) {
  Export<JsSocketpair>(env, exports, "socketpair");
  Export<JsSetSendBuffer>(env, exports, "setSendBuffer");
  Export<JsSendMessage>(env, exports, "sendMessage");
  Export<JsRecvMessage>(env, exports, "recvMessage");
  Export<JsConnectUnix>(env, exports, "connectUnix");
  Export<JsBindUnix>(env, exports, "bindUnix");
  Export<JsLatin1>(env, exports, "latin1");
}

}  // namespace portcullis
