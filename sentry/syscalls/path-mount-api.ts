// The mount API of descriptors: open_tree(2), move_mount(2), fsopen(2), fsconfig(2), fsmount(2), fspick(2),
// mount_setattr(2).

import {
  EBADF,
  EINVAL,
  ENAMETOOLONG,
  ENODEV,
  EOPNOTSUPP,
  EPERM,
} from '../../syscall-table/errno.ts'
import {
  AT_EMPTY_PATH,
  AT_NO_AUTOMOUNT,
  AT_RECURSIVE,
  AT_SYMLINK_NOFOLLOW,
  FSCONFIG_CMD_CREATE,
  FSCONFIG_CMD_CREATE_EXCL,
  FSCONFIG_SET_BINARY,
  FSCONFIG_SET_FD,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_PATH_EMPTY,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  FSPICK_CLOEXEC,
  FSPICK_EMPTY_PATH,
  FSPICK_NO_AUTOMOUNT,
  FSPICK_SYMLINK_NOFOLLOW,
  MOVE_MOUNT_BENEATH,
  MOVE_MOUNT_F_AUTOMOUNTS,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_F_SYMLINKS,
  MOVE_MOUNT_SET_GROUP,
  MOVE_MOUNT_T_AUTOMOUNTS,
  MOVE_MOUNT_T_EMPTY_PATH,
  MOVE_MOUNT_T_SYMLINKS,
  MS_REC,
  O_CLOEXEC,
  O_PATH,
  O_RDWR,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  PAGE_SIZE,
} from '../../syscall-table/flags.ts'
import { newMountAttr, readMountAttr, SIZEOF_MOUNT_ATTR } from '../../syscall-table/structs.gen.ts'
import { FsContextOps, treeFile } from '../fs/mount-files.ts'
import type { Task } from '../kernel/task.ts'
import { anonFile } from '../vfs/anon.ts'
import { File, PathOnlyOps } from '../vfs/file.ts'
import type { Mount, Path } from '../vfs/mount.ts'
import {
  changeMounts,
  checkChange,
  flagsOfAttributes,
  type MountChange,
} from '../vfs/mount-attributes.ts'
import { copyForBind } from '../vfs/mounting.ts'
import { moveBeneath, moveMount, setGroup } from '../vfs/moving.ts'
import { walk } from '../vfs/path-walk.ts'
import { fileSystemType } from '../vfs/super.ts'
import { copyExtensible } from './extensible-struct.ts'
import { mayMount } from './path-mount.ts'
import { installFile } from './path-open.ts'
import { walkUser } from './path-stat.ts'

/** Longest key, and longest value of a string. */
const STRING_MAX = 256
const pathOnlyOps = new PathOnlyOps()

function place(task: Task, dfd: number, path: number, flags: number): Path | number {
  const n = walkUser(task, dfd, path, flags)
  return n < 0 ? n : { mount: walk.mount, dentry: walk.dentry }
}

/** A descriptor of a tree that is not attached. */
function installTree(task: Task, tree: Mount, cloexec: number): number {
  const file = treeFile(task.kernel, tree)
  return installFile(task, file, cloexec)
}

/** open_tree(2). */
export function sys_open_tree(task: Task, dfd: number, path: number, flags: number): number {
  const file = openTree(task, dfd, path, flags)
  return typeof file === 'number' ? file : installOpened(task, file, flags)
}

function installOpened(task: Task, file: File, flags: number): number {
  return installFile(task, file, (flags & OPEN_TREE_CLOEXEC) !== 0 ? O_CLOEXEC : 0)
}

function openTree(task: Task, dfd: number, path: number, flags: number): File | number {
  const known =
    AT_EMPTY_PATH |
    AT_NO_AUTOMOUNT |
    AT_RECURSIVE |
    AT_SYMLINK_NOFOLLOW |
    OPEN_TREE_CLONE |
    OPEN_TREE_CLOEXEC
  if ((flags & ~known) !== 0) return -EINVAL
  if ((flags & (AT_RECURSIVE | OPEN_TREE_CLONE)) === AT_RECURSIVE) return -EINVAL
  if ((flags & OPEN_TREE_CLONE) !== 0 && !mayMount(task)) return -EPERM
  const at = place(task, dfd, path, flags)
  if (typeof at === 'number') return at
  if ((flags & OPEN_TREE_CLONE) === 0) {
    const { mount, dentry } = at
    return new File(pathOnlyOps, dentry.inode!, dentry, mount, O_PATH)
  }
  const copy = copyForBind(task, at, (flags & AT_RECURSIVE) !== 0 ? MS_REC : 0)
  return typeof copy === 'number' ? copy : treeFile(task.kernel, copy)
}

