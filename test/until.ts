import { spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

/** For what never comes: on a busy machine much takes long. */
const LIMIT_MS = 60_000

const late = (what: string): Error => new Error(`${what}: not within ${LIMIT_MS / 1000} s`)

/** Wait for what others bring about. */
export async function until(what: string, test: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + LIMIT_MS; Date.now() < end; await sleep(100))
    if (await test()) return
  throw late(what)
}

/** The same for tests that wait for nothing else meanwhile. */
export function untilNow(what: string, test: () => boolean): void {
  for (const end = Date.now() + LIMIT_MS; Date.now() < end; spawnSync('sleep', ['0.05']))
    if (test()) return
  throw late(what)
}
