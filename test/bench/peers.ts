// The systems that the benchmark compares: how each is found and how each runs a bundle.

import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cache, run, runsc } from '../run.ts'

/** Sockets of the sandbox's own, or of the host. */
export type Network = 'none' | 'host'

export interface Peer {
  name: string
  /** Why it cannot be measured. */
  missing?: string
  /** The command that runs a bundle under a name. */
  command(bundle: string, id: string, network?: Network): string[]
  /** Another of its commands. */
  call(...args: string[]): string[]
  /** Clears what a run that was cut short left behind. */
  cleanUp(id: string): void
}

const stateOf = (name: string) => join(cache, `bench/state-${name}`)

function runtime(name: string, program: string, flags: string[]): Peer {
  const base = [program, `--root=${stateOf(name)}`, ...flags]
  const on = (network: Network) => (name === 'runc' ? base : [...base, `--network=${network}`])
  return {
    name,
    command: (bundle, id, network = 'none') => [...on(network), 'run', '--bundle', bundle, id],
    call: (...args) => [...on('none'), ...args],
    cleanUp: id => {
      run(base[0]!, [...base.slice(1), 'delete', '--force', id], { seconds: 30 })
    },
  }
}

const absent = (name: string, missing: string): Peer => ({
  name,
  missing,
  command: () => [],
  call: () => [],
  cleanUp: () => {},
})

/** Ours, gVisor and runc, in the order of the table's columns. */
export function peers(): Peer[] {
  return [runtime('ours', runsc, []), gvisor(), runc()]
}

function runc(): Peer {
  const found = [
    '/usr/sbin/runc',
    '/usr/bin/runc',
    '/usr/local/sbin/runc',
    '/usr/local/bin/runc',
  ].find(path => existsSync(path))
  return found ? runtime('runc', found, []) : absent('runc', 'runc is not installed')
}

/** gVisor's runsc, from Debian's backports, unpacked into the cache: nothing is installed. */
export function gvisorProgram(): { program: string; missing: string | null } {
  const folder = join(cache, 'gvisor')
  const program = join(folder, 'usr/bin/runsc')
  return { program, missing: existsSync(program) ? null : fetchGvisor(folder) }
}

function gvisor(): Peer {
  const { program, missing } = gvisorProgram()
  if (missing !== null) return absent('gVisor', missing)
  // Without cgroups it needs no systemd; its own rootfs overlay would hide the cost of files.
  return runtime('gVisor', program, ['--platform=systrap', '--ignore-cgroups', '--overlay2=none'])
}

function fetchGvisor(folder: string): string | null {
  if (!existsSync('/usr/bin/apt-get')) return 'this machine has no apt-get to fetch it with'
  const work = `${folder}.partial`
  rmSync(work, { recursive: true, force: true })
  mkdirSync(join(work, 'lists/partial'), { recursive: true })
  const policy = run('apt-cache', ['policy', 'runsc']).stdout
  const mirror = policy.match(/https?:\/\/\S+\/debian(?=\s)/)?.[0]
  if (mirror === undefined) return 'its package is in no mirror that apt knows'
  writeFileSync(join(work, 'sources.list'), `deb ${mirror} bookworm-backports main\n`)
  const options = [
    '-o',
    `Dir::Etc::sourcelist=${join(work, 'sources.list')}`,
    '-o',
    'Dir::Etc::sourceparts=-',
    '-o',
    `Dir::State::lists=${join(work, 'lists')}`,
    '-o',
    `Dir::Cache::pkgcache=`,
    '-o',
    `Dir::Cache::srcpkgcache=`,
    '-o',
    'APT::Sandbox::User=root',
  ]
  const update = run('apt-get', [...options, '-q', 'update'], { seconds: 300 })
  const download = run('apt-get', [...options, '-q', 'download', 'runsc'], {
    cwd: work,
    seconds: 300,
  })
  const package_ = readdirSync(work).find(name => name.endsWith('.deb'))
  if (package_ === undefined)
    return `apt-get cannot download it: ${(download.stderr || update.stderr).trim().split('\n').pop()}`
  const unpack = run('dpkg', ['-x', join(work, package_), folder])
  rmSync(work, { recursive: true, force: true })
  return unpack.status === 0 ? null : `its package cannot be unpacked: ${unpack.stderr.trim()}`
}
