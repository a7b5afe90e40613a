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
})
