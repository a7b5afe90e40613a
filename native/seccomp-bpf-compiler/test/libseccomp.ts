// libseccomp as an oracle: builds a filter with it and returns the BPF that it would install.

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import koffi from 'koffi'
import { fromBytes, type Program } from '../bpf.ts'
import type { ArgTest, Rule } from '../policy.ts'

const COMPARE = { ne: 1, lt: 2, le: 3, eq: 4, ge: 5, gt: 6, maskedEq: 7 } as const

/** sizeof(struct scmp_arg_cmp). */
const SIZEOF_COMPARE = 24

function open() {
  try {
    const library = koffi.load('libseccomp.so.2')
    return {
      init: library.func('void *seccomp_init(uint32_t)'),
      release: library.func('void seccomp_release(void *)'),
      addRule: library.func(
        'int seccomp_rule_add_array(void *, uint32_t, int, unsigned int, void *)',
      ),
      exportBpf: library.func('int seccomp_export_bpf(void *, int)'),
      resolve: library.func('int seccomp_syscall_resolve_name(const char *)'),
    }
  } catch {
    return undefined
  }
}

const library = open()

/** Why tests against libseccomp cannot run, or undefined. */
export const libseccompMissing =
  library === undefined ? 'libseccomp.so.2 is not installed' : undefined

/** libseccomp's number for a name, negative when it has none. */
export const resolve = (name: string): number => library!.resolve(name)

export interface AddedRule extends Rule {
  readonly nr: number
}

/** The filter for the rules added in order, or the first negative errno. */
export function libseccompFilter(otherwise: number, rules: readonly AddedRule[]): Program | number {
  const { init, release, addRule, exportBpf } = library!
  const context = init(otherwise)
  const dir = mkdtempSync(join(tmpdir(), 'libseccomp-'))
  try {
    for (const { nr, when, action } of rules) {
      const rc: number = addRule(context, action, nr, when.length, conditions(when))
      if (rc < 0) return rc
    }
    const file = join(dir, 'bpf')
    const fd = openSync(file, 'w+')
    const rc: number = exportBpf(context, fd)
    closeSync(fd)
    return rc < 0 ? rc : fromBytes(readFileSync(file))
  } finally {
    release(context)
    rmSync(dir, { recursive: true })
  }
}

function conditions(tests: readonly ArgTest[]): Buffer {
  const bytes = Buffer.alloc(Math.max(1, tests.length) * SIZEOF_COMPARE)
  tests.forEach(({ arg, op, value, mask }, i) => {
    const at = i * SIZEOF_COMPARE
    bytes.writeUInt32LE(arg, at)
    bytes.writeUInt32LE(COMPARE[op], at + 4)
    bytes.writeBigUInt64LE(op === 'maskedEq' ? mask : value, at + 8)
    bytes.writeBigUInt64LE(op === 'maskedEq' ? value : 0n, at + 16)
  })
  return bytes
}
