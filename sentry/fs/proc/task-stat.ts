// /proc/PID/{stat,statm,status,limits,io,comm,…}: what a task is and has used. fs/proc/array.c, base.c.

import { ESRCH } from '../../../syscall-table/errno.ts'
import {
  PAGE_SIZE,
  RLIMIT_AS,
  RLIMIT_CORE,
  RLIMIT_CPU,
  RLIMIT_DATA,
  RLIMIT_FSIZE,
  RLIMIT_LOCKS,
  RLIMIT_MEMLOCK,
  RLIMIT_MSGQUEUE,
  RLIMIT_NICE,
  RLIMIT_NOFILE,
  RLIMIT_NPROC,
  RLIMIT_RSS,
  RLIMIT_RTPRIO,
  RLIMIT_RTTIME,
  RLIMIT_SIGPENDING,
  RLIMIT_STACK,
} from '../../../syscall-table/flags.ts'
import { groupCpu, looksAsleep, taskCpu } from '../../kernel/accounting.ts'
import type { CapSet } from '../../kernel/creds.ts'
import { allowedCpus } from '../../kernel/limits.ts'
import type { Pid, PidNamespace } from '../../kernel/pid-namespace.ts'
import { BY_FSCREDS, ptraceAccess } from '../../kernel/ptrace-access.ts'
import { SigSet } from '../../kernel/signal-state.ts'
import { BLOCKED, DEAD, STOPPED, type Task, ZOMBIE } from '../../kernel/task.ts'
import type { Rlimit } from '../../kernel/thread-group.ts'
import { mappedKb, residentPages } from './memory-use.ts'
import type { TaskDirectory } from './task-node.ts'

/** USER_HZ: times are shown in hundredths of a second. */
const NS_PER_TICK = 1e7
const PF_FORKNOEXEC = 0x40
const PF_RANDOMIZE = 0x400000
/** RLIM_INFINITY as the kernel prints it. */
const UNLIMITED = '18446744073709551615'

const ticks = (ns: number): number => Math.floor(ns / NS_PER_TICK)

/** The letter of a task's state and its name in /proc/PID/status. */
export function stateOf(task: Task): readonly [string, string] {
  switch (task.state) {
    case ZOMBIE:
      return ['Z', 'zombie']
    case DEAD:
      return ['X', 'dead']
    case STOPPED:
      return task.tracee?.stopped ? ['t', 'tracing stop'] : ['T', 'stopped']
    case BLOCKED:
      return task.unsignalable ? ['D', 'disk sleep'] : ['S', 'sleeping']
    default:
      return looksAsleep(task) ? ['S', 'sleeping'] : ['R', 'running']
  }
}

const hasMemory = (task: Task): boolean => task.state !== ZOMBIE && task.state !== DEAD

/** /proc/PID/stat (`whole`: of the process) and /proc/PID/task/TID/stat. proc(5) numbers the fields. */
export function statLine(task: Task, reader: Task, owner: TaskDirectory): string {
  const { group } = task
  const { whole } = owner
  const ns = owner.pidNs
  const { terminal } = group.session
  const cpu = whole ? groupCpu(group) : taskCpu(task)
  const permitted = ptraceAccess(reader, task, BY_FSCREDS) === 0
  const nice = task.sched.nice
  const priority = task.sched.priority > 0 ? -1 - task.sched.priority : 20 + nice
  const flags = PF_RANDOMIZE | (group.didExec ? 0 : PF_FORKNOEXEC)
  const fields: (string | number)[] = [
    task.pid.numberIn(ns),
    `(${task.comm})`,
    stateOf(task)[0],
    group.parent?.pid.numberIn(ns) ?? 0,
    group.pgrp.pid.numberIn(ns),
    group.session.pid.numberIn(ns),
    terminal?.rdev ?? 0,
    terminal === null ? -1 : (terminal.foreground?.pid.numberIn(ns) ?? -1),
    flags,
    0,
    0,
    0,
    0,
    ticks(cpu.userNs),
    ticks(cpu.systemNs),
    whole ? ticks(group.childUtimeNs) : 0,
    whole ? ticks(group.childStimeNs) : 0,
    priority,
    nice,
    group.tasks.length,
    0,
    ticks(task.startNs - task.kernel.bootNs),
    ...memoryFields(task, permitted),
    ...signalFields(task),
    permitted ? 1 : 0,
    0,
    0,
    group.leader === task ? group.exitSignal : -1,
    0,
    task.sched.priority,
    task.sched.policy,
    0,
    0,
    0,
    ...layoutFields(task, permitted),
    permitted ? group.exitStatus : 0,
  ]
  return `${fields.join(' ')}\n`
}

