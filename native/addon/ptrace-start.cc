// How the ptrace platform starts: the zygote, from which every other process is forked. It is the stub's
// executable, stopped before its first instruction; all that it does from then on are calls that we inject.
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "fpu-state.h"
#include "ptrace.h"

#ifndef PTRACE_SETSIGMASK
#define PTRACE_SETSIGMASK 0x420b
#endif
#define AT_SYSINFO_EHDR 33
#define NT_X86_XSTATE 0x202

namespace portcullis::ptrace {
namespace {

constexpr uint64_t kUserStart = 0x10000;
constexpr uint64_t kUserEnd = 0x7ffffffff000;
constexpr uint64_t kTextSize = STUB_TEXT_END - STUB_BASE;
constexpr uint64_t kScratchSize = 0x10000;
constexpr size_t kMaxFilter = 4096 * 8;
constexpr int kMaxHolePages = 16;
constexpr size_t kMaxAuxWords = 512;
// syscall; hlt
constexpr uint8_t kCallCode[] = {0x0f, 0x05, 0xf4};
constexpr int kSyscallStop = SIGTRAP | 0x80;

void Limit(int resource, rlim_t value) {
  rlimit limit = {value, value};
  setrlimit(static_cast<__rlimit_resource>(resource), &limit);
}

// Between vfork and exec: only calls that change nothing in the memory shared with the parent.
[[noreturn]] void ExecTraced(int stub) {
  int high = fcntl(stub, F_DUPFD_CLOEXEC, 100);
  dup3(high, 0, O_CLOEXEC);
  syscall(SYS_close_range, 1, ~0U, 0);
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_NOFILE, 256);
  Limit(RLIMIT_MEMLOCK, 0);
  Limit(RLIMIT_MSGQUEUE, 0);
  if (syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) < 0) _exit(126);
  // The stop after exec is a signal.
  sigset_t trap;
  sigemptyset(&trap);
  sigaddset(&trap, SIGTRAP);
  sigprocmask(SIG_UNBLOCK, &trap, nullptr);
  char name[] = "portcullis-stub";
  char* argv[] = {name, nullptr};
  char* envp[] = {nullptr};
  syscall(SYS_execveat, 0, "", argv, envp, AT_EMPTY_PATH);
  _exit(127);
}

}  // namespace

int64_t Trace(int request, pid_t tid, uint64_t addr, void* data) {
  long r = syscall(SYS_ptrace, request, tid, addr, data);
  return r < 0 ? -errno : r;
}

user_regs_struct CallRegisters(const user_regs_struct& from, uint64_t ip) {
  user_regs_struct regs = from;
  // 64-bit user code, whatever segments the program loaded, and no single step.
  regs.cs = 0x33;
  regs.ss = 0x2b;
  regs.eflags = 0x202;
  regs.rip = ip;
  regs.orig_rax = ~0ULL;
  return regs;
}

int Platform::start(int stub, const uint8_t* filter, size_t length, uint8_t* records,
                    std::string* failure) {
  records_ = records;
  *failure = "descriptors";
  if (int r = host_.open(); r < 0) return r;
  childFd_ = Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!childFd_.valid()) return -errno;
  return startZygote(stub, filter, length, failure);
}

Platform::~Platform() {
  signal(SIGCHLD, SIG_DFL);
  for (auto& [tid, t] : tids_) ::kill(tid, SIGKILL);
  if (zygotePid_ <= 0) return;
  ::kill(zygotePid_, SIGKILL);
  // Every tracee is a child of ours. One that was being made shows up now, by its first stop.
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
    if (pid > 0 && WIFSTOPPED(status)) ::kill(pid, SIGKILL);
  }
}

pid_t Platform::execZygote(int stub) {
  sigset_t all, before;
  sigfillset(&all);
  // A handler of ours must not run in the child, which shares our memory.
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = vfork();
  if (pid == 0) ExecTraced(stub);
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return pid < 0 ? -error : pid;
}

