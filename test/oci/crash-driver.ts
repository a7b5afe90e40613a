// Runs in a pid and a mount namespace of its own: node crash-driver.ts RUNSC SHOP WORD ROUNDS SEED. In each round, a container of
// the bundle SHOP/bundle0 goes through a step of its life, at times with another command beside it, and somebody of it is killed
// in the middle. What the other commands say then, and what is left when it has been deleted, is printed where it is not as it
// should be.

import { emptyPlaces, leftovers, mounts, processes, seeded } from './leftovers.ts'
import { ended, kill, MEMBERS, type Member, Runsc, Strike } from './life.ts'

const [program = '', shop = '', word = '', rounds = '', seed = ''] = process.argv.slice(2)
const chance = seeded(Number(seed))
const files = emptyPlaces(shop)
const bundle = '/mnt/bundle0'
const runsc = new Runsc(program, '/mnt/crash')

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

/** What another caller may do with the container meanwhile. A paused one would let nobody end. */
const OTHERS: ((id: string) => string[])[] = [
  id => ['start', id],
  id => ['exec', id, 'true'],
  id => ['kill', id, 'KILL'],
  id => ['delete', '--force', id],
]
/** In how many rounds somebody does. */
const SHARE = 0.4

/** A step of the container is under way; the victim dies. Returns what is wrong. */
async function interrupt(id: string, step: Step, victim: Member): Promise<string[]> {
  for (const name of STEPS[step].before) await runsc.must(STEPS[name].args(id))
  const child = runsc.start(STEPS[step].args(id))
  const other = step !== 'pause' && chance.random() < SHARE ? chance.pick(OTHERS)(id) : null
  const beside = other === null ? child : runsc.start(other)
  if (await strike.at(step, victim, child)) killed++
  const wrong = (await ended(child)) ? [] : [`${step} hangs`]
  if (!(await ended(beside))) wrong.push(`${other} hangs`)
  return wrong
}

/** The other commands cope with whatever there is now. */
function inspect(id: string): string[] {
  const wrong: string[] = []
  const status = runsc.status(id)
  if (!/^\w+$/.test(status)) wrong.push(status)
  const list = runsc.now('list')
  if (list.status !== 0) wrong.push(`list: ${list.status} ${list.output}`)
  const removed = runsc.now('delete', '--force', id)
  if (removed.status !== 0 || removed.output !== '')
    wrong.push(`delete --force: ${removed.status} ${removed.output}`)
  return wrong
}

const victims = Object.keys(MEMBERS) as Member[]
let killed = 0
const strike = new Strike(chance)
for (let round = 0; round < Number(rounds); round++) {
  const id = `${word}-${round}`
  const step = chance.pick(Object.keys(STEPS) as Step[])
  const victim = victims[round % victims.length]!
  const before = mounts()
  const wrong = await interrupt(id, step, victim)
  wrong.push(...inspect(id), ...(await leftovers(runsc.root, id, before)), ...files())
  for (const line of wrong) console.log(`round ${round}, ${step}, ${victim} killed: ${line}`)
  for (const { pid } of processes()) kill(pid)
}
console.log(`over: ${rounds} rounds, ${killed} killed`)
process.exit(0)
