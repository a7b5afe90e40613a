import { setTimeout as sleep } from 'node:timers/promises'

const LIMIT_MS = 30_000

/** Wait for what others bring about. */
export async function until(what: string, test: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + LIMIT_MS; Date.now() < end; await sleep(100))
    if (await test()) return
  throw new Error(`${what}: not within ${LIMIT_MS / 1000} s`)
}
