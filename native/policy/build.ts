// Compiles the fixed policies into filters, one file of struct sock_filter each. The stub's filter is made at
// run time, when the address of its text is known.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compile, type Policy, toBytes } from 'seccomp-bpf-compiler'
import { goferPolicy } from './gofer.ts'
import { nodeStartPolicy } from './node-start.ts'
import { sentryPolicy } from './sentry.ts'
import { socketServerPolicy } from './socket-server.ts'

const POLICIES: Readonly<Record<string, () => Policy>> = {
  'node-start': nodeStartPolicy,
  sentry: sentryPolicy,
  'sentry-host-network': () => sentryPolicy({ hostNetwork: true }),
  'sentry-ptrace': () => sentryPolicy({ ptrace: true }),
  'sentry-ptrace-host-network': () => sentryPolicy({ hostNetwork: true, ptrace: true }),
  gofer: goferPolicy,
  'socket-server': socketServerPolicy,
  'gofer-unix-connect': () => goferPolicy({ unixConnect: true }),
  'gofer-unix-bind': () => goferPolicy({ unixBind: true }),
  'gofer-unix-connect-bind': () => goferPolicy({ unixConnect: true, unixBind: true }),
}

/** Write `<name>.bpf` into `directory` for every fixed policy. */
export function buildPolicies(directory: string): void {
  mkdirSync(directory, { recursive: true })
  for (const [name, make] of Object.entries(POLICIES)) {
    const file = join(directory, `${name}.bpf`)
    // Replaced by rename: a sandbox that starts at this moment must not read half a filter.
    writeFileSync(`${file}.tmp`, toBytes(compile(make())))
    renameSync(`${file}.tmp`, file)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  buildPolicies(join(dirname(fileURLToPath(import.meta.url)), '../../build'))
}
