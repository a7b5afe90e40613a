// npm run bench: ours beside gVisor and runc, on one Debian tree, in one table. Each number is the median of some
// rounds in which the systems take turns, so that what else the machine does falls on all of them.
// Rows named "..., CPU" tell the processor time of all processes of the sandbox, its start and end included: on a machine
// that does other things too, it is the steadier figure.
//   --rounds=N (5)   --only=TEXT: cases whose name holds the text   --quick: one round

import { spawn, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { cache, compile, root, run, writeBundle } from '../run.ts'
import { debianTree } from '../setup.ts'
import { CpuGroup } from './cpu-group.ts'
import { idleStats, runOnce, stopDocker } from './docker.ts'
import { type Network, type Peer, peers } from './peers.ts'
import { descendants, stat, sum } from './processes.ts'

const folder = join(cache, 'bench')
/**
 * Where trees are made and removed: in memory. An ext4 without a journal passes over the numbers of files removed within the last
 * minutes, one by one, for whoever makes files later than in the same second: that punishes the slow in proportion to the square.
 */
const copies = `/dev/shm/portcullis-bench-${process.pid}`
const MODULES =
  `abc argparse array ast asyncio base64 bisect bz2 calendar cmath collections concurrent.futures configparser contextlib copy csv ctypes
  dataclasses datetime decimal difflib email.message enum fractions ftplib functools gettext glob hashlib heapq html http.client inspect
  ipaddress json logging lzma mailbox multiprocessing pathlib pickle random sqlite3 ssl statistics subprocess tarfile threading tomllib
  unittest xml.etree.ElementTree zipfile`.split(/\s+/)

// Inode numbers and times of status change differ between the systems: git would read all files again because of them.
/** Seconds since 1970. */
const LONG_AGO = 1e9
const GIT =
  'git -c safe.directory=* -c core.checkStat=minimal -c core.trustctime=false -C /bench/repository'

interface Case {
  name: string
  unit: string
  /** One measurement; several numbers by name for programs that measure much. */
  measure(peer: Peer): Map<string, number> | Promise<Map<string, number>>
}

/**
 * A script measured from inside, so that starting the sandbox does not count; milliseconds. `setUp` comes first and is not
 * in the time.
 */
const inside = (name: string, script: string, setUp = ':'): Case => ({
  name,
  unit: 'ms',
  measure: peer => {
    const text = `set -e; export HOME=/tmp; cd /tmp; { ${setUp}; } >/dev/null
      T=$EPOCHREALTIME; { ${script}; } >/dev/null; E=$EPOCHREALTIME; echo $((\${E/./} - \${T/./}))`
    const { stdout, cpuMs } = execute(peer, ['bash', '-o', 'pipefail', '-c', text])
    return withCpu(name, Number(stdout.trim()) / 1000, cpuMs)
  },
})

function withCpu(name: string, ms: number, cpuMs: number): Map<string, number> {
  return new Map(
    cpuMs > 0
      ? [
          [name, ms],
          [`${name}, CPU`, cpuMs],
        ]
      : [[name, ms]],
  )
}

/** What a program of ours prints: name, tab, nanoseconds. */
const printed = (name: string, args: string[], network: Network = 'none'): Case => ({
  name,
  unit: 'ns',
  measure: peer =>
    new Map(
      execute(peer, args, network)
        .stdout.trim()
        .split('\n')
        .map(line => [line.split('\t')[0]!, Number(line.split('\t')[1])]),
    ),
})

const CASES: Case[] = [
  printed('system calls', ['/bench/microbench']),
  printed('network of its own', ['/bench/netbench', 'own: ']),
  printed('network of the host', ['/bench/netbench', 'host: '], 'host'),
  {
    name: 'start: run /bin/true',
    unit: 'ms',
    measure: peer => {
      const start = process.hrtime.bigint()
      const { cpuMs } = execute(peer, ['/bin/true'])
      return withCpu('start: run /bin/true', Number(process.hrtime.bigint() - start) / 1e6, cpuMs)
    },
  },
  { name: 'commands', unit: 'ms', measure: lifeOf },
  {
    name: 'docker run --rm true',
    unit: 'ms',
    measure: async peer => {
      const { ms, cpuMs } = await runOnce(peer)
      return withCpu('docker run --rm true', ms, cpuMs)
    },
  },
  {
    name: 'docker stats',
    unit: '',
    measure: async peer => {
      const { mib, pids } = await idleStats(peer)
      return new Map([
        ['docker stats: memory, MiB', mib],
        ['docker stats: PIDs', pids],
      ])
    },
  },
  inside('shell: 300 x /bin/true', 'for i in {1..300}; do /bin/true; done'),
  inside(`python3: import ${MODULES.length} modules`, `python3 -c 'import ${MODULES.join(', ')}'`),
  inside('gcc -O2 one file', 'gcc -O2 -pthread -c /bench/microbench.c -o /tmp/o.o'),
  inside('git status, 5000 files', `${GIT} status --short`),
  inside('git checkout, 5000 files', `${GIT} --work-tree=/tmp/w checkout -q -f main`, 'mkdir w'),
  inside('find /usr -xdev | wc -l', 'find /usr -xdev | wc -l'),
  inside('ls -lR /usr/lib', 'ls -lR /usr/lib'),
  inside('tar c /usr | cat', 'tar cf - /usr | cat'),
  inside('tar x 5000 files, tmpfs', 'tar xf r.tar', 'tar cf r.tar -C /bench/ repository'),
  inside('rm -r 5000 files, tmpfs', 'rm -r repository', 'cp -r /bench/repository .'),
  inside(
    'cp -a 5000 files, bind mount',
    'cp -a /bench/repository /copies/copy',
    'rm -rf /copies/copy',
  ),
  inside(
    'rm -r 5000 files, bind mount',
    'rm -r /copies/copy',
    'cp -a /bench/repository /copies/copy',
  ),
]

/** One container's life as an engine sees it, command by command. The sandbox's own work is part of `create` alone. */
function lifeOf(peer: Peer): Map<string, number> {
  const id = `bench-${process.pid}-${runs++}`
  const bundle = makeBundle(id, ['sleep', '1000'])
  const results = new Map<string, number>()
  const step = (name: string, ...args: string[]) => {
    const group = new CpuGroup(`${id}-${name}`)
    const [program, ...rest] = group.wrap(peer.call(name, ...args))
    const start = process.hrtime.bigint()
    // What stays of a container must not hold a pipe.
    const { status } = spawnSync(program!, rest, { stdio: 'ignore', timeout: 60_000 })
    const ms = Number(process.hrtime.bigint() - start) / 1e6
    const cpuMs = name === 'create' ? group.time() : group.end()
    if (status !== 0) throw new Error(`${name}: status ${status}`)
    for (const [row, value] of withCpu(`command: ${name}`, ms, cpuMs)) results.set(row, value)
    return group
  }
  try {
    const first = step('create', '--bundle', bundle, id)
    step('start', id)
    step('state', id)
    step('kill', id, 'KILL')
    step('delete', '--force', id)
    first.end()
  } finally {
    peer.cleanUp(id)
    rmSync(bundle, { recursive: true, force: true })
  }
  return results
}

let runs = 0
function execute(
  peer: Peer,
  args: string[],
  network: Network = 'none',
): { stdout: string; cpuMs: number } {
  const id = `bench-${process.pid}-${runs++}`
  const bundle = makeBundle(id, args, network)
  const group = new CpuGroup(id)
  const [program, ...rest] = group.wrap(peer.command(bundle, id, network))
  const result = run(program!, rest, { seconds: 600 })
  const cpuMs = group.end()
  peer.cleanUp(id)
  rmSync(bundle, { recursive: true, force: true })
  if (result.status !== 0)
    throw new Error(`status ${result.status}: ${result.stderr.trim().split('\n').pop()}`)
  return { stdout: result.stdout, cpuMs }
}

function makeBundle(id: string, args: string[], network: Network = 'none'): string {
  const bundle = join(folder, id)
  writeBundle(bundle, realpathSync(debianTree()), args, config => {
    config.root.readonly = true
    config.mounts = [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['mode=755'] },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs' },
      { destination: '/mnt', type: 'tmpfs', source: 'tmpfs' },
      // The Debian tree has no /bench and no /copies; these stand for them below.
      { destination: '/srv', type: 'bind', source: folder, options: ['rbind', 'rw'] },
      { destination: '/media', type: 'bind', source: copies, options: ['rbind', 'rw'] },
    ]
    // The host's loopback, for all of them.
    if (network === 'host')
      config.linux.namespaces = config.linux.namespaces.filter(
        ({ type }: { type: string }) => type !== 'network',
      )
    config.process.args = args.map(arg =>
      arg.replaceAll('/bench/', '/srv/').replaceAll('/copies/', '/media/'),
    )
  })
  return bundle
}

