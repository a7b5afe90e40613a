// What stat(2), statx(2) and statfs(2) report, written straight into a DataView in the user's layout.

import {
  MS_MANDLOCK,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_RDONLY,
  MS_RELATIME,
  MS_SYNCHRONOUS,
  ST_MANDLOCK,
  ST_NOATIME,
  ST_NODEV,
  ST_NODIRATIME,
  ST_NOEXEC,
  ST_NOSUID,
  ST_NOSYMFOLLOW,
  ST_RDONLY,
  ST_RELATIME,
  ST_SYNCHRONOUS,
  ST_VALID,
  STATX_ATTR_APPEND,
  STATX_ATTR_AUTOMOUNT,
  STATX_ATTR_DAX,
  STATX_ATTR_IMMUTABLE,
  STATX_ATTR_MOUNT_ROOT,
  STATX_ATTR_NODUMP,
  STATX_BASIC_STATS,
  STATX_BTIME,
  STATX_MNT_ID,
  STATX_MNT_ID_UNIQUE,
} from '../../syscall-table/flags.ts'
import {
  STATFS_FIELD as F,
  STAT_FIELD as S,
  SIZEOF_STAT,
  SIZEOF_STATFS,
  SIZEOF_STATX,
  STATX_FIELD as X,
} from '../../syscall-table/structs.gen.ts'
import type { UserNamespace } from '../kernel/user-namespace.ts'
import type { Dentry } from './dentry.ts'
import type { Inode, StatFs } from './inode.ts'
import type { Mount } from './mount.ts'

function putU64(v: DataView, at: number, n: number): void {
  v.setUint32(at, n >>> 0, true)
  v.setUint32(at + 4, Math.floor(n / 2 ** 32) >>> 0, true)
}

/** Fill struct stat from the inode's attributes, which the caller has refreshed. */
export function fillStat(v: DataView, inode: Inode, userNs: UserNamespace): void {
  putU64(v, S.dev, inode.sb.dev)
  putU64(v, S.ino, inode.ino)
  putU64(v, S.nlink, inode.nlink)
  v.setUint32(S.mode, inode.mode, true)
  v.setUint32(S.uid, userNs.showUid(inode.uid), true)
  v.setUint32(S.gid, userNs.showGid(inode.gid), true)
  v.setUint32(S.gid + 4, 0, true)
  putU64(v, S.rdev, inode.rdev)
  putU64(v, S.size, inode.size)
  putU64(v, S.blksize, inode.blksize)
  putU64(v, S.blocks, inode.blocks)
  putU64(v, S.atime, inode.atimeSec)
  putU64(v, S.atimeNsec, inode.atimeNsec)
  putU64(v, S.mtime, inode.mtimeSec)
  putU64(v, S.mtimeNsec, inode.mtimeNsec)
  putU64(v, S.ctime, inode.ctimeSec)
  putU64(v, S.ctimeNsec, inode.ctimeNsec)
  for (let at = S.ctimeNsec + 8; at < SIZEOF_STAT; at += 4) v.setUint32(at, 0, true)
}

const major = (dev: number): number => (dev >>> 8) & 0xfff
const minor = (dev: number): number => (dev & 0xff) | ((dev >>> 12) & 0xfff00)

const CHATTR_BITS = STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_NODUMP

/** What Linux knows of every file, whether it has them or not. */
const ATTRIBUTES_OF_ALL = STATX_ATTR_MOUNT_ROOT | STATX_ATTR_AUTOMOUNT | STATX_ATTR_DAX

