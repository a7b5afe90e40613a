#include "addon.h"

namespace portcullis {

void RegisterHostFile(Napi::Env, Napi::Object) {}

}  // namespace portcullis
