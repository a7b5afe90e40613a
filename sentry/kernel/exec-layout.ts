// Where a new program's pieces lie: fs/binfmt_elf.c load_elf_binary, arch/x86/mm/mmap.c. Addresses are random
// unless personality(2) says otherwise.

import { ENOMEM } from '../../syscall-table/errno.ts'
import {
  ADDR_NO_RANDOMIZE,
  PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  RLIMIT_STACK,
} from '../../syscall-table/flags.ts'
import {
  newPrctlMmMap,
  SIZEOF_PRCTL_MM_MAP,
  writePrctlMmMap,
} from '../../syscall-table/structs.gen.ts'
import { buildStack, type StackImage, stringBytes } from '../loader/auxv.ts'
import { type ElfImage, mapElf, recordLayout, type ZeroFill } from '../loader/elf.ts'
import { vdsoRange } from '../loader/vdso.ts'
import { pageCeil, pageFloor } from '../mm/vma.ts'
import { REG } from '../platform.ts'
import { setReg } from './clone.ts'
import type { Program } from './exec.ts'
import { randomBits } from './random.ts'
import type { Task } from './task.ts'

/** ELF_ET_DYN_BASE: two thirds of the address space. */
const PIE_BASE = 0x555555554000
/** Bits of page-granular randomness: mmap_rnd_bits, and the stack's. */
const MMAP_RANDOM_BITS = 28
const STACK_RANDOM_BITS = 22
const BRK_RANDOM_BITS = 13
/** Room for the stack below which the mmap area starts: arch/x86/mm/mmap.c. */
const MIN_GAP = 128 << 20
const STACK_GUARD = 1 << 20
const INITIAL_EFLAGS = 0x202
const KEEP_EXECUTABLE = 0xffffffff
const mmMap = newPrctlMmMap()
const zeros = new Uint8Array(PAGE_SIZE)

/** What is still to be written when the mappings exist. */
export interface ProgramLayout {
  stack: StackImage
  zero: ZeroFill[]
  /** First instruction: the interpreter's, or the program's own. */
  start: number
}

/** Order the mappings of a program in the empty `task.mm`. -errno leaves a process that cannot run. */
export function layOutProgram(task: Task, program: Program): ProgramLayout | number {
  const { mm, kernel } = task
  const { platform } = kernel
  const { image, interpreterImage } = program
  const randomize =
    (task.personality & ADDR_NO_RANDOMIZE) === 0 && kernel.tunables.randomizeVaSpace !== 0
  const zero: ZeroFill[] = []
  const top = placeStack(task, randomize)
  const stackProt = PROT_READ | PROT_WRITE | (image.executableStack ? PROT_EXEC : 0)
  const stackStart = mm.mapStack(task, top, stackProt)
  if (stackStart < 0) return stackStart
  if (stringBytes(program.argv, program.envp, program.fileName) > (top - stackStart) / 2)
    return -ENOMEM
  mm.mmapBase = placeMmapBase(task, top, randomize)
  const vdso = vdsoRange(platform)
  if (vdso !== null) mm.addSpecial(vdso.start, vdso.end, '[vdso]', PROT_READ | PROT_EXEC)
  const bias = image.relocatable ? placeProgram(task, image, randomize) : 0
  if (bias < 0) return bias
  const error = mapElf(task, mm, program.file, image, bias, zero)
  if (error < 0) return error
  recordLayout(mm, image, bias)
  mm.exeFile = program.file.ref()
  placeHeap(task, image.high + bias, randomize)
  let base = 0
  let start = image.entry + bias
  if (interpreterImage !== null) {
    const interpreterBias = interpreterImage.relocatable
      ? placeInterpreter(task, interpreterImage)
      : 0
    if (interpreterBias < 0) return interpreterBias
    const n = mapElf(task, mm, program.interpreterFile!, interpreterImage, interpreterBias, zero)
    if (n < 0) return n
    base = interpreterBias + interpreterImage.low
    start = interpreterImage.entry + interpreterBias
  }
  const { hwcap, hwcap2, minSigStackSize, rseqSize, rseqAlign } = kernel.cpuFeatures
  const stack = buildStack({
    top,
    argv: program.argv,
    envp: program.envp,
    fileName: program.fileName,
    creds: task.creds,
    secure: program.exec.secure,
    randomize,
    vdso: platform.vdso,
    hwcap,
    hwcap2,
    minSigStackSize,
    rseqSize,
    rseqAlign,
    phdr: image.phdrAddr === 0 ? 0 : image.phdrAddr + bias,
    phnum: image.phnum,
    base,
    entry: image.entry + bias,
  })
  mm.argStart = stack.argStart
  mm.argEnd = stack.argEnd
  mm.envStart = stack.envStart
  mm.envEnd = stack.envEnd
  mm.auxv = stack.auxv
  return { stack, zero, start }
}

/** A random page number of at most `bits` bits, less where the platform has little room. */
function randomPages(task: Task, bits: number): number {
  const { minAddr, maxAddr } = task.kernel.platform
  const room = Math.floor(Math.log2((maxAddr - minAddr) / PAGE_SIZE)) - 6
  return randomBits(Math.max(Math.min(bits, room), 1)) * PAGE_SIZE
}