function prepare(): void {
  mkdirSync(folder, { recursive: true })
  mkdirSync(copies)
  process.on('exit', () => rmSync(copies, { recursive: true, force: true }))
  for (const name of readdirSync(folder))
    if (name.startsWith('bench-')) rmSync(join(folder, name), { recursive: true, force: true })
  const source = join(root, 'test/bench/microbench.c')
  compile(source, join(folder, 'microbench'), ['-O2', '-pthread', '-static'])
  writeFileSync(join(folder, 'microbench.c'), readFileSync(source))
  compile(join(root, 'test/bench/netbench.c'), join(folder, 'netbench'), ['-O2', '-static'])
  const repository = join(folder, 'repository')
  if (existsSync(join(repository, '.git/refs/heads/main'))) return
  rmSync(repository, { recursive: true, force: true })
  for (let i = 0; i < 50; i++) {
    mkdirSync(join(repository, `folder${i}`), { recursive: true })
    for (let j = 0; j < 100; j++) {
      const file = join(repository, `folder${i}/file${j}`)
      writeFileSync(file, `${i} ${j}\n`.repeat(20))
      // Git compares the contents of files as young as its index: the first peer would pay for that alone.
      utimesSync(file, LONG_AGO, LONG_AGO)
    }
  }
  const git = (...args: string[]) =>
    run('git', ['-c', 'user.email=a@b.c', '-c', 'user.name=n', '-C', repository, ...args])
  git('init', '-q', '-b', 'main')
  git('add', '.')
  if (git('commit', '-qm', 'all').status !== 0) throw new Error('git commit failed')
}

