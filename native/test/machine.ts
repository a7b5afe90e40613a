// A minimal kernel for tests of the platform: loads programs.c and hands its events to the test.

import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { EV_STARTED, REG } from '../../sentry/platform.ts'
import { createPtracePlatform } from '../ptrace.ts'
import type { StubPlatform } from '../stub-platform.ts'
import { createSystrapPlatform } from '../systrap.ts'
import type { SystrapThread } from '../systrap-context.ts'

const here = dirname(fileURLToPath(import.meta.url))

export const CODE = 0x400000
const CODE_SIZE = 0x10000
export const STACK = 0x700000
const STACK_SIZE = 0x10000
export const PROGRAM_REPORT = 1000
export const MAKE_FORK = 1002

/** The programs of programs.c by name. */
export const PROGRAMS = {
  sixArguments: 0,
  pidLoop: 1,
  spin: 2,
  badStore: 3,
  divide: 4,
  breakpoint: 5,
  int80: 6,
  forkMemory: 7,
  thread: 8,
  futexWait: 9,
  vectors: 10,
  scribble: 11,
  ringGarbage: 12,
  wildClone: 13,
  step: 14,
  timeLoop: 15,
  timeOfDay: 16,
} as const

/** Compile programs.c into a flat image. Must happen before the platform takes over SIGCHLD. */
export function buildPrograms(): Uint8Array {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-'))
  try {
    const elf = join(dir, 'programs.elf')
    const flat = join(dir, 'programs.bin')
    const flags = [
      '-O1',
      '-ffreestanding',
      '-fno-pic',
      '-fcf-protection=none',
      '-fno-stack-protector',
    ]
    const layout = ['-fno-toplevel-reorder', '-fno-jump-tables', '-nostdlib', '-static', '-no-pie']
    const link = [
      '-Wl,-N,--no-warn-rwx-segments,-Ttext=0x400000,-e,start,--build-id=none',
      '-fno-asynchronous-unwind-tables',
    ]
    const source = join(here, 'programs.c')
    execFileSync('gcc', [...flags, ...layout, ...link, '-o', elf, source], { stdio: 'inherit' })
    execFileSync('objcopy', ['-O', 'binary', elf, flat], { stdio: 'inherit' })
    return new Uint8Array(readFileSync(flat))
  } finally {
    rmSync(dir, { recursive: true })
  }
}

/** The platforms by name. */
export const PLATFORMS = { systrap: createSystrapPlatform, ptrace: createPtracePlatform } as const
export type PlatformKind = keyof typeof PLATFORMS
export const PLATFORM_KINDS: readonly PlatformKind[] = ['systrap', 'ptrace']

/** A platform and the programs to run on it. */
export class Machine {
  readonly platform: StubPlatform
  readonly image: Uint8Array

  constructor(image: Uint8Array, traceAll = false, stub = -1, kind: PlatformKind = 'systrap') {
    this.image = image
    const stubFd = stub >= 0 ? stub : openSync(join(here, '../../build/stub'), 'r')
    this.platform = PLATFORMS[kind]({ stubFd, traceAll })
    closeSync(stubFd)
  }

  /** Wait for the next event; fails the test when none comes within `seconds`. */
  next(seconds = 5): SystrapThread {
    const id = this.platform.wait(Number(process.hrtime.bigint()) + seconds * 1e9)
    if (id < 0) throw new Error(`no event: ${id}`)
    return this.platform.context(id)
  }

  newThread(): SystrapThread {
    const thread = this.platform.newThread()
    if (typeof thread === 'number') throw new Error(`newThread: ${thread}`)
    return thread
  }

  /** A new process with the image mapped, stopped before its first instruction. */
  load(program: number, argument = 0): SystrapThread {
    const { platform } = this
    const thread = this.newThread()
    const r = platform.spawn(thread)
    if (r < 0) throw new Error(`spawn: ${r}`)
    const started = this.next()
    if (started !== thread || thread.event !== EV_STARTED) throw new Error('not started')
    const ops = platform.ops(thread)
    ops.mmap(CODE, CODE_SIZE, 7, 0x22, -1, 0)
    ops.mmap(STACK - STACK_SIZE, STACK_SIZE, 3, 0x22, -1, 0)
    thread.regs.fill(0)
    setReg(thread, 'rip', CODE)
    platform.setRegs(thread)
    platform.resume(thread, 0)
    // Nothing is there yet: the fault tells that the ops ran.
    this.next()
    platform.writeMemory(thread, CODE, this.image, 0, this.image.length)
    platform.getRegs(thread)
    setReg(thread, 'rip', CODE)
    setReg(thread, 'rsp', STACK - 64)
    setReg(thread, 'rdi', program)
    setReg(thread, 'rsi', argument)
    platform.setRegs(thread)
    return thread
  }

  /** Load a program and run it up to its first event. */
  run(program: number, argument = 0): SystrapThread {
    const thread = this.load(program, argument)
    this.platform.resume(thread, 0)
    return this.next()
  }

  /** End a process and give back its thread. */
  kill(thread: SystrapThread): void {
    this.platform.kill(thread)
    this.platform.release(thread)
  }
}

/** A register's value as a number. */
export function reg(thread: SystrapThread, name: keyof typeof REG): number {
  const at = REG[name] * 2
  return thread.regs[at + 1]! * 2 ** 32 + thread.regs[at]!
}

/** Set a register to a value below 2^53. */
export function setReg(thread: SystrapThread, name: keyof typeof REG, value: number): void {
  const at = REG[name] * 2
  thread.regs[at] = value % 2 ** 32
  thread.regs[at + 1] = Math.floor(value / 2 ** 32)
}

/** Argument `i` of a system call as a signed number. */
export function arg(thread: SystrapThread, i: number): number {
  return thread.sargs[2 * i + 1]! * 2 ** 32 + thread.args[2 * i]!
}
