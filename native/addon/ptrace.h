// The sentry's side of the ptrace platform. Every thread of a program is traced by the sentry's one thread.
//
// Program calls: a seccomp filter stops the thread (PTRACE_EVENT_SECCOMP) at all but a few harmless calls. The
// thread goes on by `go`, which always replaces the call by none, so that the host does not execute it.
// Host calls on order: at such a stop the call is replaced by the one ordered, which the host then executes up to
// its exit stop. A thread that stopped elsewhere is first sent through a system call instruction in the stub's
// text. Nothing else of the stub ever runs, and its memory is not trusted: a wrong stop kills the process.
// Descriptors are given by SECCOMP_IOCTL_NOTIF_ADDFD to a thread that is sent into a call (kDoorbell) which the
// filter turns into a notification.
// Children carry a random token in a register at their first stop; who has none is killed.
#pragma once

#include <signal.h>
#include <sys/types.h>
#include <sys/user.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "host-watch.h"
#include "record.h"
#include "stub-memory.h"
#include "stub/slot.h"

namespace portcullis::ptrace {

// A number that no Linux system call has.
constexpr uint64_t kDoorbell = STUB_DOORBELL;

struct Thread;

struct Process {
  pid_t pid = 0;
  bool killed = false;
  std::vector<Thread*> members;
};

// A host call of the kernel's op list.
struct Op {
  int kind = 0;
  uint64_t nr = 0;
  uint64_t a[6] = {};
  // A duplicate of the descriptor to map; its number in the stub is known once it was handed over.
  int fd = -1;
  int64_t passed = -1;
  // A failure does not count.
  bool ignore = false;
  // The call itself was made; what is left is to close the descriptor.
  bool done = false;
  int error = 0;
};

enum class State : uint8_t {
  kFree,
  kNew,       // a context with no host thread yet
  kStarting,  // its clone is ordered; the child will stop with the token
  kRunning,   // runs program code
  kReaching,  // sent to the stub's system call instruction, for an op
  kCalling,   // the host executes an op
  kStopped,   // its event was taken and not answered yet
  kExiting,   // ordered to end
  kDead,      // the host thread is gone, or will be soon
};

struct Thread {
  int id = 0;
  State state = State::kFree;
  // Stopped where a system call can be replaced.
  bool atCall = false;
  // An interrupt that came while ops ran.
  bool interruptDue = false;
  bool queued = false;
  // The kernel gave the context back.
  bool released = false;
  // In the doorbell call, or on its way there.
  bool ringing = false;
  pid_t tid = 0;
  uint64_t token = 0;
  std::shared_ptr<Process> process;
  // The program's registers while the thread is stopped.
  user_regs_struct regs = {};
  Thread* parent = nullptr;
  // The thread that the op under way makes.
  Thread* child = nullptr;
  // A child to come starts in its parent's process.
  bool sameProcess = false;
  std::vector<Op> ops;
  size_t nextOp = 0;
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
  void kill(Thread* t);
  void release(Thread* t);
  void getRegs(Thread* t);
  double fsBase(const Thread* t) const { return static_cast<double>(t->regs.fs_base); }
  // The host's descriptors that end a wait.
  HostWatch& host() { return host_; }

  Thread* thread(uint32_t id);
  Record* record(const Thread* t) const {
    return reinterpret_cast<Record*>(records_ + static_cast<size_t>(t->id) * kRecordSize);
  }
  // ptrace-memory.cc
  int64_t copyIn(const Thread* t, uint64_t addr, uint8_t* into, size_t length) const;
  int64_t copyOut(const Thread* t, uint64_t addr, const uint8_t* from, size_t length) const;
  // A stopped thread is always whole.
  void frame(Thread*) {}
  int64_t copyResult(const Thread* t, uint64_t addr, const uint8_t* from, size_t length) const {
    return copyOut(t, addr, from, length);
  }
  int64_t readString(const Thread* t, uint64_t addr, uint8_t* into, size_t max) const;
  pid_t hostTid(const Thread* t) const;
  int cpuTimes(const Thread* t, CpuTimes* times) const;
  // A traced thread sleeps until it is answered.
  uint64_t spinTicks(const Thread*) const { return 0; }
  int64_t getFpu(const Thread* t, uint8_t* into, size_t room) const;
  int setFpu(const Thread* t, const uint8_t* from, size_t length) const;
  // Appends to the list that the next resume runs.
  void addOp(Thread* t, int kind, const double* a, int index);

  uint64_t vdso = 0, holeStart = 0, holeEnd = 0;

 private:
  // ptrace-start.cc
  int startZygote(int stub, const uint8_t* filter, size_t length, std::string* failure);
  pid_t execZygote(int stub);
  int findStubCall();
  int findVdso();
  bool mapped(uint64_t page, uint64_t scratch);
  int installFilter(const uint8_t* filter, size_t length);
  int forgetExec();
  int64_t inject(uint64_t nr, std::initializer_list<uint64_t> args);
  bool awaitStop(int status);
  int learnFpu();
  // ptrace-ops.cc
  void go(Thread* t);
  void advance(Thread* t);
  bool applyLocally(Thread* t, Op* op);
  bool prepare(Thread* t, Op* op);
  void reachCall(Thread* t);
  void call(Thread* t, uint64_t nr, const uint64_t* a);
  void exitThread(Thread* t);
  void callDone(Thread* t, int64_t result);
  void childMade(Thread* t, pid_t tid);
  void opFailed(Thread* t, int error);
  void forgetChild(Thread* t);
  void clearOps(Thread* t);
  void runSpawnQueue();
  void pumpListener();
  // ptrace-threads.cc
  Thread* findChild(pid_t tid);
  void adopt(pid_t tid);
  void died(pid_t tid, int status);
  void reportDead(Thread* t, int status);
  void recycle(Thread* t);
  void destroy(Thread* t);
  // ptrace-wait.cc
  bool collect();
  void onStop(Thread* t, int status);
  void onStopInOps(Thread* t, int status);
  void takeEvent(Thread* t, int status);
  bool takeFault(Thread* t, int signo);
  void takeInterrupted(Thread* t);
  void queueEvent(Thread* t, int event);
  int nextReady();
  bool spin();
  int sleep(double deadlineNs);

  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<int> freeIds_;
  std::deque<int> ready_;
  std::deque<int> spawns_;
  std::unordered_map<pid_t, Thread*> tids_;
  uint8_t* records_ = nullptr;
  Fd listener_, childFd_;
  // An FPU state as the kernel writes it, with its sizes and magic words, in the initial state.
  std::vector<uint8_t> fpu_;
  Thread* zygote_ = nullptr;
  pid_t zygotePid_ = 0;
  // Address of a system call instruction in the stub.
  uint64_t stubCall_ = 0;
  // Threads for which a notification must be received soon.
  int ringing_ = 0;
  // Threads that may stop by themselves.
  int running_ = 0;
  HostWatch host_;
  // How many more times spinning may be in vain before it stops; below zero, how often to skip it.
  int spinScore_ = 0;
};


// ptrace(2) with -errno.
int64_t Trace(int request, pid_t tid, uint64_t addr, void* data);
// Registers that execute the call instruction at `ip`; the other registers as in `from`.
user_regs_struct CallRegisters(const user_regs_struct& from, uint64_t ip);

}  // namespace portcullis::ptrace
