// add_key(2), request_key(2), keyctl(2): security/keys/keyctl.c.
// LIMIT: nobody is called to construct a key that is missing: it is as if /sbin/request-key knew of none.

import {
  EACCES,
  EAGAIN,
  EEXIST,
  EFAULT,
  EINVAL,
  ENAMETOOLONG,
  ENODEV,
  ENOENT,
  ENOKEY,
  ENOTDIR,
  EOPNOTSUPP,
  EPERM,
} from '../../syscall-table/errno.ts'
import {
  CAP_SYS_ADMIN,
  KEYCTL_ASSUME_AUTHORITY,
  KEYCTL_CAPABILITIES,
  KEYCTL_CHOWN,
  KEYCTL_CLEAR,
  KEYCTL_DESCRIBE,
  KEYCTL_GET_KEYRING_ID,
  KEYCTL_GET_SECURITY,
  KEYCTL_INSTANTIATE,
  KEYCTL_INSTANTIATE_IOV,
  KEYCTL_INVALIDATE,
  KEYCTL_JOIN_SESSION_KEYRING,
  KEYCTL_LINK,
  KEYCTL_MOVE,
  KEYCTL_NEGATE,
  KEYCTL_READ,
  KEYCTL_REJECT,
  KEYCTL_RESTRICT_KEYRING,
  KEYCTL_REVOKE,
  KEYCTL_SEARCH,
  KEYCTL_SESSION_TO_PARENT,
  KEYCTL_SET_REQKEY_KEYRING,
  KEYCTL_SET_TIMEOUT,
  KEYCTL_SETPERM,
  KEYCTL_UNLINK,
  KEYCTL_UPDATE,
  PAGE_SIZE,
} from '../../syscall-table/flags.ts'
import {
  type Key,
  type KeyType,
  LINK,
  PERMISSIONS,
  POSSESSOR_ALL,
  READ,
  SEARCH,
  SETATTR,
  USER_VIEW,
  VIEW,
  WRITE,
} from '../kernel/keys/key.ts'
import {
  enterSession,
  joinAnonymous,
  joinNamed,
  type KeyRef,
  keysOf,
  lookupKey,
  lookupRaw,
  permits,
  searchKeyring,
  searchOwn,
  shownGroup,
} from '../kernel/keys/lookup.ts'
import type { Task } from '../kernel/task.ts'
import { NO_ID } from '../kernel/user-namespace.ts'

const TYPE_MAX = 32
const DESCRIPTION_MAX = 4096
const PAYLOAD_MAX = (1 << 20) - 1
const USER_PAYLOAD_MAX = 32767
const MOVE_EXCL = 1
const MAX_ERRNO = 4095
/** CAPABILITIES, INVALIDATE, RESTRICT_KEYRING and MOVE; then names and tags by namespace. */
const CAPABILITIES = Uint8Array.of(0xe1, 0x00)
/** KEY_REQKEY_DEFL_*: no change, GROUP, and the last. */
const REQKEY_NO_CHANGE = -1
const REQKEY_GROUP = 6
const REQKEY_LAST = 7

const TYPES: ReadonlySet<string> = new Set<KeyType>(['keyring', 'user', 'logon'])
const isType = (name: string): name is KeyType => TYPES.has(name)

/** key_get_type_from_user. */
function readType(task: Task, addr: number): string | number {
  const type = task.mm.readString(task, addr, TYPE_MAX)
  if (typeof type === 'number') return type === -ENAMETOOLONG ? -EINVAL : type
  if (type === '') return -EINVAL
  return type.startsWith('.') ? -EPERM : type
}

function readDescription(task: Task, addr: number): string | number {
  const text = task.mm.readString(task, addr, DESCRIPTION_MAX)
  return text === -ENAMETOOLONG ? -EINVAL : text
}

function readPayload(task: Task, addr: number, length: number): Uint8Array | number {
  const bytes = new Uint8Array(length)
  return length > 0 && task.mm.copyIn(task, addr, bytes, 0, length) < 0 ? -EFAULT : bytes
}

