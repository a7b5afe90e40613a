// The sandbox's first mount tree: the root, and the mounts of the configuration in their order.

import { EBUSY, errnoMessage } from '../../syscall-table/errno.ts'
import { MS_RDONLY, MS_REC } from '../../syscall-table/flags.ts'
import type { ContainerConfig, MountConfig } from '../config.ts'
import { cgroupMounts, containerCgroups } from '../fs/cgroup/cgroup-fs.ts'
import type { Task } from '../kernel/task.ts'
import type { SuperBlock } from '../vfs/inode.ts'
import type { Mount, Path } from '../vfs/mount.ts'
import { mountFlags, mountOn } from '../vfs/mounting.ts'
import { walksChanged } from '../vfs/path-cache.ts'
import { changePropagation } from '../vfs/propagation.ts'
import { fileSystemType } from '../vfs/super.ts'
import { copyUp } from './copy-up.ts'
import { makePlace, type PlaceKind } from './places.ts'

/** Makes the file system of a bind mount from its attach point. */
export type BindSource = (mount: MountConfig) => SuperBlock | number

/** A mount, and what it was asked to be once everything in it has been made. */
interface Made {
  mount: Mount
  readonly: boolean
  /** MS_SHARED and the like, or 0. */
  propagation: number
}

/**
 * Make the configured mounts as `task`. Returns what makes those that have to be read-only so, for when nothing
 * more has to be made in them. Throws with one line for people.
 */
export function mountConfigured(
  task: Task,
  config: ContainerConfig,
  bind: BindSource,
): { seal(): void } {
  const { root } = task.fs
  const made = config.mounts.map(mount => mountOne(task, mount, bind))
  return {
    seal() {
      if (config.root.readonly && task.fs.root.mount !== root.mount)
        task.fs.root.mount.flags |= MS_RDONLY
      for (const { mount, readonly, propagation } of made) {
        if (readonly) mount.flags |= MS_RDONLY
        if (propagation === 0) continue
        const mounts = (propagation & MS_REC) !== 0 ? mount.tree() : [mount]
        for (const one of mounts) changePropagation(one, propagation & ~MS_REC)
      }
      walksChanged()
    },
  }
}

/** What linux.rootfsPropagation says of the root: MS_SHARED and the like, of all mounts with MS_REC; 0 for nothing. */
export function spreadRoot(task: Task, propagation: number): void {
  if (propagation === 0) return
  const { root } = task.nsproxy.mnt
  for (const mount of (propagation & MS_REC) !== 0 ? root.tree() : [root])
    changePropagation(mount, propagation & ~MS_REC)
}

function mountOne(task: Task, given: MountConfig, bind: BindSource): Made {
  const place = (kind: PlaceKind) => {
    const at = makePlace(task, given.destination, kind)
    if (typeof at === 'number') throw failure(given, 'make or find the mountpoint', at)
    return at
  }
  const covered = given.type === 'tmpfs' ? place('directory') : null
  const config = covered === null ? given : withModeOf(covered, given)
  const sb = makeFileSystem(task, config, bind)
  const at = covered ?? place(sb.root.isDir ? 'directory' : 'file')
  // A link may have got in between.
  const covers = isRoot(task, at)
  if (covers && config.destination !== '/')
    throw failure(config, 'leads to the root itself', -EBUSY)
  // Mountpoints may have to be made in a tmpfs, and devices in /dev.
  const later = config.type === 'tmpfs'
  const flags = mountFlags(later ? config.flags & ~MS_RDONLY : config.flags)
  const mount = mountOn(at, sb, flags, sourceOf(config, sb))
  if (typeof mount === 'number') throw failure(config, 'mount', mount)
  if (covers) enter(task, mount)
  if (config.type === 'cgroup') mountHierarchies(task, config)
  if (config.copyUp) {
    const n = copyUp(task, at, mount)
    if (n < 0) throw failure(config, 'copy up', n)
  }
  const readonly = later && (config.flags & MS_RDONLY) !== 0
  return { mount, readonly, propagation: config.propagation }
}

function isRoot({ fs }: Task, { mount, dentry }: Path): boolean {
  return fs.root.mount === mount && fs.root.dentry === dentry
}

/** runc makes the mounts before it changes its root: one on "/" is the root from there on, and has the later ones in it. */
function enter(task: Task, mount: Mount): void {
  task.fs.root = { mount, dentry: mount.root }
  task.fs.cwd = { mount, dentry: mount.root }
}

/** The tmpfs that holds the hierarchies of version 1 is none of them. */
function sourceOf({ type, source }: MountConfig, sb: SuperBlock): string {
  return type === 'cgroup' ? sb.type : source || type
}

/** As runc has it: each hierarchy of version 1 in a directory of its own. */
function mountHierarchies(task: Task, config: MountConfig): void {
  for (const [name, sb] of cgroupMounts(task)) {
    const at = makePlace(task, `${config.destination}/${name}`, 'directory')
    const mount = typeof at === 'number' ? at : mountOn(at, sb, mountFlags(config.flags), 'cgroup')
    if (typeof mount === 'number') throw failure(config, `mount ${name}`, mount)
  }
}

/** A tmpfs over an existing directory takes over its mode, unless it is given another. */
function withModeOf(at: Path & { fresh: boolean }, config: MountConfig): MountConfig {
  if (config.fresh || at.fresh || /(^|,)mode=/.test(config.data)) return config
  const option = `mode=${(at.dentry.inode!.mode & 0o7777).toString(8)}`
  return { ...config, data: config.data === '' ? option : `${config.data},${option}` }
}

function makeFileSystem(task: Task, config: MountConfig, bind: BindSource): SuperBlock {
  const { type } = config
  const factory = fileSystemType(type)
  if (factory === undefined && type !== 'bind')
    throw new Error(
      `mount on ${config.destination}: unknown file system type "${type}" (no such device)`,
    )
  const sb =
    type === 'bind'
      ? bind(config)
      : type === 'cgroup'
        ? containerCgroups(task)
        : factory!(task.kernel, task, config.source, config.data)
  if (typeof sb === 'number') throw failure(config, `mount with options "${config.data}"`, sb)
  return sb
}

function failure(config: MountConfig, step: string, error: number): Error {
  const { type, source, destination } = config
  const what = type === 'bind' ? source : type
  return new Error(`mounts: ${what} on ${destination}: ${step}: ${errnoMessage(-error)}`)
}
