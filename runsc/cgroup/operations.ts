// What engines do with a container's cgroup while it lives: update, events, pause and resume.

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { post, request, requestNow } from '../control.ts'
import { CliError } from '../errors.ts'
import { isAlive, type StateStore, type Status, statusOf } from '../state.ts'
import { ContainerCgroup } from './container-cgroup.ts'
import { ignoredResources, parseResources, type Resources } from './resources.ts'
import { sandboxLimits } from './sandbox-limits.ts'
import { oomKills, readStats } from './stats.ts'

/** How soon an OOM kill is told: version 1 has no file that can be watched without an eventfd of our own. */
const OOM_POLL_MS = 200

interface Live {
  cgroup: ContainerCgroup
  status: Status
}

/** The container's cgroup, if the container is not stopped. */
function live(store: StateStore, id: string, doing: string): Live {
  const status = statusOf(store.load(id))
  if (status === 'stopped') throw new CliError(`cannot ${doing} container "${id}": it is stopped`)
  const cgroup = ContainerCgroup.load(store.directory(id))
  if (cgroup === null)
    throw new CliError(
      `cannot ${doing} container "${id}": it has no cgroup (--ignore-cgroups, or the host has none)`,
    )
  return { cgroup, status }
}

/** `runsc pause`. */
export async function pauseContainer(store: StateStore, id: string): Promise<void> {
  await exclusively(store, id, async () => {
    const { cgroup, status } = live(store, id, 'pause')
    if (status === 'paused') throw new CliError(`container "${id}" is paused already`)
    await cgroup.freeze()
  })
}

/** Run `action` alone on the container; it fails as each command does when the container is not there. */
async function exclusively(
  store: StateStore,
  id: string,
  action: () => Promise<void> | void,
): Promise<void> {
  const done = await store.locked(id, async () => {
    await action()
    return true
  })
  if (done === null) store.load(id)
}

/** `runsc resume`. */
export async function resumeContainer(store: StateStore, id: string): Promise<void> {
  await exclusively(store, id, () => {
    const { cgroup, status } = live(store, id, 'resume')
    if (status !== 'paused') throw new CliError(`container "${id}" is not paused`)
    cgroup.thaw()
  })
}

/** `runsc update`. */
export async function updateContainer(
  store: StateStore,
  id: string,
  change: Resources,
): Promise<void> {
  await exclusively(store, id, async () => {
    const { cgroup, status } = live(store, id, 'update')
    await cgroup.update(change)
    const message = { command: 'limits', container: id, ...sandboxLimits(cgroup.resources) }
    // A paused sentry takes it when it goes on.
    await (status === 'paused' ? post : request)(store.controlSocket(id), message)
  })
}

/** The document of `runsc update --resources`. */
export function readResources(file: string): Resources {
  const where = file === '-' ? 'standard input' : file
  let json: unknown
  try {
    json = JSON.parse(readFileSync(file === '-' ? 0 : file, 'utf8'))
  } catch (cause) {
    throw new CliError(`update --resources ${where}: ${(cause as Error).message}`, { cause })
  }
  const resources = parseResources(json, `${where}: resources`)
  const ignored = ignoredResources(resources)
  if (ignored.length > 0)
    process.stderr.write(`runsc: ignored, as nothing here counts it: ${ignored.join(', ')}\n`)
  return resources
}

async function statsEvent(store: StateStore, id: string): Promise<Record<string, unknown>> {
  const { cgroup, status } = live(store, id, 'read statistics of')
  return { type: 'stats', id, data: readStats(cgroup, await countTasks(store, id, status)) }
}

/** The sentry's own count; the host's, which has our threads too, when it cannot answer. */
async function countTasks(store: StateStore, id: string, status: Status): Promise<number | null> {
  if (status === 'paused') return null
  try {
    const { tasks } = requestNow(store.controlSocket(id), {
      command: 'usage',
      container: id,
    }) as {
      tasks?: unknown
    }
    return typeof tasks === 'number' ? tasks : null
  } catch {
    return null
  }
}

/** `runsc events --stats`. */
export async function printStats(store: StateStore, id: string): Promise<void> {
  print(await statsEvent(store, id))
}

/** `runsc events`: statistics at each interval, and OOM kills as they come, until the container is gone. */
export async function printEvents(
  store: StateStore,
  id: string,
  intervalMs: number,
): Promise<void> {
  const { cgroup } = live(store, id, 'follow')
  let kills = oomKills(cgroup)
  let due = Date.now()
  for (;;) {
    const state = store.tryLoad(id)
    const alive = state !== null && isAlive(state)
    // Counted after that: its last process may be one that was killed.
    const now = oomKills(cgroup)
    for (; kills < now; kills++) print({ type: 'oom', id })
    if (!alive) return
    if (Date.now() >= due) {
      print(await statsEvent(store, id))
      due = Date.now() + intervalMs
    }
    await sleep(Math.max(1, Math.min(OOM_POLL_MS, due - Date.now())))
  }
}

function print(event: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}
