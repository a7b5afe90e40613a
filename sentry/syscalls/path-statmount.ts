// listmount(2) and statmount(2): what is mounted where, by numbers that are never given again. fs/namespace.c.

import { EBADF, EFAULT, EINVAL, ENOENT, EOVERFLOW, EPERM } from '../../syscall-table/errno.ts'
import { CAP_SYS_ADMIN } from '../../syscall-table/flags.ts'
import { namespaceOfFile } from '../fs/nsfs.ts'
import type { Task } from '../kernel/task.ts'
import { TASK_SIZE } from '../mm/mm.ts'
import {
  isReachable,
  type Mount,
  MountNamespace,
  type Path,
  UNIQUE_ID_OFFSET,
} from '../vfs/mount.ts'
import { fillStatmount, STATMOUNT_SIZE } from '../vfs/statmount.ts'
import { copyExtensible } from './extensible-struct.ts'

/** struct mnt_id_req: its first version, and the one that names a namespace. */
const REQUEST_SIZE_0 = 24
const REQUEST_SIZE = 32
const LISTMOUNT_REVERSE = 1
/** LSMT_ROOT: 64 ones. */
const ROOT = 2 ** 64
const LIST_MAX = 1_000_000
/** Numbers that are copied at once. */
const BATCH = 4096

const request = { id: 0, param: 0, nsId: 0, nsFd: 0 }

/** copy_mnt_id_req, into `request`. */
function readRequest(task: Task, addr: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, 4) < 0) return -EFAULT
  const size = scratchView.getUint32(0, true)
  const error = copyExtensible(task, addr, size, REQUEST_SIZE_0, REQUEST_SIZE)
  if (error < 0) return error
  const word = (at: number): number =>
    scratchView.getUint32(at + 4, true) * 2 ** 32 + scratchView.getUint32(at, true)
  request.nsFd = scratchView.getUint32(4, true)
  request.id = word(8)
  request.param = word(16)
  request.nsId = word(24)
  if (request.nsFd !== 0 && request.nsId !== 0) return -EINVAL
  return request.id <= UNIQUE_ID_OFFSET ? -EINVAL : 0
}

/** grab_requested_mnt_ns: the caller's own, or one that he has power over. */
function requestedNamespace(task: Task): MountNamespace | number {
  const own = task.nsproxy.mnt
  let found = own
  if (request.nsFd !== 0) {
    const file = task.files.get(request.nsFd | 0)
    if (file === undefined) return -EBADF
    const namespace = namespaceOfFile(file)
    if (!(namespace instanceof MountNamespace)) return -EINVAL
    found = namespace
  } else if (request.nsId !== 0) {
    const named = namespaceWithId(task, request.nsId)
    if (named === undefined) return -ENOENT
    found = named
  }
  return found === own || task.creds.capableIn(found.owner!, CAP_SYS_ADMIN) ? found : -ENOENT
}

/** LIMIT: a namespace that is kept by files or bind mounts only, without a process in it, is not found by its number. */
function namespaceWithId({ kernel }: Task, id: number): MountNamespace | undefined {
  for (const { nsproxy } of kernel.tasks) if (nsproxy.mnt.sequence === id) return nsproxy.mnt
  return undefined
}

/** What the caller takes for the root of a namespace. */
function rootOf(task: Task, ns: MountNamespace): Path {
  return ns === task.nsproxy.mnt ? task.fs.root : { mount: ns.root, dentry: ns.root.root }
}

const placeOf = (mount: Mount): Path => ({ mount, dentry: mount.root })

/** What is out of the caller's reach is told only to the privileged. */
function mayKnow(task: Task, place: Path, ns: MountNamespace): boolean {
  return isReachable(place, rootOf(task, ns)) || task.creds.capableIn(ns.owner!, CAP_SYS_ADMIN)
}

function mountWithId(ns: MountNamespace, id: number): Mount | undefined {
  for (const mount of ns.mounts) if (mount.uniqueId === id) return mount
  return undefined
}

/** listmount(2): of all that is mounted below a mount, or below the root. */
export function sys_listmount(
  task: Task,
  addr: number,
  into: number,
  count: number,
  flags: number,
): number {
  if ((flags & ~LISTMOUNT_REVERSE) !== 0) return -EINVAL
  if (count > LIST_MAX) return -EOVERFLOW
  if (into + count * 8 > TASK_SIZE) return -EFAULT
  const error = readRequest(task, addr)
  if (error < 0) return error
  const { id, param: last } = request
  if (last !== 0 && last <= UNIQUE_ID_OFFSET) return -EINVAL
  const ns = requestedNamespace(task)
  if (typeof ns === 'number') return ns
  const top = id === ROOT ? rootOf(task, ns) : mountWithId(ns, id)
  if (top === undefined) return -ENOENT
  const from = 'uniqueId' in top ? placeOf(top as Mount) : top
  if (!mayKnow(task, from, ns)) return -EPERM
  const reverse = (flags & LISTMOUNT_REVERSE) !== 0
  const isNext = (mount: Mount): boolean =>
    last === 0 || (reverse ? mount.uniqueId < last : mount.uniqueId > last)
  const found = [...ns.mounts].filter(
    mount => isNext(mount) && mount.uniqueId !== id && isReachable(placeOf(mount), from),
  )
  found.sort((a, b) => (reverse ? b.id - a.id : a.id - b.id))
  return copyIds(task, into, found.slice(0, count))
}

function copyIds(task: Task, into: number, found: readonly Mount[]): number {
  const { scratch, scratchView } = task.kernel
  for (let done = 0; done < found.length; done += BATCH) {
    const batch = found.slice(done, done + BATCH)
    batch.forEach(({ uniqueId }, i) => {
      scratchView.setUint32(i * 8, uniqueId % 2 ** 32, true)
      scratchView.setUint32(i * 8 + 4, Math.floor(uniqueId / 2 ** 32), true)
    })
    if (task.mm.copyOut(task, into + done * 8, scratch, 0, batch.length * 8) < 0) return -EFAULT
  }
  return found.length
}

/** statmount(2). */
export function sys_statmount(
  task: Task,
  addr: number,
  into: number,
  room: number,
  flags: number,
): number {
  if (flags !== 0) return -EINVAL
  const error = readRequest(task, addr)
  if (error < 0) return error
  const { id, param: mask } = request
  const ns = requestedNamespace(task)
  if (typeof ns === 'number') return ns
  const mount = mountWithId(ns, id)
  if (mount === undefined) return -ENOENT
  if (!mayKnow(task, placeOf(mount), ns)) return -EPERM
  const { scratch, scratchView } = task.kernel
  const text = fillStatmount(scratchView, mount, ns, rootOf(task, ns), mask, room)
  if (typeof text === 'number') return text
  const size = Math.min(room, STATMOUNT_SIZE)
  scratchView.setUint32(0, size + text.length, true)
  if (text.length > 0) {
    const bytes = Buffer.from(text, 'latin1')
    if (task.mm.copyOut(task, into + STATMOUNT_SIZE, bytes, 0, bytes.length) < 0) return -EFAULT
  }
  return task.mm.copyOut(task, into, scratch, 0, size) < 0 ? -EFAULT : 0
}
