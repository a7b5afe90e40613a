// One start of Node.js for the three processes of a sandbox. runsc forks while its Node has just started and has
// loaded nothing but this addon: one child becomes the gofer, one the launcher, and a child of that one the sentry.
// A forked process has one thread only; once it is in its namespaces, it makes Node's other threads again, each where the
// original waited. That is a state without surprises: all of them wait for work and hold no lock, or the fork is
// tried again a moment later.
//
// What the children share with runsc they must not be able to use: descriptors of Node's event loops are replaced by
// new ones, all others closed, and the environment and the arguments are wiped.
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "addon.h"

extern "C" void portcullis_sigreturn();
// Where glibc, from 2.35 on, has a thread's area for restartable sequences.
extern "C" const ptrdiff_t __rseq_offset __attribute__((weak));
extern "C" const unsigned int __rseq_size __attribute__((weak));

namespace portcullis {
namespace {

constexpr int kMaxThreads = 64;
constexpr int kMaxFds = 253;
/// glibc's own signal, which no thread of Node blocks: see sandbox.cc.
constexpr int kUnblockable = 33;
constexpr unsigned long kRestorerFlag = 0x04000000;
constexpr int kParkTries = 2000;
constexpr int kParkTimeoutMs = 1000;
/// Descriptors that orders bring are first put here, above what they are to be in the end.
constexpr int kAboveFixed = 64;

struct KernelAction {
  void (*handler)(int, siginfo_t*, void*);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};

// --- The threads

/// A thread of Node that waits in our signal handler.
struct Parked {
  jmp_buf resume;
  char* stack;
  pid_t tid;
  void* tls;
  bool idle;
  char name[16];
};

Parked g_parked[kMaxThreads];
std::atomic<int> g_arrived;
std::atomic<uint32_t> g_gate;
std::atomic<uint32_t> g_count;
/// How many threads a forked process has made, and what they are to do together.
int g_made;
std::atomic<int> g_network;
std::atomic<bool> g_failed;
/// Where glibc keeps a thread's id, from its thread pointer.
ptrdiff_t g_tid_offset = -1;

long Futex(void* word, int operation, uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, nullptr, 0);
}

int* TidAddress(void* tls) { return reinterpret_cast<int*>(static_cast<char*>(tls) + g_tid_offset); }

/// Whether the interrupted thread was in a call in which Node's threads wait for work. Such a call is either begun
/// again (futex) or ends with EINTR (epoll_wait).
bool WaitsForWork(const ucontext_t* context) {
  const auto* ip = reinterpret_cast<const uint8_t*>(context->uc_mcontext.gregs[REG_RIP]);
  const auto is_syscall = [](const uint8_t* p) { return p[0] == 0x0f && p[1] == 0x05; };
  const greg_t result = context->uc_mcontext.gregs[REG_RAX];
  const int operation = static_cast<int>(context->uc_mcontext.gregs[REG_RSI]) & FUTEX_CMD_MASK;
  const bool waits = operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET;
  return (is_syscall(ip) && result == SYS_futex && waits) || (is_syscall(ip - 2) && result == -EINTR);
}

void OnPark(int, siginfo_t*, void* context) {
  const int saved = errno;
  const uint32_t gate = g_gate.load();
  const uint32_t index = g_count.fetch_add(1);
  if (index >= kMaxThreads) return;
  Parked& self = g_parked[index];
  // The stack on which the thread begins its second life, below this frame.
  alignas(16) char stack[1024];
  self.stack = stack + sizeof stack;
  self.tid = static_cast<pid_t>(syscall(SYS_gettid));
  self.tls = __builtin_thread_pointer();
  self.idle = WaitsForWork(static_cast<ucontext_t*>(context));
  prctl(PR_GET_NAME, self.name);
  if (_setjmp(self.resume) == 0) {
    g_arrived.fetch_add(1);
    Futex(&g_arrived, FUTEX_WAKE, 1, nullptr);
    while (g_gate.load() == gate) Futex(&g_gate, FUTEX_WAIT, gate, nullptr);
  }
  errno = saved;
}

int Resume(void* argument) {
  auto* thread = static_cast<Parked*>(argument);
  prctl(PR_SET_NAME, thread->name);
  // A new thread does not inherit the registration of its area.
  if (&__rseq_size != nullptr && __rseq_size > 0) {
    constexpr unsigned kSignature = 0x53053053;
    syscall(SYS_rseq, static_cast<char*>(thread->tls) + __rseq_offset, 32, 0, kSignature);
  }
  longjmp(thread->resume, 1);
}

void Unpark() {
  g_gate.fetch_add(1);
  Futex(&g_gate, FUTEX_WAKE, INT32_MAX, nullptr);
}

/// Signals all other threads; their number, or -errno.
int SignalOthers() {
  DIR* dir = opendir("/proc/self/task");
  if (dir == nullptr) return -errno;
  const pid_t self = static_cast<pid_t>(syscall(SYS_gettid));
  int count = 0;
  while (const dirent* entry = readdir(dir)) {
    const pid_t tid = atoi(entry->d_name);
    if (tid > 0 && tid != self && syscall(SYS_tgkill, getpid(), tid, kUnblockable) == 0) count++;
  }
  closedir(dir);
  return count;
}

bool AwaitArrival(int expected) {
  const timespec step = {0, 1'000'000};
  for (int i = 0; i < kParkTimeoutMs; i++) {
    const int arrived = g_arrived.load();
    if (arrived >= expected) return true;
    Futex(&g_arrived, FUTEX_WAIT, static_cast<uint32_t>(arrived), &step);
  }
  return false;
}

/// Park all other threads: their number, or -EAGAIN when one of them is at work.
int ParkOnce() {
  g_count.store(0);
  g_arrived.store(0);
  const int expected = SignalOthers();
  if (expected < 0) return expected;
  if (expected > kMaxThreads || !AwaitArrival(expected)) {
    Unpark();
    return -ETIMEDOUT;
  }
  for (int i = 0; i < expected; i++) {
    if (g_parked[i].idle && *TidAddress(g_parked[i].tls) == g_parked[i].tid) continue;
    Unpark();
    return -EAGAIN;
  }
  return expected;
}

/// The offset at which glibc's descriptor of this thread holds its id.
bool FindTid() {
  const int tid = static_cast<int>(syscall(SYS_gettid));
  for (ptrdiff_t at = 0x200; at < 0x400; at += 4) {
    g_tid_offset = at;
    if (*TidAddress(__builtin_thread_pointer()) == tid) return true;
  }
  return false;
}

int Park() {
  if (!FindTid()) return -ENOTSUP;
  const KernelAction action = {OnPark, SA_SIGINFO | SA_RESTART | kRestorerFlag, portcullis_sigreturn, ~0ULL};
  KernelAction before = {};
  if (syscall(SYS_rt_sigaction, kUnblockable, &action, &before, sizeof before.mask) < 0) return -errno;
  int result = -EAGAIN;
  for (int i = 0; i < kParkTries && result == -EAGAIN; i++) {
    const timespec pause = {0, 100'000};
    if (i > 0) nanosleep(&pause, nullptr);
    result = ParkOnce();
  }
  syscall(SYS_rt_sigaction, kUnblockable, &before, nullptr, sizeof before.mask);
  return result;
}

/// The kernel's own call: glibc's leaves out the signals that it uses itself.
uint64_t SetSignalMask(uint64_t mask) {
  uint64_t before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, sizeof mask);
  return before;
}

/// In a forked process: make the threads that its original had. Nothing of V8 may run before: it would wait for them.
/// They begin with all signals blocked, as in the handler where they go on: a further handler would have no room on the
/// smallest of their stacks. Their own masks come back when they leave it.
bool MakeThreads() {
  constexpr int kFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                         CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  const int count = g_arrived.load();
  const uint64_t mask = SetSignalMask(~0ULL);
  for (g_made = 0; g_made < count; g_made++) {
    Parked& thread = g_parked[g_made];
    int* tid = TidAddress(thread.tls);
    if (clone(Resume, thread.stack, kFlags, &thread, tid, thread.tls, tid) < 0) break;
  }
  SetSignalMask(mask);
  return g_made == count;
}

void OnFollow(int, siginfo_t*, void*) {
  const int saved = errno;
  if (setns(g_network.load(), CLONE_NEWNET) < 0) g_failed.store(true);
  g_arrived.fetch_add(1);
  Futex(&g_arrived, FUTEX_WAKE, 1, nullptr);
  errno = saved;
}

/// Enter a network namespace with all threads that were made.
bool FollowIntoNetwork(int fd) {
  const KernelAction action = {OnFollow, SA_SIGINFO | SA_RESTART | kRestorerFlag, portcullis_sigreturn, ~0ULL};
  KernelAction before = {};
  if (setns(fd, CLONE_NEWNET) < 0) return false;
  if (syscall(SYS_rt_sigaction, kUnblockable, &action, &before, sizeof before.mask) < 0) return false;
  g_network.store(fd);
  g_arrived.store(0);
  for (int i = 0; i < g_made; i++)
    if (syscall(SYS_tgkill, getpid(), *TidAddress(g_parked[i].tls), kUnblockable) < 0) return false;
  const bool all = AwaitArrival(g_made);
  syscall(SYS_rt_sigaction, kUnblockable, &before, nullptr, sizeof before.mask);
  return all && !g_failed.load();
}

// --- The descriptors

/// A descriptor that Node has for its own use, and what a copy of the process has in its place.
struct Own {
  enum Kind { kClosed, kEvent, kPoll, kPipe } kind;
  int fd;
  /// The other end of a pipe, which is its writing end.
  int other = -1;
  /// Bytes that wait in the pipe.
  int waiting = 0;
  struct Watched {
    int fd;
    epoll_event event;
  };
  std::vector<Watched> watched;
};

std::vector<Own::Watched> WatchedBy(int fd) {
  std::vector<Own::Watched> found;
  FILE* info = fopen(("/proc/self/fdinfo/" + std::to_string(fd)).c_str(), "re");
  if (info == nullptr) return found;
  char line[256];
  while (fgets(line, sizeof line, info) != nullptr) {
    int target;
    unsigned events;
    unsigned long long data;
    if (sscanf(line, "tfd: %d events: %x data: %llx", &target, &events, &data) != 3) continue;
    epoll_event event = {};
    event.events = events;
    event.data.u64 = data;
    found.push_back({target, event});
  }
  fclose(info);
  return found;
}

/// All descriptors of this process beyond the standard streams; whether it can be forked with them.
std::vector<Own> ListDescriptors(bool* usable) {
  std::vector<Own> list;
  std::vector<std::string> names;
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return list;
  while (const dirent* entry = readdir(dir)) {
    const int fd = atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd <= STDERR_FILENO || fd == dirfd(dir)) continue;
    char target[64] = {};
    if (readlinkat(dirfd(dir), entry->d_name, target, sizeof target - 1) < 0) continue;
    const std::string name = target;
    // Its operations would pass no filter of ours: start.c has seen to it that there is none.
    if (name == "anon_inode:[io_uring]") *usable = false;
    Own own = {Own::kClosed, fd, -1, 0, {}};
    if (name == "anon_inode:[eventfd]") own.kind = Own::kEvent;
    if (name == "anon_inode:[eventpoll]") {
      own.kind = Own::kPoll;
      own.watched = WatchedBy(fd);
    }
    if (name.rfind("pipe:", 0) == 0 && fd >= kAboveFixed) {
      for (size_t i = 0; i < list.size(); i++) {
        if (names[i] != name || list[i].kind != Own::kClosed || list[i].fd < kAboveFixed) continue;
        // libuv has the reading end first.
        list[i].kind = Own::kPipe;
        list[i].other = fd;
        ioctl(list[i].fd, FIONREAD, &list[i].waiting);
      }
    }
    // Those below are the caller's, whatever they are: start.c has reserved the numbers.
    if (fd < kAboveFixed) own.kind = Own::kClosed;
    list.push_back(own);
    names.push_back(name);
  }
  closedir(dir);
  return list;
}

