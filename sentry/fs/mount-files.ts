// Descriptors of the mount API: detached trees (open_tree(2), fsmount(2)) and file systems that are being configured
// (fsopen(2), fspick(2)).

import { EBUSY, EINVAL, EMSGSIZE, ENODATA, EOPNOTSUPP, EPERM } from '../../syscall-table/errno.ts'
import {
  FSCONFIG_CMD_CREATE,
  FSCONFIG_CMD_CREATE_EXCL,
  FSCONFIG_CMD_RECONFIGURE,
  MS_RDONLY,
  O_PATH,
} from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import type { Io } from '../mm/io.ts'
import { File, FileOps, PathOnlyOps } from '../vfs/file.ts'
import type { SuperBlock } from '../vfs/inode.ts'
import { Mount } from '../vfs/mount.ts'
import { makeSuperBlock, reconfigure, rootDentry, tooRevealing } from '../vfs/mounting.ts'
import { checkOption } from '../vfs/super.ts'
import { dissolveTree } from '../vfs/unmounting.ts'

/** Options of one file system: bounds what a context keeps. */
const OPTIONS_MAX = 4096
/** Messages that are kept; older ones are forgotten. */
const MESSAGES_MAX = 8

/** A tree that no namespace shows. Its descriptor gone, it falls apart unless it has been attached. */
class TreeOps extends PathOnlyOps {
  readonly #kernel: Kernel

  constructor(kernel: Kernel) {
    super()
    this.#kernel = kernel
  }

  override release({ mount }: File): void {
    if (mount.floating) dissolveTree(this.#kernel, mount)
  }
}

/** An O_PATH file of a detached tree. */
export function treeFile(kernel: Kernel, tree: Mount): File {
  tree.floating = true
  return new File(new TreeOps(kernel), tree.root.inode!, tree.root, tree, O_PATH)
}

/** Generic options and what they do to a file system as a whole; what has no effect here is accepted. */
const GENERIC = new Set([
  'ro',
  'rw',
  'sync',
  'async',
  'dirsync',
  'lazytime',
  'nolazytime',
  'mand',
  'nomand',
  'silent',
])

/** struct fs_context. */
export class FsContextOps extends FileOps {
  override spliceable = false
  readonly type: string
  #source = ''
  #options: string[] = []
  #length = 0
  #flags = 0
  #sb: SuperBlock | null = null
  /** fspick(2): what is to be reconfigured. */
  readonly #picked: Mount | null
  #failed = false
  readonly #messages: string[] = []

  constructor(type: string, picked: Mount | null) {
    super()
    this.type = type
    this.#picked = picked
    // What is not mentioned stays.
    if (picked !== null) this.#flags = picked.sb.flags | (picked.sb.readonly ? MS_RDONLY : 0)
  }

  /** Messages of the file system, one at a time: fscontext_read. */
  override read(_file: File, io: Io): number {
    const message = this.#messages[0]
    if (message === undefined) return -ENODATA
    if (message.length > io.remaining) return -EMSGSIZE
    this.#messages.shift()
    return io.put(Buffer.from(message, 'latin1'), 0, message.length)
  }

  /** Remember an error message for whoever reads them, and refuse. invalf. */
  #refuse(text: string): number {
    if (this.#messages.length >= MESSAGES_MAX) this.#messages.shift()
    this.#messages.push(`e ${this.type}: ${text}\n`)
    return -EINVAL
  }

  /** FSCONFIG_SET_FLAG (`value` null) and FSCONFIG_SET_STRING. */
  set(kernel: Kernel, key: string, value: string | null): number {
    if (this.#sb !== null || this.#failed) return -EBUSY
    if (GENERIC.has(key)) {
      if (value !== null) return -EINVAL
      this.#setGeneric(key)
      return 0
    }
    if (key === 'source') {
      if (value === null || this.#source !== '') return -EINVAL
      this.#source = value
      return 0
    }
    const option = value === null ? key : `${key}=${value}`
    const check = checkOption(kernel, this.type, key, option)
    if (check === 'unknown') return this.#refuse(`Unknown parameter '${key}'`)
    if (check === 'bad') return this.#refuse(`Bad value for '${key}'`)
    this.#length += option.length + 1
    if (option.includes(',') || this.#length > OPTIONS_MAX) return -EINVAL
    this.#options.push(option)
    return 0
  }

  #setGeneric(key: string): void {
    if (key === 'ro') this.#flags |= MS_RDONLY
    if (key === 'rw') this.#flags &= ~MS_RDONLY
  }

  /** Binary data, paths and descriptors: no file system here has an option of that kind. */
  refuse(): number {
    return this.#sb !== null || this.#failed ? -EBUSY : -EINVAL
  }

  command(task: Task, command: number): number {
    if (this.#failed) return -EBUSY
    if (command === FSCONFIG_CMD_RECONFIGURE) {
      if (this.#picked === null) return -EBUSY
      return reconfigure(task, this.#picked.sb, this.#flags, this.#options.join(','))
    }
    if (command !== FSCONFIG_CMD_CREATE && command !== FSCONFIG_CMD_CREATE_EXCL) return -EOPNOTSUPP
    if (this.#sb !== null || this.#picked !== null) return -EBUSY
    const sb = makeSuperBlock(task, this.type, this.#source, this.#options.join(','))
    if (typeof sb === 'number') {
      this.#failed = true
      return sb
    }
    this.#sb = sb
    return 0
  }

  /** fsmount(2): the first and only mount of the new file system. */
  mount(task: Task, flags: number): Mount | number {
    const sb = this.#sb
    if (sb === null) return this.#picked === null && !this.#failed ? -EINVAL : -EBUSY
    if (tooRevealing(task, sb, flags)) return -EPERM
    this.#sb = null
    this.#failed = true
    if (sb.ownReadonly) sb.readonly = (this.#flags & MS_RDONLY) !== 0
    return new Mount(sb, rootDentry(sb), flags | this.#flags, this.#source || 'none')
  }
}
