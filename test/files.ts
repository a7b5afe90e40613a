// What tests of file systems do over and over, through the handlers.

import { O_DIRECTORY, O_RDONLY } from '../syscall-table/flags.ts'
import type { TestTask } from './kernel.ts'

/** Mount `type` on `path`, which is made first when it does not exist. */
export function mountOn(k: TestTask, type: string, path: string, options = ''): number {
  k.sys.mkdir(path, 0o755)
  return k.sys.mount(type, path, type, 0, options)
}

/** The whole file, or -errno of the open or read. Reads `step` bytes at a time. */
export function readText(k: TestTask, path: string, step = 4096): string | number {
  const fd = k.sys.open(path, O_RDONLY, 0)
  if (fd < 0) return fd
  let text = ''
  for (;;) {
    const at = k.room(step)
    const n = k.sys.read(fd, at, step)
    if (n < 0) text = ''
    if (n <= 0) {
      k.sys.close(fd)
      return n < 0 ? n : text
    }
    text += k.text(at, n)
  }
}

/** Names in a directory, without "." and "..", or -errno of the open. */
export function names(k: TestTask, path: string, step = 1024): string[] | number {
  const fd = k.sys.open(path, O_RDONLY | O_DIRECTORY, 0)
  if (fd < 0) return fd
  const found: string[] = []
  for (;;) {
    const at = k.room(step)
    const n = k.sys.getdents64(fd, at, step)
    if (n <= 0) break
    const view = k.view(at, n)
    for (let i = 0; i < n; i += view.getUint16(i + 16, true)) {
      const end = i + view.getUint16(i + 16, true)
      found.push(k.text(at + i + 19, end - i - 19).replace(/\0.*$/s, ''))
    }
  }
  k.sys.close(fd)
  return found.filter(name => name !== '.' && name !== '..')
}

/** The target of a symlink, or -errno. */
export function linkTarget(k: TestTask, path: string): string | number {
  const at = k.room(4096)
  const n = k.sys.readlink(path, at, 4096)
  return n < 0 ? n : k.text(at, n)
}
