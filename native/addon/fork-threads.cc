// Node's other threads over a fork: parked by a signal where they wait for work, and made again in the copy.
#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <setjmp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>

#include "fork.h"

extern "C" void portcullis_sigreturn();
// Where glibc, from 2.35 on, has a thread's area for restartable sequences.
extern "C" const ptrdiff_t __rseq_offset __attribute__((weak));
extern "C" const unsigned int __rseq_size __attribute__((weak));

namespace portcullis::fork {
namespace {

constexpr int kMaxThreads = 64;
constexpr size_t kStackSize = 1024;
/// glibc's own signal, which no thread of Node blocks: see sandbox.cc.
constexpr int kUnblockable = 33;
constexpr unsigned long kRestorerFlag = 0x04000000;
constexpr int kParkTries = 2000;
constexpr int kParkTimeoutMs = 1000;

struct KernelAction {
  void (*handler)(int, siginfo_t*, void*);
  unsigned long flags;
  void (*restorer)();
  uint64_t mask;
};

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
pid_t g_main_tid;
/// How many threads a forked process has made, and what they are to do together.
int g_made;
std::atomic<int> g_network;
std::atomic<bool> g_failed;
/// Where glibc keeps a thread's id, from its thread pointer.
ptrdiff_t g_tid_offset = -1;

long Futex(void* word, int operation, uint32_t value, const timespec* timeout) {
  return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, timeout, nullptr, 0);
}

/// Whether the interrupted thread was in a call in which Node's threads wait for work. Such a call is either begun
/// again (futex) or ends with EINTR (epoll_wait). glibc waits for conditions and semaphores by FUTEX_WAIT_BITSET; who waits
/// by FUTEX_WAIT waits for a lock, in the middle of something.
bool WaitsForWork(const ucontext_t* context) {
  const auto* ip = reinterpret_cast<const uint8_t*>(context->uc_mcontext.gregs[REG_RIP]);
  const auto is_syscall = [](const uint8_t* p) { return p[0] == 0x0f && p[1] == 0x05; };
  const greg_t result = context->uc_mcontext.gregs[REG_RAX];
  const int operation = static_cast<int>(context->uc_mcontext.gregs[REG_RSI]) & FUTEX_CMD_MASK;
  const bool waits = result == SYS_futex && operation == FUTEX_WAIT_BITSET;
  return (is_syscall(ip) && waits) || (is_syscall(ip - 2) && result == -EINTR);
}

void OnPark(int, siginfo_t*, void* context) {
  const int saved = errno;
  const uint32_t gate = g_gate.load();
  const uint32_t index = g_count.fetch_add(1);
  if (index >= kMaxThreads) return;
  Parked& self = g_parked[index];
  // The stack on which the thread begins its second life, below this frame.
  alignas(16) char stack[kStackSize];
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

constexpr int kThreadFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                             CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;

bool Clone(Parked* thread) {
  int* tid = TidAddress(thread->tls);
  return clone(Resume, thread->stack, kThreadFlags, thread, tid, thread->tls, tid) >= 0;
}

/// Of the original: whether one of its threads had this id.
bool IsTaken(pid_t tid) {
  for (uint32_t i = 0; i < g_count.load(); i++)
    if (g_parked[i].tid == tid) return true;
  return tid == g_main_tid;
}

/// A thread with the id that it had in the original, in whose pid namespace we are not.
bool CloneWithId(Parked* thread) {
  int* tid = TidAddress(thread->tls);
  clone_args args = {};
  args.flags = kThreadFlags;
  args.child_tid = args.parent_tid = reinterpret_cast<uint64_t>(tid);
  args.stack = reinterpret_cast<uint64_t>(thread->stack - kStackSize);
  args.stack_size = kStackSize;
  args.tls = reinterpret_cast<uint64_t>(thread->tls);
  args.set_tid = reinterpret_cast<uint64_t>(&thread->tid);
  args.set_tid_size = 1;
  long result;
  // The new thread has its stack, and our registers.
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %[thread], %%rdi\n\t"
      "call *%[resume]\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone3), "D"(&args), "S"(sizeof args), [thread] "r"(thread), [resume] "r"(Resume)
      : "rcx", "r11", "memory");
  if (result >= 0) return true;
  // A filter around us does not know clone3, or the right to choose is missing. Then any other id will do.
  return Clone(thread) && !IsTaken(*tid);
}

/// Signals all other threads; their number, or -errno.
int SignalOthers() {
  DIR* dir = opendir("/proc/self/task");
  if (dir == nullptr) return -errno;
  const pid_t self = g_main_tid = static_cast<pid_t>(syscall(SYS_gettid));
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
    UnparkThreads();
    return -ETIMEDOUT;
  }
  for (int i = 0; i < expected; i++) {
    if (g_parked[i].idle && *TidAddress(g_parked[i].tls) == g_parked[i].tid) continue;
    UnparkThreads();
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

/// The kernel's own call: glibc's leaves out the signals that it uses itself.
uint64_t SetSignalMask(uint64_t mask) {
  uint64_t before = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, sizeof mask);
  return before;
}

void OnFollow(int, siginfo_t*, void*) {
  const int saved = errno;
  if (setns(g_network.load(), CLONE_NEWNET) < 0) g_failed.store(true);
  g_arrived.fetch_add(1);
  Futex(&g_arrived, FUTEX_WAKE, 1, nullptr);
  errno = saved;
}

}  // namespace

int* TidAddress(void* tls) { return reinterpret_cast<int*>(static_cast<char*>(tls) + g_tid_offset); }

int ParkThreads() {
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

void UnparkThreads() {
  g_gate.fetch_add(1);
  Futex(&g_gate, FUTEX_WAKE, INT32_MAX, nullptr);
}

bool MakeThreads(bool keep_ids) {
  const int count = g_arrived.load();
  const uint64_t mask = SetSignalMask(~0ULL);
  for (g_made = 0; g_made < count; g_made++) {
    if (!(keep_ids ? CloneWithId : Clone)(&g_parked[g_made])) break;
  }
  SetSignalMask(mask);
  return g_made == count;
}

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

}  // namespace portcullis::fork
