// prctl(2), arch_prctl(2), personality(2), seccomp(2), rseq(2).

import { EBADF, EFAULT, EINVAL, ENODEV, ENOMEM, ENOSYS, EPERM } from '../../syscall-table/errno.ts'
import {
  ARCH_GET_CPUID,
  ARCH_GET_FS,
  ARCH_GET_GS,
  ARCH_SET_CPUID,
  ARCH_SET_FS,
  ARCH_SET_GS,
  CAP_LAST_CAP,
  CAP_SETPCAP,
  CAP_SYS_RESOURCE,
  PR_CAP_AMBIENT,
  PR_CAP_AMBIENT_CLEAR_ALL,
  PR_CAP_AMBIENT_IS_SET,
  PR_CAP_AMBIENT_LOWER,
  PR_CAP_AMBIENT_RAISE,
  PR_CAPBSET_DROP,
  PR_CAPBSET_READ,
  PR_GET_CHILD_SUBREAPER,
  PR_GET_DUMPABLE,
  PR_GET_KEEPCAPS,
  PR_GET_NAME,
  PR_GET_NO_NEW_PRIVS,
  PR_GET_PDEATHSIG,
  PR_GET_SECCOMP,
  PR_GET_SECUREBITS,
  PR_GET_THP_DISABLE,
  PR_GET_TID_ADDRESS,
  PR_GET_TIMERSLACK,
  PR_GET_TIMING,
  PR_GET_TSC,
  PR_MCE_KILL,
  PR_MCE_KILL_GET,
  PR_SET_CHILD_SUBREAPER,
  PR_SET_DUMPABLE,
  PR_SET_KEEPCAPS,
  PR_SET_MM,
  PR_SET_NAME,
  PR_SET_NO_NEW_PRIVS,
  PR_SET_PDEATHSIG,
  PR_SET_PTRACER,
  PR_SET_SECCOMP,
  PR_SET_SECUREBITS,
  PR_SET_THP_DISABLE,
  PR_SET_TIMERSLACK,
  PR_SET_TIMING,
  PR_SET_TSC,
  PR_SET_VMA,
  PR_SET_VMA_ANON_NAME,
  PR_TSC_ENABLE,
  SECBIT_KEEP_CAPS,
  SECBIT_KEEP_CAPS_LOCKED,
  SECBIT_NO_CAP_AMBIENT_RAISE,
  SECCOMP_GET_ACTION_AVAIL,
  SECCOMP_GET_NOTIF_SIZES,
  SECCOMP_MODE_FILTER,
  SECCOMP_MODE_STRICT,
  SECCOMP_SET_MODE_FILTER,
  SECCOMP_SET_MODE_STRICT,
  TASK_COMM_LEN,
} from '../../syscall-table/flags.ts'
import { type CapSet, capSet, NO_CAPS } from '../kernel/creds.ts'
import { actionAvailable, addFilter, seccompMode, setStrict } from '../kernel/seccomp-filter.ts'
import type { Task } from '../kernel/task.ts'
import { type Mm, TASK_SIZE } from '../mm/mm.ts'
import { pageCeil } from '../mm/vma.ts'

const MAX_SIGNAL = 64
const DEFAULT_SLACK_NS = 50_000
const SECBITS_ALL = 0xff
/** Locks are the odd bits. */
const SECBITS_LOCKS = 0xaa
const SECBITS_BASE = 0x55
/** ANON_VMA_NAME_MAX_LEN with its NUL. */
const VMA_NAME_MAX = 80
const MCE_KILL_DEFAULT = 2
const PERSONALITY_QUERY = 0xffffffff

