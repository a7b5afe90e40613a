import { Command } from 'commander'
import { readResources, updateContainer } from '../cgroup/operations.ts'
import { parseResources, type Resources } from '../cgroup/resources.ts'
import { CliError } from '../errors.ts'
import { StateStore } from '../state.ts'

/** Option name, field of the resources, help. */
const NUMBERS: readonly (readonly [string, string, string])[] = [
  ['blkio-weight', 'blockIO.weight', 'block I/O weight, from 10 to 1000'],
  ['cpu-period', 'cpu.period', 'CPU period in microseconds'],
  ['cpu-quota', 'cpu.quota', 'CPU time in each period, in microseconds'],
  ['cpu-burst', 'cpu.burst', 'unused CPU time that may be saved up, in microseconds'],
  ['cpu-idle', 'cpu.idle', '1: run only when nothing else does'],
  ['cpu-share', 'cpu.shares', 'CPU shares, relative to other containers'],
  ['cpu-rt-period', 'cpu.realtimePeriod', 'realtime period in microseconds'],
  ['cpu-rt-runtime', 'cpu.realtimeRuntime', 'realtime CPU time in each period, in microseconds'],
  ['kernel-memory', 'memory.kernel', 'obsolete: ignored'],
  ['kernel-memory-tcp', 'memory.kernelTCP', 'obsolete: ignored'],
  ['memory', 'memory.limit', 'memory limit (1024, 512k, 64m, 1g)'],
  ['memory-reservation', 'memory.reservation', 'memory that is kept for the container'],
  ['memory-swap', 'memory.swap', 'memory and swap together; -1 for no limit'],
  ['pids-limit', 'pids.limit', 'most tasks of the program; -1 for no limit'],
]
const STRINGS: readonly (readonly [string, string, string])[] = [
  ['cpuset-cpus', 'cpu.cpus', 'CPUs to use, as 0-2,7'],
  ['cpuset-mems', 'cpu.mems', 'memory nodes to use'],
]

const SUFFIXES: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1 << 20, g: 1 << 30 }

export const updateCommand = () => {
  const command = new Command('update')
    .description('change the limits of a container')
    .argument('<id>')
    .option('-r, --resources <file>', 'the resources as JSON, "-" for standard input')
  for (const [name, , help] of [...NUMBERS, ...STRINGS]) command.option(`--${name} <value>`, help)
  return command.action(async (id: string, options: Record<string, string>, self: Command) => {
    const store = new StateStore(self.optsWithGlobals().root)
    const { resources } = options
    const change = resources === undefined ? fromOptions(options) : readResources(resources)
    await updateContainer(store, id, change)
  })
}

function fromOptions(options: Record<string, string>): Resources {
  const change: Record<string, Record<string, unknown>> = {}
  const take = (name: string, field: string, convert: (text: string) => unknown) => {
    const text = options[name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())]
    if (text === undefined) return
    const [group = '', key = ''] = field.split('.')
    change[group] = { ...change[group], [key]: convert(text) }
  }
  for (const [name, field] of NUMBERS) take(name, field, text => amount(name, text))
  for (const [name, field] of STRINGS) take(name, field, text => text)
  return parseResources(change, 'update')
}

function amount(name: string, text: string): number {
  const match = /^(-?\d{1,19})([kmg]?)b?$/i.exec(text)
  if (match === null || (match[2] !== '' && !name.includes('memory')))
    throw new CliError(`update --${name}: expected a number, not "${text}"`)
  return Number(match[1]) * SUFFIXES[match[2]!.toLowerCase()]!
}
