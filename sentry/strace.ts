// Prints system calls, signals and exits as strace(1) does (`-f -a1`). It interprets the table of calls; no
// call has code of its own here.

import { errnoText, MAX_ERRNO } from '../syscall-table/errno.ts'
import type { FlagSetName } from '../syscall-table/flags/sets.ts'
import { rowOf } from '../syscall-table/syscalls.ts'
import {
  argText,
  type Call,
  isFilledByKernel,
  shownArgs,
  type UserMemory,
} from './strace/arguments.ts'
import { flagsText, hexText, pointerText, signalText } from './strace/format.ts'

export type { UserMemory } from './strace/arguments.ts'

/** What the tracer needs to know of a task: its thread id, and a way to its memory. */
export interface TracedTask {
  readonly tid: number
  readonly memory: UserMemory
}

/** What the tracer shows of a siginfo. Members that the signal does not have are left out. */
export interface TracedSignal {
  readonly signo: number
  readonly code: number
  readonly pid?: number
  readonly uid?: number
  readonly status?: number
  readonly addr?: number
}

/** A call that has started and not yet ended. */
interface OpenCall {
  readonly nr: number
  readonly regs: Uint32Array
  /** What has been shown so far, without the pid. */
  readonly text: string
  /** How many arguments that text holds. */
  readonly shown: number
  unfinished: boolean
}

/** Calls whose result is an address. */
const returnsAddress = new Set(['mmap', 'brk', 'mremap', 'shmat'])

export class Strace {
  readonly #write: (line: string) => void
  readonly #textMax: number
  readonly #open = new Map<number, OpenCall>()
  readonly #tasks = new Set<number>()
  /** The task whose call was started last and may still end on the same line. */
  #current = -1

  /** `textMax` is how much of a buffer is shown. */
  constructor(write: (line: string) => void, textMax = 32) {
    this.#write = write
    this.#textMax = textMax
  }

