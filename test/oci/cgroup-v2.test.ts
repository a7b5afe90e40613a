// Containers on cgroup version 2 alone: in a mount namespace where nothing else is mounted. The controllers stay with
// version 1 where the host has that, so this is about places, entering, pausing and removal; limits are tested on files.

import { execFileSync } from 'node:child_process'
import { existsSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run, runsc } from '../run.ts'
import { type Oracle, oracle } from './bundles.ts'

const root = process.getuid?.() === 0
/** Where the test finds the hierarchy again to clean it up. */
const UNIFIED = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find(path =>
  existsSync(join(path, 'cgroup.controllers')),
)
const usable = root && UNIFIED !== undefined
if (!usable) console.warn('skipped: test/oci/cgroup-v2.test.ts needs root and cgroup version 2')

const name = `portcullis-test2-${process.pid}`

describe.runIf(usable)('cgroups of version 2', () => {
  let box: Oracle
  beforeAll(() => {
    box = oracle('cgroup2')
  })
  afterAll(() => {
    run(runsc, [`--root=${join(box.path, 'state')}`, 'delete', '--force', 'c'])
    const path = join(UNIFIED!, name)
    if (existsSync(path)) rmdirSync(path)
    box.clean()
  })

  /** Runs a script in which $R is runsc and /sys/fs/cgroup the hierarchy. */
  function onV2(text: string) {
    const script = join(box.path, 'script')
    const lines = [
      'umount -R /sys/fs/cgroup',
      'mount -t cgroup2 none /sys/fs/cgroup',
      `R="${runsc} --root=${join(box.path, 'state')}"`,
      `C=/sys/fs/cgroup/${name}/c`,
    ]
    writeFileSync(script, `${lines.join('\n')}\n${text}\n`)
    return run('unshare', ['--mount', 'sh', '-e', script])
  }
  const bundle = (args: string[], resources: Record<string, unknown> = {}) =>
    box.bundle(args, config => {
      config.linux.cgroupsPath = `/${name}/c`
      config.linux.resources = resources
      config.mounts.push(
        { destination: '/sys', type: 'sysfs', source: 'sysfs' },
        { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['ro'] },
      )
    })

  it('are entered, paused, killed and removed', () => {
    const path = bundle(['sleep', '300'], { unified: { 'cgroup.max.depth': '3' } })
    const result = onV2(`
      $R run -d --bundle ${path} c </dev/null >/dev/null 2>&1
      P=$($R state c | grep '"pid"' | tr -dc 0-9)
      grep -cx $P $C/cgroup.procs
      cat $C/cgroup.max.depth
      $R pause c
      $R state c | grep -o paused
      A=$(cat $C/cpu.stat | head -1); sleep 0.3; test "$A" = "$(cat $C/cpu.stat | head -1)"
      $R resume c
      $R state c | grep -o running
      $R events --stats c | grep -c '"total":[1-9]'
      $R pause c
      $R kill c KILL
      while $R state c | grep -q running; do sleep 0.05; done
      $R delete c
      ls -d $C 2>&1 | grep -o 'No such'`)
    expect(result).toEqual({
      status: 0,
      stdout: '1\n3\npaused\nrunning\n1\nNo such\n',
      stderr: '',
    })
  })

  it('are seen inside as the root of a hierarchy', () => {
    const script = 'cat /proc/self/cgroup /sys/fs/cgroup/cgroup.procs; stat -f -c %T /sys/fs/cgroup'
    const result = onV2(`$R run --bundle ${bundle(['sh', '-c', script])} c`)
    expect(result).toMatchObject({ status: 0, stderr: '' })
    expect(result.stdout).toMatch(/^0::\/\n1\n(\d+\n)*(cgroup2fs|UNKNOWN)\n$/)
  })

  it('say which controller is missing', () => {
    const has = execFileSync('cat', [join(UNIFIED!, 'cgroup.controllers')], { encoding: 'utf8' })
    if (has.includes('memory')) return
    const result = onV2(`$R run --bundle ${bundle(['true'], { memory: { limit: 1 << 26 } })} c`)
    expect(result.status).not.toBe(0)
    expect(result.stderr).toContain('linux.resources.memory.limit: ')
  })
})
