// Which system call instructions the platform may rewrite: those in code that only the program itself sees.

import { PROT_EXEC, PROT_WRITE } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { VMA_PRISTINE, VMA_SHARED, VMA_SPECIAL } from './vma.ts'

/** Length of the instructions that are replaced: `mov $NR, %eax; syscall`. */
const SITE_LENGTH = 7

/**
 * The calls of `task` come from one place again and again: let the platform make that place faster. Not in memory
 * that is shared, whose file would change, nor in code that the program may still be writing.
 */
export function rewriteCallSite(task: Task): void {
  const { ip } = task.thread
  const vma = task.mm.vmas.find(ip - SITE_LENGTH)
  if (vma === undefined || ip > vma.end || (vma.flags & (VMA_SHARED | VMA_SPECIAL)) !== 0) return
  if ((vma.prot & (PROT_EXEC | PROT_WRITE)) !== PROT_EXEC) return
  vma.flags &= ~VMA_PRISTINE
  task.kernel.platform.ops(task.thread).rewriteCall(ip, vma.prot)
}
