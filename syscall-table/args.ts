// Types of system call arguments. Each says how the dispatcher decodes the register (`decode`), which fixes
// what the handler receives, and how strace shows it (`show` and its details).

import type { FlagSetName } from './flags/sets.ts'
import type { StructName } from './structs.ts'

/**
 * int: low 32 bits, signed. uint: low 32 bits. size: all 64 bits as a double (2^53 and more lose precision but
 * stay that large). long: all 64 bits, signed. bits64: two parameters, low and high u32.
 */
export type Decode = 'int' | 'uint' | 'size' | 'long' | 'bits64'

/** When the kernel reads or writes the memory that an argument points to. */
export type Direction = 'in' | 'out' | 'inout'

export type Arg =
  | { readonly decode: Decode; readonly show: 'number' | 'hex' | 'octal' | 'id' | 'fd' | 'dirfd' }
  | { readonly decode: 'int'; readonly show: 'signal' }
  | { readonly decode: 'uint'; readonly show: 'createMode' }
  | { readonly decode: Decode; readonly show: 'flags'; readonly set: FlagSetName }
  | { readonly decode: 'size'; readonly show: 'string' | 'strings' }
  | { readonly decode: 'size'; readonly show: 'timespecs' | 'timevals' | 'fdset' }
  | { readonly decode: 'size'; readonly show: 'sigaction' | 'msghdr'; readonly dir: Direction }
  | {
      readonly decode: 'size'
      readonly show: 'buffer'
      readonly dir: Direction
      readonly count: string
    }
  | {
      readonly decode: 'size'
      readonly show: 'struct'
      readonly dir: Direction
      readonly struct: StructName
    }
  | {
      readonly decode: 'size'
      readonly show: 'structs'
      readonly dir: Direction
      readonly struct: StructName
      /** Name of the argument that holds the number of elements; for 'out' the result counts, when it is less. */
      readonly count: string
    }
  | {
      readonly decode: 'size'
      readonly show: 'iovec'
      readonly dir: Direction
      readonly count: string
    }
  | { readonly decode: 'size'; readonly show: 'sigset'; readonly dir: Direction }
  | {
      readonly decode: 'size'
      readonly show: 'sockaddr'
      readonly dir: Direction
      readonly count: string
    }
  | {
      readonly decode: 'size'
      readonly show: 'ints'
      readonly dir: Direction
      readonly count: number
    }
  | {
      readonly decode: 'size'
      readonly show: 'longs'
      readonly dir: Direction
      readonly count: number
    }

export const int = { decode: 'int', show: 'number' } as const
export const uint = { decode: 'uint', show: 'number' } as const
/** size_t and other unsigned long values. */
export const size = { decode: 'size', show: 'number' } as const
/** off_t, loff_t: signed 64 bits. */
export const off = { decode: 'long', show: 'number' } as const
/** A word whose meaning depends on another argument; signed, so that small negative numbers stay exact. */
export const word = { decode: 'long', show: 'hex' } as const
/** An address that the table says nothing more about. */
export const addr = { decode: 'size', show: 'hex' } as const
export const bits64 = { decode: 'bits64', show: 'hex' } as const
export const hex = { decode: 'uint', show: 'hex' } as const
export const mode = { decode: 'uint', show: 'octal' } as const
/** The last argument of open(2): only there when the argument `flags` may create a file. */
export const createMode = { decode: 'uint', show: 'createMode' } as const
/** uid_t or gid_t; all ones mean "none" and are shown as -1. */
export const id = { decode: 'uint', show: 'id' } as const
export const fd = { decode: 'int', show: 'fd' } as const
/** A directory's descriptor or AT_FDCWD. */
export const dirfd = { decode: 'int', show: 'dirfd' } as const
export const pid = { decode: 'int', show: 'number' } as const
export const signo = { decode: 'int', show: 'signal' } as const
/** A path or another NUL-terminated string. */
export const path = { decode: 'size', show: 'string' } as const
export const str = path
/** A NULL-terminated vector of strings. */
export const strings = { decode: 'size', show: 'strings' } as const
export const fdset = { decode: 'size', show: 'fdset' } as const
export const sigaction = { decode: 'size', show: 'sigaction', dir: 'in' } as const
export const oldSigaction = { decode: 'size', show: 'sigaction', dir: 'out' } as const
/** utimensat(2)'s two struct timespec. */
export const timespecs = { decode: 'size', show: 'timespecs' } as const
/** utimes(2)'s two struct timeval. */
export const inTimevals = { decode: 'size', show: 'timevals' } as const
/** The message that sendmsg(2) sends, and the one that recvmsg(2) fills. */
export const inMsghdr = { decode: 'size', show: 'msghdr', dir: 'in' } as const
export const msghdr = { decode: 'size', show: 'msghdr', dir: 'inout' } as const

/** An int (32 bits) of flags or an enumeration. */
export const flags = <S extends FlagSetName>(set: S) =>
  ({ decode: 'int', show: 'flags', set }) as const
/** An unsigned int of flags. */
export const flagsU = <S extends FlagSetName>(set: S) =>
  ({ decode: 'uint', show: 'flags', set }) as const
/** An unsigned long of flags. */
export const flags64 = <S extends FlagSetName>(set: S) =>
  ({ decode: 'size', show: 'flags', set }) as const
export const inBuf = (count: string) =>
  ({ decode: 'size', show: 'buffer', dir: 'in', count }) as const
export const outBuf = (count: string) =>
  ({ decode: 'size', show: 'buffer', dir: 'out', count }) as const
export const inp = (struct: StructName) =>
  ({ decode: 'size', show: 'struct', dir: 'in', struct }) as const
export const out = (struct: StructName) =>
  ({ decode: 'size', show: 'struct', dir: 'out', struct }) as const
export const inout = (struct: StructName) =>
  ({ decode: 'size', show: 'struct', dir: 'inout', struct }) as const
export const inArray = (struct: StructName, count: string) =>
  ({ decode: 'size', show: 'structs', dir: 'in', struct, count }) as const
export const outArray = (struct: StructName, count: string) =>
  ({ decode: 'size', show: 'structs', dir: 'out', struct, count }) as const
export const inoutArray = (struct: StructName, count: string) =>
  ({ decode: 'size', show: 'structs', dir: 'inout', struct, count }) as const
export const inIovec = (count: string) =>
  ({ decode: 'size', show: 'iovec', dir: 'in', count }) as const
export const outIovec = (count: string) =>
  ({ decode: 'size', show: 'iovec', dir: 'out', count }) as const
export const inSigset = { decode: 'size', show: 'sigset', dir: 'in' } as const
export const outSigset = { decode: 'size', show: 'sigset', dir: 'out' } as const
/** `count` names the argument with the address' length. */
export const inSockaddr = (count: string) =>
  ({ decode: 'size', show: 'sockaddr', dir: 'in', count }) as const
/** `count` names the argument that points to the address' length. */
export const outSockaddr = (count: string) =>
  ({ decode: 'size', show: 'sockaddr', dir: 'out', count }) as const
export const inInts = (count: number) =>
  ({ decode: 'size', show: 'ints', dir: 'in', count }) as const
export const outInts = (count: number) =>
  ({ decode: 'size', show: 'ints', dir: 'out', count }) as const
export const inoutInts = (count: number) =>
  ({ decode: 'size', show: 'ints', dir: 'inout', count }) as const
export const outLongs = (count: number) =>
  ({ decode: 'size', show: 'longs', dir: 'out', count }) as const
export const inoutLongs = (count: number) =>
  ({ decode: 'size', show: 'longs', dir: 'inout', count }) as const
