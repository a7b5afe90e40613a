// /proc/sys/kernel and /proc/sys/vm beyond names and limits of IPC: what tunes processes, scheduling and memory.
// proc_sys_kernel(5), proc_sys_vm(5).

import { EINVAL, EPERM } from '../../../syscall-table/errno.ts'
import { CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN } from '../../../syscall-table/flags.ts'
import type { IpcIds, IpcObject } from '../../ipc/ids.ts'
import { PID_MAX, PID_MAX_MIN } from '../../kernel/pid-namespace.ts'
import type { Task } from '../../kernel/task.ts'
import { DEFAULT_RR_SLICE_MS, type Tunables } from '../../kernel/tunables.ts'
import { dropDcache } from '../../vfs/dcache.ts'
import { integers, line, numberRow, type Row, type Store } from './sysctl-values.ts'

/** CORENAME_MAX_SIZE, with its NUL. */
const CORENAME_MAX = 128
const INT_MAX = 0x7fffffff

const tunables = ({ kernel }: Task): Tunables => kernel.tunables

const storePidMax: Store = (text, { pidNs }) => {
  const [value] = integers(text, 1, PID_MAX_MIN, PID_MAX)
  if (value === undefined) return -EINVAL
  pidNs.max = value
  return 0
}

const storeLastPid: Store = (text, { creds, pidNs }) => {
  const privileged =
    creds.capableIn(pidNs.owner!, CAP_SYS_ADMIN) ||
    creds.capableIn(pidNs.owner!, CAP_CHECKPOINT_RESTORE)
  if (!privileged) return -EPERM
  const [value] = integers(text, 1, 0, pidNs.max)
  if (value === undefined) return -EINVAL
  pidNs.lastPid = value
  return 0
}

/** msg_next_id and its like: the identifier that the next object gets, once; -1 for the usual. */
function nextId(kind: 'msg' | 'sem' | 'shm'): Row {
  const ids = ({ nsproxy }: Task): IpcIds<IpcObject> => nsproxy.ipc[kind]
  return [
    `${kind}_next_id`,
    (_kernel, reader) => ids(reader).nextId,
    (text, writer) => {
      const { creds, nsproxy } = writer
      const { owner } = nsproxy.ipc
      const privileged =
        creds.capableIn(owner!, CAP_SYS_ADMIN) || creds.capableIn(owner!, CAP_CHECKPOINT_RESTORE)
      if (!privileged) return -EPERM
      const [value] = integers(text, 1, 0, INT_MAX)
      if (value === undefined) return -EINVAL
      ids(writer).nextId = value
      return 0
    },
  ]
}

/** sched_rr_timeslice_ms: anything that is not positive sets the default. */
const storeRrSlice: Store = (text, task) => {
  const [value] = integers(text, 1, -INT_MAX, INT_MAX)
  if (value === undefined) return -EINVAL
  tunables(task).rrSliceMs = value > 0 ? value : DEFAULT_RR_SLICE_MS
  return 0
}

/** The real-time budget of a period: checked together, as sched_rt_global_validate. */
function storeRtBudget(task: Task, periodUs: number, runtimeUs: number): number {
  if (runtimeUs > periodUs) return -EINVAL
  tunables(task).rtPeriodUs = periodUs
  tunables(task).rtRuntimeUs = runtimeUs
  return 0
}

const storeRtPeriod: Store = (text, task) => {
  const [value] = integers(text, 1, 1, INT_MAX)
  return value === undefined ? -EINVAL : storeRtBudget(task, value, tunables(task).rtRuntimeUs)
}

const storeRtRuntime: Store = (text, task) => {
  const [value] = integers(text, 1, -1, INT_MAX)
  return value === undefined ? -EINVAL : storeRtBudget(task, tunables(task).rtPeriodUs, value)
}

/** printk: levels of the console. Numbers that are missing stay as they are. */
const storePrintk: Store = (text, task) => {
  const values = integers(text, 4, 0, INT_MAX)
  if (values.length === 0) return -EINVAL
  values.forEach((value, i) => {
    tunables(task).printk[i] = value
  })
  return 0
}

/** Cores go to files: nobody can be started or called in the name of the kernel. */
const storeCorePattern: Store = (text, task) => {
  const pattern = line(text).slice(0, CORENAME_MAX - 1)
  if (pattern.startsWith('|') || pattern.startsWith('@')) return -EINVAL
  tunables(task).corePattern = pattern
  return 0
}

/** Of the two limits of vm.overcommit_memory, the one that is set last holds. */
const storeOvercommitKbytes: Store = (text, task) => {
  const [value] = integers(text, 1, 0, INT_MAX)
  if (value === undefined) return -EINVAL
  tunables(task).overcommitKbytes = value
  tunables(task).overcommitRatio = 0
  return 0
}

const storeOvercommitRatio: Store = (text, task) => {
  const [value] = integers(text, 1, 0, INT_MAX)
  if (value === undefined) return -EINVAL
  tunables(task).overcommitRatio = value
  tunables(task).overcommitKbytes = 0
  return 0
}

export const KERNEL: readonly Row[] = [
  // Linux keeps the file, although writing has had no effect since 3.19.
  numberRow('auto_msgmni', tunables, 'autoMsgmni', 1),
  ['core_pattern', kernel => kernel.tunables.corePattern, storeCorePattern],
  numberRow('core_uses_pid', tunables, 'coreUsesPid', 1),
  numberRow('dmesg_restrict', tunables, 'dmesgRestrict', 1),
  nextId('msg'),
  ['ns_last_pid', (_kernel, { pidNs }) => pidNs.lastPid, storeLastPid],
  ['pid_max', (_kernel, { pidNs }) => pidNs.max, storePidMax],
  ['printk', kernel => kernel.tunables.printk.join('\t'), storePrintk],
  numberRow('randomize_va_space', tunables, 'randomizeVaSpace', 2),
  ['sched_rr_timeslice_ms', kernel => kernel.tunables.rrSliceMs, storeRrSlice],
  ['sched_rt_period_us', kernel => kernel.tunables.rtPeriodUs, storeRtPeriod],
  ['sched_rt_runtime_us', kernel => kernel.tunables.rtRuntimeUs, storeRtRuntime],
  nextId('sem'),
  nextId('shm'),
]

/** drop_caches: 1 for the pages of files, which are the host's, 2 for names, 3 for both; 4 is silence in the log. */
const storeDropCaches: Store = (text, task) => {
  const [value] = integers(text, 1, 1, 4)
  if (value === undefined) return -EINVAL
  if ((value & 2) !== 0) dropDcache(task.kernel)
  return 0
}

export const VM: readonly Row[] = [
  ['drop_caches', null, storeDropCaches],
  numberRow('max_map_count', tunables, 'maxMapCount'),
  ['overcommit_kbytes', kernel => kernel.tunables.overcommitKbytes, storeOvercommitKbytes],
  numberRow('overcommit_memory', tunables, 'overcommitMemory', 2),
  ['overcommit_ratio', kernel => kernel.tunables.overcommitRatio, storeOvercommitRatio],
  // Nothing is ever swapped.
  numberRow('swappiness', tunables, 'swappiness', 200),
]