/** prctl(2). Options that are absent here are -EINVAL, as in a kernel built without them. */
export function sys_prctl(
  task: Task,
  option: number,
  arg2: number,
  arg3: number,
  arg4: number,
  arg5: number,
): number {
  const { group } = task
  const none = arg3 === 0 && arg4 === 0 && arg5 === 0
  switch (option) {
    case PR_SET_PDEATHSIG:
      if (arg2 < 0 || arg2 > MAX_SIGNAL) return -EINVAL
      group.parentDeathSignal = arg2
      return 0
    case PR_GET_PDEATHSIG:
      return copyOutInt(task, arg2, group.parentDeathSignal)
    case PR_GET_DUMPABLE:
      return group.dumpable
    case PR_SET_DUMPABLE:
      if (arg2 !== 0 && arg2 !== 1) return -EINVAL
      group.dumpable = arg2
      return 0
    case PR_SET_NAME:
      return setName(task, arg2)
    case PR_GET_NAME:
      return getName(task, arg2)
    case PR_GET_TIMING:
      return 0
    case PR_SET_TIMING:
      return arg2 === 0 ? 0 : -EINVAL
    case PR_GET_TSC:
      return copyOutInt(task, arg2, PR_TSC_ENABLE)
    case PR_SET_TSC:
      // Faults for who reads the time stamp counter are not offered.
      return arg2 === PR_TSC_ENABLE ? 0 : -EINVAL
    case PR_SET_TIMERSLACK:
      task.timerSlackNs = arg2 <= 0 ? DEFAULT_SLACK_NS : arg2
      return 0
    case PR_GET_TIMERSLACK:
      return task.timerSlackNs
    case PR_SET_CHILD_SUBREAPER:
      group.subreaper = arg2 !== 0
      return 0
    case PR_GET_CHILD_SUBREAPER:
      return copyOutInt(task, arg2, group.subreaper ? 1 : 0)
    case PR_SET_NO_NEW_PRIVS:
      if (arg2 !== 1 || !none) return -EINVAL
      return setNoNewPrivs(task)
    case PR_GET_NO_NEW_PRIVS:
      if (arg2 !== 0 || !none) return -EINVAL
      return task.creds.noNewPrivs ? 1 : 0
    case PR_GET_SECCOMP:
      return seccompMode(task)
    case PR_SET_SECCOMP:
      if (arg2 === SECCOMP_MODE_STRICT) return setStrict(task)
      return arg2 === SECCOMP_MODE_FILTER ? addFilter(task, 0, arg3) : -EINVAL
    case PR_GET_TID_ADDRESS:
      return copyOutWord(task, arg2, task.clearChildTid)
    case PR_SET_THP_DISABLE:
      if (!none) return -EINVAL
      task.mm.hugeDisabled = arg2 !== 0
      return 0
    case PR_GET_THP_DISABLE:
      if (arg2 !== 0 || !none) return -EINVAL
      return task.mm.hugeDisabled ? 1 : 0
    case PR_MCE_KILL:
      return arg4 === 0 && arg5 === 0 ? setMemoryErrorPolicy(task, arg2, arg3) : -EINVAL
    case PR_MCE_KILL_GET:
      return arg2 === 0 && none ? task.memoryErrorPolicy : -EINVAL
    case PR_SET_VMA:
      return arg2 === PR_SET_VMA_ANON_NAME ? setVmaName(task, arg3, arg4, arg5) : -EINVAL
    case PR_SET_MM:
      // LIMIT: what checkpoint and restore change of a memory layout cannot be changed.
      return task.creds.capable(CAP_SYS_RESOURCE) ? -EINVAL : -EPERM
    case PR_SET_PTRACER:
      // Yama is not built in.
      return -EINVAL
    default:
      return capabilityOption(task, option, arg2, arg3, arg4, arg5)
  }
}

function capabilityOption(
  task: Task,
  option: number,
  arg2: number,
  arg3: number,
  arg4: number,
  arg5: number,
): number {
  const { creds } = task
  switch (option) {
    case PR_CAPBSET_READ:
      if (!isCap(arg2)) return -EINVAL
      return hasCap(creds.bounding, arg2) ? 1 : 0
    case PR_CAPBSET_DROP: {
      if (!creds.holds(CAP_SETPCAP)) return -EPERM
      if (!isCap(arg2)) return -EINVAL
      const changed = creds.copy()
      changed.bounding = withoutCap(creds.bounding, arg2)
      task.creds = changed
      return 0
    }
    case PR_GET_SECUREBITS:
      return creds.securebits
    case PR_SET_SECUREBITS:
      return setSecureBits(task, arg2)
    case PR_GET_KEEPCAPS:
      return (creds.securebits & SECBIT_KEEP_CAPS) !== 0 ? 1 : 0
    case PR_SET_KEEPCAPS: {
      if (arg2 !== 0 && arg2 !== 1) return -EINVAL
      if ((creds.securebits & SECBIT_KEEP_CAPS_LOCKED) !== 0) return -EPERM
      const changed = creds.copy()
      changed.securebits =
        arg2 === 1 ? creds.securebits | SECBIT_KEEP_CAPS : creds.securebits & ~SECBIT_KEEP_CAPS
      task.creds = changed
      return 0
    }
    case PR_CAP_AMBIENT:
      return arg4 === 0 && arg5 === 0 ? ambient(task, arg2, arg3) : -EINVAL
    default:
      return -EINVAL
  }
}

