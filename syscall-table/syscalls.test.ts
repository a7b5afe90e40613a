import { existsSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { flagSets } from './flags/sets.ts'
import { abiErrors, staleFiles } from './generate.ts'
import { rowOf, rowsByNumber, syscalls } from './syscalls.ts'

it('has one row for every number of both ranges, and no number twice', () => {
  const numbers = rowsByNumber.map(row => row.nr)
  const expected = [
    ...Array.from({ length: 335 }, (_, i) => i),
    ...Array.from({ length: 47 }, (_, i) => 424 + i),
  ]
  expect(numbers).toEqual(expected)
})

const header = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'

it.skipIf(!existsSync(header))(`names calls as ${header}`, () => {
  const defines = readFileSync(header, 'utf8').matchAll(/^#define __NR_(\w+) (\d+)$/gm)
  let count = 0
  for (const [, name, nr] of defines) {
    expect(rowOf(Number(nr))?.name).toBe(name)
    count++
  }
  expect(count).toBeGreaterThan(350)
})

it('has at most six registers of arguments, and counts that name an argument', () => {
  for (const row of rowsByNumber) {
    expect(Object.keys(row.args).length, row.name).toBeLessThanOrEqual(6)
    for (const arg of Object.values(row.args)) {
      if ('count' in arg && typeof arg.count === 'string') {
        expect(Object.keys(row.args), row.name).toContain(arg.count)
      }
      if (arg.show === 'flags') expect(flagSets[arg.set], row.name).toBeDefined()
    }
  }
})

it('gives a reason or an error to what is missing', () => {
  expect(syscalls.swapon.note).toBe('as without CONFIG_SWAP')
  expect(syscalls.io_uring_setup.todo).toBe(38)
  expect(rowOf(335)).toBeUndefined()
})

it('has flag sets without two names for one bit pattern', () => {
  for (const [name, set] of Object.entries(flagSets)) {
    const values = set.values.map(([, value]) => value)
    expect(new Set(values).size, name).toBe(values.length)
  }
})

it('finds the generated decoders, structs and C header up to date', () => {
  // COVERAGE.md also depends on comments all over sentry/, which `npm run check` compares.
  expect(staleFiles().filter(path => !path.endsWith('.md'))).toEqual([])
})

it('agrees with the headers of the system', () => {
  expect(abiErrors()).toBe('')
})
