#include "addon.h"

namespace portcullis {

void RegisterSandbox(Napi::Env, Napi::Object) {}

}  // namespace portcullis
