// Keys and keyrings: struct key, security/keys/key.c and keyring.c. A key lives as long as a keyring links it or a task has it.

import {
  EDEADLK,
  EDQUOT,
  EEXIST,
  EKEYEXPIRED,
  EKEYREVOKED,
  ELOOP,
  ENOENT,
  ENOKEY,
  ENOMEM,
  ENOTDIR,
  EPERM,
} from '../../../syscall-table/errno.ts'
import type { Kernel } from '../kernel.ts'
import { kernelMemory } from '../memory.ts'
import { randomBits } from '../random.ts'

export type KeyType = 'keyring' | 'user' | 'logon'

// Permissions, of other, group, user and possessor in one byte each: KEY_OTH_*, and so on by shifts.
export const VIEW = 0x01
export const READ = 0x02
export const WRITE = 0x04
export const SEARCH = 0x08
export const LINK = 0x10
export const SETATTR = 0x20
export const PERMISSIONS = 0x3f3f3f3f
export const POSSESSOR_ALL = 0x3f000000
export const USER_VIEW = 0x010000
export const USER_READ = 0x020000
export const USER_LINK = 0x100000
export const USER_ALL = 0x3f0000

/** KEYRING_SEARCH_MAX_DEPTH. */
export const DEPTH_MAX = 6
/** KEYQUOTA_LINK_BYTES. */
const LINK_BYTES = 4
/** What keys and links weigh in the kernel's memory: root's quota would allow more than there is. */
const KEY_WEIGHT = 8
const LINK_WEIGHT = 2

/** What a user has of the key system: struct key_user. */
export class KeyUser {
  readonly uid: number
  keys = 0
  bytes = 0
  /** Keyrings of the user, made on first use; they stay. */
  keyring: Key | null = null
  sessionKeyring: Key | null = null

  constructor(uid: number) {
    this.uid = uid
  }

  get maxKeys(): number {
    return this.uid === 0 ? 1_000_000 : 200
  }
  get maxBytes(): number {
    return this.uid === 0 ? 25_000_000 : 20_000
  }

  /** Take what a key costs: 0 or -EDQUOT. Giving back always succeeds. */
  charge(keys: number, bytes: number): number {
    const over = this.keys + keys > this.maxKeys || this.bytes + bytes > this.maxBytes
    if (over && (keys > 0 || bytes > 0)) return -EDQUOT
    this.keys += keys
    this.bytes += bytes
    return 0
  }
}

/** All keys of one container: engines give each its own, as keyrings have no namespaces. */
export class KeySystem {
  readonly kernel: Kernel
  readonly keys = new Map<number, Key>()
  readonly users = new Map<number, KeyUser>()

  constructor(kernel: Kernel) {
    this.kernel = kernel
  }

  user(uid: number): KeyUser {
    let user = this.users.get(uid)
    if (user === undefined) {
      user = new KeyUser(uid)
      this.users.set(uid, user)
    }
    return user
  }

  nowSec(): number {
    return this.kernel.clock.monotonicNs() / 1e9
  }

  /** The key of a serial number that is still there. */
  find(serial: number): Key | undefined {
    const key = this.keys.get(serial)
    return key?.invalidated ? undefined : key
  }

  /** A new key with one reference, the caller's; -EDQUOT. */
  make(
    type: KeyType,
    description: string,
    uid: number,
    gid: number,
    permissions: number,
    payload: Uint8Array,
  ): Key | number {
    const bytes = description.length + 1 + payload.length
    if (!kernelMemory.take(KEY_WEIGHT + Math.ceil(payload.length / 100))) return -ENOMEM
    const error = this.user(uid).charge(1, bytes)
    if (error < 0) return error
    let serial = 0
    do serial = randomBits(31)
    while (serial < 3 || this.keys.has(serial))
    const key = new Key(this, serial, type, description, uid, gid, permissions, payload)
    this.keys.set(serial, key)
    return key
  }
}

const systems = new WeakMap<Kernel, Map<string, KeySystem>>()

/** The keys of a container. */
export function keySystem(kernel: Kernel, container: string): KeySystem {
  let ofKernel = systems.get(kernel)
  if (ofKernel === undefined) {
    ofKernel = new Map()
    systems.set(kernel, ofKernel)
  }
  let system = ofKernel.get(container)
  if (system === undefined) {
    system = new KeySystem(kernel)
    ofKernel.set(container, system)
  }
  return system
}

export class Key {
  readonly system: KeySystem
  readonly serial: number
  readonly type: KeyType
  readonly description: string
  uid: number
  gid: number
  permissions: number
  payload: Uint8Array
  /** Of a keyring, by type and description. */
  readonly links = new Map<string, Key>()
  revoked = false
  invalidated = false
  /** When it expires, or when it was revoked. */
  expirySec = Number.POSITIVE_INFINITY
  /** KEYCTL_RESTRICT_KEYRING: nothing can be linked. */
  restricted = false
  #refs = 1
  #charged: number

