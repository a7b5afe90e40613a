// Opening files by path: do_filp_open, may_open (fs/namei.c) and do_dentry_open (fs/open.c).

import {
  EACCES,
  EEXIST,
  EINVAL,
  EISDIR,
  ELOOP,
  ENOENT,
  ENOTDIR,
  EPERM,
  ESTALE,
  ETXTBSY,
} from '../../syscall-table/errno.ts'
import {
  __O_TMPFILE,
  AT_EMPTY_PATH,
  AT_SYMLINK_NOFOLLOW,
  FS_APPEND_FL,
  IN_MODIFY,
  MS_NODEV,
  MS_NOEXEC,
  O_ACCMODE,
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECT,
  O_DIRECTORY,
  O_EXCL,
  O_LARGEFILE,
  O_NOATIME,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  S_ISVTX,
  S_IWGRP,
  S_IWOTH,
} from '../../syscall-table/flags.ts'
import {
  EXECUTE,
  landlockAllows,
  MAKE_REG,
  noteTruncate,
  READ_DIR,
  READ_FILE,
  TRUNCATE,
  WRITE_FILE,
} from '../kernel/landlock.ts'
import type { Task } from '../kernel/task.ts'
import { maskedMode, removePrivileges } from './attributes.ts'
import { instantiate } from './dcache.ts'
import { Dentry } from './dentry.ts'
import { File, PathOnlyOps } from './file.ts'
import { type Inode, LOOK_FIRST, type SetAttr } from './inode.ts'
import { breakLeases } from './leases.ts'
import { currentMoment } from './moment.ts'
import type { Mount } from './mount.ts'
import { notifyCreated, notifyFile, notifyOpened } from './notify.ts'
import {
  resolveFlags,
  WALK_CREATE,
  WALK_DIRECTORY,
  WALK_EMPTY,
  WALK_FOLLOW,
  WALK_NEW,
  WALK_OPEN,
  walk,
  walkPath,
} from './path-walk.ts'
import {
  MAY_EXEC,
  MAY_READ,
  MAY_WRITE,
  mayCreate,
  mountWritable,
  openWritable,
  ownerOrCapable,
  permission,
} from './permission.ts'

/** Flags that act at the open only, and are not kept. */
const CREATION_FLAGS = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC
const PATH_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW

const pathOnlyOps = new PathOnlyOps()
const truncateToZero: SetAttr = { size: 0 }

/**
 * Open `path`. `flags` are O_*, `mode` the permissions of a new file before the umask, `resolve` as in
 * openat2(2). Returns a new open file, whose one reference the caller owns, or -errno; -EBLOCKED when the
 * task waits for the other end of a FIFO and the call is to be run again.
 */
export function openPath(
  task: Task,
  dfd: number,
  path: string,
  flags: number,
  mode: number,
  resolve: number,
): File | number {
  if ((flags & O_PATH) !== 0) return openPathOnly(task, dfd, path, flags & PATH_FLAGS, resolve)
  const error = checkFlags(flags)
  if (error < 0) return error
  if ((flags & __O_TMPFILE) !== 0) return openTmpfile(task, dfd, path, flags, mode, resolve)
  let how = resolveFlags(resolve)
  if ((flags & O_DIRECTORY) !== 0) how |= WALK_DIRECTORY
  if ((flags & O_CREAT) !== 0) how |= WALK_CREATE
  if ((flags & O_NOFOLLOW) === 0 && (flags & (O_CREAT | O_EXCL)) !== (O_CREAT | O_EXCL))
    how |= WALK_FOLLOW
  if ((flags & (O_ACCMODE | O_CREAT | O_DIRECTORY)) === O_RDONLY) how |= WALK_OPEN
  let n = walkPath(task, dfd, path, (flags & O_CREAT) !== 0 ? how | WALK_NEW : how)
  if (n === 0 && walk.dentry.unseen) {
    const file = createUnseen(task, walk.mount, walk.dentry, flags, mode)
    if (file !== LOOK_FIRST) return file
    n = walkPath(task, dfd, path, how)
  }
  if (n < 0) return n
  const { mount, dentry } = walk
  if ((flags & O_CREAT) !== 0) {
    if (walk.trailingSlash) return -EISDIR
    if (dentry.inode === null) return createAndOpen(task, mount, dentry, flags, mode)
    if ((flags & O_EXCL) !== 0) return -EEXIST
    if (plantedIn(task, dentry)) return -EACCES
  }
  return openFound(task, mount, dentry, flags)
}

/**
 * fs.protected_regular and fs.protected_fifos: who would have created a file in a sticky directory does not open one
 * that somebody else has put there.
 */
function plantedIn({ kernel, creds }: Task, { inode, parent }: Dentry): boolean {
  const dir = parent?.inode ?? null
  if (inode === null || dir === null || (dir.mode & S_ISVTX) === 0) return false
  const { protectedFifos, protectedRegular } = kernel.tunables
  const type = inode.mode & S_IFMT
  const level = type === S_IFREG ? protectedRegular : type === S_IFIFO ? protectedFifos : 0
  if (level === 0 || inode.uid === dir.uid || inode.uid === creds.fsuid) return false
  return (dir.mode & S_IWOTH) !== 0 || (level >= 2 && (dir.mode & S_IWGRP) !== 0)
}

