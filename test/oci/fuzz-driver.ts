// Runs in a pid and a mount namespace of its own: node fuzz-driver.ts RUNSC ROOT BUNDLE WORD ROUNDS SEED. In each round, the
// configuration of the bundle has a wrong value somewhere; runsc makes a container of it all the same, or tells why not in
// one line, and neither leaves anything. What is not as it should be is printed.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../run.ts'
import { leftovers, mounts, processes, seeded } from './leftovers.ts'
import { full, type Path, places, put, WRONG } from './mutations.ts'

const [runsc = '', root = '', bundle = '', word = '', rounds = '', seed = ''] =
  process.argv.slice(2)
const HANG_MS = 120_000
/** How many of the rounds have another root: one field among two hundred would hardly come. */
const ROOT_SHARE = 0.05
const { random, pick } = seeded(Number(seed))

/** A configuration that works: without what takes a terminal, or a root that belongs to somebody. */
function working(id: string): Config {
  const config = full()
  config.process.terminal = false
  config.process.cwd = '/'
  config.process.env = ['PATH=/bin']
  delete config.process.apparmorProfile
  delete config.linux.uidMappings
  delete config.linux.gidMappings
  config.linux.namespaces = config.linux.namespaces.filter(
    ({ type }: { type: string }) => type !== 'user',
  )
  config.linux.seccomp.defaultAction = 'SCMP_ACT_ALLOW'
  config.linux.cgroupsPath = `/${id}`
  config.annotations = { other: 'x' }
  config.mounts.push({ destination: '/dev', type: 'tmpfs', source: 'tmpfs' })
  // Only here may places for mounts be made: the values are ways out of the bundle, too.
  config.root.readonly = false
  return config
}

/** Places that show the host its own files as the container's root: nothing may be made there. */
const hasHostRoot = (path: Path): boolean => path[0] === 'root' && path[1] !== 'readonly'

const onAnyRoot = ({ destination }: Config): boolean => ['/proc', '/dev'].includes(destination)

function mutate(config: Config): string {
  const path = random() < ROOT_SHARE ? ['root', 'path'] : pick(places(config))
  const value = pick(WRONG)
  put(config, path, value)
  if (hasHostRoot(path)) config.mounts = config.mounts.filter(onAnyRoot)
  return `${path.join('.')} = ${JSON.stringify(value)}`
}

interface Told {
  status: number | null
  lines: string[]
}

function told(...args: string[]): Told {
  const how = { encoding: 'utf8', timeout: HANG_MS, killSignal: 'SIGKILL' } as const
  // What a created container inherits must not be a pipe that is read to its end.
  const log = join(root, '../log')
  writeFileSync(log, '')
  const { status, stderr } = spawnSync(
    'sh',
    [
      '-c',
      '"$@" 2>"$0" >/dev/null; s=$?; cat "$0" >&2; exit $s',
      log,
      runsc,
      '--root',
      root,
      ...args,
    ],
    how,
  )
  return { status, lines: stderr.split('\n').filter(line => line !== '') }
}

/** What runsc says beside its one line. */
const warning = (line: string): boolean => line.startsWith('runsc: warning: ')

function wrongWith(what: string, { status, lines }: Told): string[] {
  const errors = lines.filter(line => !warning(line))
  if (status === null) return [`${what} hangs`]
  if (errors.some(line => line.length > 1000)) return [`${what}: a long line`]
  if (status === 0) return errors.map(line => `${what} has worked, and says ${line}`)
  return errors.length === 1
    ? []
    : [`${what}: ${status}, ${errors.length} lines: ${errors.join(' | ')}`]
}

for (let round = 0; round < Number(rounds); round++) {
  const id = `${word}-${round}`
  const config = working(id)
  const what = round === 0 ? 'nothing' : mutate(config)
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(config))
  const before = mounts()
  const step = round === 0 || random() < 0.5 ? 'run' : 'create'
  const first = told(step, '-b', bundle, id)
  const wrong = wrongWith(step, first)
  if (round === 0 && first.status !== 0) wrong.push(`does not work: ${first.lines.join(' | ')}`)
  if (step === 'create' && first.status === 0)
    wrong.push(...wrongWith('delete', told('delete', '--force', id)))
  wrong.push(...(await leftovers(root, id, before)))
  for (const line of wrong) console.log(`round ${round}, ${what}: ${line}`)
  for (const { pid } of processes()) process.kill(pid, 'SIGKILL')
}
console.log(`over: ${rounds} rounds`)
process.exit(0)
