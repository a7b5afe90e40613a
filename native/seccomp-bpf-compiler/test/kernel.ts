// The real kernel's opinion of filters, through kernel-oracle.c.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Program, toBytes } from '../bpf.ts'
import type { SeccompData } from '../seccomp.ts'

const here = dirname(fileURLToPath(import.meta.url))

/** Builds the oracle. `dispose` removes it. */
export class KernelOracle {
  readonly #dir = mkdtempSync(join(tmpdir(), 'kernel-oracle-'))
  readonly #binary = join(this.#dir, 'kernel-oracle')

  constructor() {
    const source = join(here, 'kernel-oracle.c')
    execFileSync('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', this.#binary, source])
  }

  dispose(): void {
    rmSync(this.#dir, { recursive: true, force: true })
  }

  /** For each program the errno with which seccomp(2) refuses it, 0 for none. */
  check(programs: readonly Program[]): Int32Array {
    return this.#ask(programs.flatMap(program => [words(0, program.length), toBytes(program)]))
  }

  /** For each record the errno of its call under the filter. The numbers must be unused ones. */
  decide(program: Program, records: readonly SeccompData[]): Int32Array {
    const calls = records.map(data => {
      const call = new Uint32Array(14)
      call[0] = data[0]!
      call.set(data.subarray(4), 2)
      return new Uint8Array(call.buffer)
    })
    const head = [words(1, program.length), toBytes(program), words(records.length)]
    return this.#ask([...head, ...calls])
  }

  #ask(request: readonly Uint8Array[]): Int32Array {
    const input = Buffer.concat(request)
    const answer = execFileSync(this.#binary, { input, maxBuffer: 1 << 26 })
    return new Int32Array(new Uint8Array(answer).buffer)
  }
}

const words = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer)
