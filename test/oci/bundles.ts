// Bundles that run under ours and under runc, which is the oracle for everything that an engine can see.

import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, cpSync, mkdirSync, openSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, type Result, run, runsc, temporary, writeBundle } from '../run.ts'
import { installNeeds } from '../setup.ts'

/** An OCI runtime's command line with a state directory of its own. */
export class Runtime {
  readonly name: string
  readonly #command: string
  readonly #flags: string[]
  readonly #box: string

  constructor(name: string, command: string, flags: string[], box: string) {
    this.name = name
    this.#command = command
    this.#flags = [`--root=${join(box, `state-${name}`)}`, ...flags]
    this.#box = box
  }

  run(...args: string[]): Result {
    return run(this.#command, [...this.#flags, ...args])
  }

  /** For what leaves processes behind: they keep their streams, which cannot be pipes that we read to the end. */
  detached(...args: string[]): Result {
    const file = join(this.#box, `output-${this.name}`)
    const output = openSync(file, 'w')
    const { status } = spawnSync(this.#command, [...this.#flags, ...args], {
      stdio: ['ignore', output, output],
      timeout: 60_000,
      killSignal: 'SIGKILL',
    })
    closeSync(output)
    return { status: status ?? 124, stdout: '', stderr: readFileSync(file, 'utf8') }
  }
}

export interface Oracle {
  path: string
  ours: Runtime
  runc: Runtime
  /** Write a bundle; its path. */
  bundle(args: string[], change?: (config: Config) => void): string
  clean(): void
}

/** A busybox root and both runtimes. */
export function oracle(name: string, flags: string[] = []): Oracle {
  installNeeds(['busybox-static', 'runc'])
  const box = temporary(name)
  const rootfs = join(box.path, 'rootfs')
  for (const folder of ['bin', 'proc', 'dev', 'tmp', 'etc', 'root', 'sys'])
    mkdirSync(join(rootfs, folder), { recursive: true })
  cpSync('/bin/busybox', join(rootfs, 'bin/busybox'), { dereference: true })
  for (const applet of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n'))
    if (applet !== '' && applet !== 'busybox') symlinkSync('busybox', join(rootfs, 'bin', applet))
  let bundles = 0
  return {
    path: box.path,
    ours: new Runtime('ours', runsc, flags, box.path),
    runc: new Runtime('runc', 'runc', [], box.path),
    bundle(args, change) {
      const path = join(box.path, `bundle${bundles++}`)
      writeBundle(path, rootfs, args, change)
      return path
    },
    clean: () => box.clean(),
  }
}
