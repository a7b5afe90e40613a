// Creating, removing and renaming names: vfs_mkdir, vfs_unlink, vfs_rename and their relatives (fs/namei.c).
// All checks are made here; file systems only carry out.

import {
  EBUSY,
  EEXIST,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  EXDEV,
} from '../../syscall-table/errno.ts'
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_FOLLOW,
  CAP_DAC_READ_SEARCH,
  CAP_MKNOD,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISGID,
  S_ISUID,
  S_ISVTX,
  S_IXGRP,
} from '../../syscall-table/flags.ts'
import type { Creds } from '../kernel/creds.ts'
import {
  LANDLOCK_EXCHANGE,
  LANDLOCK_LINK,
  LANDLOCK_RENAME,
  landlockAllows,
  landlockMoves,
  makeAccess,
  REMOVE_DIR,
  REMOVE_FILE,
} from '../kernel/landlock.ts'
import type { Task } from '../kernel/task.ts'
import { maskedMode } from './attributes.ts'
import {
  deleteDentry,
  forgetDentry,
  instantiate,
  isValid,
  lookupDentry,
  moveDentry,
  unhashDentry,
  unseenDentry,
} from './dcache.ts'
import type { Dentry } from './dentry.ts'
import { type Inode, LOOK_FIRST } from './inode.ts'
import type { Mount } from './mount.ts'
import { notifyCreated, notifyLinked, notifyRemoved, notifyRenamed, watchCount } from './notify.ts'
import { walksChanged } from './path-cache.ts'
import {
  LAST_DOT,
  LAST_DOTDOT,
  LAST_NORMAL,
  LAST_ROOT,
  WALK_EMPTY,
  WALK_FOLLOW,
  WALK_PARENT,
  walk,
  walkPath,
} from './path-walk.ts'
import {
  isLocked,
  MAY_EXEC,
  MAY_READ,
  MAY_WRITE,
  mayCreate,
  mayDelete,
  mountWritable,
  ownerOrCapable,
  permission,
} from './permission.ts'
import { isMountpoint, unmountElsewhere } from './unmounting.ts'

/** Where the last `lookupNew` found room for a name. */
let newMount: Mount
let newDentry: Dentry

// What a new name is going to be of.
const NEW_FILE = 0
const NEW_DIRECTORY = 1
const NEW_DEVICE = 2
const NEW_LINK = 3

/** Find the (negative or unseen) dentry of a name to be created. Returns 0 or -errno. */
function lookupNew(task: Task, dfd: number, path: string, what: number): number {
  const n = walkPath(task, dfd, path, WALK_PARENT)
  if (n < 0) return n
  const { mount, dentry: dir, last, trailingSlash } = walk
  if (walk.lastType !== LAST_NORMAL) return -EEXIST
  const misnamed = trailingSlash && what !== NEW_DIRECTORY
  const unseen = !misnamed && what !== NEW_DEVICE && mayMakeUnseen(task, mount, dir, last)
  const dentry = unseen ? unseenDentry(dir, last) : lookupDentry(dir, last, task)
  if (typeof dentry === 'number') return dentry
  if (dentry.inode !== null) return -EEXIST
  // Only mkdir may say that its new name is a directory.
  if (misnamed) return -ENOENT
  const error = mountWritable(mount)
  if (error < 0) return error
  newMount = mount
  newDentry = dentry
  // Whether the file may get one more name at all comes before.
  return what === NEW_LINK ? 0 : mayCreate(task.creds, dir.inode!)
}

/** The file system will tell whether the name exists, and no other error comes before. */
function mayMakeUnseen(task: Task, mount: Mount, dir: Dentry, name: string): boolean {
  const inode = dir.inode!
  if (!inode.createsUnseen || mountWritable(mount) < 0) return false
  const known = dir.children.get(name)
  if (known !== undefined && isValid(known, inode)) return false
  return mayCreate(task.creds, inode) === 0
}

/** mkdirat(2). */
export function makeDirectory(task: Task, dfd: number, path: string, mode: number): number {
  const n = lookupNew(task, dfd, path, NEW_DIRECTORY)
  if (n < 0) return n
  const refused = landlockMakes(task, S_IFDIR)
  if (refused < 0) return refused
  const dir = newDentry.parent!.inode!
  const bits = maskedMode(task, dir, mode & (0o777 | S_ISVTX))
  return added(dir.mkdir(newDentry.name, bits, task.creds))
}

