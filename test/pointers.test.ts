// Bad pointers to every implemented call: what Linux says to each is what a sandbox must say. The calls and their
// arguments come from syscall-table; what a call needs to reach its pointers at all is in `VALID`.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Arg } from '../syscall-table/args.ts'
import { type NamedRow, rowsByNumber } from '../syscall-table/syscalls.ts'
import { accepted, EXTRA, SKIPPED, VALID, type Valid } from './pointers/valid.ts'
import { cache, compile, PLATFORMS, platformWorks, root, run, sandboxed } from './run.ts'

const platforms = PLATFORMS.filter(platformWorks)

function isPointer(arg: Arg): boolean {
  if (arg.show === 'flags') return false
  if (arg.show === 'hex') return arg.decode === 'size'
  return !['number', 'octal', 'id', 'fd', 'dirfd', 'signal', 'createMode'].includes(arg.show)
}

const text = (words: string) => JSON.stringify(words)

/** One argument as the C table has it: name, kind, number, bytes. */
function argument(name: string, arg: Arg, valid: number | string | undefined): string {
  const field = (kind: string, value: number, bytes: string) =>
    `{${text(name)}, ${kind}, ${value}L, ${bytes}}`
  if (typeof valid === 'number') return field('NUMBER', valid, '0')
  if (typeof valid === 'string') {
    const escaped = [...valid]
      .map(c => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`)
      .join('')
    return field(
      arg.show === 'string' ? 'STRING' : 'POINTER',
      0,
      `"${escaped.padEnd(64, '\\000')}"`,
    )
  }
  if (arg.show === 'string') return field('STRING', 0, '"f"')
  if (isPointer(arg)) return field('POINTER', 0, '0')
  if (arg.show === 'dirfd') return field('NUMBER', -100, '0')
  if (arg.show === 'fd') return field('NUMBER', 100, '0')
  if (arg.show === 'signal') return field('NUMBER', 10, '0')
  return field('NUMBER', name.includes('count') || name.includes('size') ? 16 : 0, '0')
}

function tableRow(label: string, row: NamedRow, valid: Valid, tested: readonly string[]): string {
  const names = Object.keys(row.args)
  const mask = names.reduce((bits, name, i) => (tested.includes(name) ? bits | (1 << i) : bits), 0)
  const args = names.map(name => argument(name, row.args[name]!, valid[name]))
  return `{${text(label)}, ${row.nr}, ${mask}, {${args.join(', ')}}},`
}

function table(): string {
  const rows: string[] = []
  for (const row of rowsByNumber) {
    if (row.todo !== undefined || SKIPPED[row.name] !== undefined) continue
    const pointers = Object.keys(row.args).filter(name => isPointer(row.args[name]!))
    if (pointers.length > 0) rows.push(tableRow(row.name, row, VALID[row.name] ?? {}, pointers))
  }
  for (const { call, label, tested, valid } of EXTRA) {
    const row = rowsByNumber.find(({ name }) => name === call)!
    rows.push(tableRow(`${call}(${label})`, row, valid, [tested]))
  }
  return `${rows.join('\n')}\n`
}

function build(): string {
  const folder = join(cache, 'pointers')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'table.h'), table())
  const flags = ['-O1', '-w', `-I${folder}`]
  return compile(join(root, 'test/pointers/calls.c'), join(folder, 'calls'), flags)
}

describe('bad pointers', () => {
  let native: string[] = []

  it('on Linux', { timeout: 300_000 }, () => {
    // In a namespace of its own, with which the queues and segments go that it makes.
    native = run('unshare', ['--ipc', build()], { seconds: 280 }).stdout.split('\n')
    expect(native).toContain('end')
    expect(native.length).toBeGreaterThan(2000)
  })

  for (const platform of PLATFORMS) {
    it.skipIf(!platforms.includes(platform))(`under ${platform}`, { timeout: 400_000 }, () => {
      const { stdout, stderr } = sandboxed([join(cache, 'pointers/calls')], {
        platform,
        seconds: 380,
      })
      const lines = stdout.split('\n')
      const differing = native.flatMap((line, i) =>
        line === lines[i] || accepted(line, lines[i] ?? '')
          ? []
          : [`Linux: ${line} — here: ${lines[i]?.split(': ')[1]}`],
      )
      expect(stderr).toBe('')
      expect(differing).toEqual([])
    })
  }
})
