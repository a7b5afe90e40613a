// The exports of the systrap platform.
#include "systrap.h"

#include "platform-exports.h"

namespace portcullis {

void RegisterSystrap(Napi::Env env, Napi::Object exports) {
  PlatformExports<systrap::Platform>::Register(env, exports, "systrap");
}

}  // namespace portcullis
