// Structs in strace(1)'s notation: those with a list below by C names, all others by the table's names.

import type { FlagSetName } from '../../syscall-table/flags/sets.ts'
import { layOut, type PlacedField } from '../../syscall-table/generate/layout.ts'
import type { Field, Struct } from '../../syscall-table/structs/field.ts'
import { type StructName, structs } from '../../syscall-table/structs.ts'
import { flagsText, hexText, octalText, quote, sigsetText } from './format.ts'

const layouts = layOut(structs as unknown as Record<string, Struct>)

type Show = 'number' | 'hex' | 'octal' | 'limit' | 'mode' | FlagSetName
type Shown = readonly [cName: string, field: string, show: Show]

/** Fields shown, in strace's order; a final `...` marks an abbreviated struct. */
const shown: { readonly [name in StructName]?: { prefix: string; fields: string; more?: true } } = {
  stat: { prefix: 'st_', fields: 'mode:mode size', more: true },
  statx: { prefix: 'stx_', fields: 'mask:STATX mode:mode size', more: true },
  statfs: {
    prefix: 'f_',
    fields: 'type:hex bsize blocks bfree bavail files ffree namelen frsize flags:ST',
  },
  timespec: { prefix: 'tv_', fields: 'sec nsec' },
  timeval: { prefix: 'tv_', fields: 'sec usec' },
  timezone: { prefix: 'tz_', fields: 'minuteswest dsttime' },
  itimerspec: { prefix: 'it_', fields: 'interval value' },
  itimerval: { prefix: 'it_', fields: 'interval value' },
  tms: { prefix: 'tms_', fields: 'utime stime cutime cstime' },
  rlimit64: { prefix: 'rlim_', fields: 'cur:limit max:limit' },
  rusage: { prefix: 'ru_', fields: 'utime stime', more: true },
  utsname: { prefix: '', fields: 'sysname nodename', more: true },
  sysinfo: { prefix: '', fields: 'uptime loads totalram freeram', more: true },
  stack_t: { prefix: 'ss_', fields: 'sp:hex flags:SS size' },
  flock: { prefix: 'l_', fields: 'type:LOCK_TYPE whence:SEEK start len' },
  epoll_event: { prefix: '', fields: 'events:EPOLL data' },
  sched_param: { prefix: 'sched_', fields: 'priority' },
  open_how: { prefix: '', fields: 'flags:OPEN mode:octal resolve:RESOLVE' },
  clone_args: {
    prefix: '',
    fields: 'flags:CLONE3 exitSignal:SIGNAL stack:hex stackSize:hex',
    more: true,
  },
  sigevent: { prefix: 'sigev_', fields: 'signo:SIGNAL notify:SIGEV' },
  siginfo: { prefix: 'si_', fields: 'signo:SIGNAL code', more: true },
}

export const structSize = (name: StructName): number => layouts.get(name)?.size ?? 0

/** The struct at offset `at` of `bytes`, which holds all of it. */
export function structText(name: StructName, bytes: Uint8Array, at: number): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at)
  const fields = layouts.get(name)?.fields ?? []
  const parts = shownFields(name, fields).map(([cName, fieldName, show]) => {
    const placed = fields.find(field => field.name === fieldName)
    return placed === undefined ? cName : `${cName}=${fieldText(view, placed, show)}`
  })
  if (shown[name]?.more) parts.push('...')
  return `{${parts.join(', ')}}`
}

function shownFields(name: StructName, fields: readonly PlacedField[]): Shown[] {
  const spec = shown[name]
  if (spec === undefined) {
    return fields.filter(f => !f.name.startsWith('_')).map(f => [f.name, f.name, 'number'])
  }
  return spec.fields.split(' ').map(entry => {
    const [field = '', show = 'number'] = entry.split(':')
    return [spec.prefix + snake(field), field, show as Show]
  })
}

const snake = (name: string) => name.replace(/[A-Z]/g, c => `_${c.toLowerCase()}`)

