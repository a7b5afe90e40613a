// /proc/PID and /proc/PID/task/TID: directories that are tables of what can be known of a task. tgid_base_stuff
// and tid_base_stuff of fs/proc/base.c.

import { EACCES, EINVAL, ENOENT, EPERM, ESRCH } from '../../../syscall-table/errno.ts'
import { CAP_SYS_NICE, CAP_SYS_RESOURCE, SIGEV_NONE } from '../../../syscall-table/flags.ts'
import { cgroupOf } from '../../kernel/cgroup.ts'
import type { Changes } from '../../kernel/changes.ts'
import type { Creds } from '../../kernel/creds.ts'
import { allotmentOf } from '../../kernel/limits.ts'
import type { PidNamespace } from '../../kernel/pid-namespace.ts'
import { BY_FSCREDS, ptraceAccess } from '../../kernel/ptrace-access.ts'
import { DEAD, type Task, ZOMBIE } from '../../kernel/task.ts'
import type { ThreadGroup } from '../../kernel/thread-group.ts'
import { type IdMapName, mapText, writeMap, writeSetgroups } from '../../kernel/user-namespace.ts'
import type { FileOps } from '../../vfs/file.ts'
import type { DirSink, Inode } from '../../vfs/inode.ts'
import {
  type Content,
  direntType,
  GeneratedFile,
  listPolled,
  type Polled,
  PseudoDirectory,
  type PseudoFs,
  PseudoLink,
} from '../pseudo.ts'
import { loginUidText, sessionIdText, writeLoginUid } from './login-uid.ts'
import { MapFilesDirectory } from './map-files.ts'
import { mountinfoText, mountsText, mountstatsText } from './mounts.ts'
import { numaMapsText } from './numa-maps.ts'
import { schedstatText, syscallText } from './task-call.ts'
import {
  exePath,
  FdDirectory,
  FdinfoDirectory,
  NamespaceDirectory,
  PathLink,
} from './task-files.ts'
import {
  auxvBytes,
  cmdlineBytes,
  environBytes,
  MemFileOps,
  mapsText,
  smapsRollupText,
  smapsText,
} from './task-memory.ts'
import { ownedBy, type TaskDirectory, type TaskNode } from './task-node.ts'
import { ioText, limitsText, statLine, statmLine, statusText } from './task-stat.ts'

/** What the directories need of their file system. */
export interface ProcSuper extends PseudoFs {
  taskDirectory(task: Task): Inode
  readonly pidNs: PidNamespace
}

type Read = (target: Task, reader: Task, owner: TaskDirectory) => Content
type Write = (target: Task, text: string, writer: Task, opener: Creds) => number

/** A generated file of a task. `guarded`: opening needs the right to trace the task. */
class TaskFile extends GeneratedFile implements TaskNode {
  readonly owner: TaskDirectory
  readonly #guarded: boolean
  readonly #changes: ((target: Task) => Changes) | null

  constructor(
    owner: TaskDirectory,
    permissions: number,
    guarded: boolean,
    read: Read,
    write: Write | null,
    changes: ((target: Task) => Changes) | null = null,
  ) {
    super(
      owner.sb,
      permissions,
      reader => (owner.target === null ? -ESRCH : read(owner.target, reader, owner)),
      write === null
        ? null
        : (text, writer, opener) =>
            owner.target === null ? -ESRCH : write(owner.target, text, writer, opener),
    )
    this.owner = owner
    this.#guarded = guarded
    this.#changes = changes
    ownedBy(this)
  }

  protected override polled(): Polled | null {
    const { target } = this.owner
    return target === null || this.#changes === null ? null : listPolled(this.#changes(target))
  }

  override refresh(): number {
    return ownedBy(this)
  }

