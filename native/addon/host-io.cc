#include "addon.h"

namespace portcullis {

void RegisterHostIo(Napi::Env, Napi::Object) {}

}  // namespace portcullis
