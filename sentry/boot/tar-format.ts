// Members of a tar archive in the pax format, as tar(1) and overlayfs's users read it. POSIX pax(1).

import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../../syscall-table/flags.ts'

export const BLOCK = 512
const MAX_NAME = 100
/** What eleven octal digits hold, and seven. */
const MAX_SIZE = 8 ** 11 - 1
const MAX_ID = 8 ** 7 - 1

export interface Member {
  /** One char per byte, as all strings here. */
  path: string
  mode: number
  uid: number
  gid: number
  size: number
  mtimeSec: number
  major: number
  minor: number
  /** The target of a symlink, or the path of the member that this is another name of. */
  link: string
  /** It is another name of an earlier member. */
  hard: boolean
  xattrs: ReadonlyMap<string, Uint8Array>
}

const TYPES = new Map([
  [S_IFREG, '0'],
  [S_IFLNK, '2'],
  [S_IFCHR, '3'],
  [S_IFBLK, '4'],
  [S_IFDIR, '5'],
  [S_IFIFO, '6'],
])

/** Whether an archive can have members of this mode: sockets have no place there. */
export const canBeMember = (mode: number): boolean => TYPES.has(mode & S_IFMT)

/** Everything in front of a member's contents. */
export function memberHeader(member: Member): Uint8Array {
  const records = paxRecords(member)
  const type = member.hard ? '1' : TYPES.get(member.mode & S_IFMT)!
  const own = header(member, type)
  if (records.length === 0) return own
  const pax = { ...member, path: 'pax', size: records.length, link: '', mode: 0o644 }
  return Buffer.concat([header(pax, 'x'), padded(records), own])
}

/** Two blocks of zeroes. */
export const endOfArchive = (): Uint8Array => new Uint8Array(2 * BLOCK)

/** Zeroes from `length` to the end of its block. */
export const padding = (length: number): Uint8Array =>
  new Uint8Array((BLOCK - (length % BLOCK)) % BLOCK)

const padded = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, padding(bytes.length)])

function header(member: Member, type: string): Uint8Array {
  const block = Buffer.alloc(BLOCK)
  const put = (text: string, at: number, length: number) =>
    block.write(text.slice(0, length), at, 'latin1')
  const octal = (value: number, at: number, length: number) =>
    put(
      Math.max(0, value)
        .toString(8)
        .padStart(length - 1, '0'),
      at,
      length,
    )
  put(member.path, 0, MAX_NAME)
  octal(member.mode & 0o7777, 100, 8)
  octal(Math.min(member.uid, MAX_ID), 108, 8)
  octal(Math.min(member.gid, MAX_ID), 116, 8)
  octal(Math.min(member.size, MAX_SIZE), 124, 12)
  octal(Math.min(member.mtimeSec, MAX_SIZE), 136, 12)
  put(type, 156, 1)
  put(member.link, 157, MAX_NAME)
  put('ustar\0' + '00', 257, 8)
  octal(member.major, 329, 8)
  octal(member.minor, 337, 8)
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8)
  return block
}

/** What the header has no room for. */
function paxRecords(member: Member): Uint8Array {
  const { path, link, uid, gid, size, xattrs } = member
  const records: Uint8Array[] = []
  const add = (key: string, value: Uint8Array) => records.push(record(key, value))
  const bytes = (text: string) => Buffer.from(text, 'latin1')
  if (path.length > MAX_NAME) add('path', bytes(path))
  if (link.length > MAX_NAME) add('linkpath', bytes(link))
  if (uid > MAX_ID) add('uid', bytes(String(uid)))
  if (gid > MAX_ID) add('gid', bytes(String(gid)))
  if (size > MAX_SIZE) add('size', bytes(String(size)))
  for (const [name, value] of xattrs) add(`SCHILY.xattr.${name}`, value)
  return Buffer.concat(records)
}

/** "LENGTH KEY=VALUE\n", where the length counts itself. */
function record(key: string, value: Uint8Array): Uint8Array {
  const rest = key.length + value.length + 3
  let length = rest + String(rest).length
  if (String(length).length > String(rest).length) length++
  return Buffer.concat([Buffer.from(`${length} ${key}=`, 'latin1'), value, Buffer.from('\n')])
}
