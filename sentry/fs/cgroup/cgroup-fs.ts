// cgroup and cgroup2: the file systems through which programs see and make control groups. kernel/cgroup/cgroup.c,
// cgroup-v1.c. Their root is the container's own cgroup.

import { EBUSY, EINVAL, ENODEV, ENOENT, EPERM } from '../../../syscall-table/errno.ts'
import { S_IFDIR, S_IFREG } from '../../../syscall-table/flags.ts'
import type { Cgroup, CgroupHierarchy, CgroupSystem } from '../../kernel/cgroup.ts'
import type { Creds } from '../../kernel/creds.ts'
import type { Kernel } from '../../kernel/kernel.ts'
import { allotmentOf } from '../../kernel/limits.ts'
import type { Task } from '../../kernel/task.ts'
import type { DirSink, Inode, SetAttr } from '../../vfs/inode.ts'
import { registerFileSystem } from '../../vfs/super.ts'
import {
  direntType,
  GeneratedFile,
  KERNFS_POLLED,
  type Polled,
  PseudoDirectory,
  PseudoFs,
  StaticDirectory,
} from '../pseudo.ts'
import type { CgroupFile } from './cgroup-file.ts'
import { filesV1 } from './files-v1.ts'
import { filesV2 } from './files-v2.ts'

const CGROUP_SUPER_MAGIC = 0x27e0eb
const CGROUP2_SUPER_MAGIC = 0x63677270

/** One mount's file system; all mounts of a hierarchy show the same groups. */
class CgroupFs extends PseudoFs {
  readonly hierarchy: CgroupHierarchy
  readonly version: 1 | 2

  constructor(kernel: Kernel, hierarchy: CgroupHierarchy, version: 1 | 2) {
    const v2 = version === 2
    super(kernel, v2 ? 'cgroup2' : 'cgroup', v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC, false)
    this.hierarchy = hierarchy
    this.version = version
    this.root = new CgroupDirectory(this, hierarchy.root)
  }

  files(cgroup: Cgroup): readonly CgroupFile[] {
    return this.version === 2 ? filesV2(cgroup) : filesV1(cgroup)
  }

  override options(): string {
    const { controllers, name } = this.hierarchy
    if (this.version === 2) return ''
    return `,${name === '' ? controllers.join(',') : `name=${name}`}`
  }
}

/** A group as a directory. */
class CgroupDirectory extends PseudoDirectory {
  readonly cgroup: Cgroup
  readonly #fs: CgroupFs
  readonly #files = new Map<string, GeneratedFile>()
  readonly #children = new WeakMap<Cgroup, CgroupDirectory>()

  constructor(fs: CgroupFs, cgroup: Cgroup) {
    super(fs, 0o755)
    this.#fs = fs
    this.cgroup = cgroup
  }

  override refresh(): number {
    this.nlink = 2 + this.cgroup.children.size
    return 0
  }

  /** Owners and modes may change: that is how a subtree is given to another user. */
  override setattr(attr: SetAttr): number {
    return changeOwner(this, attr)
  }

  #directory(child: Cgroup): CgroupDirectory {
    let directory = this.#children.get(child)
    if (directory === undefined) {
      directory = new CgroupDirectory(this.#fs, child)
      this.#children.set(child, directory)
    }
    return directory
  }

  #file(file: CgroupFile): GeneratedFile {
    let inode = this.#files.get(file.name)
    if (inode === undefined) {
      inode = new CgroupFileInode(this.#fs, this.cgroup, file)
      inode.uid = this.uid
      inode.gid = this.gid
      this.#files.set(file.name, inode)
    }
    return inode
  }

  override lookup(name: string, _task: Task | null): Inode | number {
    if (this.cgroup.removed) return -ENOENT
    const child = this.cgroup.children.get(name)
    if (child !== undefined) return this.#directory(child)
    const file = this.#fs.files(this.cgroup).find(entry => entry.name === name)
    return file === undefined ? -ENOENT : this.#file(file)
  }

  override mkdir(name: string, _mode: number, creds: Creds): Inode | number {
    const child = this.cgroup.make(name)
    if (typeof child === 'number') return child
    const directory = this.#directory(child)
    directory.uid = creds.fsuid
    directory.gid = creds.fsgid
    return directory
  }

