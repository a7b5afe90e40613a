// Runs in a pid and a mount namespace of its own: node pod-crash-driver.ts RUNSC SHOP WORD ROUNDS SEED. In each round, a pod has
// its own container (of the bundle SHOP/bundle0) and another one (bundle1) when a third one (bundle2) goes through a step of its life
// and somebody of the pod is killed. What the others become, what commands say, and what is left is printed where it is not as it should be.

import type { Process } from './leftovers.ts'
import { emptyPlaces, leftovers, mounts, processes, seeded } from './leftovers.ts'
import { ended, kill, MEMBERS, type Member, Runsc, Strike, until } from './life.ts'

const [program = '', shop = '', word = '', rounds = '', seed = ''] = process.argv.slice(2)
const chance = seeded(Number(seed))
const files = emptyPlaces(shop)
const runsc = new Runsc(program, '/mnt/crash')
/** As the annotations of bundle1 and bundle2 name it. */
const POD = 'pod'
const [MATE, ID] = [`${word}-mate`, `${word}-id`]
const bundle = (i: number) => ['-b', `/mnt/bundle${i}`]

const create = ['create', ...bundle(2), ID]
const runDetached = ['run', '-d', ...bundle(2), ID]
const STEPS: Record<string, { before: string[][]; args: string[] }> = {
  create: { before: [], args: create },
  run: { before: [], args: runDetached },
  start: { before: [create], args: ['start', ID] },
  exec: { before: [runDetached], args: ['exec', ID, 'sleep', '0.2'] },
  execDetached: { before: [runDetached], args: ['exec', '-d', ID, 'sleep', '1000'] },
  pause: { before: [runDetached], args: ['pause', ID] },
  kill: { before: [runDetached], args: ['kill', ID, 'KILL'] },
  delete: { before: [create], args: ['delete', ID] },
  deleteRunning: { before: [runDetached], args: ['delete', '--force', ID] },
}

/** Who of it is killed, and which containers must outlive that. */
interface Victim {
  member: Member
  of: 'the pod' | 'the mate' | 'the container'
  survive: string[]
}
const VICTIMS: Victim[] = [
  { member: 'runsc', of: 'the container', survive: [POD, MATE] },
  { member: 'gofer', of: 'the container', survive: [POD, MATE] },
  { member: 'a stand-in', of: 'the container', survive: [POD, MATE] },
  { member: 'a stub', of: 'the container', survive: [POD, MATE] },
  { member: 'gofer', of: 'the mate', survive: [POD] },
  { member: 'a stand-in', of: 'the mate', survive: [POD] },
  { member: 'a stub', of: 'the mate', survive: [POD] },
  { member: 'gofer', of: 'the pod', survive: [] },
  { member: 'a stand-in', of: 'the pod', survive: [] },
  { member: 'sentry', of: 'the pod', survive: [] },
]

const since = (before: readonly Process[]) => {
  const known = new Set(before.map(({ pid }) => pid))
  return processes().filter(({ pid }) => !known.has(pid))
}

/** A container runs whose processes these are. */
async function runs(id: string, ...args: string[]): Promise<Process[]> {
  const before = processes()
  await runsc.must(['run', '-d', ...args, id])
  // The command may be on its way out.
  await until(() => !since(before).some(MEMBERS.runsc))
  return since(before)
}

/** Whoever is there still does what it should. */
function alive(id: string): string[] {
  const { status, output } = runsc.now('exec', id, 'echo', 'lives')
  return status === 0 && output === 'lives\n' ? [] : [`exec in ${id}: ${status} ${output}`]
}

function told(id: string): string[] {
  const status = runsc.status(id)
  return /^\w+$/.test(status) ? [] : [`${id}: ${status}`]
}

function removed(id: string): string[] {
  const { status, output } = runsc.now('delete', '--force', id)
  const gone = runsc.status(id)
  const wrong = status === 0 && output === '' ? [] : [`delete --force ${id}: ${status} ${output}`]
  return gone === 'none' ? wrong : [...wrong, `${id} after delete --force: ${gone}`]
}

/** The id can be used again in a pod that lives on, and nothing but the others is left then. */
async function again(others: readonly Process[]): Promise<string[]> {
  await runsc.must(runDetached)
  const wrong = [...alive(ID), ...removed(ID)]
  // A sentry keeps one process ready for the next program.
  const known = new Set(others.map(({ pid }) => pid))
  const left = () => processes().filter(({ pid, comm }) => !known.has(pid) && comm !== 'stub')
  const stubs = () => processes().filter(MEMBERS['a stub']).length
  const most = others.filter(MEMBERS['a stub']).length + 1
  if (!(await until(() => left().length === 0 && stubs() <= most))) {
    wrong.push(...left().map(({ pid, comm, line }) => `process ${pid} (${comm}) ${line}`))
    wrong.push(`${stubs()} stubs`)
  }
  return wrong
}

async function round(step: string, { member, of, survive }: Victim): Promise<string[]> {
  const pods = await runs(POD, ...bundle(0))
  const mates = await runs(MATE, ...bundle(1))
  const others = processes()
  const { before, args } = STEPS[step]!
  for (const words of before) await runsc.must(words)
  const own = { 'the pod': pods, 'the mate': mates, 'the container': null }[of]
  const known = new Set((own ?? others).map(({ pid }) => pid))
  const child = runsc.start(args)
  if (await strike.at(step, member, child, ({ pid }) => known.has(pid) === (own !== null))) killed++
  const wrong = (await ended(child)) ? [] : [`${step} hangs`]
  for (const id of survive) wrong.push(...alive(id))
  for (const id of [ID, MATE, POD]) wrong.push(...told(id))
  wrong.push(...removed(ID))
  if (survive.includes(MATE)) wrong.push(...(await again(others)))
  for (const id of survive) wrong.push(...alive(id))
  // In any order: the pod's own may go first.
  for (const id of chance.random() < 0.5 ? [MATE, POD] : [POD, MATE]) wrong.push(...removed(id))
  return wrong
}

let killed = 0
const strike = new Strike(chance)
for (let i = 0; i < Number(rounds); i++) {
  const step = chance.pick(Object.keys(STEPS))
  const victim = VICTIMS[i % VICTIMS.length]!
  const before = mounts()
  const wrong = await round(step, victim)
  wrong.push(...(await leftovers(runsc.root, word, before)), ...files())
  for (const line of wrong)
    console.log(`round ${i}, ${step}, ${victim.member} of ${victim.of} killed: ${line}`)
  for (const { pid } of processes()) kill(pid)
}
console.log(`over: ${rounds} rounds, ${killed} killed`)
process.exit(0)
