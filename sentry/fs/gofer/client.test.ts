// The client against a server in another process: what each operation does to the files.

import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  ATTACH_HOST_UDS,
  FileAttr,
  HEADER_SIZE,
  ID_KEEP,
  LIST_XATTRS,
  MESSAGE_MAX,
  MessageWriter,
  OP_ATTACH,
  OP_LIST_TREE,
  OPEN_FILES_MAX,
  SET_ATIME,
  SET_GID,
  SET_MODE,
  SET_MTIME,
  SET_MTIME_NOW,
  SET_SIZE,
  SET_UID,
} from '../../../gofer/protocol.ts'
import { GoferServer } from '../../../gofer/server.ts'
import {
  close,
  latin1,
  openat,
  pread,
  pwrite,
  STATFS_BSIZE,
  STATFS_COUNT,
  sendMessage,
  setSendBuffer,
  socketpair,
} from '../../../native/index.ts'
import {
  ECONNREFUSED,
  EEXIST,
  EINVAL,
  EIO,
  ENODATA,
  ENOENT,
  ENOSYS,
  ENOTEMPTY,
  EOPNOTSUPP,
  EPERM,
  ERANGE,
} from '../../../syscall-table/errno.ts'
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from '../../../syscall-table/flags.ts'
import { GoferClient } from './client.ts'
import { type Page, PageReader, type TreePage } from './dir-page.ts'
import { AttrChange, NewFile, WalkResult } from './results.ts'
import { spawnGofer } from './test/spawn.ts'

let tree: string
let client: GoferClient
let root: number
const attr = new FileAttr()
const found = new WalkResult()
const made = new NewFile()

beforeEach(() => {
  tree = mkdtempSync(join(tmpdir(), 'client-'))
  mkdirSync(join(tree, 'a/b/c'), { recursive: true })
  writeFileSync(join(tree, 'a/file'), 'content', { mode: 0o640 })
  symlinkSync('../elsewhere', join(tree, 'a/b/link'))
  client = spawnGofer(`${ATTACH_HOST_UDS}:${tree}`, `0:${tree}`).client
  root = client.attach(0, attr)
})

afterEach(() => {
  close(client.socket)
  rmSync(tree, { recursive: true, force: true })
})

function handleOf(...names: string[]): number {
  expect(client.walk(root, names, 0, names.length, found)).toBe(names.length)
  return found.handles[names.length - 1]!
}

const at = (name: string) => join(tree, name)

test('attach and walk tell attributes', () => {
  expect(root).toBeGreaterThan(0)
  expect(attr.mode & S_IFMT).toBe(S_IFDIR)
  expect(client.walk(root, ['x', 'a', 'file'], 1, 2, found)).toBe(2)
  const host = statSync(at('a/file'))
  const file = found.attrs[1]!
  expect(file.mode).toBe(host.mode)
  expect(file.size).toBe(7)
  expect(file.ino).toBe(host.ino)
  expect(file.nlink).toBe(1)
  expect(file.mtimeSec).toBe(Math.floor(host.mtimeMs / 1000))
  expect(found.handles[0]).toBe(0)
  expect(found.handles[1]).toBeGreaterThan(0)
})

test('walk stops at what is missing and at symlinks, with their targets', () => {
  expect(client.walk(root, ['a', 'none', 'x'], 0, 3, found)).toBe(1)
  expect(found.stop).toBe(-ENOENT)
  expect(found.handles[0]).toBeGreaterThan(0)
  expect(client.walkHandles(root, ['a', 'b', 'link', 'x'], 0, 4, found)).toBe(3)
  expect(found.stop).toBe(0)
  expect(found.attrs[2]!.mode & S_IFMT).toBe(S_IFLNK)
  expect(found.attrs[2]!.target).toBe('../elsewhere')
  expect([...found.handles.slice(0, 3)].every(handle => handle > 0)).toBe(true)
})

