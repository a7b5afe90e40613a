// The seam between the kernel and whatever runs program code: systrap and ptrace in native/, a fake in
// test/. The platform moves registers, runs host calls on order and reports events; it holds no policy.

import type { HostFd } from '../native/index.ts'

// Kinds of event that `Platform.wait` reports in `ThreadContext.event`.
/** The program executed a system call; `nr`, `args`, `ip` and `sp` are valid. */
export const EV_SYSCALL = 1
/** A CPU exception or a seccomp trap of a foreign ABI: `signo`, `code`, `faultAddr`, `errorCode` are valid. */
export const EV_FAULT = 2
/** The thread was interrupted in program code after `Platform.interrupt`. */
export const EV_INTERRUPT = 3
/** A thread made by HOST_CLONE has started and waits for its first `resume`. */
export const EV_STARTED = 4
/** A host call of the last verdict failed: `failedOp` and `failedErrno` are valid; later ops did not run. */
export const EV_OPS_FAILED = 5
/** The host process of this thread is gone without an order: `exitStatus` is a wait(2) status. */
export const EV_DEAD = 6
/** What `Platform.frame` asked for is there. */
export const EV_FRAME = 8

/**
 * Return values of `Platform.wait` that are not a thread's id.
 * WAIT_TIMEOUT: the deadline passed. WAIT_HOST: host fds are ready, see `Platform.readyFds`.
 */
export const WAIT_TIMEOUT = -1
export const WAIT_HOST = -2

/** Indices into `ThreadContext.regs`, in pairs of u32 (low, high), in the order of user_regs_struct. */
export const REG = {
  r15: 0,
  r14: 1,
  r13: 2,
  r12: 3,
  rbp: 4,
  rbx: 5,
  r11: 6,
  r10: 7,
  r9: 8,
  r8: 9,
  rax: 10,
  rcx: 11,
  rdx: 12,
  rsi: 13,
  rdi: 14,
  rip: 15,
  eflags: 16,
  rsp: 17,
} as const
/** u64 registers in `ThreadContext.regs`. */
export const REG_COUNT = 18

/**
 * What the kernel sees of one host thread. One object per thread, preallocated views over memory that only
 * the sentry can write: the platform copies an event's values there once, so they cannot change under the
 * kernel while it validates them.
 */
export interface ThreadContext {
  /** Small dense number that `Platform.wait` returns; reused after `release`. */
  readonly id: number
  /** Event kind, EV_*. */
  event: number
  /** System call number as the program passed it (u32 of rax; x32 numbers have bit 30). */
  nr: number
  /** The six arguments, each as two u32 (low, high). */
  readonly args: Uint32Array
  /** The same memory as `args`, signed. */
  readonly sargs: Int32Array
  /** Address after the system call instruction, and the stack pointer, at the event. */
  ip: number
  sp: number
  /** EV_FAULT: the host's siginfo and error code. `errorCode` is the x86 page fault error code. */
  signo: number
  code: number
  faultAddr: number
  errorCode: number
  trapNo: number
  /** EV_OPS_FAILED. */
  failedOp: number
  failedErrno: number
  /** EV_DEAD. */
  exitStatus: number
  /**
   * EV_SYSCALL: only the registers can be reached, as for most calls enough. Delivering a signal needs more:
   * `Platform.frame` first.
   */
  readonly bare: boolean
  /** EV_SYSCALL: calls came from this place so often that `OpList.rewriteCall` pays. */
  readonly hot: boolean
  /** The general registers, REG_COUNT × (low, high); valid after `Platform.getRegs`. */
  readonly regs: Uint32Array
}

/**
 * One address space on the host: a stub process, or several that share memory (vfork).
 * Every call here is synchronous and never waits for the untrusted side.
 */
export interface AddressSpace {
  readonly id: number
}

/**
 * Host calls that a verdict may order, executed by the stopped thread in its own process, in order,
 * before it goes on. Flags are the host's.
 */
