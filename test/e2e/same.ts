// The oracle of these tests is the machine's own Linux: a script must print the same and end the same in a sandbox.

import { expect } from 'vitest'
import { type Result, type RunOptions, run, sandboxed } from '../run.ts'

const inFreshDirectory = (text: string) =>
  `set -e; D=$(mktemp -d); cd "$D"; trap 'cd /; rm -rf "$D"' EXIT\n${text}`

/** Messages of bash name process ids, which differ. */
const withoutPids = (text: string) => text.replace(/(line \d+:) +\d+ /g, '$1 PID ')

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
