// What config.json may say together: the rules that runc applies to a document whose fields are right one by one.

import { existsSync } from 'node:fs'
import { CliError } from './errors.ts'
import type { Spec } from './spec-schema.ts'

/** Takes one line for people about what is no reason to fail. */
export type Warn = (message: string) => void

const PROPAGATION = /^r?(private|shared|slave|unbindable)$/
/** Tunables that belong to a namespace, and the namespace: only those are a container's own. */
const NAMESPACED_SYSCTLS: readonly (readonly [RegExp, string])[] = [
  [/^kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)$/, 'ipc'],
  [/^fs\.mqueue\./, 'ipc'],
  [/^net\./, 'network'],
  [/^kernel\.domainname$/, 'uts'],
]

/** Check a document of the right form. Throws with the field and what to do. */
export function checkSpec(spec: Spec, file: string, warn: Warn): void {
  const fail: Fail = failIn(file)
  checkNamespaces(spec, fail)
  checkSysctls(spec, fail)
  checkLabels(spec, fail, warn)
  const { linux } = spec
  const { rootfsPropagation } = linux
  if (rootfsPropagation !== '' && !PROPAGATION.test(rootfsPropagation))
    fail('linux.rootfsPropagation', `"${rootfsPropagation}" is not supported`)
  if (linux.intelRdt !== undefined)
    fail('linux.intelRdt', 'Intel RDT is not supported: remove the field')
  if (linux.personality !== undefined && linux.personality.flags.length > 0)
    fail('linux.personality.flags', 'flags are not supported, as the specification has none')
  if (Object.keys(linux.timeOffsets).length > 0)
    fail('linux.timeOffsets', 'a time namespace is not supported: remove the field')
  for (const [i, { destination }] of spec.mounts.entries()) {
    if (!destination.startsWith('/'))
      warn(`${file}: mounts.${i}.destination: "${destination}" is not absolute: taken from /`)
  }
}

type Fail = (field: string, message: string) => never

const failIn =
  (file: string): Fail =>
  (field, message) => {
    throw new CliError(`${file}: ${field}: ${message}`)
  }

function checkNamespaces(spec: Spec, fail: Fail): void {
  const { linux } = spec
  const seen = new Set<string>()
  for (const [i, { type }] of linux.namespaces.entries()) {
    if (seen.has(type)) fail(`linux.namespaces.${i}`, `there are two of type "${type}"`)
    seen.add(type)
  }
  const needs = (type: string, field: string, present: boolean) => {
    if (present && !seen.has(type))
      fail(field, `needs an entry of type "${type}" in linux.namespaces`)
  }
  needs('uts', 'hostname', spec.hostname !== '')
  needs('uts', 'domainname', spec.domainname !== '')
  needs('mount', 'linux.maskedPaths', linux.maskedPaths.length > 0)
  needs('mount', 'linux.readonlyPaths', linux.readonlyPaths.length > 0)
  const users = linux.namespaces.find(({ type }) => type === 'user')
  if (users === undefined) return
  // They are looked for when the container is made: joined-users.ts.
  if (users.path && linux.uidMappings.length === 0 && linux.gidMappings.length === 0) return
  if (linux.uidMappings.length === 0)
    fail('linux.uidMappings', 'a user namespace needs at least one mapping')
  if (linux.gidMappings.length === 0)
    fail('linux.gidMappings', 'a user namespace needs at least one mapping')
  checkUser(spec, fail)
}

/** The program's user, once the mappings are known. Throws with the field and what to do. */
export function checkMapped(spec: Spec, file: string): void {
  checkUser(spec, failIn(file))
}

function checkUser({ linux, process }: Spec, fail: Fail): void {
  const { uid, gid } = process.user
  const mapped = (id: number, maps: typeof linux.uidMappings) =>
    maps.some(({ containerID, size }) => id >= containerID && id < containerID + size)
  if (!mapped(uid, linux.uidMappings))
    fail('process.user.uid', `${uid} is not mapped by linux.uidMappings`)
  if (!mapped(gid, linux.gidMappings))
    fail('process.user.gid', `${gid} is not mapped by linux.gidMappings`)
}

function checkSysctls(spec: Spec, fail: Fail): void {
  const types = new Set<string>(spec.linux.namespaces.map(({ type }) => type))
  for (const key of Object.keys(spec.linux.sysctl)) {
    const name = sysctlName(key)
    if (name === 'kernel.hostname')
      fail(`linux.sysctl.${key}`, 'conflicts with the field "hostname": set that one')
    const row = NAMESPACED_SYSCTLS.find(([pattern]) => pattern.test(name))
    if (row === undefined) fail(`linux.sysctl.${key}`, 'does not belong to a namespace of its own')
    else if (!types.has(row[1]))
      fail(`linux.sysctl.${key}`, `needs an entry of type "${row[1]}" in linux.namespaces`)
  }
}

/** Both net.ipv4.conf and net/ipv4/conf are written; the first separator says which, as sysctl(8) has it. */
export function sysctlName(key: string): string {
  const slash = key.indexOf('/')
  const dot = key.indexOf('.')
  return slash >= 0 && (dot < 0 || slash < dot)
    ? key.replace(/[./]/g, char => (char === '/' ? '.' : '/'))
    : key
}

/**
 * Labels of the host's security modules. The program never runs on the host's kernel, so that a label has nothing
 * to protect; where the host has no such module, runc refuses and so do we.
 */
function checkLabels(spec: Spec, fail: Fail, warn: Warn): void {
  const { apparmorProfile, selinuxLabel } = spec.process
  if (apparmorProfile !== '')
    warn(`process.apparmorProfile "${apparmorProfile}" is not applied: the sandbox confines more`)
  for (const [field, label] of [
    ['process.selinuxLabel', selinuxLabel],
    ['linux.mountLabel', spec.linux.mountLabel],
  ] as const) {
    if (label === '') continue
    if (!existsSync('/sys/fs/selinux/enforce'))
      fail(field, `"${label}" is given, but SELinux is not enabled on this host`)
    warn(`${field} "${label}" is not applied: the sandbox confines more`)
  }
}
