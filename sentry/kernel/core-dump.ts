// Core dumps: what a process was like when a signal ended it, in a file named by kernel.core_pattern. core(5),
// fs/coredump.c.
// LIMIT: of other threads nothing but the memory is dumped, as they still run.
// LIMIT: a core holds no more than 256 MiB of memory, so that other processes need not wait long.

import {
  AT_FDCWD,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  PAGE_SIZE,
  RLIMIT_CORE,
  S_IFMT,
  S_IFREG,
} from '../../syscall-table/flags.ts'
import {
  type CoreProcess,
  type CoreSegment,
  coreHeader,
  fileNote,
  NT_AUXV,
  NT_FILE,
  NT_FPREGSET,
  NT_PRPSINFO,
  NT_PRSTATUS,
  NT_SIGINFO,
  note,
  prpsinfo,
  prstatus,
} from '../loader/core-file.ts'
import { KernelIo } from '../mm/io.ts'
import { isAnonymous } from '../mm/shared-memory.ts'
import { pageFloor, VMA_DONTDUMP, VMA_PRISTINE, type Vma } from '../mm/vma.ts'
import { REG } from '../platform.ts'
import { dPath } from '../vfs/d-path.ts'
import type { File } from '../vfs/file.ts'
import { unlinkName } from '../vfs/names.ts'
import { openPath } from '../vfs/open.ts'
import { getReg } from './clone.ts'
import { SIGINFO_SIZE, writeSigInfo } from './signal-frame.ts'
import type { SigInfo } from './signal-state.ts'
import type { Task } from './task.ts'
import { refreshBases, userRegsOf } from './user-regs.ts'

/** wait(2) status bit: a core was dumped. */
export const STATUS_DUMPED = 0x80

// Bits of /proc/PID/coredump_filter.
const DUMP_ANON_PRIVATE = 1
const DUMP_ANON_SHARED = 2
const DUMP_FILE_PRIVATE = 4
const DUMP_FILE_SHARED = 8
const DUMP_ELF_HEADERS = 16

/** The red zone: bytes below the stack pointer that belong to a function. */
const RED_ZONE = 128
const MEMORY_MAX = 256 << 20
const CHUNK = 1 << 16
const FXSAVE_SIZE = 512
const FILE_NOTE_MAX = 4 << 20
/** Program headers are counted by 16 bits, and the last value means something else. */
const SEGMENTS_MAX = 0xfffe
const ELF_MAGIC = 0x464c457f

const chunk = new Uint8Array(CHUNK)
const zeros = new Uint8Array(PAGE_SIZE)
const fpu = new Uint8Array(1 << 14)
const io = new KernelIo(chunk)

/**
 * A process ends by `info`: its core, if it may have one. `task.thread.regs` are the registers at the signal.
 * Returns STATUS_DUMPED or 0.
 */
export function dumpCore(task: Task, info: SigInfo): number {
  const { group } = task
  const limit = group.rlimits[RLIMIT_CORE]!.cur
  if (limit < PAGE_SIZE || group.dumpable !== 1) return 0
  const { segments, stack } = segmentsOf(task)
  if (segments.length > SEGMENTS_MAX) return 0
  const file = createFile(task, coreName(task, info.signo))
  if (file === null) return 0
  share(segments, stack)
  writeCore(task, file, info, segments, limit)
  file.unref()
  return STATUS_DUMPED
}