function fieldText(view: DataView, { field, at, size }: PlacedField, show: Show): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, size)
  if (typeof field === 'string') return scalarText(readScalar(view, at, field), show)
  if ('struct' in field) return structText(field.struct as StructName, bytes, 0)
  if ('text' in field) return quote(bytes.subarray(0, Math.max(bytes.indexOf(0), 0)))
  if (field.array === 'u8') return quote(bytes.subarray(0, 32), size > 32)
  const step = size / field.count
  const items = Array.from({ length: field.count }, (_, i) =>
    readScalar(view, at + i * step, field.array),
  )
  return `[${items.join(', ')}]`
}

function scalarText(value: bigint, show: Show): string {
  if (show === 'number') return String(value)
  if (show === 'hex') return hexText(value)
  if (show === 'octal') return octalText(Number(value))
  if (show === 'mode') return modeText(Number(value))
  if (show === 'limit') return limitText(value)
  return flagsText(show, BigInt.asUintN(64, value))
}

/** `S_IFREG|0644`. */
export function modeText(mode: number): string {
  const type = mode & 0o170000
  return type === 0
    ? octalText(mode)
    : `${flagsText('S_IFMT', BigInt(type))}|${octalText(mode & 0o7777)}`
}

function limitText(value: bigint): string {
  if (value === (1n << 64n) - 1n) return 'RLIM64_INFINITY'
  return value > 1024n && value % 1024n === 0n ? `${value / 1024n}*1024` : String(value)
}

function readScalar(view: DataView, at: number, type: Extract<Field, string>): bigint {
  switch (type) {
    case 'u8':
      return BigInt(view.getUint8(at))
    case 'i8':
      return BigInt(view.getInt8(at))
    case 'u16':
      return BigInt(view.getUint16(at, true))
    case 'i16':
      return BigInt(view.getInt16(at, true))
    case 'u32':
      return BigInt(view.getUint32(at, true))
    case 'i32':
      return BigInt(view.getInt32(at, true))
    case 'i64':
      return view.getBigInt64(at, true)
    case 'be16':
      return BigInt(view.getUint16(at, false))
    case 'be32':
      return BigInt(view.getUint32(at, false))
    default:
      return view.getBigUint64(at, true)
  }
}

/** struct kernel_sigaction. */
export function sigactionText(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const handler = view.getBigUint64(0, true)
  const flags = view.getBigUint64(8, true)
  const named = handler === 0n ? 'SIG_DFL' : handler === 1n ? 'SIG_IGN' : hexText(handler)
  const restorer =
    (flags & 0x04000000n) === 0n ? '' : `, sa_restorer=${hexText(view.getBigUint64(16, true))}`
  const mask = sigsetText(view.getBigUint64(24, true))
  return `{sa_handler=${named}, sa_mask=${mask}, sa_flags=${flagsText('SA', flags)}${restorer}}`
}

/** struct sockaddr of any family. */
export function sockaddrText(bytes: Uint8Array): string {
  if (bytes.length < 2) return quote(bytes)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const family = view.getUint16(0, true)
  const name = `sa_family=${flagsText('AF', BigInt(family))}`
  if (family === 1) return `{${[name, ...unixPath(bytes.subarray(2, 110))].join(', ')}}`
  if (family === 2 && bytes.length >= 8) {
    const port = `sin_port=htons(${view.getUint16(2, false)})`
    return `{${name}, ${port}, sin_addr=inet_addr("${bytes.subarray(4, 8).join('.')}")}`
  }
  if (family === 10 && bytes.length >= 28) return `{${name}, ${inet6Text(view)}}`
  return `{${name}, sa_data=${quote(bytes.subarray(2))}}`
}

function unixPath(path: Uint8Array): string[] {
  if (path.length === 0) return []
  if (path[0] === 0) return [`sun_path=@${quote(path.subarray(1))}`]
  const end = path.indexOf(0)
  return [`sun_path=${quote(end < 0 ? path : path.subarray(0, end))}`]
}

function inet6Text(view: DataView): string {
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(8 + 2 * i, false).toString(16))
  const address = groups.join(':').replace(/(?:^|:)0(?::0)+(?::|$)/, '::')
  return [
    `sin6_port=htons(${view.getUint16(2, false)})`,
    `sin6_flowinfo=htonl(${view.getUint32(4, false)})`,
    `inet_pton(AF_INET6, "${address}", &sin6_addr)`,
    `sin6_scope_id=${view.getUint32(24, true)}`,
  ].join(', ')
}
