// Changing the mount tree: fs/namespace.c with private propagation.

import {
  EBUSY,
  EINVAL,
  ELOOP,
  ENODEV,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  EPERM,
} from '../../syscall-table/errno.ts'
import {
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_STRICTATIME,
} from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import { forgetTree } from './dcache.ts'
import { Dentry } from './dentry.ts'
import type { SuperBlock } from './inode.ts'
import { Mount, MountNamespace, type Path } from './mount.ts'
import { notifyUnmounted } from './notify.ts'
import { walksChanged } from './path-cache.ts'
import { fileSystemType } from './super.ts'

/** Flags that belong to a mount. */
const MOUNT_FLAGS =
  MS_RDONLY |
  MS_NOSUID |
  MS_NODEV |
  MS_NOEXEC |
  MS_NOATIME |
  MS_NODIRATIME |
  MS_RELATIME |
  MS_NOSYMFOLLOW
/** Mounts of one namespace: fs.mount-max would allow 100000; each costs the kernel memory. */
const MOUNTS_MAX = 10_000

/** The flags of a mount as mount(2) was asked for them: relatime unless another policy is given. */
export function mountFlags(flags: number): number {
  let kept = flags & MOUNT_FLAGS
  if ((flags & (MS_NOATIME | MS_STRICTATIME)) === 0) kept |= MS_RELATIME
  return kept
}

/** The root dentry of a file system, one for all its mounts. */
export function rootDentry(sb: SuperBlock): Dentry {
  if (sb.rootDentry === null) {
    sb.rootDentry = new Dentry('/', null, sb.root)
    sb.rootDentry.cached = true
    sb.root.pins++
  }
  return sb.rootDentry
}

/** Make the first mount: the root of everything. */
export function mountRoot(kernel: Kernel, sb: SuperBlock, flags: number, source: string): Mount {
  kernel.mounts = new MountNamespace()
  const mount = new Mount(kernel.mounts, sb, rootDentry(sb), flags, source)
  kernel.mounts.attach(mount, null)
  return mount
}

/** Mount a file system on `at`. Returns the mount, or -errno. */
export function mountOn(at: Path, sb: SuperBlock, flags: number, source: string): Mount | number {
  const { namespace } = at.mount
  if (namespace.mounts.length >= MOUNTS_MAX) return -ENOSPC
  if (at.dentry.deleted) return -ENOENT
  const root = rootDentry(sb)
  if (root.inode!.isDir !== at.dentry.inode!.isDir) return -ENOTDIR
  const mount = new Mount(namespace, sb, root, flags, source)
  namespace.attach(mount, at)
  return mount
}

/** mount(2) of a new file system by its type's name. */
export function mountNew(
  task: Task,
  at: Path,
  type: string,
  source: string,
  data: string,
  flags: number,
): number {
  const factory = fileSystemType(type)
  if (factory === undefined) return -ENODEV
  const sb = factory(task.kernel, task, source, data)
  if (typeof sb === 'number') return sb
  const mount = mountOn(at, sb, mountFlags(flags), source)
  return typeof mount === 'number' ? mount : 0
}

/** MS_BIND: show `from` at `at` as well, with MS_REC including what is mounted below it. */
export function bindMount(from: Path, at: Path, flags: number): number {
  const { namespace } = at.mount
  if (from.mount.namespace !== namespace) return -EINVAL
  if (from.dentry.inode!.isDir !== at.dentry.inode!.isDir) return -ENOTDIR
  if (at.dentry.deleted || from.dentry.deleted) return -ENOENT
  const sources: Mount[] = [from.mount]
  if ((flags & MS_REC) !== 0) {
    for (const mount of namespace.mounts) {
      if (mount.parent === null || !sources.includes(mount.parent)) continue
      if (mount.parent !== from.mount || from.dentry.contains(mount.mountpoint!))
        sources.push(mount)
    }
  }
  if (namespace.mounts.length + sources.length > MOUNTS_MAX) return -ENOSPC
  const copies = new Map<Mount, Mount>()
  for (const source of sources) {
    const root = source === from.mount ? from.dentry : source.root
    const copy = new Mount(namespace, source.sb, root, source.flags, source.source)
    copies.set(source, copy)
    const parent = source === from.mount ? undefined : copies.get(source.parent!)
    namespace.attach(
      copy,
      parent === undefined ? at : { mount: parent, dentry: source.mountpoint! },
    )
  }
  return 0
}

/** MS_REMOUNT: change the flags of the mount whose root `at` is. */
export function remount(at: Path, flags: number): number {
  if (at.dentry !== at.mount.root) return -EINVAL
  at.mount.flags = mountFlags(flags)
  walksChanged()
  return 0
}

/** MS_MOVE. */
export function moveMount(from: Path, at: Path): number {
  const { mount } = from
  if (from.dentry !== mount.root || mount.parent === null) return -EINVAL
  if (mount.root.inode!.isDir !== at.dentry.inode!.isDir) return -ENOTDIR
  for (let m: Mount | null = at.mount; m !== null; m = m.parent) if (m === mount) return -ELOOP
  const { namespace } = mount
  namespace.detach(mount)
  namespace.attach(mount, at)
  return 0
}

/** umount2(2) of the mount whose root `at` is; `lazy` detaches it with all below, whoever uses it. */
export function unmount(kernel: Kernel, at: Path, lazy: boolean): number {
  const { mount } = at
  if (at.dentry !== mount.root) return -EINVAL
  if (mount.parent === null) return lazy ? -EPERM : -EBUSY
  const { namespace } = mount
  const below = namespace.mounts.filter(m => isBelow(m, mount))
  if (!lazy && (below.length > 1 || inUse(kernel, mount))) return -EBUSY
  for (let i = below.length - 1; i >= 0; i--) {
    const gone = below[i]!
    namespace.detach(gone)
    // LIMIT: what a lazily detached file system holds is freed with the sandbox only.
    if (!inUse(kernel, gone)) forgetUnmounted(namespace, gone.sb)
  }
  return 0
}

function isBelow(mount: Mount, top: Mount): boolean {
  for (let m: Mount | null = mount; m !== null; m = m.parent) if (m === top) return true
  return false
}

/** A working directory, a root or an open file is on the mount. */
function inUse(kernel: Kernel, mount: Mount): boolean {
  for (const task of kernel.tasks.values()) {
    if (task.fs.cwd.mount === mount || task.fs.root.mount === mount) return true
    for (const fd of task.files.fds()) if (task.files.get(fd)!.mount === mount) return true
  }
  return false
}

/** The last mount of a file system is gone: drop what the cache knows of it, and let it free its memory. */
function forgetUnmounted(namespace: MountNamespace, sb: SuperBlock): void {
  if (sb.rootDentry === null || namespace.mounts.some(m => m.sb === sb)) return
  for (const child of [...sb.rootDentry.children.values()]) forgetTree(child)
  notifyUnmounted(sb)
  sb.unmounted()
}
