// Sockets of the host's network stack, for --network=host. All are close-on-exec and nonblocking: the kernel waits in
// its event loop, never in a call.
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "descriptors.h"
#include "host-file.h"

namespace portcullis {
namespace {

using Info = Napi::CallbackInfo;

// The first `length` bytes of a Uint8Array argument; null with length 0 when it has fewer.
Bytes Prefix(const Info& info, size_t array, size_t length) {
  auto a = info[array].As<Napi::Uint8Array>();
  uint64_t n = static_cast<uint64_t>(I64(info, length));
  if (n > a.ByteLength()) {
    Napi::RangeError::New(info.Env(), "length beyond the array").ThrowAsJavaScriptException();
    return {nullptr, 0};
  }
  return {a.Data(), n};
}

const sockaddr* Address(const Bytes& b) { return reinterpret_cast<const sockaddr*>(b.data); }

// socketOpen(family, type, protocol)
Napi::Value JsSocketOpen(const Info& info) {
  int type = I32(info, 1) | SOCK_CLOEXEC | SOCK_NONBLOCK;
  return Result(info.Env(), BelowCeiling(socket(I32(info, 0), type, I32(info, 2))));
}

// socketBind(fd, address, length)
Napi::Value JsSocketBind(const Info& info) {
  Bytes a = Prefix(info, 1, 2);
  return Result(info.Env(), bind(I32(info, 0), Address(a), static_cast<socklen_t>(a.length)));
}

Napi::Value JsSocketConnect(const Info& info) {
  Bytes a = Prefix(info, 1, 2);
  return Result(info.Env(), connect(I32(info, 0), Address(a), static_cast<socklen_t>(a.length)));
}

Napi::Value JsSocketListen(const Info& info) {
  return Result(info.Env(), listen(I32(info, 0), I32(info, 1)));
}

Napi::Value JsSocketShutdown(const Info& info) {
  return Result(info.Env(), shutdown(I32(info, 0), I32(info, 1)));
}

// What a call that fills an address needs: socketX(fd, address, lengths), where lengths[0] gets its length.
struct AddressOut {
  explicit AddressOut(const Info& info)
      : bytes(info[1].As<Napi::Uint8Array>()), lengths(info[2].As<Napi::Int32Array>()) {
    size = static_cast<socklen_t>(bytes.ByteLength());
  }
  sockaddr* address() { return reinterpret_cast<sockaddr*>(bytes.Data()); }
  Napi::Value finish(const Info& info, int64_t r) {
    if (lengths.ElementLength() > 0) lengths.Data()[0] = r < 0 ? 0 : static_cast<int32_t>(size);
    return Result(info.Env(), r);
  }
  Napi::Uint8Array bytes;
  Napi::Int32Array lengths;
  socklen_t size;
};

Napi::Value JsSocketAccept(const Info& info) {
  AddressOut out(info);
  int fd = accept4(I32(info, 0), out.address(), &out.size, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return out.finish(info, BelowCeiling(fd));
}

Napi::Value JsSocketName(const Info& info) {
  AddressOut out(info);
  return out.finish(info, getsockname(I32(info, 0), out.address(), &out.size));
}

Napi::Value JsSocketPeer(const Info& info) {
  AddressOut out(info);
  return out.finish(info, getpeername(I32(info, 0), out.address(), &out.size));
}

// socketSend(fd, bytes, at, length, flags)
Napi::Value JsSocketSend(const Info& info) {
  Bytes from = Window(info, 1, 2, 3);
  int flags = I32(info, 4) | MSG_DONTWAIT | MSG_NOSIGNAL;
  return Result(info.Env(), send(I32(info, 0), from.data, from.length, flags));
}

// socketReceive(fd, bytes, at, length, flags)
Napi::Value JsSocketReceive(const Info& info) {
  Bytes to = Window(info, 1, 2, 3);
  return Result(info.Env(),
                recv(I32(info, 0), to.data, to.length, I32(info, 4) | MSG_DONTWAIT));
}

// socketSendMessage(fd, bytes, length, flags, address, addressLength, control, controlLength)
Napi::Value JsSocketSendMessage(const Info& info) {
  Bytes data = Prefix(info, 1, 2);
  Bytes address = Prefix(info, 4, 5);
  Bytes control = Prefix(info, 6, 7);
  iovec iov = {data.data, data.length};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (address.length > 0) {
    message.msg_name = address.data;
    message.msg_namelen = static_cast<socklen_t>(address.length);
  }
  if (control.length > 0) {
    message.msg_control = control.data;
    message.msg_controllen = control.length;
  }
  int flags = I32(info, 3) | MSG_DONTWAIT | MSG_NOSIGNAL;
  return Result(info.Env(), sendmsg(I32(info, 0), &message, flags));
}

// socketReceiveMessage(fd, bytes, length, flags, address, control, controlRoom, out): out gets the lengths of
// address and control messages, and msg_flags.
Napi::Value JsSocketReceiveMessage(const Info& info) {
  Bytes data = Prefix(info, 1, 2);
  auto address = info[4].As<Napi::Uint8Array>();
  Bytes control = Prefix(info, 5, 6);
  auto out = info[7].As<Napi::Int32Array>();
  if (out.ElementLength() < 3) return Num(info.Env(), -EINVAL);
  iovec iov = {data.data, data.length};
  msghdr message = {};
  message.msg_name = address.Data();
  message.msg_namelen = static_cast<socklen_t>(address.ByteLength());
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control.length > 0 ? control.data : nullptr;
  message.msg_controllen = control.length;
  ssize_t n = recvmsg(I32(info, 0), &message, I32(info, 3) | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n >= 0) {
    out.Data()[0] = static_cast<int32_t>(message.msg_namelen);
    out.Data()[1] = static_cast<int32_t>(message.msg_controllen);
    out.Data()[2] = message.msg_flags;
  }
  return Result(info.Env(), n);
}

// socketSetOption(fd, level, name, value, length)
Napi::Value JsSocketSetOption(const Info& info) {
  Bytes value = Prefix(info, 3, 4);
  return Result(info.Env(), setsockopt(I32(info, 0), I32(info, 1), I32(info, 2), value.data,
                                       static_cast<socklen_t>(value.length)));
}

// socketGetOption(fd, level, name, value, room): the option's length.
Napi::Value JsSocketGetOption(const Info& info) {
  Bytes value = Prefix(info, 3, 4);
  socklen_t length = static_cast<socklen_t>(value.length);
  int r = getsockopt(I32(info, 0), I32(info, 1), I32(info, 2), value.data, &length);
  return Result(info.Env(), r < 0 ? r : static_cast<int64_t>(length));
}

// socketNumber(fd, request): the int that FIONREAD, SIOCOUTQ and SIOCATMARK tell.
Napi::Value JsSocketNumber(const Info& info) {
  int value = 0;
  int r = ioctl(I32(info, 0), static_cast<unsigned long>(U32(info, 1)), &value);
  return Result(info.Env(), r < 0 ? r : value);
}

// interfaceRequest(fd, request, ifreq): netdevice(7), in place.
Napi::Value JsInterfaceRequest(const Info& info) {
  auto request = info[2].As<Napi::Uint8Array>();
  if (request.ByteLength() < sizeof(ifreq)) return Num(info.Env(), -EINVAL);
  return Result(info.Env(),
                ioctl(I32(info, 0), static_cast<unsigned long>(U32(info, 1)), request.Data()));
}

// interfaceList(fd, bytes, room): SIOCGIFCONF; the bytes that there are (or would be, with room 0).
Napi::Value JsInterfaceList(const Info& info) {
  Bytes to = Prefix(info, 1, 2);
  ifconf list = {};
  list.ifc_len = static_cast<int>(to.length);
  list.ifc_buf = to.length > 0 ? reinterpret_cast<char*>(to.data) : nullptr;
  int r = ioctl(I32(info, 0), SIOCGIFCONF, &list);
  return Result(info.Env(), r < 0 ? r : list.ifc_len);
}

}  // namespace

void RegisterSockets(Napi::Env env, Napi::Object exports) {
  Export<JsSocketOpen>(env, exports, "socketOpen");
  Export<JsSocketBind>(env, exports, "socketBind");
  Export<JsSocketConnect>(env, exports, "socketConnect");
  Export<JsSocketListen>(env, exports, "socketListen");
  Export<JsSocketShutdown>(env, exports, "socketShutdown");
  Export<JsSocketAccept>(env, exports, "socketAccept");
  Export<JsSocketName>(env, exports, "socketName");
  Export<JsSocketPeer>(env, exports, "socketPeer");
  Export<JsSocketSend>(env, exports, "socketSend");
  Export<JsSocketReceive>(env, exports, "socketReceive");
  Export<JsSocketSendMessage>(env, exports, "socketSendMessage");
  Export<JsSocketReceiveMessage>(env, exports, "socketReceiveMessage");
  Export<JsSocketSetOption>(env, exports, "socketSetOption");
  Export<JsSocketGetOption>(env, exports, "socketGetOption");
  Export<JsSocketNumber>(env, exports, "socketNumber");
  Export<JsInterfaceRequest>(env, exports, "interfaceRequest");
  Export<JsInterfaceList>(env, exports, "interfaceList");
}

}  // namespace portcullis
