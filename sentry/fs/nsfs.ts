// Namespaces as files: what /proc/PID/ns/* lead to; fs/nsfs.c, ioctl_ns(2). An open file or a bind mount keeps its
// namespace alive.

import { EFAULT, EINVAL, ENOTTY, EPERM, ESRCH } from '../../syscall-table/errno.ts'
import {
  NS_GET_MNTNS_ID,
  NS_GET_NSTYPE,
  NS_GET_OWNER_UID,
  NS_GET_PARENT,
  NS_GET_PID_FROM_PIDNS,
  NS_GET_PID_IN_PIDNS,
  NS_GET_TGID_FROM_PIDNS,
  NS_GET_TGID_IN_PIDNS,
  NS_GET_USERNS,
  O_CLOEXEC,
  O_RDONLY,
  RLIMIT_NOFILE,
} from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { NAMESPACE_FLAGS, type Namespace } from '../kernel/namespace.ts'
import { PidNamespace } from '../kernel/pid-namespace.ts'
import type { Task } from '../kernel/task.ts'
import { UserNamespace } from '../kernel/user-namespace.ts'
import { Dentry } from '../vfs/dentry.ts'
import { File, FileOps } from '../vfs/file.ts'
import { Mount, MountNamespace, type Path } from '../vfs/mount.ts'
import { PseudoFs, PseudoInode } from './pseudo.ts'

/** NSFS_MAGIC. */
const NSFS_MAGIC = 0x6e736673

class NamespaceInode extends PseudoInode {
  readonly namespace: Namespace
  readonly place: Path

  constructor(fs: NsFs, namespace: Namespace) {
    super(fs, 0o100444)
    this.ino = namespace.ino
    this.namespace = namespace
    const dentry = new Dentry(`${namespace.type}:[${namespace.ino}]`, null, this)
    dentry.detached = true
    this.place = { dentry, mount: fs.mount }
  }

  override open(): FileOps {
    return new NamespaceOps(this.namespace)
  }

  override pinned(): void {
    this.namespace.ref()
  }

  override evict(): void {
    this.namespace.unref()
  }

  /** Only older namespaces may hold younger ones, else two could hold each other for ever: mnt_ns_loop. */
  override bindLoops(task: Task): boolean {
    const { namespace } = this
    return namespace instanceof MountNamespace && namespace.sequence <= task.nsproxy.mnt.sequence
  }
}

/** The file system of all of them; it has a mount that no path leads to. */
class NsFs extends PseudoFs {
  readonly mount: Mount
  readonly #inodes = new WeakMap<Namespace, NamespaceInode>()

  constructor(kernel: Kernel) {
    super(kernel, 'nsfs', NSFS_MAGIC, true)
    const root = new Dentry('/', null, null)
    this.mount = new Mount(this, root, 0, 'nsfs')
  }

  inode(namespace: Namespace): NamespaceInode {
    let inode = this.#inodes.get(namespace)
    if (inode === undefined) {
      inode = new NamespaceInode(this, namespace)
      this.#inodes.set(namespace, inode)
    }
    return inode
  }
}

const instances = new WeakMap<Kernel, NsFs>()

/** The file of a namespace, to which /proc/PID/ns/* lead. */
export function namespacePlace(kernel: Kernel, namespace: Namespace): Path {
  let fs = instances.get(kernel)
  if (fs === undefined) {
    fs = new NsFs(kernel)
    instances.set(kernel, fs)
  }
  return fs.inode(namespace).place
}

/** The namespace that an open file is of, or null. */
export function namespaceOfFile(file: File): Namespace | null {
  return file.ops instanceof NamespaceOps ? file.ops.namespace : null
}

class NamespaceOps extends FileOps {
  override spliceable = false
  readonly namespace: Namespace

  constructor(namespace: Namespace) {
    super()
    this.namespace = namespace
  }

  override ioctl(_file: File, task: Task, request: number, arg: number): number {
    const { namespace } = this
    switch (request) {
      case NS_GET_NSTYPE:
        return NAMESPACE_FLAGS[namespace.type]
      case NS_GET_USERNS:
        return openOwner(task, namespace)
      case NS_GET_PARENT:
        if (namespace instanceof UserNamespace) return openOwner(task, namespace)
        return namespace instanceof PidNamespace ? openParent(task, namespace) : -EINVAL
      case NS_GET_OWNER_UID:
        return namespace instanceof UserNamespace ? copyOwnerUid(task, namespace, arg) : -EINVAL
      case NS_GET_MNTNS_ID:
        return namespace instanceof MountNamespace ? copySequence(task, namespace, arg) : -EINVAL
      case NS_GET_PID_FROM_PIDNS:
      case NS_GET_TGID_FROM_PIDNS:
      case NS_GET_PID_IN_PIDNS:
      case NS_GET_TGID_IN_PIDNS:
        return namespace instanceof PidNamespace
          ? translate(task, namespace, request, arg)
          : -EINVAL
      default:
        return -ENOTTY
    }
  }
}

function copyOwnerUid(task: Task, namespace: UserNamespace, addr: number): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, task.creds.userNs.showUid(namespace.ownerUid), true)
  return task.mm.copyResult(task, addr, scratch, 0, 4) < 0 ? -EFAULT : 0
}

function copySequence(task: Task, namespace: MountNamespace, addr: number): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, namespace.sequence, true)
  scratchView.setUint32(4, 0, true)
  return task.mm.copyResult(task, addr, scratch, 0, 8) < 0 ? -EFAULT : 0
}

/** The owner must be the caller's user namespace or one below: ns_get_owner. */
function openOwner(task: Task, { owner }: Namespace): number {
  if (owner === null || !owner.isWithin(task.creds.userNs)) return -EPERM
  return openNamespace(task, owner)
}

function openParent(task: Task, { parent }: PidNamespace): number {
  if (parent === null || !parent.isWithin(task.pidNs)) return -EPERM
  return openNamespace(task, parent)
}

/** NS_GET_PID_FROM_PIDNS and its like: ids between `ns` and the caller's. */
function translate(task: Task, ns: PidNamespace, request: number, id: number): number {
  const from = request === NS_GET_PID_FROM_PIDNS || request === NS_GET_TGID_FROM_PIDNS
  const whole = request === NS_GET_TGID_FROM_PIDNS || request === NS_GET_TGID_IN_PIDNS
  const found = (from ? ns : task.pidNs).task(id)
  if (found === undefined) return -ESRCH
  const pid = whole ? found.group.pid : found.pid
  const number = pid.numberIn(from ? task.pidNs : ns)
  return number === 0 ? -ESRCH : number
}

/** A new descriptor of a namespace. */
export function openNamespace(task: Task, namespace: Namespace): number {
  const { dentry, mount } = namespacePlace(task.kernel, namespace)
  const file = new File(
    new NamespaceOps(namespace),
    dentry.inode!,
    dentry,
    mount,
    O_RDONLY | O_CLOEXEC,
  )
  const fd = task.files.install(file, true, task.group.rlimits[RLIMIT_NOFILE]!.cur)
  if (fd < 0) file.unref()
  return fd
}