export interface OpList {
  /** mmap(2) MAP_FIXED of private anonymous memory, or of `fd` (a sentry fd, lent for this call) when fd >= 0. */
  mmap(addr: number, length: number, prot: number, flags: number, fd: HostFd, offset: number): void
  munmap(addr: number, length: number): void
  mprotect(addr: number, length: number, prot: number): void
  /** mremap(2) with MREMAP_MAYMOVE|MREMAP_FIXED when newAddr differs from addr. `flags` may add MREMAP_DONTUNMAP. */
  mremap(addr: number, oldLength: number, newLength: number, flags: number, newAddr: number): void
  madvise(addr: number, length: number, advice: number): void
  /** Wake `count` host futex waiters at `addr` (shared: not FUTEX_PRIVATE). */
  futexWake(addr: number, count: number, shared: boolean): void
  /** Set FUTEX_WAITERS in the word at `addr`, atomically. */
  futexSetWaiters(addr: number): void
  /**
   * getrusage(2) of the thread (RUSAGE_THREAD) or its process (RUSAGE_SELF), and CLOCK_THREAD_CPUTIME_ID, as the
   * host tells them to the thread alone: written to the program's memory. Absent: nobody knows.
   */
  getrusage?(who: number, addr: number): void
  threadClock?(addr: number): void
  /**
   * What the host's process list shows, as prctl(2) sets it: PR_SET_NAME of the thread by the string at `addr`, and
   * PR_SET_MM_MAP of its process by the struct prctl_mm_map there. A failure does not count.
   */
  setName?(addr: number): void
  setTitle?(addr: number): void
  /** arch_prctl(2) ARCH_SET_FS / ARCH_SET_GS. */
  setFsBase(addr: number): void
  setGsBase(addr: number): void
  /**
   * A new process with a copy of this address space (fork). `child` comes from `Platform.newThread`;
   * it starts stopped, with a copy of this thread's registers and FPU state, and reports EV_STARTED.
   */
  fork(child: ThreadContext): void
  /**
   * A new thread in this address space: in this host process when `sameProcess` (CLONE_THREAD), else in a
   * new host process that shares the memory (vfork, CLONE_VM). Starts stopped like `fork`'s child.
   * `clearTid` != 0: the host zeroes that word and wakes its futex when the thread ends
   * (CLONE_CHILD_CLEARTID). `tls` != 0: the new thread's FS base.
   */
  cloneThread(child: ThreadContext, sameProcess: boolean, clearTid: number, tls: number): void
  /**
   * Let the call instruction before `ip`, in private memory of protection `prot`, enter the kernel faster from now on.
   * The platform may find that it cannot; the program notices nothing either way.
   */
  rewriteCall(ip: number, prot: number): void
  /** The thread ends. Nothing more is reported for it. */
  exitThread(): void
}

export interface Platform {
  readonly name: string
  /** Lowest and highest address that programs may use, and the holes the platform keeps in between. */
  readonly minAddr: number
  readonly maxAddr: number
  readonly reserved: readonly { readonly start: number; readonly end: number }[]
  /** Address of the host's vDSO ELF image in every program, 0 when there is none. */
  readonly vdso: number

  /**
   * Wait until a thread posts an event, a watched host fd is ready, or `deadlineNs` (CLOCK_MONOTONIC, as a
   * double; Infinity for none) passes. Returns the thread's id (>= 0) with its ThreadContext filled in, or WAIT_*.
   */
  wait(deadlineNs: number): number
  context(id: number): ThreadContext

