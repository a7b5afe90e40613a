// One argument of a system call in strace(1)'s notation. What an argument points to is read here, bounded.

import type { Arg } from '../../syscall-table/args.ts'
import { __O_TMPFILE, O_CREAT } from '../../syscall-table/flags.ts'
import type { NamedRow } from '../../syscall-table/syscalls.ts'
import { flagsText, hexText, pointerText, quote, signalText, sigsetText } from './format.ts'
import { modeText, sigactionText, sockaddrText, structSize, structText } from './structs.ts'

/** Reads user memory: returns the bytes copied, or a negative error. */
export interface UserMemory {
  readMemory(addr: number, into: Uint8Array, at: number, length: number): number
}

/** A call as far as it has come: `result` is undefined until it returns. */
export interface Call {
  readonly row: NamedRow
  /** Two u32 for each register. */
  readonly regs: Uint32Array
  readonly memory: UserMemory
  readonly result: number | undefined
  /** Bytes of a buffer that are shown. */
  readonly textMax: number
}

const MAX_ITEMS = 32
const MAX_PATH = 4096

/** The arguments that are known when the call starts end where the first one is that the kernel fills in. */
export function isFilledByKernel(arg: Arg): boolean {
  if ('dir' in arg && arg.dir !== 'in') return true
  return arg.show === 'fdset'
}

/** The arguments of the row that are shown: open(2)'s mode only when a file may be created. */
export function shownArgs(row: NamedRow, regs: Uint32Array): Arg[] {
  const args = Object.values(row.args)
  if (args.at(-1)?.show !== 'createMode') return args
  const flags = regs[2 * (args.length - 2)]!
  return (flags & (O_CREAT | __O_TMPFILE)) === 0 ? args.slice(0, -1) : args
}

/** Text of argument `i`. */
export function argText(call: Call, i: number, arg: Arg): string {
  const value = registerOf(call.regs, i)
  switch (arg.show) {
    case 'number':
      return String(decoded(arg.decode, value))
    case 'hex':
      if (arg.decode === 'long' && value === 0n) return '0'
      return pointerText(arg.decode === 'uint' ? BigInt.asUintN(32, value) : value)
    case 'octal':
    case 'createMode':
      return modeText(Number(BigInt.asUintN(32, value)))
    case 'id': {
      const id = Number(BigInt.asUintN(32, value))
      return id === 0xffffffff ? '-1' : String(id)
    }
    case 'fd':
      return String(BigInt.asIntN(32, value))
    case 'dirfd': {
      const fd = BigInt.asIntN(32, value)
      return fd === -100n ? 'AT_FDCWD' : String(fd)
    }
    case 'signal':
      return signalText(Number(BigInt.asIntN(32, value)))
    case 'flags':
      return flagsText(arg.set, arg.decode === 'size' ? value : BigInt.asUintN(32, value))
    default:
      return value === 0n ? 'NULL' : pointedText(call, arg, value)
  }
}

function decoded(decode: Arg['decode'], value: bigint): bigint {
  if (decode === 'int') return BigInt.asIntN(32, value)
  if (decode === 'uint') return BigInt.asUintN(32, value)
  return decode === 'long' ? BigInt.asIntN(64, value) : value
}

/** What a pointer argument points to; just the address when that is not known (yet) or cannot be read. */
function pointedText(call: Call, arg: Arg, value: bigint): string {
  const plain = hexText(value)
  if (value >= 1n << 47n) return plain
  const failed = call.result !== undefined && call.result < 0
  if (failed && 'dir' in arg && arg.dir === 'out') return plain
  const addr = Number(value)
  switch (arg.show) {
    case 'string':
      return stringText(call.memory, addr) ?? plain
    case 'strings':
      return stringsText(call.memory, addr) ?? plain
    case 'buffer':
      return bufferText(call, addr, bufferLength(call, arg.dir, arg.count)) ?? plain
    case 'struct':
      return (
        itemText(call.memory, addr, structSize(arg.struct), b => structText(arg.struct, b, 0)) ??
        plain
      )
    case 'structs':
      return structsText(call, addr, arg) ?? plain
    case 'iovec':
      return iovecText(call, addr, arg.dir, Number(namedArg(call, arg.count))) ?? plain
    case 'sigset':
      return (
        itemText(call.memory, addr, 8, b => sigsetText(viewOf(b).getBigUint64(0, true))) ?? plain
      )
    case 'sigaction':
      return itemText(call.memory, addr, 32, sigactionText) ?? plain
    case 'sockaddr':
      return sockaddrArgText(call, addr, arg) ?? plain
    case 'msghdr':
      return itemText(call.memory, addr, 56, b => msghdrText(call, b, arg.dir)) ?? plain
    case 'ints':
      return intsText(call, addr, arg.count) ?? plain
    case 'longs':
      return (
        itemText(call.memory, addr, 8 * arg.count, b => {
          const view = viewOf(b)
          const items = Array.from({ length: arg.count }, (_, i) => view.getBigInt64(8 * i, true))
          return `[${items.join(', ')}]`
        }) ?? plain
      )
    case 'timespecs':
    case 'timevals':
      return pairText(call.memory, addr, arg.show === 'timespecs' ? 'timespec' : 'timeval') ?? plain
    case 'fdset':
      return fdsetText(call, addr) ?? plain
    default:
      return plain
  }
}

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset)

