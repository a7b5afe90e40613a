// The terminal of a sandbox that was started with one: a pseudo-terminal of the sandbox, whose other side is
// not a program but a host descriptor. runsc relays bytes between that and the user's own terminal.

import {
  close,
  getWinsize,
  type HostFd,
  read,
  setNonblocking,
  write,
} from '../../../native/index.ts'
import { EAGAIN, EINTR } from '../../../syscall-table/errno.ts'
import { O_RDWR, POLLHUP, POLLIN, POLLOUT } from '../../../syscall-table/flags.ts'
import type { HostEventSource } from '../../kernel/host-events.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { Task } from '../../kernel/task.ts'
import { Dentry } from '../../vfs/dentry.ts'
import type { File } from '../../vfs/file.ts'
import { Mount, type MountNamespace } from '../../vfs/mount.ts'
import { acquireTerminal } from '../dev/tty/job-control.ts'
import type { Tty, TtyPeer } from '../dev/tty/tty.ts'
import { TtyFileOps } from '../dev/tty/tty-file.ts'
import { DevptsFs, mountDevpts, type SlaveInode } from '../devpts/devpts.ts'

/** Bytes per read from the host. */
const CHUNK = 4096

/** What boot and exec get of a terminal. */
export interface HostTerminal {
  readonly tty: Tty
  /** The slave, open for reading and writing; the caller owns the reference. */
  readonly file: File
  /** The user's window has another size. */
  resize(rows: number, columns: number): void
  /** Take over the window size of the host's side when that is a terminal too; true when it was another. */
  followSize(): boolean
  /** Make it the controlling terminal of a session leader. */
  control(task: Task): number
  /** The process that it was made with has ended: so does the terminal, as soon as nobody has it open. */
  release(): void
  /** Call `done` once what the program has written so far is out, or nobody reads it any more. */
  whenFlushed(done: () => void): void
  /** Write out what is left, however long the other side takes: before the sandbox ends. */
  drain(): void
}

/** The host's side of a terminal. The descriptor belongs to this alone, so it may be nonblocking. */
class HostPeer implements TtyPeer, HostEventSource {
  readonly #kernel: Kernel
  readonly #fd: HostFd
  readonly #gone: () => void
  readonly #buffer = new Uint8Array(CHUNK)
  #tty!: Tty
  #closed = false
  #released = false
  #outputBlocked = false
  #flushed: (() => void)[] = []

  constructor(kernel: Kernel, fd: HostFd, gone: () => void) {
    this.#kernel = kernel
    this.#fd = fd
    this.#gone = gone
  }

