// One start of Node.js for the three processes of a sandbox. runsc forks while its Node has just started and has
// loaded nothing but this addon: one child becomes the gofer, one the launcher, and a child of that one the sentry.
// A forked process has one thread only; once it is in its namespaces, it makes Node's other threads again, each where the
// original waited. That is a state without surprises: all of them wait for work and hold no lock, or the fork is
// tried again a moment later.
//
// What the children share with runsc they must not be able to use: descriptors of Node's event loops are replaced by
// new ones, all others closed, and the environment and the arguments are wiped.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "addon.h"
#include "fork.h"

namespace portcullis {
namespace {

using namespace fork;

/// Who this process is, and its sockets.
struct Forked {
  pid_t launcher = -1;
  pid_t gofer = -1;
  /// Where runsc sends orders to each.
  int launcher_orders = -1;
  int sentry_orders = -1;
  int gofer_orders = -1;
  /// In a forked process: where it gets them; and the launcher's word to the sentry.
  int orders = -1;
  int link = -1;
};
Forked g_forked;

enum Role { kRunsc = 0, kSentry = 1, kGofer = 2 };

[[noreturn]] void End() { syscall(SYS_exit_group, 128); __builtin_unreachable(); }

void Check(bool good) {
  if (!good) End();
}

/// fork(2) without glibc's handlers, which know of one thread only.
pid_t Fork() {
  return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID, nullptr,
                                    nullptr, TidAddress(__builtin_thread_pointer()), nullptr));
}

/// Where the kernel has our arguments and environment; program name and load.cjs stay for ps(1), followed by `name`.
void WipeArguments(const char* name) {
  FILE* file = fopen("/proc/self/stat", "re");
  char line[2048] = {};
  if (file == nullptr) return;
  const size_t length = fread(line, 1, sizeof line - 1, file);
  fclose(file);
  line[length] = 0;
  const char* at = strrchr(line, ')');
  // arg_start is field 48; what follows the parenthesis is field 3.
  for (int field = 2; at != nullptr && field < 48; field++) at = strchr(at + 1, ' ');
  unsigned long arguments, arguments_end, environment, environment_end;
  if (at == nullptr || sscanf(at, "%lu %lu %lu %lu", &arguments, &arguments_end, &environment, &environment_end) != 4)
    return;
  memset(reinterpret_cast<void*>(environment), 0, environment_end - environment);
  static char* none[] = {nullptr};
  environ = none;
  auto* start = reinterpret_cast<char*>(arguments);
  auto* end = reinterpret_cast<char*>(arguments_end);
  char* word = start;
  while (word < end && strstr(word, "load.cjs") == nullptr) word += strlen(word) + 1;
  if (word < end) word += strlen(word) + 1;
  if (word >= end) return;
  memset(word, 0, static_cast<size_t>(end - word));
  if (strlen(name) < static_cast<size_t>(end - word)) strcpy(word, name);
}

/// What was the caller's below `end` is nothing now.
void Silence(int end) {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  Check(null >= 0);
  for (int fd = 0; fd < end; fd++) Check(dup2(null, fd) >= 0);
  if (null >= end) close(null);
}

void Unblock() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}


