// linux.seccomp: the filter that every process of the container has from its start, exec'd ones too.

import { Filter } from 'seccomp-bpf-compiler'
import { EPERM, errnoMessage } from '../../syscall-table/errno.ts'
import {
  AUDIT_ARCH_X86_64,
  SECCOMP_MODE_FILTER,
  SECCOMP_RET_ACTION_FULL,
  SECCOMP_RET_ALLOW,
  SECCOMP_RET_DATA,
  SECCOMP_RET_ERRNO,
  SECCOMP_RET_LOG,
} from '../../syscall-table/flags.ts'
import type { SeccompConfig } from '../config.ts'
import { SeccompState, startWithFilters } from '../kernel/seccomp-filter.ts'
import type { Task } from '../kernel/task.ts'
import { BootError } from './boot-error.ts'

const NR_EXECVE = 59

/** The state of a container's processes; null without a profile. */
export function containerSeccomp(config: SeccompConfig | null): SeccompState | null {
  if (config === null) return null
  const filter = Filter.load(Buffer.from(config.filter, 'base64'))
  if (typeof filter === 'number')
    throw new BootError(`linux.seccomp: the kernel refuses the filter: ${errnoMessage(-filter)}`)
  return new SeccompState(SECCOMP_MODE_FILTER, [filter], null)
}

/** A process of the container is about to execute its program: from now on the profile holds. */
export function enterSeccomp(task: Task, state: SeccompState | null): void {
  if (state === null) return
  startWithFilters(task, state)
  // The program is executed from within the filter, as under runc.
  const data = new Uint32Array(16)
  data[0] = NR_EXECVE
  data[1] = AUDIT_ARCH_X86_64
  const answer = state.filters[0]!.run(data)
  const action = (answer & SECCOMP_RET_ACTION_FULL) >>> 0
  if (action === SECCOMP_RET_ALLOW || action === SECCOMP_RET_LOG) return
  const error = action === SECCOMP_RET_ERRNO ? answer & SECCOMP_RET_DATA : EPERM
  throw new BootError(
    `linux.seccomp: the profile does not let execve start the program: ${errnoMessage(error)}`,
  )
}