/** The stack's end: near the top of the address space, clear of what the platform keeps there. */
function placeStack(task: Task, randomize: boolean): number {
  const { maxAddr, reserved } = task.kernel.platform
  let top = pageFloor(maxAddr) - (randomize ? randomPages(task, STACK_RANDOM_BITS) : 0)
  const size = stackRoom(task)
  // Holes are few and sorted or not: go below each that is in the way until none is.
  for (let i = 0; i <= reserved.length; i++) {
    const hole = reserved.find(h => h.start < top && top - size < h.end)
    if (hole === undefined) break
    top = pageFloor(hole.start)
  }
  return top
}

/** Addresses to keep free for the stack: its limit, within Linux's bounds. */
function stackRoom(task: Task): number {
  const { minAddr, maxAddr } = task.kernel.platform
  const most = Math.min(64 << 20, (maxAddr - minAddr) / 8)
  return Math.min(task.group.rlimits[RLIMIT_STACK]!.cur, most) + STACK_GUARD
}

function placeMmapBase(task: Task, stackTop: number, randomize: boolean): number {
  const { minAddr, maxAddr } = task.kernel.platform
  const gap = Math.min(Math.max(stackRoom(task), MIN_GAP), (maxAddr - minAddr) / 8)
  return pageFloor(stackTop - gap - (randomize ? randomPages(task, MMAP_RANDOM_BITS) : 0))
}

/** Bias of a position-independent program, in a region of its own so that its heap can grow. */
function placeProgram(task: Task, image: ElfImage, randomize: boolean): number {
  const { minAddr, maxAddr } = task.kernel.platform
  const length = image.high - image.low
  const wish = PIE_BASE < maxAddr ? PIE_BASE : minAddr + Math.floor((maxAddr - minAddr) / 3)
  const at = wish + (randomize ? randomPages(task, MMAP_RANDOM_BITS) : 0)
  const aligned = at - (at % image.align)
  const low = pageFloor(aligned)
  if (low >= minAddr && isFree(task, low, low + length)) return low - image.low
  const gap = findAligned(task, length, image.align)
  return gap < 0 ? gap : gap - image.low
}

function placeInterpreter(task: Task, image: ElfImage): number {
  const gap = findAligned(task, image.high - image.low, image.align)
  return gap < 0 ? gap : gap - image.low
}

function findAligned(task: Task, length: number, align: number): number {
  const { mm, kernel } = task
  const slack = align - PAGE_SIZE
  const gap = mm.findGap(task, length + slack, kernel.platform.minAddr, mm.mmapBase)
  return gap < 0 ? gap : gap + slack - ((gap + slack) % align)
}

function isFree(task: Task, start: number, end: number): boolean {
  const { reserved, maxAddr } = task.kernel.platform
  if (end > maxAddr || task.mm.vmas.firstIn(start, end) !== undefined) return false
  return reserved.every(hole => end <= hole.start || hole.end <= start)
}

/** The heap starts behind the program. */
function placeHeap(task: Task, end: number, randomize: boolean): void {
  const { mm } = task
  mm.brkStart = mm.brk = pageCeil(end) + (randomize ? randomPages(task, BRK_RANDOM_BITS) : 0)
}

/** The mappings exist: clear what must be zero, fill the stack, load the registers. */
export function fillProgram(task: Task, layout: ProgramLayout): number {
  const { mm, thread, kernel } = task
  const { stack, zero, start } = layout
  for (const { addr, length } of zero) {
    const n = mm.copyOut(task, addr, zeros, 0, length)
    if (n < 0) return n
  }
  const n = mm.copyOut(task, stack.sp, stack.bytes, 0, stack.bytes.length)
  if (n < 0) return n
  showOnHost(task, stack)
  kernel.platform.getRegs(thread)
  thread.regs.fill(0)
  setReg(thread, REG.rip, start)
  setReg(thread, REG.rsp, stack.sp)
  setReg(thread, REG.eflags, INITIAL_EFLAGS)
  kernel.platform.setRegs(thread)
  return 0
}

/**
 * Have the host's process list show the program, as it will show what the program makes of its arguments later. The struct
 * for that lies below the stack until the program uses its place.
 */
function showOnHost(task: Task, stack: StackImage): void {
  const ops = task.kernel.platform.ops(task.thread)
  if (ops.setTitle === undefined || ops.setName === undefined) return
  const { argStart, argEnd, envEnd } = stack
  const { scratch, scratchView } = task.kernel
  // The host uses the last two pairs only, and wants all in order.
  mmMap.startCode = mmMap.startData = mmMap.startStack = mmMap.argStart = argStart
  mmMap.endCode = mmMap.endData = mmMap.startBrk = mmMap.brk = argEnd
  mmMap.argEnd = mmMap.envStart = argEnd
  mmMap.envEnd = envEnd
  mmMap.exeFd = KEEP_EXECUTABLE
  writePrctlMmMap(scratchView, 0, mmMap)
  const at = stack.sp - SIZEOF_PRCTL_MM_MAP
  if (task.mm.copyOut(task, at, scratch, 0, SIZEOF_PRCTL_MM_MAP) === 0) ops.setTitle(at)
  ops.setName(stack.name)
}