test('a walk brings a descriptor or a listing along, where there is one', () => {
  expect(client.walkOpen(root, ['a', 'file'], 0, 2, found)).toBe(2)
  const bytes = Buffer.alloc(10)
  expect(readSync(found.fd, bytes)).toBe(7)
  expect(() => writeSync(found.fd, 'x')).toThrow()
  close(found.fd)
  for (const names of [['a'], ['a', 'none'], ['a', 'b', 'link']]) {
    client.walkOpen(root, names, 0, names.length, found)
    expect(found.fd).toBe(-1)
  }
  const pages = new PageReader()
  expect(client.walkList(root, ['a', 'b'], found, pages)).toBe(2)
  const page = pages.page!
  expect(page.complete).toBe(true)
  const listed = [page.name(page.first), page.name(page.after(page.first))]
  expect(page.count).toBe(2)
  expect(listed.sort()).toEqual(['c', 'link'])
  expect(page.find('link') && page.type(page.foundAt)).toBe(S_IFLNK)
  expect(page.find('c') && page.type(page.foundAt)).toBe(S_IFDIR)
  expect(page.find('lin') || page.find('link2') || page.find('')).toBe(false)
  expect(client.walkList(root, ['a', 'file'], found, pages)).toBe(2)
  expect(pages.page).toBeNull()
  expect(client.walkList(root, ['a', 'none'], found, pages)).toBe(1)
  expect(pages.page).toBeNull()
})

test('an opened file is read, written and truncated through its descriptor', () => {
  const handle = handleOf('a', 'file')
  const fd = client.open(handle, O_RDWR)
  const bytes = new Uint8Array(20)
  expect(pread(fd, bytes, 0, 20, 0)).toBe(7)
  expect(pwrite(fd, bytes, 0, 7, 7)).toBe(7)
  close(fd)
  expect(readFileSync(at('a/file'), 'utf8')).toBe('contentcontent')
  close(client.open(handle, O_RDWR | O_TRUNC))
  expect(statSync(at('a/file')).size).toBe(0)
})

test('a handle outlives its name', () => {
  const handle = handleOf('a', 'file')
  const dir = handleOf('a')
  expect(client.unlink(dir, 'file', 0)).toBe(0)
  const fd = client.open(handle, O_RDONLY)
  expect(fd).toBeGreaterThan(0)
  close(fd)
  expect(client.getattr(handle, attr)).toBe(0)
  expect(attr.nlink).toBe(0)
})

test('new files have the owner and mode asked for', () => {
  expect(client.create(root, 'new', O_RDWR, 0o6751, 1000, 1001, made)).toBe(0)
  expect(pwrite(made.fd, new Uint8Array(3), 0, 3, 0)).toBe(3)
  close(made.fd)
  expect(made.attr.mode).toBe(S_IFREG | 0o6751)
  const host = statSync(at('new'))
  expect([host.mode & 0o7777, host.uid, host.gid]).toEqual([0o6751, 1000, 1001])
  expect(client.create(root, 'new', O_RDWR, 0o644, 0, 0, made)).toBe(-EEXIST)

  expect(client.mkdir(root, 'dir', 0o2775, 5, 6, made)).toBe(0)
  expect([made.attr.mode, made.attr.uid, made.attr.gid]).toEqual([S_IFDIR | 0o2775, 5, 6])
  // A directory's set-group-id would give its group and bit to what is made in it.
  expect(client.mkdir(made.handle, 'in', 0o755, 0, 0, made)).toBe(0)
  expect([made.attr.mode, made.attr.gid]).toEqual([S_IFDIR | 0o755, 0])
  expect(client.mknod(root, 'fifo', S_IFIFO | 0o622, ID_KEEP, 7, 0, 0, made)).toBe(0)
  expect([made.attr.mode, made.attr.uid, made.attr.gid]).toEqual([S_IFIFO | 0o622, 0, 7])
  expect(client.mknod(root, 'null', S_IFCHR | 0o666, 0, 0, 1, 3, made)).toBe(-EPERM)
  expect(client.mknod(root, 'gone', S_IFCHR, 0, 0, 0, 0, made)).toBe(0)
  expect(client.symlink(root, 'link', 'over\xe4there', 9, 9, made)).toBe(0)
  expect([made.attr.target, made.attr.uid]).toEqual(['over\xe4there', 9])
  expect(readlinkSync(at('link'), 'latin1')).toBe('over\xe4there')
})

test('long targets and names of any bytes', () => {
  const target = 'd/'.repeat(1500)
  expect(client.symlink(root, 'long\xff', target, 0, 0, made)).toBe(0)
  expect(made.attr.target).toBe('')
  expect(client.readlink(made.handle)).toBe(target)
  expect(client.walk(root, ['long\xff'], 0, 1, found)).toBe(1)
})