  override rmdir(_name: string, victim: Inode): number {
    return victim instanceof CgroupDirectory ? victim.cgroup.remove(this.#fs.kernel) : -EPERM
  }

  protected override list(pos: number, sink: DirSink): number {
    if (this.cgroup.removed) return 0
    const inodes: [string, Inode][] = [
      ...this.#fs.files(this.cgroup).map((file): [string, Inode] => [file.name, this.#file(file)]),
      ...[...this.cgroup.children.values()].map((child): [string, Inode] => [
        child.name,
        this.#directory(child),
      ]),
    ]
    for (let i = pos - 2; i < inodes.length; i++) {
      const [name, inode] = inodes[i]!
      if (!sink.entry(name, inode.ino, direntType(inode.mode), i + 3)) return 0
    }
    return 0
  }
}

class CgroupFileInode extends GeneratedFile {
  constructor(fs: CgroupFs, cgroup: Cgroup, { mode, read, write }: CgroupFile) {
    const { kernel } = fs
    const gone = () => cgroup.removed
    super(
      fs,
      mode,
      task => (gone() ? -ENODEV : read === null ? -EINVAL : read(cgroup, kernel, task)),
      write === null
        ? null
        : (text, task) => (gone() ? -ENODEV : write(cgroup, text.trim(), kernel, task)),
    )
  }

  protected override polled(): Polled {
    return KERNFS_POLLED
  }

  override setattr(attr: SetAttr): number {
    return changeOwner(this, attr)
  }
}

function changeOwner(inode: Inode, { mode, uid, gid }: SetAttr): number {
  const type = inode.isDir ? S_IFDIR : S_IFREG
  if (mode !== undefined) inode.mode = type | (mode & 0o7777)
  if (uid !== undefined) inode.uid = uid
  if (gid !== undefined) inode.gid = gid
  return 0
}

const systemOf = (kernel: Kernel, task: Task | null): CgroupSystem =>
  task === null ? kernel.cgroups : allotmentOf(task.group).cgroups

/** mount -t cgroup2. */
function mountV2(
  kernel: Kernel,
  task: Task | null,
  _source: string,
  data: string,
): PseudoFs | number {
  for (const option of data.split(','))
    if (
      !/^(nsdelegate|favordynmods|memory_localevents|memory_recursiveprot|memory_hugetlb_accounting|)$/.test(
        option,
      )
    )
      return -EINVAL
  const { hierarchies, version } = systemOf(kernel, task)
  const unified = version === 2 ? hierarchies[0]! : hierarchies.at(-1)!
  return new CgroupFs(kernel, unified, 2)
}

/** mount -t cgroup -o CONTROLLERS: a hierarchy of version 1. With "all" or no option, all of them, which is busy. */
function mountV1(
  kernel: Kernel,
  task: Task | null,
  _source: string,
  data: string,
): PseudoFs | number {
  const system = systemOf(kernel, task)
  const { hierarchies, version } = system
  const options = data.split(',').filter(option => option !== '' && option !== 'xattr')
  const name = options.find(option => option.startsWith('name='))?.slice(5)
  const wanted = options.filter(option => !/^(name=|none$|noprefix$|clone_children$)/.test(option))
  if (version === 2) return wanted.length === 0 && name === undefined ? -EINVAL : -EBUSY
  const match = hierarchies.find(
    hierarchy =>
      hierarchy.id !== 0 &&
      hierarchy.name === (name ?? '') &&
      hierarchy.controllers.length === wanted.length &&
      wanted.every(controller => hierarchy.controllers.includes(controller)),
  )
  if (match !== undefined) return new CgroupFs(kernel, match, 1)
  // A controller belongs to one hierarchy at a time.
  return wanted.every(controller => system.of(controller) !== undefined) && wanted.length > 0
    ? -EBUSY
    : -EINVAL
}

/**
 * What a container has at /sys/fs/cgroup: the hierarchy of version 2, or, as runc has it, a tmpfs with those of
 * version 1. Here that is one file system of directories.
 */
export function containerCgroups({ kernel, group }: Task): PseudoFs {
  const { hierarchies, version } = allotmentOf(group).cgroups
  if (version === 2) return new CgroupFs(kernel, hierarchies[0]!, 2)
  const fs = new PseudoFs(kernel, 'tmpfs', 0x01021994, true)
  const root = new StaticDirectory(fs)
  fs.root = root
  for (const { id, name, controllers } of hierarchies)
    if (id !== 0) root.directory(name || controllers.join(','))
  return fs
}

/** The file system to mount on each directory of `containerCgroups`. */
export function cgroupMounts({ kernel, group }: Task): [name: string, fs: PseudoFs][] {
  const { hierarchies, version } = allotmentOf(group).cgroups
  if (version === 2) return []
  return hierarchies
    .filter(({ id }) => id !== 0)
    .map(hierarchy => [
      hierarchy.name || hierarchy.controllers.join(','),
      new CgroupFs(kernel, hierarchy, 1),
    ])
}

registerFileSystem('cgroup', mountV1)
registerFileSystem('cgroup2', mountV2)
