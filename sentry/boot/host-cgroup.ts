// The sandbox's place on the host: its cgroup, and who is killed when memory runs out.

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

/** Enter the container's cgroup, with all threads. Our code is loaded by now and does not count for the container. */
export function enterCgroups(entrances: readonly number[]): void {
  for (const fd of entrances) {
    writeSync(fd, '0')
    closeSync(fd)
  }
}

const OOM_SCORE = '/proc/self/oom_score_adj'

/** Our own oom_score_adj, which children inherit. Opened as long as /proc is there. */
export class OomScoreFile {
  readonly #fd = openSync(OOM_SCORE, 'w')
  readonly #before = readFileSync(OOM_SCORE, 'latin1').trim()

  set(value: number): void {
    writeSync(this.#fd, String(value))
  }

  /** A score may go back to what it was also without rights. */
  restore(): void {
    writeSync(this.#fd, this.#before)
    closeSync(this.#fd)
  }
}
