// A full disk under --root: one clear line, and nothing half-made is left; a container that is there can still be
// started, used and removed.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run, runsc } from '../run.ts'
import { type Oracle, oracle } from './bundles.ts'

const PAGE = 4096
const DISK_PAGES = 25
/** Pages of the files and directories that are made before. */
const USED_PAGES = 1

let box: Oracle
let bundle: string
let disk: string
beforeAll(() => {
  box = oracle('full-disk')
  bundle = box.bundle(['sleep', '1000'])
  disk = join(box.path, 'disk')
  mkdirSync(disk)
})
afterAll(() => box.clean())

/** With so many pages and inodes left, try the life of a container. */
function live(options: string, fill: number, id: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_PAGES * PAGE},${options}`, 'box', disk])
  try {
    const root = join(disk, 'root')
    mkdirSync(root)
    if (fill > 0) writeFileSync(join(disk, 'fill'), Buffer.alloc(fill))
    const output = join(box.path, 'output')
    // The container's own streams are not ours.
    const create = run('sh', [
      '-c',
      `exec "$0" --root "$1" create -b "$2" "$3" >"$4" 2>&1 </dev/null`,
      ...[runsc, root, bundle, id, output],
    ])
    const told = execFileSync('cat', [output], { encoding: 'utf8' })
    if (create.status !== 0) {
      expect(create.status).toBe(128)
      expect(told.trim().split('\n')).toHaveLength(1)
      expect(told).toMatch(/no space left on device/i)
      expect(told).toContain(root)
      expect(readdirSync(root)).toEqual([])
      for (const name of ['', ...readdirSync('/sys/fs/cgroup')])
        expect(existsSync(join('/sys/fs/cgroup', name, id))).toBe(false)
      return
    }
    const cli = (...args: string[]) => run(runsc, ['--root', root, ...args])
    expect(JSON.parse(cli('state', id).stdout).status).toBe('created')
    expect(cli('start', id)).toMatchObject({ status: 0, stderr: '' })
    expect(JSON.parse(cli('state', id).stdout).status).toBe('running')
    // Only these two have something to write.
    for (const args of [
      ['exec', id, 'true'],
      ['update', '--pids-limit', '50', id],
    ]) {
      const { status, stderr } = cli(...args)
      if (status !== 0) expect(stderr).toMatch(/^runsc: .*no space left on device.*\n$/i)
    }
    for (const args of [['pause'], ['resume'], ['ps'], ['events', '--stats']])
      expect(cli(...args, id), args[0]).toMatchObject({ status: 0, stderr: '' })
    expect(JSON.parse(cli('state', id).stdout).status).toBe('running')
    expect(cli('kill', id, 'KILL')).toMatchObject({ status: 0, stderr: '' })
    expect(cli('delete', '--force', id)).toMatchObject({ status: 0, stderr: '' })
    expect(readdirSync(root)).toEqual([])
  } finally {
    // Lazily: whoever looks through all mounts of the machine just now keeps it busy.
    execFileSync('umount', ['--lazy', disk])
  }
}

describe('a container', () => {
  it.each([0, 1, 2, 3, 4])('with %i pages left', left => {
    live('nr_inodes=64', (DISK_PAGES - USED_PAGES - left) * PAGE, `full-${process.pid}-${left}`)
  })

  it.each([3, 4, 5, 6, 7, 8, 9])('with %i inodes', inodes => {
    live(`nr_inodes=${inodes}`, 0, `inodes-${process.pid}-${inodes}`)
  })
})
