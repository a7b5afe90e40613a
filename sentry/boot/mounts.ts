// The sandbox's first mount tree: the root, and the mounts of the configuration in their order.

import { ENOENT, errnoMessage } from '../../syscall-table/errno.ts'
import {
  AT_FDCWD,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_RDONLY,
  MS_RELATIME,
  MS_STRICTATIME,
  S_IFREG,
} from '../../syscall-table/flags.ts'
import type { MountConfig, SandboxConfig } from '../config.ts'
import { populateDev } from '../fs/dev/devtmpfs.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import { instantiate } from '../vfs/dcache.ts'
import type { Dentry } from '../vfs/dentry.ts'
import type { SuperBlock } from '../vfs/inode.ts'
import type { Path } from '../vfs/mount.ts'
import { mountFlags, mountOn } from '../vfs/mounting.ts'
import { WALK_CREATE, WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'
import { fileSystemType } from '../vfs/super.ts'

/** A mount option's effect on MS_* flags: set these, clear those. */
const OPTIONS: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  ro: [MS_RDONLY, 0],
  rw: [0, MS_RDONLY],
  nosuid: [MS_NOSUID, 0],
  suid: [0, MS_NOSUID],
  nodev: [MS_NODEV, 0],
  dev: [0, MS_NODEV],
  noexec: [MS_NOEXEC, 0],
  exec: [0, MS_NOEXEC],
  noatime: [MS_NOATIME, 0],
  atime: [0, MS_NOATIME],
  nodiratime: [MS_NODIRATIME, 0],
  diratime: [0, MS_NODIRATIME],
  relatime: [MS_RELATIME, 0],
  norelatime: [0, MS_RELATIME],
  strictatime: [MS_STRICTATIME, 0],
  nostrictatime: [0, MS_STRICTATIME],
  defaults: [0, 0],
}

/** Options about how the host's mounts propagate, which have no meaning here: every mount is private. */
const PROPAGATION = /^r?(private|shared|slave|unbindable)$/
const BIND = /^r?bind$/

/** Makes the file system of a bind mount from its attach point. */
export type BindSource = (mount: MountConfig) => SuperBlock | number

/** Make the configured mounts as `task`. Throws with one line for people. */
export function mountConfigured(task: Task, config: SandboxConfig, bind: BindSource): void {
  for (const mount of config.mounts) {
    const n = mountOne(task, mount, bind)
    if (n < 0) {
      throw new Error(`mount ${mount.type} on ${mount.destination}: ${errnoMessage(-n)}`)
    }
  }
}

function mountOne(task: Task, config: MountConfig, bind: BindSource): number {
  const { flags, data } = parseOptions(config.options)
  const sb = makeFileSystem(task.kernel, task, config, data, bind)
  if (typeof sb === 'number') return sb
  const at = mountpoint(task, config.destination, sb.root.isDir)
  if (typeof at === 'number') return at
  const mount = mountOn(at, sb, mountFlags(flags), config.source || config.type)
  if (typeof mount === 'number') return mount
  // An empty /dev gets the devices that the OCI specification promises.
  if (config.destination === '/dev' && config.type !== 'bind') populateDev(sb.root)
  return 0
}

function makeFileSystem(
  kernel: Kernel,
  task: Task,
  config: MountConfig,
  data: string,
  bind: BindSource,
): SuperBlock | number {
  if (config.type === 'bind') return bind(config)
  // POSIX message queues and cgroups have directories, although nothing is in them.
  const type =
    config.type === 'mqueue' || config.type === 'cgroup' || config.type === 'cgroup2'
      ? 'tmpfs'
      : config.type
  const factory = fileSystemType(type)
  if (factory === undefined)
    throw new Error(`mount on ${config.destination}: unknown file system type "${config.type}"`)
  return factory(kernel, task, config.source, type === config.type ? data : 'mode=755')
}

/** Split mount options into MS_* flags and the file system's own. */
function parseOptions(options: readonly string[]): { flags: number; data: string } {
  let flags = 0
  const data: string[] = []
  for (const option of options) {
    const effect = Object.hasOwn(OPTIONS, option) ? OPTIONS[option] : undefined
    if (effect !== undefined) flags = (flags & ~effect[1]) | effect[0]
    else if (!PROPAGATION.test(option) && !BIND.test(option)) data.push(option)
  }
  return { flags, data: data.join(',') }
}

/** The place to mount on, made when it is missing, as container runtimes do. */
function mountpoint(task: Task, path: string, directory: boolean): Path | number {
  const parts = path.split('/').filter(part => part !== '')
  let prefix = ''
  for (let i = 0; i < parts.length; i++) {
    prefix += `/${parts[i]!}`
    const last = i === parts.length - 1
    const n = walkPath(task, AT_FDCWD, prefix, WALK_FOLLOW | WALK_CREATE)
    if (n < 0) return n
    if (walk.dentry.inode !== null) continue
    const made = makeMissing(task, walk.dentry, last && !directory)
    if (made < 0) return made
  }
  const n = walkPath(task, AT_FDCWD, path, WALK_FOLLOW)
  return n < 0 ? n : { mount: walk.mount, dentry: walk.dentry }
}

function makeMissing(task: Task, dentry: Dentry, file: boolean): number {
  const parent = dentry.parent?.inode
  if (!parent) return -ENOENT
  const inode = file
    ? parent.mknod(dentry.name, S_IFREG | 0o644, 0, task.creds)
    : parent.mkdir(dentry.name, 0o755, task.creds)
  if (typeof inode === 'number') return inode
  instantiate(dentry, inode)
  return 0
}
