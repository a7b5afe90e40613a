// A mount of overlayfs that is nowhere in a tree of the host. mount(2) takes options of a page, where fsconfig(2) takes paths of 256
// bytes only; so it is mounted in a mount namespace of its own, by a short-lived child that shares our memory and descriptors.
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "host-file.h"

namespace portcullis {
namespace {

constexpr int kMostCopies = 2;
// Any directory will do, the mount is seen by nobody; this one exists wherever a runtime runs.
constexpr char kPlace[] = "/proc";

struct Overlay {
  const char* options;
  int copies;
  int fds[kMostCopies];
  int error;
};

int Mount(Overlay* overlay) {
  if (unshare(CLONE_NEWNS) < 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return errno;
  if (mount("overlay", kPlace, "overlay", 0, overlay->options) < 0) return errno;
  for (int i = 0; i < overlay->copies; i++) {
    const long fd = syscall(SYS_open_tree, AT_FDCWD, kPlace, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0) return errno;
    overlay->fds[i] = static_cast<int>(fd);
  }
  return 0;
}

// We stand still until it has ended: its memory is ours.
int Child(void* argument) {
  auto* overlay = static_cast<Overlay*>(argument);
  overlay->error = Mount(overlay);
  _exit(0);
}

// mountOverlay(options, fds): as many descriptors of the new mount as there is room for in an Int32Array; 0 or -errno.
Napi::Value JsMountOverlay(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Path options(info, 0);
  if (options.error() != 0) return Num(env, -options.error());
  auto into = info[1].As<Napi::Int32Array>();
  Overlay overlay = {options.c_str(), 0, {-1, -1}, 0};
  while (overlay.copies < kMostCopies && overlay.copies < static_cast<int>(into.ElementLength())) overlay.copies++;
  alignas(16) static char stack[64 * 1024];
  const int child = clone(Child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES, &overlay);
  if (child < 0) return Num(env, -errno);
  while (waitpid(child, nullptr, __WALL) < 0 && errno == EINTR) continue;
  for (int i = 0; i < overlay.copies; i++) {
    if (overlay.error != 0 && overlay.fds[i] >= 0) close(overlay.fds[i]);
    into[i] = overlay.error == 0 ? overlay.fds[i] : -1;
  }
  return Num(env, -overlay.error);
}

}  // namespace

void RegisterOverlay(Napi::Env env, Napi::Object exports) {
  Export<JsMountOverlay>(env, exports, "mountOverlay");
}

}  // namespace portcullis
