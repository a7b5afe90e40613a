// Path walking: fs/namei.c. One walk is under way at a time, so its state and its result live in the one
// object `walk`; a caller takes what it needs from there before anything else walks.
//
// A symlink is followed by putting its target in front of what is left of the path. The target of a magic
// link (/proc/PID/fd/N) is an object: the walk goes on from there.

import {
  EACCES,
  EAGAIN,
  EBADF,
  EINVAL,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  EXDEV,
} from '../../syscall-table/errno.ts'
import {
  AT_FDCWD,
  MAXSYMLINKS,
  MS_NOSYMFOLLOW,
  NAME_MAX,
  RESOLVE_BENEATH,
  RESOLVE_CACHED,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  S_ISVTX,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { pathAccessed } from './attributes.ts'
import { isValid, learnDentry, lookupDentry, trimDcache, unseenDentry } from './dcache.ts'
import type { Dentry } from './dentry.ts'
import { LOOKUP_CREATE, LOOKUP_OPEN } from './inode.ts'
import type { Mount } from './mount.ts'
import { cachedWalk, keepWalk } from './path-cache.ts'
import { MAY_EXEC, permission } from './permission.ts'

// Flags of a walk; those of openat2's `resolve` word are shifted above them.
/** Follow a symlink in the last component. */
export const WALK_FOLLOW = 1
/** Stop before the last component: `walk.last` is its name, `walk.dentry` the directory it is in. */
export const WALK_PARENT = 2
/** An empty path means the starting point itself (AT_EMPTY_PATH). */
export const WALK_EMPTY = 4
/** The result must be a directory (O_DIRECTORY); a trailing slash asks for it, too. */
export const WALK_DIRECTORY = 8
/** The last component may be missing: the result is a negative dentry then. */
export const WALK_CREATE = 16
/** The file found will be opened for reading: its file system may prepare that. Changes no result. */
export const WALK_OPEN = 32
/**
 * With WALK_CREATE: the last component is probably going to be made. The result may be a dentry that is unseen: nobody
 * knows whether the name exists. Then `walk.guards` must still be what they were when it is made.
 */
export const WALK_NEW = 64
const RESOLVE_SHIFT = 8

/** The flag bits of a walk that obeys openat2(2)'s `resolve`. */
export function resolveFlags(resolve: number): number {
  return resolve << RESOLVE_SHIFT
}

// What `walk.lastType` says of the last component.
export const LAST_NORMAL = 0
/** The path is nothing but slashes. */
export const LAST_ROOT = 1
export const LAST_DOT = 2
export const LAST_DOTDOT = 3

const NO_XDEV = RESOLVE_NO_XDEV << RESOLVE_SHIFT
const NO_MAGICLINKS = RESOLVE_NO_MAGICLINKS << RESOLVE_SHIFT
const NO_SYMLINKS = RESOLVE_NO_SYMLINKS << RESOLVE_SHIFT
const BENEATH = RESOLVE_BENEATH << RESOLVE_SHIFT
const IN_ROOT = RESOLVE_IN_ROOT << RESOLVE_SHIFT
const CACHED = RESOLVE_CACHED << RESOLVE_SHIFT
const SCOPED = BENEATH | IN_ROOT
/** Walks with no other flags may be kept in the path cache. */
const KEPT_FLAGS = WALK_FOLLOW | WALK_DIRECTORY | WALK_CREATE | WALK_EMPTY

const EVERYBODY_SEARCHES = 0o111
const SLASH = 47
const DOT = 46

/** State and result of the walk. */
class Walk {
  /** Where the walk is, and at its end the result. */
  mount!: Mount
  dentry!: Dentry
  /** With WALK_PARENT: the last component. */
  last = ''
  lastType = LAST_NORMAL
  /** Slashes follow the last component: it must name a directory. */
  trailingSlash = false
  /** What ".." never leaves: the task's root, or the starting point with RESOLVE_BENEATH and IN_ROOT. */
  rootMount!: Mount
  rootDentry!: Dentry
  /** Everybody would get this result, until something changes that `walksChanged` tells. */
  plain = true
  /** The name that the walk ended without, when it was the last one. */
  missing: Dentry | null = null
  /** WALK_NEW */
  wantsNew = false
  /** Directories on the way to an unseen name that others may have changed since they were looked up. */
  readonly guards: Dentry[] = []
  links = 0
  /** The rest of the path, and how far into it the walk is. */
  path = ''
  at = 0
  flags = 0
  /** LOOKUP_* */
  intent = 0
  task!: Task
}

export const walk = new Walk()

/**
 * Resolve `path` from directory descriptor `dfd`. Returns 0 with the result in `walk`, or -errno.
 */
export function walkPath(task: Task, dfd: number, path: string, how: number): number {
  const flags = how & ~(WALK_OPEN | WALK_NEW)
  const error = start(task, dfd, path, flags)
  if (error < 0 || path === '') return error
  walk.wantsNew = (how & WALK_NEW) !== 0
  walk.intent = (how & WALK_OPEN) !== 0 ? LOOKUP_OPEN : walk.wantsNew ? LOOKUP_CREATE : 0
  if ((flags & ~KEPT_FLAGS) !== 0) {
    const n = follow()
    return isUncertain(n) ? walkPath(task, dfd, path, flags) : n
  }
  const { mount, dentry, rootDentry } = walk
  const known = cachedWalk(path, mount, dentry, rootDentry, flags)
  if (known !== undefined) {
    const n = goTo(known.mount, known.dentry, flags)
    if (n !== CONTINUE) return n
  }
  const n = follow()
  if (isUncertain(n)) return walkPath(task, dfd, path, flags)
  if (walk.plain && !walk.trailingSlash && (n === 0 || n === -ENOENT)) {
    const end = n === 0 ? walk.dentry : walk.missing
    if (end !== null) keepWalk(path, mount, dentry, rootDentry, flags, walk.mount, end)
  }
  return n
}

/** Guards are checked when an unseen name is made: any other result must not depend on them. */
function isUncertain(n: number): boolean {
  return walk.guards.length > 0 && (n !== 0 || !walk.dentry.unseen)
}

/** End a walk at a dentry known from an earlier one; CONTINUE when it has to be walked to again. */
function goTo(mount: Mount, dentry: Dentry, flags: number): number {
  const { inode } = dentry
  if (inode === null) {
    if ((flags & WALK_CREATE) === 0) return -ENOENT
  } else if (inode.isSymlink && (flags & WALK_FOLLOW) !== 0) return CONTINUE
  else if ((flags & WALK_DIRECTORY) !== 0 && !inode.isDir) return CONTINUE
  dentry.used = true
  walk.mount = mount
  walk.dentry = dentry
  walk.lastType = LAST_NORMAL
  return 0
}

/** Find the starting point and the root. */
function start(task: Task, dfd: number, path: string, flags: number): number {
  trimDcache(task.kernel)
  walk.task = task
  walk.flags = flags
  walk.path = path
  walk.at = walk.links = 0
  walk.guards.length = 0
  walk.plain = true
  walk.missing = null
  walk.trailingSlash = false
  walk.last = ''
  walk.lastType = LAST_ROOT
  const { root, cwd } = task.fs
  walk.rootMount = root.mount
  walk.rootDentry = root.dentry
  if (path === '' && (flags & WALK_EMPTY) === 0) return -ENOENT
  const absolute = path.charCodeAt(0) === SLASH
  if (absolute && (flags & SCOPED) === 0) {
    walk.mount = root.mount
    walk.dentry = root.dentry
    return 0
  }
  if (absolute && (flags & BENEATH) !== 0) return -EXDEV
  if (dfd === AT_FDCWD) {
    walk.mount = cwd.mount
    walk.dentry = cwd.dentry
  } else {
    const file = task.files.get(dfd)
    if (file === undefined) return -EBADF
    if (path !== '' && !file.inode.isDir) return -ENOTDIR
    walk.mount = file.mount
    walk.dentry = file.dentry
  }
  if ((flags & SCOPED) !== 0) {
    walk.rootMount = walk.mount
    walk.rootDentry = walk.dentry
  }
  return 0
}

/** Go through the components of `walk.path`. */
function follow(): number {
  for (;;) {
    const { path } = walk
    const { length } = path
    let at = walk.at
    while (at < length && path.charCodeAt(at) === SLASH) at++
    const dir = walk.dentry.inode!
    if (at === length) return walk.lastType === LAST_ROOT ? 0 : finishDirectory()
    if (!dir.isDir) return -ENOTDIR
    if ((dir.mode & EVERYBODY_SEARCHES) !== EVERYBODY_SEARCHES) {
      walk.plain = false
      const denied = permission(walk.task.creds, dir, MAY_EXEC)
      if (denied < 0) return denied
    }
    let end = at + 1
    while (end < length && path.charCodeAt(end) !== SLASH) end++
    if (end - at > NAME_MAX) return -ENAMETOOLONG
    let next = end
    while (next < length && path.charCodeAt(next) === SLASH) next++
    const isLast = next === length
    if (isLast) walk.trailingSlash = end < length
    walk.at = next
    const n = step(path, at, end, isLast)
    if (n !== CONTINUE) return n
  }
}

/** A step's result when the walk goes on. */
const CONTINUE = 1
/** A walk's result when it must start over, without guards. */
const UNCERTAIN = 2

/** Take the component path[at…end). Returns CONTINUE, 0 when the walk is over, or -errno. */
function step(path: string, at: number, end: number, isLast: boolean): number {
  if (path.charCodeAt(at) === DOT) {
    if (end - at === 1) {
      walk.lastType = LAST_DOT
      if (!isLast) return CONTINUE
      return stopAtParent(path, at, end) ? 0 : finishDirectory()
    }
    if (end - at === 2 && path.charCodeAt(at + 1) === DOT) {
      walk.lastType = LAST_DOTDOT
      walk.plain = false
      if (isLast && stopAtParent(path, at, end)) return 0
      const error = toParent()
      if (error < 0) return error
      return isLast ? finishDirectory() : CONTINUE
    }
  }
  walk.lastType = LAST_NORMAL
  if (isLast && stopAtParent(path, at, end)) return 0
  const name = path.slice(at, end)
  const dir = walk.dentry
  let child = dir.children.get(name)
  const { cacheable } = dir.inode!.sb
  if (!cacheable) walk.plain = false
  if (child === undefined || !isValid(child, dir.inode!)) {
    if ((walk.flags & CACHED) !== 0) return -EAGAIN
    if (walk.wantsNew && dir.inode!.createsUnseen) {
      if (isLast && !walk.trailingSlash && !child?.inode) return takeUnseen(dir, name)
      if (!isLast && child?.inode?.isDir && child.mounted === null) return takeGuard(child)
    }
    if (walk.guards.length > 0) return UNCERTAIN
    if (!isLast || !cacheable || walk.intent !== 0) fillChain(dir, path, at)
    const found = lookupDentry(dir, name, walk.task)
    if (typeof found === 'number') return found
    child = found
  } else child.used = true
  if (child.inode === null) return missing(child, isLast)
  if (child.inode.isSymlink && mustFollow(isLast)) return followLink(child)
  return enter(child, isLast)
}

/** The file system will check that the name is still of this directory. */
function takeGuard(dir: Dentry): number {
  walk.guards.push(dir)
  walk.dentry = dir
  return CONTINUE
}

/** The file system will say whether the name exists when it is made. */
function takeUnseen(dir: Dentry, name: string): number {
  walk.plain = false
  walk.dentry = unseenDentry(dir, name)
  return 0
}

/** Let the file system resolve several components at once, and put what it found into the cache. */
function fillChain(dir: Dentry, path: string, start: number): void {
  const chain = dir.inode!.lookupChain(path, start, walk.intent)
  if (chain === null) return
  let parent = dir
  let at = start
  for (const inode of chain) {
    let end = at
    while (end < path.length && path.charCodeAt(end) !== SLASH) end++
    parent = learnDentry(parent, path.slice(at, end), inode)
    at = end
    while (at < path.length && path.charCodeAt(at) === SLASH) at++
  }
}

function stopAtParent(path: string, at: number, end: number): boolean {
  if ((walk.flags & WALK_PARENT) === 0) return false
  walk.last = path.slice(at, end)
  return true
}

/** A name that does not exist. */
function missing(child: Dentry, isLast: boolean): number {
  if (isLast) walk.missing = child
  if (!isLast || (walk.flags & WALK_CREATE) === 0) return -ENOENT
  walk.dentry = child
  return 0
}

function mustFollow(isLast: boolean): boolean {
  return !isLast || (walk.flags & WALK_FOLLOW) !== 0 || walk.trailingSlash
}

/** Go to `child`, and up to what is mounted on it. */
function enter(child: Dentry, isLast: boolean): number {
  walk.dentry = child
  if (child.mounted !== null) {
    const error = crossMounts()
    if (error < 0) return error
  }
  if (!isLast) return CONTINUE
  return finishLast()
}

function crossMounts(): number {
  for (;;) {
    const mount = walk.dentry.mounted?.get(walk.mount)
    if (mount === undefined) return 0
    if ((walk.flags & NO_XDEV) !== 0) return -EXDEV
    mount.crossings++
    walk.mount = mount
    walk.dentry = mount.root
  }
}

/** The walk is at its last component, which exists. */
function finishLast(): number {
  const needsDir = walk.trailingSlash || (walk.flags & WALK_DIRECTORY) !== 0
  if (needsDir && (walk.flags & WALK_CREATE) === 0 && !walk.dentry.inode!.isDir) return -ENOTDIR
  return 0
}

/** The path ends in ".", ".." or "/". */
function finishDirectory(): number {
  return walk.dentry.inode!.isDir || (walk.flags & WALK_DIRECTORY) === 0 ? 0 : -ENOTDIR
}

/** "..": never above the root; out of a mount's root into the directory it is mounted on. */
function toParent(): number {
  for (;;) {
    if (walk.dentry === walk.rootDentry && walk.mount === walk.rootMount) {
      return (walk.flags & BENEATH) !== 0 ? -EXDEV : 0
    }
    if (walk.dentry !== walk.mount.root) break
    const { parent, mountpoint } = walk.mount
    if (parent === null) return 0
    if ((walk.flags & NO_XDEV) !== 0) return -EXDEV
    walk.dentry = mountpoint!
    walk.mount = parent
  }
  walk.dentry = walk.dentry.parent ?? walk.dentry
  return walk.dentry.mounted === null ? 0 : crossMounts()
}

function followLink(link: Dentry): number {
  const { task, flags } = walk
  if (++walk.links > MAXSYMLINKS || (flags & NO_SYMLINKS) !== 0) return -ELOOP
  if ((walk.mount.flags & MS_NOSYMFOLLOW) !== 0) return -ELOOP
  const inode = link.inode!
  const magic = inode.magicLink(task)
  if (typeof magic === 'number') return magic
  if (magic !== null) return jump(magic.mount, magic.dentry)
  const denied = mayFollow(link)
  if (denied < 0) return denied
  pathAccessed(task.kernel, walk.mount, inode)
  const target = inode.readlink(task)
  if (typeof target === 'number') return target
  if (target === '') return -ENOENT
  const rest = walk.at < walk.path.length ? walk.path.slice(walk.at) : ''
  walk.path = rest !== '' || walk.trailingSlash ? `${target}/${rest}` : target
  walk.at = 0
  walk.trailingSlash = false
  if (target.charCodeAt(0) !== SLASH) return CONTINUE
  if ((flags & BENEATH) !== 0) return -EXDEV
  if ((flags & NO_XDEV) !== 0 && walk.mount !== walk.rootMount) return -EXDEV
  walk.mount = walk.rootMount
  walk.dentry = walk.rootDentry
  walk.lastType = LAST_ROOT
  return CONTINUE
}

/** A magic link leads to an object, wherever it is: it would leave any scope. */
function jump(mount: Mount, dentry: Dentry): number {
  const { flags } = walk
  if ((flags & NO_MAGICLINKS) !== 0) return -ELOOP
  if ((flags & SCOPED) !== 0) return -EXDEV
  if ((flags & NO_XDEV) !== 0 && mount !== walk.mount) return -EXDEV
  walk.plain = false
  walk.mount = mount
  walk.dentry = dentry
  if (walk.at < walk.path.length) return CONTINUE
  walk.lastType = LAST_NORMAL
  return finishLast()
}

/**
 * fs.protected_symlinks=1, as distributions set it: in a sticky directory that everyone may write, only
 * links of the follower or of the directory's owner are followed. Stops attacks by planted links in /tmp.
 */
function mayFollow(link: Dentry): number {
  const dir = link.parent!.inode!
  const inode = link.inode!
  if ((dir.mode & (S_ISVTX | 2)) !== (S_ISVTX | 2)) return 0
  walk.plain = false
  if (walk.task.kernel.tunables.protectedSymlinks === 0) return 0
  if (walk.task.creds.fsuid === inode.uid || dir.uid === inode.uid) return 0
  return walk.at < walk.path.length ? 0 : -EACCES
}

/** openat2(2): unknown or contradicting bits of `resolve`. */
export function checkResolve(resolve: number): number {
  const known =
    RESOLVE_NO_XDEV |
    RESOLVE_NO_MAGICLINKS |
    RESOLVE_NO_SYMLINKS |
    RESOLVE_BENEATH |
    RESOLVE_IN_ROOT |
    RESOLVE_CACHED
  if ((resolve & ~known) !== 0) return -EINVAL
  if ((resolve & RESOLVE_BENEATH) !== 0 && (resolve & RESOLVE_IN_ROOT) !== 0) return -EINVAL
  return 0
}
