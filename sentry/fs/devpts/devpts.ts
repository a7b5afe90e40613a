// devpts: the slaves of pseudo-terminals as files, and the ptmx node that makes new ones. fs/devpts/inode.c.
// Each mount is an instance of its own, as with Linux's `newinstance`.

import { EINVAL, ENODEV, ENOENT, ENOSPC } from '../../../syscall-table/errno.ts'
import {
  DEVPTS_SUPER_MAGIC,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  RLIMIT_NOFILE,
  S_IFCHR,
} from '../../../syscall-table/flags.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { Task } from '../../kernel/task.ts'
import { Dentry } from '../../vfs/dentry.ts'
import { File, type FileOps } from '../../vfs/file.ts'
import type { DirSink, Inode, SetAttr } from '../../vfs/inode.ts'
import type { Mount } from '../../vfs/mount.ts'
import { registerFileSystem } from '../../vfs/super.ts'
import { makeDev } from '../dev/registry.ts'
import { type PtyHome, PtyMasterOps } from '../dev/tty/pty.ts'
import { Tty, type TtyPeer } from '../dev/tty/tty.ts'
import { openTty } from '../dev/tty/tty-file.ts'
import { direntType, PseudoDirectory, PseudoFs, PseudoInode } from '../pseudo.ts'

/** /dev/ptmx. */
export const PTMX_DEV = makeDev(5, 2)
/** UNIX98_PTY_SLAVE_MAJOR. */
const SLAVE_MAJOR = 136
/** NR_UNIX98_PTY_MAX: what one instance may hold unless `max=` says less. */
const MAX_PTYS = 4096
/** Inode numbers: the root is 1 and ptmx 2, as in Linux; slave N is N + 3. */
const FIRST_SLAVE_INO = 3

/** Mount options, devpts(5). */
interface Options {
  uid: number | null
  gid: number | null
  mode: number
  ptmxMode: number
  max: number
}

export class DevptsFs extends PseudoFs {
  override readonly ownDevices = true
  readonly settings: Options
  readonly slaves = new Map<number, SlaveInode>()
  readonly ptmx: PtmxInode

  constructor(kernel: Kernel, settings: Options) {
    super(kernel, 'devpts', DEVPTS_SUPER_MAGIC, false)
    this.settings = settings
    this.root = new DevptsRoot(this)
    this.ptmx = new PtmxInode(this)
  }

  override options(): string {
    const { uid, gid, mode, ptmxMode, max } = this.settings
    const owner = `${uid === null ? '' : `,uid=${uid}`}${gid === null ? '' : `,gid=${gid}`}`
    const limit = max === MAX_PTYS ? '' : `,max=${max}`
    return `${owner},mode=${octal(mode)},ptmxmode=${octal(ptmxMode)}${limit}`
  }

  /** A new terminal whose other side `makePeer` makes, owned by (uid, gid). */
  newSlave(uid: number, gid: number, makePeer: (index: number) => TtyPeer): SlaveInode | number {
    let index = 0
    while (this.slaves.has(index)) index++
    if (index >= this.settings.max) return -ENOSPC
    const rdev = makeDev(SLAVE_MAJOR + (index >> 8), index & 0xff)
    const slave = new SlaveInode(this, index, new Tty(this.kernel, rdev, makePeer(index)))
    slave.uid = this.settings.uid ?? uid
    slave.gid = this.settings.gid ?? gid
    this.slaves.set(index, slave)
    this.kernel.ptys++
    return slave
  }

  /** The mount of this instance that the program sees, if there is one. */
  get visibleMount(): Mount | undefined {
    return [...this.mounts].find(mount => mount.namespace !== null)
  }

  /** An open file of a slave, as the program could have opened it by its name. */
  slaveFile(slave: SlaveInode, task: Task, flags: number, fallback: Mount): File | number {
    const ops = openTty(slave.tty, task, flags)
    if (typeof ops === 'number') return ops
    return this.wrapSlave(slave, ops, flags, fallback)
  }

  wrapSlave(slave: SlaveInode, ops: FileOps, flags: number, fallback: Mount): File {
    const mount = this.visibleMount ?? fallback
    const root = mount.sb === this ? mount.root : new Dentry('/', null, this.root)
    const dentry = new Dentry(`${slave.index}`, root, slave)
    return new File(ops, slave, dentry, mount, flags)
  }
}

function octal(mode: number): string {
  return mode.toString(8).padStart(3, '0')
}

class DevptsRoot extends PseudoDirectory {
  constructor(sb: DevptsFs) {
    super(sb, 0o755)
    this.ino = 1
  }

