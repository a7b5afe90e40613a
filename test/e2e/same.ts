// The oracle of these tests is the machine's own Linux: a script must print the same and end the same in a sandbox.

import { expect, it } from 'vitest'
import { type Result, type RunOptions, run, sandboxed } from '../run.ts'
import { type Item, inFreshDirectory, withoutPids } from './item.ts'

/** Runs the script on Linux and in a sandbox, each in an empty directory, and expects no difference. */
export function expectSame(text: string, options: RunOptions = {}): Result {
  const args = ['bash', '-c', inFreshDirectory(text)]
  const native = run(args[0]!, args.slice(1), options)
  const ours = sandboxed(args, options)
  expect({ status: ours.status, stdout: ours.stdout, stderr: withoutPids(ours.stderr) }).toEqual({
    status: native.status,
    stdout: native.stdout,
    stderr: withoutPids(native.stderr),
  })
  return ours
}

/** The items as tests, compared with Linux. */
export function sameAsLinux(items: readonly Item[]): void {
  for (const { name, script, seconds = 120 } of items)
    it(name, { timeout: 2500 * seconds }, () => {
      expectSame(script, { seconds })
    })
}

/** The items as tests that print what is known; `flags` are those of `runsc do`. */
export function asKnown(
  items: readonly Item[],
  options: () => RunOptions & { flags?: string[] } = () => ({}),
): void {
  for (const { name, script, seconds = 120, stdout } of items)
    it(name, { timeout: 1100 * seconds }, () => {
      const result = sandboxed(['bash', '-c', inFreshDirectory(script)], {
        seconds,
        ...options(),
      })
      expect({
        status: result.status,
        stdout: result.stdout,
        stderr: result.status === 0 ? '' : result.stderr,
      }).toEqual({ status: 0, stdout, stderr: '' })
    })
}