/** What a type says of a payload, and of a name. */
function vet(type: KeyType, description: string, payload: Uint8Array): number {
  const { length } = payload
  if (type === 'keyring') return length !== 0 ? -EINVAL : 0
  if (length === 0 || length > USER_PAYLOAD_MAX) return -EINVAL
  return type === 'logon' && description.indexOf(':') < 1 ? -EINVAL : 0
}

/** add_key(2): a new key, or one of this name gets another payload. */
export function sys_add_key(
  task: Task,
  typeAddr: number,
  descriptionAddr: number,
  payloadAddr: number,
  length: number,
  ringId: number,
): number {
  if (length > PAYLOAD_MAX) return -EINVAL
  const type = readType(task, typeAddr)
  if (typeof type === 'number') return type
  const description = descriptionAddr === 0 ? '' : readDescription(task, descriptionAddr)
  if (typeof description === 'number') return description
  if (type === 'keyring' && description.startsWith('.')) return -EPERM
  const payload = readPayload(task, payloadAddr, length)
  if (typeof payload === 'number') return payload
  const ring = lookupKey(task, ringId, true, WRITE)
  if (typeof ring === 'number') return ring
  if (!isType(type)) return -ENODEV
  if (!ring.key.isKeyring) return -ENOTDIR
  if (description === '') return -EINVAL
  const error = vet(type, description, payload)
  return error < 0 ? error : createOrUpdate(task, ring, type, description, payload)
}

/** key_create_or_update. */
function createOrUpdate(
  task: Task,
  { key: ring, possessed }: KeyRef,
  type: KeyType,
  description: string,
  payload: Uint8Array,
): number {
  if (ring.restricted) return -EPERM
  const known = ring.links.get(`${type}\0${description}`)
  if (known !== undefined && type !== 'keyring' && !known.revoked && !known.invalidated) {
    const error = permits(task, { key: known, possessed }, WRITE) || known.update(payload)
    return error < 0 ? error : known.serial
  }
  const { creds } = task
  // Nobody reads what is for the kernel alone.
  const possessor = type === 'logon' ? POSSESSOR_ALL & ~(READ << 24) : POSSESSOR_ALL
  const permissions = possessor | USER_VIEW
  const key = keysOf(task).make(type, description, creds.fsuid, creds.fsgid, permissions, payload)
  if (typeof key === 'number') return key
  const error = ring.link(key)
  key.unref()
  return error < 0 ? error : key.serial
}

/** request_key(2). */
export function sys_request_key(
  task: Task,
  typeAddr: number,
  descriptionAddr: number,
  calloutAddr: number,
  ringId: number,
): number {
  const type = readType(task, typeAddr)
  if (typeof type === 'number') return type
  const description = readDescription(task, descriptionAddr)
  if (typeof description === 'number') return description
  if (calloutAddr !== 0) {
    const callout = task.mm.readString(task, calloutAddr, PAGE_SIZE)
    if (typeof callout === 'number') return callout === -ENAMETOOLONG ? -EINVAL : callout
  }
  const ring = ringId === 0 ? null : lookupKey(task, ringId, true, WRITE)
  if (typeof ring === 'number') return ring
  if (!isType(type)) return -ENOKEY
  const found = searchOwn(task, type, description)
  if (typeof found === 'number') return found
  const error = ring === null ? 0 : ring.key.link(found.key)
  return error < 0 ? error : found.key.serial
}

/** A word that is a size_t. */
const sizeOf = (word: number): number => (word < 0 ? word + 2 ** 64 : word)

