// Broken programs: whatever an ELF file or script line says, execve fails as Linux does or the program dies alone.

import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { heavy, sandboxed, script, temporary } from '../run.ts'

const box = temporary('elf')
afterAll(() => box.clean())

/** A small deterministic generator, so that a failure can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

describe('broken programs', () => {
  let small: Buffer

  beforeAll(() => {
    const source = join(box.path, 'small.c')
    writeFileSync(source, 'int main(void) { return 0; }')
    execFileSync('gcc', ['-O1', '-o', join(box.path, 'small'), source])
    small = readFileSync(join(box.path, 'small'))
    // Prints the error number of an execve; shells and perl would try the file as a script.
    writeFileSync(
      join(box.path, 'try.c'),
      '#include <errno.h>\n#include <stdio.h>\n#include <unistd.h>\nint main(int n, char **v) { (void)n; execv(v[1], v + 1); printf("%d\\n", errno); return 0; }',
    )
    execFileSync('gcc', ['-o', join(box.path, 'try'), join(box.path, 'try.c')])
  })

  function add(name: string, content: Buffer | string): void {
    writeFileSync(join(box.path, name), content)
    chmodSync(join(box.path, name), 0o755)
  }

  it('headers with one wrong field', () => {
    const change = (name: string, at: number, value: number, size = 2) => {
      const copy = Buffer.from(small)
      if (size === 2) copy.writeUInt16LE(value, at)
      else copy.writeBigUInt64LE(BigInt(value), at)
      add(name, copy)
    }
    change('class', 4, 1)
    change('machine', 18, 40)
    change('type', 16, 99)
    change('phentsize', 54, 1)
    change('phnum', 56, 0)
    change('phnum-huge', 56, 65535)
    change('phoff', 32, Number.MAX_SAFE_INTEGER, 8)
    add('cut', small.subarray(0, 70))
    add('header-only', small.subarray(0, 64))
    add('empty', '')
    const names = 'class machine type phentsize phnum phnum-huge phoff cut header-only empty'
    const result = script(`set +e; cd ${box.path}; for p in ${names}; do ./try ./$p; done`)
    // ENOEXEC, in Linux's numbers, or EIO for headers that are not there.
    for (const line of result.stdout.trim().split('\n'))
      expect(['8', '5', '12', '22']).toContain(line)
    expect(result.stdout.trim().split('\n')).toHaveLength(10)
    expect(result.status).toBe(0)
  })

  const rounds = heavy ? 2000 : 200
  it(`${rounds} programs with random damage`, { timeout: 300_000 }, () => {
    const next = random(20261)
    for (let i = 0; i < rounds; i++) {
      const copy = Buffer.from(small)
      // Half of the damage goes to the headers, where the loader reads.
      for (let n = 1 + next(8); n > 0; n--)
        copy[next(2) ? next(64 + 56 * 13) : next(copy.length)] = next(256)
      add(`fuzz${i}`, copy)
    }
    const result = script(
      `
      set +e; cd ${box.path}; n=0
      for i in $(seq 0 ${rounds - 1}); do timeout -s KILL 5 ./fuzz$i > /dev/null 2>&1 < /dev/null; n=$((n + 1)); done
      echo $n; /bin/echo still here`,
      { seconds: 280 },
    )
    expect(result).toMatchObject({ status: 0, stdout: `${rounds}\nstill here\n` })
  })

  it('a broken program as the first one is an error of runsc', () => {
    const result = sandboxed([join(box.path, 'class')])
    expect(result.status).not.toBe(0)
    expect(result.stderr).toMatch(/exec/)
  })

  it('script lines', () => {
    add('no-interpreter', '#!\n')
    add('long', `#!/bin/${'x'.repeat(5000)}\n`)
    add('nul', '#!/bin/sh\0\necho nul\n')
    add('spaces', '#! \t /bin/echo  one two  \n')
    add('no-newline', '#!/bin/true')
    const result = script(
      `set +e; cd ${box.path}; ./try ./no-interpreter; ./try ./long; ./spaces; ./no-newline; echo $?`,
    )
    expect(result.stdout).toBe('8\n8\none two ./spaces\n0\n')
  })
})