const isCap = (cap: number): boolean => cap >= 0 && cap <= CAP_LAST_CAP

function hasCap(set: CapSet, cap: number): boolean {
  return ((cap < 32 ? set.lo >>> cap : set.hi >>> (cap - 32)) & 1) === 1
}

function withCap(set: CapSet, cap: number): CapSet {
  return cap < 32 ? capSet(set.lo | (1 << cap), set.hi) : capSet(set.lo, set.hi | (1 << (cap - 32)))
}

function withoutCap(set: CapSet, cap: number): CapSet {
  return cap < 32
    ? capSet(set.lo & ~(1 << cap), set.hi)
    : capSet(set.lo, set.hi & ~(1 << (cap - 32)))
}

function ambient(task: Task, operation: number, cap: number): number {
  const { creds } = task
  if (operation === PR_CAP_AMBIENT_CLEAR_ALL) {
    if (cap !== 0) return -EINVAL
    const changed = creds.copy()
    changed.ambient = NO_CAPS
    task.creds = changed
    return 0
  }
  if (!isCap(cap)) return -EINVAL
  if (operation === PR_CAP_AMBIENT_IS_SET) return hasCap(creds.ambient, cap) ? 1 : 0
  if (operation !== PR_CAP_AMBIENT_RAISE && operation !== PR_CAP_AMBIENT_LOWER) return -EINVAL
  const changed = creds.copy()
  if (operation === PR_CAP_AMBIENT_LOWER) changed.ambient = withoutCap(creds.ambient, cap)
  else {
    const held = hasCap(creds.permitted, cap) && hasCap(creds.inheritable, cap)
    if (!held || (creds.securebits & SECBIT_NO_CAP_AMBIENT_RAISE) !== 0) return -EPERM
    changed.ambient = withCap(creds.ambient, cap)
  }
  task.creds = changed
  return 0
}

/** Locked bits stay as they are, and nothing can be unlocked. */
function setSecureBits(task: Task, bits: number): number {
  const { creds } = task
  const old = creds.securebits
  if ((bits & ~SECBITS_ALL) !== 0) return -EPERM
  const locked = (old & SECBITS_LOCKS) >> 1
  if ((locked & (old ^ bits) & SECBITS_BASE) !== 0 || (old & SECBITS_LOCKS & ~bits) !== 0)
    return -EPERM
  if (!creds.holds(CAP_SETPCAP)) return -EPERM
  const changed = creds.copy()
  changed.securebits = bits
  task.creds = changed
  return 0
}

/** PR_MCE_KILL: when a task hears of broken memory. PR_MCE_KILL_CLEAR is 0, PR_MCE_KILL_SET is 1. */
function setMemoryErrorPolicy(task: Task, operation: number, policy: number): number {
  if (operation === 0) {
    if (policy !== 0) return -EINVAL
    task.memoryErrorPolicy = MCE_KILL_DEFAULT
    return 0
  }
  if (operation !== 1 || policy < 0 || policy > MCE_KILL_DEFAULT) return -EINVAL
  task.memoryErrorPolicy = policy
  return 0
}

function setNoNewPrivs(task: Task): number {
  if (task.creds.noNewPrivs) return 0
  const creds = task.creds.copy()
  creds.noNewPrivs = true
  task.creds = creds
  return 0
}

function setName(task: Task, addr: number): number {
  const { scratch } = task.kernel
  const n = task.mm.copyInPartial(task, addr, scratch, 0, TASK_COMM_LEN - 1)
  if (n <= 0) return -EFAULT
  const nul = scratch.subarray(0, n).indexOf(0)
  if (nul < 0 && n < TASK_COMM_LEN - 1) return -EFAULT
  task.comm = Buffer.from(scratch.buffer, 0, nul < 0 ? n : nul).toString('latin1')
  task.kernel.platform.ops(task.thread).setName?.(addr)
  return 0
}

function getName(task: Task, addr: number): number {
  const { scratch } = task.kernel
  scratch.fill(0, 0, TASK_COMM_LEN)
  Buffer.from(scratch.buffer, 0, TASK_COMM_LEN).write(task.comm, 'latin1')
  return task.mm.copyResult(task, addr, scratch, 0, TASK_COMM_LEN)
}

/**
 * Check the name as Linux does.
 * LIMIT: names of anonymous memory are accepted but not shown in /proc/PID/maps.
 */
