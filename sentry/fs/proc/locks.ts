// /proc/locks: all locks of files. lock_get_status of fs/locks.c.
// LIMIT: those who wait for a lock are not listed.

import { F_RDLCK, F_WRLCK, LOCK_EX } from '../../../syscall-table/flags.ts'
import type { Pid, PidNamespace } from '../../kernel/pid-namespace.ts'
import type { Inode } from '../../vfs/inode.ts'
import { forEachLockedInode } from '../../vfs/locks.ts'
import { devMajor, devMinor } from '../dev/registry.ts'

const typeName = (type: number): string =>
  type === F_WRLCK ? 'WRITE' : type === F_RDLCK ? 'READ' : 'UNLCK'

const hex2 = (n: number): string => n.toString(16).padStart(2, '0')

/** As seen from a pid namespace: locks of processes that are not in it are left out. */
export function locksText(ns: PidNamespace): string {
  const lines: string[] = []
  const add = (what: string, pid: Pid | null, inode: Inode, range: string): void => {
    const number = pid === null ? -1 : pid.numberIn(ns)
    if (number === 0) return
    const { dev } = inode.sb
    const place = `${hex2(devMajor(dev))}:${hex2(devMinor(dev))}:${inode.ino}`
    lines.push(`${lines.length + 1}: ${what} ${number} ${place} ${range}\n`)
  }
  forEachLockedInode((inode, locks) => {
    for (const { type, pid } of locks.flocks.values())
      add(`FLOCK  ADVISORY  ${type === LOCK_EX ? 'WRITE' : 'READ'}`, pid, inode, '0 EOF')
    for (const { type, start, end, pid } of locks.records) {
      const last = end === Number.POSITIVE_INFINITY ? 'EOF' : `${end - 1}`
      const kind = pid === null ? 'OFDLCK' : 'POSIX '
      add(`${kind} ADVISORY  ${typeName(type)}`, pid, inode, `${start} ${last}`)
    }
    for (const { type, target, pid } of locks.leases) {
      const state = target === type ? 'ACTIVE   ' : 'BREAKING '
      add(`LEASE  ${state} ${typeName(target)}`, pid, inode, '0 EOF')
    }
  })
  return lines.join('')
}