function checkFlags(flags: number): number {
  if ((flags & __O_TMPFILE) !== 0) {
    if ((flags & O_TMPFILE) !== O_TMPFILE || (flags & O_ACCMODE) === O_RDONLY) return -EINVAL
    if ((flags & O_CREAT) !== 0) return -EINVAL
  } else if ((flags & (O_CREAT | O_DIRECTORY)) === (O_CREAT | O_DIRECTORY)) return -EINVAL
  return 0
}

function openPathOnly(
  task: Task,
  dfd: number,
  path: string,
  flags: number,
  resolve: number,
): File | number {
  let how = resolveFlags(resolve)
  if ((flags & O_NOFOLLOW) === 0) how |= WALK_FOLLOW
  if ((flags & O_DIRECTORY) !== 0) how |= WALK_DIRECTORY
  const n = walkPath(task, dfd, path, how)
  if (n < 0) return n
  return new File(pathOnlyOps, walk.dentry.inode!, walk.dentry, walk.mount, flags)
}

/** As `createAndOpen`, of a name that was not looked up. LOOK_FIRST when that turns out to be needed. */
function createUnseen(
  task: Task,
  mount: Mount,
  dentry: Dentry,
  flags: number,
  mode: number,
): File | number {
  const dir = dentry.parent!.inode!
  // Where nothing can be made, that the name exists still comes before the reason for it.
  if (mountWritable(mount) < 0 || mayCreate(task.creds, dir) < 0) return LOOK_FIRST
  if (landlockAllows(task, mount, dentry.parent!, MAKE_REG) < 0) return LOOK_FIRST
  const guarded = walk.guards.length > 0
  if (guarded && !dir.guardNext(walk.guards)) return LOOK_FIRST
  const file = createAndOpen(task, mount, dentry, flags, mode)
  if (file === -ESTALE && guarded) return LOOK_FIRST
  // They have just been found to be what they were.
  if (typeof file !== 'number') for (const known of walk.guards) known.validAt = currentMoment()
  return file === -EEXIST && (flags & O_EXCL) === 0 ? LOOK_FIRST : file
}

function createAndOpen(
  task: Task,
  mount: Mount,
  dentry: Dentry,
  flags: number,
  mode: number,
): File | number {
  const dir = dentry.parent!.inode!
  const error =
    mountWritable(mount) ||
    mayCreate(task.creds, dir) ||
    landlockAllows(task, mount, dentry.parent!, MAKE_REG)
  if (error < 0) return error
  const bits = maskedMode(task, dir, mode & 0o7777)
  const inode = dir.mknod(dentry.name, S_IFREG | bits, 0, task.creds)
  if (typeof inode === 'number') return inode
  instantiate(dentry, inode)
  notifyCreated(dentry)
  // The creator may use the new file as it asked, whatever permissions it gave to it.
  const file = openInode(task, mount, dentry, flags & ~O_TRUNC)
  if (typeof file !== 'number') file.created = true
  return file
}

/** Open what a file handle names. */
export function openByDentry(
  task: Task,
  mount: Mount,
  dentry: Dentry,
  flags: number,
): File | number {
  if ((flags & O_PATH) !== 0) {
    const { inode } = dentry
    if ((flags & O_DIRECTORY) !== 0 && !inode!.isDir) return -ENOTDIR
    return new File(pathOnlyOps, inode!, dentry, mount, flags & PATH_FLAGS)
  }
  const error = checkFlags(flags)
  // Something that exists is opened: neither can a name be made, nor a file without one.
  if (error < 0 || (flags & __O_TMPFILE) !== 0) return error || -EINVAL
  return openFound(task, mount, dentry, flags & ~O_CREAT)
}

/** Open an existing file, after the checks of may_open. */
function openFound(task: Task, mount: Mount, dentry: Dentry, flags: number): File | number {
  const inode = dentry.inode!
  let error = mayOpen(task, mount, inode, flags)
  if (error < 0) return error
  if (inode.locks !== null) {
    const writes = (accessOf(flags) & MAY_WRITE) !== 0 || (flags & O_TRUNC) !== 0
    error = breakLeases(task, inode, writes, (flags & O_NONBLOCK) === 0)
    if (error < 0) return error
  }
  const file = openInode(task, mount, dentry, flags)
  if (typeof file === 'number' || (flags & O_TRUNC) === 0 || !inode.isRegular) return file
  const n =
    landlockAllows(task, mount, dentry, TRUNCATE) ||
    removePrivileges(task, inode) ||
    inode.setattr(truncateToZero)
  if (n === 0) {
    notifyFile(file, IN_MODIFY)
    return file
  }
  file.unref()
  return n
}

