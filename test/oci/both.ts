// Runs one bundle under runc and under ours, for the tests that compare them: runc is the oracle.

import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Config, cache, compile, type Result, root, run, runsc } from '../run.ts'
import { installNeeds } from '../setup.ts'

const APPLETS =
  'cat chroot cp cut echo env false grep head hostname id ln ls mkdir mknod mount nice pwd readlink rm sed seq sh sleep sort stat stty tail test touch tr true tty ulimit umask umount uname uniq wc'.split(
    ' ',
  )

/** What `runsc spec` and `runc spec` agree on, shortened to what tests need. */
function baseConfig(): Config {
  const caps = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE', 'CAP_SETUID']
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ['sh'],
      env: ['PATH=/bin'],
      cwd: '/',
      capabilities: { bounding: caps, effective: caps, permitted: caps },
    },
    root: { path: 'rootfs', readonly: false },
    hostname: 'box',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
      { destination: '/tmp', type: 'tmpfs', source: 'tmp' },
    ],
    linux: {
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map(type => ({ type })),
    },
  }
}

export interface Both {
  runc: Result
  ours: Result
}

/** A directory with bundles that have a busybox for a root. */
export class Workshop {
  readonly path = mkdtempSync(join(tmpdir(), 'portcullis-oci-'))
  readonly #probe: string
  #bundles = 0

  constructor() {
    installNeeds(['runc', 'busybox-static'])
    // Users of a namespace have to get through it.
    chmodSync(this.path, 0o755)
    this.#probe = join(cache, 'oci-probe')
    compile(join(root, 'test/oci/probe.c'), this.#probe, ['-static', '-O1', '-Wall', '-Werror'])
  }

  clean(): void {
    rmSync(this.path, { recursive: true, force: true })
  }

  /** Ids of containers that either runtime still knows of. */
  left(): string[] {
    return ['runc', 'ours'].flatMap(name => {
      const state = join(this.path, `state-${name}`)
      return existsSync(state) ? readdirSync(state) : []
    })
  }

  bundle(
    args: string[],
    change: (config: Config, bundle: string) => void = () => {},
    edit: (text: string) => string = text => text,
  ): string {
    const path = join(this.path, `bundle${this.#bundles++}`)
    const bin = join(path, 'rootfs/bin')
    mkdirSync(bin, { recursive: true })
    copyFileSync('/bin/busybox', join(bin, 'busybox'))
    chmodSync(join(bin, 'busybox'), 0o755)
    for (const applet of APPLETS) symlinkSync('busybox', join(bin, applet))
    copyFileSync(this.#probe, join(bin, 'probe'))
    const config = baseConfig()
    config.process.args = args
    change(config, path)
    writeFileSync(join(path, 'config.json'), edit(JSON.stringify(config)))
    return path
  }

  /** Run the script in a fresh bundle for each runtime: neither sees what the other has made. */
  both(
    script: string,
    change: (config: Config, bundle: string) => void = () => {},
    edit: (text: string) => string = text => text,
  ): Both {
    const bundle = () => this.bundle(['sh', '-c', script], change, edit)
    return { runc: this.#run('runc', 'runc', bundle()), ours: this.ours(bundle()) }
  }

  ours(bundle: string): Result {
    return this.#run('ours', runsc, bundle)
  }

  #run(name: string, program: string, bundle: string): Result {
    const state = join(this.path, `state-${name}`)
    // Names the container's cgroup too, which tests that run at the same time must not share.
    const id = `${name}-${process.pid}`
    return run(program, ['--root', state, 'run', '-b', bundle, id], { seconds: 60 })
  }
}

/** The root of a bundle as it was left: every name, with its type. */
export function leftInRoot(bundle: string): string[] {
  return readdirSync(join(bundle, 'rootfs'), { recursive: true, encoding: 'utf8' }).sort()
}

export const readText = (path: string): string =>
  existsSync(path) ? readFileSync(path, 'utf8') : ''