/// A mount namespace of our own and others; what is mounted does not reach the host.
bool EnterNamespaces(int others) {
  return unshare(CLONE_NEWNS | others) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

/// The launcher's program stays small: it takes the place of this copy as soon as its orders are there. They are its
/// arguments, and descriptors that it has from 4 on; its child's socket is 3.
[[noreturn]] void BecomeLauncher(int orders_fd, int link, pid_t child) {
  Orders orders;
  if (!Receive(orders_fd, &orders)) End();
  std::vector<int> fds = {0, 1, 2, link};
  fds.insert(fds.end(), orders.fds.begin(), orders.fds.end());
  const int end = static_cast<int>(fds.size());
  for (int& fd : fds)
    if (fd >= 3 && fd < end) Check((fd = fcntl(fd, F_DUPFD_CLOEXEC, end)) >= 0);
  for (int i = 3; i < end; i++) Check(dup2(fds[i], i) >= 0);
  syscall(SYS_close_range, static_cast<unsigned>(end), ~0U, 0);
  std::string pid = std::to_string(child);
  std::vector<char*> arguments;
  orders.text.push_back(0);
  for (size_t at = 0; at + 1 < orders.text.size(); at += strlen(orders.text.c_str() + at) + 1)
    arguments.push_back(orders.text.data() + at);
  if (arguments.empty()) End();
  char flag[] = "--child";
  arguments.insert(arguments.begin() + 1, {flag, pid.data()});
  arguments.push_back(nullptr);
  char* none[] = {nullptr};
  execve(arguments[0], arguments.data(), none);
  End();
}

/// In the new sentry: nothing of it may outlive the launcher.
void BecomeSentry(const std::vector<Own>& list, int orders, int link) {
  WipeArguments("sentry");
  setsid();
  Check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
  pollfd fd = {.fd = link, .events = 0, .revents = 0};
  Check(poll(&fd, 1, 0) == 0);
  Unblock();
  Silence(kAboveFixed);
  Check(ReplaceDescriptors(list, {orders, link}) && EnterNamespaces(0) && MakeThreads(true));
  g_forked = {};
  g_forked.orders = orders;
  g_forked.link = link;
}

void BecomeGofer(const std::vector<Own>& list, int orders) {
  WipeArguments("gofer");
  setsid();
  Unblock();
  Silence(kAboveFixed);
  Check(ReplaceDescriptors(list, {orders}));
  Check(EnterNamespaces(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) && MakeThreads(false));
  g_forked = {};
  g_forked.orders = orders;
}

/// A pair of sockets with numbers that nothing else will be given.
bool Pair(int ends[2]) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return false;
  for (int i = 0; i < 2; i++) {
    const int above = fcntl(ends[i], F_DUPFD_CLOEXEC, kAboveFixed);
    if (above < 0) return false;
    close(ends[i]);
    ends[i] = above;
  }
  return true;
}

/// V8 keeps its heap from being inherited, as most forked processes have no use for it. The range has holes, and ends with
/// mappings of the kernel that refuse: what could be changed has been.
void InheritHeap() {
  constexpr size_t kUserSpace = 0x7ffffffff000;
  madvise(nullptr, kUserSpace, MADV_DOFORK);
}

/// Forks the gofer; the launcher, which forks the sentry; and returns in each of these but the launcher. -errno: none.
int ForkRoles() {
  bool usable = true;
  const std::vector<Own> list = ListDescriptors(&usable);
  if (!usable) return -ENOTSUP;
  int gofer[2], launcher[2], sentry[2], link[2];
  if (!Pair(gofer) || !Pair(launcher) || !Pair(sentry) || !Pair(link)) return -errno;
  InheritHeap();
  const pid_t launcher_pid = Fork();
  if (launcher_pid < 0) return -errno;
  if (launcher_pid == 0) {
    WipeArguments("launcher");
    Silence(3);
    close(launcher[0]);
    close(sentry[0]);
    close(gofer[0]);
    Check(unshare(CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS) == 0);
    const pid_t child = Fork();
    Check(child >= 0);
    if (child > 0) {
      close(link[1]);
      close(sentry[1]);
      BecomeLauncher(launcher[1], link[0], child);
    }
    for (int fd : {launcher[1], link[0], gofer[1]}) close(fd);
    BecomeSentry(list, sentry[1], link[1]);
    return kSentry;
  }
  const pid_t gofer_pid = Fork();
  if (gofer_pid < 0) return -errno;
  if (gofer_pid == 0) {
    for (int fd : {gofer[0], launcher[0], launcher[1], sentry[0], sentry[1], link[0], link[1]}) close(fd);
    BecomeGofer(list, gofer[1]);
    return kGofer;
  }
  for (int fd : {gofer[1], launcher[1], sentry[1], link[0], link[1]}) close(fd);
  g_forked = {launcher_pid, gofer_pid, launcher[0], sentry[0], gofer[0], -1, -1};
  return kRunsc;
}

// forkRoles(): 0 in runsc, 1 in the sentry, 2 in the gofer; or -errno.
Napi::Value JsForkRoles(const Napi::CallbackInfo& info) {
  const int parked = ParkThreads();
  if (parked < 0) return Num(info.Env(), parked);
  const int role = ForkRoles();
  if (role <= kRunsc) UnparkThreads();
  return Num(info.Env(), role);
}

// forked(into): in runsc, the pids of launcher and gofer, and the sockets for orders to launcher, sentry and gofer.
Napi::Value JsForked(const Napi::CallbackInfo& info) {
  auto into = info[0].As<Napi::Int32Array>();
  if (into.ElementLength() < 5 || g_forked.launcher < 0) return Num(info.Env(), -ESRCH);
  into[0] = g_forked.launcher;
  into[1] = g_forked.gofer;
  into[2] = g_forked.launcher_orders;
  into[3] = g_forked.sentry_orders;
  into[4] = g_forked.gofer_orders;
  return Num(info.Env(), 0);
}

