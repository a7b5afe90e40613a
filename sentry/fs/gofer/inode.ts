// Inodes behind the gofer: attributes, extended attributes, symlinks, and the handle by which the gofer
// knows the file.

import {
  FileAttr,
  SET_ATIME,
  SET_GID,
  SET_MODE,
  SET_MTIME,
  SET_SIZE,
  SET_UID,
} from '../../../gofer/protocol.ts'
import { latin1 } from '../../../native/index.ts'
import { EIO, ELOOP, ENODATA, ENOENT, EOPNOTSUPP, ESTALE } from '../../../syscall-table/errno.ts'
import { XATTR_LIST_MAX, XATTR_SIZE_MAX } from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import type { FileOps } from '../../vfs/file.ts'
import { Inode, type SetAttr } from '../../vfs/inode.ts'
import { touchChanged } from '../../vfs/super.ts'
import { openSpecial } from '../special.ts'
import type { GoferDir } from './directory.ts'
import { AttrChange } from './results.ts'
import type { GoferSuperBlock } from './super.ts'

const fresh = new FileAttr()
const change = new AttrChange()
const xattrBuffer = new Uint8Array(Math.max(XATTR_SIZE_MAX, XATTR_LIST_MAX))

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
  /** Known to have no extended attributes. */
  #noXattrs = false

  /** Take over attributes as the host tells them. */
  update(attr: FileAttr): void {
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

  /** The handle, asked for when there is none. Returns it, or -errno. */
  needHandle(): number {
    if (this.handle !== 0) return this.handle
    // From the nearest ancestor with a handle down; iterative, since trees may be deep.
    const missing: GoferInode[] = []
    let at: GoferInode = this
    while (at.handle === 0) {
      if (at.dir === null) return -ESTALE
      missing.push(at)
      at = at.dir
    }
    for (let i = missing.length - 1; i >= 0; i--) {
      const n = missing[i]!.#walkToSelf(at.handle)
      if (n < 0) return n
      at = missing[i]!
    }
    return this.handle
  }

  #walkToSelf(parent: number): number {
    const { connection } = this.sb
    const result = connection.walkResult
    const names = [this.name]
    let n = connection.client.walk(parent, names, 0, 1, result)
    if (n === 0 && connection.makeRoom(result.stop))
      n = connection.client.walk(parent, names, 0, 1, result)
    if (n < 0) return n
    if (n === 0) return result.stop || -ENOENT
    this.handle = result.handles[0]!
    if (this.handle === 0) return -EIO
    connection.addHandle(this)
    return this.handle
  }

  /** The name is about to go: what the open files of it need must not be found by name any more. */
  aboutToLoseName(): number {
    const alive = this.pins > 1 || this.nlink > 1
    if (alive && this.handle === 0) {
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

  override refresh(): number {
    if (this.sb.cacheable) return 0
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
    return n
  }

  #setNumber(bit: number, value: number | undefined, field: 'mode' | 'uid' | 'gid' | 'size'): void {
    if (value === undefined) return
    change.mask |= bit
    change[field] = value
  }

  override getxattr(name: string): Uint8Array | number {
    if (this.#knownWithout()) return -ENODATA
    const handle = this.needHandle()
    if (handle < 0) return handle
    const n = this.sb.connection.client.getxattr(handle, name, xattrBuffer)
    return n < 0 ? n : xattrBuffer.slice(0, n)
  }

  /** Most files have no extended attributes; asked once, that is known for good. */
  #knownWithout(): boolean {
    if (!this.#noXattrs && this.sb.cacheable) this.listxattr()
    return this.#noXattrs
  }

  override setxattr(name: string, value: Uint8Array, flags: number): number {
    if (!name.startsWith('user.') && !name.startsWith('security.')) return -EOPNOTSUPP
    const handle = this.needHandle()
    if (handle < 0) return handle
    this.#noXattrs = false
    return this.sb.connection.client.setxattr(handle, name, value, flags)
  }

  override removexattr(name: string): number {
    const handle = this.needHandle()
    return handle < 0 ? handle : this.sb.connection.client.removexattr(handle, name)
  }

  override listxattr(): string[] | number {
    if (this.#noXattrs) return []
    const handle = this.needHandle()
    if (handle < 0) return handle
    const n = this.sb.connection.client.listxattr(handle, xattrBuffer)
    if (n < 0) return n
    if (n === 0) this.#noXattrs = this.sb.cacheable
    return latin1(xattrBuffer, 0, n)
      .split('\0')
      .filter(name => name !== '')
  }

  override evict(): void {
    const { connection } = this.sb
    this.sb.forget(this)
    if (this.handle === 0) return
    connection.forgetHandle(this)
    connection.client.close(this.handle)
    this.handle = 0
  }
}