/** mknodat(2); `mode` carries the type. */
export function makeNode(
  task: Task,
  dfd: number,
  path: string,
  mode: number,
  rdev: number,
): number {
  const type = mode & S_IFMT
  if (
    type !== 0 &&
    type !== S_IFREG &&
    type !== S_IFCHR &&
    type !== S_IFBLK &&
    type !== S_IFIFO &&
    type !== S_IFSOCK
  ) {
    return type === S_IFDIR ? -EPERM : -EINVAL
  }
  const isDevice = type === S_IFCHR || type === S_IFBLK
  const n = lookupNew(task, dfd, path, isDevice ? NEW_DEVICE : NEW_FILE)
  if (n < 0) return n
  const refused = landlockMakes(task, type)
  if (refused < 0) return refused
  if (isDevice && !task.creds.capable(CAP_MKNOD)) return -EPERM
  const dir = newDentry.parent!.inode!
  const bits = (type || S_IFREG) | maskedMode(task, dir, mode & 0o7777)
  return added(dir.mknod(newDentry.name, bits, isDevice ? rdev : 0, task.creds))
}

/** symlinkat(2). */
export function makeSymlink(task: Task, target: string, dfd: number, path: string): number {
  if (target === '') return -ENOENT
  const n = lookupNew(task, dfd, path, NEW_FILE) || landlockMakes(task, S_IFLNK)
  if (n < 0) return n
  return added(newDentry.parent!.inode!.symlink(newDentry.name, target, task.creds))
}

/** Whether landlock(7) lets the task make something at the name that `lookupNew` found. */
function landlockMakes(task: Task, mode: number): number {
  if (task.landlock === null) return 0
  const denied = landlockAllows(task, newMount, newDentry.parent!, makeAccess(mode))
  return denied < 0 && newExists(task) ? -EEXIST : denied
}

/** The file system has put an inode at the name that `lookupNew` found. */
function added(made: Inode | number): number {
  if (typeof made === 'number') return made
  instantiate(newDentry, made)
  notifyCreated(newDentry)
  return 0
}

/** A socket inode for bind(2): the inode, or -errno (-EADDRINUSE is the caller's reading of -EEXIST). */
export function makeSocketNode(task: Task, path: string, type: number): Inode | number {
  const n = lookupNew(task, AT_FDCWD, path, NEW_FILE) || landlockMakes(task, S_IFSOCK)
  if (n < 0) return n
  const mode = S_IFSOCK | (0o777 & ~task.fs.umask)
  const made = added(newDentry.parent!.inode!.bindSocket(newDentry.name, type, mode, task.creds))
  return made < 0 ? made : newDentry.inode!
}

/** linkat(2). `flags`: AT_SYMLINK_FOLLOW, AT_EMPTY_PATH. */
export function makeLink(
  task: Task,
  oldDfd: number,
  oldPath: string,
  newDfd: number,
  newPath: string,
  flags: number,
): number {
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) !== 0) return -EINVAL
  // A descriptor of unknown origin must not become a name: only for those who could open anything.
  const mayName =
    (flags & AT_EMPTY_PATH) === 0 || oldPath !== '' || task.creds.capable(CAP_DAC_READ_SEARCH)
  if (!mayName) return -ENOENT
  const how =
    ((flags & AT_SYMLINK_FOLLOW) !== 0 ? WALK_FOLLOW : 0) |
    ((flags & AT_EMPTY_PATH) !== 0 ? WALK_EMPTY : 0)
  const n = walkPath(task, oldDfd, oldPath, how)
  if (n < 0) return n
  const { mount, dentry } = walk
  const inode = dentry.inode!
  const m = lookupNew(task, newDfd, newPath, NEW_LINK)
  if (m < 0) return m
  const refused = mayLink(task, mount, dentry)
  if (refused < 0) return newExists(task) ? -EEXIST : refused
  const error = newDentry.parent!.inode!.link(newDentry.name, inode)
  if (error < 0) return error
  instantiate(newDentry, inode)
  notifyLinked(newDentry)
  return 0
}

/** Whether the file of `dentry` may get the name that `lookupNew` has found. */
function mayLink(task: Task, mount: Mount, dentry: Dentry): number {
  const { creds, kernel } = task
  const inode = dentry.inode!
  if (mount !== newMount || inode.sb !== newDentry.parent!.inode!.sb) return -EXDEV
  const { protectedHardlinks } = kernel.tunables
  if (protectedHardlinks !== 0 && !mayHardlink(creds, inode)) return -EPERM
  const refused = landlockMoves(task, mount, dentry, newDentry, LANDLOCK_LINK)
  if (refused < 0) return refused
  const denied = mayCreate(creds, newDentry.parent!.inode!)
  if (denied < 0) return denied
  if (inode.isDir || isLocked(inode)) return -EPERM
  return inode.nlink === 0 && !dentry.linkable ? -ENOENT : 0
}