  override open(task: Task, flags: number): FileOps | number {
    const { target } = this.owner
    if (target === null) return -ESRCH
    if (this.#guarded && ptraceAccess(task, target, BY_FSCREDS) < 0) return -EACCES
    const ops = super.open(task, flags)
    // Linux reads them by seq_read, which splice(2) cannot use.
    if (typeof ops !== 'number') ops.spliceSource = false
    return ops
  }
}

/** /proc/PID/mem. */
class MemFile extends TaskFile {
  override open(task: Task, _flags: number): FileOps | number {
    const { target } = this.owner
    if (target === null) return -ESRCH
    return ptraceAccess(task, target, BY_FSCREDS) < 0 ? -EACCES : new MemFileOps(target)
  }
}

type Maker = (owner: TaskDirectory) => Inode

const file =
  (permissions: number, read: Read, write: Write | null = null): Maker =>
  owner =>
    new TaskFile(owner, permissions, false, read, write)
/** A list of mounts: news of changes can be polled for. */
const mountList =
  (read: Read): Maker =>
  owner =>
    new TaskFile(owner, 0o444, false, read, null, target => target.nsproxy.mnt.changes)
const guarded =
  (permissions: number, read: Read): Maker =>
  owner =>
    new TaskFile(owner, permissions, true, read, null)

/** Hierarchies with the newest first, version 2 last. Paths are as seen from the container's own cgroup. */
function cgroupLines({ group }: Task): string {
  return [...allotmentOf(group).cgroups.hierarchies]
    .sort((a, b) => b.id - a.id)
    .map(hierarchy => {
      const { id, name, controllers } = hierarchy
      const names = name === '' ? controllers.join(',') : `name=${name}`
      return `${id}:${id === 0 ? '' : names}:${cgroupOf(group, hierarchy).path}\n`
    })
    .join('')
}

const idMap = (name: IdMapName): Maker =>
  file(
    0o644,
    (target, reader) => mapText(target.creds.userNs, name, reader.creds.userNs),
    (target, text, writer, opener) =>
      writeMap(target.creds.userNs, name, text, opener, writer.creds),
  )

/** Entries of both kinds of directory, in Linux's order. */
const COMMON: readonly (readonly [string, Maker])[] = [
  ['fd', owner => new FdDirectory(owner)],
  ['fdinfo', owner => new FdinfoDirectory(owner)],
  ['ns', owner => new NamespaceDirectory(owner)],
  ['net', owner => new PseudoLink(owner.sb, () => (owner.whole ? '../net' : '../../../net'))],
  ['environ', guarded(0o400, environBytes)],
  ['auxv', guarded(0o400, auxvBytes)],
  ['status', file(0o444, (target, reader, owner) => statusText(target, reader, owner.pidNs))],
  [
    'personality',
    guarded(0o400, target => `${target.personality.toString(16).padStart(8, '0')}\n`),
  ],
  ['limits', file(0o444, limitsText)],
  ['syscall', guarded(0o400, syscallText)],
  ['comm', file(0o644, target => `${target.comm}\n`, writeComm)],
  ['cmdline', file(0o444, cmdlineBytes)],
  ['stat', file(0o444, (target, reader, owner) => statLine(target, reader, owner))],
  ['statm', file(0o444, statmLine)],
  ['maps', guarded(0o444, mapsText)],
  ['numa_maps', guarded(0o444, numaMapsText)],
  ['mem', owner => new MemFile(owner, 0o600, true, () => -EINVAL, null)],
  ['cwd', owner => new PathLink(owner, target => target.fs.cwd)],
  ['root', owner => new PathLink(owner, target => target.fs.root)],
  ['exe', owner => new PathLink(owner, exePath)],
  ['mounts', mountList(mountsText)],
  ['mountinfo', mountList(mountinfoText)],
  ['smaps', guarded(0o444, smapsText)],
  ['smaps_rollup', guarded(0o444, smapsRollupText)],
  ['wchan', file(0o444, () => '0')],
  ['schedstat', file(0o444, schedstatText)],
  ['cgroup', file(0o444, cgroupLines)],
  ['oom_score', file(0o444, target => `${oomScore(target.group)}\n`)],
  ['oom_adj', file(0o644, target => `${oomAdjOf(target.group)}\n`, writeOomAdj)],
  ['oom_score_adj', file(0o644, target => `${target.group.oomScoreAdj}\n`, writeOomScoreAdj)],
  ['loginuid', file(0o644, loginUidText, writeLoginUid)],
  ['sessionid', file(0o444, sessionIdText)],
  ['io', file(0o400, ioText)],
  ['uid_map', idMap('uid')],
  ['gid_map', idMap('gid')],
  ['projid_map', idMap('projid')],
  [
    'setgroups',
    file(
      0o644,
      target => (target.creds.userNs.setgroupsAllowed ? 'allow\n' : 'deny\n'),
      (target, text, _writer, opener) => writeSetgroups(target.creds.userNs, text, opener),
    ),
  ],
]

const PROCESS_ONLY: readonly (readonly [string, Maker])[] = [
  ['coredump_filter', file(0o644, readDumpFilter, writeDumpFilter)],
  ['timers', file(0o444, timersText)],
  ['task', owner => new ThreadsDirectory(owner)],
  ['map_files', owner => new MapFilesDirectory(owner)],
  ['mountstats', file(0o400, mountstatsText)],
  ['timerslack_ns', file(0o666, readTimerSlack, writeTimerSlack)],
]

const THREAD_ONLY: readonly (readonly [string, Maker])[] = [
  ['children', file(0o444, (target, _reader, owner) => childrenOf(target, owner.pidNs))],
]

/** /proc/PID (of a group) or /proc/PID/task/TID (of a task). */
export class TaskDirectoryInode extends PseudoDirectory implements TaskDirectory {
  readonly #group: ThreadGroup | null
  readonly #task: Task | null
  readonly #table: readonly (readonly [string, Maker])[]
  readonly #made = new Map<string, Inode>()

