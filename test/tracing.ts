// What processes really ask of the host, seen from outside: the kernel's own trace of system calls, which a seccomp
// filter comes before. So what is recorded here has passed the filters.

import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './run.ts'

export interface HostCall {
  pid: number
  nr: number
  args: bigint[]
}

/** One event: `   node-123 [001] ..... 12.5: sys_enter: NR 0 (3, 7ffc0, 340, 0, 0, 0)`. */
const LINE = /-(\d+)\s+\[\d+\].*sys_enter: NR (-?\d+) \(([^)]*)\)/

/** A trace instance of our own, so that nobody else's tracing is disturbed. */
export class SyscallTrace {
  readonly #mount: string
  readonly #instance: string
  #pipe = -1
  #text = ''
  /** Events that the buffer had no room for. */
  lost = 0

  private constructor(mount: string, instance: string) {
    this.#mount = mount
    this.#instance = instance
  }

  /** Mounts tracefs in a private place. Returns a reason when this machine has none. */
  static open(): SyscallTrace | string {
    const mount = mkdtempSync(join(tmpdir(), 'portcullis-trace-'))
    const mounted = run('mount', ['-t', 'tracefs', 'none', mount])
    if (mounted.status !== 0) {
      rmdirSync(mount)
      return `tracefs cannot be mounted: ${mounted.stderr.trim()}`
    }
    const instance = join(mount, 'instances', `portcullis-${process.pid}`)
    const trace = new SyscallTrace(mount, instance)
    try {
      mkdirSync(instance)
      writeFileSync(join(instance, 'buffer_size_kb'), '32768')
      if (!existsSync(join(instance, 'events/raw_syscalls/sys_enter/enable')))
        throw new Error('no raw_syscalls events')
    } catch (error) {
      trace.close()
      return `tracing does not work: ${(error as Error).message}`
    }
    return trace
  }

  /** Record the calls of `pids`, and of what they make from now on. */
  start(pids: readonly number[]): void {
    this.#write('set_event_pid', '')
    this.#write('options/event-fork', '1')
    for (const pid of pids) this.#append('set_event_pid', `${pid}`)
    this.#write('events/raw_syscalls/sys_enter/enable', '1')
    this.#pipe = openSync(
      join(this.#instance, 'trace_pipe'),
      constants.O_RDONLY | constants.O_NONBLOCK,
    )
  }

  /** Adds processes to those that are recorded. */
  add(pid: number): void {
    try {
      this.#append('set_event_pid', `${pid}`)
    } catch {
      // It has ended meanwhile.
    }
  }

  /** Takes what has been recorded so far. */
  take(into: HostCall[]): void {
    const bytes = Buffer.alloc(1 << 20)
    for (;;) {
      let n = 0
      try {
        n = readSync(this.#pipe, bytes)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      }
      if (n === 0) break
      this.#text += bytes.toString('latin1', 0, n)
      const lines = this.#text.split('\n')
      this.#text = lines.pop()!
      for (const line of lines) this.#line(line, into)
    }
  }

  #line(line: string, into: HostCall[]): void {
    const lost = /LOST (\d+) EVENTS/.exec(line)
    if (lost !== null) this.lost += Number(lost[1])
    const match = LINE.exec(line)
    if (match === null) return
    into.push({
      pid: Number(match[1]),
      nr: Number(match[2]),
      args: match[3]!.split(', ').map(word => BigInt(`0x${word}`)),
    })
  }

  close(): void {
    if (this.#pipe >= 0) closeSync(this.#pipe)
    if (existsSync(this.#instance)) {
      this.#write('events/enable', '0')
      rmdirSync(this.#instance)
    }
    run('umount', [this.#mount])
    rmdirSync(this.#mount)
  }

  #write(name: string, text: string): void {
    writeFileSync(join(this.#instance, name), `${text}\n`)
  }

  #append(name: string, text: string): void {
    writeFileSync(join(this.#instance, name), `${text}\n`, { flag: 'a' })
  }
}

/** All descendants of a process, by what /proc says of parents. */
export function descendants(pid: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1')
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
    } catch {
      // It ended while we looked.
    }
  }
  const found = [pid]
  for (const one of found)
    for (const [child, parent] of parents) if (parent === one) found.push(child)
  return found.slice(1)
}