bool Replace(int fd, int by) {
  if (by < 0) return false;
  const bool done = dup3(by, fd, O_CLOEXEC) >= 0;
  close(by);
  return done;
}

bool ReplacePipe(const Own& own) {
  int ends[2];
  const int flags = fcntl(own.fd, F_GETFL) & O_NONBLOCK;
  if (pipe2(ends, O_CLOEXEC | flags) < 0) return false;
  const char zeros[16] = {};
  const size_t waiting = static_cast<size_t>(own.waiting) < sizeof zeros ? own.waiting : sizeof zeros;
  if (write(ends[1], zeros, waiting) != static_cast<ssize_t>(waiting)) return false;
  return Replace(own.fd, ends[0]) && Replace(own.other, ends[1]);
}

bool ReplacePoll(const Own& own) {
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  if (poll < 0) return false;
  for (Own::Watched watched : own.watched) epoll_ctl(poll, EPOLL_CTL_ADD, watched.fd, &watched.event);
  return Replace(own.fd, poll);
}

/// Give this copy of the process descriptors of its own; `kept` stay.
bool ReplaceDescriptors(const std::vector<Own>& list, const std::vector<int>& kept) {
  for (const Own& own : list) {
    bool stays = false;
    for (int fd : kept) stays |= fd == own.fd;
    bool is_end = false;
    for (const Own& pipe : list) is_end |= pipe.kind == Own::kPipe && pipe.other == own.fd;
    if (own.kind == Own::kClosed && own.fd >= kAboveFixed && !stays && !is_end) close(own.fd);
    if (own.kind == Own::kEvent && !Replace(own.fd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))) return false;
    if (own.kind == Own::kPipe && !ReplacePipe(own)) return false;
  }
  // Last: they watch the others.
  for (const Own& own : list)
    if (own.kind == Own::kPoll && !ReplacePoll(own)) return false;
  return true;
}

