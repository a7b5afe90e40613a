// landlock_create_ruleset(2), landlock_add_rule(2), landlock_restrict_self(2): security/landlock/syscalls.c.

import {
  E2BIG,
  EBADF,
  EBADFD,
  EFAULT,
  EINVAL,
  ENOMEM,
  ENOMSG,
  EPERM,
} from '../../syscall-table/errno.ts'
import { CAP_SYS_ADMIN, O_CLOEXEC, O_RDWR } from '../../syscall-table/flags.ts'
import {
  ALL_ACCESS,
  Domain,
  FILE_ACCESS,
  isInternal,
  LAYERS_MAX,
  Rules,
} from '../kernel/landlock.ts'
import { kernelMemory } from '../kernel/memory.ts'
import type { Task } from '../kernel/task.ts'
import { anonFile } from '../vfs/anon.ts'
import { FileOps } from '../vfs/file.ts'
import { copyExtensible } from './extensible-struct.ts'
import { installFile } from './path-open.ts'

/** What is offered is that of ABI 3: access to files, moving them, and their sizes. */
const ABI = 3
const CREATE_RULESET_VERSION = 1
const RULE_PATH_BENEATH = 1
/** struct landlock_ruleset_attr of that version, and struct landlock_path_beneath_attr. */
const RULESET_SIZE = 8
const PATH_BENEATH_SIZE = 12
/** What a rule weighs in the kernel's memory. */
const RULE_WEIGHT = 3

/** The file of a ruleset. */
class RulesetOps extends FileOps {
  override spliceable = false
  readonly handled: number
  readonly rules = new Rules()

  constructor(handled: number) {
    super()
    this.handled = handled
  }

  override release(): void {
    this.rules.release()
  }
}

export function sys_landlock_create_ruleset(
  task: Task,
  addr: number,
  size: number,
  flags: number,
): number {
  if (flags !== 0)
    return flags === CREATE_RULESET_VERSION && addr === 0 && size === 0 ? ABI : -EINVAL
  if (addr === 0) return -EFAULT
  const error = copyExtensible(task, addr, size, RULESET_SIZE, RULESET_SIZE)
  if (error < 0) return error
  const { scratchView } = task.kernel
  const handled = scratchView.getUint32(0, true)
  if (scratchView.getUint32(4, true) !== 0 || (handled & ~ALL_ACCESS) !== 0) return -EINVAL
  if (handled === 0) return -ENOMSG
  const file = anonFile(task.kernel, new RulesetOps(handled), '[landlock-ruleset]', O_RDWR)
  return installFile(task, file, O_CLOEXEC)
}

function rulesetOf(task: Task, fd: number): RulesetOps | number {
  const file = task.files.getReal(fd)
  if (file === undefined) return -EBADF
  return file.ops instanceof RulesetOps ? file.ops : -EBADFD
}

export function sys_landlock_add_rule(
  task: Task,
  fd: number,
  type: number,
  addr: number,
  flags: number,
): number {
  if (flags !== 0) return -EINVAL
  const ruleset = rulesetOf(task, fd)
  if (typeof ruleset === 'number') return ruleset
  if (type !== RULE_PATH_BENEATH) return -EINVAL
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, addr, scratch, 0, PATH_BENEATH_SIZE) < 0) return -EFAULT
  const allowed = scratchView.getUint32(0, true)
  const high = scratchView.getUint32(4, true)
  if (allowed === 0 && high === 0) return -ENOMSG
  if (high !== 0 || (allowed & ~ruleset.handled) !== 0) return -EINVAL
  const file = task.files.get(scratchView.getInt32(8, true))
  if (file === undefined) return -EBADF
  if (isInternal(file.mount, file.dentry)) return -EBADFD
  if (!file.inode.isDir && (allowed & ~FILE_ACCESS) !== 0) return -EINVAL
  if (!kernelMemory.take(RULE_WEIGHT)) return -ENOMEM
  ruleset.rules.add(file.dentry, allowed)
  return 0
}

export function sys_landlock_restrict_self(task: Task, fd: number, flags: number): number {
  if (!task.creds.noNewPrivs && !task.creds.holds(CAP_SYS_ADMIN)) return -EPERM
  if (flags !== 0) return -EINVAL
  const ruleset = rulesetOf(task, fd)
  if (typeof ruleset === 'number') return ruleset
  const below = task.landlock
  if (below !== null && below.depth >= LAYERS_MAX) return -E2BIG
  if (!kernelMemory.take(RULE_WEIGHT * (1 + ruleset.rules.allowed.size))) return -ENOMEM
  // The task's reference to what was before becomes the new domain's.
  task.landlock = new Domain(below, ruleset.handled, ruleset.rules.copy())
  return 0
}