test('link, rename and remove', () => {
  const file = handleOf('a', 'file')
  const a = handleOf('a')
  const b = handleOf('a', 'b')
  expect(client.link(file, b, 'second', attr)).toBe(0)
  expect(attr.nlink).toBe(2)
  expect(client.rename(b, 'second', a, 'file', RENAME_NOREPLACE)).toBe(-EEXIST)
  expect(client.rename(b, 'second', a, 'third', 0)).toBe(0)
  expect(client.rename(a, 'third', a, 'b', RENAME_EXCHANGE)).toBe(0)
  expect(lstatSync(at('a/b')).isFile()).toBe(true)
  expect(client.unlink(root, 'a', AT_REMOVEDIR)).toBe(-ENOTEMPTY)
  expect(client.unlink(a, 'b', 0)).toBe(0)
  expect(client.unlink(a, 'b', 0)).toBe(-ENOENT)
})

test('setattr changes only what the mask names', () => {
  const file = handleOf('a', 'file')
  const change = new AttrChange()
  change.mask = SET_MODE | SET_UID | SET_SIZE | SET_ATIME
  change.mode = 0o4711
  change.uid = 1000
  change.gid = 1000
  change.size = 2
  change.atimeSec = -5
  change.atimeNsec = 123456789
  expect(client.setattr(file, change, attr)).toBe(0)
  expect([attr.mode & 0o7777, attr.uid, attr.gid, attr.size]).toEqual([0o4711, 1000, 0, 2])
  expect([attr.atimeSec, attr.atimeNsec]).toEqual([-5, 123456789])
  const before = Math.floor(Date.now() / 1000) - 1
  change.mask = SET_MTIME | SET_MTIME_NOW | SET_GID
  expect(client.setattr(file, change, attr)).toBe(0)
  expect(attr.mtimeSec).toBeGreaterThanOrEqual(before)
  expect([attr.uid, attr.gid, attr.atimeSec]).toEqual([1000, 1000, -5])
})

test('a directory of many entries comes in pages', () => {
  mkdirSync(at('many'))
  const names = new Set<string>()
  for (let i = 0; i < 3000; i++) {
    const name = `entry-${i}-${'n'.repeat(i % 200)}`
    names.add(name)
    if (i % 3 === 0) symlinkSync('t'.repeat(i % 1500 || 1), at(`many/${name}`))
    else writeFileSync(at(`many/${name}`), '')
  }
  const dir = handleOf('many')
  const pages = new PageReader()
  let count = 0
  let last: Page | null = null
  do {
    expect(client.readdir(dir, last?.cookieLow ?? 0, last?.cookieHigh ?? 0, pages)).toBe(0)
    count++
    const page: Page = pages.page!
    for (let at = page.first; at < page.end; at = page.after(at)) {
      const name = page.name(at)
      expect(names.delete(name)).toBe(true)
      page.attr(at, attr)
      const i = Number(name.split('-')[1])
      const length = i % 3 !== 0 || i % 1500 > 1024 ? 0 : i % 1500 || 1
      expect(attr.target.length).toBe(length)
    }
    last = page
  } while (!last.complete)
  expect(names.size).toBe(0)
  expect(count).toBeGreaterThan(1)
})

test('listings come with those below and beside them', () => {
  mkdirSync(at('a/b/c/d'))
  mkdirSync(at('a/z'))
  const pages = new PageReader()
  const tree: TreePage[] = []
  expect(client.listTree(root, [], ['a'], 100_000, LIST_XATTRS, pages, tree)).toBe(5)
  expect(tree[0]).toMatchObject({ parent: 0, name: 'a' })
  const path = (i: number): string =>
    i === 0 ? '' : `${path(tree[i - 1]!.parent)}/${tree[i - 1]!.name}`
  expect(tree.map((_, i) => path(i + 1)).sort()).toEqual([
    '/a',
    '/a/b',
    '/a/b/c',
    '/a/b/c/d',
    '/a/z',
  ])
  expect(tree[0]!.page.find('file')).toBe(true)
  expect(client.listTree(root, ['a', 'b'], ['c', 'link', 'none'], 9000, 0, pages, tree)).toBe(2)
  // The budget ends it, but never before the first one.
  expect(client.listTree(root, [], ['a'], 0, 0, pages, tree)).toBe(1)
  expect(client.listTree(root, [], ['none'], 9000, 0, pages, tree)).toBe(-ENOENT)
})

