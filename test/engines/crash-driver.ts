// Runs in pid, mount and network namespaces of its own, below an init that reaps: node crash-driver.ts RUNSC|runc ROUNDS SEED [tell [STEP VICTIM]].
// In each round, Docker is at work on a container when somebody dies: the engine, containerd, the shim, or one of ours. Docker
// goes on (live-restore), and removes the container; what is left then is printed where it should not be.
//
// An engine that is killed forgets containers, whatever their runtime is. With runc, and dockerd killed during `docker run --rm`, this
// driver finds three of forty, each with its shim and bundle, as with ours. What has been forgotten is there as a whole, though,
// and goes as a whole when the shim ends or the runtime is told to delete it; `tell` prints what that was. (runc itself leaves
// its cgroups when it is killed: ours must not.)

import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { mounts, type Process, processes, seeded } from '../oci/leftovers.ts'
import { type Result, run } from '../run.ts'
import { DOCKER, Engine, IMAGE, type Runtime } from './engine.ts'

const [program = '', rounds = '', seed = '', tell = '', ...only] = process.argv.slice(2)
const RUNTIME: Runtime =
  program === 'runc' ? { name: 'runc', path: null } : { name: 'runsc', path: program }
/** About as long as a step takes; the next time, it is known. */
const FIRST_MS = 500
const HANG_MS = 120_000
/** What does not go within this time stays. */
const SETTLED_MS = 20_000
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
const SHIM = ({ comm }: Process): boolean => comm.startsWith('containerd-shim')
const RUNTIMES: Record<string, (p: Process) => boolean> = {
  runtime: ({ line }) => /load\.cjs runsc|^runc /.test(line),
  sentry: ({ line }) => /load\.cjs sentry/.test(line),
  gofer: ({ line }) => /load\.cjs gofer/.test(line),
  'a stand-in': ({ comm, line }) => comm !== 'stub' && line.startsWith('sleep'),
  'a stub': ({ comm }) => comm === 'stub',
}
const VICTIMS = { ...ENGINES, shim: SHIM, ...RUNTIMES }

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

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It was quicker.
  }
}

/** The engine and what it starts for itself. */
const isEngine = ({ comm }: Process): boolean => comm === 'dockerd' || comm === 'containerd'

const tasks = (): string => engine.path('exec/containerd/daemon/io.containerd.runtime.v2.task/moby')
const containers = (): string => engine.path('exec/runtime-runc/moby')

