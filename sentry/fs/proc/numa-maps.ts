// /proc/PID/numa_maps: the memory policy of each area, and how much of it is on which node; show_numa_map of fs/proc/task_mmu.c.

import type { Task } from '../../kernel/task.ts'
import { policyName } from '../../mm/mempolicy.ts'
import { VMA_GROWSDOWN, type Vma } from '../../mm/vma.ts'
import { dPath } from '../../vfs/d-path.ts'
import type { Content } from '../pseudo.ts'
import { areaTexts, sizesOf } from './task-memory.ts'

const PAGE_KB = 4

export function numaMapsText(task: Task, reader: Task): Content {
  const { mm } = task
  const nameOf = (vma: Vma): string => {
    if (vma.file !== null)
      return ` file=${mangle(dPath(vma.file.mount, vma.file.dentry, reader.fs.root))}`
    if ((vma.flags & VMA_GROWSDOWN) !== 0) return ' stack'
    return mm.vmaName(vma) === '[heap]' ? ' heap' : ''
  }
  return areaTexts(
    task,
    vma =>
      `${vma.start.toString(16).padStart(8, '0')} ${policyName(task, vma)}${nameOf(vma)}${pages(vma)}\n`,
  )
}

/** With one node, all pages are on it. */
function pages(vma: Vma): string {
  const { resident, anonymous } = sizesOf(vma)
  const count = resident / PAGE_KB
  if (count === 0) return ''
  const anon = anonymous / PAGE_KB
  const kind = anon > 0 ? ` anon=${anon} dirty=${anon}` : ` mapped=${count}`
  return `${kind} N0=${count} kernelpagesize_kB=${PAGE_KB}`
}

const mangle = (path: string): string =>
  path.replace(/[\n\t= ]/g, c => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`)