  get #fs(): DevptsFs {
    return this.sb as DevptsFs
  }

  override lookup(name: string): Inode | number {
    if (name === 'ptmx') return this.#fs.ptmx
    if (!/^(0|[1-9][0-9]{0,6})$/.test(name)) return -ENOENT
    return this.#fs.slaves.get(Number(name)) ?? -ENOENT
  }

  protected override list(pos: number, sink: DirSink): number {
    const { ptmx, slaves } = this.#fs
    if (pos <= 2 && !sink.entry('ptmx', ptmx.ino, direntType(ptmx.mode), FIRST_SLAVE_INO)) return 0
    const indices = [...slaves.keys()].sort((a, b) => a - b)
    for (const index of indices) {
      const position = index + FIRST_SLAVE_INO
      if (position < pos) continue
      const slave = slaves.get(index)!
      if (!sink.entry(`${index}`, slave.ino, direntType(slave.mode), position + 1)) return 0
    }
    return 0
  }
}

/** A node whose owner and mode may be changed. */
class DeviceNode extends PseudoInode {
  constructor(sb: DevptsFs, permissions: number, ino: number, rdev: number) {
    super(sb, S_IFCHR | permissions)
    this.ino = ino
    this.rdev = rdev
  }

  override setattr(attr: SetAttr): number {
    if (attr.mode !== undefined) this.mode = S_IFCHR | (attr.mode & 0o7777)
    if (attr.uid !== undefined) this.uid = attr.uid
    if (attr.gid !== undefined) this.gid = attr.gid
    return 0
  }
}

class PtmxInode extends DeviceNode {
  constructor(sb: DevptsFs) {
    super(sb, sb.settings.ptmxMode, 2, PTMX_DEV)
  }

  override open(task: Task, _flags: number): FileOps | number {
    return openMaster(this.sb as DevptsFs, task)
  }
}

export class SlaveInode extends DeviceNode {
  readonly index: number
  readonly tty: Tty

  constructor(sb: DevptsFs, index: number, tty: Tty) {
    super(sb, sb.settings.mode, index + FIRST_SLAVE_INO, tty.rdev)
    this.index = index
    this.tty = tty
  }

  override open(task: Task, flags: number): FileOps | number {
    return openTty(this.tty, task, flags)
  }
}

/** Where a program's pseudo-terminal lives. */
class ProgramPty implements PtyHome {
  readonly #fs: DevptsFs
  readonly index: number
  slave!: SlaveInode

  constructor(fs: DevptsFs, index: number) {
    this.#fs = fs
    this.index = index
  }

  openPeer(task: Task, master: File, flags: number): number {
    const kept = flags & (O_RDWR | O_NONBLOCK | 3)
    const file = this.#fs.slaveFile(this.slave, task, flags, master.mount)
    if (typeof file === 'number') return file
    file.flags = kept
    const limit = task.group.rlimits[RLIMIT_NOFILE]!.cur
    const fd = task.files.install(file, (flags & O_CLOEXEC) !== 0, limit)
    if (fd < 0) file.unref()
    return fd
  }

  remove(): void {
    if (this.#fs.slaves.delete(this.index)) this.#fs.kernel.ptys--
  }
}

/** Open /dev/ptmx: a new pseudo-terminal, locked until TIOCSPTLCK. */
function openMaster(fs: DevptsFs, task: Task): FileOps | number {
  let master!: PtyMasterOps
  let home!: ProgramPty
  const slave = fs.newSlave(task.creds.fsuid, task.creds.fsgid, index => {
    home = new ProgramPty(fs, index)
    master = new PtyMasterOps(home)
    return master
  })
  if (typeof slave === 'number') return slave
  home.slave = slave
  slave.tty.locked = true
  master.attach(slave.tty)
  return master
}

/** Open character device 5:2 outside of a devpts: it belongs to the first devpts that is mounted. */
export function openPtmxDevice(task: Task): FileOps | number {
  const mount = [...task.nsproxy.mnt.mounts].find(m => m.sb instanceof DevptsFs)
  return mount === undefined ? -ENODEV : openMaster(mount.sb as DevptsFs, task)
}

/** Mount a new instance. `data` are devpts(5)'s options. */
export function mountDevpts(
  kernel: Kernel,
  _task: Task | null,
  _source: string,
  data: string,
): DevptsFs | number {
  const options: Options = { uid: null, gid: null, mode: 0o600, ptmxMode: 0, max: MAX_PTYS }
  for (const option of data.split(',')) {
    if (option !== '' && !applyOption(options, option)) return -EINVAL
  }
  return new DevptsFs(kernel, options)
}

function applyOption(options: Options, option: string): boolean {
  if (option === 'newinstance') return true
  const [name, value] = option.split('=')
  const radix = name === 'mode' || name === 'ptmxmode' ? 8 : 10
  const digits = radix === 8 ? /^[0-7]{1,7}$/ : /^[0-9]{1,10}$/
  if (value === undefined || !digits.test(value)) return false
  const number = Number.parseInt(value, radix)
  switch (name) {
    case 'uid':
      options.uid = number
      return true
    case 'gid':
      options.gid = number
      return true
    case 'mode':
      options.mode = number & 0o777
      return true
    case 'ptmxmode':
      options.ptmxMode = number & 0o777
      return true
    case 'max':
      options.max = Math.min(number, MAX_PTYS)
      return true
    default:
      return false
  }
}

registerFileSystem('devpts', mountDevpts)
