// Control messages: struct cmsghdr, scm_send and scm_recv in net/core/scm.c.

import { EBADF, EINVAL, EPERM, ESRCH, ETOOMANYREFS } from '../../syscall-table/errno.ts'
import {
  CAP_SETGID,
  CAP_SETUID,
  CAP_SYS_ADMIN,
  CAP_SYS_RESOURCE,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  RLIMIT_NOFILE,
  SCM_CREDENTIALS,
  SCM_MAX_FD,
  SCM_PIDFD,
  SCM_RIGHTS,
  SOL_SOCKET,
} from '../../syscall-table/flags.ts'
import { installPidfd } from '../kernel/pidfd.ts'
import type { Task } from '../kernel/task.ts'
import { NO_ID } from '../kernel/user-namespace.ts'
import type { File } from '../vfs/file.ts'
import type { Message } from './message.ts'
import { filesInFlight } from './unix-gc.ts'

const HEADER = 16
const UCRED_SIZE = 12
/** net.core.optmem_max. */
export const MAX_CONTROL = 131072

/** Read the control messages of sendmsg from `view[0…length]` into `message`. Returns 0 or -errno. */
export function parseControl(task: Task, message: Message, view: DataView, length: number): number {
  let at = 0
  while (at + HEADER <= length) {
    const size = view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true)
    if (size < HEADER || size > length - at) return -EINVAL
    if (view.getInt32(at + 8, true) === SOL_SOCKET) {
      const type = view.getInt32(at + 12, true)
      const data = size - HEADER
      let n = -EINVAL
      if (type === SCM_RIGHTS) n = takeFiles(task, message, view, at + HEADER, data)
      else if (type === SCM_CREDENTIALS && data === UCRED_SIZE)
        n = takeIdentity(task, message, view, at + HEADER)
      if (n < 0) return n
    }
    at += Math.ceil(size / 8) * 8
  }
  return 0
}

function takeFiles(
  task: Task,
  message: Message,
  view: DataView,
  at: number,
  length: number,
): number {
  const count = length >> 2
  const had = message.rights?.length ?? 0
  if (count + had > SCM_MAX_FD) return -EINVAL
  const limit = task.group.rlimits[RLIMIT_NOFILE]!.cur
  const privileged = task.creds.capable(CAP_SYS_RESOURCE) || task.creds.capable(CAP_SYS_ADMIN)
  if (count > 0 && !privileged && filesInFlight(task.creds.uid) > limit) return -ETOOMANYREFS
  for (let i = 0; i < count; i++) {
    const file = task.files.get(view.getInt32(at + 4 * i, true))
    if (file === undefined) return -EBADF
    if (message.rights === null) message.rights = []
    message.rights.push(file.ref())
  }
  return 0
}

/** A program may only be who it is, unless it is privileged. */
function takeIdentity(task: Task, message: Message, view: DataView, at: number): number {
  const { creds } = task
  const pid = view.getInt32(at, true)
  const { userNs } = creds
  const uid = userNs.uid(view.getUint32(at + 4, true))
  const gid = userNs.gid(view.getUint32(at + 8, true))
  if (uid === NO_ID || gid === NO_ID) return -EINVAL
  const uidOk =
    uid === creds.uid || uid === creds.euid || uid === creds.suid || creds.holds(CAP_SETUID)
  const gidOk =
    gid === creds.gid || gid === creds.egid || gid === creds.sgid || creds.holds(CAP_SETGID)
  const pidOk = pid === task.group.tgid || creds.capableIn(task.pidNs.owner!, CAP_SYS_ADMIN)
  if (!uidOk || !gidOk || !pidOk) return -EPERM
  const named = task.pidNs.pids.get(pid)
  if (named === undefined) return -ESRCH
  message.credentials = true
  message.ucred.pid = named
  message.ucred.uid = uid
  message.ucred.gid = gid
  return 0
}

/** What a socket is told of who has sent: SO_PASSCRED, SO_PASSPIDFD. */
export interface ToldOfSenders {
  readonly passCredentials: boolean
  readonly passPidfd: boolean
}

/**
 * Write the control messages of recvmsg to `view`, which has room for `room` bytes, and put received files
 * into the descriptor table. Returns the bytes written; what did not fit is dropped with MSG_CTRUNC.
 */
export function buildControl(
  task: Task,
  message: Message,
  { passCredentials, passPidfd }: ToldOfSenders,
  view: DataView,
  room: number,
): number {
  let at = 0
  if (passCredentials && message.credentials) {
    const size = HEADER + UCRED_SIZE
    if (room >= size) {
      writeHeader(view, at, size, SCM_CREDENTIALS)
      const { userNs } = task.creds
      view.setInt32(at + HEADER, message.ucred.pid?.numberIn(task.pidNs) ?? 0, true)
      view.setUint32(at + HEADER + 4, userNs.showUid(message.ucred.uid), true)
      view.setUint32(at + HEADER + 8, userNs.showGid(message.ucred.gid), true)
      view.setUint32(at + size, 0, true)
      at = Math.min(room, Math.ceil(size / 8) * 8)
    } else message.outFlags |= MSG_CTRUNC
  }
  const { rights } = message
  if (rights !== null) {
    message.rights = null
    at = installFiles(task, message, rights, view, at, room)
  }
  return passPidfd && message.credentials ? tellPidfd(task, message, view, at, room) : at
}

/** A pidfd for the sender; its place holds the error when there can be none. */
function tellPidfd(task: Task, message: Message, view: DataView, at: number, room: number): number {
  const { pid } = message.ucred
  const size = HEADER + 4
  if (room - at < size) {
    message.outFlags |= MSG_CTRUNC
    return at
  }
  if (pid === null) return at
  const { group } = pid
  view.setInt32(at + HEADER, group === null ? -ESRCH : installPidfd(task, group, 0), true)
  writeHeader(view, at, size, SCM_PIDFD)
  view.setUint32(at + size, 0, true)
  return Math.min(room, at + Math.ceil(size / 8) * 8)
}

function installFiles(
  task: Task,
  message: Message,
  files: File[],
  view: DataView,
  at: number,
  room: number,
): number {
  const fit = Math.max(0, Math.min(files.length, Math.floor((room - at - HEADER) / 4)))
  const limit = task.group.rlimits[RLIMIT_NOFILE]!.cur
  const cloexec = (message.flags & MSG_CMSG_CLOEXEC) !== 0
  let count = 0
  while (count < fit) {
    const fd = task.files.install(files[count]!, cloexec, limit)
    if (fd < 0) break
    view.setInt32(at + HEADER + 4 * count, fd, true)
    count++
  }
  for (let i = count; i < files.length; i++) files[i]!.unref()
  if (count < files.length) message.outFlags |= MSG_CTRUNC
  if (count === 0) return at
  const size = HEADER + 4 * count
  writeHeader(view, at, size, SCM_RIGHTS)
  if (count % 2 === 1) view.setUint32(at + size, 0, true)
  return Math.min(room, at + Math.ceil(size / 8) * 8)
}

function writeHeader(view: DataView, at: number, size: number, type: number): void {
  view.setUint32(at, size, true)
  view.setUint32(at + 4, 0, true)
  view.setInt32(at + 8, SOL_SOCKET, true)
  view.setInt32(at + 12, type, true)
}
