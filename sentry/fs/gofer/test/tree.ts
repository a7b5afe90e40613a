// What the tests of the gofer file system share: a tree of the host, a kernel whose root it is, and what programs do there.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect } from 'vitest'
import { close } from '../../../../native/index.ts'
import {
  AT_FDCWD,
  O_CREAT,
  O_DIRECTORY,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
} from '../../../../syscall-table/flags.ts'
import { boot } from '../../../../test/kernel.ts'
import { forgetTree } from '../../../vfs/dcache.ts'
import type { GoferClient } from '../client.ts'
import { GoferConnection } from '../connection.ts'
import { type GoferSuperBlock, mountGofer } from '../super.ts'
import { spawnGofer } from './spawn.ts'

/** The directory of the host that is mounted, the kernel that has it for its root, and the connection between. */
export let tree: string
export let k: ReturnType<typeof boot>
export let client: GoferClient
export let sb: GoferSuperBlock

/** Mount the tree: from here on there are `k`, `client` and `sb`. */
export function start(shared = false): void {
  // Attach point flags 0: the sandbox may write.
  client = spawnGofer(`0:${tree}`).client
  const connection = new GoferConnection(client)
  k = boot({
    root: kernel => {
      const mounted = mountGofer(kernel, connection, 0, { shared, readonly: false })
      if (typeof mounted === 'number') throw new Error(`attach: ${mounted}`)
      sb = mounted
      return sb
    },
  })
}

/** A tree of its own for each test of the file that calls this. */
export function eachWithTree(): void {
  beforeEach(() => {
    tree = mkdtempSync(join(tmpdir(), 'gofer-fs-'))
    mkdirSync(join(tree, 'a/b/c'), { recursive: true })
    writeFileSync(join(tree, 'a/b/c/file'), 'deep')
    writeFileSync(join(tree, 'top'), 'top contents')
    symlinkSync('a/b', join(tree, 'link'))
  })
  afterEach(() => {
    close(client.socket)
    rmSync(tree, { recursive: true })
  })
}

export const get = (path: string): string | number => k.contents(path)

export function put(path: string, text: string, flags = O_CREAT | O_WRONLY | O_TRUNC): number {
  const fd = k.sys.open(path, flags, 0o644)
  if (fd < 0) return fd
  const n = k.sys.write(fd, Buffer.from(text), text.length)
  k.sys.close(fd)
  return n
}

/** The names in a directory, sorted. */
export function list(path: string): string[] {
  const fd = k.sys.open(path, O_RDONLY | O_DIRECTORY, 0)
  const names: string[] = []
  for (;;) {
    const at = k.room(1024)
    const n = k.sys.getdents64(fd, at, 1024)
    expect(n).toBeGreaterThanOrEqual(0)
    if (n === 0) break
    const view = k.view(at, n)
    for (let i = 0; i < n; i += view.getUint16(i + 16, true)) {
      const end = i + view.getUint16(i + 16, true)
      names.push(k.text(at + i + 19, end - i - 19).replace(/\0.*$/s, ''))
    }
  }
  k.sys.close(fd)
  return names.sort()
}

export function stat(
  path: string,
  flags = 0,
): { n: number; size: number; mode: number; nlink: number; mtime: number } {
  const at = k.room(144)
  const n = k.sys.newfstatat(AT_FDCWD, path, at, flags)
  const v = k.view(at, 144)
  return {
    n,
    size: v.getUint32(48, true),
    mode: v.getUint32(24, true),
    nlink: v.getUint32(16, true),
    mtime: v.getUint32(88, true) + v.getUint32(96, true) / 1e9,
  }
}

/** How many requests to the gofer `action` takes. */
export function requests(action: () => void): number {
  const before = client.requests
  action()
  return client.requests - before
}

/** As the dentry cache does it when it is full. */
export function dropDentries(): void {
  for (const child of [...rootDentry().children.values()]) forgetTree(child)
}

export const rootDentry = () => k.task.fs.root.mount.sb.rootDentry!
