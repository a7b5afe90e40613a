// Inodes behind the gofer: attributes, extended attributes, symlinks, and the handle by which the gofer
// knows the file.

import {
  FileAttr,
  PATH_MAX,
  SET_ATIME,
  SET_GID,
  SET_MODE,
  SET_MTIME,
  SET_SIZE,
  SET_UID,
  WALK_MAX,
} from '../../../gofer/protocol.ts'
import { attributesSize, type HostFd, latin1 } from '../../../native/index.ts'
import { EIO, ELOOP, ENODATA, ENOENT, EOPNOTSUPP, ESTALE } from '../../../syscall-table/errno.ts'
import { XATTR_LIST_MAX, XATTR_SIZE_MAX } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { INITIAL_USER_NAMESPACE } from '../../kernel/user-namespace.ts'
import { ACL_ACCESS, ACL_DEFAULT, type Acl, formatAcl, parseAcl, withMode } from '../../vfs/acl.ts'
import type { FileOps } from '../../vfs/file.ts'
import { type BoundOutside, Inode, type SetAttr } from '../../vfs/inode.ts'
import { currentMoment } from '../../vfs/moment.ts'
import { touchChanged } from '../../vfs/super.ts'
import { openSpecial } from '../special.ts'
import { closeFd } from './connection.ts'
import type { GoferDir } from './directory.ts'
import { AttrChange, type Guard } from './results.ts'
import type { GoferSuperBlock } from './super.ts'

// What a walk is to bring along.
export const BRING_NOTHING = 0
export const BRING_FD = 1
export const BRING_PAGE = 2

/** See `nearestHandle`. */
export const wayDown: string[] = []

const fresh = new FileAttr()
const change = new AttrChange()
const now = { sec: 0, nsec: 0 }
/** The only extended attributes that the gofer deals with. */
const SERVED_XATTRS = /^(user|security)\./
const UNKNOWN = 0
const NONE = 1
/** It may have some, whatever its directory knows. */
const ASK = 2
/** A host's clock for file times is this coarse, and some. */
const CLOCK_TICK_NS = 20e6
/** Room for a list of names or a value. */
const xattrBuffer = new Uint8Array(Math.max(XATTR_SIZE_MAX, XATTR_LIST_MAX))

/** Sockets of the host whose names have just been made. */
export const bound = new WeakMap<Inode, BoundOutside>()

export class GoferInode extends Inode {
  declare readonly sb: GoferSuperBlock
  /** The gofer's number for this file, 0 when it has none at the moment. */
  handle = 0
  /** Where this file can be found again: null for the root and for files that have lost their name. */
  dir: GoferDir | null = null
  name = ''
  key: number | string = 0
  /** A symlink's target, when it came with the attributes. */
  target = ''
  /** When the attributes were told; counts where others may change them. */
  validAt = 0
  /** What is known of its extended attributes: UNKNOWN, NONE, or ASK. */
  #xattrs = UNKNOWN
  /** NONE holds as long as this is the time of the last change, where others may make some. */
  #bareSec = 0
  /** The access lists have been asked for; where others may change them, they hold for this time of the last change. */
  #aclsAsked = false
  #aclSec = -1
  #aclNsec = 0
  #bareNsec = 0

  /** Take over attributes as the host tells them. */
  update(attr: FileAttr): void {
    this.validAt = currentMoment()
    this.mode = attr.mode
    this.nlink = attr.nlink
    this.uid = attr.uid
    this.gid = attr.gid
    this.size = attr.size
    this.blksize = attr.blksize
    this.blocks = attr.blocks
    this.atimeSec = attr.atimeSec
    this.atimeNsec = attr.atimeNsec
    this.mtimeSec = attr.mtimeSec
    this.mtimeNsec = attr.mtimeNsec
    this.ctimeSec = attr.ctimeSec
    this.ctimeNsec = attr.ctimeNsec
    this.btimeSec = attr.btimeSec
    this.btimeNsec = attr.btimeNsec
    this.target = attr.target
  }

  /** A lookup has come to this inode; `handle` is a new handle of it, or 0. */
  found(handle: number, dir: GoferDir | null, name: string): void {
    if (dir !== null) {
      this.dir = dir
      this.name = name
    }
    if (handle === 0) return
    if (this.handle !== 0) {
      this.sb.connection.client.close(handle)
      return
    }
    this.handle = handle
    this.sb.connection.addHandle(this)
  }

