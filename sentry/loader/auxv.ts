// The first stack of a program: argument and environment strings, pointers, auxiliary vector.
// create_elf_tables in fs/binfmt_elf.c.
//
//   top     8 zero bytes, file name, environment strings, argument strings
//           (random gap) platform string, 16 random bytes
//   sp ->   argc, argv…, 0, envp…, 0, auxv pairs…

import {
  AT_BASE,
  AT_CLKTCK,
  AT_EGID,
  AT_ENTRY,
  AT_EUID,
  AT_EXECFN,
  AT_FLAGS,
  AT_GID,
  AT_HWCAP,
  AT_HWCAP2,
  AT_MINSIGSTKSZ,
  AT_NULL,
  AT_PAGESZ,
  AT_PHDR,
  AT_PHENT,
  AT_PHNUM,
  AT_PLATFORM,
  AT_RANDOM,
  AT_RSEQ_ALIGN,
  AT_RSEQ_FEATURE_SIZE,
  AT_SECURE,
  AT_SYSINFO_EHDR,
  AT_UID,
  PAGE_SIZE,
} from '../../syscall-table/flags.ts'
import type { Creds } from '../kernel/creds.ts'
import { randomBits, randomBytes } from '../kernel/random.ts'

const PLATFORM = 'x86_64'
const PHDR_SIZE = 56
/** USER_HZ. */
const CLOCK_TICKS = 100
const RANDOM_BYTES = 16

export interface StackPlan {
  /** End of the stack, page aligned. */
  top: number
  argv: readonly string[]
  envp: readonly string[]
  /** AT_EXECFN. */
  fileName: string
  creds: Creds
  secure: boolean
  randomize: boolean
  vdso: number
  hwcap: number
  hwcap2: number
  minSigStackSize: number
  rseqSize: number
  rseqAlign: number
  phdr: number
  phnum: number
  base: number
  entry: number
}

/** The finished stack: `bytes` belong at `sp`. */
export interface StackImage {
  sp: number
  bytes: Uint8Array
  argStart: number
  argEnd: number
  envStart: number
  envEnd: number
  /** Where AT_EXECFN's last component stands: the name of the process. */
  name: number
  auxv: Uint8Array<ArrayBuffer>
}

/** Bytes that the strings of an exec take on the stack. */
export function stringBytes(
  argv: readonly string[],
  envp: readonly string[],
  fileName: string,
): number {
  let total = fileName.length + 1
  for (const s of argv) total += s.length + 1
  for (const s of envp) total += s.length + 1
  return total
}

/** Build the stack as the program will find it. */
export function buildStack(plan: StackPlan): StackImage {
  const { argv, envp, fileName, top } = plan
  const strings = stringBytes(argv, envp, fileName)
  const argStart = top - 8 - strings
  let p = argStart
  if (plan.randomize) p -= randomBits(13)
  p -= p % 16
  const platform = p - PLATFORM.length - 1
  const random = platform - RANDOM_BYTES
  const vector = auxVector(plan, top - 8 - fileName.length - 1, platform, random)
  const words = 1 + argv.length + 1 + envp.length + 1 + vector.length
  let sp = random - words * 8
  sp -= sp % 16
  const bytes = new Uint8Array(top - sp)
  const view = new DataView(bytes.buffer)
  let at = 0
  const put = (value: number): void => {
    view.setUint32(at, value % 2 ** 32, true)
    view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
    at += 8
  }
  put(argv.length)
  let string = argStart
  const putStrings = (list: readonly string[]): void => {
    for (const s of list) {
      put(string)
      writeLatin1(bytes, string - sp, s)
      string += s.length + 1
    }
    put(0)
  }
  putStrings(argv)
  const argEnd = string
  putStrings(envp)
  const envEnd = string
  writeLatin1(bytes, string - sp, fileName)
  const auxvAt = at
  for (const word of vector) put(word)
  writeLatin1(bytes, platform - sp, PLATFORM)
  randomBytes(bytes, random - sp, RANDOM_BYTES)
  const auxv = bytes.slice(auxvAt, at)
  const name = envEnd + fileName.lastIndexOf('/') + 1
  return { sp, bytes, argStart, argEnd, envStart: argEnd, envEnd, name, auxv }
}

function auxVector(plan: StackPlan, execfn: number, platform: number, random: number): number[] {
  const { creds } = plan
  const vector = plan.vdso === 0 ? [] : [AT_SYSINFO_EHDR, plan.vdso]
  vector.push(
    AT_MINSIGSTKSZ,
    plan.minSigStackSize,
    AT_HWCAP,
    plan.hwcap,
    AT_PAGESZ,
    PAGE_SIZE,
    AT_CLKTCK,
    CLOCK_TICKS,
    AT_PHDR,
    plan.phdr,
    AT_PHENT,
    PHDR_SIZE,
    AT_PHNUM,
    plan.phnum,
    AT_BASE,
    plan.base,
    AT_FLAGS,
    0,
    AT_ENTRY,
    plan.entry,
    AT_UID,
    creds.uid,
    AT_EUID,
    creds.euid,
    AT_GID,
    creds.gid,
    AT_EGID,
    creds.egid,
    AT_SECURE,
    plan.secure ? 1 : 0,
    AT_RANDOM,
    random,
    AT_HWCAP2,
    plan.hwcap2,
    AT_EXECFN,
    execfn,
    AT_PLATFORM,
    platform,
  )
  if (plan.rseqSize > 0)
    vector.push(AT_RSEQ_FEATURE_SIZE, plan.rseqSize, AT_RSEQ_ALIGN, plan.rseqAlign)
  vector.push(AT_NULL, 0)
  return vector
}

function writeLatin1(bytes: Uint8Array, at: number, text: string): void {
  Buffer.from(bytes.buffer, bytes.byteOffset + at, text.length).write(text, 'latin1')
}
