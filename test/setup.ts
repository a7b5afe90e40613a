// What the tests need beyond the packages of npm: a few Debian packages, and a Debian tree to run programs in.
// Runs by itself when a test asks for it, or ahead of time: node test/setup.ts

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const self = fileURLToPath(import.meta.url)
const cache = join(dirname(self), '../.cache')
const SUITE = 'bookworm'
const PACKAGES =
  'bash coreutils procps perl python3 python3-venv gcc libc6-dev make git tar gzip xz-utils busybox-static'.split(
    ' ',
  )
/** Packages of the machine itself. */
const NEEDS: Record<string, string> = {
  bubblewrap: '/usr/bin/bwrap',
  debootstrap: '/usr/sbin/debootstrap',
  'busybox-static': '/bin/busybox',
  runc: '/usr/sbin/runc',
  'docker.io': '/usr/sbin/dockerd',
  containerd: '/usr/bin/containerd',
  'docker-compose': '/usr/bin/docker-compose',
  iproute2: '/sbin/ip',
  curl: '/usr/bin/curl',
  'containernetworking-plugins': '/usr/lib/cni/bridge',
  iptables: '/usr/sbin/iptables',
  podman: '/usr/bin/podman',
  libseccomp2: '/usr/lib/x86_64-linux-gnu/libseccomp.so.2',
}
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

const say = (text: string) => process.stderr.write(`setup: ${text}\n`)

function must(what: string, command: string, args: string[]): void {
  const { status, error } = spawnSync(command, args, {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  })
  if (error) throw new Error(`${what}: ${error.message}`)
  if (status !== 0) throw new Error(`${what}: ${command} ended with ${status}`)
}

/** Installs those of the packages that are missing. */
export function installNeeds(needs: string[] = Object.keys(NEEDS)): void {
  const missing = needs.filter(name => !existsSync(NEEDS[name]!))
  if (missing.length === 0) return
  if (!existsSync('/usr/bin/apt-get'))
    throw new Error(`setup: install ${missing.join(', ')} (this machine has no apt-get)`)
  say(`installing ${missing.join(', ')}…`)
  const install = () =>
    must('apt-get install', 'apt-get', [
      'install',
      '-y',
      '-q',
      '--no-install-recommends',
      ...missing,
    ])
  try {
    install()
  } catch {
    must('apt-get update', 'apt-get', ['update', '-q'])
    install()
  }
}

const treePath = () =>
  join(
    cache,
    `debian-${createHash('sha256')
      .update(`${SUITE} ${PACKAGES.join(' ')}`)
      .digest('hex')
      .slice(0, 12)}`,
  )

/** The Debian tree; made on the first use, by one process at a time. */
export function debianTree(): string {
  return once(treePath(), 'the Debian tree', ['tree'])
}

const packagesPath = (names: readonly string[]) => join(cache, `packages-${names.join('-')}`)

/** A directory with these Debian packages and all they need beyond the tree; made on the first use. */
export function debianPackages(...names: string[]): string {
  debianTree()
  return once(packagesPath(names), `the packages ${names.join(', ')}`, ['packages', ...names])
}

/** Have this program make `path`, one process at a time. */
function once(path: string, what: string, args: readonly string[]): string {
  if (existsSync(path)) return path
  mkdirSync(cache, { recursive: true })
  // flock(1) frees the lock with its process, however that ends.
  const { status } = spawnSync(
    'flock',
    [join(cache, 'debian.lock'), process.execPath, self, ...args],
    { stdio: ['ignore', 2, 2] },
  )
  if (status !== 0 || !existsSync(path)) throw new Error(`setup: cannot make ${what}`)
  return path
}

function makeTree(): void {
  const tree = treePath()
  if (existsSync(tree)) return
  say(`making a Debian ${SUITE} tree (once, some minutes)…`)
  const partial = debootstrap(`${tree}.partial`, PACKAGES)
  writeFileSync(join(partial, 'etc/resolv.conf'), '')
  rmSync(join(partial, 'var/cache/apt/archives'), { recursive: true, force: true })
  renameSync(partial, tree)
}

function makePackages(names: readonly string[]): void {
  const path = packagesPath(names)
  if (existsSync(path)) return
  say(`fetching ${names.join(', ')}…`)
  const partial = debootstrap(`${path}.partial`, names, '--download-only')
  const archives = join(partial, 'var/cache/apt/archives')
  const there = readFileSync(join(treePath(), 'var/lib/dpkg/status'), 'latin1')
  const missing = readdirSync(archives).filter(
    file => file.endsWith('.deb') && !there.includes(`Package: ${file.split('_')[0]}\n`),
  )
  const wanted = `${path}.new`
  rmSync(wanted, { recursive: true, force: true })
  mkdirSync(wanted)
  for (const file of missing) renameSync(join(archives, file), join(wanted, file))
  rmSync(partial, { recursive: true, force: true })
  renameSync(wanted, path)
}

/** Runs debootstrap with an empty target, which it returns. */
function debootstrap(target: string, packages: readonly string[], ...options: string[]): string {
  if (process.getuid?.() !== 0) throw new Error('setup: not root')
  installNeeds(['debootstrap'])
  const debs = join(cache, 'debs')
  rmSync(target, { recursive: true, force: true })
  mkdirSync(debs, { recursive: true })
  const keyring = existsSync(KEYRING) ? [`--keyring=${KEYRING}`] : []
  // debootstrap mounts /proc and /sys in the tree: in a mount namespace of its own they cannot outlive it.
  must('debootstrap', 'unshare', [
    '--mount',
    '--propagation=private',
    'debootstrap',
    '--variant=minbase',
    `--cache-dir=${debs}`,
    ...keyring,
    `--include=${packages.join(',')}`,
    ...options,
    SUITE,
    target,
    ...mirror(),
  ])
  return target
}

/** The mirror that this machine's own apt uses, when that is one of Debian; else debootstrap's default. */
function mirror(): string[] {
  const folder = '/etc/apt/sources.list.d'
  const files = [
    '/etc/apt/sources.list',
    ...(existsSync(folder) ? readdirSync(folder).map(name => join(folder, name)) : []),
  ]
  const text = files
    .filter(file => existsSync(file))
    .map(file => readFileSync(file, 'latin1'))
    .join('\n')
  const found = text.match(/^(?:deb|URIs:)\s+(?:\[[^\]]*\]\s+)?(https?:\S+\/debian)\/?(?=\s|$)/m)
  return found ? [found[1]!] : []
}

if (process.argv[1] === self) {
  try {
    if (process.argv[2] === 'tree') makeTree()
    else if (process.argv[2] === 'packages') makePackages(process.argv.slice(3))
    else {
      installNeeds()
      say(`the Debian tree is ${debianTree()}`)
    }
  } catch (error) {
    say((error as Error).message)
    process.exitCode = 1
  }
}
