// Waiting for events: scanning the slots, spinning while that pays, and sleeping in one system call that
// covers notifications, host descriptors, child deaths and the deadline.
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "systrap.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS _IOW('!', 4, uint64_t)
#endif
#define SYNC_WAKE_UP 1

namespace portcullis::systrap {
namespace {

constexpr int kNothing = -3;

// An event that comes within this time is cheaper to spin for than to sleep for.
constexpr double kSpinNs = 25'000;
constexpr double kTrialSpinNs = 100'000;
// What spinning saves with each call that is answered at once, and what it costs with each one answered later:
// that thread sleeps, and must be woken on another CPU instead of ours.
constexpr double kPromptGainNs = 10'000;
constexpr double kLateLossNs = 50'000;
// An answer that has waited for the gofer this long: that wants the CPU on which the thread spins. Without spinning, the three
// of them hand one CPU to each other.
constexpr double kSlowAnswerNs = 15'000;
constexpr double kSlowLossNs = 80'000;
// After events that spinning missed, the score falls until spinning stops; it is tried again after a pause
// that doubles with each trial in vain, if events come more often than this.
constexpr double kSpinGapNs = 60'000;
constexpr int kFullScore = 16;
constexpr int kTrialScore = 6;
constexpr int kMissed = 2;
constexpr double kFirstPauseNs = 2e6;
constexpr double kLongestPauseNs = 64e6;
// How long a stub thread may spin for its verdict.
constexpr double kStubSpinNs = 30'000;
// How often host descriptors are looked at while stubs keep us busy.
constexpr double kHostCheckNs = 250'000;
constexpr size_t kMaxWaiting = 16;

// A call site is rewritten when it has trapped this often: it costs about as much as four traps, and a page.
constexpr uint8_t kHotSite = 24;
constexpr size_t kMaxSites = 1024;

// The host answers some calls of the program natively, if their arguments allow it: those must reach it. Those that
// need a signal frame gain nothing.
bool MayRewrite(uint64_t nr) {
  if (STUB_IS_NATIVE(nr)) return false;
  switch (nr) {
    case SYS_rt_sigreturn:
    case SYS_clone:
    case SYS_clone3:
    case SYS_fork:
    case SYS_vfork:
      return false;
    default:
      return nr < 512;
  }
}

constexpr uint64_t kTokenIdMask = 0xfff;
constexpr uint32_t kCacheLine = 64;
// The position of a call's last argument.
constexpr uint32_t kMaxArg = 5;
static_assert(kMaxThreads <= kTokenIdMask + 1);

}  // namespace

int Platform::wait(double deadlineNs) {
  current_ = -1;
  tellCpu();
  for (;;) {
    if (g_childDied.load(std::memory_order_relaxed)) reap();
    if (expected_ > 0 && Readable(listener_.get())) receive();
    if (host_.any() && hostDue()) return kHost;
    if (waiting_.size() >= kMaxWaiting) park();
    if (int ready = nextReady(); ready >= 0) return ready;
    int id = scan();
    // Events first: a deadline that is always past must not keep threads from being heard.
    if (id == kNothing && std::isfinite(deadlineNs) && NowNs() >= deadlineNs) return kTimeout;
    if (id == kNothing) id = idle(deadlineNs);
    if (id != kNothing) return id;
  }
}

// The events that were found elsewhere than in a slot.
int Platform::nextReady() {
  while (!ready_.empty()) {
    Thread* t = thread(static_cast<uint32_t>(ready_.front()));
    ready_.pop_front();
    if (!t || !t->queued) continue;
    t->queued = false;
    return deliver(t);
  }
  return kNothing;
}

void Platform::queueEvent(Thread* t, int event) {
  record(t)->event = event;
  if (t->queued || t == zygote_) return;
  t->queued = true;
  ready_.push_back(t->id);
}

int Platform::deliver(Thread* t) {
  if (t->state == State::kStopped && !t->notification) waiting_.push_back(t->id);
  takeFetched(t);
  return t->id;
}

void Platform::setRunning(Thread* t) {
  setState(t, State::kRunning);
  if (t->runAt >= 0) return;
  t->runAt = static_cast<int>(running_.size());
  running_.push_back(t);
  g_oneCpu.others = running_.size();
}

void Platform::clearRunning(Thread* t) {
  if (t->runAt < 0) return;
  Thread* last = running_.back();
  running_[static_cast<size_t>(t->runAt)] = last;
  last->runAt = t->runAt;
  running_.pop_back();
  t->runAt = -1;
  g_oneCpu.others = running_.size();
}

// Look at the slot of every running thread once, starting where the last look ended.
int Platform::scan() {
  size_t count = running_.size();
  for (size_t k = 0; k < count && !running_.empty(); k++) {
    if (++scanAt_ >= running_.size()) scanAt_ = 0;
    Thread* t = running_[scanAt_];
    uint32_t state = __atomic_load_n(&t->slot->state, __ATOMIC_ACQUIRE);
    if (state != SLOT_POSTED && state != SLOT_BELL) continue;
    if (spinning_ && state == SLOT_BELL && t->slot->spunInVain) missed(Ticks());
    if (takeEvent(t)) return deliver(t);
  }
  return kNothing;
}

// Called with each answer: was it given at once, and before we next had nothing to do?
void Platform::countAnswer(const Thread* t) {
  double gain = kPromptGainNs;
  double ticks = static_cast<double>(Ticks() - t->takenTicks);
  if (t->takenAt != idles_) {
    gain = -kLateLossNs;
  } else if (ticks > kSlowAnswerNs * ticksPerNs_) {
    // The kernel's own work says nothing while it is shorter than a thread spins: it gets faster with each time.
    if (ticks < kStubSpinNs * ticksPerNs_ && !g_oneCpu.messagedSince(t->takenTicks)) return;
    gain = -kSlowLossNs;
  }
  gainNs_ += (gain - gainNs_) / 16;
  if (!spinning_ || gainNs_ > -kPromptGainNs / 2) return;
  setSpinning(false);
  trySpinAt_ = Ticks() + static_cast<uint64_t>(kFirstPauseNs * ticksPerNs_);
}

int Platform::idle(double deadlineNs) {
  park();
  idles_++;
  uint64_t start = Ticks();
  g_oneCpu.idle(start);
  int found = kNothing;
  bool hope = !running_.empty() || expected_ > 0;
  bool spun = spinning_ && hope;
  if (!spinning_) {
    tryToSpin(start);
  } else if (hope && (found = spin(start)) != kNothing) {
    spinScore_ = std::min(spinScore_ + 1, kFullScore);
    if (spinScore_ == kFullScore) spinPauseNs_ = kFirstPauseNs;
    return found;
  }
  if (!g_childDied.load()) found = sleep(deadlineNs);
  uint64_t now = Ticks();
  gapNs_ = static_cast<double>(now - start) / ticksPerNs_;
  if (spun) missed(now);
  return found;
}

int Platform::spin(uint64_t start) {
  // The first event of a trial may have to wait until the other CPU has woken up.
  double ns = spinScore_ <= kTrialScore ? kTrialSpinNs : kSpinNs;
  uint64_t bound = static_cast<uint64_t>(ns * ticksPerNs_);
  int found = kNothing;
  do {
    if ((found = scan()) != kNothing) break;
    if (g_childDied.load(std::memory_order_relaxed)) break;
    if (expected_ > 0 && Readable(listener_.get())) receive();
    if ((found = nextReady()) != kNothing) break;
    tellCpu();
    __builtin_ia32_pause();
  } while (Ticks() - start < bound);
  return found;
}

// A thread that spins on our CPU keeps us from answering it.
void Platform::tellCpu() {
  uint32_t cpu;
  __builtin_ia32_rdtscp(&cpu);
  if (cpu == cpu_) return;
  cpu_ = cpu;
  __atomic_store_n(&status_->cpu, cpu, __ATOMIC_RELAXED);
}

// An event came too late for spinning, or its thread gave up spinning because we did not run.
void Platform::missed(uint64_t now) {
  spinScore_ -= kMissed;
  if (spinScore_ > 0) return;
  setSpinning(false);
  trySpinAt_ = now + static_cast<uint64_t>(spinPauseNs_ * ticksPerNs_);
  spinPauseNs_ = std::min(spinPauseNs_ * 2, kLongestPauseNs);
}

void Platform::tryToSpin(uint64_t now) {
  if (cpus_ < 2 || gapNs_ > kSpinGapNs || gainNs_ < 0 || now < trySpinAt_) return;
  spinScore_ = kTrialScore;
  setSpinning(true);
}

// While we spin, woken threads should run on another CPU; while we sleep, on ours, which we are about to leave.
void Platform::setSpinning(bool on) {
  spinning_ = on;
  g_oneCpu.spinning = on;
  status_->spinTicks = on ? static_cast<uint64_t>(kStubSpinNs * ticksPerNs_) : 0;
  // Linux 6.6; without the flag hand-overs work, only slower.
  ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, on ? 0 : SYNC_WAKE_UP);
  if (!on) return;
  g_oneCpu.release();
  leaveCpu();
}