int Platform::startZygote(int stub, const uint8_t* filter, size_t length, std::string* failure) {
  *failure = "exec";
  zygotePid_ = execZygote(stub);
  if (zygotePid_ < 0) return zygotePid_;
  zygote_ = thread(static_cast<uint32_t>(newThread()));
  zygote_->tid = zygotePid_;
  zygote_->process = std::make_shared<Process>();
  zygote_->process->pid = zygotePid_;
  zygote_->process->members.push_back(zygote_);
  tids_[zygotePid_] = zygote_;
  *failure = "trace";
  if (!awaitStop(SIGTRAP)) return -ECHILD;
  uint64_t options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP;
  auto data = reinterpret_cast<void*>(options);
  if (int64_t r = Trace(PTRACE_SETOPTIONS, zygotePid_, 0, data); r < 0) return static_cast<int>(r);
  uint64_t none = 0;
  if (int64_t r = Trace(PTRACE_SETSIGMASK, zygotePid_, 8, &none); r < 0) return static_cast<int>(r);
  if (Trace(PTRACE_GETREGS, zygotePid_, 0, &zygote_->regs) < 0) return -ESRCH;
  zygote_->state = State::kStopped;
  *failure = "stub";
  if (int r = findStubCall(); r < 0) return r;
  *failure = "vDSO";
  if (int r = findVdso(); r < 0) return r;
  *failure = "FPU state";
  if (int r = learnFpu(); r < 0) return r;
  *failure = "filter";
  if (int r = installFilter(filter, length); r < 0) return r;
  *failure = "memory";
  return forgetExec();
}

// Wait for a stop of the zygote while nothing else is there.
bool Platform::awaitStop(int signal) {
  int status;
  pid_t pid;
  do {
    pid = waitpid(zygotePid_, &status, __WALL);
  } while (pid < 0 && errno == EINTR);
  if (pid != zygotePid_) return false;
  if (!WIFSTOPPED(status)) {
    zygotePid_ = 0;
    return false;
  }
  return status >> 8 == signal;
}

int Platform::findStubCall() {
  std::vector<uint8_t> text(kTextSize);
  int64_t n = copyIn(zygote_, STUB_BASE, text.data(), text.size());
  if (n <= 0) return -ENOEXEC;
  const void* at = memmem(text.data(), static_cast<size_t>(n), kCallCode, sizeof kCallCode);
  if (!at) return -ENOEXEC;
  stubCall_ = STUB_BASE + static_cast<uint64_t>(static_cast<const uint8_t*>(at) - text.data());
  return 0;
}

// Have the zygote execute a host call while it starts. Returns its result.
int64_t Platform::inject(uint64_t nr, std::initializer_list<uint64_t> args) {
  user_regs_struct regs = CallRegisters(zygote_->regs, stubCall_);
  unsigned long long* to[] = {&regs.rdi, &regs.rsi, &regs.rdx, &regs.r10, &regs.r8, &regs.r9};
  size_t i = 0;
  for (uint64_t a : args) *to[i++] = a;
  while (i < 6) *to[i++] = 0;
  regs.rax = nr;
  if (Trace(PTRACE_SETREGS, zygotePid_, 0, &regs) < 0) return -ESRCH;
  // The entry stop, and then the exit stop; the filter stops it in between once it is there.
  if (Trace(PTRACE_SYSCALL, zygotePid_, 0, nullptr) < 0 || !awaitStop(kSyscallStop)) return -ESRCH;
  for (bool filtered = false;; filtered = true) {
    if (Trace(PTRACE_SYSCALL, zygotePid_, 0, nullptr) < 0) return -ESRCH;
    bool more = !filtered && listener_.valid();
    if (!awaitStop(more ? SIGTRAP | PTRACE_EVENT_SECCOMP << 8 : kSyscallStop)) return -ESRCH;
    if (!more) break;
  }
  if (Trace(PTRACE_GETREGS, zygotePid_, 0, &regs) < 0) return -ESRCH;
  return static_cast<int64_t>(regs.rax);
}

