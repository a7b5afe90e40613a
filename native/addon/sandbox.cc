// Confinement of this process, step by step. Node's threads exist already when these run, so each step must
// reach all of them: glibc's set*id do by signalling every thread, filters by TSYNC, mounts by CLONE_FS.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <ctime>
#include <string>

#include "addon.h"

// The return address of a handler that is installed without glibc.
extern "C" void portcullis_sigreturn();
__asm__(
    ".text\n.hidden portcullis_sigreturn\n.global portcullis_sigreturn\n"
    "portcullis_sigreturn:\n mov $15, %eax\n syscall\n");

namespace portcullis {
namespace {

constexpr int kLastCapability = 63;

// Make the current directory, which must be a mount point, the root of this mount namespace, and unmount
// what was there before.
int PivotHere() {
  // pivot_root(".", ".") stacks the old root on the new one (pivot_root(2), NOTES).
  if (syscall(SYS_pivot_root, ".", ".") < 0) return -errno;
  if (umount2(".", MNT_DETACH) < 0) return -errno;
  return chdir("/") < 0 ? -errno : 0;
}

// Replace the file system by an empty, read-only tmpfs. Needs a mount namespace of our own.
Napi::Value JsPivotToEmptyRoot(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  // Nothing we do may propagate to the host.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return Num(env, -errno);
  // Any directory will do, the mount hides it; /proc exists wherever a runtime runs.
  if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=555") < 0) {
    return Num(env, -errno);
  }
  if (chdir("/proc") < 0) return Num(env, -errno);
  if (int r = PivotHere(); r < 0) return Num(env, r);
  unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  return Num(env, mount(nullptr, "/", nullptr, flags, nullptr) < 0 ? -errno : 0);
}

// (path): make a directory the root of this mount namespace.
Napi::Value JsPivotTo(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = info[0].As<Napi::String>();
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return Num(env, -errno);
  if (mount(path.c_str(), path.c_str(), nullptr, MS_BIND | MS_REC, nullptr) < 0) return Num(env, -errno);
  if (chdir(path.c_str()) < 0) return Num(env, -errno);
  return Num(env, PivotHere());
}

// All user and group ids, and no supplementary groups. Leaving uid 0 takes every capability from every thread that has
// not said PR_SET_KEEPCAPS.
int SetIds(uid_t uid, gid_t gid) {
  if (setgroups(0, nullptr) < 0) return -errno;
  if (setresgid(gid, gid, gid) < 0) return -errno;
  return setresuid(uid, uid, uid) < 0 ? -errno : 0;
}

// (uid, gid). Afterwards the process is made dumpable again, or it could not reach its stubs' memory.
Napi::Value JsSetIds(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (int r = SetIds(U32(info, 0), U32(info, 1)); r < 0) return Num(env, r);
  return Result(env, prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

// (uid, gid, capabilities): as setIds, but this thread keeps those of the low 32 capabilities that it has. No program
// that it executes gets any of them.
Napi::Value JsSetIdsKeeping(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) return Num(env, -errno);
  if (int r = SetIds(U32(info, 0), U32(info, 1)); r < 0) return Num(env, r);
  if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0) return Num(env, -errno);
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) < 0) return Num(env, -errno);
  data[0].permitted &= U32(info, 2);
  data[1].permitted = 0;
  for (auto& word : data) {
    word.effective = word.permitted;
    word.inheritable = 0;
  }
  if (syscall(SYS_capset, &header, data) < 0) return Num(env, -errno);
  return Result(env, prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

// Write a map of another process.
int WriteMap(pid_t pid, const char* name, const std::string& map) {
  std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  ssize_t n = write(fd, map.data(), map.size());
  int error = errno;
  close(fd);
  if (n < 0) return -error;
  return static_cast<size_t>(n) == map.size() ? 0 : -EINVAL;
}

// (uid map, gid map): a descriptor of a new user namespace. A child lives in it just until the descriptor is open; it
// makes no calls but its last, so that threads of ours do not matter to it.
Napi::Value JsMakeUserNamespace(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string uids = info[0].As<Napi::String>();
  std::string gids = info[1].As<Napi::String>();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return Num(env, -errno);
  // Without an exit signal: nobody else shall wait for it.
  long pid = syscall(SYS_clone, CLONE_NEWUSER, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) {
    char byte;
    syscall(SYS_close, ends[1]);
    syscall(SYS_read, ends[0], &byte, 1);
    syscall(SYS_exit_group, 0);
  }
  int result = pid < 0 ? -errno : 0;
  if (result == 0) result = WriteMap(pid, "uid_map", uids);
  if (result == 0) result = WriteMap(pid, "gid_map", gids);
  if (result == 0) {
    std::string path = "/proc/" + std::to_string(pid) + "/ns/user";
    result = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (result < 0) result = -errno;
  }
  close(ends[0]);
  close(ends[1]);
  if (pid > 0) waitpid(static_cast<pid_t>(pid), nullptr, __WALL);
  return Num(env, result);
}

// What each thread must do by itself, since capset and the bounding set know single threads only.
struct CapabilityChange {
  uint64_t keep;
  std::atomic<int> done;
  std::atomic<int> error;
};
CapabilityChange g_change;

int ChangeCapabilities(uint64_t keep) {
  for (int cap = 0; cap <= kLastCapability; cap++) {
    if (keep >> cap & 1) continue;
    int have = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
    if (have < 0) break;
    if (have == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) return errno;
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) < 0) return errno;
  for (int i = 0; i < 2; i++) {
    uint32_t mask = static_cast<uint32_t>(keep >> (32 * i));
    data[i].permitted &= mask;
    data[i].effective = data[i].permitted;
    data[i].inheritable = 0;
  }
  return syscall(SYS_capset, &header, data) < 0 ? errno : 0;
}