function mayOpen(task: Task, mount: Mount, inode: Inode, flags: number): number {
  let want = accessOf(flags)
  if ((flags & O_TRUNC) !== 0) want |= MAY_WRITE
  const type = inode.mode & S_IFMT
  if (inode.isSymlink) return -ELOOP
  if (inode.isDir) {
    if ((want & MAY_WRITE) !== 0 || (flags & O_CREAT) !== 0) return -EISDIR
  } else if ((flags & O_DIRECTORY) !== 0) return -ENOTDIR
  else if (
    (type === S_IFCHR || type === S_IFBLK) &&
    ((mount.flags & MS_NODEV) !== 0 || (!mount.sb.userNs.initial && !mount.sb.ownDevices))
  )
    return -EACCES
  if ((want & MAY_WRITE) !== 0) {
    const error = openWritable(mount, inode)
    if (error < 0) return error
  }
  const denied = permission(task.creds, inode, want)
  if (denied < 0) return denied
  if ((want & MAY_WRITE) !== 0 && inode.executions > 0) return -ETXTBSY
  if ((inode.attributes & FS_APPEND_FL) !== 0) {
    const appends = (accessOf(flags) & MAY_WRITE) === 0 || (flags & O_APPEND) !== 0
    if (!appends || (flags & O_TRUNC) !== 0) return -EPERM
  }
  if ((flags & O_NOATIME) !== 0 && !ownerOrCapable(task.creds, inode)) return -EPERM
  return 0
}

/** Access mode 3 asks for both permissions and gives neither: only ioctl works on it. */
function accessOf(flags: number): number {
  const mode = flags & O_ACCMODE
  if (mode === O_RDONLY) return MAY_READ
  return mode === O_RDWR || mode === O_ACCMODE ? MAY_READ | MAY_WRITE : MAY_WRITE
}

/** Whether the file takes O_DIRECT. */
export function hasDirectIo(inode: Inode): boolean {
  return inode.isRegular && inode.sb.type !== 'proc' && inode.sb.type !== 'sysfs'
}

function openInode(task: Task, mount: Mount, dentry: Dentry, flags: number): File | number {
  const inode = dentry.inode!
  const isSocket = (inode.mode & S_IFMT) === S_IFSOCK
  if ((flags & O_DIRECT) !== 0 && !isSocket && !hasDirectIo(inode)) return -EINVAL
  if (task.landlock !== null) {
    const denied = landlockAllows(task, mount, dentry, landlockAccess(inode, flags))
    if (denied < 0) return denied
  }
  const ops = inode.open(task, flags)
  if (typeof ops === 'number') return ops
  const file = new File(ops, inode, dentry, mount, (flags & ~CREATION_FLAGS) | O_LARGEFILE)
  if (task.landlock !== null && file.writable) noteTruncate(task, file)
  return notifyOpened(file)
}

/** get_required_file_open_access. Access mode 3 needs nothing, as it gives nothing. */
function landlockAccess(inode: Inode, flags: number): number {
  const mode = flags & O_ACCMODE
  const reads = mode === O_RDONLY || mode === O_RDWR
  const writes = mode === O_WRONLY || mode === O_RDWR
  return (reads ? (inode.isDir ? READ_DIR : READ_FILE) : 0) | (writes ? WRITE_FILE : 0)
}

function openTmpfile(
  task: Task,
  dfd: number,
  path: string,
  flags: number,
  mode: number,
  resolve: number,
): File | number {
  const n = walkPath(task, dfd, path, resolveFlags(resolve) | WALK_FOLLOW | WALK_DIRECTORY)
  if (n < 0) return n
  const { mount, dentry } = walk
  const dir = dentry.inode!
  const error = mountWritable(mount) || mayCreate(task.creds, dir)
  if (error < 0) return error
  const inode = dir.tmpfile(S_IFREG | maskedMode(task, dir, mode & 0o7777), task.creds)
  if (typeof inode === 'number') return inode
  // Its name tells the inode, as in Linux: /tmp/#42 (deleted).
  const unnamed = new Dentry(`#${inode.ino}`, dentry, inode)
  unnamed.deleted = true
  // With O_EXCL, linkat(2) may never give it a name.
  unnamed.linkable = (flags & O_EXCL) === 0
  const file = openInode(task, mount, unnamed, flags & ~O_TMPFILE)
  // F_GETFL tells how it was made.
  if (typeof file !== 'number') file.flags |= O_TMPFILE
  return file
}

/**
 * Open a file to execute it: a regular file with execute permission on a mount without noexec. `flags` may
 * hold AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW.
 */
export function openForExec(task: Task, dfd: number, path: string, flags: number): File | number {
  let how = WALK_OPEN | ((flags & AT_SYMLINK_NOFOLLOW) !== 0 ? 0 : WALK_FOLLOW)
  if ((flags & AT_EMPTY_PATH) !== 0) how |= WALK_EMPTY
  const n = walkPath(task, dfd, path, how)
  if (n < 0) return n
  const { mount, dentry } = walk
  const inode = dentry.inode
  if (inode === null) return -ENOENT
  if (inode.isSymlink) return -ELOOP
  if (!inode.isRegular || (mount.flags & MS_NOEXEC) !== 0) return -EACCES
  const denied =
    permission(task.creds, inode, MAY_EXEC) || landlockAllows(task, mount, dentry, EXECUTE)
  if (denied < 0) return denied
  return openInode(task, mount, dentry, O_RDONLY)
}
