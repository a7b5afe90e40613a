// ELF programs: reading and checking headers, and mapping segments. elf(5), fs/binfmt_elf.c. Every number in
// the file is hostile: it is checked before it is used, and nothing is mapped before all has been checked.

import { EINVAL, EIO, ELIBBAD, ENOEXEC, ENOMEM } from '../../syscall-table/errno.ts'
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { type Mm, TASK_SIZE } from '../mm/mm.ts'
import { pageCeil, pageFloor } from '../mm/vma.ts'
import type { File } from '../vfs/file.ts'
import { readExactly } from './read-file.ts'

const EHDR_SIZE = 64
const PHDR_SIZE = 56
const ET_EXEC = 2
const ET_DYN = 3
const EM_X86_64 = 62
const ELFCLASS64 = 2
const ELFDATA2LSB = 1
const PT_LOAD = 1
const PT_INTERP = 3
const PT_PHDR = 6
const PT_GNU_STACK = 0x6474e551
const PF_X = 1
const PF_W = 2
const PF_R = 4
/** Linux reads at most 64 KiB of program headers. */
const MAX_PHDR_BYTES = 65536
const PATH_MAX = 4096

/** One PT_LOAD. All values are checked: the sums do not leave the address space. */
export interface Segment {
  vaddr: number
  offset: number
  fileSize: number
  memSize: number
  prot: number
}

export interface ElfImage {
  /** ET_DYN: may be placed anywhere. */
  relocatable: boolean
  entry: number
  phnum: number
  /** Address of the program headers before relocation, 0 when no segment holds them. */
  phdrAddr: number
  segments: Segment[]
  /** Path of PT_INTERP, latin1; null for static programs. */
  interpreter: string | null
  executableStack: boolean
  /** First and last address, page aligned. */
  low: number
  high: number
  /** Largest p_align, at least a page. */
  align: number
}

/** Zero bytes that must be written over the end of a file page: bss that shares it. */
export interface ZeroFill {
  addr: number
  length: number
}

const header = new Uint8Array(EHDR_SIZE)
const headerView = new DataView(header.buffer)

function u64(v: DataView, at: number): number {
  return v.getUint32(at + 4, true) * 2 ** 32 + v.getUint32(at, true)
}

/**
 * Read and check the headers of a program, or with `asInterpreter` of the interpreter that a program names.
 * Returns -ENOEXEC for what is no program (-ELIBBAD for an interpreter), -EINVAL for segments that cannot be
 * mapped, -EIO for a file that ends too early.
 */
export function readElf(task: Task, file: File, asInterpreter: boolean): ElfImage | number {
  const bad = asInterpreter ? -ELIBBAD : -ENOEXEC
  const n = readExactly(task, file, header, 0, EHDR_SIZE)
  if (n < 0) return asInterpreter || n !== -EIO ? n : -ENOEXEC
  const type = headerView.getUint16(16, true)
  if (headerView.getUint32(0, true) !== 0x464c457f || (type !== ET_EXEC && type !== ET_DYN))
    return bad
  if (header[4] !== ELFCLASS64 || header[5] !== ELFDATA2LSB) return bad
  if (headerView.getUint16(18, true) !== EM_X86_64) return bad
  const phnum = headerView.getUint16(56, true)
  if (headerView.getUint16(54, true) !== PHDR_SIZE) return bad
  if (phnum === 0 || phnum * PHDR_SIZE > MAX_PHDR_BYTES) return bad
  const phoff = u64(headerView, 32)
  if (phoff >= 2 ** 53) return bad
  const image: ElfImage = {
    relocatable: type === ET_DYN,
    entry: u64(headerView, 24),
    phnum,
    phdrAddr: 0,
    segments: [],
    interpreter: null,
    executableStack: false,
    low: 0,
    high: 0,
    align: PAGE_SIZE,
  }
  return readSegments(task, file, image, phoff, asInterpreter)
}

function readSegments(
  task: Task,
  file: File,
  image: ElfImage,
  phoff: number,
  asInterpreter: boolean,
): ElfImage | number {
  const bytes = new Uint8Array(image.phnum * PHDR_SIZE)
  const n = readExactly(task, file, bytes, phoff, bytes.length)
  if (n < 0) return asInterpreter ? -ELIBBAD : -ENOEXEC
  const v = new DataView(bytes.buffer)
  let interpreterSeen = false
  for (let at = 0; at < bytes.length; at += PHDR_SIZE) {
    const type = v.getUint32(at, true)
    const flags = v.getUint32(at + 4, true)
    if (type === PT_GNU_STACK) image.executableStack = (flags & PF_X) !== 0
    else if (type === PT_PHDR) image.phdrAddr = u64(v, at + 16)
    else if (type === PT_INTERP && !asInterpreter && !interpreterSeen) {
      interpreterSeen = true
      const path = readInterpreterPath(task, file, u64(v, at + 8), u64(v, at + 32))
      if (typeof path === 'number') return path
      image.interpreter = path
    } else if (type === PT_LOAD) {
      const error = addSegment(image, v, at, flags)
      if (error < 0) return error
    }
  }
  return finishImage(image, phoff)
}

