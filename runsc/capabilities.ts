// Capability names of config.json and their bits. Source: linux/capability.h.

import type { CapabilityConfig } from '../sentry/config.ts'
import { CliError } from './errors.ts'
import type { Warn } from './spec-check.ts'
import type { SpecProcess } from './spec-schema.ts'

/** Every capability, in the order of its bit. */
export const ALL_CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const

type Words = [lo: number, hi: number]

/**
 * The sets of config.json as bits; a configuration without capabilities has none at all. Names that we do not
 * know are left out with a warning, as runc does: they may be of a newer kernel.
 */
export function capabilityConfig(sets: SpecProcess['capabilities'], warn: Warn): CapabilityConfig {
  const unknown = new Set<string>()
  const bits = (names: readonly string[] = []): Words => {
    const words: Words = [0, 0]
    for (const name of names) {
      const bit = (ALL_CAPABILITIES as readonly string[]).indexOf(name)
      if (bit < 0) unknown.add(name)
      else if (bit < 32) words[0] = (words[0] | (1 << bit)) >>> 0
      else words[1] = (words[1] | (1 << (bit - 32))) >>> 0
    }
    return words
  }
  const config = {
    bounding: bits(sets?.bounding),
    effective: bits(sets?.effective),
    inheritable: bits(sets?.inheritable),
    permitted: bits(sets?.permitted),
    ambient: bits(sets?.ambient),
  }
  if (unknown.size > 0) {
    warn(`process.capabilities: ignoring unknown capabilities: ${[...unknown].join(', ')}`)
  }
  // What capset(2) refuses.
  const needs = (set: 'effective' | 'inheritable', other: 'permitted' | 'bounding') => {
    const missing = sets?.[set].find(name => !unknown.has(name) && !sets[other].includes(name))
    if (missing !== undefined)
      throw new CliError(
        `config.json: process.capabilities.${set}: ${missing} is not in the ${other} set`,
      )
  }
  needs('effective', 'permitted')
  needs('inheritable', 'bounding')
  // prctl(2): only what is permitted and inheritable can be ambient; runc does without the rest, and tells so.
  const { permitted: p, inheritable: i, ambient: a } = config
  for (const name of sets?.ambient ?? []) {
    if (unknown.has(name) || (sets?.permitted.includes(name) && sets.inheritable.includes(name)))
      continue
    warn(`can't raise ambient capability ${name}: operation not permitted`)
  }
  config.ambient = [(a[0] & p[0] & i[0]) >>> 0, (a[1] & p[1] & i[1]) >>> 0]
  return config
}

/** --net-raw=false: a program without the right to raw sockets, whatever its configuration says. */
export function withoutNetRaw<T extends { capabilities?: SpecProcess['capabilities'] }>(p: T): T {
  if (p.capabilities === undefined) return p
  const sets = Object.entries(p.capabilities).map(([set, names]) => [
    set,
    names?.filter(name => name !== 'CAP_NET_RAW'),
  ])
  return { ...p, capabilities: Object.fromEntries(sets) }
}
