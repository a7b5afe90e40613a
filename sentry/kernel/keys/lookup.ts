// Which keys a task has, finds and may use: security/keys/process_keys.c, permission.c, and the searches of keyring.c.

import {
  EACCES,
  EAGAIN,
  EINVAL,
  EKEYEXPIRED,
  EKEYREVOKED,
  ENOKEY,
} from '../../../syscall-table/errno.ts'
import type { Task } from '../task.ts'
import {
  DEPTH_MAX,
  type Key,
  type KeySystem,
  type KeyType,
  keySystem,
  POSSESSOR_ALL,
  SEARCH,
  SETATTR,
  USER_ALL,
  USER_LINK,
  USER_READ,
  USER_VIEW,
} from './key.ts'

const SPEC_THREAD = -1
const SPEC_PROCESS = -2
const SPEC_SESSION = -3
const SPEC_USER = -4
const SPEC_USER_SESSION = -5
const SPEC_REQKEY_AUTH = -7
const SPEC_REQUESTOR = -8

/** A key and whether the task possesses it: key_ref_t. */
export interface KeyRef {
  readonly key: Key
  readonly possessed: boolean
}

/** No uid or gid: the group of a user's keyrings. */
const NO_GROUP = 0xffffffff
const OVERFLOW_GID = 65534
const NOTHING = new Uint8Array(0)

/** from_kgid_munged: the group of a key as the reader sees it; nobody's is the overflow gid. */
export function shownGroup({ gid }: Key, { creds }: Task): number {
  return gid === NO_GROUP ? OVERFLOW_GID : creds.userNs.showGid(gid)
}

/** The keys of the task's container. */
export function keysOf({ kernel, group }: Task): KeySystem {
  return keySystem(kernel, group.container)
}

/** key_task_permission: 0 or -EACCES. */
export function permits(task: Task, { key, possessed }: KeyRef, need: number): number {
  const { creds } = task
  let bits = key.permissions & 0xff
  if (key.uid === creds.fsuid) bits = key.permissions >>> 16
  else if ((key.permissions & 0x3f00) !== 0 && key.gid !== NO_GROUP && creds.inGroup(key.gid))
    bits = key.permissions >>> 8
  if (possessed) bits |= key.permissions >>> 24
  return (bits & need) === need ? 0 : -EACCES
}

/** A keyring that belongs to the task, outside of any quota's reach but counted. */
function makeKeyring(task: Task, name: string, permissions: number): Key | number {
  const { uid, gid } = task.creds
  return keysOf(task).make('keyring', name, uid, gid, permissions, NOTHING)
}

function threadKeyring(task: Task, create: boolean): Key | number {
  if (task.threadKeyring !== null) return task.threadKeyring
  if (!create) return -ENOKEY
  const made = makeKeyring(task, '_tid', POSSESSOR_ALL | USER_VIEW)
  if (typeof made !== 'number') task.threadKeyring = made
  return made
}

function processKeyring(task: Task, create: boolean): Key | number {
  const { group } = task
  if (group.processKeyring !== null) return group.processKeyring
  if (!create) return -ENOKEY
  const made = makeKeyring(task, '_pid', POSSESSOR_ALL | USER_VIEW)
  if (typeof made !== 'number') group.processKeyring = made
  return made
}

/** look_up_user_keyrings: both of the task's real user. */
function userKeyring(task: Task, session: boolean): Key | number {
  const system = keysOf(task)
  const { uid } = task.creds
  const user = system.user(uid)
  const permissions = (POSSESSOR_ALL & ~(SETATTR << 24)) | USER_ALL
  const shown = task.creds.userNs.showUid(uid)
  if (user.keyring === null) {
    const made = system.make('keyring', `_uid.${shown}`, uid, NO_GROUP, permissions, NOTHING)
    if (typeof made === 'number') return made
    user.keyring = made
  }
  if (!session) return user.keyring
  if (user.sessionKeyring === null) {
    const made = system.make('keyring', `_uid_ses.${shown}`, uid, NO_GROUP, permissions, NOTHING)
    if (typeof made === 'number') return made
    made.link(user.keyring)
    user.sessionKeyring = made
  }
  return user.sessionKeyring
}

/** The task enters a session; the reference becomes the task's. */
export function enterSession(task: Task, keyring: Key): void {
  const old = task.sessionKeyring
  task.sessionKeyring = keyring
  old?.unref()
}

/** A session without a name. */
export function joinAnonymous(task: Task): Key | number {
  const made = makeKeyring(task, '_ses', POSSESSOR_ALL | USER_VIEW | USER_READ)
  if (typeof made !== 'number') enterSession(task, made)
  return made
}

/** The session of a name, which is made if there is none that the task may search: join_session_keyring. */
export function joinNamed(task: Task, name: string): Key | number {
  for (const key of keysOf(task).keys.values()) {
    if (!key.isKeyring || key.description !== name || key.revoked) continue
    if (permits(task, { key, possessed: false }, SEARCH) < 0) continue
    if (key !== task.sessionKeyring) enterSession(task, key.ref())
    return key
  }
  const made = makeKeyring(task, name, POSSESSOR_ALL | USER_VIEW | USER_READ | USER_LINK)
  if (typeof made !== 'number') enterSession(task, made)
  return made
}

