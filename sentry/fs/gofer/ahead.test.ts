// What comes along with answers of the gofer: listings of directories, attributes and files that will be asked for next.

import { linkSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ENOENT } from '../../../syscall-table/errno.ts'
import {
  AT_FDCWD,
  O_DIRECTORY,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  RENAME_EXCHANGE,
} from '../../../syscall-table/flags.ts'
import {
  client,
  dropDentries,
  eachWithTree,
  get,
  k,
  list,
  put,
  start,
  stat,
  tree,
} from './test/tree.ts'

eachWithTree()

test('a kept listing follows changes', () => {
  start()
  expect(list('/a/b')).toEqual(['.', '..', 'c'])
  expect(list('/a/b')).toEqual(['.', '..', 'c'])
  put('/a/b/new', 'x')
  expect(list('/a/b')).toEqual(['.', '..', 'c', 'new'])
  k.sys.rename('/a/b/new', '/a/newer')
  expect(list('/a/b')).toEqual(['.', '..', 'c'])
  expect(list('/a')).toEqual(['.', '..', 'b', 'newer'])
})

test('what has been listed needs no message, and its changes are not forgotten', () => {
  for (let i = 0; i < 100; i++) writeFileSync(join(tree, `a/b/f${i}`), 'x'.repeat(i))
  linkSync(join(tree, 'a/b/f1'), join(tree, 'hard'))
  start()
  expect(list('/a/b')).toHaveLength(103)
  const before = client.requests
  for (let i = 99; i >= 0; i--) expect(stat(`/a/b/f${i}`).size).toBe(i)
  expect(stat('/a/b/c', 0).mode & 0o170000).toBe(0o040000)
  expect(client.requests).toBe(before)
  expect(put('/hard', 'changed', O_WRONLY | O_TRUNC)).toBe(7)
  expect(stat('/a/b/f1').size).toBe(7)
  expect(k.sys.chmod('/a/b/f2', 0o600)).toBe(0)
  dropDentries()
  expect(stat('/a/b/f2').mode & 0o777).toBe(0o600)
  expect(stat('/a/b/f1').size).toBe(7)
  // Files that were put there from outside have not been listed, and are found.
  writeFileSync(join(tree, 'a/b/late'), 'late')
  expect(get('/a/b/late')).toBe('late')
})

test('a directory of many pages is read in any order', () => {
  mkdirSync(join(tree, 'many'))
  const name = (i: number) => `${i}-${'n'.repeat(180)}`
  for (let i = 0; i < 1500; i++) writeFileSync(join(tree, 'many', name(i)), '')
  start()
  const all = list('/many')
  expect(new Set(all).size).toBe(1502)
  const fd = k.sys.open('/many', O_RDONLY | O_DIRECTORY, 0)
  const other = k.sys.open('/many', O_RDONLY | O_DIRECTORY, 0)
  const at = k.room(4096)
  const first = (file: number, position: number) => {
    expect(k.sys.lseek(file, position, 0)).toBe(position)
    expect(k.sys.getdents64(file, at, 4096)).toBeGreaterThan(0)
    return k.text(at + 19, 220).replace(/\0.*$/s, '')
  }
  const [early, late] = [first(fd, 10), first(other, 1400)]
  expect(early).not.toBe(late)
  expect(first(fd, 1400)).toBe(late)
  expect(first(other, 10)).toBe(early)
  expect(first(fd, 2)).not.toBe('..')
})

