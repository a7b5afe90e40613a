// The machine as a whole: uname(2), sysinfo(2), getrandom(2).

import { getrandom } from '../../native/index.ts'
import { EFAULT, EINVAL, EPERM } from '../../syscall-table/errno.ts'
import {
  CAP_SYS_ADMIN,
  GRND_INSECURE,
  GRND_NONBLOCK,
  GRND_RANDOM,
  PAGE_SIZE,
  PER_LINUX32,
  PER_MASK,
  UNAME26,
} from '../../syscall-table/flags.ts'
import {
  SIZEOF_SYSINFO,
  SIZEOF_UTSNAME,
  type Sysinfo,
  writeSysinfo,
  writeUtsname,
} from '../../syscall-table/structs.gen.ts'
import { allotmentOf } from '../kernel/limits.ts'
import { RANDOM_MAX } from '../kernel/random.ts'
import type { Task } from '../kernel/task.ts'

export { sys_reboot, sys_syslog, sys_vhangup } from './system-admin.ts'

/** __NEW_UTS_LEN. */
const NAME_MAX = 64
/** 1 << SI_LOAD_SHIFT. */
const LOAD_SCALE = 65536

const info: Sysinfo = {
  uptime: 0,
  loads: new Float64Array(3),
  totalram: 0,
  freeram: 0,
  sharedram: 0,
  bufferram: 0,
  totalswap: 0,
  freeswap: 0,
  procs: 0,
  totalhigh: 0,
  freehigh: 0,
  memUnit: 1,
}

/** UNAME26 of personality(2): version 6.12.1-x becomes 2.6.72-x, for programs that expect three old numbers. */
function release26({ kernel, personality }: Task): string {
  const { release } = kernel.system
  if ((personality & UNAME26) === 0) return release
  const minor = /^\d+\.(\d+)/.exec(release)?.[1] ?? '0'
  return `2.6.${Number(minor) + 60}${release.replace(/^\d+(\.\d+){0,2}/, '')}`
}

/** uname(2). Whoever asks as a 32-bit program gets the machine of one. */
export function sys_uname(task: Task, addr: number): number {
  const { kernel } = task
  const { nodename, domainname } = task.nsproxy.uts
  const release = release26(task)
  const machine = (task.personality & PER_MASK) === PER_LINUX32 ? 'i686' : kernel.system.machine
  writeUtsname(kernel.scratchView, 0, { ...kernel.system, machine, release, nodename, domainname })
  return task.mm.copyResult(task, addr, kernel.scratch, 0, SIZEOF_UTSNAME)
}

function readName(task: Task, addr: number, length: number): string | number {
  if (!task.creds.capableIn(task.nsproxy.uts.owner!, CAP_SYS_ADMIN)) return -EPERM
  if (length < 0 || length > NAME_MAX) return -EINVAL
  const { scratch } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, length) < 0) return -EFAULT
  const nul = scratch.subarray(0, length).indexOf(0)
  return Buffer.from(scratch.buffer, 0, nul < 0 ? length : nul).toString('latin1')
}

/** sethostname(2). */
export function sys_sethostname(task: Task, addr: number, length: number): number {
  const name = readName(task, addr, length)
  if (typeof name === 'number') return name
  task.nsproxy.uts.setNodename(name)
  return 0
}

/** setdomainname(2). */
export function sys_setdomainname(task: Task, addr: number, length: number): number {
  const name = readName(task, addr, length)
  if (typeof name === 'number') return name
  task.nsproxy.uts.setDomainname(name)
  return 0
}

/** sysinfo(2). Used memory is what programs have mapped: an upper bound of what they use. */
export function sys_sysinfo(task: Task, addr: number): number {
  const { kernel } = task
  kernel.load.update(kernel).forEach((value, i) => {
    info.loads[i] = Math.round(value * LOAD_SCALE)
  })
  info.uptime = Math.ceil((kernel.clock.monotonicNs() - kernel.bootNs) / 1e9)
  const { memoryBytes } = allotmentOf(task.group)
  info.totalram = memoryBytes
  info.freeram = Math.max(memoryBytes - usedBytes(task, memoryBytes), 0)
  info.procs = kernel.tasks.size % 65536
  writeSysinfo(kernel.scratchView, 0, info)
  return task.mm.copyResult(task, addr, kernel.scratch, 0, SIZEOF_SYSINFO)
}

function usedBytes({ kernel, group: { container } }: Task, memoryBytes: number): number {
  let pages = 0
  for (const group of kernel.groups)
    if (!group.zombie && group.container === container) pages += group.leader.mm.vmas.dataPages
  return Math.min(pages * PAGE_SIZE, memoryBytes * 0.9)
}

/** getrandom(2). The host's pool is always ready. */
export function sys_getrandom(task: Task, addr: number, count: number, flags: number): number {
  if ((flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)) !== 0) return -EINVAL
  if ((flags & (GRND_RANDOM | GRND_INSECURE)) === (GRND_RANDOM | GRND_INSECURE)) return -EINVAL
  const { bounce } = task.kernel
  const io = task.io.single(addr, Math.min(count, RANDOM_MAX))
  while (io.remaining > 0) {
    const n = getrandom(bounce, 0, Math.min(io.remaining, bounce.length))
    if (n <= 0) return io.finish(n)
    const moved = io.put(bounce, 0, n)
    if (moved < n) return io.finish(-EFAULT)
  }
  return io.done
}
