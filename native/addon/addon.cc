// The addon's entry point.
#include "addon.h"

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  portcullis::RegisterControl(env, exports);
  portcullis::RegisterFork(env, exports);
  portcullis::RegisterHeap(env, exports);
  portcullis::RegisterPty(env, exports);
  portcullis::RegisterHostFile(env, exports);
  portcullis::RegisterHostIo(env, exports);
  portcullis::RegisterPtrace(env, exports);
  portcullis::RegisterSandbox(env, exports);
  portcullis::RegisterSystrap(env, exports);
  return exports;
}

NODE_API_MODULE(portcullis, Init)
