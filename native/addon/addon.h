// What every file of the addon shares. Each concept lives in one .cc file, which exports its functions from
// a RegisterX(); addon.cc calls them all.
//
// Conventions: exports return a number, >= 0 for success or -errno; they throw only on misuse (a wrong
// argument type). Bytes travel in Uint8Arrays that JavaScript owns, with an offset and a length.
#pragma once

#include <napi.h>

#include <cerrno>
#include <cstdint>

namespace portcullis {

inline Napi::Number Num(Napi::Env env, double v) { return Napi::Number::New(env, v); }

// The result of a host call in the -1/errno convention, as a number or -errno.
inline Napi::Number Result(Napi::Env env, int64_t r) {
  return Num(env, r < 0 ? -static_cast<double>(errno) : static_cast<double>(r));
}

inline int32_t I32(const Napi::CallbackInfo& info, size_t i) {
  return info[i].As<Napi::Number>().Int32Value();
}
inline uint32_t U32(const Napi::CallbackInfo& info, size_t i) {
  return info[i].As<Napi::Number>().Uint32Value();
}
// Addresses, sizes and offsets: doubles that are exact integers below 2^53.
inline int64_t I64(const Napi::CallbackInfo& info, size_t i) {
  return info[i].As<Napi::Number>().Int64Value();
}

// A window of a Uint8Array argument, checked against the array's own bounds.
struct Bytes {
  uint8_t* data;
  size_t length;
};
inline Bytes Window(const Napi::CallbackInfo& info, size_t array, size_t offset, size_t length) {
  auto a = info[array].As<Napi::Uint8Array>();
  uint64_t off = static_cast<uint64_t>(I64(info, offset));
  uint64_t len = static_cast<uint64_t>(I64(info, length));
  if (off > a.ByteLength() || len > a.ByteLength() - off) {
    Napi::RangeError::New(info.Env(), "window outside of array").ThrowAsJavaScriptException();
    return {nullptr, 0};
  }
  return {a.Data() + off, len};
}

void RegisterControl(Napi::Env env, Napi::Object exports);
void RegisterFork(Napi::Env env, Napi::Object exports);
void RegisterHeap(Napi::Env env, Napi::Object exports);
void RegisterHostFile(Napi::Env env, Napi::Object exports);
void RegisterHostIo(Napi::Env env, Napi::Object exports);
void RegisterPty(Napi::Env env, Napi::Object exports);
void RegisterPtrace(Napi::Env env, Napi::Object exports);
void RegisterSandbox(Napi::Env env, Napi::Object exports);
void RegisterSystrap(Napi::Env env, Napi::Object exports);

}  // namespace portcullis
