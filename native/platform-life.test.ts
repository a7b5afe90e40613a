// Random lives of many processes and threads: whatever happens in whatever order, every event is accounted for.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EV_DEAD, EV_OPS_FAILED, WAIT_TIMEOUT } from '../sentry/platform.ts'
import type { SystrapThread } from './systrap-context.ts'
import { buildPrograms, Machine, PLATFORM_KINDS, PROGRAMS } from './test/machine.ts'

const root = process.getuid?.() === 0
if (!root) console.log('skipped: the platform tests need root')

/** A small generator with a fixed seed, so that a failure can be repeated. */
function random(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

interface Life {
  thread: SystrapThread
  /** All the threads of one host process share this. */
  group: Set<Life>
  stopped: boolean
}

class Lives {
  readonly m: Machine
  readonly pick: (below: number) => number
  readonly all = new Map<number, Life>()
  events = 0

  constructor(m: Machine, seed: number) {
    this.m = m
    this.pick = random(seed)
  }

  add(thread: SystrapThread, group: Set<Life>, stopped: boolean): Life {
    const life = { thread, group, stopped }
    group.add(life)
    this.all.set(thread.id, life)
    return life
  }

  forget(life: Life): void {
    life.group.delete(life)
    this.all.delete(life.thread.id)
    this.m.platform.release(life.thread)
  }

  /** Take one event, if there is one soon. */
  event(): void {
    const { platform } = this.m
    const id = platform.wait(Number(process.hrtime.bigint()) + 2e6)
    if (id === WAIT_TIMEOUT) return
    const life = this.all.get(id)
    if (life === undefined) throw new Error(`event of unknown thread ${id}`)
    if (life.stopped) throw new Error(`second event of stopped thread ${id}`)
    this.events++
    if (life.thread.event === EV_DEAD) {
      this.forget(life)
      return
    }
    if (life.thread.event === EV_OPS_FAILED)
      throw new Error(`op failed: ${life.thread.failedErrno}`)
    life.stopped = true
  }

  /** Do one thing to a stopped thread. */
  act(life: Life): void {
    const { platform } = this.m
    const what = this.all.size > 40 ? 5 + this.pick(5) : this.pick(40)
    const ops = platform.ops(life.thread)
    life.stopped = false
    if (what === 0) {
      const child = this.m.newThread()
      ops.fork(child)
      this.add(child, new Set(), false)
    } else if (what === 1 || what === 2) {
      const child = this.m.newThread()
      ops.cloneThread(child, what === 1, 0, 0)
      this.add(child, what === 1 ? life.group : new Set(), false)
    } else if (what === 3) {
      // Threads that share memory may do this at once.
      const at = 0x10000000 + life.thread.id * 65536
      ops.mmap(at, 65536, 3, 0x22, -1, 0)
      ops.madvise(at, 65536, 4)
      ops.munmap(at, 65536)
    } else if (what === 5 || what === 6) {
      ops.exitThread()
      platform.resume(life.thread, 0)
      this.forget(life)
      return
    } else if (what === 7 && this.all.size > 10) {
      platform.kill(life.thread)
      for (const member of [...life.group]) this.forget(member)
      return
    }
    platform.resume(life.thread, 0)
    if (what === 8) platform.interrupt(life.thread)
  }

  run(events: number): void {
    while (this.events < events) {
      this.event()
      const stopped = [...this.all.values()].filter(life => life.stopped)
      for (const life of stopped) if (this.pick(3) > 0) this.act(life)
      if (this.all.size < 3) this.start()
    }
  }

  start(): void {
    const thread = this.m.newThread()
    if (this.m.platform.spawn(thread) < 0) throw new Error('spawn')
    this.add(thread, new Set(), false)
  }

  end(): void {
    for (const life of [...this.all.values()]) {
      if (!this.all.has(life.thread.id)) continue
      this.m.platform.kill(life.thread)
      for (const member of [...life.group]) this.forget(member)
    }
  }
}

describe.runIf(root).each(PLATFORM_KINDS)('random lives on %s', kind => {
  let m: Machine
  beforeAll(() => {
    m = new Machine(buildPrograms(), false, -1, kind)
  })
  afterAll(() => m.platform.close())

  for (const seed of [1, 2, 3]) {
    it(`seed ${seed}`, () => {
      const lives = new Lives(m, seed)
      for (let i = 0; i < 4; i++) {
        lives.add(m.load(PROGRAMS.pidLoop), new Set(), true)
      }
      lives.run(2500)
      lives.end()
      expect(m.platform.wait(Number(process.hrtime.bigint()) + 5e7)).toBe(WAIT_TIMEOUT)
      // Every context came back; the zygote and, on systrap, the process that waits for the next exec have one each.
      const contexts: SystrapThread[] = []
      for (;;) {
        const thread = m.platform.newThread()
        if (typeof thread === 'number') break
        contexts.push(thread)
      }
      expect(contexts.length).toBe(kind === 'systrap' ? 4094 : 4095)
      for (const thread of contexts) m.platform.release(thread)
    })
  }
})
