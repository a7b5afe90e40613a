// Writes every generated file from the tables of this folder. With --check it writes nothing and fails
// when a file on disk differs.

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generateAbi } from './generate/abi.ts'
import { generateCoverage } from './generate/coverage.ts'
import { generateDispatch } from './generate/dispatch.ts'
import { generateFetch } from './generate/fetch.ts'
import { generateStructs } from './generate/structs.ts'
import { structs } from './structs.ts'
import { rowsByNumber } from './syscalls.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/** Path (from the root of the repository) and text of each generated file. */
export function generateAll(): Map<string, string> {
  return new Map([
    ['syscall-table/structs.gen.ts', generateStructs(structs)],
    ['syscall-table/COVERAGE.md', generateCoverage(rowsByNumber, root)],
    ['sentry/syscalls/dispatch.gen.ts', generateDispatch(rowsByNumber)],
    ['native/abi.gen.h', generateAbi(rowsByNumber, structs)],
    ['native/stub/fetch.gen.h', generateFetch(rowsByNumber, structs)],
  ])
}

const readOrEmpty = (path: string) => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** Paths of generated files whose text on disk is not what the tables say. */
export function staleFiles(): string[] {
  return [...generateAll()]
    .filter(([path, text]) => readOrEmpty(join(root, path)) !== text)
    .map(([path]) => path)
}

/** What the C++ compiler says about native/abi-check.cc; empty when the system's headers agree with ours. */
export function abiErrors(): string {
  const flags = ['-std=c++20', '-fsyntax-only', '-Wall', '-Wextra', '-Werror', '-I', 'native']
  const { status, stderr, error } = spawnSync('g++', [...flags, 'native/abi-check.cc'], {
    cwd: root,
    encoding: 'utf8',
  })
  if (error !== undefined) return `abi-check: ${error.message}`
  return status === 0 ? '' : stderr
}

if (import.meta.main) {
  const stale = staleFiles()
  if (process.argv.includes('--check')) {
    for (const path of stale) console.error(`${path} is stale: run npm run gen`)
    const wrong = abiErrors()
    if (wrong !== '') console.error(wrong)
    process.exitCode = stale.length === 0 && wrong === '' ? 0 : 1
  } else {
    const files = generateAll()
    for (const path of stale) writeFileSync(join(root, path), files.get(path) ?? '')
    console.log(stale.length === 0 ? 'up to date' : `wrote ${stale.join(', ')}`)
  }
}
