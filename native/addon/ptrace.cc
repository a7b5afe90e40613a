// The exports of the ptrace platform.
#include "ptrace.h"

#include "platform-exports.h"

namespace portcullis {

void RegisterPtrace(Napi::Env env, Napi::Object exports) {
  PlatformExports<ptrace::Platform>::Register(env, exports, "ptrace");
}

}  // namespace portcullis