/** Fill struct statx. Everything known is reported, whatever the mask asked for. */
export function fillStatx(
  v: DataView,
  inode: Inode,
  mount: Mount,
  dentry: Dentry,
  userNs: UserNamespace,
): void {
  for (let at = 0; at < SIZEOF_STATX; at += 4) v.setUint32(at, 0, true)
  const hasBirth = inode.btimeSec !== 0 || inode.btimeNsec !== 0
  v.setUint32(X.mask, STATX_BASIC_STATS | STATX_MNT_ID | (hasBirth ? STATX_BTIME : 0), true)
  v.setUint32(X.blksize, inode.blksize, true)
  // Bits of chattr(1) are the same here.
  const known = inode.knownAttributes & CHATTR_BITS
  const root = dentry === mount.root ? STATX_ATTR_MOUNT_ROOT : 0
  putU64(v, X.attributes, (inode.attributes & known) | root)
  putU64(v, X.attributesMask, known | ATTRIBUTES_OF_ALL)
  v.setUint32(X.nlink, inode.nlink, true)
  v.setUint32(X.uid, userNs.showUid(inode.uid), true)
  v.setUint32(X.gid, userNs.showGid(inode.gid), true)
  v.setUint16(X.mode, inode.mode, true)
  putU64(v, X.ino, inode.ino)
  putU64(v, X.size, inode.size)
  putU64(v, X.blocks, inode.blocks)
  putTime(v, X.atime, inode.atimeSec, inode.atimeNsec)
  putTime(v, X.btime, inode.btimeSec, inode.btimeNsec)
  putTime(v, X.ctime, inode.ctimeSec, inode.ctimeNsec)
  putTime(v, X.mtime, inode.mtimeSec, inode.mtimeNsec)
  v.setUint32(X.rdevMajor, major(inode.rdev), true)
  v.setUint32(X.rdevMinor, minor(inode.rdev), true)
  v.setUint32(X.devMajor, major(inode.sb.dev), true)
  v.setUint32(X.devMinor, minor(inode.sb.dev), true)
  putU64(v, X.mntId, mount.id)
}

/** STATX_MNT_ID_UNIQUE: instead of the number that another mount may get later. */
export function fillUniqueMountId(v: DataView, mount: Mount): void {
  v.setUint32(X.mask, (v.getUint32(X.mask, true) & ~STATX_MNT_ID) | STATX_MNT_ID_UNIQUE, true)
  putU64(v, X.mntId, mount.uniqueId)
}

function putTime(v: DataView, at: number, sec: number, nsec: number): void {
  putU64(v, at, sec)
  v.setUint32(at + 8, nsec, true)
}

const statFs: StatFs = {
  type: 0,
  bsize: 0,
  blocks: 0,
  bfree: 0,
  bavail: 0,
  files: 0,
  ffree: 0,
  namelen: 0,
  frsize: 0,
}

/** Fill struct statfs of the file system shown by `mount`. Returns 0 or -errno. */
export function fillStatFs(v: DataView, inode: Inode, mount: Mount): number {
  const error = inode.sb.statfs(statFs)
  if (error < 0) return error
  for (let at = 0; at < SIZEOF_STATFS; at += 4) v.setUint32(at, 0, true)
  putU64(v, F.type, statFs.type)
  putU64(v, F.bsize, statFs.bsize)
  putU64(v, F.blocks, statFs.blocks)
  putU64(v, F.bfree, statFs.bfree)
  putU64(v, F.bavail, statFs.bavail)
  putU64(v, F.files, statFs.files)
  putU64(v, F.ffree, statFs.ffree)
  v.setUint32(F.fsid, inode.sb.dev, true)
  putU64(v, F.namelen, statFs.namelen)
  putU64(v, F.frsize, statFs.frsize)
  putU64(v, F.flags, mountStatFlags(mount))
  return 0
}

/** Pairs of a mount's flag and what statfs(2) calls it. */
const FLAG_PAIRS = [
  [MS_RDONLY, ST_RDONLY],
  [MS_NOSUID, ST_NOSUID],
  [MS_NODEV, ST_NODEV],
  [MS_NOEXEC, ST_NOEXEC],
  [MS_NOATIME, ST_NOATIME],
  [MS_NODIRATIME, ST_NODIRATIME],
  [MS_RELATIME, ST_RELATIME],
  [MS_NOSYMFOLLOW, ST_NOSYMFOLLOW],
] as const

function mountStatFlags(mount: Mount): number {
  let flags = ST_VALID
  for (const [ms, st] of FLAG_PAIRS) if ((mount.flags & ms) !== 0) flags |= st
  if ((mount.sb.flags & MS_SYNCHRONOUS) !== 0) flags |= ST_SYNCHRONOUS
  if ((mount.sb.flags & MS_MANDLOCK) !== 0) flags |= ST_MANDLOCK
  return mount.sb.readonly ? flags | ST_RDONLY : flags
}