// The image's address is in the auxiliary vector. The kernel maps data pages below it, and says nowhere how
// many.
int Platform::findVdso() {
  uint64_t words[kMaxAuxWords] = {};
  uint64_t sp = zygote_->regs.rsp;
  auto* bytes = reinterpret_cast<uint8_t*>(words);
  if (copyIn(zygote_, sp, bytes, sizeof words) < 0) return -EFAULT;
  size_t at = 1 + static_cast<size_t>(words[0]) + 1;  // past argc, argv and its null
  while (at < kMaxAuxWords && words[at]) at++;
  for (at++; at + 1 < kMaxAuxWords && words[at]; at += 2) {
    if (words[at] == AT_SYSINFO_EHDR) vdso = words[at + 1];
  }
  holeStart = holeEnd = vdso;
  if (!vdso) return 0;
  int left = 2 * kMaxHolePages;
  while (left-- > 0 && mapped(holeStart - STUB_PAGE, sp)) holeStart -= STUB_PAGE;
  while (left-- > 0 && holeEnd < kUserEnd && mapped(holeEnd, sp)) holeEnd += STUB_PAGE;
  return 0;
}

bool Platform::mapped(uint64_t page, uint64_t scratch) {
  return inject(SYS_mincore, {page, STUB_PAGE, scratch}) == 0;
}

int Platform::installFilter(const uint8_t* filter, size_t length) {
  if (length == 0 || length > kMaxFilter || length % 8) return -EINVAL;
  uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  int64_t r = inject(SYS_mmap, {STUB_SETUP, kScratchSize, 3, flags, ~0ULL, 0});
  if (r < 0) return static_cast<int>(r);
  struct {
    uint64_t count, filter;
  } program = {length / 8, STUB_SETUP + STUB_PAGE};
  auto* head = reinterpret_cast<const uint8_t*>(&program);
  if (copyOut(zygote_, STUB_SETUP, head, sizeof program) != sizeof program) return -EFAULT;
  if (copyOut(zygote_, program.filter, filter, length) != static_cast<int64_t>(length)) return -EFAULT;
  r = inject(SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0});
  if (r < 0) return static_cast<int>(r);
  // WAIT_KILLABLE_RECV keeps signals from undoing a hand-over under way.
  constexpr uint64_t kFlags = SECCOMP_FILTER_FLAG_NEW_LISTENER | 1UL << 5;
  int64_t listener = inject(SYS_seccomp, {SECCOMP_SET_MODE_FILTER, kFlags, STUB_SETUP});
  if (listener < 0) return static_cast<int>(listener);
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, zygotePid_, 0)));
  listener_ = Fd(static_cast<int>(syscall(SYS_pidfd_getfd, pidfd.get(), listener, 0)));
  if (!listener_.valid()) return -errno;
  return static_cast<int>(inject(SYS_close, {static_cast<uint64_t>(listener)}));
}

// Unmap everything but the stub's text and the vDSO.
int Platform::forgetExec() {
  const uint64_t ranges[][2] = {{kUserStart, STUB_BASE},
                                {STUB_TEXT_END, vdso ? holeStart : kUserEnd},
                                {vdso ? holeEnd : kUserEnd, kUserEnd}};
  for (auto [start, end] : ranges) {
    if (start >= end) continue;
    if (int64_t r = inject(SYS_munmap, {start, end - start}); r < 0) return static_cast<int>(r);
  }
  // A fork's child should not show what exec left there.
  user_regs_struct blank = {};
  blank.cs = zygote_->regs.cs;
  blank.ss = zygote_->regs.ss;
  zygote_->regs = CallRegisters(blank, 0);
  return 0;
}

int Platform::learnFpu() {
  std::vector<uint8_t> state(fpu::kMaxSize);
  iovec area = {state.data(), state.size()};
  int64_t r = Trace(PTRACE_GETREGSET, zygotePid_, NT_X86_XSTATE, &area);
  if (r < 0) return static_cast<int>(r);
  if (area.iov_len < fpu::kXsaveHeaderEnd || area.iov_len > fpu::kMaxSize - 4) return -EINVAL;
  state.resize(area.iov_len);
  fpu::FrameFromXsave(&state);
  fpu_ = fpu::Initial(state);
  return 0;
}

}  // namespace portcullis::ptrace
