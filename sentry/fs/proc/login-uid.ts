// /proc/PID/loginuid: who logged in, for an audit that does not exist here; pam_loginuid sets it, and fails the login
// when it cannot. proc_loginuid_write of fs/proc/base.c, audit_set_loginuid of kernel/auditsc.c.

import { EINVAL, EPERM, ERANGE } from '../../../syscall-table/errno.ts'
import { CAP_AUDIT_CONTROL } from '../../../syscall-table/flags.ts'
import type { Creds } from '../../kernel/creds.ts'
import type { Task } from '../../kernel/task.ts'
import { NO_ID } from '../../kernel/user-namespace.ts'

const U32_MAX = 0xffffffff

let lastSession = 0

export const loginUidText = (target: Task, reader: Task): string =>
  `${reader.creds.userNs.maps.uid.fromKernel(target.loginUid)}`

export const sessionIdText = (target: Task): string => `${target.auditSession}`

/** Only a task itself says who it works for: at first anyone may, later CAP_AUDIT_CONTROL is needed. */
export function writeLoginUid(target: Task, text: string, writer: Task, opener: Creds): number {
  if (target !== writer) return -EPERM
  // As kstrtou32: no blanks, one new-line at most.
  if (!/^\+?[0-9]+\n?$/.test(text)) return -EINVAL
  const id = Number.parseInt(text, 10)
  if (id > U32_MAX) return -ERANGE
  const uid = id === NO_ID ? NO_ID : opener.userNs.uid(id)
  if (uid === NO_ID && id !== NO_ID) return -EINVAL
  if (writer.loginUid !== NO_ID && !writer.creds.capable(CAP_AUDIT_CONTROL)) return -EPERM
  writer.loginUid = uid
  writer.auditSession = uid === NO_ID ? NO_ID : ++lastSession
  return 0
}
