// /proc/PID/{maps,smaps,smaps_rollup,cmdline,environ,auxv,mem}: the memory of a process. fs/proc/task_mmu.c
// and base.c. Who may open them is checked by the entries that lead here.

import { EINVAL, EIO } from '../../../syscall-table/errno.ts'
import { PROT_EXEC, PROT_READ, PROT_WRITE } from '../../../syscall-table/flags.ts'
import { forceWrite, resumePoke } from '../../kernel/ptrace-memory.ts'
import { DEAD, type Task, ZOMBIE } from '../../kernel/task.ts'
import type { Io } from '../../mm/io.ts'
import type { Mm } from '../../mm/mm.ts'
import {
  VMA_DONTDUMP,
  VMA_GROWSDOWN,
  VMA_LOCKED,
  VMA_NORESERVE,
  VMA_SPECIAL,
  type Vma,
} from '../../mm/vma.ts'
import { dPath } from '../../vfs/d-path.ts'
import { type File, FileOps } from '../../vfs/file.ts'
import { devMajor, devMinor } from '../dev/registry.ts'
import type { Content } from '../pseudo.ts'
import { residentPages } from './memory-use.ts'

/** Most bytes that cmdline and environ show: far above what exec accepts. */
const STRINGS_MAX = 8 << 20
/** Column at which the names in maps start. */
const NAME_COLUMN = 73
const PAGE_KB = 4
/** A part of a listing is at least as long. */
const PART = 4000

const hasMemory = (task: Task): boolean => task.state !== ZOMBIE && task.state !== DEAD

const hex = (value: number, width: number): string => value.toString(16).padStart(width, '0')

/**
 * The areas of a task in parts of about a page, which is what one read(2) gives: a task may have 65530, and the kernel has others
 * to serve. What is mapped and unmapped between two reads shows as on Linux: the next area is looked for by its address.
 */
export function areaTexts(task: Task, show: (vma: Vma) => string): Content {
  const { mm } = task
  let at = 0
  return () => {
    let text = ''
    while (text.length < PART && hasMemory(task) && task.mm === mm) {
      const vma = mm.vmas.firstIn(at, Number.POSITIVE_INFINITY)
      if (vma === undefined) break
      text += show(vma)
      at = vma.end
    }
    return text === '' ? null : text
  }
}

/** One line of /proc/PID/maps. Paths are shown as the reader's root has them. */
function mapsLine(mm: Mm, vma: Vma, reader: Task): string {
  const { file, prot } = vma
  const inode = file?.inode
  const dev = inode?.sb.dev ?? 0
  const r = (prot & PROT_READ) !== 0 ? 'r' : '-'
  const w = (prot & PROT_WRITE) !== 0 ? 'w' : '-'
  const x = (prot & PROT_EXEC) !== 0 ? 'x' : '-'
  const line =
    `${hex(vma.start, 8)}-${hex(vma.end, 8)} ${r}${w}${x}${vma.shared ? 's' : 'p'} ` +
    `${hex(file === null ? 0 : vma.offset, 8)} ${hex(devMajor(dev), 2)}:${hex(devMinor(dev), 2)} ${inode?.ino ?? 0}`
  const name =
    file === null
      ? mm.vmaName(vma)
      : dPath(file.mount, file.dentry, reader.fs.root).replaceAll('\n', '\\012')
  return name === '' ? `${line} \n` : `${line.padEnd(NAME_COLUMN - 1)} ${name}\n`
}

/** /proc/PID/maps. */
export function mapsText(task: Task, reader: Task): Content {
  const { mm } = task
  return areaTexts(task, vma => mapsLine(mm, vma, reader))
}

export interface SmapsSizes {
  size: number
  resident: number
  anonymous: number
  locked: number
}

/** The estimate of memory-use.ts for one area. */
export function sizesOf(vma: Vma): SmapsSizes {
  const size = (vma.end - vma.start) / 1024
  const code = (vma.prot & (PROT_EXEC | PROT_WRITE)) === PROT_EXEC
  const stack = (vma.flags & VMA_GROWSDOWN) !== 0
  const resident = stack ? Math.min(size, 132) : code || vma.isData ? size : 0
  return {
    size,
    resident,
    anonymous: code ? 0 : resident,
    locked: (vma.flags & VMA_LOCKED) !== 0 ? size : 0,
  }
}