// Move this thread to another CPU. The scheduler would take its time to part it from a thread with which it
// shares one, because they never run at once.
void Platform::leaveCpu() {
  cpu_set_t others = allowed_;
  int cpu = sched_getcpu();
  if (cpu < 0) return;
  CPU_CLR(static_cast<size_t>(cpu), &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) < 0) return;
  sched_setaffinity(0, sizeof allowed_, &allowed_);
}

int Platform::sleep(double deadlineNs) {
  __atomic_exchange_n(&status_->awake, 0, __ATOMIC_SEQ_CST);
  int found = scan();
  if (found == kNothing && !g_childDied.load() && ready_.empty()) {
    TimeLimit limit(deadlineNs);
    pollfd fds[] = {{listener_.get(), POLLIN, 0}, {childFd_.get(), POLLIN, 0}, {host_.fd(), POLLIN, 0}};
    int n = ppoll(fds, host_.any() ? 3 : 2, limit.get(), nullptr);
    __atomic_store_n(&status_->awake, 1, __ATOMIC_SEQ_CST);
    if (n <= 0) return kNothing;
    uint64_t count;
    if (fds[1].revents && read(childFd_.get(), &count, sizeof count) < 0) count = 0;
    if (fds[0].revents & POLLIN) receive();
    if (fds[2].revents && ready_.empty()) found = kHost;
  }
  __atomic_store_n(&status_->awake, 1, __ATOMIC_SEQ_CST);
  return found;
}