/** The name by kernel.core_pattern: format_corename. */
function coreName(task: Task, signo: number): string {
  const { group, kernel, creds } = task
  const { corePattern, coreUsesPid } = kernel.tunables
  const pid = `${group.pid.numberIn(task.pidNs)}`
  const inName = (text: string) => text.replaceAll('/', '!')
  const words: Record<string, () => string> = {
    '%': () => '%',
    p: () => pid,
    P: () => `${group.pid.numbers[0]}`,
    i: () => `${task.pid.numberIn(task.pidNs)}`,
    I: () => `${task.pid.numbers[0]}`,
    u: () => `${creds.uid}`,
    g: () => `${creds.gid}`,
    d: () => `${group.dumpable}`,
    s: () => `${signo}`,
    t: () => `${Math.floor(wallClockSeconds(task))}`,
    h: () => inName(task.nsproxy.uts.nodename),
    e: () => inName(task.comm),
    E: () => inName(exePath(task)),
    f: () => exePath(task).replace(/.*\//, ''),
    c: () => limitText(group.rlimits[RLIMIT_CORE]!.cur),
  }
  const name = corePattern.replaceAll(/%(.)?/g, (_all, letter: string | undefined) =>
    letter === undefined ? '' : (words[letter]?.() ?? ''),
  )
  return coreUsesPid !== 0 && !corePattern.includes('%p') ? `${name}.${pid}` : name
}

const limitText = (limit: number): string => (limit < 2 ** 64 ? `${limit}` : `${2n ** 64n - 1n}`)

const now = { sec: 0, nsec: 0 }
function wallClockSeconds({ kernel }: Task): number {
  kernel.clock.realtime(now)
  return now.sec
}

function exePath(task: Task): string {
  const { exeFile } = task.mm
  return exeFile === null ? task.comm : dPath(exeFile.mount, exeFile.dentry, task.fs.root)
}

/** Always a new file, of the process itself: who else has a file of that name does not get the core. */
function createFile(task: Task, name: string): File | null {
  if (name === '') return null
  unlinkName(task, AT_FDCWD, name)
  const flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW
  const file = openPath(task, AT_FDCWD, name, flags, 0o600, 0)
  if (typeof file === 'number') return null
  if ((file.inode.mode & S_IFMT) === S_IFREG && file.inode.uid === task.creds.fsuid) return file
  file.unref()
  return null
}

/** The areas, with what the filter says of each: vma_dump_size. */
function segmentsOf(task: Task): { segments: CoreSegment[]; stack: CoreSegment | null } {
  const { vmas } = task.mm
  const sp = getReg(task.thread, REG.rsp)
  const segments: CoreSegment[] = []
  let stack: CoreSegment | null = null
  for (let i = 0; i < vmas.count; i++) {
    const vma = vmas.at(i)!
    const holdsSp = sp >= vma.start && sp < vma.end
    // What lies below the stack pointer has been mapped for the stack to grow into.
    const start = holdsSp ? Math.max(vma.start, pageFloor(sp - RED_ZONE)) : vma.start
    const segment = { start, end: vma.end, flags: flagsOf(vma), stored: dumpSize(task, vma, start) }
    if (holdsSp) stack = segment
    segments.push(segment)
  }
  return { segments, stack }
}

/** PROT_READ, WRITE and EXEC as PF_R, PF_W and PF_X. */
const flagsOf = ({ prot }: Vma): number => ((prot & 1) << 2) | (prot & 2) | ((prot & 4) >> 2)

function dumpSize(task: Task, vma: Vma, start: number): number {
  const filter = task.mm.dumpFilter
  const whole = vma.end - start
  const has = (bit: number) => (filter & bit) !== 0
  if ((vma.flags & VMA_DONTDUMP) !== 0) return 0
  const { file } = vma
  if (vma.shared) {
    const anonymous = file === null || isAnonymous(file)
    return has(anonymous ? DUMP_ANON_SHARED : DUMP_FILE_SHARED) ? whole : 0
  }
  const written = file === null || (vma.flags & VMA_PRISTINE) === 0
  if (written && has(DUMP_ANON_PRIVATE)) return whole
  if (file === null) return 0
  if (has(DUMP_FILE_PRIVATE)) return whole
  if (!has(DUMP_ELF_HEADERS) || vma.offset !== 0) return 0
  const { scratch, scratchView } = task.kernel
  const readable = task.mm.copyIn(task, vma.start, scratch, 0, 4) === 0
  return readable && scratchView.getUint32(0, true) === ELF_MAGIC ? PAGE_SIZE : 0
}

/** Divide what may be stored: the stack comes first, then the areas in their order. */
function share(segments: readonly CoreSegment[], stack: CoreSegment | null): void {
  let left = MEMORY_MAX
  for (const segment of stack === null ? segments : [stack, ...segments]) {
    if (segment === stack && left < MEMORY_MAX) continue
    segment.stored = Math.min(segment.stored, left)
    left -= segment.stored
  }
}

function writeCore(
  task: Task,
  file: File,
  info: SigInfo,
  segments: readonly CoreSegment[],
  limit: number,
): void {
  const { bytes, offsets } = coreHeader(PAGE_SIZE, notesOf(task, info), segments)
  const length = Math.min(bytes.length, limit)
  const out = new KernelIo(bytes).reset(bytes, 0, length)
  if (file.ops.write(file, out, 0, task) !== length) return
  let end = 0
  for (let i = 0; i < segments.length; i++) {
    const { start, stored } = segments[i]!
    if (stored > 0) end = offsets[i]! + stored
    for (let at = 0; at < stored; at += CHUNK) {
      const to = offsets[i]! + at
      if (to >= limit) return
      const n = Math.min(CHUNK, stored - at, limit - to)
      if (!writeChunk(task, file, start + at, n, to)) return
    }
  }
  // The end counts also where it is a hole.
  const last = Math.min(end, limit) - 1
  if (last >= bytes.length) file.ops.write(file, new KernelIo(zeros).reset(zeros, 0, 1), last, task)
}

/** Pages that cannot be read, and pages of zeros, stay holes. */
function writeChunk(task: Task, file: File, from: number, length: number, to: number): boolean {
  const n = Math.max(task.mm.copyInPartial(task, from, chunk, 0, length), 0)
  for (let at = 0; at < n; ) {
    if (isZero(at, n)) {
      at += PAGE_SIZE
      continue
    }
    let end = at
    while (end < n && !isZero(end, n)) end += PAGE_SIZE
    const size = Math.min(end, n) - at
    if (file.ops.write(file, io.reset(chunk, at, size), to + at, task) !== size) return false
    at = end
  }
  const next = (Math.floor(n / PAGE_SIZE) + 1) * PAGE_SIZE
  return next >= length || writeChunk(task, file, from + next, length - next, to + next)
}

function isZero(at: number, end: number): boolean {
  return Buffer.compare(chunk.subarray(at, Math.min(at + PAGE_SIZE, end)), zeros) === 0
}

function notesOf(task: Task, info: SigInfo): Uint8Array[] {
  const process = processOf(task, info.signo)
  const siginfo = new Uint8Array(SIGINFO_SIZE)
  writeSigInfo(new DataView(siginfo.buffer), 0, info)
  const tid = task.pid.numberIn(task.pidNs)
  refreshBases(task)
  const notes = [
    note(NT_PRSTATUS, prstatus(process, tid, userRegsOf(task, task.syscallNr))),
    note(NT_PRPSINFO, prpsinfo(process)),
    note(NT_SIGINFO, siginfo),
    note(NT_AUXV, task.mm.auxv),
  ]
  const files = fileNote(PAGE_SIZE, mappedFiles(task))
  if (files.length <= FILE_NOTE_MAX) notes.push(note(NT_FILE, files))
  if (task.kernel.platform.getFpu(task.thread, fpu) >= FXSAVE_SIZE)
    notes.push(note(NT_FPREGSET, fpu.slice(0, FXSAVE_SIZE)))
  return notes
}

function processOf(task: Task, signo: number): CoreProcess {
  const { group, creds, pidNs, mm } = task
  const { scratch } = task.kernel
  const length = Math.min(mm.argEnd - mm.argStart, 80)
  const n = Math.max(mm.copyInPartial(task, mm.argStart, scratch, 0, length), 0)
  const commandLine = Buffer.from(scratch.subarray(0, n)).toString('latin1').replaceAll('\0', ' ')
  return {
    pid: group.pid.numberIn(pidNs),
    ppid: group.parent?.pid.numberIn(pidNs) ?? 0,
    pgrp: group.pgrp.pid.numberIn(pidNs),
    session: group.session.pid.numberIn(pidNs),
    uid: creds.uid,
    gid: creds.gid,
    nice: task.sched.nice,
    signo,
    comm: task.comm,
    commandLine: commandLine.trimEnd(),
  }
}

function mappedFiles(task: Task): { start: number; end: number; offset: number; name: string }[] {
  const { vmas } = task.mm
  const files = []
  for (let i = 0; i < vmas.count; i++) {
    const { file, start, end, offset } = vmas.at(i)!
    if (file === null) continue
    files.push({ start, end, offset, name: dPath(file.mount, file.dentry, task.fs.root) })
  }
  return files
}
