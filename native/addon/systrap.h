// The sentry's side of the systrap platform: what it knows of each stub thread, process and address space,
// in memory that no stub can reach. native/stub/README.md describes the protocol.
#pragma once

#include <linux/seccomp.h>
#include <napi.h>
#include <sched.h>
#include <sys/types.h>

#include <atomic>
#include <bitset>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "host-watch.h"
#include "one-cpu.h"
#include "record.h"
#include "stub-memory.h"
#include "stub/slot.h"

namespace portcullis::systrap {

// One address space: the slots of its threads. Shared by the processes that share the memory.
struct Space {
  ~Space();
  uint32_t allocateIndex();

  Fd memfd;
  uint8_t* slots = nullptr;
  std::bitset<STUB_MAX_THREADS> used;
  // Stacks that are mapped in the stub, by thread index.
  std::bitset<STUB_MAX_THREADS> blocks;
  // Indices whose thread was ordered to exit and may not have read the order yet.
  std::vector<uint32_t> leaving;
  // How often system calls trapped, by the address behind them.
  std::unordered_map<uint64_t, uint8_t> sites;
};

struct Thread;

struct Process {
  pid_t pid = 0;
  // Threads that run, or may still run, program code.
  int threads = 0;
  bool killed = false;
  bool reaped = false;
  std::vector<Thread*> members;
  // Slots of released threads that may be touched until the process is reaped.
  std::vector<std::pair<std::shared_ptr<Space>, uint32_t>> indices;
};

// A host call of the kernel's op list. `fd` >= 0 must be handed to the stub first.
struct PendingOp {
  StubOp op;
  int fd = -1;
  // The descriptor is a duplicate of ours.
  bool owned = false;
  // Position in the kernel's list.
  int index = 0;
};

// A thread in the gate has been asked for a signal frame: by the kernel, or to carry out a verdict that needs one.
enum class Framing : uint8_t { kNo, kKernel, kVerdict };

enum class State : uint8_t {
  kFree,
  kNew,       // a context with no host thread yet
  kStarting,  // its clone is ordered; the child will ring with the token
  kRunning,   // answered: runs program code or ops
  kStopped,   // its event was taken and not answered yet
  kExiting,   // ordered to end
  kDead,      // the process is gone
};

struct Thread {
  int id = 0;
  State state = State::kFree;
  bool leader = false;
  // A ring was or will be made for an answer that is given already; the reply is still due.
  bool owed = false;
  // The pending ops need a notification in flight.
  bool wantsRing = false;
  // The kernel gave the context back; it is free as soon as nothing is due any more.
  bool released = false;
  // A first thread that ended before the others: it sleeps until its process dies.
  bool retired = false;
  // The order that made this thread was carried out, as far as its parent says.
  bool confirmed = false;
  // An interrupt that came while the thread was between two batches of ops.
  bool interruptDue = false;
  bool queued = false;
  // Its call came through the gate: there is no signal frame, and no FPU state that could be reached.
  bool bare = false;
  Framing framing = Framing::kNo;
  // Bound to its host thread, and its first event is still to be taken.
  bool fresh = false;
  // The last of its pending ops ends the thread.
  bool exiting = false;
  pid_t tid = 0;
  // The child's pid as the untrusted parent reported it.
  int64_t hintPid = 0;
  // How often the waiter had been idle when its event was taken.
  uint64_t takenAt = 0;
  // The CPU's clock then.
  uint64_t takenTicks = 0;
  uint32_t index = 0;
  int runAt = -1;
  uint64_t token = 0;
  uint64_t notification = 0;
  uint64_t clearTid = 0;
  std::shared_ptr<Space> space;
  std::shared_ptr<Process> process;
  StubSlot* slot = nullptr;
  Thread* parent = nullptr;
  // The thread that the ops under way make.
  Thread* child = nullptr;

  std::vector<PendingOp> ops;
  size_t nextOp = 0;
  std::vector<int> batch;
  int childOp = 0;
  uint64_t result = 0;
  uint32_t verdict = 0;
  uint64_t fpstate = 0;
  // How many bytes its call has brought along, and which argument points to them.
  uint32_t fetched = 0;
  uint8_t fetchedArg = 0;
  // Memory that the thread will write itself when its call returns; the bytes are in its slot, or here if they are few.
  uint64_t outAddr = 0;
  uint32_t outLength = 0;
  uint8_t outSmall[STUB_SMALL_MAX] = {};
  bool outFault = false;
  // A descriptor could not be handed over: reported as failure of this op after those before it ran.
  int failedOp = -1;
  int failedErrno = 0;
};

class Platform {
 public:
  Platform() = default;
  ~Platform();
  Platform(const Platform&) = delete;

  // Start the zygote. Returns 0 or -errno; `failure` names the step.
  int start(int stub, const uint8_t* filter, size_t length, uint8_t* records, std::string* failure);

  int wait(double deadlineNs);
  int newThread();
  int spawn(Thread* t);
  void resume(Thread* t, uint64_t result, bool withRegisters);
  void interrupt(Thread* t);
  // Ask a stopped thread without a signal frame for one; it reports kEventFrame.
  void frame(Thread* t);
  void kill(Thread* t);
  void release(Thread* t);
  void getRegs(Thread* t);
  double fsBase(const Thread* t) const;
  // The host's descriptors that end a wait.
  HostWatch& host() { return host_; }

