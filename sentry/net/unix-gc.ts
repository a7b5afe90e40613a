// Files in flight: SCM_RIGHTS can put a socket's last reference into a queue that only the socket itself leads
// to. Such circles are found when sockets close, as net/unix/garbage.c does.

import type { Kernel } from '../kernel/kernel.ts'
import type { File } from '../vfs/file.ts'
import { UnixSocket } from './unix.ts'
import { unixSockets } from './unix-names.ts'

/** References to each AF_UNIX socket that are in flight. */
const flying = new Map<UnixSocket, number>()
/** Files in flight by the uid that sent them. */
const byUid = new Map<number, number>()
const uidOf = new WeakMap<File[], number>()
let collecting = false

/** Files that `uid` has in flight: bounded by RLIMIT_NOFILE. */
export function filesInFlight(uid: number): number {
  return byUid.get(uid) ?? 0
}

/** `files` have been put into a queue by `uid`. */
export function launched(files: File[], uid: number): void {
  uidOf.set(files, uid)
  byUid.set(uid, filesInFlight(uid) + files.length)
  for (const { ops } of files)
    if (ops instanceof UnixSocket) flying.set(ops, (flying.get(ops) ?? 0) + 1)
}

/** `files` have been taken out of a queue. */
export function landed(files: File[]): void {
  const uid = uidOf.get(files)
  if (uid !== undefined) {
    const left = filesInFlight(uid) - files.length
    if (left > 0) byUid.set(uid, left)
    else byUid.delete(uid)
  }
  for (const { ops } of files) {
    if (!(ops instanceof UnixSocket)) continue
    const left = (flying.get(ops) ?? 0) - 1
    if (left > 0) flying.set(ops, left)
    else flying.delete(ops)
  }
}

/** Close the sockets that can be reached only from each other's queues. */
export function collectGarbage(kernel: Kernel): void {
  if (flying.size === 0 || collecting) return
  const suspects = new Set<UnixSocket>()
  for (const [socket, references] of flying) {
    if (socket.kernel === kernel && socket.file !== null && socket.file.refs === references)
      suspects.add(socket)
  }
  if (suspects.size === 0) return
  for (const socket of unixSockets(kernel)) {
    // Connections that wait to be accepted are reached through their listener.
    if (!suspects.has(socket) && socket.listener === null) keep(socket, suspects)
  }
  collecting = true
  for (const socket of suspects) socket.purge()
  collecting = false
}

/** What lies in the queue of a socket that is reachable is reachable, too. */
function keep(root: UnixSocket, suspects: Set<UnixSocket>): void {
  const todo = [root]
  for (let socket = todo.pop(); socket !== undefined; socket = todo.pop()) {
    todo.push(...socket.pending)
    for (let segment = socket.incoming.head; segment !== null; segment = segment.next) {
      for (const file of segment.rights ?? []) {
        if (file.ops instanceof UnixSocket && suspects.delete(file.ops)) todo.push(file.ops)
      }
    }
  }
}
