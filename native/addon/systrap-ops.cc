// Verdicts: the host calls that the kernel orders, batch by batch, and the answer that lets a thread go on.
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "systrap.h"

#define FUTEX_WAKE 1
#define FUTEX_PRIVATE_FLAG 128
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002

namespace portcullis::systrap {
namespace {

uint64_t U64(double v) { return static_cast<uint64_t>(static_cast<int64_t>(v)); }

StubOp HostCall(uint64_t nr, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0,
                uint64_t e = 0, uint64_t f = 0) {
  return {STUB_OP_SYSCALL, 0, nr, {a, b, c, d, e, f}};
}

StubOp MmapOp(const double* a) {
  uint64_t flags = U64(a[3]);
  if (!(flags & MAP_FIXED_NOREPLACE)) flags |= MAP_FIXED;
  // The descriptor is filled in when the stub has it.
  return HostCall(SYS_mmap, U64(a[0]), U64(a[1]), U64(a[2]), flags, ~0ULL, U64(a[5]));
}

StubOp MremapOp(const double* a) {
  uint64_t flags = U64(a[3]);
  if (a[4] != a[0]) flags |= MREMAP_MAYMOVE | MREMAP_FIXED;
  return HostCall(SYS_mremap, U64(a[0]), U64(a[1]), U64(a[2]), flags, U64(a[4]));
}

// Its failure does not count.
StubOp Harmless(StubOp op) {
  op.flags = STUB_OPF_IGNORE;
  return op;
}

// A bad address means that nobody waits there.
StubOp FutexWakeOp(uint64_t addr, uint64_t count, bool shared) {
  return Harmless(
      HostCall(SYS_futex, addr, FUTEX_WAKE | (shared ? 0 : FUTEX_PRIVATE_FLAG), count));
}

StubOp Encode(int kind, const double* a) {
  switch (kind) {
    case kMmap:
      return MmapOp(a);
    case kMunmap:
      return HostCall(SYS_munmap, U64(a[0]), U64(a[1]));
    case kMprotect:
      return HostCall(SYS_mprotect, U64(a[0]), U64(a[1]), U64(a[2]));
    case kMremap:
      return MremapOp(a);
    case kMadvise:
      return HostCall(SYS_madvise, U64(a[0]), U64(a[1]), U64(a[2]));
    case kFutexWake:
      return FutexWakeOp(U64(a[0]), U64(a[1]), a[2] != 0);
    case kFutexSetWaiters:
      return HostCall(SYS_futex, U64(a[0]), kFutexWakeOp | FUTEX_PRIVATE_FLAG, 0, 0, U64(a[0]),
                      kFutexOrWaiters);
    case kSetFs:
      return HostCall(SYS_arch_prctl, ARCH_SET_FS, U64(a[0]));
    case kSetGs:
      return HostCall(SYS_arch_prctl, ARCH_SET_GS, U64(a[0]));
    case kGetrusage:
      return HostCall(SYS_getrusage, U64(a[0]), U64(a[1]));
    case kThreadClock:
      return HostCall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, U64(a[0]));
    case kSetName:
      return Harmless(HostCall(SYS_prctl, PR_SET_NAME, U64(a[0])));
    case kSetTitle:
      return Harmless(HostCall(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, U64(a[0]), sizeof(prctl_mm_map)));
    case kFork:
      return {STUB_OP_FORK, 0, U64(a[0]), {}};
    case kClone:
      return {STUB_OP_CLONE, 0, U64(a[0]), {a[1] != 0, 0, U64(a[2]), U64(a[3]), 0, 0}};
    case kRewrite:
      return {STUB_OP_REWRITE, STUB_OPF_IGNORE, 0, {U64(a[0]), U64(a[1])}};
    default:
      return {STUB_OP_EXIT, 0, 0, {}};
  }
}

}  // namespace

void Platform::addOp(Thread* t, int kind, const double* a, int index) {
  PendingOp p;
  p.op = Encode(kind, a);
  p.index = index;
  // Processes that share the memory count too.
  if (kind == kRewrite) {
    p.op.a[2] = t->space->used.count() == 1;
    p.op.a[3] = t->slot->regs.rax;
  }
  if (kind == kMmap && a[4] >= 0) p.fd = static_cast<int>(a[4]);
  t->ops.push_back(p);
}

void Platform::resume(Thread* t, uint64_t result, bool withRegisters) {
  if (t->state != State::kStopped || t->wantsRing) return clearOps(t);
  // With all registers, it goes on elsewhere, in a signal handler perhaps; after a host call, perhaps without that memory.
  if (withRegisters || !t->ops.empty()) writeDeferred(t);
  t->result = t->outFault ? static_cast<uint64_t>(-EFAULT) : result;
  t->verdict = withRegisters ? STUB_RESUME_REGS : STUB_RESUME;
  if (t->bare && needsFrame(t)) {
    t->framing = Framing::kVerdict;
    return answer(t, STUB_FRAME);
  }
  carryOut(t);
}

