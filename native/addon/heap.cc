// JavaScript's own heap.
#include <v8.h>

#include "addon.h"

namespace portcullis {
namespace {

// collectGarbage(): find all garbage, and give back to the host what that leaves free, also of what V8 keeps for new objects. This is
// what embedders do when memory is short. To have gc() by a flag of V8 would make everything slower from then on.
Napi::Value JsCollectGarbage(const Napi::CallbackInfo& info) {
  v8::Isolate* isolate = v8::Isolate::GetCurrent();
  isolate->MemoryPressureNotification(v8::MemoryPressureLevel::kCritical);
  isolate->MemoryPressureNotification(v8::MemoryPressureLevel::kNone);
  return Num(info.Env(), 0);
}

}  // namespace

void RegisterHeap(Napi::Env env, Napi::Object exports) {
  exports.Set("collectGarbage", Napi::Function::New<JsCollectGarbage>(env, "collectGarbage"));
}

}  // namespace portcullis
