// The dentry cache: which names of which directories are known, positive or negative. It holds names weakly
// in the sense that any dentry may be dropped that nothing holds: no open file, no mount, no task's working
// directory, no cached child. What file systems whose `cacheable` is false have told holds for a moment (moment.ts), or as
// long as they say.

import { ENOENT } from '../../syscall-table/errno.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { kernelMemory, NAME_WEIGHT } from '../kernel/memory.ts'
import type { Task } from '../kernel/task.ts'
import { Dentry } from './dentry.ts'
import type { Inode, SuperBlock } from './inode.ts'
import { currentMoment } from './moment.ts'
import type { MountNamespace } from './mount.ts'
import { walksChanged } from './path-cache.ts'

/** Cached dentries above which the cache is trimmed at the next walk: 100 to 200 MB, with their inodes. */
const DCACHE_LIMIT = 100_000
/** The same where there is hardly any memory. */
const DCACHE_LEAST = 2000
/** Bytes of the container's memory for each cached dentry: an eighth of it is for the cache. */
const MEMORY_PER_DENTRY = 12_000

/** Dentries that are in the tree, over all file systems. */
let cached = 0
/** Those of them that say that there is no such file. */
let negative = 0
let limit = DCACHE_LEAST

/** How many names are in the cache, and how many of them are known not to exist. */
export function dentryCounts(): { cached: number; negative: number } {
  return { cached, negative }
}

/** Put a name into the cache; `inode` is null when the name is known not to exist. */
export function attachDentry(parent: Dentry, name: string, inode: Inode | null): Dentry {
  const dentry = new Dentry(name, parent, inode)
  parent.addChild(name, dentry)
  dentry.cached = true
  cached++
  // Never refused: what is cached can be dropped.
  kernelMemory.take(NAME_WEIGHT)
  if (inode === null) negative++
  else inode.pins++
  return dentry
}

/** The name `dentry`, so far negative, exists now. */
export function instantiate(dentry: Dentry, inode: Inode): void {
  dentry.inode = inode
  inode.pins++
  dentry.validAt = currentMoment()
  const { children } = dentry.parent!
  const known = children.get(dentry.name)
  if (known === dentry) {
    negative--
    return
  }
  // It was dropped meanwhile, or unseen.
  if (known !== undefined) forgetStale(known)
  dentry.unseen = false
  dentry.parent!.addChild(dentry.name, dentry)
  dentry.cached = true
  cached++
}

/** Forget a name, without saying anything about its existence. Children must have been forgotten before. */
export function forgetDentry(dentry: Dentry): void {
  const { parent, inode } = dentry
  if (parent === null || parent.children.get(dentry.name) !== dentry) return
  parent.children.delete(dentry.name)
  dentry.cached = false
  cached--
  if (inode === null) negative--
  if (inode !== null && steersWalks(inode)) walksChanged()
  if (inode !== null && --inode.pins === 0) inode.evict()
}

/** Paths lead through directories and symlinks; all else can only be their end. */
function steersWalks(inode: Inode): boolean {
  return inode.isDir || inode.isSymlink
}

/** Forget a name and all that lies below it. Iterative: trees may be deeper than the stack. */
export function forgetTree(top: Dentry): void {
  const found: Dentry[] = [top]
  for (let i = 0; i < found.length; i++) {
    for (const child of found[i]!.children.values()) found.push(child)
  }
  for (let i = found.length - 1; i >= 0; i--) forgetDentry(found[i]!)
}

/** The file of this name has been removed or replaced: its dentry leaves the tree for good. */
export function unhashDentry(dentry: Dentry): void {
  for (const child of [...dentry.children.values()]) forgetTree(child)
  dentry.deleted = true
  forgetDentry(dentry)
}

/** As `unhashDentry`, and the name is known to be free now. */
export function deleteDentry(dentry: Dentry): void {
  const { parent, name } = dentry
  unhashDentry(dentry)
  if (parent?.inode?.sb.cacheable) attachDentry(parent, name, null)
}

/** Give a dentry another name; a dentry of that name is taken out of the tree by the caller before. */
export function moveDentry(dentry: Dentry, parent: Dentry, name: string): void {
  if (steersWalks(dentry.inode!)) walksChanged()
  dentry.parent!.children.delete(dentry.name)
  dentry.parent = parent
  dentry.name = name
  parent.addChild(name, dentry)
}

/**
 * Look up one name in a directory: from the cache, else from the file system. Returns the dentry, which is
 * negative when there is no such file, or -errno.
 */
