// --overlay2: what a container writes stays off the host, and can be had as an archive. --file-access: who else
// changes the files.

import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Config } from '../run.ts'
import { type Oracle, oracle } from './bundles.ts'

/** Changes of every kind, in the root and in a volume. */
const CHANGES = `
echo new >/new; ln /new /new2; ln -s /new /link; mkdir -p /made/deep; echo deep >/made/deep/file
rm /low/gone; chmod 700 /low/file; rm -r /low/dir; mkdir /low/dir; echo over >/low/dir/over
mv /low/tree /moved; dd if=/dev/zero of=/big bs=1000 count=300 2>/dev/null; mkfifo /fifo
echo volume >/volume/file; echo done`

let box: Oracle
let volume: string
let store: string
beforeAll(() => {
  box = oracle('overlay')
  volume = join(box.path, 'volume')
  store = join(box.path, 'store')
  mkdirSync(volume)
  mkdirSync(store)
  const low = join(box.path, 'rootfs/low')
  for (const folder of ['dir', 'tree/inner']) mkdirSync(join(low, folder), { recursive: true })
  for (const file of ['gone', 'file', 'dir/hidden', 'tree/inner/kept'])
    writeFileSync(join(low, file), `${file}\n`)
})
afterAll(() => box.clean())

const withVolume = (config: Config) => {
  config.mounts.push({ destination: '/volume', type: 'bind', source: volume, options: ['bind'] })
}

const shell = (script: string) => box.bundle(['sh', '-c', script], withVolume)

/** Everything below a directory, with contents. */
function snapshot(directory: string): Record<string, string> {
  const found: Record<string, string> = {}
  const walk = (path: string) => {
    for (const entry of readdirSync(join(directory, path), { withFileTypes: true })) {
      const name = join(path, entry.name)
      found[name] =
        entry.isFile() && name.startsWith('low') ? readFileSync(join(directory, name), 'utf8') : ''
      if (entry.isDirectory()) walk(name)
    }
  }
  walk('')
  return found
}

describe('--overlay2', () => {
  it.each([
    ['root:memory', true],
    ['root:self', true],
    ['root:memory,size=4m', true],
    ['all:memory', false],
    ['all:self', false],
  ])('%s keeps writes off the host', (overlay, volumeWritten) => {
    const before = snapshot(join(box.path, 'rootfs'))
    const result = box.ours.run(`--overlay2=${overlay}`, 'run', '-b', shell(CHANGES), 'over')
    expect(result).toMatchObject({ status: 0, stdout: 'done\n', stderr: '' })
    expect(snapshot(join(box.path, 'rootfs'))).toEqual(before)
    expect(readdirSync(volume)).toEqual(volumeWritten ? ['file'] : [])
    rmSync(join(volume, 'file'), { force: true })
  })

  it('dir= keeps large files in unnamed files there, and is bounded by size=', () => {
    const script =
      'dd if=/dev/zero of=/big bs=64k count=1000 2>/dev/null; stat -c %s /big; df -k / | tail -1'
    const { stdout } = box.ours.run(
      `--overlay2=root:dir=${store},size=8m`,
      'run',
      '-b',
      shell(script),
      'bounded',
    )
    const [size = '', df = ''] = stdout.split('\n')
    expect(Number(size)).toBeGreaterThan(7 << 20)
    expect(Number(size)).toBeLessThanOrEqual(8 << 20)
    expect(Number(df.split(/ +/)[1])).toBe(8192)
    expect(readdirSync(store)).toEqual([])
    expect(readdirSync(join(box.path, 'rootfs'))).not.toContain('big')
  })

  it('is not taken back by the container', () => {
    const bundle = box.bundle(['true'], c => {
      c.annotations = { 'dev.gvisor.flag.overlay2': 'none' }
    })
    const { status, stderr } = box.ours.run('--overlay2=root:memory', 'run', '-b', bundle, 'back')
    expect(status).toBe(128)
    expect(stderr).toContain('host only')
  })

  it('can be asked for by the container', () => {
    const bundle = box.bundle(['sh', '-c', 'echo x >/asked'], c => {
      c.annotations = { 'dev.gvisor.flag.overlay2': 'root:memory' }
    })
    expect(box.ours.run('run', '-b', bundle, 'asked')).toMatchObject({ status: 0, stderr: '' })
    expect(readdirSync(join(box.path, 'rootfs'))).not.toContain('asked')
  })

  it.each([
    'root',
    'root:disk',
    'some:memory',
    'root:dir=relative',
    'root:memory,size=x',
    'root:dir=/none/such',
  ])('refuses %s', overlay => {
    const { status, stderr } = box.ours.run(`--overlay2=${overlay}`, 'run', '-b', shell(''), 'bad')
    expect(status).toBe(128)
    expect(stderr).toContain('overlay2')
    expect(stderr.trim().split('\n')).toHaveLength(1)
  })
})