  /** The task starts call `nr`; `args` holds its six registers as pairs of u32. A re-run is not a start. */
  enter(task: TracedTask, nr: number, args: Uint32Array): void {
    this.#tasks.add(task.tid)
    this.#interruptCurrent()
    const regs = args.slice(0, 12)
    const { text, shown } = startText(task, nr, regs, this.#textMax)
    this.#open.set(task.tid, { nr, regs, text, shown, unfinished: false })
    this.#current = task.tid
  }

  /** The call that the task had started ends: with its result, -errno, or an internal restart code. */
  exit(task: TracedTask, result: number): void {
    const call = this.#open.get(task.tid)
    if (call === undefined) return
    if (this.#current !== task.tid) this.#interruptCurrent()
    this.#open.delete(task.tid)
    if (this.#current === task.tid) this.#current = -1
    const rest = `${endText(task, call, result, this.#textMax)}) = ${resultText(call.nr, result)}`
    if (!call.unfinished) this.#line(task.tid, call.text + rest)
    else this.#line(task.tid, `<... ${nameOf(call.nr)} resumed>${rest}`)
  }

  /** A signal is delivered to the task. */
  signal(task: TracedTask, info: TracedSignal): void {
    this.#interruptCurrent()
    this.#line(task.tid, `--- ${signalText(info.signo)} ${siginfoText(info)} ---`)
  }

  /** The task is gone; `status` is a wait(2) status. A call that never returned ends with `= ?`. */
  exited(task: TracedTask, status: number): void {
    const call = this.#open.get(task.tid)
    if (this.#current !== task.tid) this.#interruptCurrent()
    this.#open.delete(task.tid)
    this.#current = -1
    if (call !== undefined) {
      const start = call.unfinished ? `<... ${nameOf(call.nr)} resumed>` : call.text
      this.#line(task.tid, `${start}${call.unfinished ? '' : pointerTail(call)}) = ?`)
    }
    this.#line(task.tid, exitText(status))
    this.#tasks.delete(task.tid)
  }

  /** Another task writes: the call on the unfinished line is cut, and will be resumed on its own. */
  #interruptCurrent(): void {
    const call = this.#open.get(this.#current)
    if (call !== undefined) {
      call.unfinished = true
      this.#line(this.#current, `${call.text} <unfinished ...>`)
    }
    this.#current = -1
  }

  #line(tid: number, text: string): void {
    this.#write(this.#tasks.size > 1 ? `[pid ${tid}] ${text}` : text)
  }
}

const nameOf = (nr: number) => rowOf(nr)?.name ?? `syscall_${hexText(BigInt(nr))}`

/** `name(` and the arguments up to the first that the kernel fills in. */
function startText(task: TracedTask, nr: number, regs: Uint32Array, textMax: number) {
  const row = rowOf(nr)
  if (row === undefined) return { text: `${nameOf(nr)}(${rawArgs(regs)}`, shown: 6 }
  const call: Call = { row, regs, memory: task.memory, result: undefined, textMax }
  const entries = shownArgs(row, regs)
  const cut = entries.findIndex(isFilledByKernel)
  const shown = cut < 0 ? entries.length : cut
  const parts = entries.slice(0, shown).map((arg, i) => argText(call, i, arg))
  const comma = shown > 0 && shown < entries.length ? ', ' : ''
  return { text: `${row.name}(${parts.join(', ')}${comma}`, shown }
}

/** The arguments that were not shown at the start, now that the call has ended. */
function endText(task: TracedTask, open: OpenCall, result: number, textMax: number): string {
  const row = rowOf(open.nr)
  if (row === undefined) return ''
  const call: Call = { row, regs: open.regs, memory: task.memory, result, textMax }
  return shownArgs(row, open.regs)
    .map((arg, i) => (i < open.shown ? undefined : argText(call, i, arg)))
    .filter(text => text !== undefined)
    .join(', ')
}

/** The same for a call that never returned: what pointers point to is not known. */
function pointerTail(open: OpenCall): string {
  const count = Object.keys(rowOf(open.nr)?.args ?? {}).length
  const words: string[] = []
  for (let i = open.shown; i < count; i++) words.push(pointerText(wordOf(open.regs, i)))
  return words.join(', ')
}

const wordOf = (regs: Uint32Array, i: number) =>
  (BigInt(regs[2 * i + 1]!) << 32n) | BigInt(regs[2 * i]!)

const rawArgs = (regs: Uint32Array) =>
  Array.from({ length: 6 }, (_, i) => hexText(wordOf(regs, i))).join(', ')

function resultText(nr: number, result: number): string {
  if (result < 0 && result >= -MAX_ERRNO) {
    const [name, text] = errnoText.get(-result) ?? [`ERRNO_${-result}`, `Unknown error ${-result}`]
    return `${-result >= 512 ? '?' : '-1'} ${name} (${text})`
  }
  return returnsAddress.has(nameOf(nr)) ? hexText(BigInt(result)) : String(result)
}

const codeSets = new Map<number, FlagSetName>([
  [4, 'ILL'],
  [5, 'TRAP'],
  [7, 'BUS'],
  [8, 'FPE'],
  [11, 'SEGV'],
  [17, 'CLD'],
  [31, 'SYS'],
])

function siginfoText(info: TracedSignal): string {
  const own = codeSets.get(info.signo)
  const generic = info.code <= 0 || info.code === 0x80 || own === undefined
  const code = flagsText(generic ? 'SI' : own, BigInt(info.code >>> 0))
  const parts = [`si_signo=${signalText(info.signo)}`, `si_code=${code}`]
  if (info.pid !== undefined) parts.push(`si_pid=${info.pid}`)
  if (info.uid !== undefined) parts.push(`si_uid=${info.uid}`)
  if (info.status !== undefined) parts.push(`si_status=${statusText(info)}`)
  if (info.addr !== undefined) parts.push(`si_addr=${pointerText(BigInt(info.addr))}`)
  return `{${parts.join(', ')}}`
}

/** si_status is an exit status for CLD_EXITED and a signal for every other code. */
const statusText = (info: TracedSignal) =>
  info.code === 1 ? String(info.status) : signalText(info.status ?? 0)

function exitText(status: number): string {
  const signo = status & 0x7f
  if (signo === 0) return `+++ exited with ${(status >> 8) & 0xff} +++`
  return `+++ killed by ${signalText(signo)}${(status & 0x80) === 0 ? '' : ' (core dumped)'} +++`
}
