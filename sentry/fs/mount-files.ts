// Descriptors of the mount API: detached trees (open_tree(2), fsmount(2)) and file systems that are being configured
// (fsopen(2), fspick(2)).

import { EBUSY, EINVAL, ENODATA, EOPNOTSUPP, EPERM } from '../../syscall-table/errno.ts'
import {
  FSCONFIG_CMD_CREATE,
  FSCONFIG_CMD_CREATE_EXCL,
  FSCONFIG_CMD_RECONFIGURE,
  MS_RDONLY,
  O_PATH,
} from '../../syscall-table/flags.ts'
import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import { File, FileOps, PathOnlyOps } from '../vfs/file.ts'
import type { SuperBlock } from '../vfs/inode.ts'
import { Mount } from '../vfs/mount.ts'
import { makeSuperBlock, rootDentry, tooRevealing } from '../vfs/mounting.ts'
import { dissolveTree } from '../vfs/unmounting.ts'

/** Options of one file system: bounds what a context keeps. */
const OPTIONS_MAX = 4096

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

  constructor(type: string, picked: Mount | null) {
    super()
    this.type = type
    this.#picked = picked
  }

  /** Messages of the file system: there are none. */
  override read(): number {
    return -ENODATA
  }

  /** FSCONFIG_SET_FLAG (`value` null) and FSCONFIG_SET_STRING. */
  set(key: string, value: string | null): number {
    if (this.#sb !== null || this.#failed) return -EBUSY
    if (GENERIC.has(key)) {
      if (value !== null) return -EINVAL
      if (key === 'ro') this.#flags |= MS_RDONLY
      if (key === 'rw') this.#flags &= ~MS_RDONLY
      return 0
    }
    if (key === 'source') {
      if (value === null || this.#source !== '') return -EINVAL
      this.#source = value
      return 0
    }
    const option = value === null ? key : `${key}=${value}`
    this.#length += option.length + 1
    if (option.includes(',') || this.#length > OPTIONS_MAX) return -EINVAL
    this.#options.push(option)
    return 0
  }

  command(task: Task, command: number): number {
    if (this.#failed) return -EBUSY
    if (command === FSCONFIG_CMD_RECONFIGURE) {
      if (this.#picked === null) return -EBUSY
      // DIFFERS: file systems cannot be reconfigured as a whole; mounts can.
      return this.#options.length > 0 || this.#flags !== 0 ? -EOPNOTSUPP : 0
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
    if (sb === null) return this.#picked === null ? -EINVAL : -EBUSY
    if (tooRevealing(task, sb, flags)) return -EPERM
    this.#sb = null
    this.#failed = true
    return new Mount(sb, rootDentry(sb), flags | this.#flags, this.#source || 'none')
  }
}
