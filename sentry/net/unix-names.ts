// AF_UNIX addresses: unix(7). A name is kept as the bytes of sun_path in latin1: a path without its NUL, or an
// abstract name with the NUL it starts with. The empty string is no name.

import { EACCES, EADDRINUSE, ECONNREFUSED, EEXIST, EINVAL } from '../../syscall-table/errno.ts'
import { AF_UNIX, AT_FDCWD, S_IFMT, S_IFSOCK } from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { NetNamespace } from '../kernel/nsproxy.ts'
import type { Task } from '../kernel/task.ts'
import { makeSocketNode } from '../vfs/names.ts'
import { WALK_FOLLOW, walk, walkPath } from '../vfs/path-walk.ts'
import { MAY_WRITE, permission } from '../vfs/permission.ts'
import { UnixSocket } from './unix.ts'

const FAMILY_SIZE = 2
const MAX_LENGTH = 110
/** Abstract names that autobind gives: five hexadecimal digits. */
const AUTOBIND_NAMES = 1 << 20

/** The abstract names of a network namespace. */
interface AbstractNames {
  /** By type and name. */
  readonly sockets: Map<string, UnixSocket>
  nextAutobind: number
}

const names = new WeakMap<NetNamespace, AbstractNames>()
const sockets = new WeakMap<Kernel, Set<UnixSocket>>()

function abstractNames(net: NetNamespace): AbstractNames {
  let space = names.get(net)
  if (space === undefined) {
    space = { sockets: new Map(), nextAutobind: 1 }
    names.set(net, space)
  }
  return space
}

/** The AF_UNIX sockets of a network namespace. */
export function socketsIn(net: NetNamespace): UnixSocket[] {
  return [...unixSockets(net.kernel)].filter(socket => socket.net === net)
}

/** All AF_UNIX sockets. */
export function unixSockets(kernel: Kernel): Set<UnixSocket> {
  let all = sockets.get(kernel)
  if (all === undefined) {
    all = new Set()
    sockets.set(kernel, all)
  }
  return all
}

/** The name in a sockaddr_un: empty when there is only a family; -EINVAL for a bad address. */
export function parseName(address: Uint8Array, length: number): string | number {
  if (length < FAMILY_SIZE || length > MAX_LENGTH) return -EINVAL
  if ((address[0]! | (address[1]! << 8)) !== AF_UNIX) return -EINVAL
  if (length === FAMILY_SIZE) return ''
  let end = length
  if (address[FAMILY_SIZE] !== 0) {
    const nul = address.indexOf(0, FAMILY_SIZE)
    if (nul >= 0 && nul < length) end = nul
  }
  return Buffer.from(address.buffer, address.byteOffset + FAMILY_SIZE, end - FAMILY_SIZE).toString(
    'latin1',
  )
}

/** Write the sockaddr_un of a name. Paths are followed by a NUL. Returns the length. */
export function writeName(name: string, into: Uint8Array): number {
  into[0] = AF_UNIX
  into[1] = 0
  for (let i = 0; i < name.length; i++) into[FAMILY_SIZE + i] = name.charCodeAt(i)
  const end = FAMILY_SIZE + name.length
  if (name === '' || name.charCodeAt(0) === 0) return end
  into[end] = 0
  return end + 1
}

/** Give the socket a name that is not empty. */
export function bindName(task: Task, socket: UnixSocket, name: string): number {
  if (name.charCodeAt(0) === 0) return bindAbstract(socket, name)
  const inode = makeSocketNode(task, name, socket.type)
  if (typeof inode === 'number') return inode === -EEXIST ? -EADDRINUSE : inode
  inode.endpoint = socket
  socket.inode = inode
  socket.name = name
  const outside = inode.takeBound()
  if (outside !== null) socket.openOutside(outside)
  return 0
}

/** The error for a second bind: Linux makes the file of a path first, and complains of that. */
export function rebindError(task: Task, name: string): number {
  const exists = name.charCodeAt(0) !== 0 && walkPath(task, AT_FDCWD, name, 0) === 0
  return exists ? -EADDRINUSE : -EINVAL
}

function bindAbstract(socket: UnixSocket, name: string): number {
  const abstract = abstractNames(socket.net).sockets
  const key = socket.type + name
  if (abstract.has(key)) return -EADDRINUSE
  abstract.set(key, socket)
  socket.name = name
  return 0
}

/** Give the socket a free abstract name of the kernel's choice. */
export function autobind(socket: UnixSocket): number {
  const space = abstractNames(socket.net)
  for (let i = 0; i < AUTOBIND_NAMES; i++) {
    const number = space.nextAutobind++ % AUTOBIND_NAMES
    if (bindAbstract(socket, `\0${number.toString(16).padStart(5, '0')}`) === 0) return 0
  }
  return -EADDRINUSE
}

/** The socket's name is free again, though a path stays in its directory. */
export function unbindName(socket: UnixSocket): void {
  if (socket.inode !== null) {
    if (socket.inode.endpoint === socket) socket.inode.endpoint = null
    socket.inode = null
  }
  const abstract = abstractNames(socket.net).sockets
  const key = socket.type + socket.name
  if (abstract.get(key) === socket) abstract.delete(key)
}

/** The socket bound to `name`, or -errno. */
export function findByName(task: Task, type: number, name: string): UnixSocket | number {
  if (name === '') return -ECONNREFUSED
  if (name.charCodeAt(0) === 0)
    return abstractNames(task.nsproxy.net).sockets.get(type + name) ?? -ECONNREFUSED
  const n = walkPath(task, AT_FDCWD, name, WALK_FOLLOW)
  if (n < 0) return n
  const inode = walk.dentry.inode!
  if (permission(task.creds, inode, MAY_WRITE) < 0) return -EACCES
  if ((inode.mode & S_IFMT) !== S_IFSOCK) return -ECONNREFUSED
  return inode.endpoint instanceof UnixSocket ? inode.endpoint : -ECONNREFUSED
}

/**
 * A host descriptor of a connection to the socket that the host has at the path `name`, where findByName has found none:
 * -ECONNREFUSED unless --host-uds allows it.
 */
export function connectOutside(task: Task, type: number, name: string): number {
  if (name === '' || name.charCodeAt(0) === 0) return -ECONNREFUSED
  const n = walkPath(task, AT_FDCWD, name, WALK_FOLLOW)
  if (n < 0) return n
  const inode = walk.dentry.inode!
  return (inode.mode & S_IFMT) === S_IFSOCK ? inode.connectOutside(type) : -ECONNREFUSED
}