function setVmaName(task: Task, start: number, length: number, name: number): number {
  if (start < 0 || length < 0 || start % 4096 !== 0) return -EINVAL
  let text = ''
  if (name !== 0) {
    const given = task.mm.readString(task, name, VMA_NAME_MAX)
    if (typeof given === 'number') return given === -EFAULT ? -EFAULT : -EINVAL
    text = given
    // Printable, without what would garble the maps file.
    for (const char of text) if (char < ' ' || char > '~' || '\\`$[]'.includes(char)) return -EINVAL
  }
  const end = start + pageCeil(length)
  if (end > TASK_SIZE) return -EINVAL
  return end === start ? 0 : nameAreas(task.mm, start, end, text === '' ? '' : `[anon:${text}]`)
}

/** Linux goes on after a hole, and stops at the mapping of a file. */
function nameAreas(mm: Mm, start: number, end: number, name: string): number {
  let error = 0
  for (let next = start; next < end; ) {
    const vma = mm.vmas.firstIn(next, end)
    if (vma === undefined) return -ENOMEM
    if (vma.start > next) error = -ENOMEM
    if (vma.file !== null) return -EBADF
    next = vma.end
    const own = vma.name === '' || vma.name.startsWith('[anon:')
    if (!own) continue
    mm.vmas.change(Math.max(vma.start, start), Math.min(vma.end, end), area => {
      area.name = name
    })
  }
  return error
}

function copyOutInt(task: Task, addr: number, value: number): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setInt32(0, value, true)
  return task.mm.copyResult(task, addr, scratch, 0, 4)
}

function copyOutWord(task: Task, addr: number, value: number): number {
  const { scratch, scratchView } = task.kernel
  scratchView.setUint32(0, value % 2 ** 32, true)
  scratchView.setUint32(4, Math.floor(value / 2 ** 32), true)
  return task.mm.copyResult(task, addr, scratch, 0, 8)
}

/** arch_prctl(2). The platform answers the common cases natively; the rest arrives here. */
export function sys_arch_prctl(task: Task, option: number, addr: number): number {
  const ops = task.kernel.platform.ops(task.thread)
  switch (option) {
    case ARCH_SET_FS:
      if (addr >= TASK_SIZE) return -EPERM
      ops.setFsBase(addr)
      task.fsBase = addr
      return 0
    case ARCH_SET_GS:
      if (addr >= TASK_SIZE) return -EPERM
      task.gsBase = addr
      ops.setGsBase(addr)
      task.gsBase = addr
      return 0
    case ARCH_GET_GS:
      return copyOutWord(task, addr, task.gsBase)
    case ARCH_GET_CPUID:
      return 1
    case ARCH_SET_CPUID:
      return -ENODEV
    case ARCH_GET_FS:
      // The base is the host's, and so is the answer.
      return -EINVAL
    default:
      return -EINVAL
  }
}

/** personality(2). ADDR_NO_RANDOMIZE has an effect, and what changes the answers of uname(2). */
export function sys_personality(task: Task, persona: number): number {
  const old = task.personality
  if (persona !== PERSONALITY_QUERY) task.personality = persona | 0
  return old >>> 0
}

/** struct seccomp_notif_sizes: of seccomp_notif, seccomp_notif_resp and seccomp_data. */
const NOTIF_SIZES = [80, 24, 64]

/** seccomp(2). */
export function sys_seccomp(task: Task, operation: number, flags: number, addr: number): number {
  switch (operation) {
    case SECCOMP_SET_MODE_STRICT:
      return flags === 0 && addr === 0 ? setStrict(task) : -EINVAL
    case SECCOMP_SET_MODE_FILTER:
      return addFilter(task, flags, addr)
    case SECCOMP_GET_ACTION_AVAIL: {
      if (flags !== 0) return -EINVAL
      const { scratch, scratchView } = task.kernel
      if (task.mm.copyIn(task, addr, scratch, 0, 4) < 0) return -EFAULT
      return actionAvailable(scratchView.getUint32(0, true))
    }
    case SECCOMP_GET_NOTIF_SIZES: {
      if (flags !== 0) return -EINVAL
      const { scratch, scratchView } = task.kernel
      NOTIF_SIZES.forEach((size, i) => {
        scratchView.setUint16(i * 2, size, true)
      })
      return task.mm.copyResult(task, addr, scratch, 0, 2 * NOTIF_SIZES.length) < 0 ? -EFAULT : 0
    }
    default:
      return -EINVAL
  }
}

/** rseq(2): natively on the host where the platform can; else absent, as without CONFIG_RSEQ. */
export function sys_rseq(
  _task: Task,
  _rseq: number,
  _length: number,
  _flags: number,
  _sig: number,
): number {
  return -ENOSYS
}