test('files are opened together', () => {
  writeFileSync(at('a/second'), '2')
  const fds = new Int32Array(OPEN_FILES_MAX)
  expect(client.openFiles(root, ['a'], ['file', 'b', 'none', 'second'], fds)).toBe(2)
  expect([fds[1], fds[2]]).toEqual([-1, -1])
  const bytes = new Uint8Array(10)
  expect(readSync(fds[3]!, bytes)).toBe(1)
  expect(readSync(fds[0]!, bytes)).toBe(7)
  expect(() => writeSync(fds[0]!, 'x')).toThrow()
  close(fds[0]!)
  close(fds[3]!)
})

test('files are opened while the kernel goes on', () => {
  writeFileSync(at('a/second'), '2')
  const fds = new Int32Array(OPEN_FILES_MAX)
  const results: number[] = []
  const post = (names: string[]) =>
    client.postOpenFiles(root, ['a'], names, fds, n => results.push(n))
  post(['second', 'none'])
  expect(client.posted).toBe(true)
  client.settle()
  expect(client.posted).toBe(false)
  expect(results).toEqual([1])
  expect(fds[1]).toBe(-1)
  const bytes = new Uint8Array(10)
  expect(readSync(fds[0]!, bytes)).toBe(1)
  close(fds[0]!)
  // The answers come in order, whatever is asked for meanwhile.
  post(['none'])
  post(['../a'])
  expect(results).toEqual([1, 0])
  expect(client.getattr(root, attr)).toBe(0)
  expect(results).toEqual([1, 0, -EINVAL])
  expect(client.getattr(root, attr)).toBe(0)
})

test('a gofer that is gone opens no files', () => {
  const pair = new Int32Array(2)
  socketpair(SOCK_SEQPACKET, pair)
  const alone = new GoferClient(pair[0]!)
  const results: number[] = []
  const post = () => alone.postOpenFiles(1, [], ['file'], new Int32Array(1), n => results.push(n))
  post()
  expect(results).toEqual([])
  close(pair[1]!)
  alone.settle()
  expect(results).toEqual([-EIO])
  post()
  expect(results).toEqual([-EIO, -EIO])
  expect(alone.posted).toBe(false)
  close(pair[0]!)
})

test('damaged listings are refused or make sense', () => {
  const good = treeReply()
  const pair = new Int32Array(2)
  const tree: TreePage[] = []
  const pages = new PageReader()
  let refused = 0
  for (let i = 0; i < 3000; i++) {
    socketpair(SOCK_SEQPACKET, pair)
    const alone = new GoferClient(pair[0]!)
    const bytes = good.slice()
    if (i > 0) bytes[4 + ((i * 7919) % (bytes.length - 4))] = (i * 31) & 0xff
    sendMessage(pair[1]!, bytes, 0, i % 5 === 4 ? bytes.length - (i % 64) : bytes.length, NO_FDS, 0)
    const n = alone.listTree(1, [], ['a'], 9000, 0, pages, tree)
    if (i === 0) expect(n).toBe(3)
    if (n < 0) refused++
    for (const { page } of n < 0 ? [] : tree) {
      let count = 0
      for (let at = page.first; at < page.end; at = page.after(at)) {
        expect(page.find(page.name(at))).toBe(true)
        page.attr(at, attr)
        count++
      }
      expect(count).toBe(page.count)
    }
    close(pair[0]!)
    close(pair[1]!)
  }
  expect(refused).toBeGreaterThan(500)
})

const NO_FDS = new Int32Array(1)

/** What a server answers to the first request of a client: the tree below `a`. */
function treeReply(): Uint8Array {
  const server = new GoferServer({
    attachPoints: [{ fd: openat(AT_FDCWD, tree, O_PATH, 0), flags: 0 }],
    descriptors: -1,
    maxHandles: 10,
  })
  const out = new MessageWriter()
  out.request(1, OP_ATTACH, 0)
  out.u32(0)
  server.request.bytes.set(out.bytes.subarray(0, out.at))
  server.handle(out.at)
  out.request(1, OP_LIST_TREE, 0)
  out.u32(1)
  out.u32(9000)
  out.names([])
  out.names(['a'])
  server.request.bytes.set(out.bytes.subarray(0, out.at))
  const length = server.handle(out.at)
  server.shutdown()
  close(server.attachPoints[0]!.fd)
  return server.reply.bytes.slice(0, length)
}