function names(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** What an earlier round has left: runc leaves cgroups when it is killed. */
const told = new Set<string>()

/** What Docker itself leaves where it has been killed itself is not looked at: its layers and its networks. */
function left(): string[] {
  const running = processes().filter(p => !isEngine(p))
  const ours = mounts()
    .split('\n')
    .filter(line => line.includes('runtime-runc'))
  return [
    ...running.map(({ pid, comm, line }) => `process ${pid} (${comm}) ${line}`),
    ...names(tasks()).map(name => `bundle ${name}`),
    ...engine.remains(),
    ...ours,
  ].filter(what => !told.has(what))
}

/** What is left, once nothing more goes. */
async function settled(): Promise<string[]> {
  let last = left()
  for (
    let since = Date.now();
    last.length > 0 && Date.now() < since + SETTLED_MS;
    await sleep(100)
  ) {
    const now = left()
    if (now.length !== last.length) since = Date.now()
    last = now
  }
  return last
}

const runtime = (...args: string[]): Result =>
  run(RUNTIME.path ?? 'runc', ['--root', containers(), ...args])

/** Have what the engine has forgotten removed: by the engine when a shim ends, and by the runtime. */
async function removeForgotten(): Promise<string[]> {
  for (const { pid } of processes().filter(SHIM)) kill(pid)
  await settled()
  const wrong: string[] = []
  for (const id of names(containers())) {
    const { status, stdout, stderr } = runtime('delete', '--force', id)
    if (status !== 0) wrong.push(`delete --force: ${status} ${stdout}${stderr}`)
  }
  for (const name of names(tasks())) rmSync(join(tasks(), name), { recursive: true, force: true })
  return [...wrong, ...(await settled())]
}

const works = (): boolean =>
  engine.docker(['run', '--rm', '--runtime', RUNTIME.name, IMAGE, 'true']).status === 0

/** The engine is there, whoever was killed. */
async function recover(victim: string): Promise<void> {
  if (!engine.answers) await startAgain()
  // Docker takes some seconds before it starts containerd again, and can do nothing until then.
  if (victim in ENGINES && !(await until(works))) throw new Error('the engine does not work again')
}

async function startAgain(): Promise<void> {
  // containerd goes with its engine, or is started again by it.
  if (!processes().some(ENGINES.dockerd!)) await engine.startAgain()
  if (!(await until(() => engine.answers))) throw new Error('the engine does not come back')
}

/** What identifies the container and its process; empty when Docker does not say that it runs. */
const running = (): string =>
  engine
    .docker(['inspect', '-f', '{{if .State.Running}}{{.Id}} {{.State.Pid}}{{end}}', NAME])
    .stdout.trim()

/**
 * The container is the same as before, for Docker, too. Programs are run in it by the runtime alone: an exec of Docker's may hang
 * for a minute when containerd has come back, with runc as well.
 */
async function outlives(before: string): Promise<boolean> {
  const [id = ''] = before.split(' ')
  return (await until(() => running() === before)) && runtime('exec', id, 'true').status === 0
}

/** Have Docker remove what it knows of; true when that is nothing any more. */
function removeAll(): boolean {
  const { status, stdout } = engine.docker(['ps', '-aq'])
  const ids = stdout.trim().split('\n').filter(Boolean)
  if (status === 0 && ids.length > 0) engine.docker(['rm', '-f', ...ids])
  return status === 0 && ids.length === 0
}

/** How long steps took, in milliseconds. */
const took = new Map<Step, number>()

/** Somebody dies during a step. Returns what is wrong. */
async function round(step: Step, victim: string): Promise<string[]> {
  const wrong: string[] = []
  const { runs: before, args } = STEPS[step]
  if (before) {
    const first = client(STEPS.run.args)
    if (!(await ended(first)) || first.exitCode !== 0)
      return ['there is no container to begin with']
  }
  const same = running()
  const start = performance.now()
  const child = client(args)
  child.on('exit', () => took.set(step, performance.now() - start))
  await sleep(random() * Math.min(took.get(step) ?? FIRST_MS, 2 * FIRST_MS))
  const candidates = processes().filter(VICTIMS[victim as keyof typeof VICTIMS]!)
  if (candidates.length > 0) kill(pick(candidates).pid)
  if (!(await ended(child))) wrong.push(`${step} hangs`)
  await recover(victim)
  if (step === 'idle' && victim in ENGINES && !(await outlives(same)))
    wrong.push('the container does not outlive the engine')
  if (!(await until(removeAll))) wrong.push('Docker does not remove the container')
  const remains = await settled()
  if (remains.length === 0) return wrong
  const forgets = victim in ENGINES || victim === 'shim'
  if (!forgets) wrong.push(...remains)
  else if (tell !== '') console.log(`forgotten after ${victim} in ${step}:`, remains)
  const stay = await removeForgotten()
  if (forgets) wrong.push(...stay)
  for (const what of stay) told.add(what)
  return wrong
}

await engine.start([RUNTIME], { 'live-restore': true })
const [victims, steps] = [Object.keys(VICTIMS), Object.keys(STEPS) as Step[]]
for (let i = 0; i < Number(rounds); i++) {
  const step = (only[0] as Step) ?? pick(steps)
  const victim = only[1] ?? pick(victims)
  for (const line of await round(step, victim))
    console.log(`round ${i}, ${step}, ${victim} killed: ${line}`)
  for (const p of processes()) if (!isEngine(p)) kill(p.pid)
  if (tell !== '')
    console.log(`round ${i}, ${step}, ${victim}: ${(performance.now() / 1000).toFixed(1)} s`)
}
await engine.stop(told.size > 0 ? 'something' : 'nothing')
console.log(`over: ${rounds} rounds`)
process.exit(0)