  start(tty: Tty): void {
    this.#tty = tty
    setNonblocking(this.#fd, true)
    this.#watch()
  }

  outputReady(): void {
    if (this.#closed || this.#outputBlocked) return
    this.#flush()
  }

  inputRoom(): void {
    if (!this.#closed) this.#watch()
  }

  /** No program has the terminal any more. As long as its process lives, it may be opened again. */
  slaveClosed(): void {
    if (!this.#closed) this.#flush()
  }

  release(): void {
    this.#released = true
    if (!this.#closed) this.#flush()
  }

  /** The relay may end once it has everything. */
  get #over(): boolean {
    return this.#released && this.#tty.openFiles === 0
  }

  packetStatus(): void {}

  onHostEvent(events: number): void {
    if ((events & POLLOUT) !== 0) {
      this.#outputBlocked = false
      this.#flush()
    }
    if (!this.#closed && (events & (POLLIN | POLLHUP)) !== 0) this.#receive()
    if (!this.#closed) this.#watch()
  }

  followSize(): boolean {
    const size = new Uint16Array(4)
    if (this.#closed || getWinsize(this.#fd, size) < 0) return false
    const [rows = 0, columns = 0] = size
    const tty = this.#tty
    const unknown = rows === 0 && columns === 0
    if (unknown || (tty.rows === rows && tty.columns === columns)) return false
    tty.resize(rows, columns, 0, 0)
    return true
  }

  whenFlushed(done: () => void): void {
    this.#flushed.push(done)
    if (this.#closed || this.#tty.output.length === 0) this.#tellFlushed()
  }

  #tellFlushed(): void {
    for (const done of this.#flushed.splice(0)) done()
  }

  drain(): void {
    if (this.#closed) return
    setNonblocking(this.#fd, false)
    this.#outputBlocked = false
    this.#flush()
  }

  #receive(): void {
    const room = Math.min(this.#tty.inputRoom, CHUNK)
    if (room === 0) return
    const n = read(this.#fd, this.#buffer, 0, room)
    if (n > 0) this.#tty.input(this.#buffer, 0, n)
    else if (n !== -EAGAIN && n !== -EINTR) this.#close()
  }

  #flush(): void {
    const { output } = this.#tty
    while (output.length > 0) {
      const n = write(this.#fd, output.peek(), 0, output.length)
      if (n === -EINTR) continue
      if (n === -EAGAIN) {
        this.#outputBlocked = true
        this.#watch()
        return
      }
      if (n < 0) {
        this.#close()
        return
      }
      output.consume(n)
      this.#tty.outputTaken()
    }
    if (this.#flushed.length > 0) this.#tellFlushed()
    if (this.#over) this.#close()
  }

  #watch(): void {
    const events = (this.#tty.inputRoom > 0 ? POLLIN : 0) | (this.#outputBlocked ? POLLOUT : 0)
    this.#kernel.hostEvents.watch(this.#fd, events, this)
  }

  #close(): void {
    this.#closed = true
    this.#tellFlushed()
    this.#kernel.hostEvents.unwatch(this.#fd)
    close(this.#fd)
    this.#gone()
    this.#tty.peerClosed()
  }
}

/** The devpts that terminals of the host go to: the one the sandbox has mounted first, or one of their own. */
const unmounted = new WeakMap<Kernel, { fs: DevptsFs; mount: Mount }>()

function hostDevpts(kernel: Kernel, mounts: MountNamespace): { fs: DevptsFs; mount: Mount } {
  const mount = [...mounts.mounts].find(m => m.sb instanceof DevptsFs)
  if (mount !== undefined) return { fs: mount.sb as DevptsFs, mount }
  const known = unmounted.get(kernel)
  if (known !== undefined) return known
  const fs = mountDevpts(kernel, null, '', 'mode=0620') as DevptsFs
  const made = {
    fs,
    mount: new Mount(fs, new Dentry('/', null, fs.root), 0, 'devpts'),
  }
  unmounted.set(kernel, made)
  return made
}

/**
 * A new terminal in /dev/pts whose other side is `fd`, a stream of raw bytes that this takes over. `uid` and
 * `gid` own the node.
 */
export function attachHostTerminal(
  kernel: Kernel,
  mounts: MountNamespace,
  fd: HostFd,
  uid: number,
  gid: number,
  rows: number,
  columns: number,
): HostTerminal | number {
  const { fs, mount } = hostDevpts(kernel, mounts)
  let peer!: HostPeer
  const slave = fs.newSlave(uid, gid, index => {
    peer = new HostPeer(kernel, fd, () => fs.slaves.delete(index))
    return peer
  })
  if (typeof slave === 'number') return slave
  const { tty } = slave
  peer.start(tty)
  tty.resize(rows, columns, 0, 0)
  const file = openSlave(fs, slave, mount)
  return {
    tty,
    file,
    resize: (newRows, newColumns) => tty.resize(newRows, newColumns, 0, 0),
    followSize: () => peer.followSize(),
    control: task => acquireTerminal(task, tty, file, 0),
    release: () => peer.release(),
    whenFlushed: done => peer.whenFlushed(done),
    drain: () => peer.drain(),
  }
}

function openSlave(fs: DevptsFs, slave: SlaveInode, mount: Mount): File {
  return fs.wrapSlave(slave, new TtyFileOps(slave.tty), O_RDWR, mount)
}