test('a tree is gone through with few messages, and what changes meanwhile is seen', () => {
  for (let i = 0; i < 40; i++) {
    mkdirSync(join(tree, `t/d${i}/sub/deep`), { recursive: true })
    for (let j = 0; j < 10; j++) writeFileSync(join(tree, `t/d${i}/sub/f${j}`), `${i} ${j}`)
  }
  start()
  const before = client.requests
  let files = 0
  const seen: string[] = []
  const visit = (path: string) => {
    for (const name of list(path).slice(2)) {
      const below = `${path}/${name}`
      if ((stat(below).mode & 0o170000) === 0o040000) visit(below)
      else files += get(below) === `${path.slice(4, -4)} ${name.slice(1)}` ? 1 : 0
    }
    seen.push(path)
    if (seen.length !== 20) return
    // In a directory that has certainly come along by now, and from within.
    put('/t/d39/new', 'n')
    k.sys.rename('/t/d38/sub/f0', '/t/d38/sub/g')
    k.sys.unlink('/t/d37/sub/f1')
  }
  visit('/t')
  expect(seen).toHaveLength(121)
  // The renamed one has the text of another name.
  expect(files).toBe(398)
  expect(client.requests - before).toBeLessThan(120)
  expect(list('/t/d39')).toEqual(['.', '..', 'new', 'sub'])
  expect(list('/t/d38/sub')).toContain('g')
  expect(list('/t/d37/sub')).not.toContain('f1')
})

test('what came along is not taken for the present later', () => {
  for (let i = 0; i < 9; i++) mkdirSync(join(tree, `t/d${i}/sub`), { recursive: true })
  start()
  const names = list('/t').slice(2)
  for (const name of names.slice(0, 3)) list(`/t/${name}`)
  for (const name of names) writeFileSync(join(tree, 't', name, 'late'), '')
  expect(list(`/t/${names[7]}`)).toEqual(['.', '..', 'sub'])
  k.clock.nowNs += 2e9
  expect(list(`/t/${names[8]}`)).toEqual(['.', '..', 'late', 'sub'])
})

test('files that are opened in turn are opened together, as long as their names last', () => {
  for (let i = 0; i < 60; i++) writeFileSync(join(tree, `a/f${i}`), `${i}`)
  start()
  const names = list('/a')
    .slice(2)
    .filter(name => name !== 'b')
  const before = client.requests
  for (const name of names.slice(0, 30)) expect(get(`/a/${name}`)).toBe(name.slice(1))
  expect(client.requests - before).toBeLessThan(15)
  // Names that have come along, but are of other files now.
  k.sys.renameat2(AT_FDCWD, `/a/${names[58]}`, AT_FDCWD, `/a/${names[59]}`, RENAME_EXCHANGE)
  expect(get(`/a/${names[58]}`)).toBe(names[59]!.slice(1))
  for (const name of names.slice(30, 58)) expect(get(`/a/${name}`)).toBe(name.slice(1))
})

test.each([
  false,
  true,
])('files come along while others are read, each as it is when it is opened (shared: %s)', shared => {
  const count = 300
  for (let i = 0; i < count; i++) writeFileSync(join(tree, `a/b/c/f${i}`), `${i}`)
  start(shared)
  const open = () => readdirSync('/proc/self/fd').length
  const descriptors = open()
  const names = list('/a/b/c').filter(name => /^f\d/.test(name))
  const read = (from: number, to: number) => {
    for (const name of names.slice(from, to)) expect(get(`/a/b/c/${name}`)).toBe(name.slice(1))
  }
  const before = client.requests
  read(0, 150)
  expect(client.requests - before).toBeLessThan(60)
  // By whom it may be: of the sandbox itself, or of others.
  const change = shared
    ? renameSync
    : (from: string, to: string) => k.sys.rename(from.slice(tree.length), to.slice(tree.length))
  change(join(tree, `a/b/c/${names[298]}`), join(tree, `a/b/c/${names[299]}`))
  change(join(tree, `a/b/c/${names[150]}`), join(tree, `a/b/c/${names[151]}`))
  expect(get(`/a/b/c/${names[299]}`)).toBe(names[298]!.slice(1))
  expect(get(`/a/b/c/${names[298]}`)).toBe(-ENOENT)
  expect(get(`/a/b/c/${names[150]}`)).toBe(-ENOENT)
  expect(get(`/a/b/c/${names[151]}`)).toBe(names[150]!.slice(1))
  read(152, 298)
  for (const name of list('/a/b/c').filter(name => /^f\d/.test(name)))
    expect(k.sys.unlink(`/a/b/c/${name}`)).toBe(0)
  client.settle()
  expect(readdirSync(join(tree, 'a/b/c'))).toEqual(['file'])
  // What tells of changes in the directories is held as well.
  expect(open()).toBeLessThan(descriptors + 5)
})