function sessionKeyring(task: Task, create: boolean): Key | number {
  const own = task.sessionKeyring
  const ofUser = userKeyring(task, true)
  if (own !== null && !(create && own === ofUser)) return own
  if (create) return joinAnonymous(task)
  if (typeof ofUser !== 'number') enterSession(task, ofUser.ref())
  return ofUser
}

function special(task: Task, id: number, create: boolean): Key | number {
  switch (id) {
    case SPEC_THREAD:
      return threadKeyring(task, create)
    case SPEC_PROCESS:
      return processKeyring(task, create)
    case SPEC_SESSION:
      return sessionKeyring(task, create)
    case SPEC_USER:
      return userKeyring(task, false)
    case SPEC_USER_SESSION:
      return userKeyring(task, true)
    case SPEC_REQKEY_AUTH:
    case SPEC_REQUESTOR:
      // There is only one while a key is constructed by a helper.
      return -ENOKEY
    default:
      return -EINVAL
  }
}

/** lookup_user_key. Which keyrings are made when they are missing is up to `create`; `need` 0 checks nothing. */
export function lookupKey(task: Task, id: number, create: boolean, need: number): KeyRef | number {
  const ref = lookupRaw(task, id, create)
  if (typeof ref === 'number') return ref
  const error = ref.key.validate() || permits(task, ref, need)
  return error < 0 ? error : ref
}

/** The key of an id, whatever state it is in. */
export function lookupRaw(task: Task, id: number, create: boolean): KeyRef | number {
  if (id < 1) {
    const key = special(task, id, create)
    return typeof key === 'number' ? key : { key, possessed: true }
  }
  const key = keysOf(task).find(id)
  return key === undefined ? -ENOKEY : { key, possessed: possesses(task, key) }
}

/** Thread, process and session keyring, as far as there are any. */
function ownKeyrings(task: Task): Key[] {
  const session = task.sessionKeyring ?? keysOf(task).user(task.creds.uid).sessionKeyring
  const found = [task.threadKeyring, task.group.processKeyring, session]
  return found.filter(key => key !== null)
}

/** Whether one can come to the key from the task's own keyrings. */
export function possesses(task: Task, key: Key): boolean {
  return ownKeyrings(task).some(
    keyring => keyring === key || walk(task, keyring, true, found => found === key),
  )
}

/**
 * Visit what can be reached from a keyring, the nearest first, until `visit` says true. Keyrings that may not be searched, or cannot
 * be used any more, are no way to anything.
 */
function walk(task: Task, top: Key, possessed: boolean, visit: (key: Key) => boolean): boolean {
  const mayEnter = (key: Key): boolean =>
    key.isKeyring && key.validate() === 0 && permits(task, { key, possessed }, SEARCH) === 0
  if (!mayEnter(top)) return false
  let level = new Set<Key>([top])
  for (let depth = 0; depth <= DEPTH_MAX && level.size > 0; depth++) {
    const next = new Set<Key>()
    for (const keyring of level)
      for (const key of keyring.links.values()) {
        if (visit(key)) return true
        if (mayEnter(key)) next.add(key)
      }
    level = next
  }
  return false
}

/** Search one keyring and all below: the key, or why there is none; -EAGAIN for no key of that name. */
export function searchKeyring(
  task: Task,
  { key: top, possessed }: KeyRef,
  type: KeyType,
  description: string,
): KeyRef | number {
  const error = permits(task, { key: top, possessed }, SEARCH)
  if (error < 0) return error
  let why = -EAGAIN
  let found: Key | null = null
  walk(task, top, possessed, key => {
    if (key.type !== type || key.description !== description) return false
    if (key.revoked || key.invalidated) why = -EKEYREVOKED
    else if (key.expired) why = -EKEYEXPIRED
    else if (permits(task, { key, possessed }, SEARCH) < 0) why = -EACCES
    else found = key
    return found !== null
  })
  return found === null ? why : { key: found, possessed }
}

/** search_process_keyrings: request_key(2) without its helper. */
export function searchOwn(task: Task, type: KeyType, description: string): KeyRef | number {
  let why = -ENOKEY
  for (const key of ownKeyrings(task)) {
    const found = searchKeyring(task, { key, possessed: true }, type, description)
    if (typeof found !== 'number') return found
    if (found !== -EAGAIN) why = found
  }
  return why
}

/** Children live in the session of their maker; a thread shares the keyring of its process as well. */
export function inheritKeys(task: Task, child: Task): void {
  child.sessionKeyring = task.sessionKeyring?.ref() ?? null
  child.requestKeyring = task.requestKeyring
  if (child.group !== task.group || task.threadKeyring === null) return
  threadKeyring(child, true)
}

/** Exec: what was for the old program alone goes. */
export function dropProgramKeys(task: Task): void {
  task.threadKeyring?.unref()
  task.threadKeyring = null
  dropProcessKeys(task)
}

function dropProcessKeys({ group }: Task): void {
  group.processKeyring?.unref()
  group.processKeyring = null
}

/** A task ends, and with `last` its process. */
export function dropTaskKeys(task: Task, last: boolean): void {
  task.threadKeyring?.unref()
  task.sessionKeyring?.unref()
  task.threadKeyring = task.sessionKeyring = null
  if (last) dropProcessKeys(task)
}
