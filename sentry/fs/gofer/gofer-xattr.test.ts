// Extended attributes of the host's files.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ENODATA, EOPNOTSUPP } from '../../../syscall-table/errno.ts'
import { O_RDONLY } from '../../../syscall-table/flags.ts'
import { forgetTree } from '../../vfs/dcache.ts'
import { eachWithTree, k, list, requests, rootDentry, start, tree } from './test/tree.ts'

eachWithTree()

test('extended attributes and file system figures', () => {
  start()
  const at = k.room(256)
  expect(k.sys.getxattr('/top', 'user.none', at, 16)).toBe(-ENODATA)
  const n = k.sys.setxattr('/top', 'user.x', Buffer.from('1'), 1, 0)
  if (n === 0) expect(k.sys.getxattr('/top', 'user.x', at, 16)).toBe(1)
  expect(k.sys.statfs('/top', at)).toBe(0)
})

test('many files are known to have no extended attributes, until they get some', () => {
  for (let i = 0; i < 20; i++) writeFileSync(join(tree, `a/f${i}`), '')
  start()
  const count = () => {
    let n = 0
    for (let i = 0; i < 20; i++) n += k.sys.listxattr(`/a/f${i}`, 0, 0)
    return n
  }
  list('/a')
  expect(count()).toBe(0)
  const n = k.sys.setxattr('/a/f17', 'user.x', Buffer.from('1'), 1, 0)
  if (n === -EOPNOTSUPP) return console.log('skipped: no user.* attributes on this file system')
  expect(count()).toBe(7)
  // Also when nothing of the file is in memory any more, but what was told of its directory before.
  for (const child of [...rootDentry().children.get('a')!.children.values()]) forgetTree(child)
  expect(count()).toBe(7)
  expect(k.sys.rename('/a/f17', '/a/f3')).toBe(0)
  expect(k.sys.listxattr('/a/f3', 0, 0)).toBe(7)
  expect(k.sys.removexattr('/a/f3', 'user.x')).toBe(0)
  expect(k.sys.listxattr('/a/f3', 0, 0)).toBe(0)
})

test.each([
  false,
  true,
])('an open file is asked for extended attributes by its descriptor (shared: %s)', shared => {
  start(shared)
  const fd = k.sys.open('/top', O_RDONLY, 0)
  expect(requests(() => expect(k.sys.flistxattr(fd, 0, 0)).toBe(0))).toBe(0)
  if (k.sys.fsetxattr(fd, 'user.x', Buffer.from('1'), 1, 0) === -EOPNOTSUPP)
    return console.log('skipped: no user.* attributes on this file system')
  expect(k.sys.flistxattr(fd, 0, 0)).toBe(7)
  expect(k.sys.fremovexattr(fd, 'user.x')).toBe(0)
  expect(requests(() => expect(k.sys.flistxattr(fd, 0, 0)).toBe(0))).toBe(0)
})

test('shared: extended attributes from outside are seen', () => {
  start(true)
  // Longer ago than the clock of file times is coarse.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
  const fd = k.sys.open('/top', O_RDONLY, 0)
  expect(k.sys.flistxattr(fd, 0, 0)).toBe(0)
  expect(k.sys.flistxattr(fd, 0, 0)).toBe(0)
  // Another way to the same file, that this inode does not know of.
  const set = spawnSync('setfattr', ['-n', 'user.x', '-v', '1', join(tree, 'top')])
  if (set.status !== 0) return console.log('skipped: no setfattr, or no user.* attributes here')
  expect(k.sys.flistxattr(fd, 0, 0)).toBe(7)
})
