// bash: what scripts do all day, compared with the machine's own Linux.

import { describe, expect, it } from 'vitest'
import { script } from '../run.ts'
import { shellItems } from './items/shell.ts'
import { sameAsLinux } from './same.ts'

describe('bash', () => {
  sameAsLinux(shellItems)

  it('exit statuses reach the caller of runsc', () => {
    for (const status of [0, 1, 42, 255]) expect(script(`exit ${status}`).status).toBe(status)
    expect(script("set +e; sh -c 'kill -KILL $$'; exit $?").status).toBe(137)
    expect(script("set +e; sh -c 'kill -TERM $$'; exit $?").status).toBe(143)
  })

  it('standard input, output and error are separate', () => {
    const result = script('cat; echo oops >&2; exit 4', { input: 'fed\n' })
    expect(result).toMatchObject({ status: 4, stdout: 'fed\n' })
    expect(result.stderr).toBe('oops\n')
  })
})