/** open_tree_attr(2): what is opened gets attributes before anybody can use it. */
export function sys_open_tree_attr(
  task: Task,
  dfd: number,
  path: number,
  flags: number,
  addr: number,
  size: number,
): number {
  if (addr === 0 && size !== 0) return -EINVAL
  const file = openTree(task, dfd, path, flags)
  if (typeof file === 'number') return file
  const error = addr === 0 ? 0 : setAttributes(task, file, flags, addr, size)
  if (error === 0) return installOpened(task, file, flags)
  file.unref()
  return error
}

function setAttributes(task: Task, at: Path, flags: number, addr: number, size: number): number {
  if (!mayMount(task)) return -EPERM
  const n = readChange(task, addr, size)
  return n === 0 ? changeAt(task, at, flags) : Math.min(n, 0)
}

/** move_mount(2). */
export function sys_move_mount(
  task: Task,
  fromDfd: number,
  fromPath: number,
  toDfd: number,
  toPath: number,
  flags: number,
): number {
  if (!mayMount(task)) return -EPERM
  const known =
    MOVE_MOUNT_F_SYMLINKS |
    MOVE_MOUNT_F_AUTOMOUNTS |
    MOVE_MOUNT_F_EMPTY_PATH |
    MOVE_MOUNT_T_SYMLINKS |
    MOVE_MOUNT_T_AUTOMOUNTS |
    MOVE_MOUNT_T_EMPTY_PATH
  const ways = MOVE_MOUNT_SET_GROUP | MOVE_MOUNT_BENEATH
  if ((flags & ~(known | ways)) !== 0 || (flags & ways) === ways) return -EINVAL
  const how = (symlinks: number, empty: number) =>
    ((flags & symlinks) === 0 ? AT_SYMLINK_NOFOLLOW : 0) |
    ((flags & empty) !== 0 ? AT_EMPTY_PATH : 0)
  const to = place(task, toDfd, toPath, how(MOVE_MOUNT_T_SYMLINKS, MOVE_MOUNT_T_EMPTY_PATH))
  if (typeof to === 'number') return to
  const from = place(task, fromDfd, fromPath, how(MOVE_MOUNT_F_SYMLINKS, MOVE_MOUNT_F_EMPTY_PATH))
  if (typeof from === 'number') return from
  if (task.landlock !== null) return -EPERM
  if ((flags & MOVE_MOUNT_SET_GROUP) !== 0) return setGroup(task, from, to)
  return (flags & MOVE_MOUNT_BENEATH) !== 0
    ? moveBeneath(task, from, to)
    : moveMount(task, from, to)
}

/** fsopen(2). */
export function sys_fsopen(task: Task, nameAddr: number, flags: number): number {
  if (!mayMount(task)) return -EPERM
  if ((flags & ~FSOPEN_CLOEXEC) !== 0) return -EINVAL
  const name = task.mm.readString(task, nameAddr, PAGE_SIZE)
  if (typeof name === 'number') return name === -ENAMETOOLONG ? -EINVAL : name
  if (fileSystemType(name) === undefined) return -ENODEV
  return installContext(task, new FsContextOps(name, null), flags)
}

function installContext(task: Task, ops: FsContextOps, cloexec: number): number {
  const file = anonFile(task.kernel, ops, '[fscontext]', O_RDWR)
  return installFile(task, file, cloexec !== 0 ? O_CLOEXEC : 0)
}

/** fspick(2). */
export function sys_fspick(task: Task, dfd: number, path: number, flags: number): number {
  if (!mayMount(task)) return -EPERM
  const known = FSPICK_CLOEXEC | FSPICK_SYMLINK_NOFOLLOW | FSPICK_NO_AUTOMOUNT | FSPICK_EMPTY_PATH
  if ((flags & ~known) !== 0) return -EINVAL
  const how =
    ((flags & FSPICK_SYMLINK_NOFOLLOW) !== 0 ? AT_SYMLINK_NOFOLLOW : 0) |
    ((flags & FSPICK_EMPTY_PATH) !== 0 ? AT_EMPTY_PATH : 0)
  const at = place(task, dfd, path, how)
  if (typeof at === 'number') return at
  if (at.mount.root !== at.dentry) return -EINVAL
  return installContext(task, new FsContextOps(at.mount.sb.type, at.mount), flags & FSPICK_CLOEXEC)
}

function contextOf(task: Task, fd: number): FsContextOps | number {
  const ops = task.files.getReal(fd)?.ops
  if (ops === undefined) return -EBADF
  return ops instanceof FsContextOps ? ops : -EINVAL
}

