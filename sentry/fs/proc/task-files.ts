// /proc/PID/{fd,fdinfo} and the links cwd, root, exe and ns/*. fs/proc/fd.c, base.c and namespaces.c.

import { EACCES, EBADF, ENOENT, ESRCH } from '../../../syscall-table/errno.ts'
import { O_CLOEXEC } from '../../../syscall-table/flags.ts'
import { namespaceOf } from '../../kernel/namespaces.ts'
import type { PidNamespace } from '../../kernel/pid-namespace.ts'
import { BY_FSCREDS, ptraceAccess } from '../../kernel/ptrace-access.ts'
import { type Task, ZOMBIE } from '../../kernel/task.ts'
import { dPath } from '../../vfs/d-path.ts'
import type { File } from '../../vfs/file.ts'
import type { DirSink, Inode } from '../../vfs/inode.ts'
import type { Path } from '../../vfs/mount.ts'
import { namespacePlace } from '../nsfs.ts'
import { GeneratedFile, PseudoDirectory, PseudoMagicLink } from '../pseudo.ts'
import { ownedBy, type TaskDirectory, type TaskNode } from './task-node.ts'

/** Positions of readdir: descriptor N is at N + 2. */
const FIRST_ENTRY = 2
const DT_LNK = 10
const DT_REG = 8

/** Follow a link into another task only with the right to trace it. */
function mayFollow(owner: TaskDirectory, reader: Task | null): boolean {
  const target = owner.target
  return target !== null && (reader === null || ptraceAccess(reader, target, BY_FSCREDS) === 0)
}

/** The number that a name of a descriptor directory stands for, or -1. */
function descriptorOf(name: string): number {
  return /^(0|[1-9][0-9]{0,6})$/.test(name) ? Number(name) : -1
}

/** cwd, root, exe: links to a place. */
export class PathLink extends PseudoMagicLink implements TaskNode {
  readonly owner: TaskDirectory
  readonly #path: (target: Task) => Path | null

  constructor(owner: TaskDirectory, path: (target: Task) => Path | null) {
    super(owner.sb)
    this.owner = owner
    this.#path = path
    ownedBy(this)
  }

  override refresh(): number {
    return ownedBy(this)
  }

  override magicLink(task: Task): Path | number {
    if (!mayFollow(this.owner, task)) return -EACCES
    const { target } = this.owner
    return (target === null ? null : this.#path(target)) ?? -ENOENT
  }

  override readlink(task: Task | null): string | number {
    if (!mayFollow(this.owner, task)) return -EACCES
    const target = this.owner.target!
    const path = this.#path(target)
    return path === null ? -ENOENT : dPath(path.mount, path.dentry, (task ?? target).fs.root)
  }
}

/** The program file of a task, as a place. */
export function exePath(target: Task): Path | null {
  return target.mm.exeFile
}

/** fd and fdinfo: one entry per open descriptor. */
abstract class DescriptorDirectory extends PseudoDirectory implements TaskNode {
  readonly owner: TaskDirectory
  readonly #type: number

  constructor(owner: TaskDirectory, permissions: number, type: number) {
    super(owner.sb, permissions)
    this.owner = owner
    this.#type = type
    ownedBy(this)
  }

  override refresh(): number {
    this.size = this.owner.target?.files.fds().length ?? 0
    return ownedBy(this)
  }

  protected abstract entry(fd: number): Inode

  override lookup(name: string, task: Task | null): Inode | number {
    if (!mayFollow(this.owner, task)) return -EACCES
    const fd = descriptorOf(name)
    if (fd < 0 || this.owner.target?.files.get(fd) === undefined) return -ENOENT
    return this.entry(fd)
  }