export function lookupDentry(dir: Dentry, name: string, task: Task | null): Dentry | number {
  const known = dir.children.get(name)
  const inode = dir.inode!
  if (known !== undefined && isValid(known, inode)) {
    known.used = true
    return known
  }
  const found = inode.lookup(name, task)
  if (typeof found !== 'number') return learnDentry(dir, name, found)
  if (found === -ENOENT) return learnDentry(dir, name, null)
  if (known !== undefined) forgetStale(known)
  return found
}

/** A dentry for a name that is to be made, and about which nothing is known: it is in no tree until `instantiate`. */
export function unseenDentry(dir: Dentry, name: string): Dentry {
  const dentry = new Dentry(name, dir, null)
  dentry.unseen = true
  return dentry
}

/** The cached name `dentry` of `dir` need not be looked up again. */
export function isValid(dentry: Dentry, dir: Inode): boolean {
  const { validAt } = dentry
  const { sb } = dir
  if (sb.cacheable ? validAt >= sb.toldSince : validAt === currentMoment()) return true
  // What is mounted there stays.
  if (sb.cacheable && dentry.mounted !== null) return true
  const { name, inode } = dentry
  return dir.keepsName(name, validAt) && (inode === null || inode.confirm())
}

/** The file system says that a name is of `inode`, or with null that there is no such name. */
export function learnDentry(dir: Dentry, name: string, inode: Inode | null): Dentry {
  const known = dir.children.get(name)
  if (known !== undefined) {
    if (known.inode === inode) {
      known.used = true
      known.validAt = currentMoment()
      return known
    }
    forgetStale(known)
  }
  return attachDentry(dir, name, inode)
}

/** What the cache held is no longer true: someone else changed the file system. */
function forgetStale(dentry: Dentry): void {
  dentry.deleted = true
  forgetTree(dentry)
}

/**
 * Drop dentries that were not used since the last trim, when there are too many. Only called where no
 * dentry is held by anything but files, tasks and mounts: at the start of a walk.
 */
export function trimDcache(kernel: Kernel): void {
  if (cached <= limit) return
  limit = Math.max(limit, limitFor(kernel))
  if (cached <= limit) return
  sweep(kernel)
}

/** The kernel's own memory is charged to the sandbox. */
function limitFor({ memoryBytes }: Kernel): number {
  const fitting = Math.floor(memoryBytes / MEMORY_PER_DENTRY)
  return Math.min(Math.max(fitting, DCACHE_LEAST), DCACHE_LIMIT)
}

/** Drop all dentries that nobody holds. As `trimDcache`, not while a path is walked. */
export function dropDcache(kernel: Kernel): void {
  // What was used lately survives one sweep.
  sweep(kernel)
  sweep(kernel)
}

function sweep(kernel: Kernel): void {
  const held = heldByTasks(kernel)
  for (const sb of mountedSuperBlocks(kernel))
    if (sb.rootDentry !== null) sweepTree(sb.rootDentry, held)
  // If nearly everything is in use, wait until the cache has grown by a good part before the next sweep.
  limit = Math.max(limitFor(kernel), cached * 1.25)
}

function sweepTree(top: Dentry, held: Set<Dentry>): void {
  const order: Dentry[] = [top]
  for (let i = 0; i < order.length; i++) {
    for (const child of order[i]!.children.values()) order.push(child)
  }
  for (let i = order.length - 1; i > 0; i--) {
    const dentry = order[i]!
    const evictable =
      dentry.children.size === 0 &&
      dentry.opens === 0 &&
      dentry.mounted === null &&
      !held.has(dentry) &&
      !holdsState(dentry.inode)
    if (evictable && !dentry.used) forgetDentry(dentry)
    dentry.used = false
  }
}

/** A bound socket, a held lock or a watch lives in the inode object and not in the file system. */
function holdsState(inode: Inode | null): boolean {
  if (inode === null) return false
  return inode.endpoint !== null || inode.locks !== null || inode.watches !== null
}

function heldByTasks(kernel: Kernel): Set<Dentry> {
  const held = new Set<Dentry>()
  for (const task of kernel.tasks) {
    held.add(task.fs.root.dentry)
    held.add(task.fs.cwd.dentry)
  }
  return held
}

/** The file systems that tasks can come to. */
function mountedSuperBlocks(kernel: Kernel): Set<SuperBlock> {
  const found = new Set<SuperBlock>()
  const namespaces = new Set<MountNamespace>()
  for (const { nsproxy } of kernel.tasks) namespaces.add(nsproxy.mnt)
  for (const { mounts } of namespaces) for (const { sb } of mounts) found.add(sb)
  return found
}