const kb = (name: string, value: number): string =>
  `${`${name}:`.padEnd(16)}${`${value}`.padStart(8)} kB\n`

/** The fields that smaps and smaps_rollup share, from Rss to Locked. */
function usage(s: SmapsSizes): string {
  const clean = s.resident - s.anonymous
  return (
    kb('Rss', s.resident) +
    kb('Pss', s.resident) +
    kb('Pss_Dirty', s.anonymous) +
    kb('Shared_Clean', 0) +
    kb('Shared_Dirty', 0) +
    kb('Private_Clean', clean) +
    kb('Private_Dirty', s.anonymous) +
    kb('Referenced', s.resident) +
    kb('Anonymous', s.anonymous) +
    kb('KSM', 0) +
    kb('LazyFree', 0) +
    kb('AnonHugePages', 0) +
    kb('ShmemPmdMapped', 0) +
    kb('FilePmdMapped', 0) +
    kb('Shared_Hugetlb', 0) +
    kb('Private_Hugetlb', 0) +
    kb('Swap', 0) +
    kb('SwapPss', 0) +
    kb('Locked', s.locked)
  )
}

/** The two-letter flags of VmFlags, proc_pid_smaps(5). */
function vmFlags(vma: Vma): string {
  const { prot, maxProt, flags } = vma
  const named: [boolean, string][] = [
    [(prot & PROT_READ) !== 0, 'rd'],
    [(prot & PROT_WRITE) !== 0, 'wr'],
    [(prot & PROT_EXEC) !== 0, 'ex'],
    [vma.shared, 'sh'],
    [(maxProt & PROT_READ) !== 0, 'mr'],
    [(maxProt & PROT_WRITE) !== 0, 'mw'],
    [(maxProt & PROT_EXEC) !== 0, 'me'],
    [vma.shared, 'ms'],
    [(flags & VMA_GROWSDOWN) !== 0, 'gd'],
    [(flags & VMA_LOCKED) !== 0, 'lo'],
    [(flags & VMA_NORESERVE) !== 0, 'nr'],
    [(flags & VMA_DONTDUMP) !== 0, 'dd'],
    [(flags & VMA_SPECIAL) !== 0, 'de'],
  ]
  return named.map(([set, name]) => (set ? `${name} ` : '')).join('')
}

/** /proc/PID/smaps. */
export function smapsText(task: Task, reader: Task): Content {
  const { mm } = task
  return areaTexts(task, vma => {
    const sizes = sizesOf(vma)
    return (
      mapsLine(mm, vma, reader) +
      kb('Size', sizes.size) +
      kb('KernelPageSize', PAGE_KB) +
      kb('MMUPageSize', PAGE_KB) +
      usage(sizes) +
      kb('THPeligible', 0) +
      `VmFlags: ${vmFlags(vma)}\n`
    )
  })
}

/** /proc/PID/smaps_rollup: the sums of smaps. */
export function smapsRollupText(task: Task): string {
  if (!hasMemory(task) || task.mm.vmas.count === 0) return ''
  const total: SmapsSizes = { size: 0, resident: 0, anonymous: 0, locked: 0 }
  let end = 0
  for (let i = 0; i < task.mm.vmas.count; i++) {
    const vma = task.mm.vmas.at(i)!
    const sizes = sizesOf(vma)
    total.resident += sizes.resident
    total.anonymous += sizes.anonymous
    total.locked += sizes.locked
    end = vma.end
  }
  total.resident = Math.min(total.resident, residentPages(task.mm) * PAGE_KB)
  const range = `${hex(task.mm.vmas.at(0)!.start, 8)}-${hex(end, 8)} ---p 00000000 00:00 0`
  const pss =
    kb('Pss_Anon', total.anonymous) +
    kb('Pss_File', total.resident - total.anonymous) +
    kb('Pss_Shmem', 0)
  const body = usage(total).replace(/^(Pss_Dirty.*\n)/m, `$1${pss}`)
  return `${range.padEnd(NAME_COLUMN - 1)} [rollup]\n${body}`
}

