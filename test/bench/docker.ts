// What users of Docker wait for and see: a container's whole life by one command of the client, and an idle container's row of
// `docker stats`. The engine is the tests' own.

import { existsSync } from 'node:fs'
import { DOCKER, Engine, IMAGE } from '../engines/engine.ts'
import { gvisor, OURS } from '../engines/features.ts'
import { run } from '../run.ts'
import { CpuGroup } from './cpu-group.ts'
import type { Peer } from './peers.ts'
import { descendants } from './processes.ts'

const RUNTIMES: Readonly<Record<string, string>> = {
  ours: OURS.name,
  gVisor: 'gvisor',
  runc: 'runc',
}
const UNITS: Readonly<Record<string, number>> = {
  B: 1 / (1 << 20),
  KiB: 1 / 1024,
  MiB: 1,
  GiB: 1024,
}

let started: Promise<Measured> | null = null

interface Measured {
  engine: Engine
  /** The engine and the processes that it starts outside of containers' cgroups. */
  daemons: CpuGroup
  /** Containers. */
  containers: CpuGroup
}

async function start(): Promise<Measured> {
  if (!existsSync('/usr/bin/apt-get') && !existsSync(DOCKER)) throw new Error('there is no Docker')
  const engine = new Engine()
  await engine.start([OURS, ...gvisor(engine), { name: 'runc', path: null }])
  const daemons = new CpuGroup(`bench-${process.pid}-docker`)
  for (const pid of [engine.daemonPid, ...descendants(engine.daemonPid)]) daemons.add(pid)
  return { engine, daemons, containers: new CpuGroup(engine.cgroup) }
}

/** The engine, with a container of this runtime tried, so that nothing is done for the first time. */
async function measured(peer: Peer): Promise<Measured & { runtime: string }> {
  started ??= start()
  const all = await started
  return { ...all, runtime: RUNTIMES[peer.name]! }
}

/** Milliseconds of `docker run --rm IMAGE true`, and the processor time that all take for it: client, engine, shim, runtime. */
export async function runOnce(peer: Peer): Promise<{ ms: number; cpuMs: number }> {
  const { engine, daemons, containers, runtime } = await measured(peer)
  const client = new CpuGroup(`bench-${process.pid}-client`)
  const before = daemons.time() + containers.time()
  const [program, ...args] = client.wrap([
    DOCKER,
    'run',
    '--rm',
    '--runtime',
    runtime,
    IMAGE,
    'true',
  ])
  const begin = process.hrtime.bigint()
  const { status, stderr } = run(program!, args, { env: engine.env() })
  const ms = Number(process.hrtime.bigint() - begin) / 1e6
  const clientMs = client.end()
  if (status !== 0) throw new Error(`status ${status}: ${stderr.trim()}`)
  await gone(engine)
  return { ms, cpuMs: clientMs + daemons.time() + containers.time() - before }
}

/** What the shim does after the client has ended is a part of it. */
async function gone(engine: Engine): Promise<void> {
  for (let i = 0; i < 100 && engine.remains().length > 0; i++)
    await new Promise(done => setTimeout(done, 20))
}

/** Memory and tasks of a container that sleeps, as `docker stats` shows them. */
export async function idleStats(peer: Peer): Promise<{ mib: number; pids: number }> {
  const { engine, runtime } = await measured(peer)
  const id = engine
    .docker(['run', '-d', '--runtime', runtime, IMAGE, 'sleep', '1000'])
    .stdout.trim()
  try {
    const format = '{{.MemUsage}} {{.PIDs}}'
    const { stdout } = engine.docker(['stats', '--no-stream', '--format', format, id])
    const [, amount, unit = '', pids] = /^([\d.]+)([A-Za-z]+) \/ \S+ (\d+)\n$/.exec(stdout) ?? []
    if (amount === undefined) throw new Error(`docker stats: ${stdout}`)
    return { mib: Number(amount) * UNITS[unit]!, pids: Number(pids) }
  } finally {
    engine.docker(['rm', '-f', id])
  }
}

/** End the engine, if it was needed. */
export async function stopDocker(): Promise<void> {
  if (started === null) return
  const all = await started.catch(() => null)
  await all?.engine.stop('something')
  all?.daemons.end()
}
