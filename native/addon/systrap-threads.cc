// The life of contexts and host processes: allocation, binding to a host thread, death and reuse.
#include <signal.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "systrap.h"

namespace portcullis::systrap {

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

// Counts the threads from which a notification is due, so that the waiter knows to look for one.
void Platform::expect(bool* flag, bool value) {
  expected_ += static_cast<int>(value) - static_cast<int>(*flag);
  *flag = value;
}

void Platform::setState(Thread* t, State state) {
  expected_ += (state == State::kStarting) - (t->state == State::kStarting);
  t->state = state;
}

// What a thread rings with: it names the context, and no other thread can know it.
uint64_t Platform::newToken(const Thread* t) const {
  uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) random = Ticks();
  return (random << 12) | static_cast<uint64_t>(t->id);
}

// Make `child` the thread that will start in the slot `index` of its space, and ring with its token.
void Platform::startChild(Thread* parent, Thread* child, uint32_t index) {
  child->token = newToken(child);
  child->index = index;
  child->slot = reinterpret_cast<StubSlot*>(child->space->slots + index * STUB_SLOT_SIZE);
  child->slot->token = child->token;
  child->slot->opCount = 0;
  child->slot->kind = child->leader ? STUB_START_RINGING : STUB_START_QUIET;
  // What an earlier thread left in the slot is not this one's event.
  child->slot->state = SLOT_RUNNING;
  child->parent = parent;
  child->confirmed = false;
  parent->child = child;
  if (child->leader) return setState(child, State::kStarting);
  // Another thread of a known process need not prove who it is: its first event is looked for in its slot.
  child->fresh = true;
  setRunning(child);
}

// The tid of a thread that started without ringing: a number that somebody untrusted has said, but one of its process.
void Platform::adopt(Thread* t, pid_t tid) {
  if (t->tid != 0 || tid <= 0 || syscall(SYS_tgkill, t->process->pid, tid, 0) < 0) return;
  t->tid = tid;
  if (!t->interruptDue || t->state != State::kRunning) return;
  t->interruptDue = false;
  interrupt(t);
}

// A thread rang for the first time. The notification says truly which thread that was; check that it is of
// the kind that was ordered, so that a later kill or memory access hits what the kernel means.
bool Platform::bind(Thread* t, pid_t tid) {
  if (!t->leader && (t->process->killed || t->process->reaped)) return false;
  pid_t group = t->leader ? tid : t->process->pid;
  if (syscall(SYS_tgkill, group, tid, 0) < 0) return false;
  if (t->leader) {
    if (processes_.contains(tid)) return false;
    t->process = std::make_shared<Process>();
    t->process->pid = tid;
    processes_[tid] = t->process;
    t->process->members.push_back(t);
    t->process->threads = 1;
  }
  t->tid = tid;
  t->fresh = true;
  if (t->parent) t->parent->child = nullptr;
  t->parent = nullptr;
  setState(t, State::kStopped);
  return true;
}

void Platform::interrupt(Thread* t) {
  bool stopping = t->state == State::kStopped && t->wantsRing;
  if (t->state != State::kRunning && !stopping) return;
  uint32_t state = __atomic_load_n(&t->slot->state, __ATOMIC_ACQUIRE);
  // It has an event for us already; if that is only the end of a batch, the answer will interrupt.
  if (stopping || t->tid == 0 || state == SLOT_POSTED || state == SLOT_BELL || state == SLOT_PARKED) {
    t->interruptDue = true;
    return;
  }
  syscall(SYS_tgkill, t->process->pid, t->tid, STUB_INTERRUPT);
}

void Platform::kill(Thread* t) {
  if (!t->process) {
    // Its token is void from now on, and who rings with a void token is killed.
    if (t->state != State::kStarting) return;
    if (t->parent) t->parent->child = nullptr;
    t->parent = nullptr;
    t->token = 0;
    setState(t, State::kDead);
    return;
  }
  Process* p = t->process.get();
  if (p->killed || p->reaped) return;
  p->killed = true;
  ::kill(p->pid, SIGKILL);
  for (Thread* m : std::vector<Thread*>(p->members)) {
    clearRunning(m);
    clearOps(m);
    expect(&m->owed, false);
    expect(&m->wantsRing, false);
    m->queued = false;
    m->notification = 0;
    setState(m, State::kDead);
    // Whether a child that has not rung yet exists is unknown, and its token void; unless it is one of these.
    if (m->child && m->child->process.get() != p) reportDead(m->child, SIGKILL);
    m->child = nullptr;
    m->parent = nullptr;
    if (m->released) recycle(m);
  }
}

void Platform::release(Thread* t) {
  t->released = true;
  if (recyclable(t)) recycle(t);
}

bool Platform::recyclable(const Thread* t) const {
  if (t->state == State::kExiting) return !t->owed && !t->retired;
  return t->state == State::kNew || t->state == State::kDead;
}

void Platform::recycle(Thread* t) {
  expect(&t->owed, false);
  if (t->process) {
    Process* p = t->process.get();
    std::erase(p->members, t);
    if (!p->reaped && t->state != State::kExiting) p->indices.emplace_back(t->space, t->index);
  }
  if (t->space && t->slot) {
    if (t->state == State::kExiting) {
      t->space->leaving.push_back(t->index);
    } else if (t->process && t->process->reaped) {
      t->space->used.reset(t->index);
    }
  }
  if (t->parent) t->parent->child = nullptr;
  int id = t->id;
  *t = Thread();
  freeIds_.push_back(id);
}

uint32_t Space::allocateIndex() {
  std::erase_if(leaving, [this](uint32_t index) {
    auto* slot = reinterpret_cast<StubSlot*>(slots + index * STUB_SLOT_SIZE);
    bool gone = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) == SLOT_GONE;
    if (gone) used.reset(index);
    return gone;
  });
  for (uint32_t i = 0; i < STUB_MAX_THREADS; i++) {
    if (!used.test(i)) return i;
  }
  return STUB_MAX_THREADS;
}

void Platform::reap() {
  g_childDied.store(false);
  int status = 0;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
    if (auto found = processes_.find(pid); found != processes_.end()) {
      std::shared_ptr<Process> p = found->second;
      processes_.erase(found);
      processDied(p.get(), status);
      continue;
    }
    // It died before it rang; its parent's word is all there is to know it by.
    for (auto& t : threads_) {
      if (t->state == State::kStarting && t->confirmed && t->hintPid == pid) {
        reportDead(t.get(), status);
      }
    }
  }
}

void Platform::processDied(Process* p, int status) {
  p->reaped = true;
  for (auto& [space, index] : p->indices) space->used.reset(index);
  p->indices.clear();
  for (Thread* m : std::vector<Thread*>(p->members)) {
    expect(&m->owed, false);
    expect(&m->wantsRing, false);
    m->notification = 0;
    m->retired = false;
    clearRunning(m);
    if (m->child && m->child->process.get() != p) reportDead(m->child, status);
    m->child = nullptr;
    m->parent = nullptr;
    bool expected = m->state == State::kExiting || m->state == State::kDead;
    if (!expected) reportDead(m, status);
    if (m->state == State::kExiting) setState(m, State::kDead);
    if (m->released) recycle(m);
  }
}

void Platform::reportDead(Thread* t, int status) {
  if (t->parent) t->parent->child = nullptr;
  t->parent = nullptr;
  t->token = 0;
  clearOps(t);
  setState(t, State::kDead);
  if (t == spare_) return dropSpare();
  record(t)->exitStatus = status;
  queueEvent(t, kEventDead);
}

}  // namespace portcullis::systrap
