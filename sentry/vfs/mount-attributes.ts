// mount_setattr(2): changing the attributes of mounts, all of a tree or none.

import { EINVAL, EPERM } from '../../syscall-table/errno.ts'
import {
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_RELATIME,
  MOUNT_ATTR_STRICTATIME,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_PRIVATE,
  MS_RDONLY,
  MS_RELATIME,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
} from '../../syscall-table/flags.ts'
import type { Mount } from './mount.ts'
import { mayBecomeReadonly, mayHaveFlags } from './mounting.ts'
import { walksChanged } from './path-cache.ts'
import { changePropagation } from './propagation.ts'

const PAIRS: readonly (readonly [number, number])[] = [
  [MOUNT_ATTR_RDONLY, MS_RDONLY],
  [MOUNT_ATTR_NOSUID, MS_NOSUID],
  [MOUNT_ATTR_NODEV, MS_NODEV],
  [MOUNT_ATTR_NOEXEC, MS_NOEXEC],
  [MOUNT_ATTR_NODIRATIME, MS_NODIRATIME],
  [MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW],
]
const PLAIN = PAIRS.reduce((all, [attr]) => all | attr, 0)
const PROPAGATION = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE

/** The MS_* flags that MOUNT_ATTR_* stand for, or -EINVAL; fsmount(2). */
export function flagsOfAttributes(attributes: number): number {
  if ((attributes & ~(PLAIN | MOUNT_ATTR__ATIME)) !== 0) return -EINVAL
  let flags = 0
  for (const [attr, flag] of PAIRS) if ((attributes & attr) !== 0) flags |= flag
  const atime = atimeFlag(attributes)
  return atime < 0 ? atime : flags | atime
}

export function attributesOf(mount: Mount): number {
  let attributes = 0
  for (const [attr, flag] of PAIRS) if ((mount.flags & flag) !== 0) attributes |= attr
  if ((mount.flags & MS_NOATIME) !== 0) return attributes | MOUNT_ATTR_NOATIME
  return (mount.flags & MS_RELATIME) !== 0 ? attributes : attributes | MOUNT_ATTR_STRICTATIME
}

function atimeFlag(attributes: number): number {
  switch (attributes & MOUNT_ATTR__ATIME) {
    case MOUNT_ATTR_RELATIME:
      return MS_RELATIME
    case MOUNT_ATTR_NOATIME:
      return MS_NOATIME
    case MOUNT_ATTR_STRICTATIME:
      return 0
    default:
      return -EINVAL
  }
}

/** What one call asks for. */
export interface MountChange {
  set: number
  clear: number
  /** MS_SHARED and so on, or 0. */
  propagation: number
}

/** build_mount_kattr, without id-mapped mounts. */
export function checkChange({ set, clear, propagation }: MountChange): number {
  if ((propagation & ~PROPAGATION) !== 0 || (propagation & (propagation - 1)) !== 0) return -EINVAL
  if (((set | clear) & ~(PLAIN | MOUNT_ATTR__ATIME)) !== 0) return -EINVAL
  // Access times are a choice and no bits: who changes them says so.
  const clearsAtime = clear & MOUNT_ATTR__ATIME
  if (clearsAtime !== 0 && clearsAtime !== MOUNT_ATTR__ATIME) return -EINVAL
  if (clearsAtime === 0) return (set & MOUNT_ATTR__ATIME) !== 0 ? -EINVAL : 0
  return Math.min(atimeFlag(set), 0)
}

/** Apply a checked change to all of `mounts`, or to none. */
export function changeMounts(mounts: readonly Mount[], change: MountChange): number {
  const wanted = mounts.map(mount => changedFlags(mount, change))
  for (let i = 0; i < mounts.length; i++) if (!mayHaveFlags(mounts[i]!, wanted[i]!)) return -EPERM
  if ((change.set & MOUNT_ATTR_RDONLY) !== 0) {
    const error = mayBecomeReadonly(mounts, MS_RDONLY)
    if (error < 0) return error
  }
  mounts.forEach((mount, i) => {
    mount.flags = wanted[i]!
    if (change.propagation !== 0) changePropagation(mount, change.propagation)
  })
  mounts[0]?.namespace?.changes.note()
  walksChanged()
  return 0
}

function changedFlags(mount: Mount, { set, clear }: MountChange): number {
  let { flags } = mount
  for (const [attr, flag] of PAIRS) {
    if ((clear & attr) !== 0) flags &= ~flag
    if ((set & attr) !== 0) flags |= flag
  }
  if ((clear & MOUNT_ATTR__ATIME) === 0) return flags
  return (flags & ~(MS_RELATIME | MS_NOATIME)) | atimeFlag(set)
}