  constructor(sb: PseudoFs, of: { group: ThreadGroup } | { task: Task }) {
    super(sb)
    this.#group = 'group' in of ? of.group : null
    this.#task = 'task' in of ? of.task : null
    this.#table = [...(this.#group === null ? THREAD_ONLY : PROCESS_ONLY), ...COMMON]
    this.refresh()
  }

  get pidNs(): PidNamespace {
    return (this.sb as ProcSuper).pidNs
  }

  /** The process of /proc/PID; null for a thread's directory. */
  get group(): ThreadGroup | null {
    return this.#group
  }

  get whole(): boolean {
    return this.#group !== null
  }

  get target(): Task | null {
    if (this.#group !== null) return this.#group.reaped ? null : this.#group.leader
    return this.#task!.state === DEAD ? null : this.#task
  }

  /** The directory itself always belongs to the effective user. */
  override refresh(): number {
    const { target } = this
    if (target === null) return 0
    this.uid = target.creds.euid
    this.gid = target.creds.egid
    this.nlink = this.whole ? 9 : 7
    return 0
  }

  override lookup(name: string, _task: Task | null): Inode | number {
    if (this.target === null) return -ENOENT
    let inode = this.#made.get(name)
    if (inode === undefined) {
      const row = this.#table.find(([entry]) => entry === name)
      if (row === undefined) return -ENOENT
      inode = row[1](this)
      this.#made.set(name, inode)
    }
    inode.refresh()
    return inode
  }

  protected override list(pos: number, sink: DirSink): number {
    if (this.target === null) return -ENOENT
    for (let i = pos - 2; i < this.#table.length; i++) {
      const name = this.#table[i]![0]
      const inode = this.lookup(name, null)
      if (typeof inode === 'number') return inode
      if (!sink.entry(name, inode.ino, direntType(inode.mode), i + 3)) return 0
    }
    return 0
  }
}

/** /proc/PID/task. */
class ThreadsDirectory extends PseudoDirectory implements TaskNode {
  readonly owner: TaskDirectory

  constructor(owner: TaskDirectory) {
    super(owner.sb)
    this.owner = owner
    this.refresh()
  }

  get #tasks(): Task[] {
    const { target } = this.owner
    if (target === null) return []
    const { tasks } = target.group
    // A leader that has ended stays visible as long as its process exists.
    const all = tasks.includes(target) ? [...tasks] : [target, ...tasks]
    return all.sort((a, b) => this.#number(a) - this.#number(b))
  }

  #number({ pid }: Task): number {
    return pid.numberIn(this.owner.pidNs)
  }

  override refresh(): number {
    this.nlink = 2 + this.#tasks.length
    return ownedBy(this)
  }

  override lookup(name: string): Inode | number {
    const task = this.#tasks.find(each => `${this.#number(each)}` === name)
    if (task === undefined) return -ENOENT
    const inode = (this.sb as ProcSuper).taskDirectory(task)
    inode.refresh()
    return inode
  }