/** keyctl(2). */
export function sys_keyctl(
  task: Task,
  operation: number,
  a: number,
  b: number,
  c: number,
  d: number,
): number {
  switch (operation) {
    case KEYCTL_GET_KEYRING_ID:
      return serialOf(lookupKey(task, a | 0, (b | 0) !== 0, SEARCH))
    case KEYCTL_JOIN_SESSION_KEYRING:
      return joinSession(task, a)
    case KEYCTL_UPDATE:
      return update(task, a | 0, b, sizeOf(c))
    case KEYCTL_REVOKE:
      return revoke(task, a | 0)
    case KEYCTL_DESCRIBE:
      return describe(task, a | 0, b, sizeOf(c))
    case KEYCTL_CLEAR:
      return clear(task, a | 0)
    case KEYCTL_LINK:
      return link(task, a | 0, b | 0)
    case KEYCTL_UNLINK:
      return unlink(task, a | 0, b | 0)
    case KEYCTL_SEARCH:
      return search(task, a | 0, b, c, d | 0)
    case KEYCTL_READ:
      return read(task, a | 0, b, sizeOf(c))
    case KEYCTL_CHOWN:
      return chown(task, a | 0, b >>> 0, c >>> 0)
    case KEYCTL_SETPERM:
      return setPermissions(task, a | 0, b >>> 0)
    case KEYCTL_SET_TIMEOUT:
      return setTimeoutOf(task, a | 0, b >>> 0)
    case KEYCTL_INVALIDATE:
      return invalidate(task, a | 0)
    case KEYCTL_MOVE:
      return move(task, a | 0, b | 0, c | 0, d >>> 0)
    case KEYCTL_RESTRICT_KEYRING:
      return restrict(task, a | 0, b, c)
    case KEYCTL_CAPABILITIES:
      return capabilities(task, a, sizeOf(b))
    default:
      return lesser(task, operation, a, b, c)
  }
}

/** What concerns the construction of keys, of which there is none, and the session of the parent. */
function lesser(task: Task, operation: number, a: number, b: number, c: number): number {
  switch (operation) {
    case KEYCTL_INSTANTIATE:
    case KEYCTL_INSTANTIATE_IOV:
    case KEYCTL_NEGATE:
      return -EPERM
    case KEYCTL_REJECT:
      return (c | 0) <= 0 || (c | 0) >= MAX_ERRNO ? -EINVAL : -EPERM
    case KEYCTL_ASSUME_AUTHORITY:
      return (a | 0) < 0 ? -EINVAL : (a | 0) === 0 ? 0 : -ENOKEY
    case KEYCTL_SET_REQKEY_KEYRING:
      return setRequestKeyring(task, a | 0)
    case KEYCTL_GET_SECURITY:
      return security(task, a | 0, b, sizeOf(c))
    case KEYCTL_SESSION_TO_PARENT:
      return sessionToParent(task)
    default:
      return -EOPNOTSUPP
  }
}

const serialOf = (found: KeyRef | Key | number): number =>
  typeof found === 'number' ? found : 'key' in found ? found.key.serial : found.serial

function joinSession(task: Task, nameAddr: number): number {
  if (nameAddr === 0) return serialOf(joinAnonymous(task))
  const name = readDescription(task, nameAddr)
  if (typeof name === 'number') return name
  return name.startsWith('.') ? -EPERM : serialOf(joinNamed(task, name))
}

function update(task: Task, id: number, addr: number, length: number): number {
  if (length > PAGE_SIZE) return -EINVAL
  const payload = readPayload(task, addr, length)
  if (typeof payload === 'number') return payload
  const ref = lookupKey(task, id, false, WRITE)
  if (typeof ref === 'number') return ref
  const { key } = ref
  if (key.isKeyring) return -EOPNOTSUPP
  return vet(key.type, key.description, payload) || key.update(payload)
}

function revoke(task: Task, id: number): number {
  let ref = lookupKey(task, id, false, WRITE)
  if (ref === -EACCES) ref = lookupKey(task, id, false, SETATTR)
  if (typeof ref === 'number') return ref
  ref.key.revoke()
  return 0
}

function invalidate(task: Task, id: number): number {
  const ref = lookupKey(task, id, false, SEARCH)
  if (typeof ref === 'number') return ref
  const { key } = ref
  key.ref()
  key.invalidate()
  key.unref()
  return 0
}