void Platform::carryOut(Thread* t) {
  if (t->ops.empty()) return answer(t, t->verdict);
  shapeExit(t);
  pump(t);
}

// Setting all registers goes by sigreturn, and a new thread starts with a copy of the frame.
bool Platform::needsFrame(const Thread* t) const {
  if (t->verdict == STUB_RESUME_REGS) return true;
  return std::ranges::any_of(t->ops, [](const PendingOp& p) {
    return p.op.kind == STUB_OP_FORK || p.op.kind == STUB_OP_CLONE;
  });
}

void Platform::frame(Thread* t) {
  if (t->state != State::kStopped || !t->bare) return;
  t->framing = Framing::kKernel;
  answer(t, STUB_FRAME);
}

// Give the thread its next batch of ops, as soon as it can take them.
void Platform::pump(Thread* t) {
  if (!t->notification && needsRing(t)) return askForRing(t);
  writeBatch(t);
  if (t->batch.empty()) return opsStopped(t, t->failedOp, t->failedErrno);
  bool last = t->nextOp == t->ops.size() && t->failedOp < 0;
  answer(t, last ? t->verdict : STUB_MORE);
}

bool Platform::needsRing(const Thread* t) const {
  for (size_t i = t->nextOp; i < t->ops.size(); i++) {
    if (t->ops[i].fd >= 0 || t->ops[i].op.kind == STUB_OP_FORK) return true;
  }
  return false;
}

// Have the thread ring, because descriptors can only be handed to a thread whose notification is in flight.
// Those that the kernel lent us must outlive this call.
void Platform::askForRing(Thread* t) {
  for (size_t i = t->nextOp; i < t->ops.size(); i++) {
    PendingOp& p = t->ops[i];
    if (p.fd < 0 || p.owned) continue;
    p.fd = fcntl(p.fd, F_DUPFD_CLOEXEC, 3);
    if (p.fd < 0) return opsStopped(t, p.index, errno);
    p.owned = true;
  }
  expect(&t->wantsRing, true);
  uint32_t posted = SLOT_POSTED;
  __atomic_compare_exchange_n(&t->slot->state, &posted, SLOT_PARKED, false, __ATOMIC_SEQ_CST,
                              __ATOMIC_RELAXED);
}

void Platform::writeBatch(Thread* t) {
  StubSlot* slot = t->slot;
  uint32_t count = 0;
  t->batch.clear();
  while (t->nextOp < t->ops.size() && count + 2 <= STUB_MAX_OPS) {
    PendingOp& p = t->ops[t->nextOp];
    int error = handOver(t, &p);
    if (error) {
      t->failedOp = p.index;
      t->failedErrno = error;
      t->nextOp = t->ops.size();
      break;
    }
    slot->ops[count++] = p.op;
    t->batch.push_back(p.index);
    t->nextOp++;
    bool passed = p.op.kind == STUB_OP_FORK || p.fd >= 0;
    if (!passed) continue;
    uint64_t fd = p.op.kind == STUB_OP_FORK ? p.op.a[0] : p.op.a[4];
    slot->ops[count] = HostCall(SYS_close, fd);
    slot->ops[count++].flags = STUB_OPF_ALWAYS | STUB_OPF_IGNORE;
    t->batch.push_back(p.index);
  }
  slot->opCount = count;
}

// Everything an op needs before the stub can run it. Returns 0 or an errno.
int Platform::handOver(Thread* t, PendingOp* p) {
  if (p->op.kind == STUB_OP_CLONE) return prepareClone(t, thread(p->op.nr), p);
  int fd = p->fd;
  if (p->op.kind == STUB_OP_FORK) {
    Thread* child = thread(p->op.nr);
    if (!child) return EINVAL;
    // A spawn made its space when it was asked for.
    int error = child->space ? 0 : prepareFork(t, child);
    if (error) return error;
    t->childOp = p->index;
    fd = child->space->memfd.get();
  }
  if (fd < 0) return 0;
  int passed = passFd(t, fd);
  if (passed < 0) return -passed;
  p->op.a[p->op.kind == STUB_OP_FORK ? 0 : 4] = static_cast<uint64_t>(passed);
  return 0;
}

int Platform::passFd(Thread* t, int fd) {
  seccomp_notif_addfd add = {};
  add.id = t->notification;
  add.srcfd = static_cast<uint32_t>(fd);
  int r = ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &add);
  return r < 0 ? -errno : r;
}