/** Fields 23 (vsize) to 30 (kstkeip). */
function memoryFields(task: Task, permitted: boolean): (string | number)[] {
  const limit = task.group.rlimits[RLIMIT_RSS]!.cur
  const shown = limit === Number.POSITIVE_INFINITY ? UNLIMITED : limit
  if (!hasMemory(task)) return [0, 0, shown, 0, 0, 0, 0, 0]
  const { mm } = task
  const code = permitted ? [mm.codeStart, mm.codeEnd, mm.argStart] : [1, 1, 0]
  return [mm.vmas.totalPages * PAGE_SIZE, residentPages(mm), shown, ...code, 0, 0]
}

/** Fields 31 (signal) to 34 (sigcatch): the first 31 signals in decimal. */
function signalFields(task: Task): number[] {
  const { ignored, caught } = handledSignals(task)
  const pending = task.signals.pending.set.lo
  return [pending, task.signals.mask.lo, ignored.lo, caught.lo].map(word => word & 0x7fffffff)
}

/** Fields 45 (start_data) to 51 (env_end). */
function layoutFields(task: Task, permitted: boolean): number[] {
  if (!permitted || !hasMemory(task)) return [0, 0, 0, 0, 0, 0, 0]
  const { mm } = task
  return [mm.dataStart, mm.dataEnd, mm.brkStart, mm.argStart, mm.argEnd, mm.envStart, mm.envEnd]
}

/** /proc/PID/statm: size resident shared text lib data dt, in pages. */
export function statmLine(task: Task): string {
  if (!hasMemory(task)) return '0 0 0 0 0 0 0\n'
  const { mm } = task
  const text = Math.ceil((mm.codeEnd - mm.codeStart) / PAGE_SIZE)
  const { vmas } = mm
  return `${vmas.totalPages} ${residentPages(mm)} ${vmas.execPages} ${text} 0 ${vmas.dataPages + vmas.stackPages} 0\n`
}

function handledSignals(task: Task): { ignored: SigSet; caught: SigSet } {
  const ignored = new SigSet()
  const caught = new SigSet()
  const { actions } = task.group.handlers
  for (let signo = 1; signo <= 64; signo++) {
    const { handler } = actions[signo]!
    if (handler === 1) ignored.add(signo)
    else if (handler !== 0) caught.add(signo)
  }
  return { ignored, caught }
}

const hex64 = (set: SigSet | CapSet): string =>
  (set.hi >>> 0).toString(16).padStart(8, '0') + (set.lo >>> 0).toString(16).padStart(8, '0')

const sizeLine = (name: string, kb: number): string => `${name}:\t${`${kb}`.padStart(8)} kB\n`