describe('tar rootfs-upper', () => {
  it('archives what has changed, as overlayfs has it', () => {
    const bundle = shell(`${CHANGES}; sleep 1000`)
    expect(
      box.ours.detached('--overlay2=root:memory', 'run', '-d', '-b', bundle, 'tarred').status,
    ).toBe(0)
    try {
      while (box.ours.run('exec', 'tarred', 'test', '-e', '/volume/file').status !== 0);
      const archive = join(box.path, 'upper.tar')
      const options = ['--file', archive]
      expect(box.ours.run('tar', 'rootfs-upper', ...options, 'tarred')).toMatchObject({
        status: 0,
        stderr: '',
      })
      expect(box.ours.run('tar', 'rootfs-upper', ...options, 'tarred').stderr).toContain('EEXIST')
      const lines = execFileSync('tar', ['--numeric-owner', '-tvf', archive], { encoding: 'utf8' })
      const members = new Map(
        lines
          .trim()
          .split('\n')
          .map(line => line.split(/ +/))
          .map(([mode = '', , size = '', , , path = '', ...rest]) => [
            path,
            [mode, size, ...rest].join(' '),
          ]),
      )
      expect(members.get('new')).toBe('-rw-r--r-- 4')
      expect(members.get('new2')).toBe('hrw-r--r-- 0 link to new')
      expect(members.get('link')).toBe('lrwxrwxrwx 0 -> /new')
      expect(members.get('big')).toBe('-rw-r--r-- 300000')
      expect(members.get('fifo')).toMatch(/^prw-r--r--/)
      expect(members.get('made/deep/file')).toBe('-rw-r--r-- 5')
      expect(members.get('low/gone')).toMatch(/^c--------- 0,0/)
      expect(members.get('low/tree')).toMatch(/^c--------- 0,0/)
      expect(members.get('low/file')).toBe('-rwx------ 5')
      expect(members.get('moved/inner/kept')).toBe('-rw-r--r-- 16')
      expect(members.get('low/dir/over')).toBe('-rw-r--r-- 5')
      // What has not changed, or is of another mount, is not there.
      for (const path of ['bin/busybox', 'low/dir/hidden', 'volume/file', 'etc/'])
        expect(members.has(path), path).toBe(false)
      const extract = (path: string) =>
        execFileSync('tar', ['-xOf', archive, path], { encoding: 'utf8' })
      expect(extract('moved/inner/kept')).toBe('tree/inner/kept\n')
      expect(readFileSync(archive, 'latin1')).toContain(
        '41 SCHILY.xattr.trusted.overlay.opaque=y\n',
      )
    } finally {
      box.ours.run('delete', '--force', 'tarred')
    }
  })

  it('needs an overlay', () => {
    const bundle = shell('sleep 1000')
    box.ours.detached('run', '-d', '-b', bundle, 'plain')
    const { status, stdout, stderr } = box.ours.run('tar', 'rootfs-upper', 'plain')
    box.ours.run('delete', '--force', 'plain')
    expect([status, stdout]).toEqual([128, ''])
    expect(stderr).toContain('no overlay')
  })
})

describe('--file-access', () => {
  it.each([
    ['shared', 'second'],
    ['exclusive', 'first'],
  ])('%s: the root of a running container is changed by the host', (access, seen) => {
    const etc = join(box.path, 'rootfs/etc')
    const file = join(etc, 'seen')
    writeFileSync(file, 'first\n')
    const flags = [`--file-access=${access}`]
    const id = `access-${access}`
    box.ours.detached(...flags, 'run', '-d', '-b', shell('cat /etc/seen; sleep 1000'), id)
    try {
      while (box.ours.run('read', id, '/etc/seen').stdout === '');
      // By another file of that name: what is open already is the same either way.
      rmSync(file)
      writeFileSync(file, 'second\n')
      expect(box.ours.run('read', id, '/etc/seen').stdout).toBe(`${seen}\n`)
      // A new process is expected to find what was put there for it.
      expect(box.ours.run('exec', id, 'cat', '/etc/seen').stdout).toBe('second\n')
      expect(box.ours.run('read', id, '/etc/seen').stdout).toBe('second\n')
    } finally {
      box.ours.run('delete', '--force', id)
      rmSync(file, { force: true })
    }
  })
})