// How a thread ends depends on who else lives in its process: the last one takes the process along, and the
// first one must stay, because its pid is how the others' memory is reached.
void Platform::shapeExit(Thread* t) {
  if (t->ops.back().op.kind != STUB_OP_EXIT) return;
  StubOp& exit = t->ops.back().op;
  if (t->process->threads == 1) {
    exit = HostCall(SYS_exit_group, 0);
  } else if (t->leader) {
    t->retired = true;
    exit.kind = STUB_OP_RETIRE;
    if (t->clearTid) {
      uint32_t zero = 0;
      iovec local = {&zero, sizeof zero};
      iovec remote = {reinterpret_cast<void*>(t->clearTid), sizeof zero};
      if (process_vm_writev(t->process->pid, &local, 1, &remote, 1, 0) == sizeof zero) {
        PendingOp wake;
        wake.op = FutexWakeOp(t->clearTid, 1, true);
        t->ops.insert(t->ops.end() - 1, wake);
      }
    }
  }
  t->exiting = true;
}

// Publish the verdict, and wake the thread if it sleeps in its doorbell call.
void Platform::answer(Thread* t, uint32_t verdict) {
  StubSlot* slot = t->slot;
  bool last = verdict != STUB_MORE && verdict != STUB_FRAME;
  countAnswer(t);
  if (t->ops.empty() || verdict == STUB_FRAME) slot->opCount = 0;
  if (verdict == STUB_RESUME_REGS) {
    const uint64_t* regs = record(t)->regs;
#define LOAD(name, frame, reg) slot->regs.name = regs[reg];
    STUB_REGISTERS(LOAD)
#undef LOAD
  }
  slot->travels = last ? t->outLength : 0;
  if (last && t->outLength > 0) {
    SLOT_TARGET(slot) = t->outAddr;
    if (t->outLength <= STUB_SMALL_MAX) memcpy(slot_small(slot), t->outSmall, STUB_SMALL_MAX);
  }
  if (verdict == STUB_RESUME) slot->regs.rax = t->result;
  slot->kind = verdict;
  uint32_t before = __atomic_exchange_n(&slot->state, SLOT_ANSWERED, __ATOMIC_SEQ_CST);
  setRunning(t);
  if (t->notification) {
    uint64_t id = t->notification;
    t->notification = 0;
    reply(id);
  } else if (before == SLOT_BELL) {
    expect(&t->owed, true);
  }
  if (last && t->exiting) {
    clearRunning(t);
    t->process->threads--;
    setState(t, State::kExiting);
    clearOps(t);
    if (t->released && recyclable(t)) recycle(t);
    return;
  }
  if (t->interruptDue && last) {
    t->interruptDue = false;
    interrupt(t);
  }
}

// An op failed, in the stub or before it got there: the kernel hears of it, and the thread stays stopped.
void Platform::opsStopped(Thread* t, int op, int error) {
  if (t->child && t->childOp >= op) {
    Thread* child = t->child;
    // The child is there, whatever its maker says.
    if (child->state != State::kStarting && !child->fresh) ::kill(t->process->pid, SIGKILL);
    child->parent = nullptr;
    clearRunning(child);
    if (child->space == t->space) {
      t->space->used.reset(child->index);
      t->space->blocks.reset(child->index);
    }
    child->space.reset();
    if (child->process) {
      std::erase(child->process->members, child);
      child->process->threads--;
    }
    child->process.reset();
    child->slot = nullptr;
    child->token = 0;
    setState(child, State::kNew);
    t->child = nullptr;
    if (t == zygote_) {
      record(child)->failedErrno = error;
      reportDead(child, 9);
    }
  }
  t->exiting = false;
  opsDone(t);
  Record* r = record(t);
  r->failedOp = op;
  r->failedErrno = error;
  if (t != zygote_) queueEvent(t, STUB_EV_OPS_FAILED);
}

// All ops ran: the child that one of them made exists, unless the parent lies.
void Platform::opsDone(Thread* t) {
  if (t->child) {
    t->child->confirmed = true;
    t->child->hintPid = t->slot->child;
    if (!t->child->leader) adopt(t->child, static_cast<pid_t>(t->slot->child));
    t->child->parent = nullptr;
    t->child = nullptr;
  }
  clearOps(t);
}

void Platform::clearOps(Thread* t) {
  for (PendingOp& p : t->ops) {
    if (p.owned) close(p.fd);
  }
  t->ops.clear();
  t->batch.clear();
  t->nextOp = 0;
  t->failedOp = -1;
}

}  // namespace portcullis::systrap