// --- The processes

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

struct Orders {
  std::vector<int> fds;
  std::string text;
};

/// One message: descriptors, and text that begins with "+" when more follow. False when the peer is gone.
bool ReceivePart(int socket, Orders* orders, bool* last) {
  static char text[1 << 17];
  struct iovec iov = {text, sizeof text};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))];
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n;
  do n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n <= 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return false;
  for (auto* h = CMSG_FIRSTHDR(&message); h != nullptr; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
      const int above = fcntl(fd, F_DUPFD_CLOEXEC, kAboveFixed);
      close(fd);
      if (above < 0) return false;
      orders->fds.push_back(above);
    }
  }
  *last = text[0] != '+';
  orders->text.assign(text + 1, static_cast<size_t>(n) - 1);
  return true;
}

bool Receive(int socket, Orders* orders) {
  for (bool last = false; !last;)
    if (!ReceivePart(socket, orders, &last)) return false;
  return true;
}

/// Puts the first `count` descriptors of the orders to 0, 1, ...; without close-on-exec. What else was kept free for them is
/// closed.
bool Place(Orders* orders, size_t count) {
  if (count > kAboveFixed || count > orders->fds.size()) return false;
  if (count < kAboveFixed) syscall(SYS_close_range, static_cast<unsigned>(count), kAboveFixed - 1U, 0);
  for (size_t i = 0; i < count; i++) {
    if (dup2(orders->fds[i], static_cast<int>(i)) < 0) return false;
    close(orders->fds[i]);
    orders->fds[i] = static_cast<int>(i);
  }
  return true;
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
  Check(ReplaceDescriptors(list, {orders, link}) && EnterNamespaces(0) && MakeThreads());
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
  Check(EnterNamespaces(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) && MakeThreads());
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
  const int parked = Park();
  if (parked < 0) return Num(info.Env(), parked);
  const int role = ForkRoles();
  if (role <= kRunsc) Unpark();
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