/** Copies only what fits as a whole; the size is told anyway. */
function copyAll(task: Task, addr: number, room: number, bytes: Uint8Array): number {
  const { length } = bytes
  if (addr === 0 || length > room || length === 0) return length
  return task.mm.copyOut(task, addr, bytes, 0, length) < 0 ? -EFAULT : length
}

function describe(task: Task, id: number, addr: number, room: number): number {
  const ref = lookupKey(task, id, false, VIEW)
  if (typeof ref === 'number') return ref
  const { type, uid, permissions, description } = ref.key
  const { userNs } = task.creds
  const who = `${userNs.showUid(uid)};${shownGroup(ref.key, task)}`
  const text = `${type};${who};${permissions.toString(16).padStart(8, '0')};${description}\0`
  return copyAll(task, addr, room, Buffer.from(text, 'latin1'))
}

/** Who may not read a key may do so when he can find it. */
function read(task: Task, id: number, addr: number, room: number): number {
  const ref = lookupRaw(task, id, false)
  if (typeof ref === 'number') return ref === -ENOKEY ? -ENOKEY : ref
  const { key, possessed } = ref
  const error = key.validate()
  if (error < 0) return error
  if (permits(task, ref, READ) < 0 && !(possessed && permits(task, ref, SEARCH) === 0))
    return -EACCES
  if (key.type === 'logon') return -EOPNOTSUPP
  if (!key.isKeyring) return copyAll(task, addr, room, key.payload)
  const serials = Int32Array.from(key.links.values(), ({ serial }) => serial)
  return copyAll(task, addr, room, new Uint8Array(serials.buffer))
}

function clear(task: Task, id: number): number {
  const ref = lookupKey(task, id, true, WRITE)
  if (typeof ref === 'number') return ref
  if (!ref.key.isKeyring) return -ENOTDIR
  ref.key.clear()
  return 0
}

function link(task: Task, id: number, ringId: number): number {
  const ring = lookupKey(task, ringId, true, WRITE)
  if (typeof ring === 'number') return ring
  const ref = lookupKey(task, id, true, LINK)
  return typeof ref === 'number' ? ref : ring.key.link(ref.key)
}

function unlink(task: Task, id: number, ringId: number): number {
  const ring = lookupKey(task, ringId, false, WRITE)
  if (typeof ring === 'number') return ring
  const ref = lookupRaw(task, id, false)
  return typeof ref === 'number' ? ref : ring.key.unlink(ref.key)
}

function move(task: Task, id: number, fromId: number, toId: number, flags: number): number {
  if ((flags & ~MOVE_EXCL) !== 0) return -EINVAL
  const ref = lookupKey(task, id, true, LINK)
  if (typeof ref === 'number') return ref
  const from = lookupKey(task, fromId, false, WRITE)
  if (typeof from === 'number') return from
  const to = lookupKey(task, toId, true, WRITE)
  return typeof to === 'number' ? to : from.key.move(ref.key, to.key, flags !== 0)
}

function search(task: Task, id: number, typeAddr: number, at: number, ringId: number): number {
  const type = readType(task, typeAddr)
  if (typeof type === 'number') return type
  const description = readDescription(task, at)
  if (typeof description === 'number') return description
  const top = lookupKey(task, id, false, SEARCH)
  if (typeof top === 'number') return top
  const ring = ringId === 0 ? null : lookupKey(task, ringId, true, WRITE)
  if (typeof ring === 'number') return ring
  if (!isType(type)) return -ENOKEY
  if (!top.key.isKeyring) return -ENOTDIR
  const found = searchKeyring(task, top, type, description)
  if (typeof found === 'number') return found === -EAGAIN ? -ENOKEY : found
  const error = ring === null ? 0 : permits(task, found, LINK) || ring.key.link(found.key)
  return error < 0 ? error : found.key.serial
}

