// Verdicts: the host calls that the kernel orders, one after the other, and the way back to program code.
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ptrace.h"

namespace portcullis::ptrace {
namespace {

// The ends of what FS and GS bases may be: TASK_SIZE_MAX.
constexpr uint64_t kMaxBase = 0x7ffffffff000;
// CLONE_PTRACE: the child is traced from its first instruction on. CLONE_PARENT: the sentry reaps it.
constexpr uint64_t kForkFlags = CLONE_PTRACE | CLONE_PARENT | SIGCHLD;
constexpr uint64_t kSharedFlags = kForkFlags | CLONE_VM;
constexpr uint64_t kThreadFlags = CLONE_PTRACE | CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND |
                                  CLONE_THREAD;
// The kernel's own results between ERESTARTSYS and ERESTART_RESTARTBLOCK: the call is to be made again.
constexpr int64_t kFirstRestart = -516;
constexpr int64_t kLastRestart = -512;
constexpr int64_t kLastError = -4095;

uint64_t U64(double v) { return static_cast<uint64_t>(static_cast<int64_t>(v)); }

uint64_t MapFlags(uint64_t flags) {
  return flags & MAP_FIXED_NOREPLACE ? flags : flags | MAP_FIXED;
}

uint64_t MoveFlags(const double* a) {
  uint64_t flags = U64(a[3]);
  return a[4] == a[0] ? flags : flags | MREMAP_MAYMOVE | MREMAP_FIXED;
}

Op Encode(int kind, const double* a) {
  Op op;
  op.kind = kind;
  auto set = [&op](uint64_t nr, std::initializer_list<uint64_t> args) {
    op.nr = nr;
    size_t i = 0;
    for (uint64_t arg : args) op.a[i++] = arg;
  };
  switch (kind) {
    case kMmap:
      set(SYS_mmap, {U64(a[0]), U64(a[1]), U64(a[2]), MapFlags(U64(a[3])), ~0ULL, U64(a[5])});
      break;
    case kMunmap:
      set(SYS_munmap, {U64(a[0]), U64(a[1])});
      break;
    case kMprotect:
      set(SYS_mprotect, {U64(a[0]), U64(a[1]), U64(a[2])});
      break;
    case kMremap:
      set(SYS_mremap, {U64(a[0]), U64(a[1]), U64(a[2]), MoveFlags(a), U64(a[4])});
      break;
    case kMadvise:
      set(SYS_madvise, {U64(a[0]), U64(a[1]), U64(a[2])});
      break;
    case kFutexWake:
      set(SYS_futex, {U64(a[0]), FUTEX_WAKE | (a[2] != 0 ? 0u : FUTEX_PRIVATE_FLAG), U64(a[1])});
      // A bad address means that nobody waits there.
      op.ignore = true;
      break;
    case kFutexSetWaiters:
      set(SYS_futex, {U64(a[0]), kFutexWakeOp | FUTEX_PRIVATE_FLAG, 0, 0, U64(a[0]), kFutexOrWaiters});
      break;
    case kGetrusage:
      set(SYS_getrusage, {U64(a[0]), U64(a[1])});
      break;
    case kThreadClock:
      set(SYS_clock_gettime, {CLOCK_THREAD_CPUTIME_ID, U64(a[0])});
      break;
    case kSetName:
      set(SYS_prctl, {PR_SET_NAME, U64(a[0])});
      op.ignore = true;
      break;
    case kSetTitle:
      set(SYS_prctl, {PR_SET_MM, PR_SET_MM_MAP, U64(a[0]), sizeof(prctl_mm_map)});
      op.ignore = true;
      break;
    case kExit:
      set(SYS_exit, {0});
      break;
    default:  // fork, clone and the segment bases: their arguments as they are
      set(SYS_clone, {U64(a[0]), U64(a[1]), U64(a[2]), U64(a[3])});
  }
  return op;
}

}  // namespace

void Platform::addOp(Thread* t, int kind, const double* a, int) {
  Op op = Encode(kind, a);
  if (kind == kMmap && a[4] >= 0) {
    // Lent for this call only. Without a duplicate the mmap fails with EBADF.
    op.fd = fcntl(static_cast<int>(a[4]), F_DUPFD_CLOEXEC, 3);
  }
  t->ops.push_back(op);
}

void Platform::resume(Thread* t, uint64_t result, bool withRegisters) {
  if (t->state != State::kStopped) return clearOps(t);
  user_regs_struct* r = &t->regs;
  if (withRegisters) {
    const uint64_t* regs = record(t)->regs;
    unsigned long long* to[] = {&r->r15, &r->r14, &r->r13, &r->r12, &r->rbp, &r->rbx,
                                &r->r11, &r->r10, &r->r9,  &r->r8,  &r->rax, &r->rcx,
                                &r->rdx, &r->rsi, &r->rdi, &r->rip, &r->eflags, &r->rsp};
    for (auto* reg : to) *reg = *regs++;
  } else {
    r->rax = result;
  }
  t->nextOp = 0;
  advance(t);
}

// Let the thread run program code. Whatever call it stopped at is replaced by none: the host must not make it.
void Platform::go(Thread* t) {
  t->regs.orig_rax = ~0ULL;
  clearOps(t);
  t->atCall = false;
  t->state = State::kRunning;
  running_++;
  int64_t r = Trace(PTRACE_SETREGS, t->tid, 0, &t->regs);
  // Registers that the host does not take, as those of a segment that is not there.
  if (r < 0) return (void)::kill(t->process->pid, SIGKILL);
  Trace(PTRACE_CONT, t->tid, 0, nullptr);
  if (!t->interruptDue) return;
  t->interruptDue = false;
  interrupt(t);
}

// Do the next op, or go on when there is none.
void Platform::advance(Thread* t) {
  while (t->nextOp < t->ops.size()) {
    Op* op = &t->ops[t->nextOp];
    if (t->state == State::kStopped) t->state = State::kReaching;
    if (op->kind == kSetFs || op->kind == kSetGs) {
      if (!applyLocally(t, op)) return;
      t->nextOp++;
      continue;
    }
    if (!t->atCall) return reachCall(t);
    if (!prepare(t, op)) return;
    if (op->kind == kExit) return exitThread(t);
    if (op->done) {
      uint64_t passed[6] = {static_cast<uint64_t>(op->passed)};
      return call(t, SYS_close, passed);
    }
    if (op->fd >= 0 && op->passed < 0) {
      t->ringing = true;
      ringing_++;
      const uint64_t none[6] = {};
      return call(t, kDoorbell, none);
    }
    return call(t, op->nr, op->a);
  }
  if (t == zygote_) {
    t->state = State::kStopped;
    clearOps(t);
    return runSpawnQueue();
  }
  go(t);
}

// The segment bases are registers to us.
bool Platform::applyLocally(Thread* t, Op* op) {
  if (op->a[0] >= kMaxBase) {
    opFailed(t, EPERM);
    return false;
  }
  (op->kind == kSetFs ? t->regs.fs_base : t->regs.gs_base) = op->a[0];
  return true;
}

// What an op that makes a thread needs before the host can run it.
bool Platform::prepare(Thread* t, Op* op) {
  if (op->kind != kFork && op->kind != kClone) return true;
  if (t->child) return true;
  Thread* child = thread(static_cast<uint32_t>(op->a[0]));
  if (!child || child->state != State::kNew || child == t) {
    opFailed(t, EINVAL);
    return false;
  }
  child->sameProcess = op->kind == kClone && op->a[1];
  child->regs = t->regs;
  uint64_t clearTid = op->kind == kClone ? op->a[2] : 0;
  if (op->kind == kClone && op->a[3]) child->regs.fs_base = op->a[3];
  while (child->token == 0) {
    if (getrandom(&child->token, sizeof child->token, 0) != sizeof child->token) child->token = 0;
  }
  if (child->sameProcess) {
    child->process = t->process;
    child->process->members.push_back(child);
  }
  child->parent = t;
  child->state = State::kStarting;
  t->child = child;
  op->a[0] = op->kind == kFork ? kForkFlags : child->sameProcess ? kThreadFlags : kSharedFlags;
  if (clearTid) op->a[0] |= CLONE_CHILD_CLEARTID;
  op->a[1] = op->a[2] = op->a[4] = 0;
  op->a[3] = clearTid;
  return true;
}

// Send the thread into a system call from the stub's text, so that it stops there.
void Platform::reachCall(Thread* t) {
  user_regs_struct regs = CallRegisters(t->regs, stubCall_);
  // Should the filter fail, this is what the host executes.
  regs.rax = SYS_exit_group;
  t->state = State::kReaching;
  if (Trace(PTRACE_SETREGS, t->tid, 0, &regs) < 0) return (void)::kill(t->process->pid, SIGKILL);
  Trace(PTRACE_CONT, t->tid, 0, nullptr);
}

// Replace the call at which the thread stopped, and have the host execute it up to its exit stop.
void Platform::call(Thread* t, uint64_t nr, const uint64_t* a) {
  user_regs_struct regs = CallRegisters(t->regs, stubCall_ + 2);
  regs.orig_rax = nr;
  regs.rax = static_cast<uint64_t>(-ENOSYS);
  regs.rdi = a[0];
  regs.rsi = a[1];
  regs.rdx = a[2];
  regs.r10 = a[3];
  regs.r8 = a[4];
  regs.r9 = a[5];
  regs.r15 = t->child ? t->child->token : 0;
  t->atCall = false;
  t->state = State::kCalling;
  if (Trace(PTRACE_SETREGS, t->tid, 0, &regs) < 0) return (void)::kill(t->process->pid, SIGKILL);
  Trace(PTRACE_SYSCALL, t->tid, 0, nullptr);
}

void Platform::exitThread(Thread* t) {
  const uint64_t none[6] = {};
  call(t, SYS_exit, none);
  t->state = State::kExiting;
  std::erase(t->process->members, t);
  clearOps(t);
  if (t->released) recycle(t);
}

// The call of an op came back.
void Platform::callDone(Thread* t, int64_t result) {
  Op* op = &t->ops[t->nextOp];
  bool again = result >= kFirstRestart && result <= kLastRestart;
  int error = result < 0 && result >= kLastError ? static_cast<int>(-result) : 0;
  if (t->ringing) {
    t->ringing = false;
    ringing_--;
    if (again || op->passed >= 0) return advance(t);
    return opFailed(t, error ? error : EIO);
  }
  if (op->done) {
    // The descriptor is closed; what counts is the call before.
    error = op->error;
  } else if (again) {
    return advance(t);
  } else if (op->passed >= 0) {
    op->done = true;
    op->error = error;
    return advance(t);
  }
  // Nobody hears any more of a thread that is to end after its ops.
  if (error && !op->ignore && !t->released) return opFailed(t, error);
  if (t->child) childMade(t, static_cast<pid_t>(result));
  t->nextOp++;
  advance(t);
}

// The child exists and stops by itself, unless something killed it before.
void Platform::childMade(Thread* t, pid_t tid) {
  Thread* child = t->child;
  t->child = nullptr;
  child->parent = nullptr;
  child->tid = tid;
  tids_[tid] = child;
  if (::kill(tid, 0) < 0) died(tid, SIGKILL);
}

// The kernel hears of it, and the thread stays stopped.
void Platform::opFailed(Thread* t, int error) {
  Record* r = record(t);
  r->failedOp = static_cast<double>(t->nextOp);
  r->failedErrno = error;
  Thread* child = t->child;
  forgetChild(t);
  clearOps(t);
  t->state = State::kStopped;
  t->interruptDue = false;
  if (t != zygote_) return queueEvent(t, kEventOpsFailed);
  if (child) reportDead(child, SIGKILL);
  runSpawnQueue();
}

// The child was not made: its context can be used for another try.
void Platform::forgetChild(Thread* t) {
  if (!t->child) return;
  Thread* child = t->child;
  if (child->process) std::erase(child->process->members, child);
  child->process.reset();
  child->parent = nullptr;
  child->token = 0;
  child->state = State::kNew;
  t->child = nullptr;
}

void Platform::clearOps(Thread* t) {
  for (Op& op : t->ops) {
    if (op.fd >= 0) close(op.fd);
  }
  if (t->ringing) ringing_--;
  t->ringing = false;
  t->ops.clear();
  t->nextOp = 0;
}

int Platform::spawn(Thread* t) {
  if (t->state != State::kNew) return -EINVAL;
  if (zygote_->state == State::kDead) return -EIO;
  spawns_.push_back(t->id);
  runSpawnQueue();
  return 0;
}

// The zygote forks one process at a time.
void Platform::runSpawnQueue() {
  while (!spawns_.empty() && zygote_->state == State::kStopped) {
    Thread* t = thread(static_cast<uint32_t>(spawns_.front()));
    spawns_.pop_front();
    if (!t || t->state != State::kNew) continue;
    const double args[] = {static_cast<double>(t->id), 0, 0, 0};
    addOp(zygote_, kFork, args, 0);
    advance(zygote_);
  }
}

// Take one notification: give the thread that we sent there its descriptor. Who rings by itself is killed.
void Platform::pumpListener() {
  seccomp_notif n = {};
  if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &n) < 0) return;
  auto found = tids_.find(static_cast<pid_t>(n.pid));
  Thread* t = found == tids_.end() ? nullptr : found->second;
  if (!t || !t->ringing || t->state != State::kCalling) {
    if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id) == 0) {
      ::kill(static_cast<pid_t>(n.pid), SIGKILL);
    }
    return;
  }
  Op* op = &t->ops[t->nextOp];
  seccomp_notif_addfd add = {};
  add.id = n.id;
  add.srcfd = static_cast<uint32_t>(op->fd);
  int fd = ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &add);
  seccomp_notif_resp response = {};
  response.id = n.id;
  response.error = fd < 0 ? -errno : 0;
  if (fd >= 0) {
    op->passed = fd;
    op->a[4] = static_cast<uint64_t>(fd);
  }
  // Fails when the thread was killed meanwhile.
  ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
}

}  // namespace portcullis::ptrace
