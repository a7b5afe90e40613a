import { Command, InvalidArgumentError } from 'commander'
import { printEvents, printStats } from '../cgroup/operations.ts'
import { StateStore } from '../state.ts'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const MAX_INTERVAL_MS = 24 * 3_600_000

/** Go's durations: "5s", "1m30s", "250ms"; seconds for gVisor. */
export function duration(given: string): number {
  const text = /^\d+$/.test(given) ? `${given}s` : given
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  const ms = parts.reduce((sum, [, n, unit]) => sum + Number(n) * UNITS[unit!]!, 0)
  const whole = parts.map(([part]) => part).join('') === text
  if (!whole || ms <= 0 || ms > MAX_INTERVAL_MS)
    throw new InvalidArgumentError('expected a duration like 5s, 250ms or 1m30s')
  return ms
}

export const eventsCommand = () =>
  new Command('events')
    .description('print what a container uses, and when its processes are killed for memory')
    .argument('<id>')
    .option('--interval <duration>', 'time between statistics', duration, 5000)
    .option('--stats', 'print the statistics once', false)
    .action(async (id: string, options: { stats: boolean; interval: number }, command: Command) => {
      const store = new StateStore(command.optsWithGlobals().root)
      if (options.stats) await printStats(store, id)
      else await printEvents(store, id, options.interval)
    })
