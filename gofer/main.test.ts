// The gofer as runsc starts it: confined, in a mount namespace of its own. Needs root.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { close, latin1, openTree, pread, socketpair } from '../native/index.ts'
import { GoferClient } from '../sentry/fs/gofer/client.ts'
import { PageReader } from '../sentry/fs/gofer/dir-page.ts'
import { AttrChange, NewFile, WalkResult } from '../sentry/fs/gofer/results.ts'
import { EOPNOTSUPP, EROFS } from '../syscall-table/errno.ts'
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  O_RDONLY,
  O_RDWR,
  S_IFREG,
  SOCK_SEQPACKET,
  SOCK_STREAM,
} from '../syscall-table/flags.ts'
import {
  ATTACH_HOST_UDS,
  ATTACH_READ_ONLY,
  FileAttr,
  SET_MODE,
  SET_SIZE,
  SET_UID,
} from './protocol.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))
const OPEN_TREE_CLONE_RECURSIVE = 0x8001

/** Starts the gofer with two attach points: the tree, and the same read-only. */
function start(
  base: string,
  flags: number,
): { client: GoferClient; ended: Promise<number | null> } {
  const pair = new Int32Array(2)
  socketpair(SOCK_SEQPACKET, pair)
  const tree = openTree(AT_FDCWD, join(base, 'tree'), OPEN_TREE_CLONE_RECURSIVE)
  const attachPoints = [
    { fd: 5, flags },
    { fd: 6, flags: ATTACH_READ_ONLY },
  ]
  writeFileSync(join(base, 'config'), JSON.stringify({ socket: 4, attachPoints }))
  const config = openSync(join(base, 'config'), 'r')
  const child = spawn('unshare', ['--mount', process.execPath, main, '3'], {
    stdio: ['ignore', 'inherit', 'inherit', config, pair[1]!, tree, tree],
  })
  const ended = new Promise<number | null>(done => child.on('exit', done))
  for (const fd of [config, pair[1]!, tree]) close(fd)
  return { client: new GoferClient(pair[0]!), ended }
}

test.skipIf(process.getuid?.() !== 0).each([0, ATTACH_HOST_UDS])(
  'every operation works behind the confinement (flags %i)',
  async flags => {
    const base = mkdtempSync(join(tmpdir(), 'gofer-main-'))
    mkdirSync(join(base, 'tree'))
    writeFileSync(join(base, 'tree/file'), 'content')
    const { client, ended } = start(base, flags)
    const attr = new FileAttr()
    const found = new WalkResult()
    const made = new NewFile()
    const bytes = new Uint8Array(64)
    try {
      const root = client.attach(0, attr)
      expect(root).toBeGreaterThan(0)
      expect(client.walk(root, ['file'], 0, 1, found)).toBe(1)
      const file = found.handles[0]!
      const fd = client.open(file, O_RDWR)
      expect(pread(fd, bytes, 0, 64, 0)).toBe(7)
      close(fd)

      expect(client.create(root, 'new', O_RDWR, 0o4755, 1000, 1000, made)).toBe(0)
      expect([made.attr.mode, made.attr.uid]).toEqual([S_IFREG | 0o4755, 1000])
      close(made.fd)
      const change = new AttrChange()
      change.mask = SET_MODE | SET_UID | SET_SIZE
      change.mode = 0o600
      change.uid = 7
      change.size = 3
      expect(client.setattr(made.handle, change, attr)).toBe(0)
      expect([attr.mode & 0o7777, attr.uid, attr.size]).toEqual([0o600, 7, 3])
      // Another user's file: what the capabilities are for.
      const again = client.open(made.handle, O_RDWR)
      expect(again).toBeGreaterThan(0)
      close(again)

      expect(client.mkdir(root, 'dir', 0o755, 0, 0, made)).toBe(0)
      expect(client.link(file, made.handle, 'second', attr)).toBe(0)
      expect(attr.nlink).toBe(2)
      expect(client.symlink(root, 'link', 'file', 0, 0, made)).toBe(0)
      expect(client.readlink(made.handle)).toBe('file')
      expect(client.rename(root, 'link', root, 'other', 0)).toBe(0)
      expect(client.unlink(root, 'other', 0)).toBe(0)
      expect(client.fsync(file)).toBe(0)
      expect(client.fdatasync(root)).toBe(0)
      expect(client.fallocate(file, 0, 0, 100)).toBe(0)
      expect(client.statfs(root, new Float64Array(12))).toBe(0)
      const set = client.setxattr(file, 'user.x', new Uint8Array([1, 2]), 0)
      if (set !== -EOPNOTSUPP) {
        expect(set).toBe(0)
        expect(client.getxattr(file, 'user.x', bytes)).toBe(2)
        expect(client.listxattr(file, bytes)).toBe(7)
        expect(client.removexattr(file, 'user.x')).toBe(0)
      }
      const told = { fd: -1 }
      const watch = client.watchStart(root, told)
      if (watch !== -EOPNOTSUPP) {
        expect(watch).toBeGreaterThan(0)
        expect(client.mkdir(root, 'told', 0o755, 0, 0, made)).toBe(0)
        expect(client.unlink(root, 'told', AT_REMOVEDIR)).toBe(0)
        expect(pread(told.fd, bytes, 0, 64, -1)).toBe(64)
        expect([latin1(bytes, 16, 4), latin1(bytes, 48, 4)]).toEqual(['told', 'told'])
        expect(client.unwatch(watch)).toBe(0)
        close(told.fd)
      }
      const pages = new PageReader()
      const names: string[] = []
      expect(client.readdir(root, 0, 0, pages)).toBe(0)
      const page = pages.page!
      for (let at = page.first; at < page.end; at = page.after(at)) names.push(page.name(at))
      expect(names.sort()).toEqual(['dir', 'file', 'new'])

      const readOnly = client.attach(1, attr)
      expect(client.mkdir(readOnly, 'x', 0o755, 0, 0, made)).toBe(-EROFS)
      expect(client.walk(readOnly, ['file'], 0, 1, found)).toBe(1)
      close(client.open(found.handles[0]!, O_RDONLY))
      if (flags === ATTACH_HOST_UDS) {
        const listener = createServer()
        await new Promise<void>(done => listener.listen(join(base, 'tree/sock'), done))
        expect(client.walk(root, ['sock'], 0, 1, found)).toBe(1)
        const connected = client.connect(found.handles[0]!, SOCK_STREAM)
        expect(connected).toBeGreaterThan(0)
        close(connected)
        listener.close()
      }
      expect(readFileSync(join(base, 'tree/dir/second')).subarray(0, 7).toString()).toBe('content')
    } finally {
      close(client.socket)
      rmSync(base, { recursive: true, force: true })
    }
    expect(await ended).toBe(0)
  },
)
