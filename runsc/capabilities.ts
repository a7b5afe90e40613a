// Capability names of config.json and their bits. Source: linux/capability.h.

import type { CapabilityConfig } from '../sentry/config.ts'
import { CliError } from './errors.ts'
import type { SpecProcess } from './spec.ts'

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

/** The sets of config.json as bits; a configuration without capabilities has none at all. */
export function capabilityConfig(sets: SpecProcess['capabilities']): CapabilityConfig {
  return {
    bounding: bits(sets?.bounding ?? [], 'bounding'),
    effective: bits(sets?.effective ?? [], 'effective'),
    inheritable: bits(sets?.inheritable ?? [], 'inheritable'),
    permitted: bits(sets?.permitted ?? [], 'permitted'),
    ambient: bits(sets?.ambient ?? [], 'ambient'),
  }
}

function bits(names: readonly string[], set: string): [number, number] {
  let lo = 0
  let hi = 0
  for (const name of names) {
    const bit = (ALL_CAPABILITIES as readonly string[]).indexOf(name)
    if (bit < 0)
      throw new CliError(
        `config.json: process.capabilities.${set}: there is no capability "${name}"`,
      )
    if (bit < 32) lo |= 1 << bit
    else hi |= 1 << (bit - 32)
  }
  return [lo >>> 0, hi >>> 0]
}