/** /proc/PID/status. */
export function statusText(task: Task, reader: Task, ns: PidNamespace): string {
  const { group, creds, kernel } = task
  const [letter, name] = stateOf(task)
  const { userNs } = reader.creds
  const uids = [creds.uid, creds.euid, creds.suid, creds.fsuid].map(uid => userNs.showUid(uid))
  const gids = [creds.gid, creds.egid, creds.sgid, creds.fsgid].map(gid => userNs.showGid(gid))
  const levels = task.pid.ns.from(ns)
  const numbers = (pid: Pid) => levels.map(level => pid.numberIn(level)).join('\t')
  const ids =
    `NStgid:\t${numbers(group.pid)}\nNSpid:\t${numbers(task.pid)}\n` +
    `NSpgid:\t${numbers(group.pgrp.pid)}\nNSsid:\t${numbers(group.session.pid)}\n`
  const cpus = allowedCpus(task)
  return (
    `Name:\t${escapeName(task.comm)}\nUmask:\t${task.fs.umask.toString(8).padStart(4, '0')}\n` +
    `State:\t${letter} (${name})\nTgid:\t${group.pid.numberIn(ns)}\nNgid:\t0\nPid:\t${task.pid.numberIn(ns)}\n` +
    `PPid:\t${group.parent?.pid.numberIn(ns) ?? 0}\nTracerPid:\t${task.tracee?.tracer.pid.numberIn(ns) ?? 0}\n` +
    `Uid:\t${uids.join('\t')}\n` +
    `Gid:\t${gids.join('\t')}\n` +
    `FDSize:\t${fdTableSize(task.files.size)}\nGroups:\t${creds.groups.map(g => `${userNs.showGid(g)} `).join('') || ' '}\n` +
    `${ids}Kthread:\t0\n${hasMemory(task) ? memoryStatus(task) : ''}` +
    `Threads:\t${group.tasks.length}\n${signalStatus(task)}${capabilityStatus(task)}` +
    `Cpus_allowed:\t${cpuMask(kernel.cpus, cpus)}\n` +
    `Cpus_allowed_list:\t${cpuList(kernel.cpus, cpus)}\n` +
    'Mems_allowed:\t1\nMems_allowed_list:\t0\n' +
    'voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n'
  )
}

