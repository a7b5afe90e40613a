// The file format of core dumps: an ELF file of type ET_CORE, whose notes tell of the process and whose segments are
// its memory. core(5), fs/binfmt_elf.c elf_core_dump.

export const EHDR_SIZE = 64
export const PHDR_SIZE = 56
const ET_CORE = 4
const EM_X86_64 = 62
const PT_NOTE = 4
const PT_LOAD = 1

/** Types of notes. */
export const NT_PRSTATUS = 1
export const NT_FPREGSET = 2
export const NT_PRPSINFO = 3
export const NT_AUXV = 6
export const NT_SIGINFO = 0x53494749
export const NT_FILE = 0x46494c45

const PRSTATUS_SIZE = 336
const PRPSINFO_SIZE = 136
const PRSTATUS_REGS = 112
const PRSTATUS_FPVALID = 328
const COMM_SIZE = 16
const ARGUMENTS_SIZE = 80

/** A part of memory: how much of it the file holds, and where. */
export interface CoreSegment {
  start: number
  end: number
  /** PF_*: read 4, write 2, execute 1. */
  flags: number
  /** Bytes from `start` that are in the file. */
  stored: number
}

/** What notes tell of a process. */
export interface CoreProcess {
  pid: number
  ppid: number
  pgrp: number
  session: number
  uid: number
  gid: number
  nice: number
  signo: number
  comm: string
  /** The command line, with blanks between the arguments. */
  commandLine: string
}

const align = (n: number, to: number): number => Math.ceil(n / to) * to

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function setWord(to: DataView, at: number, value: number): void {
  to.setUint32(at, value % 2 ** 32, true)
  to.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
}

/** One note of the owner "CORE". */
export function note(type: number, content: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + 8 + align(content.length, 4))
  const v = view(bytes)
  v.setUint32(0, 5, true)
  v.setUint32(4, content.length, true)
  v.setUint32(8, type, true)
  bytes.set(Buffer.from('CORE\0', 'latin1'), 12)
  bytes.set(content, 20)
  return bytes
}

/** struct elf_prstatus of one thread: `regs` is its struct user_regs_struct. */
export function prstatus(process: CoreProcess, tid: number, regs: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(PRSTATUS_SIZE)
  const v = view(bytes)
  v.setInt32(0, process.signo, true)
  v.setInt16(12, process.signo, true)
  ;[tid, process.ppid, process.pgrp, process.session].forEach((id, i) => {
    v.setInt32(32 + i * 4, id, true)
  })
  regs.forEach((word, i) => {
    v.setUint32(PRSTATUS_REGS + i * 4, word, true)
  })
  v.setInt32(PRSTATUS_FPVALID, 1, true)
  return bytes
}

/** struct elf_prpsinfo. */
export function prpsinfo(process: CoreProcess): Uint8Array {
  const bytes = new Uint8Array(PRPSINFO_SIZE)
  const v = view(bytes)
  bytes[1] = 'R'.charCodeAt(0)
  v.setInt8(3, process.nice)
  v.setUint32(16, process.uid, true)
  v.setUint32(20, process.gid, true)
  ;[process.pid, process.ppid, process.pgrp, process.session].forEach((id, i) => {
    v.setInt32(24 + i * 4, id, true)
  })
  bytes.set(Buffer.from(process.comm, 'latin1').subarray(0, COMM_SIZE - 1), 40)
  bytes.set(Buffer.from(process.commandLine, 'latin1').subarray(0, ARGUMENTS_SIZE - 1), 56)
  return bytes
}

/** NT_FILE: which files lie where. Offsets count pages. */
export function fileNote(
  pageSize: number,
  files: readonly { start: number; end: number; offset: number; name: string }[],
): Uint8Array {
  const names = Buffer.from(files.map(file => `${file.name}\0`).join(''), 'latin1')
  const bytes = new Uint8Array(16 + files.length * 24 + names.length)
  const v = view(bytes)
  setWord(v, 0, files.length)
  setWord(v, 8, pageSize)
  files.forEach(({ start, end, offset }, i) => {
    setWord(v, 16 + i * 24, start)
    setWord(v, 24 + i * 24, end)
    setWord(v, 32 + i * 24, offset / pageSize)
  })
  bytes.set(names, 16 + files.length * 24)
  return bytes
}

/** All that comes before the memory. Segment i of the file begins at `offsets[i]`. */
export function coreHeader(
  pageSize: number,
  notes: readonly Uint8Array[],
  segments: readonly CoreSegment[],
): { bytes: Uint8Array; offsets: number[] } {
  const notesAt = EHDR_SIZE + PHDR_SIZE * (segments.length + 1)
  const notesSize = notes.reduce((sum, { length }) => sum + length, 0)
  const bytes = new Uint8Array(notesAt + notesSize)
  const v = view(bytes)
  // Class 64, little-endian, version 1.
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  v.setUint16(16, ET_CORE, true)
  v.setUint16(18, EM_X86_64, true)
  v.setUint32(20, 1, true)
  setWord(v, 32, EHDR_SIZE)
  v.setUint16(52, EHDR_SIZE, true)
  v.setUint16(54, PHDR_SIZE, true)
  v.setUint16(56, segments.length + 1, true)
  const header = (i: number, type: number, flags: number, values: readonly number[]): void => {
    const at = EHDR_SIZE + PHDR_SIZE * i
    v.setUint32(at, type, true)
    v.setUint32(at + 4, flags, true)
    values.forEach((value, j) => {
      setWord(v, at + 8 + j * 8, value)
    })
  }
  // Offset, address, physical address, size in the file, size in memory, alignment.
  header(0, PT_NOTE, 0, [notesAt, 0, 0, notesSize, 0, 4])
  const offsets: number[] = []
  let offset = align(bytes.length, pageSize)
  segments.forEach(({ start, end, flags, stored }, i) => {
    header(i + 1, PT_LOAD, flags, [offset, start, 0, stored, end - start, pageSize])
    offsets.push(offset)
    offset += stored
  })
  let at = notesAt
  for (const part of notes) {
    bytes.set(part, at)
    at += part.length
  }
  return { bytes, offsets }
}
