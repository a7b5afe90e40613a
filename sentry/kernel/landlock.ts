// Sandboxes that programs make for themselves: landlock(7), security/landlock/. A domain is a stack of rulesets; each has to allow what
// it handles, by a rule for the file or for a directory above it.

import { EACCES, EXDEV } from '../../syscall-table/errno.ts'
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFSOCK,
} from '../../syscall-table/flags.ts'
import type { Dentry } from '../vfs/dentry.ts'
import type { Inode } from '../vfs/inode.ts'
import type { Mount } from '../vfs/mount.ts'
import type { Task } from './task.ts'

// LANDLOCK_ACCESS_FS_*.
export const EXECUTE = 0x1
export const WRITE_FILE = 0x2
export const READ_FILE = 0x4
export const READ_DIR = 0x8
export const REMOVE_DIR = 0x10
export const REMOVE_FILE = 0x20
const MAKE_CHAR = 0x40
const MAKE_DIR = 0x80
export const MAKE_REG = 0x100
const MAKE_SOCK = 0x200
const MAKE_FIFO = 0x400
const MAKE_BLOCK = 0x800
const MAKE_SYM = 0x1000
const REFER = 0x2000
export const TRUNCATE = 0x4000
export const ALL_ACCESS = 0x7fff
/** What makes sense for something that is no directory. */
export const FILE_ACCESS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE

/** LANDLOCK_MAX_NUM_LAYERS. */
export const LAYERS_MAX = 16

/** What is allowed below which directories; grows until it is put into force. */
export class Rules {
  /** Bits of what is allowed at and below an inode. */
  readonly allowed = new Map<Inode, number>()
  readonly #held: Dentry[] = []

  /** The dentry is kept, so that its inode stays the object that walks find. */
  add(dentry: Dentry, access: number): void {
    const inode = dentry.inode!
    const before = this.allowed.get(inode)
    this.allowed.set(inode, (before ?? 0) | access)
    if (before !== undefined) return
    dentry.opens++
    if (inode.pins++ === 0) inode.pinned()
    this.#held.push(dentry)
  }

  get dentries(): readonly Dentry[] {
    return this.#held
  }

  /** What is allowed so far, for a domain: later rules do not count there. */
  copy(): Rules {
    const rules = new Rules()
    for (const dentry of this.#held) rules.add(dentry, this.allowed.get(dentry.inode!)!)
    return rules
  }

  release(): void {
    for (const dentry of this.#held.splice(0)) {
      dentry.opens--
      const inode = dentry.inode!
      if (--inode.pins === 0) inode.evict()
    }
    this.allowed.clear()
  }
}

/** A ruleset in force, on top of those that were before. Tasks count as references, and domains on top of it. */
export class Domain {
  readonly below: Domain | null
  readonly handled: number
  readonly rules: Rules
  readonly depth: number
  #refs = 1

  constructor(below: Domain | null, handled: number, rules: Rules) {
    this.below = below
    this.handled = handled
    this.rules = rules
    this.depth = below === null ? 1 : below.depth + 1
  }

  ref(): this {
    this.#refs++
    return this
  }

  unref(): void {
    for (
      let domain: Domain | null = this;
      domain !== null && --domain.#refs === 0;
      domain = domain.below
    )
      domain.rules.release()
  }