  protected override list(pos: number, sink: DirSink): number {
    const { target } = this.owner
    if (target === null) return -ENOENT
    for (const fd of target.files.fds()) {
      const position = fd + FIRST_ENTRY
      if (position < pos) continue
      if (!sink.entry(`${fd}`, this.ino * 4096 + fd, this.#type, position + 1)) return 0
    }
    return 0
  }
}

export class FdDirectory extends DescriptorDirectory {
  constructor(owner: TaskDirectory) {
    super(owner, 0o500, DT_LNK)
  }

  protected override entry(fd: number): Inode {
    return new FdLink(this.owner, fd)
  }
}

class FdLink extends PseudoMagicLink {
  readonly #owner: TaskDirectory
  readonly #fd: number

  constructor(owner: TaskDirectory, fd: number) {
    const file = owner.target!.files.get(fd)!
    super(owner.sb, (file.readable ? 0o500 : 0) | (file.writable ? 0o300 : 0))
    this.#owner = owner
    this.#fd = fd
    this.uid = owner.uid
    this.gid = owner.gid
  }

  get #file(): File | undefined {
    return this.#owner.target?.files.get(this.#fd)
  }

  override magicLink(task: Task): Path | number {
    if (!mayFollow(this.#owner, task)) return -EACCES
    return this.#file ?? -ENOENT
  }

  override readlink(task: Task | null): string | number {
    if (!mayFollow(this.#owner, task)) return -EACCES
    const file = this.#file
    if (file === undefined) return -ENOENT
    return dPath(file.mount, file.dentry, (task ?? this.#owner.target!).fs.root)
  }
}

class FdinfoFile extends GeneratedFile {
  protected override polled(): null {
    return null
  }
}

export class FdinfoDirectory extends DescriptorDirectory {
  constructor(owner: TaskDirectory) {
    super(owner, 0o555, DT_REG)
  }

  protected override entry(fd: number): Inode {
    const inode = new FdinfoFile(this.sb, 0o400, reader =>
      fdinfoText(this.owner.target, fd, reader),
    )
    inode.uid = this.owner.uid
    inode.gid = this.owner.gid
    return inode
  }
}

function fdinfoText(target: Task | null, fd: number, reader: Task): string | number {
  if (target === null) return -ESRCH
  const file = target.files.get(fd)
  if (file === undefined) return -EBADF
  const flags = file.flags | (target.files.cloexec(fd) ? O_CLOEXEC : 0)
  return (
    `pos:\t${file.pos}\nflags:\t0${flags.toString(8)}\nmnt_id:\t${file.mount.id}\nino:\t${file.inode.ino}\n` +
    file.ops.fdinfo(file, reader)
  )
}

/** Names in /proc/PID/ns, in Linux's order. */
const NAMESPACES = [
  'cgroup',
  'ipc',
  'mnt',
  'net',
  'pid',
  'pid_for_children',
  'time',
  'time_for_children',
  'user',
  'uts',
] as const

class NamespaceLink extends PseudoMagicLink {
  readonly #owner: TaskDirectory
  readonly #name: string

  constructor(owner: TaskDirectory, name: string) {
    super(owner.sb)
    this.size = 0
    this.#owner = owner
    this.#name = name
  }

  override magicLink(task: Task): Path | number {
    const { target } = this.#owner
    if (target === null || !mayFollow(this.#owner, task)) return -EACCES
    // A zombie has given up its namespaces.
    if (target.state === ZOMBIE && this.#name !== 'user' && this.#name !== 'pid') return -ENOENT
    // There is nothing to enter before its first process.
    const namespace = namespaceOf(target, this.#name)
    if (this.#name === 'pid_for_children' && (namespace as PidNamespace).reaper === null)
      return -ENOENT
    return namespacePlace(target.kernel, namespace)
  }

  override readlink(task: Task | null): string | number {
    const place = this.magicLink(task ?? this.#owner.target!)
    return typeof place === 'number' ? place : place.dentry.name
  }
}

/** /proc/PID/ns. */
export class NamespaceDirectory extends PseudoDirectory implements TaskNode {
  readonly owner: TaskDirectory
  readonly #links = new Map<string, NamespaceLink>()

  constructor(owner: TaskDirectory) {
    super(owner.sb, 0o511)
    this.owner = owner
    for (const name of NAMESPACES) this.#links.set(name, new NamespaceLink(owner, name))
    ownedBy(this)
  }

  override refresh(): number {
    return ownedBy(this)
  }

  override lookup(name: string): Inode | number {
    return this.#links.get(name) ?? -ENOENT
  }

  protected override list(pos: number, sink: DirSink): number {
    let position = FIRST_ENTRY
    for (const [name, link] of this.#links) {
      position++
      if (position <= pos) continue
      if (!sink.entry(name, link.ino, DT_LNK, position)) return 0
    }
    return 0
  }
}
