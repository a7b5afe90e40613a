import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  EV_DEAD,
  EV_FAULT,
  EV_INTERRUPT,
  EV_OPS_FAILED,
  EV_STARTED,
  EV_SYSCALL,
  WAIT_HOST,
  WAIT_TIMEOUT,
} from '../sentry/platform.ts'
import { memfdCreate, pwrite } from './host-file.ts'
import { pipe2, write } from './host-io.ts'
import type { SystrapThread } from './systrap-context.ts'
import {
  arg,
  buildPrograms,
  CODE,
  MAKE_FORK,
  Machine,
  PLATFORM_KINDS,
  PROGRAM_REPORT,
  PROGRAMS,
  reg,
  STACK,
  setReg,
} from './test/machine.ts'

const SIGILL = 4
const SIGTRAP = 5
const SIGFPE = 8
const SIGKILL = 9
const SIGSEGV = 11
const SIGSYS = 31
const EPERM = 1
const EACCES = 13
const EINVAL = 22
const ENOMEM = 12
const NR_GETPID = 39
const NR_CLONE = 56
const NR_EXIT = 60
const MAP_ANON = 0x22
const MAP_SHARED = 1

/** User time of each stub process but the zygote, which is the oldest, in ticks. */
function userTimes(): Map<number, number> {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'latin1')
    .trim()
    .split(' ')
  const processes = children.map(pid => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')
    return { pid: Number(pid), userTime: Number(stat[11]), started: Number(stat[19]) }
  })
  const [_zygote, ...programs] = processes.sort((a, b) => a.started - b.started)
  return new Map(programs.map(({ pid, userTime }) => [pid, userTime]))
}

/** The host pids of the `count` stub processes that run a program; others wait for an answer or for use. */
function runningChildren(m: Machine, count: number): number[] {
  const before = userTimes()
  for (let i = 0; i < 2000; i++) {
    const now = userTimes()
    const running = [...now.keys()].filter(pid => now.get(pid)! > (before.get(pid) ?? 0))
    if (running.length === count) return running
    // Lets threads go on that have not rung for their answer yet.
    m.platform.wait(Number(process.hrtime.bigint()) + 5e6)
  }
  throw new Error(`not ${count} processes run`)
}

const root = process.getuid?.() === 0
if (!root) console.log('skipped: the platform tests need root')