/// The launcher's word: its network namespace, if it has another one than we.
bool FollowLauncher() {
  Orders word;
  if (!Receive(g_forked.link, &word)) return false;
  for (int fd : word.fds) {
    if (!FollowIntoNetwork(fd)) return false;
    close(fd);
  }
  close(g_forked.link);
  return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0;
}

// takeOrders(fixed, into): in a forked process, wait for the descriptors that runsc sends; the first `fixed` of them become
// 0, 1, ... Then the sentry enters the launcher's network namespace. The number of descriptors,
// whose numbers are in `into`. Nobody needs a process that gets no orders: it ends.
Napi::Value JsTakeOrders(const Napi::CallbackInfo& info) {
  auto into = info[1].As<Napi::Int32Array>();
  Orders orders;
  Check(Receive(g_forked.orders, &orders));
  close(g_forked.orders);
  const size_t fixed = std::min<size_t>(U32(info, 0), orders.fds.size());
  Check(Place(&orders, fixed) && orders.fds.size() <= into.ElementLength());
  if (g_forked.link >= 0) Check(FollowLauncher());
  for (size_t i = 0; i < orders.fds.size(); i++) into[i] = orders.fds[i];
  return Num(info.Env(), static_cast<double>(orders.fds.size()));
}

/// Write to each page in [from, to) that is still shared with the process we were forked from.
int OwnRange(int pagemap, uintptr_t from, uintptr_t to) {
  constexpr uint64_t kPresent = 1ULL << 63, kFile = 1ULL << 61, kExclusive = 1ULL << 56;
  constexpr size_t kPage = 4096, kBatch = 512;
  static uint64_t entries[kBatch];
  int count = 0;
  while (from < to) {
    const size_t pages = std::min(kBatch, (to - from) / kPage);
    const ssize_t n = pread(pagemap, entries, pages * sizeof *entries, static_cast<off_t>(from / kPage * sizeof *entries));
    if (n <= 0) return -EIO;
    for (size_t i = 0; i < static_cast<size_t>(n) / sizeof *entries; i++, from += kPage) {
      if ((entries[i] & (kPresent | kFile | kExclusive)) != kPresent) continue;
      // Without a change of what is there, as other threads may write it too.
      __atomic_fetch_or(reinterpret_cast<char*>(from), 0, __ATOMIC_RELAXED);
      count++;
    }
  }
  return count;
}

// ownMemory(): make copies now of the pages that we share with runsc: whoever writes a page first, its cgroup pays for
// the copy. Their number, or -errno. Needs /proc.
Napi::Value JsOwnMemory(const Napi::CallbackInfo& info) {
  const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  FILE* maps = fopen("/proc/self/maps", "re");
  int count = pagemap < 0 || maps == nullptr ? -errno : 0;
  char line[512];
  while (count >= 0 && fgets(line, sizeof line, maps) != nullptr) {
    uintptr_t from, to;
    char mode[8];
    if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || strcmp(mode, "rw-p") != 0) continue;
    const int more = OwnRange(pagemap, from, to);
    count = more < 0 ? more : count + more;
  }
  if (maps != nullptr) fclose(maps);
  if (pagemap >= 0) close(pagemap);
  return Num(info.Env(), count);
}

// reap(pid): the wait(2) status of a child that has ended, -EAGAIN while it runs.
Napi::Value JsReap(const Napi::CallbackInfo& info) {
  int status;
  const pid_t pid = waitpid(I32(info, 0), &status, WNOHANG);
  if (pid < 0) return Num(info.Env(), -errno);
  return Num(info.Env(), pid == 0 ? -EAGAIN : status);
}

}  // namespace

void RegisterFork(Napi::Env env, Napi::Object exports) {
  exports.Set("forkRoles", Napi::Function::New<JsForkRoles>(env));
  exports.Set("forked", Napi::Function::New<JsForked>(env));
  exports.Set("takeOrders", Napi::Function::New<JsTakeOrders>(env));
  exports.Set("ownMemory", Napi::Function::New<JsOwnMemory>(env));
  exports.Set("reap", Napi::Function::New<JsReap>(env));
}

}  // namespace portcullis