  Thread* thread(uint32_t id);
  Record* record(const Thread* t) const {
    return reinterpret_cast<Record*>(records_ + static_cast<size_t>(t->id) * kRecordSize);
  }
  // systrap-memory.cc
  int64_t copyIn(Thread* t, uint64_t addr, uint8_t* into, size_t length);
  int64_t copyOut(Thread* t, uint64_t addr, const uint8_t* from, size_t length);
  // As copyOut, to memory that the kernel knows to be writable; the bytes may get there only when the thread goes on.
  int64_t copyResult(Thread* t, uint64_t addr, const uint8_t* from, size_t length);
  int64_t readString(Thread* t, uint64_t addr, uint8_t* into, size_t max);
  pid_t hostTid(const Thread* t) const;
  int cpuTimes(const Thread* t, CpuTimes* times) const;
  // How long the thread, whose event was returned, may spin for its answer.
  uint64_t spinTicks(const Thread* t) const { return t->notification ? 0 : status_->spinTicks; }
  int64_t getFpu(Thread* t, uint8_t* into, size_t room);
  int setFpu(Thread* t, const uint8_t* from, size_t length);
  // Appends to the list that the next resume runs.
  void addOp(Thread* t, int kind, const double* a, int index);

  uint64_t vdso = 0, holeStart = 0, holeEnd = 0;

 private:
  // systrap-spawn.cc
  int startZygote(int stub, const uint8_t* filter, size_t length, std::string* failure);
  int makeStatusPage();
  pid_t execZygote(int stub, int slots, int filter);
  int awaitZygote(std::string* failure);
  std::shared_ptr<Space> makeSpace();
  int prepareFork(Thread* parent, Thread* child);
  int prepareClone(Thread* parent, Thread* child, PendingOp* p);
  void startChild(Thread* parent, Thread* child, uint32_t index);
  void runSpawnQueue();
  int orderProcess(Thread* t);
  void orderSpare();
  void dropSpare();
  void takeSpare(Thread* t);
  uint64_t newToken(const Thread* t) const;
  // systrap-memory.cc
  int learnFpu();
  void takeFetched(const Thread* t);
  bool hasFetched(const Thread* t, uint64_t addr, size_t length) const;
  void writeDeferred(Thread* t);
  // systrap-threads.cc
  bool bind(Thread* t, pid_t tid);
  void adopt(Thread* t, pid_t tid);
  void reap();
  void processDied(Process* p, int status);
  void reportDead(Thread* t, int status);
  void recycle(Thread* t);
  bool recyclable(const Thread* t) const;
  void setState(Thread* t, State state);
  void expect(bool* flag, bool value);
  // systrap-ops.cc
  void pump(Thread* t);
  bool needsRing(const Thread* t) const;
  void writeBatch(Thread* t);
  int handOver(Thread* t, PendingOp* p);
  int passFd(Thread* t, int fd);
  void shapeExit(Thread* t);
  void carryOut(Thread* t);
  bool needsFrame(const Thread* t) const;
  void answer(Thread* t, uint32_t verdict);
  void askForRing(Thread* t);
  void opsStopped(Thread* t, int op, int error);
  void opsDone(Thread* t);
  void clearOps(Thread* t);
  // systrap-wait.cc
  int scan();
  int idle(double deadlineNs);
  int spin(uint64_t start);
  void missed(uint64_t now);
  void tryToSpin(uint64_t now);
  void setSpinning(bool on);
  void countAnswer(const Thread* t);
  void leaveCpu();
  void tellCpu();
  int sleep(double deadlineNs);
  void park();
  bool hostDue();
  void receive();
  void rung(Thread* t, uint64_t id);
  void reply(uint64_t id);
  bool takeEvent(Thread* t);
  static void expectData(const Thread* t);
  bool takeOpsEvent(Thread* t, uint32_t kind);
  bool takeFrame(Thread* t, uint32_t kind);
  bool countSite(Thread* t, uint64_t ip, uint64_t nr) const;
  int deliver(Thread* t);
  int nextReady();
  void queueEvent(Thread* t, int event);
  void setRunning(Thread* t);
  void clearRunning(Thread* t);

  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<int> freeIds_;
  std::vector<Thread*> running_;
  size_t scanAt_ = 0;
  // Threads whose event was returned and that may still spin for their verdict.
  std::vector<int> waiting_;
  std::deque<int> ready_;
  std::deque<int> spawns_;
  std::unordered_map<pid_t, std::shared_ptr<Process>> processes_;
  // The thread whose system call was returned by the present wait(), and which memory it brought along.
  int current_ = -1;
  uint64_t fetchedAt_ = 0;
  uint32_t fetchedLength_ = 0;
  uint8_t* records_ = nullptr;
  StubStatus* status_ = nullptr;
  Fd statusFd_, listener_, childFd_;
  // An FPU state as the kernel writes it, with its sizes and magic words, in the initial state.
  std::vector<uint8_t> fpu_;
  Thread* zygote_ = nullptr;
  // A process that waits to be taken by spawn(), once it has started.
  Thread* spare_ = nullptr;
  bool spareReady_ = false;
  pid_t zygotePid_ = 0;
  // Threads for which a notification must be received soon.
  int expected_ = 0;
  HostWatch host_;
  uint32_t cpu_ = ~0U;
  // The CPU lets programs set GS, which the gate needs.
  bool canRewrite_ = false;
  int cpus_ = 1;
  cpu_set_t allowed_ = {};
  double ticksPerNs_ = 1;
  double gapNs_ = 0;
  double gainNs_ = 10'000;
  uint64_t idles_ = 0;
  bool spinning_ = false;
  int spinScore_ = 8;
  double spinPauseNs_ = 2e6;
  uint64_t trySpinAt_ = 0;
};

inline uint64_t Ticks() { return __builtin_ia32_rdtsc(); }

// Set by the SIGCHLD handler.
extern std::atomic<bool> g_childDied;

}  // namespace portcullis::systrap