const registerOf = (regs: Uint32Array, i: number) =>
  (BigInt(regs[2 * i + 1]!) << 32n) | BigInt(regs[2 * i]!)

/** Value of another argument of the call. */
function namedArg(call: Call, name: string): bigint {
  const i = Object.keys(call.row.args).indexOf(name)
  const arg = call.row.args[name]
  return i < 0 || arg === undefined ? 0n : decoded(arg.decode, registerOf(call.regs, i))
}

function readBytes(memory: UserMemory, addr: number, length: number): Uint8Array | undefined {
  const bytes = new Uint8Array(length)
  if (length === 0) return bytes
  const n = memory.readMemory(addr, bytes, 0, length)
  return n < 0 ? undefined : bytes.subarray(0, n)
}

function itemText(
  memory: UserMemory,
  addr: number,
  size: number,
  show: (bytes: Uint8Array) => string,
): string | undefined {
  const bytes = readBytes(memory, addr, size)
  return bytes === undefined || bytes.length < size ? undefined : show(bytes)
}

function stringText(memory: UserMemory, addr: number): string | undefined {
  const bytes = readBytes(memory, addr, MAX_PATH)
  if (bytes === undefined || bytes.length === 0) return undefined
  const end = bytes.indexOf(0)
  return end < 0 ? quote(bytes, true) : quote(bytes.subarray(0, end))
}

function stringsText(memory: UserMemory, addr: number): string | undefined {
  const items: string[] = []
  for (let i = 0; i < MAX_ITEMS; i++) {
    const word = readBytes(memory, addr + 8 * i, 8)
    if (word === undefined || word.length < 8) return undefined
    const pointer = viewOf(word).getBigUint64(0, true)
    if (pointer === 0n) return `[${items.join(', ')}]`
    items.push(stringText(memory, Number(pointer)) ?? hexText(pointer))
  }
  return `[${items.join(', ')}, ...]`
}

/** How much of a buffer holds data: what the call returned, for one that the kernel filled. */
function bufferLength(call: Call, dir: string, count: string): number {
  const asked = Math.max(Number(namedArg(call, count)), 0)
  return dir === 'in' || call.result === undefined ? asked : Math.min(asked, call.result)
}

function bufferText(call: Call, addr: number, length: number): string | undefined {
  const bytes = readBytes(call.memory, addr, Math.min(length, call.textMax))
  return bytes === undefined ? undefined : quote(bytes, length > bytes.length)
}

type StructsArg = Extract<Arg, { show: 'structs' }>

function structsText(call: Call, addr: number, arg: StructsArg): string | undefined {
  const asked = Number(namedArg(call, arg.count))
  const count = arg.dir === 'out' ? Math.min(asked, call.result ?? 0) : asked
  const shown = Math.max(Math.min(count, MAX_ITEMS), 0)
  const size = structSize(arg.struct)
  return itemText(call.memory, addr, size * shown, bytes => {
    const items = Array.from({ length: shown }, (_, i) =>
      arg.struct === 'pollfd'
        ? pollfdText(call, bytes, i * size)
        : structText(arg.struct, bytes, i * size),
    )
    return `[${[...items, ...(count > shown ? ['...'] : [])].join(', ')}]`
  })
}

function pollfdText(call: Call, bytes: Uint8Array, at: number): string {
  const view = viewOf(bytes)
  const revents = view.getUint16(at + 6, true)
  const back =
    call.result === undefined || revents === 0
      ? ''
      : `, revents=${flagsText('POLL', BigInt(revents))}`
  const events = flagsText('POLL', BigInt(view.getUint16(at + 4, true)))
  return `{fd=${view.getInt32(at, true)}, events=${events}${back}}`
}

