// execve(2): fs/exec.c. Everything that can be refused is refused before the new host process is asked for;
// its start is the point of no return. The new program's memory is mapped by that process, so the call ends in
// three steps: check and spawn; started: drop the old program, order the mappings; afterwards: fill the stack.

import { EAGAIN, EBLOCKED, ELOOP, ENOENT, ENOMEM } from '../../syscall-table/errno.ts'
import { AT_EMPTY_PATH, AT_FDCWD, SIGKILL, SIGSEGV } from '../../syscall-table/flags.ts'
import { actForProcess } from '../ipc/shm.ts'
import { type ElfImage, readElf } from '../loader/elf.ts'
import { readPart } from '../loader/read-file.ts'
import { HEADER_SIZE, isScript, parseScript } from '../loader/script.ts'
import { Mm } from '../mm/mm.ts'
import type { File } from '../vfs/file.ts'
import { openForExec } from '../vfs/vfs.ts'
import { type ArgBudget, argBudget, charge } from './exec-args.ts'
import { becomeProgram } from './exec-commit.ts'
import { type ExecCreds, execCreds } from './exec-creds.ts'
import { fillProgram, layOutProgram, type ProgramLayout } from './exec-layout.ts'
import { groupExit } from './exit.ts'
import { type OpsContinuation, stopAfterOps } from './ops-barrier.ts'
import { STARTING, type Task, type TaskStart } from './task.ts'

/** Scripts whose interpreters are scripts: at most this many. */
const MAX_INTERPRETERS = 5

/** A program that is about to be executed: struct linux_binprm. */
export interface Program {
  /** What is mapped and shown as /proc/PID/exe; owned. */
  file: File
  image: ElfImage
  /** The ELF interpreter, null for static programs. */
  interpreterFile: File | null
  interpreterImage: ElfImage | null
  /** The path of the call: AT_EXECFN, and the command's name. */
  fileName: string
  argv: string[]
  envp: string[]
  exec: ExecCreds
}

/** The file to execute, as execveat(2) names it. */
export interface ExecTarget {
  dfd: number
  path: string
  flags: number
}

/** Execute a program in place of the task's. Returns -EBLOCKED until it runs, or -errno. */
export function execTask(
  task: Task,
  target: ExecTarget,
  argv: string[],
  envp: string[],
  budget: ArgBudget,
): number {
  const program = openProgram(task, target, argv, envp, budget)
  if (typeof program === 'number') return program
  const error = spawnProgram(task, program)
  if (error < 0) closeProgram(program)
  return error < 0 ? error : -EBLOCKED
}

/** What Linux finds wrong with the file comes before what is wrong with the arguments: 0 or -errno. */
export function mayExec(task: Task, { dfd, path, flags }: ExecTarget): number {
  const opened = openForExec(task, dfd, path, flags)
  if (typeof opened === 'number') return opened
  opened.unref()
  return 0
}

/** The first program of a new process that boot code makes: `task.thread` has been spawned by it. */
export function bootProgram(
  task: Task,
  target: ExecTarget,
  argv: string[],
  envp: string[],
): number {
  const budget = argBudget(task)
  for (const strings of [argv, envp])
    for (const text of strings) {
      const error = charge(budget, text.length)
      if (error < 0) return error
    }
  const program = openProgram(task, target, argv, envp, budget)
  if (typeof program === 'number') return program
  task.onStart = new ExecStart(program)
  return 0
}

function spawnProgram(task: Task, program: Program): number {
  const { platform } = task.kernel
  const thread = platform.newThread()
  if (typeof thread === 'number') return -EAGAIN
  const error = platform.spawn(thread)
  if (error < 0) {
    platform.release(thread)
    return error
  }
  task.oldThread = task.thread
  task.thread = thread
  task.kernel.taskOfThread[thread.id] = task
  task.onStart = new ExecStart(program)
  task.state = STARTING
  return 0
}

function closeProgram(program: Program): void {
  program.file.unref()
  program.interpreterFile?.unref()
}

/** The new host process exists. */
class ExecStart implements TaskStart, OpsContinuation {
  readonly #program: Program
  #layout: ProgramLayout | null = null

  constructor(program: Program) {
    this.#program = program
  }

  started(task: Task): number {
    const program = this.#program
    task.kernel.placeProcess?.(task)
    becomeProgram(task, program)
    actForProcess(task.group.tgid)
    const { dumpFilter, hugeDisabled } = task.mm
    task.mm.unref()
    task.mm = Mm.create(task.kernel)
    task.mm.dumpFilter = dumpFilter
    task.mm.hugeDisabled = hugeDisabled
    const layout = layOutProgram(task, program)
    closeProgram(program)
    if (typeof layout === 'number') return die(task)
    this.#layout = layout
    stopAfterOps(task, this)
    return 0
  }

