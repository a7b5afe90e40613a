// Boots a Kernel on the fake platform, with a tmpfs root and one task, and calls handlers directly:
//
//   const k = boot()
//   const fd = k.sys.open('/x', O_CREAT | O_RDWR, 0o644)
//
// String and byte array arguments are put into program memory first. A handler that returns -EBLOCKED leaves
// the task parked; `k.rerun()` calls it again, as the run loop does when the task has been woken.

import { nextMoment } from '../sentry/vfs/moment.ts'
import { O_RDONLY } from '../syscall-table/flags.ts'
import '../sentry/fs/tmpfs/mount.ts'
import { mountTmpfs } from '../sentry/fs/tmpfs/mount.ts'
import { becomeReaper } from '../sentry/kernel/clone.ts'
import { Creds, FULL_CAPS, NO_CAPS } from '../sentry/kernel/creds.ts'
import { FdTable } from '../sentry/kernel/fdtable.ts'
import { type Clock, Kernel } from '../sentry/kernel/kernel.ts'
import { newSession } from '../sentry/kernel/pid.ts'
import { SigHandlers } from '../sentry/kernel/signal-state.ts'
import { BLOCKED, RUNNING, Task } from '../sentry/kernel/task.ts'
import { ThreadGroup } from '../sentry/kernel/thread-group.ts'
import { Mm } from '../sentry/mm/mm.ts'
import * as fileCalls from '../sentry/syscalls/file.ts'
import * as pathCalls from '../sentry/syscalls/path.ts'
import { FsContext } from '../sentry/vfs/fs-context.ts'
import type { SuperBlock } from '../sentry/vfs/inode.ts'
import { mountRoot } from '../sentry/vfs/mounting.ts'
import { EBLOCKED } from '../syscall-table/errno.ts'
import { FakePlatform, MEMORY_SIZE, MEMORY_START } from './fake-platform.ts'

/** A clock that stands still until the test moves it. */
export class TestClock implements Clock {
  nowNs = 1e9
  realSec = 1_700_000_000
  monotonicNs(): number {
    return this.nowNs
  }
  realtime(into: { sec: number; nsec: number }): void {
    into.sec = this.realSec + Math.floor(this.nowNs / 1e9)
    into.nsec = this.nowNs % 1e9
  }
}

type Arg = number | string | Uint8Array
type Handler = (task: Task, ...args: number[]) => number
type HandlerName<T> = Extract<keyof T, `sys_${string}`>
type Unprefixed<T> = {
  [K in HandlerName<T> as K extends `sys_${infer N}` ? N : never]: (...args: Arg[]) => number
}
type Sys = Unprefixed<typeof fileCalls> & Unprefixed<typeof pathCalls>

export interface BootOptions {
  /** The root file system; a tmpfs by default. */
  root?: (kernel: Kernel) => SuperBlock
}

/** A kernel under test, seen from one of its tasks. */
export class TestTask {
  readonly kernel: Kernel
  readonly task: Task
  readonly sys: Sys
  /** The next free byte for arguments; everything below MEMORY_START + 64 KiB is the test's own. */
  #arena = MEMORY_START + 65536
  #again: (() => number) | null = null

  constructor(kernel: Kernel, task: Task) {
    this.kernel = kernel
    this.task = task
    this.sys = new Proxy({} as Sys, {
      get:
        (_target, name) =>
        (...args: Arg[]) =>
          this.callByName(String(name), args),
    })
  }

  callByName(name: string, args: Arg[]): number {
    const handler = ({ ...fileCalls, ...pathCalls } as Record<string, unknown>)[`sys_${name}`]
    if (handler === undefined) throw new Error(`no handler sys_${name}`)
    return this.call(handler as Handler, ...args)
  }

