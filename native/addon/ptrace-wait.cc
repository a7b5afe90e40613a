// Waiting for events: collecting stops, spinning while that pays, and sleeping in one system call that covers
// stops, notifications, host descriptors and the deadline.
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "ptrace-fault.h"
#include "ptrace.h"

namespace portcullis::ptrace {
namespace {

constexpr int kNothing = -3;
constexpr int kSyscallStop = SIGTRAP | 0x80;

// A stop that comes within this time is cheaper to spin for than to sleep for.
constexpr double kSpinNs = 30'000;
constexpr int kFullScore = 8;
constexpr int kSkips = -64;
// How often host descriptors are looked at while programs keep us busy.
constexpr uint64_t kHostCheckNs = 250'000;

// The kernel's own results of an interrupted call.
constexpr int64_t kRestartSys = -512, kRestartNoIntr = -513, kRestartNoHand = -514,
                  kRestartBlock = -516;

// The wait for children looks at our own only, not at those of Node's other threads.
constexpr int kWaitFlags = WNOHANG | __WALL | __WNOTHREAD;

int g_childFd = -1;

void OnChild(int) {
  int saved = errno;
  uint64_t one = 1;
  [[maybe_unused]] ssize_t r = write(g_childFd, &one, sizeof one);
  errno = saved;
}

// Whether stops raise SIGCHLD. They need not while we look for them anyway.
void SignalStops(bool on) {
  struct sigaction action = {};
  action.sa_handler = OnChild;
  action.sa_flags = on ? SA_RESTART : SA_RESTART | SA_NOCLDSTOP;
  sigaction(SIGCHLD, &action, nullptr);
}

bool IsFault(int signo, const siginfo_t& info) {
  bool fault = signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE || signo == SIGILL ||
               signo == SIGTRAP || signo == SIGSYS;
  // Not those that a process of the host sent.
  return fault && info.si_code > 0;
}

}  // namespace

int Platform::wait(double deadlineNs) {
  for (;;) {
    if (host_.any() && host_.due(static_cast<uint64_t>(NowNs()), kHostCheckNs)) return kHost;
    if (int ready = nextReady(); ready >= 0) return ready;
    if (ringing_ > 0 && Readable(listener_.get())) pumpListener();
    if (collect()) continue;
    // Events first: a deadline that is always past must not keep threads from being heard.
    if (std::isfinite(deadlineNs) && NowNs() >= deadlineNs) return kTimeout;
    if (spin()) continue;
    if (sleep(deadlineNs) == kHost) return kHost;
  }
}

int Platform::nextReady() {
  while (!ready_.empty()) {
    Thread* t = thread(static_cast<uint32_t>(ready_.front()));
    ready_.pop_front();
    if (!t || !t->queued) continue;
    t->queued = false;
    return t->id;
  }
  return kNothing;
}

void Platform::queueEvent(Thread* t, int event) {
  record(t)->event = event;
  if (t->queued) return;
  t->queued = true;
  ready_.push_back(t->id);
}

// Take one change of a traced thread. Returns whether there was one.
bool Platform::collect() {
  int status;
  pid_t tid = waitpid(-1, &status, kWaitFlags);
  if (tid <= 0) return false;
  if (!WIFSTOPPED(status)) {
    died(tid, status);
    return true;
  }
  auto found = tids_.find(tid);
  Thread* t = found == tids_.end() ? nullptr : found->second;
  if (!t || t->state == State::kStarting) {
    adopt(tid);
  } else {
    onStop(t, status);
  }
  return true;
}

// Look for stops without leaving the CPU, as long as that was worth it lately.
bool Platform::spin() {
  if (running_ == 0 && ringing_ == 0) return false;
  if (spinScore_ < 0) {
    spinScore_++;
    return false;
  }
  double end = NowNs() + kSpinNs;
  do {
    if (collect()) {
      spinScore_ = std::min(spinScore_ + 1, kFullScore);
      return true;
    }
    if (ringing_ > 0 && Readable(listener_.get())) return true;
    sched_yield();
  } while (NowNs() < end);
  if (--spinScore_ < 0) spinScore_ = kSkips;
  return false;
}

int Platform::sleep(double deadlineNs) {
  TimeLimit limit(deadlineNs);
  g_childFd = childFd_.get();
  SignalStops(true);
  // What stopped before this raised no signal.
  bool found = collect();
  pollfd fds[] = {{childFd_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}, {host_.fd(), POLLIN, 0}};
  int n = found ? 0 : ppoll(fds, host_.any() ? 3 : 2, limit.get(), nullptr);
  SignalStops(false);
  uint64_t count;
  if (read(childFd_.get(), &count, sizeof count) < 0) count = 0;
  if (n <= 0) return kNothing;
  if (fds[1].revents & POLLIN) pumpListener();
  return fds[2].revents && !fds[0].revents ? kHost : kNothing;
}

void Platform::onStop(Thread* t, int status) {
  if (t->state == State::kRunning) return takeEvent(t, status);
  if (t->state == State::kReaching || t->state == State::kCalling) return onStopInOps(t, status);
  // A thread that exits stops only for signals; a stopped one not at all.
  if (t->state == State::kExiting) Trace(PTRACE_CONT, t->tid, 0, nullptr);
}

// While an op is under way, only its own stops count.
void Platform::onStopInOps(Thread* t, int status) {
  int stop = status >> 8;
  bool calling = t->state == State::kCalling;
  if (!calling && stop == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
    t->atCall = true;
    return advance(t);
  }
  if (calling && stop == kSyscallStop) {
    user_regs_struct regs = {};
    if (Trace(PTRACE_GETREGS, t->tid, 0, &regs) < 0) return;
    return callDone(t, static_cast<int64_t>(regs.rax));
  }
  siginfo_t info = {};
  if (Trace(PTRACE_GETSIGINFO, t->tid, 0, &info) == 0 && IsFault(stop, info)) {
    // The stub's text is not what it should be.
    ::kill(t->process->pid, SIGKILL);
    return;
  }
  Trace(calling ? PTRACE_SYSCALL : PTRACE_CONT, t->tid, 0, nullptr);
}

// A thread that ran program code stopped.
void Platform::takeEvent(Thread* t, int status) {
  // It is gone by now; that is reported by itself.
  if (Trace(PTRACE_GETREGS, t->tid, 0, &t->regs) < 0) return;
  running_--;
  t->state = State::kStopped;
  t->interruptDue = false;
  int stop = status >> 8;
  int event = kEventInterrupt;
  if (stop == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
    event = kEventSyscall;
    t->atCall = true;
    t->regs.rax = t->regs.orig_rax;
  } else if (takeFault(t, stop)) {
    event = kEventFault;
  } else {
    takeInterrupted(t);
  }
  Record* r = record(t);
  r->nr = static_cast<uint32_t>(t->regs.rax);
  r->ip = static_cast<double>(t->regs.rip);
  r->sp = static_cast<double>(t->regs.rsp);
  r->args[0] = t->regs.rdi;
  r->args[1] = t->regs.rsi;
  r->args[2] = t->regs.rdx;
  r->args[3] = t->regs.r10;
  r->args[4] = t->regs.r8;
  r->args[5] = t->regs.r9;
  queueEvent(t, event);
}

bool Platform::takeFault(Thread* t, int signo) {
  siginfo_t info = {};
  if (Trace(PTRACE_GETSIGINFO, t->tid, 0, &info) < 0 || !IsFault(signo, info)) return false;
  auto addr = reinterpret_cast<uint64_t>(info.si_addr);
  uint8_t text[kMaxInstruction];
  int64_t length = copyIn(t, t->regs.rip, text, sizeof text);
  Fault fault = DescribeFault(signo, info.si_code, addr, t->regs.rip, text,
                              length < 0 ? 0 : static_cast<size_t>(length));
  Record* r = record(t);
  r->signo = signo;
  r->code = info.si_code;
  r->faultAddr = static_cast<double>(addr);
  r->errorCode = static_cast<double>(fault.error);
  r->trapNo = fault.vector;
  return true;
}

// A call that the signal interrupted in the host ends as it would for a handler with SA_RESTART.
void Platform::takeInterrupted(Thread* t) {
  if (static_cast<int64_t>(t->regs.orig_rax) < 0) return;
  switch (static_cast<int64_t>(t->regs.rax)) {
    case kRestartSys:
    case kRestartNoIntr:
      t->regs.rip -= 2;
      t->regs.rax = t->regs.orig_rax;
      break;
    case kRestartNoHand:
    case kRestartBlock:
      t->regs.rax = static_cast<uint64_t>(-EINTR);
  }
}

void Platform::getRegs(Thread* t) {
  const user_regs_struct& r = t->regs;
  const uint64_t from[] = {r.r15, r.r14, r.r13, r.r12, r.rbp, r.rbx, r.r11, r.r10,    r.r9,
                           r.r8,  r.rax, r.rcx, r.rdx, r.rsi, r.rdi, r.rip, r.eflags, r.rsp};
  std::copy(std::begin(from), std::end(from), record(t)->regs);
}

}  // namespace portcullis::ptrace
