// Writing to the memory of a traced task, by ptrace(2) and /proc/PID/mem. Text is read-only there; the host must
// be asked to make it writable, which only the task's own thread can do: it is woken for that, and comes back
// without entering program code.

import { EBLOCKED, EIO } from '../../syscall-table/errno.ts'
import { PAGE_SIZE, PROT_WRITE } from '../../syscall-table/flags.ts'
import { PROT_ALL, pageFloor, VMA_PRISTINE } from '../mm/vma.ts'
import { stopAfterOps } from './ops-barrier.ts'
import type { Tracee } from './ptrace.ts'
import type { Task } from './task.ts'

/** More than a breakpoint needs; a debugger that loads a program writes to memory of its own. */
const MAX_PAGES = 16

/** Kept by a tracer while the host calls of its tracee are under way. */
class Poke {
  result = -EBLOCKED
}

/** A later pass of a write that waits for its tracee: the result or -EBLOCKED; 0 when this is the first pass. */
export function resumePoke(task: Task, tracee: Tracee): number {
  const { data } = task.restart
  if (!(data instanceof Poke)) return 0
  return data.result === -EBLOCKED ? task.block(tracee.queue, 0) : data.result
}

/** Write `bytes`, whatever the protection: their number, -EIO, or -EBLOCKED. */
export function forceWrite(task: Task, tracee: Tracee, addr: number, bytes: Uint8Array): number {
  const target = tracee.task
  const { thread, mm } = target
  const { length } = bytes
  const first = pageFloor(addr)
  const pages = (pageFloor(addr + length - 1) - first) / PAGE_SIZE + 1
  if (pages > MAX_PAGES || thread.bare || !tracee.stopped) return -EIO
  const protections: number[] = []
  for (let i = 0; i < pages; i++) {
    const vma = mm.vmas.find(first + i * PAGE_SIZE)
    if (vma === undefined) return -EIO
    vma.flags &= ~VMA_PRISTINE
    protections.push(vma.prot & PROT_ALL)
  }
  const pending = new Poke()
  task.restart.data = pending
  const { platform } = task.kernel
  const protect = (more: number) => {
    protections.forEach((prot, i) => {
      platform.ops(thread).mprotect(first + i * PAGE_SIZE, PAGE_SIZE, prot | more)
    })
  }
  const end = (result: number): number => {
    // These run when the task goes on, before program code.
    protect(0)
    pending.result = result
    tracee.queue.wake(0)
    return -EBLOCKED
  }
  protect(PROT_WRITE)
  stopAfterOps(target, {
    afterOps: () =>
      end(platform.writeMemory(thread, addr, bytes, 0, length) === length ? length : -EIO),
    opsFailed: () => end(-EIO),
  })
  // The task is no caller of anything: it stays stopped when it comes back.
  target.opsOnly = false
  platform.resume(thread, target.syscallNr < 0 ? 0 : target.stoppedResult)
  return task.block(tracee.queue, 0)
}

/** PTRACE_POKETEXT and PTRACE_POKEDATA: one word. */
export function poke(task: Task, tracee: Tracee, addr: number, lo: number, hi: number): number {
  const resumed = resumePoke(task, tracee)
  if (resumed !== 0) return resumed > 0 ? 0 : resumed
  const word = new Uint8Array(8)
  const view = new DataView(word.buffer)
  view.setUint32(0, lo, true)
  view.setUint32(4, hi, true)
  const target = tracee.task
  if (target.mm.copyOut(target, addr, word, 0, 8) === 0) return 0
  const n = forceWrite(task, tracee, addr, word)
  return n > 0 ? 0 : n
}