  /** Call any handler as the run loop would. */
  call(handler: Handler, ...args: Arg[]): number {
    const numbers = args.map(arg => (typeof arg === 'number' ? arg : this.place(arg)))
    this.#again = () => {
      nextMoment()
      return handler(this.task, ...numbers)
    }
    return this.rerun()
  }

  /** Call the handler of the last call again. */
  rerun(): number {
    const { task } = this
    task.state = RUNNING
    task.syscallNr = 0
    const n = this.#again!()
    if (n === -EBLOCKED) {
      task.state = BLOCKED
      return n
    }
    task.stopWaiting()
    task.restart.clear()
    task.syscallNr = -1
    return n
  }

  /** Whether the parked task has been woken. */
  get woken(): boolean {
    return this.task.queued
  }

  /** Put bytes, or a string with a NUL behind it, into program memory; returns the address. */
  place(data: string | Uint8Array): number {
    const bytes = typeof data === 'string' ? Buffer.from(`${data}\0`, 'latin1') : data
    const aligned = (bytes.length + 15) & ~15
    if (this.#arena + aligned > MEMORY_START + MEMORY_SIZE) this.#arena = MEMORY_START + 65536
    const addr = this.#arena
    this.#arena += aligned
    this.kernel.platform.writeMemory(this.task.thread, addr, bytes, 0, bytes.length)
    return addr
  }

  /** A place for results of `length` bytes. */
  room(length: number): number {
    return this.place(new Uint8Array(length))
  }

  /** Program memory. */
  bytes(addr: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    this.kernel.platform.readMemory(this.task.thread, addr, bytes, 0, length)
    return bytes
  }

  view(addr: number, length: number): DataView {
    return new DataView(this.bytes(addr, length).buffer)
  }

  text(addr: number, length: number): string {
    return Buffer.from(this.bytes(addr, length)).toString('latin1')
  }

  /** The first 4 KiB of a file, or -errno. */
  contents(path: string): string | number {
    const fd = this.sys.open(path, O_RDONLY, 0)
    if (fd < 0) return fd
    const at = this.room(4096)
    const n = this.sys.read(fd, at, 4096)
    this.sys.close(fd)
    return n < 0 ? n : this.text(at, n)
  }

  /** A further task of a process of its own, with copies of descriptors and directories. */
  fork(creds: Creds = this.task.creds): TestTask {
    const { task, kernel } = this
    const child = newTask(kernel, task.files.copy(), task.fs.copy(), creds, task.group)
    ;(kernel.platform as FakePlatform).copyMemory(task.thread, child.thread)
    return new TestTask(kernel, child)
  }
}

/** Credentials of an ordinary user. */
export function userCreds(uid: number, gid: number = uid): Creds {
  const creds = new Creds()
  creds.uid = creds.euid = creds.suid = creds.fsuid = uid
  creds.gid = creds.egid = creds.sgid = creds.fsgid = gid
  creds.permitted = creds.effective = NO_CAPS
  return creds
}

/** A kernel with one task of root. */
export function boot(options: BootOptions = {}): TestTask & { clock: TestClock } {
  const clock = new TestClock()
  const kernel = new Kernel(new FakePlatform(), clock, {
    sysname: 'Linux',
    release: '6.6.0',
    version: '#1 SMP',
    machine: 'x86_64',
    nodename: 'test',
    domainname: '(none)',
  })
  kernel.memoryBytes = 1 << 30
  const made = options.root?.(kernel) ?? mountTmpfs(kernel, 'mode=755')
  if (typeof made === 'number') throw new Error(`root file system: ${made}`)
  const mount = mountRoot(kernel.mounts, made, 0, 'root')
  const at = { mount, dentry: mount.root }
  const creds = new Creds()
  creds.permitted = creds.effective = FULL_CAPS
  const task = newTask(kernel, new FdTable(), new FsContext({ ...at }, { ...at }), creds, null)
  kernel.init = task.group
  return Object.assign(new TestTask(kernel, task), { clock })
}

function newTask(
  kernel: Kernel,
  files: FdTable,
  fs: FsContext,
  creds: Creds,
  parent: ThreadGroup | null,
): Task {
  const pid = kernel.namespaces.pidForChildren.newPid([])
  if (typeof pid === 'number') throw new Error('no pid')
  const pgrp = parent?.pgrp ?? newSession(pid)
  const unlimited = { cur: Number.POSITIVE_INFINITY, max: Number.POSITIVE_INFINITY }
  const rlimits = Array.from({ length: 16 }, () => ({ ...unlimited }))
  rlimits[7] = { cur: 1024, max: 4096 }
  const group = new ThreadGroup(kernel, pid, parent, pgrp, new SigHandlers(), rlimits)
  const thread = kernel.platform.newThread()
  if (typeof thread === 'number') throw new Error('no thread')
  const task = new Task(
    kernel,
    pid,
    group,
    thread,
    Mm.create(kernel),
    files,
    fs,
    creds,
    kernel.namespaces,
  )
  task.state = RUNNING
  group.leader = task
  group.tasks.push(task)
  pid.task = task
  pid.group = group
  becomeReaper(group)
  kernel.tasks.add(task)
  kernel.groups.add(group)
  kernel.taskOfThread[thread.id] = task
  return task
}