/** fsconfig(2). No file system here takes binary data or descriptors. */
export function sys_fsconfig(
  task: Task,
  fd: number,
  command: number,
  keyAddr: number,
  valueAddr: number,
  aux: number,
): number {
  if (fd < 0) return -EINVAL
  const error = checkArguments(command, keyAddr, valueAddr, aux)
  if (error < 0) return error
  const context = contextOf(task, fd)
  if (typeof context === 'number') return context
  if (command >= FSCONFIG_CMD_CREATE) return context.command(task, command)
  const key = readShort(task, keyAddr)
  if (typeof key === 'number') return key
  if (command === FSCONFIG_SET_FLAG) return context.set(task.kernel, key, null)
  if (command !== FSCONFIG_SET_STRING) return context.refuse()
  const value = readShort(task, valueAddr)
  return typeof value === 'number' ? value : context.set(task.kernel, key, value)
}

function readShort(task: Task, addr: number): string | number {
  const text = task.mm.readString(task, addr, STRING_MAX)
  return text === -ENAMETOOLONG ? -EINVAL : text
}

/** Which arguments a command has, and which must be zero. */
function checkArguments(command: number, key: number, value: number, aux: number): number {
  if (command < 0 || command > FSCONFIG_CMD_CREATE_EXCL) return -EOPNOTSUPP
  if (command >= FSCONFIG_CMD_CREATE) return key !== 0 || value !== 0 || aux !== 0 ? -EINVAL : 0
  if (key === 0) return -EINVAL
  if (command === FSCONFIG_SET_FLAG) return value !== 0 || aux !== 0 ? -EINVAL : 0
  if (command === FSCONFIG_SET_FD) return value !== 0 || aux < 0 ? -EINVAL : 0
  if (value === 0) return -EINVAL
  if (command === FSCONFIG_SET_STRING) return aux !== 0 ? -EINVAL : 0
  if (command === FSCONFIG_SET_BINARY) return aux <= 0 || aux > 1 << 20 ? -EINVAL : 0
  return command <= FSCONFIG_SET_PATH_EMPTY ? 0 : -EINVAL
}

/** fsmount(2). */
export function sys_fsmount(task: Task, fd: number, flags: number, attributes: number): number {
  if (!mayMount(task)) return -EPERM
  if ((flags & ~FSMOUNT_CLOEXEC) !== 0) return -EINVAL
  const wanted = flagsOfAttributes(attributes)
  if (wanted < 0) return wanted
  const context = contextOf(task, fd)
  if (typeof context === 'number') return context
  const mount = context.mount(task, wanted)
  if (typeof mount === 'number') return mount
  return installTree(task, mount, (flags & FSMOUNT_CLOEXEC) !== 0 ? O_CLOEXEC : 0)
}

const attr = newMountAttr()
const change: MountChange = { set: 0, clear: 0, propagation: 0 }

/** Read struct mount_attr into `change`. Returns 1 when nothing is asked for, 0, or -errno. */
function readChange(task: Task, addr: number, size: number): number {
  const error = copyExtensible(task, addr, size, SIZEOF_MOUNT_ATTR, SIZEOF_MOUNT_ATTR)
  if (error < 0) return error
  readMountAttr(task.kernel.scratchView, 0, attr)
  const { attrSetLo, attrSetHi, attrClrLo, attrClrHi, propagationLo, propagationHi } = attr
  if ((attrSetLo | attrSetHi | attrClrLo | attrClrHi | propagationLo | propagationHi) === 0)
    return 1
  if ((attrSetHi | attrClrHi | propagationHi) !== 0) return -EINVAL
  change.set = attrSetLo
  change.clear = attrClrLo
  change.propagation = propagationLo
  return checkChange(change)
}

/** mount_setattr(2). */
export function sys_mount_setattr(
  task: Task,
  dfd: number,
  path: number,
  flags: number,
  addr: number,
  size: number,
): number {
  const known = AT_EMPTY_PATH | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT
  if ((flags & ~known) !== 0) return -EINVAL
  if (!mayMount(task)) return -EPERM
  const n = readChange(task, addr, size)
  if (n !== 0) return n > 0 ? 0 : n
  const at = place(task, dfd, path, flags)
  return typeof at === 'number' ? at : changeAt(task, at, flags)
}

/** Make `change` of the mount whose root `at` is, with AT_RECURSIVE of all below. */
function changeAt(task: Task, { mount, dentry }: Path, flags: number): number {
  if (mount.root !== dentry) return -EINVAL
  let top = mount
  while (top.parent !== null) top = top.parent
  if (mount.namespace !== task.nsproxy.mnt && !top.floating) return -EINVAL
  return changeMounts((flags & AT_RECURSIVE) !== 0 ? mount.tree() : [mount], change)
}