  afterOps(task: Task): number {
    const error = fillProgram(task, this.#layout!)
    if (error < 0) return die(task)
    // The registers are complete: the call has no result of its own.
    task.syscallNr = -1
    return 0
  }

  opsFailed(task: Task): number {
    return die(task)
  }
}

/** After the point of no return there is nobody to give an error to. */
function die(task: Task): number {
  groupExit(task.group, task.group.unkillable ? SIGKILL : SIGSEGV)
  return 0
}

function openProgram(
  task: Task,
  target: ExecTarget,
  argv: string[],
  envp: string[],
  budget: ArgBudget,
): Program | number {
  const fileName = execFileName(target)
  const nameCost = charge(budget, fileName.length)
  if (nameCost < 0) return nameCost
  const opened = openForExec(task, target.dfd, target.path, target.flags)
  if (typeof opened === 'number') return opened
  const found = findBinary(task, opened, fileName, argv, budget, target)
  if (typeof found === 'number') return found
  const program = readProgram(task, found.file, found.argv, envp, fileName)
  if (typeof program === 'number') found.file.unref()
  return program
}

/** What a program learns as its file name when it was given as a descriptor. */
function execFileName(target: ExecTarget): string {
  const { dfd, path } = target
  if (dfd === AT_FDCWD || path.startsWith('/')) return path
  return path === '' ? `/dev/fd/${dfd}` : `/dev/fd/${dfd}/${path}`
}

/** Follow `#!` lines to the file that is a program. Owns `file`; the result's file is the caller's. */
function findBinary(
  task: Task,
  first: File,
  fileName: string,
  argv: string[],
  budget: ArgBudget,
  target: ExecTarget,
): { file: File; argv: string[] } | number {
  const header = new Uint8Array(HEADER_SIZE)
  let file = first
  let name = fileName
  let args = argv
  for (let depth = 0; ; depth++) {
    const n = readPart(task, file, header, 0, HEADER_SIZE)
    if (n >= 0 && !isScript(header, n)) return { file, argv: args }
    const next = n < 0 ? n : nextInterpreter(task, header, n, name, args, budget, target, depth)
    file.unref()
    if (typeof next === 'number') return next
    file = next.file
    name = next.name
    args = next.argv
  }
}

function nextInterpreter(
  task: Task,
  header: Uint8Array,
  length: number,
  name: string,
  argv: string[],
  budget: ArgBudget,
  target: ExecTarget,
  depth: number,
): { file: File; name: string; argv: string[] } | number {
  if (depth === 0 && isClosedByExec(task, target)) return -ENOENT
  if (depth > MAX_INTERPRETERS) return -ELOOP
  const line = parseScript(header, length)
  if (typeof line === 'number') return line
  const args =
    line.argument === null ? [line.interpreter, name] : [line.interpreter, line.argument, name]
  for (const arg of args) {
    const cost = charge(budget, arg.length)
    if (cost < 0) return cost
  }
  const file = openForExec(task, AT_FDCWD, line.interpreter, 0)
  if (typeof file === 'number') return file
  return { file, name: line.interpreter, argv: [...args, ...argv.slice(1)] }
}

/** A script given as a close-on-exec descriptor could not be opened by its interpreter. */
function isClosedByExec(task: Task, target: ExecTarget): boolean {
  const byDescriptor = target.path === '' && (target.flags & AT_EMPTY_PATH) !== 0
  const below = target.dfd !== AT_FDCWD && !target.path.startsWith('/')
  return (byDescriptor || below) && task.files.cloexec(target.dfd)
}

function readProgram(
  task: Task,
  file: File,
  argv: string[],
  envp: string[],
  fileName: string,
): Program | number {
  const busy = file.denyWrites()
  if (busy < 0) return busy
  const image = readElf(task, file, false)
  if (typeof image === 'number') return image
  const fits = checkPlace(task, image)
  if (fits < 0) return fits
  const exec = execCreds(task, file)
  if (typeof exec === 'number') return exec
  const program: Program = {
    file,
    image,
    interpreterFile: null,
    interpreterImage: null,
    fileName,
    argv,
    envp,
    exec,
  }
  if (image.interpreter === null) return program
  const interpreterFile = openForExec(task, AT_FDCWD, image.interpreter, 0)
  if (typeof interpreterFile === 'number') return interpreterFile
  const interpreterImage = readElf(task, interpreterFile, true)
  if (typeof interpreterImage === 'number' || checkPlace(task, interpreterImage) < 0) {
    interpreterFile.unref()
    return typeof interpreterImage === 'number' ? interpreterImage : -ENOMEM
  }
  program.interpreterFile = interpreterFile
  program.interpreterImage = interpreterImage
  return program
}

/** A program with fixed addresses must find them free. */
function checkPlace(task: Task, image: ElfImage): number {
  const { minAddr, maxAddr, reserved } = task.kernel.platform
  if (image.relocatable) return image.high - image.low < (maxAddr - minAddr) / 4 ? 0 : -ENOMEM
  if (image.low < minAddr || image.high > maxAddr) return -ENOMEM
  for (const hole of reserved) if (image.low < hole.end && hole.start < image.high) return -ENOMEM
  return 0
}
