// How stub processes come to be: the zygote's start, and the address spaces of those forked from it.
#include <asm/hwcap2.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/auxv.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "descriptors.h"
#include "systrap.h"

namespace portcullis::systrap {
namespace {

// The machine may be busy with the start of many.
constexpr double kStartTimeoutNs = 60e9;

// A stub process can clone by itself. The host counts all processes of the sandboxes' user together, so this
// leaves room for several sandboxes and keeps one from taking every pid of the host.
constexpr rlim_t kMaxHostProcesses = 16384;

constexpr unsigned long kHwcap2FsGsBase = 2;

int g_childFd = -1;

// The main thread looks at the flag whenever it is awake; it must be woken only when it sleeps.
const StubStatus* g_status = nullptr;

void OnChild(int) {
  int saved = errno;
  g_childDied.store(true);
  const StubStatus* status = g_status;
  if (status && !__atomic_load_n(&status->awake, __ATOMIC_SEQ_CST)) {
    uint64_t one = 1;
    [[maybe_unused]] ssize_t r = write(g_childFd, &one, sizeof one);
  }
  errno = saved;
}

void Limit(int resource, rlim_t value) {
  rlimit limit = {value, value};
  setrlimit(static_cast<__rlimit_resource>(resource), &limit);
}

// Between vfork and exec: only calls that change nothing in the memory shared with the parent.
[[noreturn]] void ExecStub(int stub, int status, int slots, int filter) {
  // Out of the way of the numbers that they get next.
  int high[] = {fcntl(status, F_DUPFD, 100), fcntl(slots, F_DUPFD, 100), fcntl(filter, F_DUPFD, 100),
                fcntl(stub, F_DUPFD_CLOEXEC, 100)};
  dup2(high[0], STUB_FD_STATUS);
  dup2(high[1], STUB_FD_SLOTS);
  dup2(high[2], STUB_FD_FILTER);
  dup2(high[3], STUB_FD_FILTER + 1);
  fcntl(STUB_FD_FILTER + 1, F_SETFD, FD_CLOEXEC);
  syscall(SYS_close_range, STUB_FD_FILTER + 2, ~0U, 0);
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_NOFILE, 256);
  Limit(RLIMIT_NPROC, kMaxHostProcesses);
  Limit(RLIMIT_MEMLOCK, 0);
  Limit(RLIMIT_MSGQUEUE, 0);
  char name[] = "portcullis-stub";
  char* argv[] = {name, nullptr};
  char* envp[] = {nullptr};
  syscall(SYS_execveat, STUB_FD_FILTER + 1, "", argv, envp, AT_EMPTY_PATH);
  _exit(127);
}

}  // namespace

std::atomic<bool> g_childDied{false};

Space::~Space() {
  if (slots) munmap(slots, STUB_SLOTS_SIZE);
}

int Platform::start(int stub, const uint8_t* filter, size_t length, uint8_t* records,
                    std::string* failure) {
  records_ = records;
  canRewrite_ = (getauxval(AT_HWCAP2) & kHwcap2FsGsBase) != 0;
  if (sched_getaffinity(0, sizeof allowed_, &allowed_) == 0) cpus_ = CPU_COUNT(&allowed_);
  *failure = "descriptors";
  if (int r = host_.open(); r < 0) return r;
  childFd_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!childFd_.valid()) return -errno;
  *failure = "status page";
  if (int r = makeStatusPage(); r < 0) return r;
  g_childFd = childFd_.get();
  g_status = status_;
  struct sigaction action = {};
  action.sa_handler = OnChild;
  action.sa_flags = SA_RESTART;
  sigaction(SIGCHLD, &action, nullptr);
  double ns = NowNs();
  uint64_t ticks = Ticks();
  int r = startZygote(stub, filter, length, failure);
  if (r < 0) return r;
  ticksPerNs_ = static_cast<double>(Ticks() - ticks) / (NowNs() - ns);
  g_oneCpu.start(allowed_, ticksPerNs_);
  setSpinning(cpus_ > 1);
  return 0;
}

Platform::~Platform() {
  g_status = nullptr;
  signal(SIGCHLD, SIG_DFL);
  for (auto& [pid, process] : processes_) ::kill(pid, SIGKILL);
  if (zygotePid_ > 0) ::kill(zygotePid_, SIGKILL);
  for (auto& [pid, process] : processes_) waitpid(pid, nullptr, __WALL);
  if (zygotePid_ > 0) waitpid(zygotePid_, nullptr, __WALL);
  if (status_) munmap(status_, STUB_PAGE);
}

