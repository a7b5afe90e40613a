// All features of Docker that the tests know, and the comparison of runtimes: npm run features [-- RUNTIME...] [-t WORD]...
// prints a table of ours, gVisor's and runc's answers, and why a row fails.

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gvisorProgram } from '../bench/peers.ts'
import { runsc } from '../run.ts'
import { debianTree } from '../setup.ts'
import { DEBIAN, Docker, Engine, type Row, type Runtime } from './engine.ts'
import { execRows } from './rows/exec.ts'
import { fileRows } from './rows/files.ts'
import { lifeRows } from './rows/life.ts'
import { networkRows } from './rows/network.ts'
import { programRows } from './rows/program.ts'

export const ROWS: readonly Row[] = [
  ...lifeRows,
  ...execRows,
  ...fileRows,
  ...programRows,
  ...networkRows,
]
export const OURS: Runtime = { name: 'runsc', path: runsc }

/** Why the row fails under this runtime, or null. */
export async function failure(row: Row, docker: Docker): Promise<string | null> {
  try {
    await row.test(docker)
    return null
  } catch (error) {
    return (error as Error).message
  } finally {
    docker.clean()
  }
}

/**
 * gVisor refuses a network of its own where it can see a tunable of the host's in every namespace (Linux 6.11 and
 * newer, google/gvisor#10704): a private copy looks at another one.
 */
export function gvisor(engine: Engine): Runtime[] {
  const { program, missing } = gvisorProgram()
  if (missing !== null) {
    process.stderr.write(`without gVisor: ${missing}\n`)
    return []
  }
  const [tunable, other] = ['/proc/sys/net/core/rmem_default', '/proc/sys/net/core/./dev_weight']
  const text = readFileSync(program, 'latin1').replaceAll(tunable, other)
  const path = engine.path('gvisor')
  writeFileSync(path, text, { encoding: 'latin1', mode: 0o755 })
  return [{ name: 'gvisor', path, args: ['--platform=systrap'] }]
}

async function compare(names: readonly string[], words: readonly string[]): Promise<void> {
  const engine = new Engine()
  const wanted = (name: string) => names.length === 0 || names.includes(name)
  const runtimes = [OURS, ...(wanted('gvisor') ? gvisor(engine) : []), { name: 'runc', path: null }]
  const columns = runtimes.filter(({ name }) => wanted(name))
  const failures: string[] = []
  const passed = columns.map(() => 0)
  const rows = ROWS.filter(
    ({ name }) => words.length === 0 || words.some(word => name.includes(word)),
  )
  try {
    await engine.start(runtimes)
    if (rows.some(({ needs }) => needs?.includes('debian'))) engine.importTree(debianTree(), DEBIAN)
    console.log(`| feature | ${columns.map(({ name }) => name).join(' | ')} |`)
    console.log(`|---|${columns.map(() => '---|').join('')}`)
    for (const row of rows) {
      const cells: string[] = []
      for (const [i, { name }] of columns.entries()) {
        const why = await failure(row, new Docker(engine, name))
        if (why === null) passed[i]!++
        else failures.push(`${name}: ${row.name}: ${why}`)
        cells.push(why === null ? 'ok' : 'FAILS')
      }
      console.log(`| ${row.name} | ${cells.join(' | ')} |`)
    }
    console.log(`| of ${rows.length} | ${passed.join(' | ')} |`)
    for (const text of failures) console.log(`\n${text}`)
  } finally {
    await engine.stop('something')
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  // Words may begin with a dash, which parseArgs does not take.
  const [names, words]: [string[], string[]] = [[], []]
  const args = process.argv.slice(2)
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '-t') words.push(args[++i] ?? '')
    else names.push(args[i]!)
  }
  await compare(names, words)
}
