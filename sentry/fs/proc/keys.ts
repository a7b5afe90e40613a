// /proc/keys and /proc/key-users: security/keys/proc.c.

import { type Key, VIEW } from '../../kernel/keys/key.ts'
import { keysOf, permits, possesses, shownGroup } from '../../kernel/keys/lookup.ts'
import type { Task } from '../../kernel/task.ts'

/** The keys that the reader may see. */
export function keysText(reader: Task): string {
  const keys = [...keysOf(reader).keys.values()].sort((a, b) => a.serial - b.serial)
  return keys
    .filter(key => permits(reader, { key, possessed: possesses(reader, key) }, VIEW) === 0)
    .map(key => line(key, reader))
    .join('')
}

function line(key: Key, reader: Task): string {
  const { userNs } = reader.creds
  const flags = `I${key.revoked ? 'R' : '-'}-Q--${key.invalidated ? 'i' : '-'}`
  const uid = `${userNs.showUid(key.uid)}`.padStart(5)
  const gid = `${shownGroup(key, reader)}`.padStart(5)
  return (
    `${hex(key.serial)} ${flags} ${`${key.refs}`.padStart(5)} ${timeLeft(key).padStart(4)} ` +
    `${hex(key.permissions)} ${uid} ${gid} ${key.type.padEnd(9)} ${key.description}: ${amount(key)}\n`
  )
}

const hex = (n: number): string => n.toString(16).padStart(8, '0')

const amount = ({ isKeyring, links, payload }: Key): string =>
  isKeyring ? (links.size === 0 ? 'empty' : `${links.size}`) : `${payload.length}`

const UNITS: readonly (readonly [string, number, number])[] = [
  ['s', 1, 60],
  ['m', 60, 3600],
  ['h', 3600, 86400],
  ['d', 86400, 604800],
  ['w', 604800, Number.POSITIVE_INFINITY],
]

function timeLeft(key: Key): string {
  if (key.expirySec === Number.POSITIVE_INFINITY) return 'perm'
  if (key.expired) return 'expd'
  const left = key.expirySec - key.system.nowSec()
  const [unit, size] = UNITS.find(([, , below]) => left < below)!
  return `${Math.floor(left / size)}${unit}`
}

/** What each user has, and may have. */
export function keyUsersText(reader: Task): string {
  let text = ''
  for (const user of keysOf(reader).users.values()) {
    if (user.keys === 0) continue
    const uid = `${reader.creds.userNs.showUid(user.uid)}`.padStart(5)
    const keys = `${`${user.keys}`.padStart(5)} ${user.keys}/${user.keys}`
    text += `${uid}: ${keys} ${user.keys}/${user.maxKeys} ${user.bytes}/${user.maxBytes}\n`
  }
  return text
}
