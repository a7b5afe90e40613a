// /proc/PID/map_files: a link to the file of each area that has one, by its addresses. fs/proc/base.c.

import { EACCES, ENOENT, EPERM } from '../../../syscall-table/errno.ts'
import { CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN, S_IFLNK } from '../../../syscall-table/flags.ts'
import { BY_FSCREDS, ptraceAccess } from '../../kernel/ptrace-access.ts'
import { DEAD, type Task, ZOMBIE } from '../../kernel/task.ts'
import type { Vma } from '../../mm/vma.ts'
import { dPath } from '../../vfs/d-path.ts'
import type { DirSink, Inode } from '../../vfs/inode.ts'
import type { Path } from '../../vfs/mount.ts'
import { PseudoDirectory, PseudoMagicLink } from '../pseudo.ts'
import { ownedBy, type TaskDirectory, type TaskNode } from './task-node.ts'

const DT_LNK = 10
/** Two addresses as Linux writes them: no leading zeros, no sign. */
const RANGE = /^([1-9a-f][0-9a-f]{0,11})-([1-9a-f][0-9a-f]{0,11})$/

export class MapFilesDirectory extends PseudoDirectory implements TaskNode {
  readonly owner: TaskDirectory

  constructor(owner: TaskDirectory) {
    super(owner.sb, 0o500)
    this.owner = owner
    ownedBy(this)
  }

  override refresh(): number {
    return ownedBy(this)
  }

  /** The task with memory that `reader` may trace, or -errno. */
  #target(reader: Task | null): Task | number {
    const { target } = this.owner
    if (target === null) return -ENOENT
    if (reader !== null && ptraceAccess(reader, target, BY_FSCREDS) < 0) return -EACCES
    return target.state === ZOMBIE || target.state === DEAD ? -ENOENT : target
  }

  override lookup(name: string, task: Task | null): Inode | number {
    const target = this.#target(task)
    if (typeof target === 'number') return target
    const range = RANGE.exec(name)
    if (range === null) return -ENOENT
    const start = Number.parseInt(range[1]!, 16)
    const vma = areaAt(target, start, Number.parseInt(range[2]!, 16))
    return vma === null ? -ENOENT : new MapFileLink(this.owner, target, vma)
  }

  /** Positions count areas with a file, which is what Linux does as well. */
  protected override list(pos: number, sink: DirSink): number {
    const target = this.#target(null)
    if (typeof target === 'number') return target
    const { vmas } = target.mm
    let position = 2
    for (let i = 0; i < vmas.count; i++) {
      const { start, end, file } = vmas.at(i)!
      if (file === null || ++position <= pos) continue
      const name = `${start.toString(16)}-${end.toString(16)}`
      if (!sink.entry(name, this.ino * 4096 + position, DT_LNK, position)) return 0
    }
    return 0
  }
}

function areaAt(target: Task, start: number, end: number): Vma | null {
  const vma = target.mm.vmas.find(start)
  return vma !== undefined && vma.start === start && vma.end === end && vma.file !== null
    ? vma
    : null
}

class MapFileLink extends PseudoMagicLink {
  readonly #target: Task
  readonly #start: number
  readonly #end: number

  constructor(owner: TaskDirectory, target: Task, { start, end, file }: Vma) {
    super(owner.sb)
    this.mode = S_IFLNK | (file!.readable ? 0o400 : 0) | (file!.writable ? 0o200 : 0)
    this.#target = target
    this.#start = start
    this.#end = end
    this.uid = owner.uid
    this.gid = owner.gid
  }

  #file(): Path | number {
    return areaAt(this.#target, this.#start, this.#end)?.file ?? -ENOENT
  }

  /** proc_map_files_get_link: a mapped file may be one that its mapper could not open again. */
  override magicLink(task: Task): Path | number {
    const { creds } = task
    if (!creds.capable(CAP_SYS_ADMIN) && !creds.capable(CAP_CHECKPOINT_RESTORE)) return -EPERM
    return this.#file()
  }

  override readlink(task: Task | null): string | number {
    const file = this.#file()
    if (typeof file === 'number') return file
    return dPath(file.mount, file.dentry, (task ?? this.#target).fs.root)
  }
}
