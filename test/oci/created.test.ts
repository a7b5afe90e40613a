// A container between create and start: runc is the oracle for what signals, start and delete do then.

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { until } from '../until.ts'
import { type Oracle, oracle, type Runtime } from './bundles.ts'

let box: Oracle
let bundle: string
beforeAll(() => {
  box = oracle('created')
  bundle = box.bundle(['sh', '-c', 'sleep 1000'])
})
afterAll(() => box.clean())

const status = (runtime: Runtime, id: string): string => {
  const { stdout } = runtime.run('state', id)
  return stdout === '' ? 'none' : JSON.parse(stdout).status
}

describe.each(['ours', 'runc'] as const)('%s', name => {
  const created = (id: string): Runtime => {
    const runtime = box[name]
    expect(runtime.detached('create', '-b', bundle, id).status).toBe(0)
    expect(status(runtime, id)).toBe('created')
    return runtime
  }

  it.each(['TERM', 'INT', 'HUP', 'QUIT', 'ABRT', 'SEGV', 'KILL'])('%s ends it', async signal => {
    const id = `${name}-${signal}`
    const runtime = created(id)
    expect(runtime.run('kill', id, signal).status).toBe(0)
    await until('it stops', () => status(runtime, id) === 'stopped')
    expect(runtime.run('start', id).status).not.toBe(0)
    expect(runtime.run('kill', id, signal)).not.toMatchObject({ status: 0 })
    expect(runtime.run('delete', id).status).toBe(0)
    expect(status(runtime, id)).toBe('none')
  })

  it.each([
    'USR1',
    'USR2',
    'WINCH',
    'CHLD',
    'ALRM',
    'PIPE',
    '0',
  ])('%s does nothing', async signal => {
    const id = `${name}-${signal}`
    const runtime = created(id)
    expect(runtime.run('kill', id, signal).status).toBe(0)
    await sleep(100)
    expect(status(runtime, id)).toBe('created')
    expect(runtime.run('start', id).status).toBe(0)
    expect(status(runtime, id)).toBe('running')
    expect(runtime.run('delete', '--force', id).status).toBe(0)
  })

  it('starts once', () => {
    const id = `${name}-twice`
    const runtime = created(id)
    expect(runtime.run('start', id).status).toBe(0)
    expect(runtime.run('start', id).status).not.toBe(0)
    expect(status(runtime, id)).toBe('running')
    expect(runtime.run('delete', id).status).not.toBe(0)
    expect(runtime.run('delete', '--force', id).status).toBe(0)
  })

  it('runs the program that is there when it is started', async () => {
    const id = `${name}-replaced`
    const [program, said] = [join(box.path, 'rootfs/replaced'), join(box.path, 'rootfs/said')]
    const put = (words: string) => {
      rmSync(program, { force: true })
      writeFileSync(program, `#!/bin/sh\necho ${words} >/said\n`, { mode: 0o755 })
    }
    put('at create')
    rmSync(said, { force: true })
    expect(box[name].detached('create', '-b', box.bundle(['/replaced']), id).status).toBe(0)
    put('at start')
    expect(box[name].run('start', id).status).toBe(0)
    await until('it ends', () => status(box[name], id) === 'stopped')
    expect(readFileSync(said, 'utf8')).toBe('at start\n')
    expect(box[name].run('delete', id).status).toBe(0)
  })

  it('can be deleted', () => {
    const id = `${name}-delete`
    const runtime = created(id)
    expect(runtime.run('delete', id).status).toBe(0)
    expect(status(runtime, id)).toBe('none')
    expect(runtime.run('delete', id).status).not.toBe(0)
    expect(runtime.run('delete', '--force', id).status).toBe(0)
  })

  it('run --keep: what has ended stays', () => {
    const id = `${name}-kept`
    const runtime = box[name]
    const ends = box.bundle(['sh', '-c', 'exit 5'])
    expect(runtime.run('run', '--keep', '--no-subreaper', '-b', ends, id).status).toBe(5)
    expect(status(runtime, id)).toBe('stopped')
    expect(runtime.run('delete', id)).toMatchObject({ status: 0, stderr: '' })
    expect(status(runtime, id)).toBe('none')
    expect(runtime.run('run', '-b', ends, id).status).toBe(5)
    expect(status(runtime, id)).toBe('none')
  })
})

it('is known to run when its start was killed before that was kept', () => {
  const id = 'ours-half-started'
  const waits = join(box.path, 'state-ours', id, 'waits')
  expect(box.ours.detached('create', '-b', bundle, id).status).toBe(0)
  expect(existsSync(waits)).toBe(true)
  expect(box.ours.run('start', id).status).toBe(0)
  writeFileSync(waits, '')
  expect(status(box.ours, id)).toBe('created')
  expect(box.ours.run('start', id).stderr).toContain('already running')
  expect(status(box.ours, id)).toBe('running')
  expect(box.ours.run('delete', id).status).not.toBe(0)
  expect(box.ours.run('delete', '--force', id).status).toBe(0)
})
