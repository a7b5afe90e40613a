// What the kernel learns of the host while it still sees the host's file system: clocks, CPU, filters.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { clockNs, clockParts } from '../../native/index.ts'
import {
  AT_HWCAP,
  AT_HWCAP2,
  AT_MINSIGSTKSZ,
  AT_RSEQ_ALIGN,
  AT_RSEQ_FEATURE_SIZE,
} from '../../syscall-table/flags.ts'
import type { SandboxConfig } from '../config.ts'
import type { Clock, HostNames, SystemName } from '../kernel/kernel.ts'

const CLOCK_REALTIME = 0
const CLOCK_MONOTONIC = 1

const parts = new Float64Array(2)

/** The host's clocks. */
export const hostClock: Clock = {
  monotonicNs: () => clockNs(CLOCK_MONOTONIC),
  realtime(into) {
    clockParts(CLOCK_REALTIME, parts)
    into.sec = parts[0]!
    into.nsec = parts[1]!
  },
}

/** The Linux that we are compatible with, and whose calls the table lists. */
const RELEASE = '6.12.0-portcullis'
const VERSION = '#1 SMP Portcullis'

export function systemName(config: SandboxConfig): SystemName & HostNames {
  return {
    sysname: 'Linux',
    release: RELEASE,
    version: VERSION,
    machine: 'x86_64',
    nodename: config.hostname,
    domainname: config.domainname,
  }
}

/** AT_* values of this process that hold for the program as well. */
export interface CpuFeatures {
  hwcap: number
  hwcap2: number
  minSigStackSize: number
  /** Of struct rseq, which the host fills in; 0 where it does not tell. */
  rseqSize: number
  rseqAlign: number
}

/** Read our own auxiliary vector. */
export function cpuFeatures(): CpuFeatures {
  const auxv = readFileSync('/proc/self/auxv')
  const features = { hwcap: 0, hwcap2: 0, minSigStackSize: 2048, rseqSize: 0, rseqAlign: 0 }
  for (let at = 0; at + 16 <= auxv.length; at += 16) {
    const value = Number(auxv.readBigUInt64LE(at + 8))
    switch (auxv.readUInt32LE(at)) {
      case AT_HWCAP:
        features.hwcap = value
        break
      case AT_HWCAP2:
        features.hwcap2 = value
        break
      case AT_MINSIGSTKSZ:
        features.minSigStackSize = value
        break
      case AT_RSEQ_FEATURE_SIZE:
        features.rseqSize = value
        break
      case AT_RSEQ_ALIGN:
        features.rseqAlign = value
        break
    }
  }
  return features
}

const DEFAULT_DESCRIPTORS = 1024
/** Each of runsc's connections is one, and may bring a process's three streams. */
const RESERVED_DESCRIPTORS = 512
/** Of the sentry's descriptors, sockets of the host may take so many. */
const SOCKET_SHARE = 0.75

/** Most sockets of the host: the sentry needs descriptors for the program's files, too. */
export const hostSocketsMax = (): number => Math.floor(descriptorLimit() * SOCKET_SHARE)

function descriptorLimit(): number {
  const limits = readFileSync('/proc/self/limits', 'latin1')
  // Node.js has raised the soft limit to the hard one.
  return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? DEFAULT_DESCRIPTORS)
}

/**
 * Descriptors that programs can make us hold (files, shared memory, address spaces) have numbers below this. The rest is for
 * connections of runsc's and what comes by them.
 */
export function descriptorCeiling(): number {
  const limit = descriptorLimit()
  return limit - Math.min(RESERVED_DESCRIPTORS, Math.floor(limit / 4))
}

/** A compiled seccomp filter; it lies beside the bundle, or in build/ when the sources are run. */
export function readFilter(name: string): Uint8Array {
  const here = dirname(fileURLToPath(import.meta.url))
  return readFileSync(
    join(here.endsWith('build') ? here : join(here, '../../build'), `${name}.bpf`),
  )
}