  /** Whether `other` is restricted by this domain as well: domain_scope_le. */
  includes(other: Domain | null): boolean {
    for (let domain = other; domain !== null; domain = domain.below)
      if (domain === this) return true
    return false
  }
}

/** Of each layer, the newest first, what has not been allowed yet. */
const masks = new Int32Array(LAYERS_MAX)
/** The same for the other directory of a rename. */
const otherMasks = new Int32Array(LAYERS_MAX)

/** Moving files between directories is denied by every layer that does not allow it. */
const handledBy = (domain: Domain): number => domain.handled | REFER

function ask(into: Int32Array, top: Domain, access: number): void {
  let i = 0
  for (let domain: Domain | null = top; domain !== null; domain = domain.below)
    into[i++] = access & handledBy(domain)
}

/** Take out of `left` what rules for `inode` allow. Whether nothing is left. */
function allow(left: Int32Array, top: Domain, inode: Inode | null): boolean {
  let i = 0
  let rest = 0
  for (let domain: Domain | null = top; domain !== null; domain = domain.below, i++) {
    if (left[i] !== 0 && inode !== null) left[i]! &= ~(domain.rules.allowed.get(inode) ?? 0)
    rest |= left[i]!
  }
  return rest === 0
}

/** A file without a name in any tree that programs see: pipes, sockets, memory. */
export const isInternal = (mount: Mount, dentry: Dentry): boolean =>
  dentry.detached || mount.root.detached

/** Ask the rules of a place and of all directories above it, up to the root of everything. */
function walkUp(left: Int32Array, top: Domain, mount: Mount, dentry: Dentry): void {
  let m = mount
  let d = dentry
  while (!allow(left, top, d.inode)) {
    // Rules for what is covered by a mount do not count.
    while (d === m.root) {
      if (m.parent === null) return
      d = m.mountpoint!
      m = m.parent
    }
    if (d.parent === null) return
    d = d.parent
  }
}

function rest(left: Int32Array, top: Domain): number {
  let bits = 0
  for (let i = 0; i < top.depth; i++) bits |= left[i]!
  return bits
}

/** Whether the task may do this to what is at a place: 0 or -EACCES. */
export function landlockAllows(task: Task, mount: Mount, dentry: Dentry, access: number): number {
  const { landlock } = task
  if (landlock === null || isInternal(mount, dentry)) return 0
  ask(masks, landlock, access)
  walkUp(masks, landlock, mount, dentry)
  return rest(masks, landlock) === 0 ? 0 : -EACCES
}

/** LANDLOCK_ACCESS_FS_MAKE_* of a type. */
export function makeAccess(mode: number): number {
  switch (mode & S_IFMT) {
    case S_IFLNK:
      return MAKE_SYM
    case S_IFDIR:
      return MAKE_DIR
    case S_IFCHR:
      return MAKE_CHAR
    case S_IFBLK:
      return MAKE_BLOCK
    case S_IFIFO:
      return MAKE_FIFO
    case S_IFSOCK:
      return MAKE_SOCK
    default:
      return MAKE_REG
  }
}

const removeAccess = (inode: Inode | null): number =>
  inode === null ? 0 : inode.isDir ? REMOVE_DIR : REMOVE_FILE

export const LANDLOCK_RENAME = 0
export const LANDLOCK_EXCHANGE = 1
export const LANDLOCK_LINK = 2

/**
 * rename(2) and link(2): current_check_refer_path. `to` may be negative. Between directories, both must allow it, and a file must
 * not come to where more may be done with it; that is -EXDEV, so that programs copy instead.
 */
export function landlockMoves(
  task: Task,
  mount: Mount,
  from: Dentry,
  to: Dentry,
  how: number,
): number {
  const { landlock } = task
  if (landlock === null) return 0
  const exchanges = how === LANDLOCK_EXCHANGE
  const inode = from.inode!
  let atOld = exchanges ? makeAccess(to.inode!.mode) : 0
  let atNew = makeAccess(inode.mode)
  if (how !== LANDLOCK_LINK) {
    atOld |= removeAccess(inode)
    atNew |= removeAccess(to.inode)
  }
  // A file that is a mount of its own has no directory there.
  const oldDir = from === mount.root || from.parent === null ? from : from.parent
  const newDir = to.parent!
  if (oldDir === newDir) return landlockAllows(task, mount, newDir, atOld | atNew)
  ask(masks, landlock, atOld | REFER)
  walkUp(masks, landlock, mount, oldDir)
  ask(otherMasks, landlock, atNew | REFER)
  walkUp(otherMasks, landlock, mount, newDir)
  const missing = rest(masks, landlock) | rest(otherMasks, landlock)
  if ((missing & ~REFER) !== 0) return -EACCES
  if (missing !== 0 || gains(landlock, mount, from, oldDir, newDir)) return -EXDEV
  return exchanges && gains(landlock, mount, to, newDir, oldDir) ? -EXDEV : 0
}

/** Whether more would be allowed with `child` below `newDir` than is now. */
function gains(
  landlock: Domain,
  mount: Mount,
  child: Dentry,
  oldDir: Dentry,
  newDir: Dentry,
): boolean {
  ask(masks, landlock, child.inode!.isDir ? ALL_ACCESS : FILE_ACCESS)
  allow(masks, landlock, child.inode)
  otherMasks.set(masks)
  walkUp(masks, landlock, mount, oldDir)
  walkUp(otherMasks, landlock, mount, newDir)
  for (let i = 0; i < landlock.depth; i++) if ((masks[i]! & ~otherMasks[i]!) !== 0) return true
  return false
}

/** Whether a tracer's restrictions all hold for the other as well. */
export function landlockTraces(task: Task, target: Task): boolean {
  return task.landlock === null || task.landlock.includes(target.landlock)
}

/** What was allowed of TRUNCATE when a file was opened, for ftruncate(2). */
const cannotTruncate = new WeakSet<object>()

/** Note at an open whether the file may be truncated later. */
export function noteTruncate(task: Task, file: { mount: Mount; dentry: Dentry }): void {
  if (landlockAllows(task, file.mount, file.dentry, TRUNCATE) < 0) cannotTruncate.add(file)
}

/** Whether an open file may be truncated: 0 or -EACCES. Whoever was restricted since is not asked. */
export function mayTruncateFile(file: object): number {
  return cannotTruncate.has(file) ? -EACCES : 0
}