function chown(task: Task, id: number, user: number, group: number): number {
  const { creds } = task
  const uid = user === NO_ID ? NO_ID : creds.userNs.uid(user)
  const gid = group === NO_ID ? NO_ID : creds.userNs.gid(group)
  if ((user !== NO_ID && uid === NO_ID) || (group !== NO_ID && gid === NO_ID)) return -EINVAL
  if (uid === NO_ID && gid === NO_ID) return 0
  const ref = lookupKey(task, id, true, SETATTR)
  if (typeof ref === 'number') return ref
  const { key } = ref
  if (!creds.capable(CAP_SYS_ADMIN)) {
    if (uid !== NO_ID && uid !== key.uid) return -EACCES
    if (gid !== NO_ID && gid !== key.gid && !creds.inGroup(gid)) return -EACCES
  }
  const error = uid === NO_ID || uid === key.uid ? 0 : key.chown(uid)
  if (error < 0) return error
  if (gid !== NO_ID) key.gid = gid
  return 0
}

function setPermissions(task: Task, id: number, permissions: number): number {
  if ((permissions & ~PERMISSIONS) !== 0) return -EINVAL
  const ref = lookupKey(task, id, true, SETATTR)
  if (typeof ref === 'number') return ref
  if (ref.key.uid !== task.creds.fsuid && !task.creds.capable(CAP_SYS_ADMIN)) return -EACCES
  ref.key.permissions = permissions
  return 0
}

function setTimeoutOf(task: Task, id: number, seconds: number): number {
  const ref = lookupKey(task, id, true, SETATTR)
  if (typeof ref === 'number') return ref
  const { key } = ref
  key.expirySec = seconds === 0 ? Number.POSITIVE_INFINITY : key.system.nowSec() + seconds
  return 0
}

/** KEYCTL_RESTRICT_KEYRING. No type has restrictions of its own. */
function restrict(task: Task, id: number, typeAddr: number, restriction: number): number {
  const ref = lookupKey(task, id, false, SETATTR)
  if (typeof ref === 'number') return ref
  if (typeAddr === 0 && restriction !== 0) return -EINVAL
  if (typeAddr !== 0) {
    const type = readType(task, typeAddr)
    return typeof type === 'number' ? type : -ENOENT
  }
  const { key } = ref
  if (!key.isKeyring) return -ENOTDIR
  if (key.restricted) return -EEXIST
  key.restricted = true
  return 0
}

function capabilities(task: Task, addr: number, room: number): number {
  if (room > 0) {
    const bytes = new Uint8Array(Math.min(room, PAGE_SIZE))
    bytes.set(CAPABILITIES.subarray(0, room))
    if (task.mm.copyOut(task, addr, bytes, 0, bytes.length) < 0) return -EFAULT
  }
  return CAPABILITIES.length
}

/** KEYCTL_GET_SECURITY: there are no labels. */
function security(task: Task, id: number, addr: number, room: number): number {
  const ref = lookupKey(task, id, false, VIEW)
  return typeof ref === 'number' ? ref : copyAll(task, addr, room, new Uint8Array(1))
}

function setRequestKeyring(task: Task, which: number): number {
  const old = task.requestKeyring
  if (which === REQKEY_NO_CHANGE) return old
  if (which < 0 || which > REQKEY_LAST || which === REQKEY_GROUP) return -EINVAL
  task.requestKeyring = which
  return old
}

/** KEYCTL_SESSION_TO_PARENT: only to one thread of the same users. */
function sessionToParent(task: Task): number {
  const { parent } = task.group
  const session = task.sessionKeyring
  const [to] = parent?.tasks ?? []
  if (parent === null || to === undefined || parent.tasks.length !== 1) return -EPERM
  if (parent.unkillable || session === null) return -EPERM
  const { creds: own } = task
  const { creds } = to
  const same =
    creds.uid === own.euid &&
    creds.euid === own.euid &&
    creds.suid === own.euid &&
    creds.gid === own.egid &&
    creds.egid === own.egid &&
    creds.sgid === own.egid
  if (!same || session.uid !== own.euid || keysOf(to) !== keysOf(task)) return -EPERM
  if (to.sessionKeyring !== session) enterSession(to, session.ref())
  return 0
}
