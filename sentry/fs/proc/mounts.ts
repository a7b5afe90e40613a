// /proc/PID/{mounts,mountinfo,mountstats}: fs/proc_namespace.c. Only mounts that the task's root directory
// reaches are shown.

import {
  MS_DIRSYNC,
  MS_LAZYTIME,
  MS_MANDLOCK,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_RDONLY,
  MS_RELATIME,
  MS_SYNCHRONOUS,
} from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { pathBelow, pathInFilesystem } from '../../vfs/d-path.ts'
import type { Mount } from '../../vfs/mount.ts'
import { devMajor, devMinor } from '../dev/registry.ts'

const MOUNT_OPTIONS: readonly (readonly [number, string])[] = [
  [MS_NOSUID, ',nosuid'],
  [MS_NODEV, ',nodev'],
  [MS_NOEXEC, ',noexec'],
  [MS_NOATIME, ',noatime'],
  [MS_NODIRATIME, ',nodiratime'],
  [MS_RELATIME, ',relatime'],
  [MS_NOSYMFOLLOW, ',nosymfollow'],
]

function mountOptions(mount: Mount): string {
  let text = ''
  for (const [flag, name] of MOUNT_OPTIONS) if ((mount.flags & flag) !== 0) text += name
  return text
}

/** White space and backslashes would break the columns: they are shown in octal. */
function mangle(text: string): string {
  return text.replace(/[ \t\n\\#]/g, c => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`)
}

/** show_sb_opts: of the file system as a whole. */
function superOptions({ sb: { flags } }: Mount): string {
  let text = (flags & MS_SYNCHRONOUS) !== 0 ? ',sync' : ''
  if ((flags & MS_DIRSYNC) !== 0) text += ',dirsync'
  if ((flags & MS_MANDLOCK) !== 0) text += ',mand'
  return (flags & MS_LAZYTIME) !== 0 ? `${text},lazytime` : text
}

const readOnly = (mount: Mount): boolean => (mount.flags & MS_RDONLY) !== 0

/** Calls `line` for each mount that can be seen, with its mountpoint. */
function forEachVisible(target: Task, line: (mount: Mount, path: string) => string): string {
  const { root } = target.fs
  let text = ''
  for (const mount of target.nsproxy.mnt.mounts) {
    const path = pathBelow(mount, mount.root, root)
    if (path !== null) text += line(mount, mangle(path))
  }
  return text
}

/** fstab(5) lines. */
export function mountsText(target: Task): string {
  return forEachVisible(target, (mount, path) => {
    const access = readOnly(mount) || mount.sb.readonly ? 'ro' : 'rw'
    const options = `${access}${superOptions(mount)}${mountOptions(mount)}${mount.sb.options()}`
    return `${mangle(mount.source || 'none')} ${path} ${mount.sb.type} ${options} 0 0\n`
  })
}

/** The optional fields of mountinfo. */
function propagation({ peers, master, unbindable }: Mount): string {
  let text = peers === null ? '' : ` shared:${peers.id}`
  if (master !== null) text += ` master:${master.id}`
  return unbindable ? `${text} unbindable` : text
}

/** proc_pid_mountinfo(5). */
export function mountinfoText(target: Task): string {
  return forEachVisible(target, (mount, path) => {
    const { sb } = mount
    const dev = `${devMajor(sb.dev)}:${devMinor(sb.dev)}`
    const root = mangle(pathInFilesystem(mount.root))
    const own = `${readOnly(mount) ? 'ro' : 'rw'}${mountOptions(mount)}`
    const shared = `${sb.readonly ? 'ro' : 'rw'}${superOptions(mount)}${sb.options()}`
    const parent = mount.parent?.id ?? 1
    return `${mount.id} ${parent} ${dev} ${root} ${path} ${own}${propagation(mount)} - ${sb.type} ${mangle(mount.source || 'none')} ${shared}\n`
  })
}

/** /proc/PID/mountstats: no file system has statistics of its own. */
export function mountstatsText(target: Task): string {
  return forEachVisible(
    target,
    (mount, path) =>
      `device ${mangle(mount.source || 'none')} mounted on ${path} with fstype ${mount.sb.type}\n`,
  )
}