/** The name was not looked up, and it exists: that comes before any other error. */
function newExists(task: Task): boolean {
  if (!newDentry.unseen) return false
  const found = lookupDentry(newDentry.parent!, newDentry.name, task)
  return typeof found !== 'number' && found.inode !== null
}

/**
 * fs.protected_hardlinks=1, as distributions set it: only to files that the caller owns or may read and
 * write, and never to set-id programs of others. Keeps old versions of them from being kept alive.
 */
function mayHardlink(creds: Creds, inode: Inode): boolean {
  if (ownerOrCapable(creds, inode)) return true
  if (!inode.isRegular || (inode.mode & S_ISUID) !== 0) return false
  if ((inode.mode & (S_ISGID | S_IXGRP)) === (S_ISGID | S_IXGRP)) return false
  return permission(creds, inode, MAY_READ | MAY_WRITE) === 0
}

/** unlink(2). */
export function unlinkName(task: Task, dfd: number, path: string): number {
  const n = walkPath(task, dfd, path, WALK_PARENT)
  if (n < 0) return n
  const { mount, dentry: dir, last, trailingSlash } = walk
  if (walk.lastType !== LAST_NORMAL) return -EISDIR
  const error = mountWritable(mount)
  if (error < 0) return error
  if (!trailingSlash) {
    const done = unlinkUnseen(task, dir, last)
    if (done !== LOOK_FIRST) return done
  }
  const victim = lookupDentry(dir, last, task)
  if (typeof victim === 'number') return victim
  const { inode } = victim
  if (inode === null) return -ENOENT
  if (trailingSlash) return inode.isDir ? -EISDIR : -ENOTDIR
  const denied =
    landlockAllows(task, mount, dir, REMOVE_FILE) || mayDelete(task.creds, dir.inode!, inode)
  if (denied < 0) return denied
  if (inode.isDir) return -EISDIR
  if (isMountpoint(task, victim)) return -EBUSY
  const m = dir.inode!.unlink(last, inode)
  if (m < 0) return m
  unmountElsewhere(task.kernel, victim)
  deleteDentry(victim)
  notifyRemoved(victim, inode)
  return 0
}

/**
 * Where others may change the names of `dir`, a lookup costs as much as the removal itself. It is only needed when something
 * depends on what the name is of. LOOK_FIRST if so.
 */
function unlinkUnseen(task: Task, dir: Dentry, name: string): number {
  const inode = dir.inode!
  const known = dir.children.get(name)
  if (inode.sb.cacheable || (known !== undefined && isValid(known, inode))) return LOOK_FIRST
  if (task.landlock !== null) return LOOK_FIRST
  const { creds } = task
  if (permission(creds, inode, MAY_WRITE | MAY_EXEC) < 0) return LOOK_FIRST
  // In a sticky directory it matters whose the file is.
  if ((inode.mode & S_ISVTX) !== 0 && inode.uid !== creds.fsuid) return LOOK_FIRST
  if ((known !== undefined && known.mounted !== null) || watchCount() > 0) return LOOK_FIRST
  const n = inode.unlinkUnseen(name, known?.inode ?? null)
  if (n === 0 && known !== undefined) unhashDentry(known)
  return n
}

/** rmdir(2). */
export function removeDirectory(task: Task, dfd: number, path: string): number {
  const n = walkPath(task, dfd, path, WALK_PARENT)
  if (n < 0) return n
  const { mount, dentry: dir, last, lastType } = walk
  if (lastType === LAST_DOTDOT) return -ENOTEMPTY
  if (lastType === LAST_DOT) return -EINVAL
  if (lastType === LAST_ROOT) return -EBUSY
  const error = mountWritable(mount)
  if (error < 0) return error
  const victim = lookupDentry(dir, last, task)
  if (typeof victim === 'number') return victim
  const { inode } = victim
  if (inode === null) return -ENOENT
  const denied =
    landlockAllows(task, mount, dir, REMOVE_DIR) || mayDelete(task.creds, dir.inode!, inode)
  if (denied < 0) return denied
  if (!inode.isDir) return -ENOTDIR
  if (isMountpoint(task, victim) || victim === task.fs.root.dentry) return -EBUSY
  const m = dir.inode!.rmdir(last, inode)
  if (m < 0) return m
  unmountElsewhere(task.kernel, victim)
  deleteDentry(victim)
  notifyRemoved(victim, inode)
  return 0
}

