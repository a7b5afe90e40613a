// procfs: the root directory, with one directory per process, and mounting. fs/proc/root.c.

import { EINVAL, ENOENT } from '../../../syscall-table/errno.ts'
import { PROC_SUPER_MAGIC } from '../../../syscall-table/flags.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import type { Pid, PidNamespace } from '../../kernel/pid-namespace.ts'
import type { Task } from '../../kernel/task.ts'
import type { ThreadGroup } from '../../kernel/thread-group.ts'
import type { DirSink, Inode } from '../../vfs/inode.ts'
import { registerFileSystem } from '../../vfs/super.ts'
import { direntType, PseudoFs, PseudoLink, StaticDirectory } from '../pseudo.ts'
import { addNetFiles } from './net.ts'
import { addSysctls } from './sysctl.ts'
import { addSystemFiles } from './system.ts'
import { type ProcSuper, TaskDirectoryInode } from './task-directory.ts'

/** PROC_ROOT_INO. */
const ROOT_INO = 1
/** Positions below this are static entries; process N is at N + this: FIRST_PROCESS_ENTRY. */
const FIRST_PROCESS = 256

export class ProcFs extends PseudoFs implements ProcSuper {
  readonly #groups = new WeakMap<ThreadGroup, TaskDirectoryInode>()
  readonly #tasks = new WeakMap<Task, TaskDirectoryInode>()

  /** Whose processes are shown, under the numbers that they have there: that of who mounted it. */
  readonly pidNs: PidNamespace

  constructor(kernel: Kernel, pidNs: PidNamespace) {
    super(kernel, 'proc', PROC_SUPER_MAGIC, false)
    this.pidNs = pidNs
    const root = new ProcRoot(this)
    root.ino = ROOT_INO
    this.root = root
    addSystemFiles(root, pidNs)
    addNetFiles(root.directory('net'))
    addSysctls(root.directory('sys'))
    root.fixed()
  }

  /** /proc/PID. */
  groupDirectory(group: ThreadGroup): Inode {
    let inode = this.#groups.get(group)
    if (inode === undefined) {
      inode = new TaskDirectoryInode(this, { group })
      this.#groups.set(group, inode)
    }
    inode.refresh()
    return inode
  }

  /** /proc/PID/task/TID. */
  taskDirectory(task: Task): Inode {
    let inode = this.#tasks.get(task)
    if (inode === undefined) {
      inode = new TaskDirectoryInode(this, { task })
      this.#tasks.set(task, inode)
    }
    return inode
  }
}

class ProcRoot extends StaticDirectory {
  readonly #fs: ProcFs

  constructor(fs: ProcFs) {
    super(fs)
    this.#fs = fs
    const { pidNs } = fs
    const numberOf = (pid: Pid | undefined) => pid?.numberIn(pidNs) ?? 0
    this.add(
      'self',
      new PseudoLink(fs, task => {
        const tgid = numberOf(task?.group.pid)
        return tgid === 0 ? -ENOENT : `${tgid}`
      }),
    )
    this.add(
      'thread-self',
      new PseudoLink(fs, task => {
        const tgid = numberOf(task?.group.pid)
        return tgid === 0 ? -ENOENT : `${tgid}/task/${numberOf(task?.pid)}`
      }),
    )
    this.add('mounts', new PseudoLink(fs, () => 'self/mounts'))
  }

  /** All static entries are there: count the links. */
  fixed(): void {
    this.#staticLinks = this.nlink
  }

  #staticLinks = 0

  override refresh(): number {
    this.nlink = this.#staticLinks + this.#fs.kernel.groups.size
    return 0
  }

  /** A process by its id; a thread's id is found, too, though it is not listed. */
  override lookup(name: string, task: Task | null): Inode | number {
    if (!/^[1-9][0-9]{0,6}$/.test(name)) return super.lookup(name, task)
    const group = this.#fs.pidNs.groupOf(Number(name))
    return group === undefined ? -ENOENT : this.#fs.groupDirectory(group)
  }

  protected override list(pos: number, sink: DirSink): number {
    if (pos < FIRST_PROCESS) {
      let full = false
      super.list(pos, {
        entry: (name, ino, type, next) => {
          full = !sink.entry(name, ino, type, next)
          return !full
        },
      })
      if (full) return 0
    }
    const { pidNs } = this.#fs
    const ids = pidNs.groups().map(({ pid }) => pid.numberIn(pidNs))
    for (const id of ids.sort((a, b) => a - b)) {
      if (id + FIRST_PROCESS < pos) continue
      const group = pidNs.group(id)!
      const inode = this.#fs.groupDirectory(group)
      if (!sink.entry(`${id}`, inode.ino, direntType(inode.mode), id + FIRST_PROCESS + 1)) return 0
    }
    return 0
  }
}

/** Mount options that do not hide anything. */
const OPTIONS = /^(hidepid=(0|off)|gid=[0-9]{1,10}|)$/

/** A new procfs over the kernel's state. */
export function mountProc(
  kernel: Kernel,
  task: Task | null,
  _source: string,
  data: string,
): ProcFs | number {
  for (const option of data.split(',')) if (!OPTIONS.test(option)) return -EINVAL
  return new ProcFs(kernel, task?.pidNs ?? kernel.namespaces.pidForChildren)
}

registerFileSystem('proc', mountProc)
