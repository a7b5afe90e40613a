// The mount options of config.json and what they mean, as runc and mount(8) have them.

import {
  MS_BIND,
  MS_DIRSYNC,
  MS_I_VERSION,
  MS_LAZYTIME,
  MS_MANDLOCK,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_REMOUNT,
  MS_SHARED,
  MS_SILENT,
  MS_SLAVE,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
  MS_UNBINDABLE,
} from '../syscall-table/flags.ts'

/** Options that set or clear MS_* flags of a mount. */
const FLAGS: Readonly<Record<string, { set?: number; clear?: number }>> = {
  acl: {},
  async: { clear: MS_SYNCHRONOUS },
  atime: { clear: MS_NOATIME },
  bind: { set: MS_BIND },
  defaults: {},
  dev: { clear: MS_NODEV },
  diratime: { clear: MS_NODIRATIME },
  dirsync: { set: MS_DIRSYNC },
  exec: { clear: MS_NOEXEC },
  iversion: { set: MS_I_VERSION },
  lazytime: { set: MS_LAZYTIME },
  loud: { clear: MS_SILENT },
  mand: { set: MS_MANDLOCK },
  noacl: {},
  noatime: { set: MS_NOATIME },
  nodev: { set: MS_NODEV },
  nodiratime: { set: MS_NODIRATIME },
  noexec: { set: MS_NOEXEC },
  noiversion: { clear: MS_I_VERSION },
  nolazytime: { clear: MS_LAZYTIME },
  nomand: { clear: MS_MANDLOCK },
  norelatime: { clear: MS_RELATIME },
  nostrictatime: { clear: MS_STRICTATIME },
  nosuid: { set: MS_NOSUID },
  nosymfollow: { set: MS_NOSYMFOLLOW },
  rbind: { set: MS_BIND | MS_REC },
  relatime: { set: MS_RELATIME },
  remount: { set: MS_REMOUNT },
  ro: { set: MS_RDONLY },
  rw: { clear: MS_RDONLY },
  silent: { set: MS_SILENT },
  strictatime: { set: MS_STRICTATIME },
  suid: { clear: MS_NOSUID },
  symfollow: { clear: MS_NOSYMFOLLOW },
  sync: { set: MS_SYNCHRONOUS },
}

/** Options for a mount and all below it: mount_setattr(2) with AT_RECURSIVE. */
const RECURSIVE: Readonly<Record<string, { set?: number; clear?: number }>> = {
  ratime: { clear: MS_NOATIME },
  rdev: { clear: MS_NODEV },
  rdiratime: { clear: MS_NODIRATIME },
  rexec: { clear: MS_NOEXEC },
  rnoatime: { set: MS_NOATIME },
  rnodev: { set: MS_NODEV },
  rnodiratime: { set: MS_NODIRATIME },
  rnoexec: { set: MS_NOEXEC },
  rnorelatime: { clear: MS_RELATIME },
  rnostrictatime: { clear: MS_STRICTATIME },
  rnosuid: { set: MS_NOSUID },
  rnosymfollow: { set: MS_NOSYMFOLLOW },
  rrelatime: { set: MS_RELATIME },
  rro: { set: MS_RDONLY },
  rrw: { clear: MS_RDONLY },
  rstrictatime: { set: MS_STRICTATIME },
  rsuid: { clear: MS_NOSUID },
  rsymfollow: { clear: MS_NOSYMFOLLOW },
}

/** Also of linux.rootfsPropagation. */
export const PROPAGATION: Readonly<Record<string, number>> = {
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE | MS_REC,
  rshared: MS_SHARED | MS_REC,
  rslave: MS_SLAVE | MS_REC,
  runbindable: MS_UNBINDABLE | MS_REC,
  shared: MS_SHARED,
  slave: MS_SLAVE,
  unbindable: MS_UNBINDABLE,
}

/** Whether what is mounted below is mapped as well. */
const IDMAP = { idmap: 'top', ridmap: 'tree' } as const
const COPY_UP = 'tmpcopyup'

/** Every option with a meaning of its own, in order: `runsc features` lists them. */
export const MOUNT_OPTIONS: readonly string[] = [
  ...Object.keys(FLAGS),
  ...Object.keys(RECURSIVE),
  ...Object.keys(PROPAGATION),
  ...Object.keys(IDMAP),
  COPY_UP,
].sort()

/** The options of one mount. */
export interface MountOptions {
  /** MS_* */
  flags: number
  /** MS_* that the whole tree is to have, and is not to have. */
  recursiveSet: number
  recursiveClear: number
  /** MS_SHARED and the like, with MS_REC; 0: as it is. */
  propagation: number
  /** What is left is the file system's own. */
  data: string[]
  /** A tmpfs starts with what it covers. */
  copyUp: boolean
  idmap: 'top' | 'tree' | null
}

/** Take a list of options apart; later ones win. */
export function parseMountOptions(options: readonly string[]): MountOptions {
  const parsed: MountOptions = {
    flags: 0,
    recursiveSet: 0,
    recursiveClear: 0,
    propagation: 0,
    data: [],
    copyUp: false,
    idmap: null,
  }
  for (const option of options) applyOption(parsed, option)
  return parsed
}

function applyOption(into: MountOptions, option: string): void {
  const flags = own(FLAGS, option)
  const recursive = own(RECURSIVE, option)
  const propagation = own(PROPAGATION, option)
  if (flags !== undefined) {
    into.flags = (into.flags & ~(flags.clear ?? 0)) | (flags.set ?? 0)
  } else if (recursive !== undefined) {
    const { set = 0, clear = 0 } = recursive
    into.recursiveSet = (into.recursiveSet & ~clear) | set
    into.recursiveClear = (into.recursiveClear & ~set) | clear
  } else if (propagation !== undefined) into.propagation = propagation
  else if (option === COPY_UP) into.copyUp = true
  else if (own(IDMAP, option) !== undefined) into.idmap = own(IDMAP, option)!
  else into.data.push(option)
}

const own = <T>(table: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(table, key) ? table[key] : undefined