const pss = (pid: number) =>
  Number(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1').match(/^Pss:\s+(\d+)/m)?.[1] ?? 0) /
  1024
const cpuTicks = (pid: number) => Number(stat(pid)[11]) + Number(stat(pid)[12])

/** Memory and CPU of a sandbox in which one program sleeps, without the command that started it. */
async function idle(peer: Peer): Promise<Map<string, number>> {
  const id = `bench-${process.pid}-${runs++}`
  const bundle = makeBundle(id, ['sleep', '1000'])
  const [program, ...rest] = peer.command(bundle, id)
  const child = spawn(program!, rest, { stdio: 'ignore' })
  await new Promise(resolve => setTimeout(resolve, 3000))
  const processes = descendants(child.pid!)
  const before = sum(processes, cpuTicks)
  const memory = sum(processes, pss)
  await new Promise(resolve => setTimeout(resolve, 5000))
  const cpu = sum(processes, cpuTicks) - before
  peer.cleanUp(id)
  child.kill('SIGKILL')
  rmSync(bundle, { recursive: true, force: true })
  if (processes.length === 0) throw new Error('it did not stay')
  return new Map([
    ['idle memory (PSS), MiB', memory],
    ['idle CPU over 5 s, ms', cpu * 10],
  ])
}

const median = (values: number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
const show = (value: number | undefined) =>
  value === undefined ? '-' : value >= 100 ? String(Math.round(value)) : value.toPrecision(3)

interface Row {
  name: string
  unit: string
  values: Map<string, number[]>
}

class Table {
  readonly rows = new Map<string, Row>()
  readonly complaints = new Set<string>()

  add(peer: Peer, unit: string, results: Map<string, number>): void {
    for (const [name, value] of results) {
      const row = this.rows.get(name) ?? { name, unit, values: new Map() }
      this.rows.set(name, row)
      row.values.set(peer.name, [...(row.values.get(peer.name) ?? []), value])
    }
  }

  print(names: string[]): void {
    const line = (cells: string[]) =>
      `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(28) : cell.padStart(11))).join(' | ')} |`
    console.log(line(['', 'unit', ...names]))
    console.log(line(['---', '---:', ...names.map(() => '---:')]))
    for (const row of this.rows.values()) {
      const cell = (name: string) =>
        row.values.has(name) ? show(median(row.values.get(name)!)) : '-'
      console.log(line([row.name, row.unit, ...names.map(cell)]))
    }
  }
}

async function main(args: string[]): Promise<void> {
  const option = (name: string) =>
    args.find(arg => arg.startsWith(`--${name}=`))?.slice(name.length + 3)
  const rounds = args.includes('--quick') ? 1 : Number(option('rounds') ?? 5)
  const only = option('only') ?? ''
  prepare()
  const all = peers()
  for (const peer of all)
    if (peer.missing) console.log(`${peer.name}: not measured: ${peer.missing}`)
  const present = all.filter(peer => !peer.missing)
  const table = new Table()
  const attempt = async (
    peer: Peer,
    name: string,
    unit: string,
    measure: () => Map<string, number> | Promise<Map<string, number>>,
  ) => {
    process.stderr.write(`${peer.name}: ${name}        \r`)
    try {
      table.add(peer, unit, await measure())
    } catch (error) {
      table.complaints.add(`${peer.name}: ${name}: ${(error as Error).message}`)
    }
  }
  for (let round = 0; round < rounds; round++)
    for (const item of CASES.filter(({ name }) => name.includes(only)))
      for (const peer of present)
        await attempt(peer, item.name, item.unit, () => item.measure(peer))
  if ('idle'.includes(only))
    for (const peer of present) await attempt(peer, 'idle', '', () => idle(peer))
  await stopDocker()
  console.log(
    `\n${cpus().length} x ${cpus()[0]?.model}, Linux ${readFileSync('/proc/sys/kernel/osrelease', 'latin1').trim()}; median of ${rounds}\n`,
  )
  table.print(all.map(peer => peer.name))
  for (const complaint of table.complaints) console.log(`failed: ${complaint}`)
  const rows = [...table.rows.values()].map(row => ({
    name: row.name,
    unit: row.unit,
    values: Object.fromEntries(row.values),
  }))
  writeFileSync(
    join(cache, 'bench.json'),
    JSON.stringify(
      { date: new Date().toISOString(), rounds, rows, failed: [...table.complaints] },
      null,
      2,
    ),
  )
}

await main(process.argv.slice(2))
