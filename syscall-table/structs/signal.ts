// Signals. siginfo is a union: its members are separate structs here, all of 128 bytes with the same head.

import { array, bits64, i16, i32, i64, nested, type Struct, u8, u16, u32, u64 } from './field.ts'

const SIGINFO_SIZE = 128
const head = { signo: i32, errno: i32, code: i32, _pad0: i32 } as const

export const signalStructs = {
  /** struct kernel_sigaction: what rt_sigaction(2) takes, not libc's. */
  sigaction: { fields: { handler: u64, flags: u64, restorer: u64, mask: bits64 } },
  stack_t: { fields: { sp: u64, flags: u32, size: u64 } },
  /** The members' common head, with the rest as it is in memory. */
  siginfo: { fields: { ...head, rest: array('u32', 28) }, size: SIGINFO_SIZE },
  siginfo_kill: { fields: { ...head, pid: i32, uid: u32 }, size: SIGINFO_SIZE },
  siginfo_timer: {
    fields: { ...head, tid: i32, overrun: i32, value: bits64 },
    size: SIGINFO_SIZE,
  },
  siginfo_rt: { fields: { ...head, pid: i32, uid: u32, value: bits64 }, size: SIGINFO_SIZE },
  siginfo_chld: {
    fields: { ...head, pid: i32, uid: u32, status: i32, utime: i64, stime: i64 },
    size: SIGINFO_SIZE,
  },
  siginfo_fault: {
    fields: { ...head, addr: bits64, addrLsb: i16, lower: bits64, upper: bits64 },
    size: SIGINFO_SIZE,
  },
  siginfo_pkey: {
    fields: { ...head, addr: bits64, _pad1: u64, pkey: u32 },
    size: SIGINFO_SIZE,
  },
  siginfo_poll: { fields: { ...head, band: i64, fd: i32 }, size: SIGINFO_SIZE },
  siginfo_sys: {
    fields: { ...head, callAddr: bits64, syscall: i32, arch: u32 },
    size: SIGINFO_SIZE,
  },
  /** `tid` is the member of the union for SIGEV_THREAD_ID. */
  sigevent: {
    fields: { value: bits64, signo: i32, notify: i32, tid: i32 },
    size: 64,
  },
  signalfd_siginfo: {
    fields: {
      signo: u32,
      errno: i32,
      code: i32,
      pid: u32,
      uid: u32,
      fd: i32,
      tid: u32,
      band: u32,
      overrun: u32,
      trapno: u32,
      status: i32,
      int: i32,
      ptr: bits64,
      utime: u64,
      stime: u64,
      addr: u64,
      addrLsb: u16,
      _pad2: u16,
      syscall: i32,
      callAddr: u64,
      arch: u32,
      _pad: array('u8', 28),
    },
  },
  sigcontext: {
    fields: {
      r8: bits64,
      r9: bits64,
      r10: bits64,
      r11: bits64,
      r12: bits64,
      r13: bits64,
      r14: bits64,
      r15: bits64,
      di: bits64,
      si: bits64,
      bp: bits64,
      bx: bits64,
      dx: bits64,
      ax: bits64,
      cx: bits64,
      sp: bits64,
      ip: bits64,
      flags: bits64,
      cs: u16,
      gs: u16,
      fs: u16,
      ss: u16,
      err: bits64,
      trapno: bits64,
      oldmask: bits64,
      cr2: bits64,
      fpstate: u64,
      _reserved: array('u64', 8),
    },
  },
  /** What lies on the stack of a signal handler; the kernel's sigset is one word. */
  ucontext: {
    fields: {
      flags: u64,
      link: u64,
      stack: nested('stack_t'),
      mcontext: nested('sigcontext'),
      sigmask: bits64,
    },
  },
  /** The last argument of pselect6(2). */
  sigset_argpack: { fields: { ptr: u64, size: u64 } },
  /** The software bytes at offset 464 of an FXSAVE area, which describe the XSAVE area around it. */
  fpx_sw_bytes: {
    fields: {
      magic1: u32,
      extendedSize: u32,
      xfeatures: bits64,
      xstateSize: u32,
      _padding: array('u32', 7),
    },
  },
  ptrace_syscall_info_head: {
    fields: {
      op: u8,
      _pad: array('u8', 3),
      arch: u32,
      instructionPointer: bits64,
      stackPointer: bits64,
    },
  },
} as const satisfies Record<string, Struct>
