// The container's /dev: the default devices of the OCI specification and those of the configuration. A node can
// be made for any number; only emulated devices can be opened, the others are ENXIO.

import { EEXIST, EPERM, errnoMessage } from '../../syscall-table/errno.ts'
import { AT_FDCWD, S_IFCHR } from '../../syscall-table/flags.ts'
import type { ContainerConfig, DeviceConfig } from '../config.ts'
import { DEVICE_LINKS, DEVICE_NODES } from '../fs/dev/devtmpfs.ts'
import { makeDev } from '../fs/dev/registry.ts'
import { mountMemoryRoot } from '../fs/tmpfs/mount.ts'
import type { Task } from '../kernel/task.ts'
import { attachDentry, instantiate } from '../vfs/dcache.ts'
import type { Inode } from '../vfs/inode.ts'
import { Mount } from '../vfs/mount.ts'
import { graft, rootDentry } from '../vfs/mounting.ts'
import { WALK_CREATE, walk, walkPath } from '../vfs/path-walk.ts'
import { makePlace } from './places.ts'

/** Make devices and links, unless the configuration brings a /dev of its own. */
export function makeDevices(task: Task, config: ContainerConfig): void {
  const own = config.mounts.some(({ type, destination }) => type === 'bind' && isDev(destination))
  if (own) return
  const given = new Set(config.devices.map(({ path }) => path))
  for (const [name, major, minor, permissions] of DEVICE_NODES) {
    const path = `/dev/${name}`
    if (given.has(path)) continue
    makeDevice(task, { path, mode: S_IFCHR | permissions, major, minor, uid: 0, gid: 0 })
  }
  for (const device of config.devices) {
    // Always a link into the container's own devpts.
    if (device.path !== '/dev/ptmx') makeDevice(task, device)
  }
  for (const [name, target] of DEVICE_LINKS) makeLink(task, `/dev/${name}`, target)
}

const isDev = (path: string): boolean => path.replace(/\/+/g, '/').replace(/\/$/, '') === '/dev'

function makeDevice(task: Task, device: DeviceConfig): void {
  const n = makeNode(task, device)
  if (n < 0 && n !== -EEXIST)
    throw new Error(`linux.devices: make ${device.path}: ${errnoMessage(-n)}`)
}

function makeNode(task: Task, device: DeviceConfig): number {
  const parent = makePlace(task, device.path.replace(/\/+[^/]*\/*$/, ''), 'directory')
  if (typeof parent === 'number') return parent
  const n = walkPath(task, AT_FDCWD, device.path, WALK_CREATE)
  if (n < 0) return n
  const { dentry } = walk
  // What runsc has made for it, or a file of the image.
  if (dentry.inode !== null) return dentry.inode.isRegular ? mountNode(task, device) : -EEXIST
  const dir = dentry.parent!.inode!
  const made = dir.mknod(dentry.name, device.mode, makeDev(device.major, device.minor), task.creds)
  // On files of the host no node can be made: one of ours is mounted there.
  if (made === -EPERM) return mountNode(task, device)
  if (typeof made === 'number') return made
  instantiate(dentry, made)
  return setAttributes(made, device)
}

function setAttributes(node: Inode, { mode, uid, gid }: DeviceConfig): number {
  const n = node.setattr({ uid, gid })
  return n < 0 ? n : node.setattr({ mode: mode & 0o7777 })
}

function mountNode(task: Task, device: DeviceConfig): number {
  const at = makePlace(task, device.path, 'file')
  if (typeof at === 'number') return at
  const node = looseNode(task, device)
  return typeof node === 'number' ? node : graft(node, at)
}

/** A mount of nothing but a device node, not attached yet. */
export function looseNode(task: Task, device: DeviceConfig): Mount | number {
  const sb = mountMemoryRoot(task.kernel, 'tmpfs', 0o755)
  const { major, minor, mode } = device
  const node = sb.root.mknod('node', mode, makeDev(major, minor), task.creds)
  if (typeof node === 'number') return node
  const error = setAttributes(node, device)
  if (error < 0) return error
  const dentry = attachDentry(rootDentry(sb), 'node', node)
  return new Mount(sb, dentry, 0, 'tmpfs')
}

function makeLink(task: Task, path: string, target: string): void {
  const n = walkPath(task, AT_FDCWD, path, WALK_CREATE)
  if (n < 0 || walk.dentry.inode !== null) return
  const { dentry } = walk
  const made = dentry.parent!.inode!.symlink(dentry.name, target, task.creds)
  if (typeof made !== 'number') instantiate(dentry, made)
}