/** renameat2(2). */
export function renameName(
  task: Task,
  oldDfd: number,
  oldPath: string,
  newDfd: number,
  newPath: string,
  flags: number,
): number {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)) !== 0) return -EINVAL
  if ((flags & RENAME_EXCHANGE) !== 0 && flags !== RENAME_EXCHANGE) return -EINVAL
  let n = walkPath(task, oldDfd, oldPath, WALK_PARENT)
  if (n < 0) return n
  const { mount, dentry: oldDir, last: oldLast, lastType: oldType, trailingSlash: oldSlash } = walk
  n = walkPath(task, newDfd, newPath, WALK_PARENT)
  if (n < 0) return n
  const { dentry: newDir, last: newLast, trailingSlash: newSlash } = walk
  if (walk.mount !== mount) return -EXDEV
  if (oldType !== LAST_NORMAL) return -EBUSY
  if (walk.lastType !== LAST_NORMAL) return (flags & RENAME_NOREPLACE) !== 0 ? -EEXIST : -EBUSY
  const error = mountWritable(mount)
  if (error < 0) return error
  const from = lookupDentry(oldDir, oldLast, task)
  if (typeof from === 'number') return from
  const to = lookupDentry(newDir, newLast, task)
  if (typeof to === 'number') return to
  if (from.inode === null) return -ENOENT
  if ((flags & RENAME_NOREPLACE) !== 0 && to.inode !== null) return -EEXIST
  if ((flags & RENAME_EXCHANGE) !== 0 && to.inode === null) return -ENOENT
  if (!from.inode.isDir && (oldSlash || ((flags & RENAME_EXCHANGE) === 0 && newSlash)))
    return -ENOTDIR
  if ((flags & RENAME_EXCHANGE) !== 0 && !to.inode!.isDir && newSlash) return -ENOTDIR
  // A directory must not become its own descendant; nor can an ancestor be replaced.
  if (from.contains(newDir)) return -EINVAL
  if (to.contains(oldDir)) return (flags & RENAME_EXCHANGE) !== 0 ? -EINVAL : -ENOTEMPTY
  const how = (flags & RENAME_EXCHANGE) !== 0 ? LANDLOCK_EXCHANGE : LANDLOCK_RENAME
  const refused = landlockMoves(task, mount, from, to, how)
  if (refused < 0) return refused
  if (from.inode === to.inode) return 0
  return renameDentry(task, from, to, flags)
}

function renameDentry(task: Task, from: Dentry, to: Dentry, flags: number): number {
  const oldDir = from.parent!
  const newDir = to.parent!
  const denied = mayRename(task.creds, from, to, flags)
  if (denied < 0) return denied
  if (isMountpoint(task, from) || isMountpoint(task, to)) return -EBUSY
  if ((flags & RENAME_WHITEOUT) !== 0 && !oldDir.inode!.sb.makesWhiteouts) return -EINVAL
  const name = from.name
  const newName = to.name
  const n = oldDir.inode!.rename(
    name,
    newDir.inode!,
    newName,
    flags & (RENAME_EXCHANGE | RENAME_WHITEOUT),
    from.inode!,
    to.inode,
    task.creds,
  )
  if (n < 0) return n
  if ((flags & RENAME_EXCHANGE) !== 0) {
    // The first move takes the place in the map; the second puts the other dentry at the old name.
    walksChanged()
    to.parent!.children.delete(newName)
    moveDentry(from, newDir, newName)
    to.parent = oldDir
    to.name = name
    oldDir.addChild(name, to)
    notifyRenamed(oldDir.inode!, name, from, null)
    notifyRenamed(newDir.inode!, newName, to, null)
    return 0
  }
  const replaced = to.inode
  if (replaced !== null) unhashDentry(to)
  else forgetDentry(to)
  moveDentry(from, newDir, newName)
  notifyRenamed(oldDir.inode!, name, from, replaced)
  return 0
}

function mayRename(creds: Creds, from: Dentry, to: Dentry, flags: number): number {
  const oldDir = from.parent!.inode!
  const newDir = to.parent!.inode!
  const inode = from.inode!
  let denied = mayDelete(creds, oldDir, inode)
  if (denied < 0) return denied
  if (to.inode === null) denied = mayCreate(creds, newDir)
  else {
    denied = mayDelete(creds, newDir, to.inode)
    if (denied < 0) return denied
    if ((flags & RENAME_EXCHANGE) === 0) {
      if (inode.isDir && !to.inode.isDir) return -ENOTDIR
      if (!inode.isDir && to.inode.isDir) return -EISDIR
    }
  }
  if (denied < 0) return denied
  if (oldDir === newDir) return 0
  // Moving a directory changes its "..", and so needs write access to it.
  if (inode.isDir) denied = permission(creds, inode, MAY_WRITE)
  if (denied === 0 && (flags & RENAME_EXCHANGE) !== 0 && to.inode!.isDir) {
    denied = permission(creds, to.inode!, MAY_WRITE)
  }
  return denied
}