  /** Positions are thread ids, so that a listing goes on correctly while threads come and go. */
  protected override list(pos: number, sink: DirSink): number {
    for (const task of this.#tasks) {
      const tid = this.#number(task)
      if (tid + 2 < pos) continue
      if (!sink.entry(`${tid}`, tid, 4, tid + 3)) return 0
    }
    return 0
  }
}

/** Only threads of the same process may name it. LIMIT: the host's process list keeps the old name. */
function writeComm(target: Task, text: string, writer: Task): number {
  if (writer.group !== target.group) return -EINVAL
  target.comm = text.replace(/\n$/, '').slice(0, 15)
  return 0
}

function childrenOf(target: Task, ns: PidNamespace): string {
  if (!target.isLeader) return ''
  return [...target.group.children].map(child => `${child.pid.numberIn(ns)} `).join('')
}

/** A score between 0 and 2000 from the adjustment alone: nothing here is killed for it. */
function oomScore(group: ThreadGroup): number {
  return Math.max(0, Math.min(2000, 666 + Math.floor((group.oomScoreAdj * 2) / 3)))
}

/** MMF_DUMP_FILTER_MASK: kinds of memory that a core dump may hold. */
const DUMP_FILTER_BITS = 0x1ff
const OOM_SCORE_MAX = 1000
/** The old scale of oom_adj: -17 (never) to 15. */
const OOM_ADJ_DISABLE = -17
const OOM_ADJ_MAX = 15

function oomAdjOf(group: ThreadGroup): number {
  if (group.oomScoreAdj === OOM_SCORE_MAX) return OOM_ADJ_MAX
  return Math.trunc((group.oomScoreAdj * -OOM_ADJ_DISABLE) / OOM_SCORE_MAX)
}

/** A whole number as kstrtoint takes it: surrounding white space is stripped. Null for anything else. */
export function parseInteger(text: string): number | null {
  const trimmed = text.replaceAll('\0', '').trim()
  return /^[-+]?[0-9]{1,15}$/.test(trimmed) ? Number(trimmed) : null
}

function writeOomScoreAdj(target: Task, text: string, writer: Task): number {
  const value = parseInteger(text)
  if (value === null || value < -OOM_SCORE_MAX || value > OOM_SCORE_MAX) return -EINVAL
  return setOomScoreAdj(target, value, writer)
}

function writeOomAdj(target: Task, text: string, writer: Task): number {
  const value = parseInteger(text)
  if (value === null || value < OOM_ADJ_DISABLE || value > OOM_ADJ_MAX) return -EINVAL
  if (value === OOM_ADJ_MAX) return setOomScoreAdj(target, OOM_SCORE_MAX, writer)
  return setOomScoreAdj(target, Math.trunc((value * OOM_SCORE_MAX) / -OOM_ADJ_DISABLE), writer)
}

function setOomScoreAdj(target: Task, value: number, writer: Task): number {
  const { group } = target
  if (value < group.oomScoreAdj && !writer.creds.capable(CAP_SYS_RESOURCE)) return -EACCES
  group.oomScoreAdj = value
  return 0
}

/** What a core dump holds of memory: core(5). */
function readDumpFilter(target: Task): Content {
  return target.state >= ZOMBIE ? '' : `${target.mm.dumpFilter.toString(16).padStart(8, '0')}\n`
}

function writeDumpFilter(target: Task, text: string): number {
  const number = text.replaceAll('\0', '').trim()
  if (!/^(0x[0-9a-f]{1,8}|[0-9]{1,10})$/i.test(number)) return -EINVAL
  const value = /^0[0-7]+$/.test(number) ? Number.parseInt(number, 8) : Number(number)
  if (!(value <= 0xffffffff)) return -EINVAL
  if (target.state >= ZOMBIE) return -ESRCH
  target.mm.dumpFilter = value & DUMP_FILTER_BITS
  return 0
}

/** POSIX timers, as proc_pid_timers(5) shows them. */
function timersText({ group }: Task, reader: Task): string {
  let text = ''
  for (const timer of group.posixTimers?.values() ?? []) {
    const value = (timer.valueHi * 2 ** 32 + timer.valueLo).toString(16).padStart(16, '0')
    const to = timer.target === null ? 'pid' : 'tid'
    const pid = (timer.target?.pid ?? group.pid).numberIn(reader.pidNs)
    text +=
      `ID: ${timer.id}\nsignal: ${timer.signo}/${value}\n` +
      `notify: ${timer.notify === SIGEV_NONE ? 'none' : 'signal'}/${to}.${pid}\nClockID: ${timer.clock}\n`
  }
  return text
}

/** Another process's slack needs CAP_SYS_NICE. */
function readTimerSlack(target: Task, reader: Task): Content {
  if (target !== reader && !reader.creds.capable(CAP_SYS_NICE)) return -EPERM
  return `${target.timerSlackNs}\n`
}

function writeTimerSlack(target: Task, text: string, writer: Task): number {
  const value = parseInteger(text)
  if (value === null || value < 0) return -EINVAL
  if (target !== writer && !writer.creds.capable(CAP_SYS_NICE)) return -EPERM
  target.timerSlackNs = value === 0 ? 50_000 : value
  return 0
}