function iovecText(call: Call, addr: number, dir: string, count: number): string | undefined {
  const shown = Math.max(Math.min(count, MAX_ITEMS), 0)
  let left = dir === 'in' ? Number.POSITIVE_INFINITY : (call.result ?? 0)
  return itemText(call.memory, addr, 16 * shown, bytes => {
    const view = viewOf(bytes)
    const items = Array.from({ length: shown }, (_, i) => {
      const base = view.getBigUint64(16 * i, true)
      const length = Number(view.getBigUint64(16 * i + 8, true))
      // The call may have failed: its result is no length then.
      const used = Math.min(length, Math.max(left, 0))
      left -= used
      const text =
        base === 0n || base >= 1n << 47n ? undefined : bufferText(call, Number(base), used)
      return `{iov_base=${text ?? pointerText(base)}, iov_len=${length}}`
    })
    return `[${[...items, ...(count > shown ? ['...'] : [])].join(', ')}]`
  })
}

type SockaddrArg = Extract<Arg, { show: 'sockaddr' }>

function sockaddrArgText(call: Call, addr: number, arg: SockaddrArg): string | undefined {
  let length = Number(namedArg(call, arg.count))
  if (arg.dir === 'out') {
    const word = length === 0 ? undefined : readBytes(call.memory, length, 4)
    if (word === undefined || word.length < 4) return undefined
    length = viewOf(word).getInt32(0, true)
  }
  const bytes = readBytes(call.memory, addr, Math.max(Math.min(length, 128), 0))
  return bytes === undefined ? undefined : sockaddrText(bytes)
}

function msghdrText(call: Call, bytes: Uint8Array, dir: string): string {
  const view = viewOf(bytes)
  const name = view.getBigUint64(0, true)
  const nameLength = view.getInt32(8, true)
  const nameBytes =
    name === 0n
      ? undefined
      : readBytes(call.memory, Number(name), Math.max(Math.min(nameLength, 128), 0))
  const iov = view.getBigUint64(16, true)
  const iovCount = Number(view.getBigUint64(24, true))
  const parts = [
    `msg_name=${nameBytes === undefined ? pointerText(name) : sockaddrText(nameBytes)}`,
    `msg_namelen=${nameLength}`,
    `msg_iov=${iovecText(call, Number(iov), dir, iovCount) ?? pointerText(iov)}`,
    `msg_iovlen=${iovCount}`,
    `msg_controllen=${view.getBigUint64(40, true)}`,
    `msg_flags=${flagsText('MSG', BigInt(view.getUint32(48, true)))}`,
  ]
  return `{${parts.join(', ')}}`
}

function intsText(call: Call, addr: number, count: number): string | undefined {
  return itemText(call.memory, addr, 4 * count, bytes => {
    const view = viewOf(bytes)
    const items = Array.from({ length: count }, (_, i) => view.getInt32(4 * i, true))
    if (call.row.name === 'wait4') return `[${waitStatusText(items[0] ?? 0)}]`
    return `[${items.join(', ')}]`
  })
}

/** A wait(2) status by the macros that take it apart. */
export function waitStatusText(status: number): string {
  if (status === 0xffff) return '{WIFCONTINUED(s)}'
  const signo = status & 0x7f
  if ((status & 0xff) === 0x7f)
    return `{WIFSTOPPED(s) && WSTOPSIG(s) == ${signalText(status >> 8)}}`
  if (signo === 0) return `{WIFEXITED(s) && WEXITSTATUS(s) == ${(status >> 8) & 0xff}}`
  const dumped = (status & 0x80) === 0 ? '' : ' && WCOREDUMP(s)'
  return `{WIFSIGNALED(s) && WTERMSIG(s) == ${signalText(signo)}${dumped}}`
}

function pairText(
  memory: UserMemory,
  addr: number,
  name: 'timespec' | 'timeval',
): string | undefined {
  return itemText(memory, addr, 32, bytes => {
    const one = (at: number) => {
      const nsec = viewOf(bytes).getBigInt64(at + 8, true)
      if (name === 'timespec' && nsec === 0x3fffffffn) return 'UTIME_NOW'
      if (name === 'timespec' && nsec === 0x3ffffffen) return 'UTIME_OMIT'
      return structText(name, bytes, at)
    }
    return `[${one(0)}, ${one(16)}]`
  })
}

function fdsetText(call: Call, addr: number): string | undefined {
  const limit = Math.max(Math.min(Number(namedArg(call, 'nfds')), 1024), 0)
  const bytes = readBytes(call.memory, addr, Math.ceil(limit / 64) * 8)
  if (bytes === undefined) return undefined
  const members: number[] = []
  for (let fd = 0; fd < limit; fd++) if (((bytes[fd >> 3] ?? 0) >> (fd & 7)) & 1) members.push(fd)
  return `[${members.join(' ')}]`
}