  constructor(
    system: KeySystem,
    serial: number,
    type: KeyType,
    description: string,
    uid: number,
    gid: number,
    permissions: number,
    payload: Uint8Array,
  ) {
    this.system = system
    this.serial = serial
    this.type = type
    this.description = description
    this.uid = uid
    this.gid = gid
    this.permissions = permissions
    this.payload = payload
    this.#charged = description.length + 1 + payload.length
  }

  get isKeyring(): boolean {
    return this.type === 'keyring'
  }

  /** What a keyring finds it by. */
  get index(): string {
    return `${this.type}\0${this.description}`
  }

  get refs(): number {
    return this.#refs
  }

  get expired(): boolean {
    return this.system.nowSec() >= this.expirySec
  }

  /** key_validate. */
  validate(): number {
    if (this.invalidated) return -ENOKEY
    if (this.revoked) return -EKEYREVOKED
    return this.expired ? -EKEYEXPIRED : 0
  }

  ref(): this {
    this.#refs++
    return this
  }

  unref(): void {
    release([this])
  }

  /** The last reference is gone; returns what it has linked. */
  end(): Key[] {
    const links = [...this.links.values()]
    this.links.clear()
    this.system.keys.delete(this.serial)
    this.system.user(this.uid).charge(-1, -this.#charged)
    return links
  }

  /** Whether that was the last one. */
  dropRef(): boolean {
    return --this.#refs === 0
  }

  #charge(bytes: number): number {
    const error = this.system.user(this.uid).charge(0, bytes)
    if (error === 0) this.#charged += bytes
    return error
  }

  /** The key gets another owner, who pays for it: 0 or -EDQUOT. */
  chown(uid: number): number {
    const { system } = this
    const error = system.user(uid).charge(1, this.#charged)
    if (error < 0) return error
    system.user(this.uid).charge(-1, -this.#charged)
    this.uid = uid
    return 0
  }

  update(payload: Uint8Array): number {
    const error = this.#charge(payload.length - this.payload.length)
    if (error < 0) return error
    this.payload = payload
    this.expirySec = Number.POSITIVE_INFINITY
    return 0
  }

  /** Nobody can use it any more, and its contents are gone. */
  revoke(): void {
    this.revoked = true
    this.expirySec = Math.min(this.expirySec, this.system.nowSec())
    this.#charge(-this.payload.length)
    this.payload = new Uint8Array(0)
    this.clear()
  }

  /** It is as if it did not exist; whatever links it forgets it. */
  invalidate(): void {
    this.invalidated = true
    for (const key of [...this.system.keys.values()])
      if (key.links.get(this.index) === this) key.#drop(this)
  }

  clear(): void {
    this.#charge(-LINK_BYTES * this.links.size)
    const links = [...this.links.values()]
    this.links.clear()
    release(links)
  }

  #drop(key: Key): void {
    this.links.delete(key.index)
    this.#charge(-LINK_BYTES)
    key.unref()
  }

  /** Link `key`, in the place of one with the same name: key_link. */
  link(key: Key): number {
    if (!this.isKeyring) return -ENOTDIR
    if (this.restricted) return -EPERM
    if (key.isKeyring) {
      const error = key === this ? -EDEADLK : key.#reaches(this)
      if (error < 0) return error
    }
    const { index } = key
    const old = this.links.get(index)
    if (old === key) return 0
    if (old === undefined) {
      const error = kernelMemory.take(LINK_WEIGHT) ? this.#charge(LINK_BYTES) : -ENOMEM
      if (error < 0) return error
    }
    this.links.set(index, key.ref())
    old?.unref()
    return 0
  }

  /** Whether `target` is below: -EDEADLK; or what is below is too deep: -ELOOP. A level holds each keyring once. */
  #reaches(target: Key): number {
    let level = new Set<Key>([this])
    for (let depth = 0; level.size > 0; depth++) {
      if (depth > DEPTH_MAX) return -ELOOP
      const next = new Set<Key>()
      for (const keyring of level)
        for (const key of keyring.links.values()) if (key.isKeyring) next.add(key)
      if (next.has(target)) return -EDEADLK
      level = next
    }
    return 0
  }

  /** Keys are unlinked by their names: one of the same name goes, too. */
  unlink(key: Key): number {
    if (!this.isKeyring) return -ENOTDIR
    const linked = this.links.get(key.index)
    if (linked === undefined) return -ENOENT
    this.#drop(linked)
    return 0
  }

  /** KEYCTL_MOVE from here. */
  move(key: Key, to: Key, exclusive: boolean): number {
    if (this === to) return 0
    if (!this.isKeyring || !to.isKeyring) return -ENOTDIR
    if (!this.links.has(key.index)) return -ENOENT
    if (exclusive && to.links.has(key.index)) return -EEXIST
    key.ref()
    const error = to.link(key)
    if (error === 0) this.unlink(key)
    key.unref()
    return error
  }
}

/** Give up one reference to each. Keyrings may be nested deeper than the stack. */
function release(keys: Key[]): void {
  for (const key of keys) if (key.dropRef()) for (const linked of key.end()) keys.push(linked)
}
