// Runs in pid, mount and network namespaces of its own, below an init that reaps: node crash-driver.ts RUNSC|runc ROUNDS SEED. In each round, Docker is
// at work on a container when somebody dies: the engine, containerd, the shim, or one of ours. Docker goes on
// (live-restore), and removes the container; what is left then is printed.

import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { mounts, type Process, processes, seeded } from '../oci/leftovers.ts'
import { DOCKER, Engine, IMAGE, type Runtime } from './engine.ts'

const [runtime = '', rounds = '', seed = ''] = process.argv.slice(2)
const RUNTIME: Runtime =
  runtime === 'runc' ? { name: 'runc', path: null } : { name: 'runsc', path: runtime }
/** Longer than a step takes on a quiet machine. */
const LONGEST_MS = 800
const HANG_MS = 120_000
const NAME = 'crash'
const { random, pick } = seeded(Number(seed))
const engine = new Engine('ours')

const RUN = ['run', '-d', '--name', NAME, '--runtime', RUNTIME.name]
const SLEEP = [IMAGE, 'sleep', '1000']
/** What Docker does, with a container that runs or without one. */
const STEPS = {
  run: { runs: false, args: [...RUN, ...SLEEP] },
  runAlways: { runs: false, args: [...RUN, '--restart', 'always', ...SLEEP] },
  runOnce: { runs: false, args: ['run', '--rm', '--runtime', RUNTIME.name, IMAGE, 'true'] },
  idle: { runs: true, args: ['ps'] },
  exec: { runs: true, args: ['exec', NAME, 'sleep', '0.2'] },
  execDetached: { runs: true, args: ['exec', '-d', NAME, 'sleep', '1000'] },
  pause: { runs: true, args: ['pause', NAME] },
  kill: { runs: true, args: ['kill', NAME] },
  stop: { runs: true, args: ['stop', '-t', '1', NAME] },
  restart: { runs: true, args: ['restart', '-t', '0', NAME] },
  remove: { runs: true, args: ['rm', '-f', NAME] },
} as const
type Step = keyof typeof STEPS

const ENGINES: Record<string, (p: Process) => boolean> = {
  dockerd: ({ comm }) => comm === 'dockerd',
  containerd: ({ comm }) => comm === 'containerd',
}
const OTHERS: Record<string, (p: Process) => boolean> = {
  shim: ({ comm }) => comm.startsWith('containerd-shim'),
  runtime: ({ line }) => /load\.cjs runsc|^runc /.test(line),
  sentry: ({ line }) => /load\.cjs sentry/.test(line),
  gofer: ({ line }) => /load\.cjs gofer/.test(line),
  'a stand-in': ({ comm, line }) => comm !== 'stub' && line.startsWith('sleep'),
  'a stub': ({ comm }) => comm === 'stub',
}
const VICTIMS: typeof OTHERS = { ...ENGINES, ...OTHERS }

const client = (args: readonly string[]): ChildProcess =>
  spawn(DOCKER, args, { stdio: 'ignore', env: { ...process.env, ...engine.env() } })

function ended(child: ChildProcess): Promise<boolean> {
  return new Promise(done => {
    if (child.exitCode !== null || child.signalCode !== null) return done(true)
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      done(false)
    }, HANG_MS)
    child.on('exit', () => {
      clearTimeout(timer)
      done(true)
    })
  })
}

async function until(test: () => boolean): Promise<boolean> {
  for (const end = Date.now() + HANG_MS; Date.now() < end; await sleep(100)) if (test()) return true
  return false
}

/** The engine and what it starts for itself. */
const isEngine = ({ comm }: Process): boolean => comm === 'dockerd' || comm === 'containerd'

/** What Docker itself leaves where it has been killed itself is not looked at: its layers and its networks. */
function left(): string[] {
  const tasks = engine.path('exec/containerd/daemon/io.containerd.runtime.v2.task/moby')
  const bundles = (() => {
    try {
      return readdirSync(tasks)
    } catch {
      return []
    }
  })()
  const running = processes().filter(p => !isEngine(p))
  const ours = mounts()
    .split('\n')
    .filter(line => line.includes('runtime-runc'))
  return [
    ...running.map(({ pid, comm, line }) => `process ${pid} (${comm}) ${line}`),
    ...bundles.map(name => `bundle ${name}`),
    ...engine.remains(),
    ...ours,
  ]
}

/** The engine is there, whoever was killed. */
async function recover(): Promise<void> {
  if (engine.answers) return
  // containerd goes with its engine, or is started again by it.
  if (!processes().some(ENGINES.dockerd!)) await engine.startAgain()
  if (!(await until(() => engine.answers))) throw new Error('the engine does not come back')
}

const runs = (): boolean => engine.docker(['exec', NAME, 'true'], { seconds: 60 }).status === 0

/** Somebody dies during a step. Returns what is wrong. */
async function round(step: Step, victim: string): Promise<string[]> {
  const wrong: string[] = []
  const { runs: before, args } = STEPS[step]
  if (before && !(await ended(client(STEPS.run.args)))) return ['run hangs']
  const child = client(args)
  await sleep(random() * LONGEST_MS)
  const candidates = processes().filter(VICTIMS[victim]!)
  if (candidates.length > 0) {
    try {
      process.kill(pick(candidates).pid, 'SIGKILL')
    } catch {
      // It was quicker.
    }
  }
  if (!(await ended(child))) wrong.push(`${step} hangs`)
  await recover()
  if (step === 'idle' && victim in ENGINES && !(await until(runs)))
    wrong.push('the container does not outlive the engine')
  await until(() => {
    const ids = engine.containers()
    return ids.length === 0 || engine.docker(['rm', '-f', ...ids]).status === 0
  })
  if (!(await until(() => left().length === 0))) wrong.push(...left())
  return wrong
}

await engine.start([RUNTIME], { 'live-restore': true })
const [victims, steps] = [Object.keys(VICTIMS), Object.keys(STEPS) as Step[]]
for (let i = 0; i < Number(rounds); i++) {
  const [step, victim] = [pick(steps), pick(victims)]
  for (const line of await round(step, victim))
    console.log(`round ${i}, ${step}, ${victim} killed: ${line}`)
  for (const p of processes()) if (!isEngine(p)) process.kill(p.pid, 'SIGKILL')
}
await engine.stop()
console.log(`over: ${rounds} rounds`)
process.exit(0)
