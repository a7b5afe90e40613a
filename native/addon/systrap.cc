#include "addon.h"

namespace portcullis {

void RegisterSystrap(Napi::Env, Napi::Object) {}

}  // namespace portcullis
