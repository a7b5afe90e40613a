// Access control lists of the host's files, for programs that do not own them.

import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { close, setxattr } from '../../../native/index.ts'
import { EACCES, ENODATA } from '../../../syscall-table/errno.ts'
import { AT_FDCWD, O_RDONLY, O_WRONLY } from '../../../syscall-table/flags.ts'
import { boot, userCreds } from '../../../test/kernel.ts'
import { INITIAL_USER_NAMESPACE } from '../../kernel/user-namespace.ts'
import { ACL_ACCESS, formatAcl } from '../../vfs/acl.ts'
import { mountOverlay } from '../overlay/mount.ts'
import type { GoferClient } from './client.ts'
import { GoferConnection } from './connection.ts'
import { mountGofer } from './super.ts'
import { spawnGofer } from './test/spawn.ts'

const ALICE = 1001
const BOB = 1002
const NONE = 0xffffffff

let tree: string
let k: ReturnType<typeof boot>
let client: GoferClient

beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), 'gofer-acl-'))
  chmodSync(tree, 0o755)
  mkdirSync(join(tree, 'dir'), { mode: 0o700 })
  writeFileSync(join(tree, 'dir/file'), 'contents')
  writeFileSync(join(tree, 'free'), 'contents')
})

afterEach(() => {
  close(client.socket)
  rmSync(tree, { recursive: true })
})

function start(shared: boolean, overlaid: boolean): void {
  client = spawnGofer(`0:${tree}`).client
  const connection = new GoferConnection(client)
  k = boot({
    root: kernel => {
      const sb = mountGofer(kernel, connection, 0, { shared, readonly: false })
      if (typeof sb === 'number') throw new Error(`attach: ${sb}`)
      return overlaid ? mountOverlay(kernel, sb, { size: 0 }) : sb
    },
  })
}

/** A list with what `id` may do. */
function list(owner: number, id: number, perm: number, group: number, other: number): Uint8Array {
  const entries = [
    { tag: 1, perm: owner, id: NONE },
    { tag: 2, perm, id },
    { tag: 4, perm: group, id: NONE },
    { tag: 16, perm: 7, id: NONE },
    { tag: 32, perm: other, id: NONE },
  ]
  return formatAcl(entries, INITIAL_USER_NAMESPACE)
}

/** From outside. False where the host's file system has no lists. */
function give(path: string, value: Uint8Array): boolean {
  return setxattr(AT_FDCWD, join(tree, path), ACL_ACCESS, value, 0) === 0
}

for (const [shared, overlaid] of [
  [false, false],
  [true, false],
  [false, true],
] as const)
  test(`lists of the host count (shared: ${shared}, overlaid: ${overlaid})`, () => {
    const given =
      give('dir', list(7, ALICE, 1, 0, 0)) &&
      give('dir/file', list(6, ALICE, 4, 0, 0)) &&
      give('free', list(6, BOB, 0, 4, 4))
    if (!given) {
      client = spawnGofer(`0:${tree}`).client
      return console.log('skipped: no access control lists here')
    }
    start(shared, overlaid)
    const alice = k.fork(userCreds(ALICE))
    const bob = k.fork(userCreds(BOB))
    expect(alice.sys.open('/dir/file', O_RDONLY, 0)).toBeGreaterThanOrEqual(0)
    expect(alice.sys.open('/dir/file', O_WRONLY, 0)).toBe(-EACCES)
    expect(bob.sys.open('/dir/file', O_RDONLY, 0)).toBe(-EACCES)
    expect(bob.sys.open('/free', O_RDONLY, 0)).toBe(-EACCES)
    expect(alice.sys.open('/free', O_RDONLY, 0)).toBeGreaterThanOrEqual(0)
    expect(k.sys.getxattr('/free', ACL_ACCESS, 0, 0)).toBe(44)
    // What chmod takes from the mask is taken from those whom the list names.
    expect(k.sys.chmod('/dir/file', 0o600)).toBe(0)
    expect(alice.sys.open('/dir/file', O_RDONLY, 0)).toBe(-EACCES)
    expect(k.sys.removexattr('/free', ACL_ACCESS)).toBe(0)
    expect(k.sys.getxattr('/free', ACL_ACCESS, 0, 0)).toBe(-ENODATA)
    expect(k.sys.chmod('/free', 0o644)).toBe(0)
    expect(bob.sys.open('/free', O_RDONLY, 0)).toBeGreaterThanOrEqual(0)
  })

test('a list that is set here is the host’s', () => {
  start(false, false)
  const value = list(6, BOB, 4, 4, 0)
  const set = k.sys.setxattr('/free', ACL_ACCESS, Buffer.from(value), value.length, 0)
  if (set !== 0) return console.log('skipped: no access control lists here')
  // The mask stands where the group's bits are.
  expect(statSync(join(tree, 'free')).mode & 0o777).toBe(0o670)
  expect(k.fork(userCreds(BOB)).sys.open('/free', O_RDONLY, 0)).toBeGreaterThanOrEqual(0)
  expect(k.fork(userCreds(ALICE)).sys.open('/free', O_RDONLY, 0)).toBe(-EACCES)
})

test('shared: a list that is set outside counts from then on', () => {
  start(true, false)
  const bob = k.fork(userCreds(BOB))
  // Longer ago than the clock of file times is coarse.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  expect(bob.sys.open('/free', O_RDONLY, 0)).toBeGreaterThanOrEqual(0)
  if (!give('free', list(6, BOB, 0, 4, 4))) return console.log('skipped: no lists here')
  expect(bob.sys.open('/free', O_RDONLY, 0)).toBe(-EACCES)
})