  /** The handle of this directory or of one above it, from which `wayDown` then leads to this one; or -errno. */
  nearestHandle(): number {
    wayDown.length = 0
    let at: GoferInode = this
    let length = 0
    while (at.handle === 0) {
      length += at.name.length + 1
      if (at.dir === null || length >= PATH_MAX || wayDown.length === WALK_MAX) {
        wayDown.length = 0
        return this.needHandle()
      }
      wayDown.unshift(at.name)
      at = at.dir
    }
    return at.handle
  }

  /** The handle, asked for when there is none. Returns it, or -errno. */
  needHandle(): number {
    return this.handle !== 0 ? this.handle : this.walkHere(BRING_NOTHING)
  }

  /**
   * Ask for the handle, by a walk from the nearest ancestor that has one. `bring` says what is to come with it: BRING_FD
   * into `connection.walkResult`, BRING_PAGE into `connection.pages`. Returns the handle, or -errno.
   */
  walkHere(bring: number): number {
    const missing: GoferInode[] = []
    let at: GoferInode = this
    while (at.handle === 0) {
      // Nothing is found in a directory that was removed.
      if (at.dir === null) return at.isDir && at.nlink === 0 ? -ENOENT : -ESTALE
      missing.push(at)
      at = at.dir
    }
    while (missing.length > 0) {
      const part = missing.splice(-WALK_MAX).reverse()
      const target = part[part.length - 1]!
      const names = part.map(inode => inode.name)
      const n = target.#walkFrom(at.handle, names, missing.length === 0 ? bring : BRING_NOTHING)
      if (n < 0) return n
      at = target
    }
    return this.handle
  }