/** Copy [start, end) of the task's memory, as far as it is there. */
function readRange(task: Task, start: number, end: number): Uint8Array {
  const length = Math.min(Math.max(0, end - start), STRINGS_MAX)
  const bytes = new Uint8Array(length)
  const n = length === 0 ? 0 : task.mm.copyInPartial(task, start, bytes, 0, length)
  return n <= 0 ? bytes.subarray(0, 0) : bytes.subarray(0, n)
}

/**
 * /proc/PID/cmdline: the arguments with their NULs. A program that overwrote its last NUL (setproctitle)
 * has written one string, which may go on into the environment.
 */
export function cmdlineBytes(task: Task): Uint8Array {
  if (!hasMemory(task)) return new Uint8Array(0)
  const { argStart, argEnd, envStart, envEnd } = task.mm
  const args = readRange(task, argStart, argEnd)
  if (args.length === 0 || args.at(-1) === 0) return args
  const title = readRange(task, argStart, envStart === argEnd ? envEnd : argEnd)
  const end = title.indexOf(0)
  return end < 0 ? title : title.subarray(0, end + 1)
}

/** /proc/PID/environ. */
export function environBytes(task: Task): Uint8Array {
  return hasMemory(task) ? readRange(task, task.mm.envStart, task.mm.envEnd) : new Uint8Array(0)
}

/** /proc/PID/auxv. */
export function auxvBytes(task: Task): Uint8Array {
  return hasMemory(task) ? task.mm.auxv : new Uint8Array(0)
}

/** An open /proc/PID/mem: the file position is an address. The address space is that of the open. */
export class MemFileOps extends FileOps {
  override seekable = true
  readonly #target: Task
  readonly #mm: Mm

  constructor(target: Task) {
    super()
    this.#target = target
    this.#mm = target.mm
  }

  /** After an exec or the end of the process there is nothing left to read: proc(5). */
  get #gone(): boolean {
    return !hasMemory(this.#target) || this.#target.mm !== this.#mm
  }

  override read(_file: File, io: Io, pos: number, task: Task): number {
    if (this.#gone) return 0
    const { bounce } = task.kernel
    while (io.remaining > 0) {
      const length = Math.min(io.remaining, bounce.length)
      const n = this.#mm.copyInPartial(this.#target, pos + io.done, bounce, 0, length)
      if (n <= 0) return io.finish(-EIO)
      const put = io.put(bounce, 0, n)
      if (put <= 0) return io.finish(put)
      if (put < n || n < length) break
    }
    return io.done
  }

  /** DIFFERS: Linux writes through read-only mappings; here only a tracer does, to a task that it has stopped. */
  override write(_file: File, io: Io, pos: number, task: Task): number {
    if (this.#gone) return 0
    const { bounce } = task.kernel
    const { tracee } = this.#target
    const traced = tracee !== null && tracee.tracer === task.group
    const resumed = traced ? resumePoke(task, tracee) : 0
    if (resumed !== 0) return resumed
    while (io.remaining > 0) {
      const at = pos + io.done
      const n = io.take(bounce, 0, Math.min(io.remaining, bounce.length))
      if (n <= 0) return io.finish(n)
      const written = this.#mm.copyOutPartial(this.#target, at, bounce, 0, n)
      if (written < n) {
        const before = at - pos
        if (traced && before === 0 && written <= 0)
          return forceWrite(task, tracee, at, bounce.slice(0, n))
        return before + Math.max(written, 0) > 0 ? before + Math.max(written, 0) : -EIO
      }
    }
    return io.done
  }

  /** mem_lseek: any address, SEEK_SET and SEEK_CUR. */
  override seek(file: File, offset: number, whence: number): number {
    if (whence !== 0 && whence !== 1) return -EINVAL
    file.pos = whence === 1 ? file.pos + offset : offset
    return file.pos
  }
}
