// The rules that keep the tree readable: imports point one way only, the kernel stays synchronous, and what
// is copied to or from a program is always checked.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** Each layer may import from itself and from those before it. */
const LAYERS = [
  'syscall-table',
  'native/seccomp-bpf-compiler',
  'native',
  'gofer/protocol.ts',
  'sentry',
  'gofer',
  'runsc',
  'test',
]
/** Layers that may not see each other although the list orders them. */
const FORBIDDEN = [
  ['gofer', 'sentry'],
  ['sentry', 'gofer'],
]
/** Where a lower layer needs a type of a higher one: the platform implements the kernel's interface. */
const ALLOWED = new Set([
  'native -> sentry/platform.ts',
  'sentry -> gofer/protocol.ts',
  'gofer -> sentry/config.ts',
])

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap(entry => {
    const path = `${folder}/${entry.name}`
    if (entry.name === 'node_modules') return []
    if (entry.isDirectory()) return sources(path)
    return path.endsWith('.ts') ? [path] : []
  })
}

const files = ['syscall-table', 'native', 'sentry', 'gofer', 'runsc'].flatMap(sources)
const product = files.filter(file => !file.endsWith('.test.ts') && !file.includes('/test/'))

const layerOf = (file: string) =>
  LAYERS.filter(layer => file === layer || file.startsWith(`${layer}/`)).sort(
    (a, b) => b.length - a.length,
  )[0]!

const importsOf = (file: string) =>
  [...readFileSync(join(root, file), 'utf8').matchAll(/(?:from|import)\s*\(?'(\.[^']+)'/g)].map(
    match => relative(root, join(root, dirname(file), match[1]!)),
  )

function violations(file: string): string[] {
  const from = layerOf(file)
  return importsOf(file)
    .filter(target => {
      if (target === 'package.json') return false
      const to = layerOf(target)
      if (ALLOWED.has(`${from} -> ${target}`)) return false
      return (
        LAYERS.indexOf(to) > LAYERS.indexOf(from) ||
        FORBIDDEN.some(([a, b]) => a === from && b === to)
      )
    })
    .map(target => `${file} imports ${target}`)
}

const linesOf = (file: string) => readFileSync(join(root, file), 'utf8').split('\n')

function lines(list: string[], pattern: RegExp, without: RegExp): string[] {
  return list.flatMap(file =>
    linesOf(file).flatMap((line, i) =>
      pattern.test(line.replace(without, '')) ? [`${file}:${i + 1}: ${line.trim()}`] : [],
    ),
  )
}

/** Lines of code that match; comments may say what they like. */
const matches = (list: string[], pattern: RegExp) =>
  lines(list, pattern, /\/\/.*|^\s*\*.*|\/\*\*.*/)

describe('layers', () => {
  it('imports point to lower layers only', () => {
    expect(product.flatMap(violations)).toEqual([])
  })

  it('the kernel has no asynchronous code', () => {
    const kernel = product.filter(file => file.startsWith('sentry/'))
    expect(
      matches(
        kernel,
        /\basync\b(?!')|\bawait\b|\bPromise\b|function\*|\bsetTimeout\b|\bsetInterval\b|\bprocess\.nextTick\b/,
      ),
    ).toEqual([])
  })

  it('results of copies from and to programs are checked', () => {
    const kernel = product.filter(file => file.startsWith('sentry/') && !file.endsWith('mm/mm.ts'))
    expect(matches(kernel, /^\s*(\w+\.)*(copyIn|copyOut)\(/)).toEqual([])
  })

  it('nothing is left unfinished', () => {
    expect(lines(product, /\bTODO\b|\bFIXME\b|\bXXX\b|\bHACK\b/, /^$/)).toEqual([])
  })

  it('only native/load.ts loads the addon', () => {
    expect(
      matches(
        product.filter(file => file !== 'native/load.ts'),
        /portcullis\.node/,
      ).filter(m => !m.startsWith('native/build.ts')),
    ).toEqual([])
  })
})
