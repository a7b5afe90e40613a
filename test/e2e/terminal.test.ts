// An interactive shell on a terminal.

import { describe, expect, it } from 'vitest'
import { run, runsc } from '../run.ts'
import { dialogues, driven, SHELL } from './items/terminal.ts'

const sandbox = process.env.PORTCULLIS_NATIVE === '1' ? [] : [runsc, 'do', '-t', '--']

describe('a terminal', { timeout: 300_000 }, () => {
  it.each(dialogues)('$name', ({ steps }) => {
    const [command, args] = driven(steps, [...sandbox, ...SHELL])
    expect(run(command, args, { seconds: 280 }).stdout.trim()).toBe('DONE')
  })

  it('has no need of one outside', () => {
    const { status, stdout } = run('sh', ['-c', '"$@" tty </dev/null', 'sh', runsc, 'do', '-t'])
    expect({ status, stdout: stdout.trim() }).toEqual({ status: 0, stdout: '/dev/pts/0' })
  })
})
