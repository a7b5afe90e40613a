// What all file systems share: time stamps, and the types that mount(2) knows.

import type { Kernel } from '../kernel/kernel.ts'
import type { Task } from '../kernel/task.ts'
import type { Inode, SuperBlock } from './inode.ts'

/** A point of CLOCK_REALTIME. */
export interface Moment {
  sec: number
  nsec: number
}

const moment: Moment = { sec: 0, nsec: 0 }

/** The time for an inode's time stamps. The object is reused by the next call. */
export function timestamp(kernel: Kernel): Moment {
  kernel.clock.realtime(moment)
  return moment
}

/** The contents or names of `inode` change now. */
export function touchModified(kernel: Kernel, inode: Inode): void {
  kernel.clock.realtime(moment)
  inode.mtimeSec = inode.ctimeSec = moment.sec
  inode.mtimeNsec = inode.ctimeNsec = moment.nsec
  inode.version++
}

/** The attributes of `inode` change now. */
export function touchChanged(kernel: Kernel, inode: Inode): void {
  kernel.clock.realtime(moment)
  inode.ctimeSec = moment.sec
  inode.ctimeNsec = moment.nsec
}

/** All four time stamps of a new inode. */
export function touchCreated(kernel: Kernel, inode: Inode): void {
  touchModified(kernel, inode)
  inode.atimeSec = inode.btimeSec = moment.sec
  inode.atimeNsec = inode.btimeNsec = moment.nsec
}

/** Makes a file system for mount(2). `data` is the option string. */
export type FileSystemFactory = (
  kernel: Kernel,
  task: Task | null,
  source: string,
  data: string,
) => SuperBlock | number

/** Types that the root of a user namespace may mount: FS_USERNS_MOUNT. */
export const USER_MOUNTABLE: ReadonlySet<string> = new Set([
  'tmpfs',
  'ramfs',
  'proc',
  'sysfs',
  'devpts',
  'mqueue',
  'overlay',
  'cgroup',
  'cgroup2',
])

const types = new Map<string, FileSystemFactory>()

/** What a file system says of one mount option before it is made. */
export type OptionCheck = 'good' | 'bad' | 'unknown'
type OptionChecker = (kernel: Kernel, key: string, option: string) => OptionCheck

const checkers = new Map<string, OptionChecker>()

/**
 * Make a type known to mount(2) and /proc/filesystems. Without `check`, options are looked at when the file system is
 * made.
 */
export function registerFileSystem(
  name: string,
  factory: FileSystemFactory,
  check?: OptionChecker,
): void {
  types.set(name, factory)
  if (check !== undefined) checkers.set(name, check)
}

/** Check `option`, which is `key` or `key=value`, of a file system of this type. */
export function checkOption(
  kernel: Kernel,
  type: string,
  key: string,
  option: string,
): OptionCheck {
  return checkers.get(type)?.(kernel, key, option) ?? 'good'
}

export function fileSystemType(name: string): FileSystemFactory | undefined {
  return types.get(name)
}

/** In order of registration. */
export function fileSystemNames(): string[] {
  return [...types.keys()]
}