// Threads whose call the kernel did not answer at once will wait for long: they should leave the CPU.
void Platform::park() {
  for (int id : waiting_) {
    Thread* t = thread(static_cast<uint32_t>(id));
    if (!t || t->state != State::kStopped || t->notification) continue;
    uint32_t posted = SLOT_POSTED;
    __atomic_compare_exchange_n(&t->slot->state, &posted, SLOT_PARKED, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_RELAXED);
  }
  waiting_.clear();
}

bool Platform::hostDue() {
  return host_.due(Ticks(), static_cast<uint64_t>(kHostCheckNs * ticksPerNs_));
}

void Platform::reply(uint64_t id) {
  seccomp_notif_resp response = {};
  response.id = id;
  // Fails when the thread was killed meanwhile.
  ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
}

// Take one notification. Which thread it is follows from its token; that the token is that thread's own, from
// the tid that only the kernel fills in. Who rings without one is killed.
void Platform::receive() {
  seccomp_notif n = {};
  if (ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &n) < 0) return;
  uint64_t token = n.data.args[0];
  pid_t tid = static_cast<pid_t>(n.pid);
  Thread* t = thread(static_cast<uint32_t>(token & kTokenIdMask));
  bool valid = t && t->token == token && token != 0;
  if (valid && t->state == State::kStarting) {
    valid = bind(t, tid);
  } else if (valid) {
    adopt(t, tid);
    valid = t->tid == tid;
  }
  if (valid) return rung(t, n.id);
  // The id is valid while the thread still waits, so its tid is its own.
  if (tid > 0 && ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id) == 0) ::kill(tid, SIGKILL);
}

void Platform::rung(Thread* t, uint64_t id) {
  if (t->owed) {
    expect(&t->owed, false);
    reply(id);
    if (t->released && recyclable(t)) recycle(t);
    return;
  }
  if (t->state == State::kDead || t->state == State::kExiting) return;
  t->notification = id;
  if (t->state == State::kRunning) {
    uint32_t state = __atomic_load_n(&t->slot->state, __ATOMIC_ACQUIRE);
    if (state != SLOT_BELL) {
      // A ring without an event: nothing to say to it.
      t->notification = 0;
      return reply(id);
    }
    if (takeEvent(t)) queueEvent(t, static_cast<int>(record(t)->event));
  } else if (t->wantsRing) {
    expect(&t->wantsRing, false);
    pump(t);
  } else if (t->fresh) {
    takeEvent(t);
    if (t == spare_) {
      spareReady_ = true;
    } else {
      queueEvent(t, STUB_EV_STARTED);
    }
  } else if (t == zygote_) {
    runSpawnQueue();
  }
}