void OnChange(int) {
  int saved = errno;
  int error = ChangeCapabilities(g_change.keep);
  if (error) g_change.error.store(error);
  g_change.done.fetch_add(1);
  errno = saved;
}

// glibc keeps this signal to itself (it runs set*id in all threads by it), so it is the only one that
// V8's and libuv's threads, which block everything that they can, do take.
constexpr int kUnblockable = 33;

// struct sigaction as rt_sigaction(2) has it; glibc's own function refuses this signal.
struct KernelAction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};
constexpr unsigned long kRestorerFlag = 0x04000000;

long SetAction(int signo, const KernelAction* action, KernelAction* before) {
  return syscall(SYS_rt_sigaction, signo, action, before, sizeof action->mask);
}

// Run OnChange in every other thread. Returns how many there are.
int SignalThreads(int taskDir) {
  int fd = openat(taskDir, taskDir < 0 ? "/proc/self/task" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* dir = fd < 0 ? nullptr : fdopendir(fd);
  if (!dir) return -errno;
  pid_t self = static_cast<pid_t>(syscall(SYS_gettid));
  int count = 0;
  while (dirent* entry = readdir(dir)) {
    pid_t tid = atoi(entry->d_name);
    if (tid <= 0 || tid == self) continue;
    if (syscall(SYS_tgkill, getpid(), tid, kUnblockable) == 0) count++;
  }
  closedir(dir);
  return count;
}

// (keepLow, keepHigh, taskDir): every thread keeps only these capabilities, for itself and in its bounding set.
// taskDir is a descriptor of /proc/self/task, opened while there was a /proc; without it (-1) there must be one.
Napi::Value JsDropCapabilities(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr int kTries = 5000;
  g_change.keep = static_cast<uint64_t>(U32(info, 1)) << 32 | U32(info, 0);
  g_change.done.store(0);
  g_change.error.store(0);
  KernelAction action = {OnChange, SA_RESTART | kRestorerFlag, portcullis_sigreturn, ~0ULL};
  KernelAction before = {};
  if (SetAction(kUnblockable, &action, &before) < 0) return Num(env, -errno);
  const int taskDir = info.Length() > 2 ? I32(info, 2) : -1;
  int expected = SignalThreads(taskDir);
  for (int i = 0; i < kTries && expected > 0 && g_change.done.load() < expected; i++) {
    timespec pause = {0, 1'000'000};
    nanosleep(&pause, nullptr);
  }
  if (expected >= 0 && g_change.done.load() < expected) return Num(env, -ETIMEDOUT);
  SetAction(kUnblockable, &before, nullptr);
  if (expected < 0) return Num(env, expected);
  if (int error = g_change.error.load()) return Num(env, -error);
  return Num(env, -ChangeCapabilities(g_change.keep));
}

Napi::Value JsSetNoNewPrivs(const Napi::CallbackInfo& info) {
  return Result(info.Env(), prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

// (filter): install it in every thread. Each must have no_new_privs or all of them CAP_SYS_ADMIN; TSYNC sets
// no_new_privs in the others when we have it.
Napi::Value JsInstallFilter(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto bytes = info[0].As<Napi::Uint8Array>();
  size_t length = bytes.ByteLength();
  if (length == 0 || length % sizeof(sock_filter) || length / sizeof(sock_filter) > BPF_MAXINSNS) {
    return Num(env, -EINVAL);
  }
  std::string copy(reinterpret_cast<const char*>(bytes.Data()), length);
  sock_fprog program = {static_cast<unsigned short>(length / sizeof(sock_filter)),
                        reinterpret_cast<sock_filter*>(copy.data())};
  long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
  // A positive result is a thread that could not be synchronised.
  return r > 0 ? Num(env, -ESRCH) : Result(env, r);
}

// (signo): sent to this process when the thread that made it ends.
Napi::Value JsSetParentDeathSignal(const Napi::CallbackInfo& info) {
  return Result(info.Env(), prctl(PR_SET_PDEATHSIG, I32(info, 0), 0, 0, 0));
}

Napi::Value JsSetDumpable(const Napi::CallbackInfo& info) {
  return Result(info.Env(), prctl(PR_SET_DUMPABLE, I32(info, 0), 0, 0, 0));
}

// (resource, soft, hard): Infinity for none. A hard limit is lowered only: raising needs a capability.
Napi::Value JsSetLimit(const Napi::CallbackInfo& info) {
  auto value = [&](size_t i) {
    double v = info[i].As<Napi::Number>().DoubleValue();
    return v > 9e18 ? RLIM_INFINITY : static_cast<rlim_t>(v);
  };
  rlimit limit = {value(1), value(2)};
  return Result(info.Env(), setrlimit(static_cast<__rlimit_resource>(I32(info, 0)), &limit));
}

}  // namespace

void RegisterSandbox(Napi::Env env, Napi::Object exports) {
  exports.Set("pivotToEmptyRoot", Napi::Function::New<JsPivotToEmptyRoot>(env));
  exports.Set("pivotTo", Napi::Function::New<JsPivotTo>(env));
  exports.Set("makeUserNamespace", Napi::Function::New<JsMakeUserNamespace>(env));
  exports.Set("setIds", Napi::Function::New<JsSetIds>(env));
  exports.Set("setIdsKeeping", Napi::Function::New<JsSetIdsKeeping>(env));
  exports.Set("dropCapabilities", Napi::Function::New<JsDropCapabilities>(env));
  exports.Set("setNoNewPrivs", Napi::Function::New<JsSetNoNewPrivs>(env));
  exports.Set("installFilter", Napi::Function::New<JsInstallFilter>(env));
  exports.Set("setParentDeathSignal", Napi::Function::New<JsSetParentDeathSignal>(env));
  exports.Set("setDumpable", Napi::Function::New<JsSetDumpable>(env));
  exports.Set("setLimit", Napi::Function::New<JsSetLimit>(env));
}

}  // namespace portcullis
