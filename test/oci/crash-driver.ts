// Runs in a pid namespace of its own: node crash-driver.ts RUNSC ROOT BUNDLE WORD ROUNDS SEED. In each round, a container
// goes through a step of its life, somebody of it is killed in the middle, and what the other commands say then, and
// what is left when it has been deleted, is printed where it is not as it should be.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { leftovers, mounts, type Process, processes, seeded } from './leftovers.ts'

const [runsc = '', root = '', bundle = '', word = '', rounds = '', seed = ''] =
  process.argv.slice(2)
/** Longer than a step takes on a quiet machine. */
const LONGEST_MS = 500
/** A command may be slow on a busy machine, but it ends. */
const HANG_MS = 120_000

const { random, pick } = seeded(Number(seed))

const STEPS = {
  create: { before: [], args: (id: string) => ['create', '-b', bundle, id] },
  run: { before: [], args: (id: string) => ['run', '-d', '-b', bundle, id] },
  start: { before: ['create'], args: (id: string) => ['start', id] },
  exec: { before: ['run'], args: (id: string) => ['exec', id, 'sleep', '0.2'] },
  execDetached: { before: ['run'], args: (id: string) => ['exec', '-d', id, 'sleep', '1000'] },
  pause: { before: ['run'], args: (id: string) => ['pause', id] },
  kill: { before: ['run'], args: (id: string) => ['kill', id, 'KILL'] },
  delete: { before: ['create'], args: (id: string) => ['delete', id] },
  deleteRunning: { before: ['run'], args: (id: string) => ['delete', '--force', id] },
} as const
type Step = keyof typeof STEPS

const VICTIMS: Record<string, (p: Process) => boolean> = {
  runsc: ({ line }) => /load\.cjs runsc/.test(line),
  sentry: ({ line }) => /node \S*load\.cjs sentry/.test(line) && !line.includes('launcher'),
  gofer: ({ line }) => /node \S*load\.cjs gofer/.test(line) && !line.includes('launcher'),
  launcher: ({ line }) => line.includes('launcher'),
  'a stand-in': ({ comm, line }) => comm !== 'stub' && line.startsWith('sleep'),
  'a stub': ({ comm }) => comm === 'stub',
}

const command = (args: readonly string[]): string[] => ['--root', root, ...args]

function runNow(args: readonly string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(runsc, command(args), {
    encoding: 'utf8',
    timeout: HANG_MS,
    killSignal: 'SIGKILL',
  })
  return { status, output: stdout + stderr }
}

/** What it starts keeps its streams, which must not be pipes that we read to the end. */
const start = (args: readonly string[]): ChildProcess =>
  spawn(runsc, command(args), { stdio: 'ignore' })

const ended = (child: ChildProcess): Promise<boolean> =>
  new Promise(done => {
    if (child.exitCode !== null || child.signalCode !== null) return done(true)
    const timer = setTimeout(() => done(false), HANG_MS)
    child.on('exit', () => {
      clearTimeout(timer)
      done(true)
    })
  })

/** A step of the container is under way; the victim dies. Returns what is wrong. */
async function interrupt(id: string, step: Step, victim: string): Promise<string[]> {
  for (const name of STEPS[step].before) {
    if (!(await ended(start(STEPS[name].args(id))))) return [`${name} hangs`]
  }
  const child = start(STEPS[step].args(id))
  await sleep(random() * LONGEST_MS)
  const candidates = processes().filter(VICTIMS[victim]!)
  if (candidates.length > 0) {
    try {
      process.kill(pick(candidates).pid, 'SIGKILL')
    } catch {
      // It was quicker.
    }
  }
  return (await ended(child)) ? [] : [`${step} hangs`]
}

/** The other commands cope with whatever there is now. */
function inspect(id: string): string[] {
  const wrong: string[] = []
  const told = runNow(['state', id])
  if (told.status === 0) JSON.parse(told.output)
  else if (!told.output.includes('does not exist')) wrong.push(`state: ${told.output}`)
  const list = runNow(['list'])
  if (list.status !== 0) wrong.push(`list: ${list.status} ${list.output}`)
  const removed = runNow(['delete', '--force', id])
  if (removed.status !== 0 || removed.output !== '')
    wrong.push(`delete --force: ${removed.status} ${removed.output}`)
  return wrong
}

for (let round = 0; round < Number(rounds); round++) {
  const id = `${word}-${round}`
  const step = pick(Object.keys(STEPS) as Step[])
  const victim = pick(Object.keys(VICTIMS))
  const before = mounts()
  const wrong = await interrupt(id, step, victim)
  wrong.push(...inspect(id), ...(await leftovers(root, id, before)))
  for (const line of wrong) console.log(`round ${round}, ${step}, ${victim} killed: ${line}`)
  for (const { pid } of processes()) process.kill(pid, 'SIGKILL')
}
console.log(`over: ${rounds} rounds`)
process.exit(0)