int Platform::makeStatusPage() {
  statusFd_ = Fd(memfd_create("status", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!statusFd_.valid() || ftruncate(statusFd_.get(), STUB_PAGE) < 0) return -errno;
  void* page = mmap(nullptr, STUB_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, statusFd_.get(), 0);
  if (page == MAP_FAILED) return -errno;
  status_ = static_cast<StubStatus*>(page);
  status_->awake = 1;
  status_->fsgsbase = (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) != 0;
  // Our mapping stays writable; a stub can never get one, not even with mprotect.
  int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  return fcntl(statusFd_.get(), F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

std::shared_ptr<Space> Platform::makeSpace() {
  auto space = std::make_shared<Space>();
  space->memfd = Fd(BelowCeiling(memfd_create("slots", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  if (!space->memfd.valid() || ftruncate(space->memfd.get(), STUB_SLOTS_SIZE) < 0) return nullptr;
  // A stub that could shrink the file would crash us at our next access.
  fcntl(space->memfd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  void* slots = mmap(nullptr, STUB_SLOTS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                     space->memfd.get(), 0);
  if (slots == MAP_FAILED) return nullptr;
  space->slots = static_cast<uint8_t*>(slots);
  return space;
}

pid_t Platform::execZygote(int stub, int slots, int filter) {
  sigset_t all, before;
  sigfillset(&all);
  // A handler of ours must not run in the child, which shares our memory.
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = vfork();
  if (pid == 0) ExecStub(stub, statusFd_.get(), slots, filter);
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return pid < 0 ? -error : pid;
}

int Platform::startZygote(int stub, const uint8_t* filter, size_t length, std::string* failure) {
  *failure = "filter";
  Fd program(memfd_create("filter", MFD_CLOEXEC));
  if (!program.valid() || length == 0 || length > 4096 * 8 || length % 8) return -EINVAL;
  if (ftruncate(program.get(), 0x10000) < 0) return -errno;
  if (pwrite(program.get(), filter, length, 0) != static_cast<ssize_t>(length)) return -EIO;
  *failure = "slots";
  int id = newThread();
  zygote_ = thread(static_cast<uint32_t>(id));
  zygote_->space = makeSpace();
  if (!zygote_->space) return -ENOMEM;
  zygote_->space->used.set(0);
  zygote_->space->blocks.set(0);
  zygote_->leader = true;
  startChild(zygote_, zygote_, 0);
  zygote_->parent = zygote_->child = nullptr;
  zygote_->slot->ops[0].a[SETUP_FILTER_LENGTH] = length / 8;
  *failure = "exec";
  zygotePid_ = execZygote(stub, zygote_->space->memfd.get(), program.get());
  if (zygotePid_ < 0) return zygotePid_;
  return awaitZygote(failure);
}

// Wait for the zygote's report, take the listener from it and let it go on.
int Platform::awaitZygote(std::string* failure) {
  StubSlot* slot = zygote_->slot;
  double end = NowNs() + kStartTimeoutNs;
  *failure = "zygote";
  for (uint32_t state; (state = __atomic_load_n(&slot->state, __ATOMIC_SEQ_CST)) != SLOT_SETUP_DONE;) {
    if (NowNs() > end) return -ETIMEDOUT;
    if (waitpid(zygotePid_, nullptr, WNOHANG) == zygotePid_) {
      zygotePid_ = 0;
      return -ECHILD;
    }
    timespec pause = {0, 5'000'000};
    syscall(SYS_futex, &slot->state, FUTEX_WAIT, state, &pause, nullptr, 0);
  }
  const uint64_t* report = slot->ops[0].a;
  if (report[SETUP_ERROR]) {
    *failure = "zygote, step " + std::to_string(report[SETUP_ERROR] >> 32);
    return -static_cast<int>(report[SETUP_ERROR] & 0xfff);
  }
  vdso = report[SETUP_VDSO];
  holeStart = report[SETUP_HOLE_START];
  holeEnd = report[SETUP_HOLE_END];
  *failure = "listener";
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, zygotePid_, 0)));
  listener_ = Fd(static_cast<int>(syscall(SYS_pidfd_getfd, pidfd.get(), report[SETUP_LISTENER], 0)));
  if (!listener_.valid()) return -errno;
  *failure = "first event";
  if (!bind(zygote_, zygotePid_)) return -ESRCH;
  zygote_->fresh = false;
  setRunning(zygote_);
  __atomic_store_n(&slot->state, SLOT_SETUP_TAKEN, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, &slot->state, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  while (zygote_->state != State::kStopped) {
    if (NowNs() > end || g_childDied.load()) return -ECHILD;
    scan();
    sched_yield();
  }
  *failure = "FPU state";
  return learnFpu();
}

int Platform::spawn(Thread* t) {
  if (t->state != State::kNew || t->space) return -EINVAL;
  if (zygote_->state == State::kDead) return -EIO;
  if (spareReady_) {
    takeSpare(t);
  } else if (int r = orderProcess(t); r < 0) {
    return r;
  }
  orderSpare();
  return 0;
}

int Platform::orderProcess(Thread* t) {
  t->space = makeSpace();
  if (!t->space) return -ENOMEM;
  spawns_.push_back(t->id);
  runSpawnQueue();
  return 0;
}

// One fresh process waits for the next exec, which then need not wait for a fork.
void Platform::orderSpare() {
  if (spare_) return;
  int id = newThread();
  if (id < 0) return;
  Thread* t = thread(static_cast<uint32_t>(id));
  spare_ = t;
  if (orderProcess(t) < 0) dropSpare();
}

void Platform::dropSpare() {
  Thread* t = spare_;
  spare_ = nullptr;
  spareReady_ = false;
  release(t);
}

// The process that has started as the spare one is `t`'s from now on. It still waits in its first ring.
void Platform::takeSpare(Thread* t) {
  int id = t->id;
  Thread* spare = spare_;
  int spareId = spare->id;
  std::swap(*t, *spare);
  t->id = id;
  spare->id = spareId;
  std::ranges::replace(t->process->members, spare, t);
  t->token = newToken(t);
  t->slot->token = t->token;
  *record(t) = *record(spare);
  dropSpare();
  queueEvent(t, STUB_EV_STARTED);
}

// The zygote forks one process at a time.
void Platform::runSpawnQueue() {
  while (!spawns_.empty() && zygote_->state == State::kStopped && zygote_->ops.empty()) {
    Thread* t = thread(static_cast<uint32_t>(spawns_.front()));
    spawns_.pop_front();
    if (!t || t->state != State::kNew || !t->space) continue;
    t->space->used.set(0);
    t->space->blocks.set(0);
    t->leader = true;
    startChild(zygote_, t, 0);
    const double args[] = {static_cast<double>(t->id)};
    addOp(zygote_, 9, args, 0);
    zygote_->verdict = STUB_MORE;
    pump(zygote_);
  }
}

// A fork's child keeps its parent's slot index: its stack is a copy that lies at the same address.
int Platform::prepareFork(Thread* parent, Thread* child) {
  if (child->state != State::kNew) return EINVAL;
  child->space = makeSpace();
  if (!child->space) return ENOMEM;
  child->space->used.set(parent->index);
  child->space->blocks = parent->space->blocks;
  child->leader = true;
  startChild(parent, child, parent->index);
  return 0;
}

int Platform::prepareClone(Thread* parent, Thread* child, PendingOp* p) {
  if (!child || child->state != State::kNew) return EINVAL;
  Space* space = parent->space.get();
  uint32_t index = space->allocateIndex();
  if (index >= STUB_MAX_THREADS) return EAGAIN;
  bool sameProcess = p->op.a[0] != 0;
  space->used.set(index);
  child->space = parent->space;
  child->leader = !sameProcess;
  child->clearTid = p->op.a[2];
  if (sameProcess) {
    child->process = parent->process;
    child->process->members.push_back(child);
    child->process->threads++;
  }
  startChild(parent, child, index);
  parent->childOp = p->index;
  p->op.a[0] = sameProcess ? STUB_CLONE_THREAD : STUB_CLONE_SHARED;
  p->op.a[1] = index;
  p->op.a[5] = !space->blocks.test(index);
  space->blocks.set(index);
  return 0;
}

}  // namespace portcullis::systrap