/** A name as /proc/PID/status shows it: one line whatever is in it. */
function escapeName(name: string): string {
  return name.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

/** Linux grows descriptor tables in steps: 64, 256, and then powers of two. */
function fdTableSize(used: number): number {
  let size = 64
  while (size < used) size *= size === 64 ? 4 : 2
  return size
}

function memoryStatus(task: Task): string {
  const { mm } = task
  const { vmas } = mm
  const resident = residentPages(mm) * 4
  const exe = Math.ceil((mm.codeEnd - mm.codeStart) / 1024)
  const lib = Math.max(0, vmas.execPages * 4 - exe)
  const file = Math.min(resident, vmas.execPages * 4)
  return [
    sizeLine('VmPeak', Math.max(mm.peakPages, vmas.totalPages) * 4),
    sizeLine('VmSize', vmas.totalPages * 4),
    sizeLine('VmLck', vmas.lockedPages * 4),
    sizeLine('VmPin', 0),
    sizeLine('VmHWM', resident),
    sizeLine('VmRSS', resident),
    sizeLine('RssAnon', resident - file),
    sizeLine('RssFile', file),
    sizeLine('RssShmem', 0),
    sizeLine('VmData', vmas.dataPages * 4),
    sizeLine('VmStk', vmas.stackPages * 4),
    sizeLine('VmExe', exe),
    sizeLine('VmLib', lib),
    sizeLine('VmPTE', mappedKb(mm)),
    sizeLine('VmSwap', 0),
    sizeLine('HugetlbPages', 0),
    `CoreDumping:\t0\nTHP_enabled:\t${mm.hugeDisabled ? 0 : 1}\n`,
    'untag_mask:\t0xffffffffffffffff\n',
  ].join('')
}

function signalStatus(task: Task): string {
  const { group, signals, kernel } = task
  const { ignored, caught } = handledSignals(task)
  const queued = kernel.queuedSignals.get(task.creds.uid) ?? 0
  const limit = group.rlimits[RLIMIT_SIGPENDING]!.cur
  return (
    `SigQ:\t${queued}/${limit === Number.POSITIVE_INFINITY ? UNLIMITED : limit}\n` +
    `SigPnd:\t${hex64(signals.pending.set)}\nShdPnd:\t${hex64(group.pending.set)}\n` +
    `SigBlk:\t${hex64(signals.mask)}\nSigIgn:\t${hex64(ignored)}\nSigCgt:\t${hex64(caught)}\n`
  )
}

function capabilityStatus(task: Task): string {
  const { creds, seccomp } = task
  return (
    `CapInh:\t${hex64(creds.inheritable)}\nCapPrm:\t${hex64(creds.permitted)}\n` +
    `CapEff:\t${hex64(creds.effective)}\nCapBnd:\t${hex64(creds.bounding)}\n` +
    `CapAmb:\t${hex64(creds.ambient)}\nNoNewPrivs:\t${creds.noNewPrivs ? 1 : 0}\n` +
    `Seccomp:\t${seccomp?.mode ?? 0}\nSeccomp_filters:\t${seccomp?.filters.length ?? 0}\n` +
    'Speculation_Store_Bypass:\tvulnerable\nSpeculationIndirectBranch:\talways enabled\n'
  )
}

const allowed = (cpu: number, affinity: Uint8Array | null): boolean =>
  affinity === null || affinity[cpu] === 1

/** A CPU mask as %*pb prints it: groups of 32 bits, the highest first. */
export function cpuMask(cpus: number, affinity: Uint8Array | null): string {
  const words: string[] = []
  for (let base = 0; base < cpus; base += 32) {
    let word = 0
    const bits = Math.min(32, cpus - base)
    for (let i = 0; i < bits; i++) if (allowed(base + i, affinity)) word |= 1 << i
    words.unshift((word >>> 0).toString(16).padStart(Math.ceil(bits / 4), '0'))
  }
  return words.join(',')
}

/** The same as ranges: "0-3,6". */
export function cpuList(cpus: number, affinity: Uint8Array | null): string {
  const ranges: string[] = []
  for (let cpu = 0; cpu < cpus; cpu++) {
    if (!allowed(cpu, affinity)) continue
    const first = cpu
    while (cpu + 1 < cpus && allowed(cpu + 1, affinity)) cpu++
    ranges.push(first === cpu ? `${first}` : `${first}-${cpu}`)
  }
  return ranges.join(',')
}

const LIMITS: readonly (readonly [string, number, string])[] = [
  ['Max cpu time', RLIMIT_CPU, 'seconds'],
  ['Max file size', RLIMIT_FSIZE, 'bytes'],
  ['Max data size', RLIMIT_DATA, 'bytes'],
  ['Max stack size', RLIMIT_STACK, 'bytes'],
  ['Max core file size', RLIMIT_CORE, 'bytes'],
  ['Max resident set', RLIMIT_RSS, 'bytes'],
  ['Max processes', RLIMIT_NPROC, 'processes'],
  ['Max open files', RLIMIT_NOFILE, 'files'],
  ['Max locked memory', RLIMIT_MEMLOCK, 'bytes'],
  ['Max address space', RLIMIT_AS, 'bytes'],
  ['Max file locks', RLIMIT_LOCKS, 'locks'],
  ['Max pending signals', RLIMIT_SIGPENDING, 'signals'],
  ['Max msgqueue size', RLIMIT_MSGQUEUE, 'bytes'],
  ['Max nice priority', RLIMIT_NICE, ''],
  ['Max realtime priority', RLIMIT_RTPRIO, ''],
  ['Max realtime timeout', RLIMIT_RTTIME, 'us'],
]

const limitText = (value: number): string =>
  (value === Number.POSITIVE_INFINITY ? 'unlimited' : `${value}`).padEnd(20)

/** /proc/PID/limits. */
export function limitsText(task: Task): string {
  let text = `${'Limit'.padEnd(25)} ${'Soft Limit'.padEnd(20)} ${'Hard Limit'.padEnd(20)} ${'Units'.padEnd(10)}\n`
  for (const [name, resource, unit] of LIMITS) {
    const { cur, max }: Rlimit = task.group.rlimits[resource]!
    text += `${name.padEnd(25)} ${limitText(cur)} ${limitText(max)} ${unit === '' ? '' : unit.padEnd(10)}\n`
  }
  return text
}

/** /proc/PID/io, for those who may look into the task. LIMIT: transfers are not counted. */
export function ioText(task: Task, reader: Task): string | number {
  if (ptraceAccess(reader, task, BY_FSCREDS) < 0) return -ESRCH
  return (
    'rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\n' +
    'cancelled_write_bytes: 0\n'
  )
}