  /** A context for a thread to be made by `ops.fork` / `ops.cloneThread` (same or copied space). -EAGAIN when there are too many. */
  newThread(): ThreadContext | number
  /**
   * A fresh process with an empty address space (for exec and for the first task): `thread` starts stopped
   * and reports EV_STARTED. Returns 0 or -errno.
   */
  spawn(thread: ThreadContext): number
  /** Copy the thread's general registers into `thread.regs`. The thread must be stopped (after an event). */
  getRegs(thread: ThreadContext): void
  /** The thread's FS base at its last event, as it tells it itself; -1 where the machine keeps it to itself. */
  fsBase(thread: ThreadContext): number
  /** `thread.regs` are loaded at the next `resume` (instead of only rax). */
  setRegs(thread: ThreadContext): void
  /** The FPU state as the kernel's signal frame holds it (XSAVE area with its magic words). Returns bytes written to `into` or -errno. */
  getFpu(thread: ThreadContext, into: Uint8Array): number
  /** Load an FPU state of that form, already checked for size; 0 bytes resets it. Returns 0 or -EINVAL. */
  setFpu(thread: ThreadContext, from: Uint8Array, length: number): number

  /** The op list that the next `resume` of `thread` will run. Empty after each event. */
  ops(thread: ThreadContext): OpList
  /**
   * Let a stopped thread go on with `result` in rax (unless setRegs): runs the pending ops first. If an op
   * fails, the thread stops again with EV_OPS_FAILED.
   */
  resume(thread: ThreadContext, result: number): void
  /** Make the whole state of a stopped thread that is `bare` reachable: EV_FRAME reports that it is. */
  frame(thread: ThreadContext): void
  /** Make a running thread stop with EV_INTERRUPT soon. May be spurious; harmless on a stopped thread. */
  interrupt(thread: ThreadContext): void
  /** Kill the host process of `thread` (all its threads). Reports nothing. */
  kill(thread: ThreadContext): void
  /** The thread is gone (exit ordered, killed, or EV_DEAD): the id may be reused. */
  release(thread: ThreadContext): void

  /**
   * Copy between sentry memory and the program's. Both return the bytes copied, which is less than asked
   * where memory ends, or -EFAULT if nothing could be copied. `at` is an offset into the array.
   */
  readMemory(
    thread: ThreadContext,
    addr: number,
    into: Uint8Array,
    at: number,
    length: number,
  ): number
  /**
   * Read a NUL-terminated string of at most `max` bytes with its NUL. Returns its length without the NUL, -ENAMETOOLONG
   * when there is no NUL within `max` bytes, or -EFAULT where memory ends before one.
   */
  readString(thread: ThreadContext, addr: number, into: Uint8Array, at: number, max: number): number
  writeMemory(
    thread: ThreadContext,
    addr: number,
    from: Uint8Array,
    at: number,
    length: number,
  ): number

  /**
   * As `writeMemory` for what a system call of `thread` itself has to say, to memory that is known to be writable: the
   * bytes may get there only when the thread goes on, before it runs any of the program's code.
   */
  writeResult(
    thread: ThreadContext,
    addr: number,
    from: Uint8Array,
    at: number,
    length: number,
  ): number

  /**
   * CPU time of the thread so far, in ns: the host's total, its part in user mode, the kernel's work for the thread
   * while that slept, and while it spun (which is in the total, as user time). Returns 0 or -errno. Absent:
   * CPU clocks stand still.
   */
  cpuTimes?(thread: ThreadContext, into: Float64Array): number

  /** The pid of a thread that is the first of its host process, in the sentry's pid namespace; 0 when it is gone. */
  hostPid?(thread: ThreadContext): number

  /** Bind the host thread to CPUs: a bit each, in whole words of 8 bytes. Returns 0 or -errno. */
  setAffinity?(thread: ThreadContext, mask: Uint8Array): number

  /** Watch a sentry fd (epoll semantics, level-triggered; events POLLIN|POLLOUT…; 0 to stop watching). */
  watch(fd: HostFd, events: number): void
  /** After WAIT_HOST: fills `fds` and `events` (same index) and returns how many are ready. */
  readyFds(fds: Int32Array, events: Int32Array): number
}