// Copy the event out of the slot, once, into memory that the stub cannot change. Returns whether it is one
// for the kernel.
bool Platform::takeEvent(Thread* t) {
  const StubSlot* slot = t->slot;
  t->takenAt = idles_;
  t->takenTicks = Ticks();
  bool started = t->fresh;
  t->fresh = false;
  uint32_t word = started ? STUB_EV_STARTED : __atomic_load_n(&slot->kind, __ATOMIC_RELAXED);
  uint32_t kind = word & STUB_EV_KIND;
  clearRunning(t);
  setState(t, State::kStopped);
  if (t->framing != Framing::kNo) return takeFrame(t, kind);
  if (kind == STUB_EV_MORE || kind == STUB_EV_OPS_FAILED) return takeOpsEvent(t, kind);
  opsDone(t);
  t->outLength = 0;
  t->outFault = false;
  t->interruptDue = false;
  t->bare = kind == STUB_EV_SYSCALL && (word & STUB_EV_BARE) != 0;
  t->fpstate = t->bare ? 0 : slot->fpstate;
  t->fetched = kind == STUB_EV_SYSCALL ? slot->travels : 0;
  t->fetchedArg = std::min<uint32_t>(word >> STUB_EV_ARG_SHIFT, kMaxArg);
  expectData(t);
  Record* r = record(t);
  r->event = kind;
  r->nr = static_cast<uint32_t>(slot->regs.rax);
  r->ip = static_cast<double>(slot->regs.rip);
  r->sp = static_cast<double>(slot->regs.rsp);
  r->args[0] = slot->regs.rdi;
  r->args[1] = slot->regs.rsi;
  r->args[2] = slot->regs.rdx;
  r->args[3] = slot->regs.r10;
  r->args[4] = slot->regs.r8;
  r->args[5] = slot->regs.r9;
  r->bare = t->bare;
  r->hot = kind == STUB_EV_SYSCALL && !t->bare && countSite(t, slot->regs.rip, slot->regs.rax);
  if (kind == STUB_EV_FAULT) {
    r->signo = static_cast<double>(slot->signo & 63);
    r->code = static_cast<double>(static_cast<int32_t>(slot->code));
    r->faultAddr = static_cast<double>(slot->addr);
    r->errorCode = static_cast<double>(slot->error);
    r->trapNo = static_cast<double>(slot->trapno);
  } else if (kind != STUB_EV_SYSCALL && kind != STUB_EV_INTERRUPT && !started) {
    // No stub of ours says that.
    ::kill(t->process->pid, SIGKILL);
    return false;
  }
  return t != zygote_;
}

// The bytes that came along are in the other CPU's cache, and are on their way while JavaScript finds the handler.
void Platform::expectData(const Thread* t) {
  if (t->fetched > STUB_DATA_MAX) return;
  for (uint32_t at = 0; at < t->fetched; at += kCacheLine) __builtin_prefetch(slot_data(t->slot) + at);
}

// The thread has left the gate and has a signal frame now; what it was to do, it can do.
bool Platform::takeFrame(Thread* t, uint32_t kind) {
  if (kind != STUB_EV_FRAME) {
    ::kill(t->process->pid, SIGKILL);
    return false;
  }
  bool forKernel = t->framing == Framing::kKernel;
  t->framing = Framing::kNo;
  t->bare = false;
  t->fpstate = t->slot->fpstate;
  record(t)->bare = 0;
  record(t)->event = kEventFrame;
  if (!forKernel) carryOut(t);
  return forKernel;
}

// Whether the call site before `ip` has just become worth a rewrite.
bool Platform::countSite(Thread* t, uint64_t ip, uint64_t nr) const {
  if (!canRewrite_ || !MayRewrite(nr)) return false;
  auto& sites = t->space->sites;
  auto found = sites.find(ip);
  if (found == sites.end()) {
    if (sites.size() < kMaxSites) sites.emplace(ip, 1);
    return false;
  }
  return found->second < kHotSite && ++found->second == kHotSite;
}

bool Platform::takeOpsEvent(Thread* t, uint32_t kind) {
  if (t->batch.empty()) {
    ::kill(t->process->pid, SIGKILL);
    return false;
  }
  if (kind == STUB_EV_OPS_FAILED) {
    uint32_t at = t->slot->opIndex;
    int64_t error = -t->slot->opResult;
    size_t last = t->batch.size() - 1;
    opsStopped(t, t->batch[std::min<size_t>(at, last)],
               error > 0 && error < 4096 ? static_cast<int>(error) : EIO);
  } else if (t->nextOp < t->ops.size()) {
    pump(t);
  } else if (t->failedOp >= 0) {
    opsStopped(t, t->failedOp, t->failedErrno);
  } else {
    // Only the zygote has nothing to go on with.
    opsDone(t);
  }
  if (t != zygote_ || t->state != State::kStopped) return false;
  uint32_t posted = SLOT_POSTED;
  __atomic_compare_exchange_n(&t->slot->state, &posted, SLOT_PARKED, false, __ATOMIC_SEQ_CST,
                              __ATOMIC_RELAXED);
  runSpawnQueue();
  return false;
}

void Platform::getRegs(Thread* t) {
  if (!t->slot) return;
  uint64_t* regs = record(t)->regs;
#define SAVE(name, frame, reg) regs[reg] = t->slot->regs.name;
  STUB_REGISTERS(SAVE)
#undef SAVE
}

// The thread itself says it: any value may be a lie.
double Platform::fsBase(const Thread* t) const {
  if (!t->slot || t->slot->fsBase == STUB_FS_UNKNOWN) return -1;
  return static_cast<double>(t->slot->fsBase);
}

}  // namespace portcullis::systrap