function readInterpreterPath(
  task: Task,
  file: File,
  offset: number,
  size: number,
): string | number {
  if (size < 2 || size > PATH_MAX || offset >= 2 ** 53) return -ENOEXEC
  const bytes = new Uint8Array(size)
  const n = readExactly(task, file, bytes, offset, size)
  if (n < 0) return n
  if (bytes[size - 1] !== 0) return -ENOEXEC
  return Buffer.from(bytes.buffer, 0, bytes.indexOf(0)).toString('latin1')
}

function addSegment(image: ElfImage, v: DataView, at: number, flags: number): number {
  const segment: Segment = {
    offset: u64(v, at + 8),
    vaddr: u64(v, at + 16),
    fileSize: u64(v, at + 32),
    memSize: u64(v, at + 40),
    prot:
      ((flags & PF_R) !== 0 ? PROT_READ : 0) |
      ((flags & PF_W) !== 0 ? PROT_WRITE : 0) |
      ((flags & PF_X) !== 0 ? PROT_EXEC : 0),
  }
  const { vaddr, offset, fileSize, memSize } = segment
  if (
    vaddr >= TASK_SIZE ||
    fileSize > memSize ||
    memSize > TASK_SIZE ||
    TASK_SIZE - memSize < vaddr
  )
    return -EINVAL
  if (fileSize > 0 && (offset + fileSize >= 2 ** 53 || (vaddr - offset) % PAGE_SIZE !== 0))
    return -EINVAL
  const align = u64(v, at + 48)
  // Only powers of two count, as in maximum_alignment; a huge one would leave the address space anyway.
  if (align > image.align && align <= 2 ** 30 && Number.isInteger(Math.log2(align)))
    image.align = align
  if (memSize > 0) image.segments.push(segment)
  return 0
}

function finishImage(image: ElfImage, phoff: number): ElfImage | number {
  const { segments } = image
  if (segments.length === 0) return -EINVAL
  image.low = Number.POSITIVE_INFINITY
  for (const s of segments) {
    image.low = Math.min(image.low, pageFloor(s.vaddr))
    image.high = Math.max(image.high, pageCeil(s.vaddr + s.memSize))
    if (image.phdrAddr === 0 && s.offset <= phoff && phoff < s.offset + s.fileSize) {
      image.phdrAddr = phoff - s.offset + s.vaddr
    }
  }
  if (image.entry >= TASK_SIZE) return -EINVAL
  return image.high > TASK_SIZE ? -ENOMEM : image
}

/**
 * Map the segments of `image` with `bias` added to every address. Bytes to be zeroed once the pages are there
 * go to `zero`. Returns 0 or -errno.
 */
export function mapElf(
  task: Task,
  mm: Mm,
  file: File,
  image: ElfImage,
  bias: number,
  zero: ZeroFill[],
): number {
  for (const segment of image.segments) {
    const n = mapSegment(task, mm, file, segment, bias, zero)
    if (n < 0) return n
  }
  return 0
}

function mapSegment(
  task: Task,
  mm: Mm,
  file: File,
  segment: Segment,
  bias: number,
  zero: ZeroFill[],
): number {
  const { offset, fileSize, memSize, prot } = segment
  const start = segment.vaddr + bias
  const fileEnd = start + fileSize
  const inPage = start % PAGE_SIZE
  let anonymousFrom = pageFloor(start)
  if (fileSize > 0) {
    const flags = MAP_PRIVATE | MAP_FIXED
    const n = mm.map(task, start - inPage, fileSize + inPage, prot, flags, file, offset - inPage)
    if (n < 0) return n
    anonymousFrom = pageCeil(fileEnd)
    // Linux does not mind a page that it cannot clear when the program cannot write it either.
    if (memSize > fileSize && fileEnd < anonymousFrom && (prot & PROT_WRITE) !== 0) {
      // All of the page: dynamic linkers use what is left of it as zeroed memory.
      zero.push({ addr: fileEnd, length: anonymousFrom - fileEnd })
    }
  }
  const end = pageCeil(start + memSize)
  if (end <= anonymousFrom) return 0
  const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
  const anonymousProt = PROT_READ | PROT_WRITE | (prot & PROT_EXEC)
  const n = mm.map(
    task,
    anonymousFrom,
    end - anonymousFrom,
    fileSize > 0 ? anonymousProt : prot,
    flags,
    null,
    0,
  )
  return n < 0 ? n : 0
}

/** Code, data and bss bounds of a mapped program, for /proc/PID/stat and brk. */
export function recordLayout(mm: Mm, image: ElfImage, bias: number): void {
  mm.codeStart = Number.POSITIVE_INFINITY
  for (const s of image.segments) {
    const start = s.vaddr + bias
    if ((s.prot & PROT_EXEC) !== 0) {
      mm.codeStart = Math.min(mm.codeStart, start)
      mm.codeEnd = Math.max(mm.codeEnd, start + s.fileSize)
    }
    mm.dataStart = Math.max(mm.dataStart, start)
    mm.dataEnd = Math.max(mm.dataEnd, start + s.fileSize)
  }
  if (mm.codeStart === Number.POSITIVE_INFINITY) mm.codeStart = image.low + bias
}
