// An overlay over a real gofer: nothing reaches the host, and what is known costs no message.

import { execFileSync } from 'node:child_process'
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { close } from '../../../native/index.ts'
import { ENOENT } from '../../../syscall-table/errno.ts'
import { O_APPEND, O_CREAT, O_TRUNC, O_WRONLY } from '../../../syscall-table/flags.ts'
import { names, readText } from '../../../test/files.ts'
import { boot, type TestTask } from '../../../test/kernel.ts'
import type { GoferClient } from '../gofer/client.ts'
import { GoferConnection } from '../gofer/connection.ts'
import { mountGofer } from '../gofer/super.ts'
import { spawnGofer } from '../gofer/test/spawn.ts'
import { mountOverlay } from './mount.ts'
import { dropUnused } from './test/setup.ts'

let tree: string
let client: GoferClient
let k: TestTask
let before: string
/** Requests to the gofer, in order. */
const requests: string[] = []

/** Note the calls of every method of a client that makes a request. */
function counted(client: GoferClient): GoferClient {
  return new Proxy(client, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        // Handles are given back together, with some later request.
        if (name !== 'close') requests.push(String(name))
        return (value as (...args: unknown[]) => unknown).apply(target, args)
      }
    },
  })
}

const snapshot = (): string =>
  execFileSync(
    'sh',
    [
      '-c',
      'find . -printf "%p %y %m %n %s %T@ %C@ %l\\n" | sort; find . -type f | sort | xargs md5sum',
    ],
    {
      cwd: tree,
      encoding: 'utf8',
    },
  )

beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), 'overlay-gofer-'))
  mkdirSync(join(tree, 'usr/lib/deep'), { recursive: true })
  for (let i = 0; i < 40; i++) writeFileSync(join(tree, `usr/lib/file${i}`), `number ${i}`)
  writeFileSync(join(tree, 'usr/lib/deep/leaf'), 'leaf')
  linkSync(join(tree, 'usr/lib/file0'), join(tree, 'usr/hard'))
  symlinkSync('lib/file1', join(tree, 'usr/soft'))
  before = snapshot()
  client = spawnGofer(`0:${tree}`).client
  k = boot({
    root: kernel => {
      const sb = mountGofer(kernel, new GoferConnection(counted(client)), 0, {
        shared: false,
        readonly: true,
      })
      if (typeof sb === 'number') throw new Error(`attach: ${sb}`)
      return mountOverlay(kernel, sb)
    },
  })
  requests.length = 0
})
afterEach(() => {
  close(client.socket)
  const after = snapshot()
  rmSync(tree, { recursive: true })
  expect(after).toBe(before)
})

function put(path: string, text: string, flags = O_CREAT | O_WRONLY | O_TRUNC): void {
  const fd = k.sys.open(path, flags, 0o644)
  expect(fd).toBeGreaterThanOrEqual(0)
  expect(k.sys.write(fd, Buffer.from(text), text.length)).toBe(text.length)
  k.sys.close(fd)
}

const nlink = (path: string): number => {
  const at = k.room(144)
  expect(k.sys.lstat(path, at)).toBe(0)
  return k.view(at, 144).getUint32(16, true)
}

test('a listing brings all attributes along, and paths are resolved at once', () => {
  expect(readText(k, '/usr/lib/deep/leaf')).toBe('leaf')
  expect(requests).toEqual(['walkOpen'])
  expect(names(k, '/usr/lib')).toHaveLength(41)
  requests.length = 0
  for (const name of names(k, '/usr/lib') as string[])
    expect(k.sys.stat(`/usr/lib/${name}`, k.room(144))).toBe(0)
  // The second listing asks for the names again, and nothing else does.
  expect(requests.filter(name => name !== 'readdir')).toEqual([])
  requests.length = 0
  // A listing gives no handle: the first use of the file does.
  expect(readText(k, '/usr/lib/file7')).toBe('number 7')
  expect(requests).toEqual(['walkOpen'])
  requests.length = 0
  expect(k.sys.stat('/usr/lib/none', k.room(144))).toBe(-ENOENT)
  expect(k.sys.stat('/usr/lib/none', k.room(144))).toBe(-ENOENT)
  expect(requests).toEqual(['walk'])
})

test('changes stay here, through eviction', () => {
  const mount = k.kernel.mounts.root
  put('/usr/lib/file0', '!', O_WRONLY | O_APPEND)
  expect(k.sys.rename('/usr/lib', '/lib')).toBe(0)
  expect(k.sys.rename('/lib/file2', '/usr/moved')).toBe(0)
  expect(k.sys.unlink('/lib/file3')).toBe(0)
  expect(k.sys.chmod('/lib/deep', 0o700)).toBe(0)
  put('/lib/deep/new', 'new')
  for (let i = 0; i < 3; i++) dropUnused(mount)
  expect(readText(k, '/usr/hard')).toBe('number 0!')
  expect(readText(k, '/lib/file0')).toBe('number 0!')
  expect(nlink('/usr/hard')).toBe(2)
  expect(readText(k, '/usr/moved')).toBe('number 2')
  expect(readText(k, '/usr/soft')).toBe(-ENOENT)
  expect(readText(k, '/lib/file3')).toBe(-ENOENT)
  expect((names(k, '/lib/deep') as string[]).sort()).toEqual(['leaf', 'new'])
  expect(readText(k, '/lib/deep/leaf')).toBe('leaf')
  expect(names(k, '/lib')).toHaveLength(39)
  expect((names(k, '/usr') as string[]).sort()).toEqual(['hard', 'moved', 'soft'])
})

test('a tree can be removed, and made again', () => {
  for (const name of names(k, '/usr/lib') as string[]) {
    if (name !== 'deep') expect(k.sys.unlink(`/usr/lib/${name}`)).toBe(0)
  }
  // One look at the attributes of the directory, and at its names: not one request for each file.
  expect(requests.length).toBeLessThan(10)
  expect(k.sys.unlink('/usr/lib/deep/leaf')).toBe(0)
  expect(k.sys.rmdir('/usr/lib/deep')).toBe(0)
  expect(k.sys.rmdir('/usr/lib')).toBe(0)
  for (let i = 0; i < 3; i++) dropUnused(k.kernel.mounts.root)
  expect(k.sys.mkdir('/usr/lib', 0o755)).toBe(0)
  expect(names(k, '/usr/lib')).toEqual([])
  expect(readText(k, '/usr/hard')).toBe('number 0')
  expect(nlink('/usr/hard')).toBe(1)
  expect(readFileSync(join(tree, 'usr/lib/file0'), 'utf8')).toBe('number 0')
  expect(statSync(join(tree, 'usr/lib/file0')).nlink).toBe(2)
})