test('extended attributes of the permitted name spaces', () => {
  const file = handleOf('a', 'file')
  const value = new Uint8Array([1, 0, 255])
  const set = client.setxattr(file, 'user.x', value, 0)
  if (set === -EOPNOTSUPP) return console.log('skipped: no user.* attributes on this file system')
  expect(set).toBe(0)
  const read = new Uint8Array(10)
  expect(client.getxattr(file, 'user.x', read.subarray(0, 0))).toBe(3)
  expect(client.getxattr(file, 'user.x', read.subarray(0, 2))).toBe(-ERANGE)
  expect(client.getxattr(file, 'user.x', read)).toBe(3)
  expect([...read.subarray(0, 3)]).toEqual([1, 0, 255])
  const names = new Uint8Array(100)
  const scanned = client.scanxattr(handleOf('a'), names)
  if (scanned !== -ENOSYS) expect(latin1(names, 0, scanned)).toBe('file\0')
  const length = client.listxattr(file, read)
  expect(String.fromCharCode(...read.subarray(0, length))).toBe('user.x\0')
  expect(client.removexattr(file, 'user.x')).toBe(0)
  expect(client.getxattr(file, 'user.x', read)).toBe(-ENODATA)
  expect(client.setxattr(file, 'security.capability', value, 0)).toBe(-EPERM)
  expect(client.setxattr(file, 'trusted.x', value, 0)).toBe(-EPERM)
  expect(client.setxattr(file, 'system.posix_acl_access', value, 0)).toBe(-EINVAL)
  expect(client.setxattr(file, 'system.other', value, 0)).toBe(-EOPNOTSUPP)
})

test('statfs, fsync and fallocate', () => {
  const file = handleOf('a', 'file')
  const numbers = new Float64Array(STATFS_COUNT)
  expect(client.statfs(root, numbers)).toBe(0)
  expect(numbers[STATFS_BSIZE]).toBeGreaterThan(0)
  expect(client.fsync(file)).toBe(0)
  expect(client.fdatasync(root)).toBe(0)
  expect(client.fallocate(file, 0, 0, 8192)).toBe(0)
  expect(statSync(at('a/file')).size).toBe(8192)
})

test('host sockets only where the attach point permits', async () => {
  const listener = createServer()
  await new Promise<void>(done => listener.listen(at('sock'), done))
  const fd = client.connect(handleOf('sock'), SOCK_STREAM)
  expect(fd).toBeGreaterThan(0)
  close(fd)
  const other = client.attach(1, attr)
  expect(client.walk(other, ['sock'], 0, 1, found)).toBe(1)
  expect(client.connect(found.handles[0]!, SOCK_STREAM)).toBe(-ECONNREFUSED)
  listener.close()
})

test('handles given back are used again', () => {
  const first = handleOf('a')
  for (let i = 0; i < 10_000; i++) client.close(handleOf('a'))
  client.flush()
  client.close(first)
  client.flush()
  expect(handleOf('a')).toBeLessThan(200)
})

test('a gofer that is gone or talks nonsense gives EIO', () => {
  const pair = new Int32Array(2)
  const noFds = new Int32Array(1)
  const nonsense: number[][] = [
    [],
    [1, 0, 0],
    [9, 0, 0, 0, 0, 0, 0, 0],
    [1, 0, 0, 0, 0, 0, 0, 0, 5],
    [1, 0, 0, 0, 1, 0, 0, 0],
    [1, 0, 0, 0, 0, 0, 0, 0x80],
    new Array(MESSAGE_MAX + 1).fill(0),
  ]
  for (const message of nonsense) {
    expect(socketpair(SOCK_SEQPACKET, pair)).toBe(0)
    const alone = new GoferClient(pair[0]!)
    setSendBuffer(pair[1]!, 2 * MESSAGE_MAX)
    const reply = new Uint8Array(message)
    if (reply.length > 0) {
      expect(sendMessage(pair[1]!, reply, 0, reply.length, noFds, 0)).toBe(reply.length)
    } else {
      close(pair[1]!)
    }
    expect(alone.getattr(1, attr), String(message.slice(0, HEADER_SIZE))).toBe(-EIO)
    expect(alone.getattr(1, attr)).toBe(-EIO)
    close(pair[0]!)
    if (reply.length > 0) close(pair[1]!)
  }
})