  #walkFrom(ancestor: number, names: string[], bring: number): number {
    const { connection } = this.sb
    const result = connection.walkResult
    let n = this.#request(ancestor, names, bring)
    if (n >= 0 && connection.makeRoom(result.stop)) {
      result.fd = closeFd(result.fd)
      // Making room may have taken the ancestor's handle.
      return this.walkHere(bring)
    }
    if (n < 0) return n
    if (n < names.length) n = result.stop || -ENOENT
    else if (result.handles[n - 1] === 0) n = -EIO
    if (n < 0) {
      result.fd = closeFd(result.fd)
      return n
    }
    this.handle = result.handles[n - 1]!
    connection.addHandle(this)
    return this.handle
  }

  #request(ancestor: number, names: string[], bring: number): number {
    const { client, walkResult, pages } = this.sb.connection
    if (bring === BRING_PAGE) return client.walkList(ancestor, names, walkResult, pages)
    if (bring === BRING_FD) return client.walkOpen(ancestor, names, 0, names.length, walkResult)
    return client.walk(ancestor, names, 0, names.length, walkResult)
  }

  /** What `name`, in the directory that `handle` stands for, must still be; null when that cannot be said. */
  guard(handle: number, name: string): Guard | null {
    const { devMajor, devMinor } = this.sb
    // A key that is no number is of a file on another device.
    if (handle === 0 || typeof this.key !== 'number') return null
    const { ino, mode, uid, gid } = this
    return { handle, name, ino, devMajor, devMinor, mode, uid, gid }
  }

  /** Without its name it could not be found any more, and somebody will want it. */
  needsHandleToStay(): boolean {
    return (this.pins > 1 || this.nlink > 1) && this.handle === 0
  }

  /** The name is about to go: what the open files of it need must not be found by name any more. */
  aboutToLoseName(): number {
    if (this.needsHandleToStay()) {
      const handle = this.needHandle()
      if (handle < 0) return handle
    }
    if (this.handle !== 0) this.sb.connection.forgetHandle(this)
    return 0
  }

  /** The name is gone. Without another one, the host may give the number to a new file. */
  lostName(directory: boolean): void {
    this.nlink = directory ? 0 : Math.max(0, this.nlink - 1)
    touchChanged(this.sb.kernel, this)
    this.dir = null
    if (this.nlink === 0) this.sb.forget(this)
  }

  /** A name is gone, and not the one by which the file can be found again. */
  lostOtherName(): void {
    this.nlink = Math.max(0, this.nlink - 1)
    touchChanged(this.sb.kernel, this)
    if (this.nlink === 0) this.sb.forget(this)
  }

  /** Removed, and without a handle there is no way to ask about it. */
  #isGone(): boolean {
    return this.nlink === 0 && this.dir === null && this.handle === 0
  }

  /** The attributes are as the host would tell them now. */
  isFresh(): boolean {
    return this.sb.cacheable || this.validAt === currentMoment()
  }

  override confirm(): boolean {
    return this.isDir || this.isFresh()
  }

  /** As `refresh`, unless that takes a message. */
  refreshIfCheap(): void {}

  override refresh(): number {
    if (this.isFresh() || this.#isGone()) return 0
    const handle = this.needHandle()
    if (handle < 0) return handle
    const n = this.sb.connection.client.getattr(handle, fresh)
    if (n === 0) this.update(fresh)
    return n
  }

  override readlink(_task: Task | null): string | number {
    if (!this.isSymlink) return super.readlink(_task)
    if (this.target !== '') return this.target
    const handle = this.needHandle()
    if (handle < 0) return handle
    const target = this.sb.connection.client.readlink(handle)
    if (typeof target === 'string') this.target = target
    return target
  }

  override open(task: Task, flags: number): FileOps | number {
    return this.isSymlink ? -ELOOP : openSpecial(this, task, flags)
  }

  override setattr(attr: SetAttr): number {
    const handle = this.needHandle()
    if (handle < 0) return handle
    change.mask = 0
    this.#setNumber(SET_MODE, attr.mode, 'mode')
    this.#setNumber(SET_UID, attr.uid, 'uid')
    this.#setNumber(SET_GID, attr.gid, 'gid')
    this.#setNumber(SET_SIZE, attr.size, 'size')
    if (attr.atimeSec !== undefined) {
      change.mask |= SET_ATIME
      change.atimeSec = attr.atimeSec
      change.atimeNsec = attr.atimeNsec ?? 0
    }
    if (attr.mtimeSec !== undefined) {
      change.mask |= SET_MTIME
      change.mtimeSec = attr.mtimeSec
      change.mtimeNsec = attr.mtimeNsec ?? 0
    }
    if (change.mask === 0) return 0
    const { client } = this.sb.connection
    const n = client.setattr(handle, change, fresh)
    // After an error some of the changes may have been made.
    if (n === 0 || client.getattr(handle, fresh) === 0) this.update(fresh)
    if (n === 0 && attr.mode !== undefined && this.acl !== null)
      this.acl = withMode(this.acl, attr.mode)
    return n
  }

  #setNumber(bit: number, value: number | undefined, field: 'mode' | 'uid' | 'gid' | 'size'): void {
    if (value === undefined) return
    change.mask |= bit
    change[field] = value
  }

  override takeBound(): BoundOutside | null {
    const socket = bound.get(this) ?? null
    bound.delete(this)
    return socket
  }

  /** --host-uds: the gofer says whether it may be. */
  override connectOutside(type: number): number {
    const handle = this.needHandle()
    return handle < 0 ? handle : this.sb.connection.client.connect(handle, type)
  }

  override getxattr(name: string): Uint8Array | number {
    if (!SERVED_XATTRS.test(name)) return name.startsWith('trusted.') ? -ENODATA : -EOPNOTSUPP
    if (this.#knownWithout()) return -ENODATA
    const handle = this.needHandle()
    if (handle < 0) return handle
    const n = this.sb.connection.client.getxattr(handle, name, xattrBuffer)
    return n < 0 ? n : xattrBuffer.slice(0, n)
  }

  /** Most files have no extended attributes; asked once, that is known for as long as it is certain. */
  #knownWithout(): boolean {
    if (this.#isBare()) return true
    if (!this.sb.cacheable || this.#xattrs === ASK) return false
    this.listxattr()
    return this.#xattrs === NONE
  }

  /** A host descriptor by which the file is open here, or -1. */
  openFd(): HostFd {
    return -1
  }

  #isBare(): boolean {
    if (this.#xattrs !== NONE || !this.sb.cacheable) {
      const fd = this.openFd()
      if (fd >= 0) {
        // This takes no message, and is true whoever else may set attributes.
        if (attributesSize(fd) !== 0) return false
        this.#xattrs = this.sb.cacheable ? NONE : UNKNOWN
        return true
      }
    }
    if (this.#xattrs === UNKNOWN && this.sb.cacheable && this.dir?.withoutXattrs(this.name, this))
      this.#xattrs = NONE
    if (this.#xattrs !== NONE || this.sb.cacheable) return this.#xattrs === NONE
    // Where others may set attributes, that shows in the time of the last change.
    if (this.refresh() < 0) return false
    return this.ctimeSec === this.#bareSec && this.ctimeNsec === this.#bareNsec
  }

  /** Two changes within one tick of the host's clock have the same time: one of them might be to come. */
  #ctimeIsPast(): boolean {
    this.sb.kernel.clock.realtime(now)
    const age = (now.sec - this.ctimeSec) * 1e9 + now.nsec - this.ctimeNsec
    return age >= CLOCK_TICK_NS && this.isFresh()
  }

  /** There were none, at a time when the inode's own attributes were known to be true. */
  #foundNone(): void {
    if (!this.sb.cacheable) {
      if (!this.#ctimeIsPast()) return
      this.#bareSec = this.ctimeSec
      this.#bareNsec = this.ctimeNsec
    }
    this.#xattrs = NONE
  }

  override get takesAcl(): boolean {
    return !this.isSymlink
  }

  override get remoteAcls(): boolean {
    return !this.#aclsKnown()
  }

  #aclsKnown(): boolean {
    if (this.isSymlink) return true
    if (this.sb.cacheable) return this.#aclsAsked
    // Where others may change them, that shows in the time of the last change.
    return this.ctimeSec === this.#aclSec && this.ctimeNsec === this.#aclNsec && this.isFresh()
  }

  override refreshAcls(): number {
    if (!this.sb.cacheable) this.refresh()
    if (this.#aclsKnown()) return 0
    const names = this.listxattr()
    if (typeof names === 'number') return names === -EOPNOTSUPP ? 0 : names
    const acl = names.includes(ACL_ACCESS) ? this.#fetchAcl(ACL_ACCESS) : null
    const defaultAcl = names.includes(ACL_DEFAULT) ? this.#fetchAcl(ACL_DEFAULT) : null
    if (typeof acl === 'number') return acl
    if (typeof defaultAcl === 'number') return defaultAcl
    this.acl = acl
    this.defaultAcl = defaultAcl
    this.#rememberAcls()
    return 0
  }

  #rememberAcls(): void {
    this.#aclsAsked = true
    if (this.#ctimeIsPast()) {
      this.#aclSec = this.ctimeSec
      this.#aclNsec = this.ctimeNsec
    }
  }

  #fetchAcl(name: string): Acl | null | number {
    const handle = this.needHandle()
    if (handle < 0) return handle
    const n = this.sb.connection.client.getxattr(handle, name, xattrBuffer)
    if (n < 0) return n === -ENODATA ? null : n
    return parseAcl(xattrBuffer.subarray(0, n), INITIAL_USER_NAMESPACE)
  }

  override setAcl(isDefault: boolean, acl: Acl | null, mode: number): number {
    const handle = this.needHandle()
    if (handle < 0) return handle
    const { client } = this.sb.connection
    const name = isDefault ? ACL_DEFAULT : ACL_ACCESS
    // `cp -a` takes away what most files never had. Where it takes a message to know, that may as well be the removal.
    const cheap = this.sb.cacheable || this.openFd() >= 0
    const nothing = acl === null && cheap && this.#isBare()
    if (!nothing) this.#xattrs = ASK
    let n = 0
    if (acl === null) n = nothing ? 0 : client.removexattr(handle, name)
    else n = client.setxattr(handle, name, formatAcl(acl, INITIAL_USER_NAMESPACE), 0)
    if (n < 0 && n !== -ENODATA) return n
    if (isDefault) this.defaultAcl = acl
    else this.acl = acl
    // The host has made the mode fit the list, but for what only the sentry judges.
    return isDefault ? this.#afterChange() : this.setattr({ mode })
  }

  #afterChange(): number {
    const n = this.sb.connection.client.getattr(this.handle, fresh)
    if (n === 0) this.update(fresh)
    return n
  }

  override setxattr(name: string, value: Uint8Array, flags: number): number {
    if (!name.startsWith('user.') && !name.startsWith('security.')) return -EOPNOTSUPP
    const handle = this.needHandle()
    if (handle < 0) return handle
    this.#xattrs = ASK
    return this.sb.connection.client.setxattr(handle, name, value, flags)
  }

  override removexattr(name: string): number {
    const handle = this.needHandle()
    return handle < 0 ? handle : this.sb.connection.client.removexattr(handle, name)
  }

  override listxattr(): string[] | number {
    if (this.#isBare()) return []
    const handle = this.needHandle()
    if (handle < 0) return handle
    this.refreshIfCheap()
    const n = this.sb.connection.client.listxattr(handle, xattrBuffer)
    if (n < 0) return n
    if (n === 0) this.#foundNone()
    else this.#xattrs = ASK
    return latin1(xattrBuffer, 0, n)
      .split('\0')
      .filter(name => name !== '')
  }

  override evict(): void {
    const { connection } = this.sb
    this.sb.evicted(this)
    if (this.handle === 0) return
    connection.forgetHandle(this)
    connection.client.close(this.handle)
    this.handle = 0
  }
}