describe.runIf(root).each(PLATFORM_KINDS)('%s', kind => {
  let m: Machine
  beforeAll(() => {
    m = new Machine(buildPrograms(), false, -1, kind)
  })
  afterAll(() => m.platform.close())

  it('passes all six arguments, the address and the result of a system call', () => {
    const t = m.run(PROGRAMS.sixArguments)
    expect(t.event).toBe(EV_SYSCALL)
    expect(t.nr).toBe(PROGRAM_REPORT)
    expect([0, 1, 2, 3, 4, 5].map(i => arg(t, i))).toEqual([1, -2, 3, 4, -5, 0x600000006])
    expect(t.ip).toBeGreaterThan(CODE)
    expect(t.sp).toBeGreaterThan(STACK - 0x10000)
    m.platform.resume(t, -77)
    m.next()
    expect(arg(t, 0)).toBe(-77)
    m.kill(t)
  })

  it('answers a hundred thousand calls', () => {
    const t = m.run(PROGRAMS.pidLoop)
    for (let i = 0; i < 50_000; i++) {
      m.platform.resume(t, i)
      m.next()
      if (t.nr !== NR_GETPID) throw new Error(`nr ${t.nr}`)
    }
    for (let i = 0; i < 50_000; i++) m.platform.resumeAndWait(t, i, Number.POSITIVE_INFINITY)
    expect(t.nr).toBe(NR_GETPID)
    m.kill(t)
  })

  it('reports faults with the siginfo of the host', () => {
    const t = m.run(PROGRAMS.badStore, 0x900000)
    expect([t.event, t.signo, t.code, t.faultAddr]).toEqual([EV_FAULT, SIGSEGV, 1, 0x900000])
    expect(t.errorCode & 6).toBe(6)
    // Map the page and try again: the registers stay as they were.
    m.platform.ops(t).mmap(0x900000, 4096, 3, MAP_ANON, -1, 0)
    m.platform.getRegs(t)
    m.platform.setRegs(t)
    m.platform.resume(t, 0)
    m.next()
    expect([t.event, t.nr, arg(t, 0)]).toEqual([EV_SYSCALL, PROGRAM_REPORT, 1])
    m.kill(t)
  })

  it('reports other exceptions', () => {
    const divide = m.run(PROGRAMS.divide)
    expect([divide.event, divide.signo, divide.code]).toEqual([EV_FAULT, SIGFPE, 1])
    m.kill(divide)
    const trap = m.run(PROGRAMS.breakpoint)
    expect([trap.event, trap.signo]).toEqual([EV_FAULT, SIGTRAP])
    m.kill(trap)
    const step = m.run(PROGRAMS.step)
    expect([step.event, step.signo, step.trapNo]).toEqual([EV_FAULT, SIGTRAP, 1])
    m.kill(step)
    const foreign = m.run(PROGRAMS.int80)
    // A host without 32-bit system calls faults before any filter sees the call.
    expect(foreign.event).toBe(EV_FAULT)
    expect([SIGSYS, SIGSEGV]).toContain(foreign.signo)
    m.kill(foreign)
    const none = m.run(99)
    expect([none.event, none.nr]).toEqual([EV_SYSCALL, NR_EXIT])
    m.platform.getRegs(none)
    setReg(none, 'rip', CODE + 5)
    m.platform.setRegs(none)
    m.platform.resume(none, 0)
    m.next()
    expect([none.event, none.signo]).toEqual([EV_FAULT, SIGILL])
    m.kill(none)
  })

  it('forks with a copy of memory and slots of its own', () => {
    const parent = m.run(PROGRAMS.forkMemory)
    expect(parent.nr).toBe(MAKE_FORK)
    const child = m.newThread()
    m.platform.ops(parent).fork(child)
    m.platform.resume(parent, 555)
    const seen = [m.next(), m.next()]
    expect(seen).toContain(parent)
    expect(seen).toContain(child)
    expect(child.event).toBe(EV_STARTED)
    expect([arg(parent, 0), arg(parent, 1)]).toEqual([555, 11])
    m.platform.resume(child, 0)
    m.next()
    expect([arg(child, 0), arg(child, 1)]).toEqual([0, 12])
    // Both go on, each over its own slots.
    for (let i = 0; i < 2; i++) {
      m.platform.resume(child, 1)
      m.platform.resume(parent, 2)
      m.next()
      m.next()
    }
    expect([arg(parent, 0), arg(parent, 1)]).toEqual([555, 11])
    expect([arg(child, 0), arg(child, 1)]).toEqual([0, 12])
    m.kill(parent)
    m.platform.ops(child).exitThread()
    m.platform.resume(child, 0)
    m.platform.release(child)
  })

  for (const sameProcess of [true, false]) {
    it(`clones a thread in ${sameProcess ? 'its own' : 'another'} process`, () => {
      const parent = m.run(PROGRAMS.thread, 1)
      const word = arg(parent, 0)
      const child = m.newThread()
      const tls = new Uint8Array(new BigUint64Array([0x1122334455n]).buffer)
      m.platform.writeMemory(parent, STACK - 0x8000, tls, 0, 8)
      m.platform.ops(parent).cloneThread(child, sameProcess, word, STACK - 0x8000)
      m.platform.resume(parent, 77)
      const seen = [m.next(), m.next()]
      expect(seen).toContain(child)
      expect(child.event).toBe(EV_STARTED)
      expect(arg(parent, 0)).toBe(77)
      m.platform.getRegs(child)
      setReg(child, 'rsp', STACK - 0x4000)
      setReg(child, 'rax', 0)
      m.platform.setRegs(child)
      m.platform.resume(child, 0)
      m.next()
      expect([child.nr, arg(child, 0), arg(child, 1)]).toEqual([PROGRAM_REPORT, 0, 0x1122334455])
      m.platform.resume(child, 0)
      expect(m.next().nr).toBe(NR_EXIT)
      // The parent waits natively for the host to clear the word.
      m.platform.resume(parent, 0)
      m.platform.ops(child).exitThread()
      m.platform.resume(child, 0)
      m.platform.release(child)
      expect(m.next()).toBe(parent)
      expect([arg(parent, 0), arg(parent, 1), arg(parent, 2)]).toEqual([77, 0, 1])
      m.kill(parent)
    })
  }

  it('lets the first thread end before the others', () => {
    const parent = m.run(PROGRAMS.thread, 0)
    const child = m.newThread()
    m.platform.ops(parent).cloneThread(child, true, 0, 0)
    m.platform.resume(parent, 77)
    m.next()
    m.next()
    m.platform.ops(parent).exitThread()
    m.platform.resume(parent, 0)
    m.platform.release(parent)
    m.platform.getRegs(child)
    setReg(child, 'rsp', STACK - 0x4000)
    setReg(child, 'rax', 0)
    m.platform.setRegs(child)
    m.platform.resume(child, 0)
    expect(m.next()).toBe(child)
    expect(m.platform.readMemory(child, CODE, new Uint8Array(16), 0, 16)).toBe(16)
    m.platform.ops(child).exitThread()
    m.platform.resume(child, 0)
    m.platform.release(child)
    expect(m.platform.wait(Number(process.hrtime.bigint()) + 2e7)).toBe(WAIT_TIMEOUT)
  })

  it('maps descriptors of the sentry, many at once', () => {
    const t = m.run(PROGRAMS.pidLoop)
    const fd = memfdCreate('test', 1)
    pwrite(fd, new Uint8Array([1, 2, 3, 4]), 0, 4, 0)
    const ops = m.platform.ops(t)
    for (let i = 0; i < 100; i++) ops.mmap(0x10000000 + i * 8192, 4096, 3, MAP_SHARED, fd, 0)
    m.platform.resume(t, 0)
    expect(m.next().event).toBe(EV_SYSCALL)
    m.platform.writeMemory(t, 0x10000002, new Uint8Array([9]), 0, 1)
    const bytes = new Uint8Array(4)
    expect(m.platform.readMemory(t, 0x10000000 + 99 * 8192, bytes, 0, 4)).toBe(4)
    expect([...bytes]).toEqual([1, 2, 9, 4])
    m.kill(t)
  })

  it('reports which op failed and runs none after it', () => {
    const t = m.run(PROGRAMS.pidLoop)
    const ops = m.platform.ops(t)
    ops.mmap(0x10000000, 4096, 3, MAP_ANON, -1, 0)
    ops.mprotect(0x20000000, 4096, 1)
    ops.mmap(0x30000000, 4096, 3, MAP_ANON, -1, 0)
    m.platform.resume(t, 0)
    m.next()
    expect([t.event, t.failedOp, t.failedErrno]).toEqual([EV_OPS_FAILED, 1, ENOMEM])
    const byte = new Uint8Array(1)
    expect(m.platform.readMemory(t, 0x10000000, byte, 0, 1)).toBe(1)
    expect(m.platform.readMemory(t, 0x30000000, byte, 0, 1)).toBeLessThan(0)
    m.platform.resume(t, 0)
    expect(m.next().event).toBe(EV_SYSCALL)
    m.kill(t)
  })

  it('interrupts a thread that computes', () => {
    const t = m.run(PROGRAMS.spin)
    m.platform.resume(t, 0)
    const times = new Float64Array(4)
    // Until the host has let it compute a while.
    do {
      expect(m.platform.wait(Number(process.hrtime.bigint()) + 2e7)).toBe(WAIT_TIMEOUT)
      expect(m.platform.cpuTimes(t, times)).toBe(0)
    } while (times[0]! <= 1e6)
    m.platform.interrupt(t)
    expect(m.next().event).toBe(EV_INTERRUPT)
    expect(m.platform.cpuTimes(t, times)).toBe(0)
    expect(times[1]).toBeLessThanOrEqual(times[0]!)
    m.kill(t)
  })

  it('interrupts a native futex wait at its system call instruction', () => {
    const t = m.run(PROGRAMS.futexWait)
    m.platform.resume(t, 0)
    expect(m.platform.wait(Number(process.hrtime.bigint()) + 2e7)).toBe(WAIT_TIMEOUT)
    m.platform.interrupt(t)
    expect(m.next().event).toBe(EV_INTERRUPT)
    m.platform.getRegs(t)
    const code = new Uint8Array(2)
    m.platform.readMemory(t, reg(t, 'rip'), code, 0, 2)
    expect([...code, reg(t, 'rax')]).toEqual([0x0f, 0x05, 202])
    m.kill(t)
  })

  it('keeps and changes the FPU state', () => {
    const t = m.run(PROGRAMS.vectors)
    const state = new Uint8Array(16384)
    const size = m.platform.getFpu(t, state)
    expect(size).toBeGreaterThanOrEqual(512)
    const xmm7 = new DataView(state.buffer, 160 + 7 * 16, 8)
    expect(xmm7.getFloat64(0, true)).toBe(1.5)
    xmm7.setFloat64(0, 2.25, true)
    expect(m.platform.setFpu(t, state, size)).toBe(0)
    m.platform.resume(t, 0)
    m.next()
    const out = new DataView(t.args.buffer, t.args.byteOffset, 8)
    expect(out.getFloat64(0, true)).toBe(2.25)
    expect(m.platform.setFpu(t, state, 100)).toBe(-EINVAL)
    expect(m.platform.setFpu(t, state, 0)).toBe(0)
    m.kill(t)
  })

  it('reads and writes memory up to where it ends', () => {
    const t = m.run(PROGRAMS.pidLoop)
    const bytes = new Uint8Array(0x30000).fill(65)
    expect(m.platform.writeMemory(t, STACK - 100, bytes, 0, 0x1000)).toBe(100)
    expect(m.platform.readMemory(t, STACK - 0x10000, bytes, 0, 0x20000)).toBe(0x10000)
    expect(m.platform.readMemory(t, STACK, bytes, 0, 1)).toBeLessThan(0)
    expect(m.platform.writeMemory(t, STACK - 3, new Uint8Array([66, 67, 0]), 0, 3)).toBe(3)
    expect(m.platform.readString(t, STACK - 3, bytes, 0, 4096)).toBe(2)
    expect(m.platform.readString(t, STACK - 100, bytes, 0, 50)).toBe(-36)
    m.kill(t)
  })

  it('watches host descriptors', () => {
    const fds = new Int32Array(8)
    const events = new Int32Array(8)
    const t = m.run(PROGRAMS.pidLoop)
    const pair = new Int32Array(2)
    pipe2(pair, 0o2000000)
    const [readEnd, writeEnd] = [pair[0]!, pair[1]!]
    m.platform.watch(readEnd, 1)
    expect(m.platform.wait(Number(process.hrtime.bigint()) + 1e6)).toBe(WAIT_TIMEOUT)
    write(writeEnd, new Uint8Array(1), 0, 1)
    expect(m.platform.wait(Number.POSITIVE_INFINITY)).toBe(WAIT_HOST)
    expect([m.platform.readyFds(fds, events), fds[0], events[0]]).toEqual([1, readEnd, 1])
    // Busy programs do not starve it.
    let host = 0
    for (let i = 0; i < 20_000 && !host; i++) {
      m.platform.resume(t, 0)
      while (m.platform.wait(Number.POSITIVE_INFINITY) === WAIT_HOST) host++
    }
    expect(host).toBeGreaterThan(0)
    m.platform.watch(readEnd, 0)
    m.kill(t)
  })

  it('reports processes that die without an order, and none that were killed', () => {
    const t = m.run(PROGRAMS.timeLoop)
    m.platform.resume(t, 0)
    for (const pid of runningChildren(m, 1)) process.kill(pid, 'SIGKILL')
    m.next()
    expect([t.event, t.exitStatus]).toEqual([EV_DEAD, SIGKILL])
    m.platform.release(t)
    const u = m.run(PROGRAMS.timeLoop)
    m.platform.resume(u, 0)
    m.kill(u)
    expect(m.platform.wait(Number(process.hrtime.bigint()) + 5e7)).toBe(WAIT_TIMEOUT)
  })

  it('lets the host answer harmless calls, and reports x32 calls', () => {
    const t = m.run(PROGRAMS.timeOfDay)
    expect([t.event, t.nr, arg(t, 0)]).toEqual([EV_SYSCALL, PROGRAM_REPORT, 1])
    m.platform.resume(t, 0)
    m.next()
    expect([t.event, t.nr]).toEqual([EV_SYSCALL, 0x40000027])
    m.platform.resume(t, -38)
    m.next()
    expect([t.event, t.nr, arg(t, 0)]).toEqual([EV_SYSCALL, PROGRAM_REPORT, 2])
    m.kill(t)
  })

  /** Wait until `t` is reported dead; other events of it are answered. */
  const dies = (t: SystrapThread) => {
    for (let i = 0; i < 100_000; i++) {
      const seen = m.next()
      if (seen === t && t.event === EV_DEAD) return m.platform.release(t)
      m.platform.resume(seen, 0)
    }
    throw new Error('it lives')
  }
  /** The platform still serves a well-behaved program. */
  const works = () => {
    const t = m.run(PROGRAMS.sixArguments)
    expect([t.event, t.nr, arg(t, 1)]).toEqual([EV_SYSCALL, PROGRAM_REPORT, -2])
    m.kill(t)
  }
  /** The address of a system call instruction in the stub, followed by hlt: rt_sigreturn's. */
  const stubSyscall = () => {
    const stub = readFileSync(new URL('../build/stub', import.meta.url))
    const at = stub.indexOf(Buffer.from([0x0f, 0x05, 0xf4]), 0x1000)
    return 0x550000000000 + at - 0x1000
  }

  describe.runIf(kind === 'systrap')('with programs that attack the stub', () => {
    it('survives garbage in the slots', () => {
      const t = m.load(PROGRAMS.scribble)
      m.platform.resume(t, 0)
      const end = Date.now() + 300
      while (Date.now() < end) {
        const id = m.platform.wait(Number(process.hrtime.bigint()) + 5e7)
        if (id < 0) continue
        if (t.event === EV_DEAD) break
        m.platform.resume(t, 0)
      }
      m.kill(t)
      works()
    })

    it('kills who rings without a token', () => {
      const t = m.load(PROGRAMS.ringGarbage, stubSyscall())
      m.platform.resume(t, 0)
      dies(t)
      works()
    })

    it('kills who clones by itself, once that thread shows up', () => {
      const t = m.load(PROGRAMS.wildClone, stubSyscall())
      m.platform.resume(t, 0)
      const end = Date.now() + 300
      while (Date.now() < end) {
        const id = m.platform.wait(Number(process.hrtime.bigint()) + 5e7)
        if (id >= 0 && t.event !== EV_DEAD) m.platform.resume(t, 0)
        if (id >= 0 && t.event === EV_DEAD) break
      }
      m.kill(t)
      works()
    })

    it('keeps the status page read-only', () => {
      const t = m.run(PROGRAMS.pidLoop)
      m.platform.ops(t).mprotect(0x550000100000, 4096, 3)
      m.platform.resume(t, 0)
      m.next()
      expect([t.event, t.failedErrno]).toEqual([EV_OPS_FAILED, EACCES])
      m.kill(t)
    })

    it('survives a program that unmaps the stub', () => {
      for (const [start, length] of [
        [0x550000000000, 0x20000000],
        [0x550001000000, 0x1000000],
        [0x550010000000, 0x10000],
      ]) {
        const t = m.run(PROGRAMS.pidLoop)
        m.platform.ops(t).munmap(start!, length!)
        m.platform.resume(t, 0)
        dies(t)
      }
      works()
    })

    it('serves many processes that die at once', () => {
      const threads = Array.from({ length: 20 }, () => m.run(PROGRAMS.timeLoop))
      for (const t of threads) m.platform.resume(t, 0)
      for (const pid of runningChildren(m, 20)) process.kill(pid, 'SIGKILL')
      for (let i = 0; i < 20; i++) {
        const t = m.next()
        expect(t.event).toBe(EV_DEAD)
        m.platform.release(t)
      }
      works()
    })
  })

  describe.runIf(kind === 'ptrace')('with programs that attack their tracer', () => {
    it('kills who rings by itself', () => {
      const t = m.load(PROGRAMS.ringGarbage, stubSyscall())
      m.platform.resume(t, 0)
      dies(t)
      works()
    })

    it('reports a clone from the stub like any other call', () => {
      const t = m.run(PROGRAMS.wildClone, stubSyscall())
      expect([t.event, t.nr, arg(t, 0)]).toEqual([EV_SYSCALL, NR_CLONE, 0x8011])
      m.kill(t)
    })

    it('has nothing mapped but the text of the stub', () => {
      const t = m.run(PROGRAMS.scribble)
      expect([t.event, t.signo, t.code, t.trapNo]).toEqual([EV_FAULT, SIGSEGV, 1, 14])
      m.kill(t)
    })

    it('kills a process whose stub is not there or does something else', () => {
      for (const prot of [0, 3]) {
        const t = m.run(PROGRAMS.pidLoop)
        const ops = m.platform.ops(t)
        if (prot === 0) ops.munmap(0x550000000000, 0x10000)
        else ops.mmap(0x550000000000, 0x10000, prot, MAP_ANON, -1, 0)
        ops.munmap(0x10000000, 4096)
        m.platform.resume(t, 0)
        dies(t)
      }
      works()
    })

    it('refuses segment bases outside of user space', () => {
      const t = m.run(PROGRAMS.pidLoop)
      m.platform.ops(t).setFsBase(2 ** 47)
      m.platform.resume(t, 0)
      m.next()
      expect([t.event, t.failedOp, t.failedErrno]).toEqual([EV_OPS_FAILED, 0, EPERM])
      m.kill(t)
    })
  })
})
