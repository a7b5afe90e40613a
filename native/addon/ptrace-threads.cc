// The life of contexts and host threads: allocation, first stop, death and reuse.
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ptrace.h"

namespace portcullis::ptrace {
namespace {

// A signal that programs do nothing with natively and of which at most one is pending. We suppress it: it only
// has to stop the thread.
constexpr int kInterruptSignal = SIGURG;

}  // namespace

Thread* Platform::thread(uint32_t id) {
  return id < threads_.size() && threads_[id]->state != State::kFree ? threads_[id].get() : nullptr;
}

int Platform::newThread() {
  if (freeIds_.empty()) {
    if (threads_.size() >= kMaxThreads) return -EAGAIN;
    freeIds_.push_back(static_cast<int>(threads_.size()));
    threads_.push_back(std::make_unique<Thread>());
  }
  int id = freeIds_.back();
  freeIds_.pop_back();
  Thread* t = threads_[static_cast<size_t>(id)].get();
  *t = Thread();
  t->id = id;
  t->state = State::kNew;
  *record(t) = Record();
  return id;
}

// A thread that we do not know stopped: a child, before its parent came back from making it. The token in its
// registers, which are still a copy of those that we gave its parent, tells whose child it is.
Thread* Platform::findChild(pid_t tid) {
  user_regs_struct regs = {};
  if (Trace(PTRACE_GETREGS, tid, 0, &regs) < 0 || regs.r15 == 0) return nullptr;
  for (auto& t : threads_) {
    if (t->state == State::kStarting && t->token == regs.r15) return t.get();
  }
  return nullptr;
}

// The first stop of a thread, known or not. Who has no context is killed: its parent was.
void Platform::adopt(pid_t tid) {
  auto known = tids_.find(tid);
  Thread* child = known != tids_.end() ? known->second : findChild(tid);
  if (!child) return (void)::kill(tid, SIGKILL);
  if (child->parent) child->parent->child = nullptr;
  child->parent = nullptr;
  child->tid = tid;
  child->token = 0;
  tids_[tid] = child;
  if (!child->sameProcess) {
    child->process = std::make_shared<Process>();
    child->process->pid = tid;
    child->process->members.push_back(child);
  }
  child->state = State::kStopped;
  Record* r = record(child);
  r->ip = static_cast<double>(child->regs.rip);
  r->sp = static_cast<double>(child->regs.rsp);
  queueEvent(child, kEventStarted);
}

void Platform::interrupt(Thread* t) {
  if (t->state == State::kReaching || t->state == State::kCalling) t->interruptDue = true;
  if (t->state != State::kRunning) return;
  syscall(SYS_tgkill, t->process->pid, t->tid, kInterruptSignal);
}

void Platform::kill(Thread* t) {
  if (t->state == State::kStarting && !t->process) {
    if (t->tid) ::kill(t->tid, SIGKILL);
    return destroy(t);
  }
  if (!t->process || t->process->killed || t == zygote_) return;
  std::shared_ptr<Process> p = t->process;
  p->killed = true;
  ::kill(p->pid, SIGKILL);
  for (Thread* m : std::vector<Thread*>(p->members)) {
    destroy(m);
    if (m->released) recycle(m);
  }
}

// Nothing is heard of this thread any more. Its token is void: should it still come to be, it is killed.
void Platform::destroy(Thread* t) {
  if (t->state == State::kRunning) running_--;
  clearOps(t);
  t->queued = false;
  t->token = 0;
  t->state = State::kDead;
  if (t->tid) tids_.erase(t->tid);
  t->tid = 0;
  if (t->parent) t->parent->child = nullptr;
  t->parent = nullptr;
  // Whether the child that it was making came to be is unknown. In the same process it is destroyed as well.
  Thread* child = t->child;
  t->child = nullptr;
  if (child) child->parent = nullptr;
  if (child && !child->sameProcess) reportDead(child, SIGKILL);
}

void Platform::release(Thread* t) {
  t->released = true;
  bool over = t->state == State::kNew || t->state == State::kDead || t->state == State::kExiting;
  if (over) recycle(t);
}

void Platform::recycle(Thread* t) {
  // The end of a thread that was ordered to exit is reaped without its context.
  if (t->tid) tids_.erase(t->tid);
  if (t->process) std::erase(t->process->members, t);
  int id = t->id;
  *t = Thread();
  freeIds_.push_back(id);
}

// A traced thread ended, by itself or because its process did.
void Platform::died(pid_t tid, int status) {
  if (tid == zygotePid_) zygotePid_ = 0;
  auto found = tids_.find(tid);
  if (found == tids_.end()) return;
  Thread* t = found->second;
  bool ordered = t->state == State::kExiting;
  Thread* child = t->child && t->child->sameProcess ? t->child : nullptr;
  destroy(t);
  if (t->process) std::erase(t->process->members, t);
  if (t->released) {
    recycle(t);
  } else if (!ordered) {
    reportDead(t, status);
  }
  if (!child) return;
  std::erase(child->process->members, child);
  reportDead(child, status);
}

void Platform::reportDead(Thread* t, int status) {
  if (t == zygote_) return;
  t->token = 0;
  t->state = State::kDead;
  record(t)->exitStatus = status;
  queueEvent(t, kEventDead);
}

}  // namespace portcullis::ptrace
