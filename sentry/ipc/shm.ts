// System V shared memory: ipc/shm.c. A segment is an unnamed tmpfs file; each attachment is an open file of it, and
// the areas that map it hold the references: their number is the number of attachments.

import { EINVAL, ENOSPC, EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_IPC_LOCK,
  O_RDONLY,
  O_RDWR,
  PAGE_SIZE,
  RLIMIT_MEMLOCK,
  SHM_DEST,
  SHM_LOCK,
  SHM_LOCKED,
} from '../../syscall-table/flags.ts'
import { unnamedFile } from '../fs/tmpfs/mount.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import { pageCeil } from '../mm/vma.ts'
import { Dentry } from '../vfs/dentry.ts'
import { File } from '../vfs/file.ts'
import type { Inode } from '../vfs/inode.ts'
import type { Mount } from '../vfs/mount.ts'
import { IpcObject, seconds } from './ids.ts'
import type { IpcNamespace } from './namespace.ts'

/** The process on whose behalf areas come and go at this moment: what lpid tells. */
let actor = 0

export function actForProcess(tgid: number): void {
  actor = tgid
}

/** Over all namespaces: each may cost the kernel a descriptor of the host's. */
const SEGMENTS_MAX = 4096
let segmentsOverall = 0

/** An attachment. Its creator hands its reference over to the area that `mmap` makes. */
class AttachedFile extends File {
  readonly segment: Segment

  constructor(segment: Segment, inode: Inode, dentry: Dentry, mount: Mount, flags: number) {
    super(segment.ops, inode, dentry, mount, flags)
    this.segment = segment
  }

  override ref(): this {
    this.segment.attached()
    return super.ref()
  }

  override unref(): void {
    this.segment.detached()
    super.unref()
  }

  /** Drop the creator's reference, which is no attachment. */
  handOver(): void {
    super.unref()
  }
}

/** struct shmid_kernel. */
export class Segment extends IpcObject {
  readonly size: number
  readonly cpid: number
  lpid = 0
  nattch = 0
  atime = 0
  dtime = 0
  readonly #kernel: Kernel
  readonly #namespace: IpcNamespace
  /** Keeps the memory while nobody is attached. */
  readonly #file: File

  /** A new segment, or -errno: the host has no memory file to give. */
  static create(
    task: Task,
    namespace: IpcNamespace,
    key: number,
    size: number,
    mode: number,
  ): Segment | number {
    if (segmentsOverall >= SEGMENTS_MAX) return -ENOSPC
    const { kernel, creds } = task
    const { inode, mount } = unnamedFile(kernel, 0o777, creds)
    const name = (key >>> 0).toString(16).padStart(8, '0')
    const dentry = new Dentry(`SYSV${name}`, mount.root, inode)
    dentry.deleted = true
    const file = new File(inode.ops, inode, dentry, mount, O_RDWR)
    const error = inode.resize(size)
    if (error < 0) {
      file.unref()
      return error
    }
    return new Segment(task, namespace, size, mode, file)
  }

  constructor(task: Task, namespace: IpcNamespace, size: number, mode: number, file: File) {
    super(task.kernel, task.creds, mode)
    this.#kernel = task.kernel
    this.#namespace = namespace
    this.#file = file
    this.size = size
    this.cpid = task.group.tgid
    namespace.shmPages += this.pages
    segmentsOverall++
  }

  get pages(): number {
    return pageCeil(this.size) / PAGE_SIZE
  }

  get ops(): File['ops'] {
    return this.#file.ops
  }

  /** Bytes that exist. */
  get resident(): number {
    this.#file.inode.refresh()
    return this.#file.inode.blocks * 512
  }

  /** The inode number in /proc/PID/maps is the identifier. */
  named(): void {
    this.#file.inode.ino = this.id
  }

  /** An open file for one attachment: `handOver` gives its reference to the areas. */
  open(readonly: 0 | 1): AttachedFile {
    const { inode, dentry, mount } = this.#file
    return new AttachedFile(this, inode, dentry, mount, readonly === 1 ? O_RDONLY : O_RDWR)
  }

  attached(): void {
    this.nattch++
    this.atime = seconds(this.#kernel)
    this.lpid = actor
  }

  detached(): void {
    this.nattch--
    this.dtime = seconds(this.#kernel)
    this.lpid = actor
    if (this.nattch === 0 && (this.mode & SHM_DEST) !== 0) this.#destroy()
  }

  /** IPC_RMID: it goes with its last attachment. */
  remove(): void {
    if (this.nattch === 0) return this.#destroy()
    this.mode |= SHM_DEST
    this.#namespace.shm.forgetKey(this)
  }

  #destroy(): void {
    if (this.removed) return
    this.#namespace.shm.remove(this)
    this.#namespace.shmPages -= this.pages
    segmentsOverall--
    this.#file.unref()
  }

  /** SHM_LOCK and SHM_UNLOCK: accounted, as mlock(2) is. */
  lock(task: Task, command: number): number {
    const { creds, group } = task
    if (!creds.capable(CAP_IPC_LOCK)) {
      if (creds.euid !== this.uid && creds.euid !== this.cuid) return -EPERM
      if (command === SHM_LOCK && group.rlimits[RLIMIT_MEMLOCK]!.cur === 0) return -EPERM
    }
    if (command === SHM_LOCK) this.mode |= SHM_LOCKED
    else this.mode &= ~SHM_LOCKED
    return 0
  }
}

/** shmdt(2): unmap the areas of the attachment that begins at `addr`. */
export function detach(task: Task, addr: number): number {
  if (addr % PAGE_SIZE !== 0) return -EINVAL
  const { mm } = task
  let file: File | null = null
  let next = addr
  let end = Number.POSITIVE_INFINITY
  while (next < end) {
    const vma = mm.vmas.firstIn(next, Math.min(end, 2 ** 47))
    if (vma === undefined) break
    next = vma.end
    if (!(vma.file instanceof AttachedFile) || vma.start - vma.offset !== addr) continue
    if (file !== null && vma.file !== file) continue
    if (file === null) {
      file = vma.file
      end = addr + pageCeil(vma.file.segment.size)
    }
    const n = mm.unmap(task, vma.start, vma.length)
    if (n < 0) return n
  }
  return file === null ? -EINVAL : 0
}
