// Pseudo-terminals of the host, for engines that hold a container's terminal themselves.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "addon.h"

namespace portcullis {

// openPty(fds): a new pair into an Int32Array, master first. The slave is raw: the sandbox's own terminal
// does the line editing.
static Napi::Value OpenPty(const Napi::CallbackInfo& info) {
  auto fds = info[0].As<Napi::Int32Array>();
  if (fds.ElementLength() < 2) return Num(info.Env(), -EINVAL);
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return Result(info.Env(), -1);
  int unlock = 0;
  int slave = -1;
  termios settings;
  if (ioctl(master, TIOCSPTLCK, &unlock) == 0)
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  bool ok = slave >= 0 && tcgetattr(slave, &settings) == 0;
  if (ok) {
    cfmakeraw(&settings);
    ok = tcsetattr(slave, TCSANOW, &settings) == 0;
  }
  if (!ok) {
    int error = errno;
    close(master);
    if (slave >= 0) close(slave);
    return Num(info.Env(), -error);
  }
  fds[0] = master;
  fds[1] = slave;
  return Num(info.Env(), 0);
}

void RegisterPty(Napi::Env env, Napi::Object exports) {
  exports.Set("openPty", Napi::Function::New<OpenPty>(env));
}

}  // namespace portcullis
