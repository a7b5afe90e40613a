import { describe, expect, test } from 'vitest'
import { EEXIST, EINVAL, ENOMEM } from '../../syscall-table/errno.ts'
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_GROWSDOWN,
  MAP_PRIVATE,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
} from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { Tunables } from '../kernel/tunables.ts'
import type { Platform } from '../platform.ts'
import { Mm } from './mm.ts'
import { protect } from './protect.ts'
import { remap, setBrk } from './remap.ts'

const RW = PROT_READ | PROT_WRITE
const ANON = MAP_PRIVATE | MAP_ANONYMOUS
const RESERVED = { start: 0x6000_0000_0000, end: 0x6000_1000_0000 }

/** A task with just what memory management looks at, on a platform that records the host calls. */
function setUp() {
  const calls: (string | number)[][] = []
  const ops = new Proxy(
    {},
    {
      get:
        (_, name: string) =>
        (...args: number[]) =>
          calls.push([name, ...args]),
    },
  )
  const platform = {
    minAddr: 0x10000,
    maxAddr: 0x7fff_f000_0000,
    reserved: [RESERVED],
    ops: () => ops,
    interrupt: (thread: unknown) => calls.push(['interrupt', thread as number]),
  } as unknown as Platform
  const mm = new Mm(platform)
  const newTask = (id: number) =>
    ({
      state: 0,
      events: 0,
      eventQueue: null,
      thread: id,
      opsFailure: null,
      mm,
      kernel: { platform, tunables: new Tunables() },
      creds: { capable: () => true },
      group: {
        rlimits: Array.from({ length: 16 }, () => ({ cur: Number.POSITIVE_INFINITY, max: 0 })),
      },
      block: () => -600,
    }) as unknown as Task
  return { mm, calls, task: newTask(1), other: newTask(2) }
}

function layout(mm: Mm): [number, number, number][] {
  const areas: [number, number, number][] = []
  for (let i = 0; i < mm.vmas.count; i++) {
    const { start, end, prot } = mm.vmas.at(i)!
    areas.push([start, end, prot])
  }
  return areas
}

describe('address space', () => {
  test('maps downwards, joins neighbours and finds freed space again', () => {
    const { mm, task, calls } = setUp()
    const top = mm.mmapBase
    expect(mm.map(task, 0, 5000, RW, ANON, null, 0)).toBe(top - 8192)
    expect(mm.map(task, 0, 4096, RW, ANON, null, 0)).toBe(top - 12288)
    expect(layout(mm)).toEqual([[top - 12288, top, RW]])
    expect(mm.unmap(task, top - 8192, 4096)).toBe(0)
    expect(mm.map(task, 0, 8192, RW, ANON, null, 0)).toBe(top - 20480)
    expect(mm.map(task, 0, 4096, PROT_READ, ANON, null, 0)).toBe(top - 8192)
    expect(mm.vmas.totalPages).toBe(5)
    expect(calls.at(-1)).toEqual(['mmap', top - 8192, 4096, PROT_READ, ANON | MAP_FIXED, -1, 0])
  })

  test('fixed mappings replace, refuse and respect the platform', () => {
    const { mm, task } = setUp()
    const at = 0x40_0000
    expect(mm.map(task, at, 0x3000, RW, ANON | MAP_FIXED, null, 0)).toBe(at)
    expect(mm.map(task, at + 0x1000, 0x1000, PROT_READ, ANON | MAP_FIXED, null, 0)).toBe(
      at + 0x1000,
    )
    expect(layout(mm)).toEqual([
      [at, at + 0x1000, RW],
      [at + 0x1000, at + 0x2000, PROT_READ],
      [at + 0x2000, at + 0x3000, RW],
    ])
    expect(mm.map(task, at, 0x1000, RW, ANON | MAP_FIXED_NOREPLACE, null, 0)).toBe(-EEXIST)
    expect(mm.map(task, at + 1, 0x1000, RW, ANON | MAP_FIXED, null, 0)).toBe(-EINVAL)
    expect(mm.map(task, RESERVED.start, 0x1000, RW, ANON | MAP_FIXED, null, 0)).toBe(-ENOMEM)
    expect(mm.map(task, at, 0x1000, RW, MAP_ANONYMOUS, null, 0)).toBe(-EINVAL)
    expect(mm.map(task, at, 0, RW, ANON, null, 0)).toBe(-EINVAL)
  })

  test("munmap leaves the platform's holes alone", () => {
    const { mm, task, calls } = setUp()
    const below = RESERVED.start - 0x1000
    mm.map(task, below, 0x1000, RW, ANON | MAP_FIXED, null, 0)
    mm.map(task, RESERVED.end, 0x1000, RW, ANON | MAP_FIXED, null, 0)
    calls.length = 0
    expect(mm.unmap(task, 0x10000, 0x7000_0000_0000)).toBe(0)
    expect(calls).toEqual([
      ['munmap', below, 0x1000],
      ['munmap', RESERVED.end, 0x1000],
    ])
    expect(mm.vmas.count).toBe(0)
  })

  test('mprotect splits, stops at a hole and is undone', () => {
    const { mm, task } = setUp()
    const at = 0x40_0000
    mm.map(task, at, 0x4000, RW, ANON | MAP_FIXED, null, 0)
    expect(protect(task, mm, at + 0x1000, 0x1000, PROT_NONE)).toBe(0)
    expect(mm.vmas.count).toBe(3)
    expect(task.opsFailure!.onOpsFailed(task, 0, ENOMEM)).toBe(-ENOMEM)
    expect(layout(mm)).toEqual([[at, at + 0x4000, RW]])
    expect(protect(task, mm, at + 0x3000, 0x2000, PROT_READ)).toBe(-ENOMEM)
    expect(mm.vmas.count).toBe(2)
    expect(mm.vmas.dataPages).toBe(3)
  })

  test('mremap grows in place, moves, shrinks, and is undone', () => {
    const { mm, task } = setUp()
    const at = 0x40_0000
    mm.map(task, at, 0x2000, RW, ANON | MAP_FIXED, null, 0)
    expect(remap(task, mm, at, 0x2000, 0x3000, 0, 0)).toBe(at)
    expect(layout(mm)).toEqual([[at, at + 0x3000, RW]])
    mm.map(task, at + 0x3000, 0x1000, PROT_READ, ANON | MAP_FIXED, null, 0)
    expect(remap(task, mm, at, 0x3000, 0x4000, 0, 0)).toBe(-ENOMEM)
    const moved = remap(task, mm, at, 0x3000, 0x4000, MREMAP_MAYMOVE, 0)
    expect(moved).toBe(mm.mmapBase - 0x4000)
    expect(mm.vmas.find(at)).toBeUndefined()
    expect(task.opsFailure!.onOpsFailed(task, 0, ENOMEM)).toBe(-ENOMEM)
    expect(layout(mm)).toEqual([
      [at, at + 0x3000, RW],
      [at + 0x3000, at + 0x4000, PROT_READ],
    ])
    expect(remap(task, mm, at, 0x3000, 0x1000, MREMAP_MAYMOVE | MREMAP_FIXED, 0x80_0000)).toBe(
      0x80_0000,
    )
    expect(layout(mm)).toEqual([
      [at + 0x3000, at + 0x4000, PROT_READ],
      [0x80_0000, 0x80_1000, RW],
    ])
    expect(mm.vmas.totalPages).toBe(2)
  })

  test('brk grows, shrinks and refuses to run into a mapping', () => {
    const { mm, task } = setUp()
    mm.brkStart = mm.brk = 0x50_0123
    expect(setBrk(task, mm, 0)).toBe(0x50_0123)
    expect(setBrk(task, mm, 0x50_3000)).toBe(0x50_3000)
    expect(layout(mm)).toEqual([[0x50_1000, 0x50_3000, RW]])
    expect(mm.vmaName(mm.vmas.at(0)!)).toBe('[heap]')
    mm.map(task, 0x50_5000, 0x1000, PROT_EXEC, ANON | MAP_FIXED, null, 0)
    expect(setBrk(task, mm, 0x50_5000)).toBe(0x50_3000)
    expect(setBrk(task, mm, 0x50_1800)).toBe(0x50_1800)
    expect(mm.vmas.find(0x50_2000)).toBeUndefined()
    expect(setBrk(task, mm, 0x50_2000)).toBe(0x50_2000)
  })

  test('a stack grows on a fault but keeps its distance', () => {
    const { mm, task } = setUp()
    const at = 0x4000_0000
    mm.map(task, at, 0x1000, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, null, 0)
    expect(mm.growStack(task, at - 8)).toBe(true)
    expect(mm.vmas.at(0)!.start).toBe(at - (256 << 10))
    mm.map(task, at - 0x18_0000, 0x1000, RW, ANON | MAP_FIXED, null, 0)
    expect(mm.growStack(task, at - 0x10_0000)).toBe(false)
    expect(mm.growStack(task, at + 0x5000)).toBe(false)
  })

  test('a range with host calls of another thread under way is left alone', () => {
    const { mm, task, other, calls } = setUp()
    mm.users = 2
    const addr = mm.map(task, 0, 0x1000, RW, ANON, null, 0)
    task.events++
    expect(mm.unmap(task, addr, 0x1000)).toBe(0)
    const next = mm.map(other, 0, 0x1000, RW, ANON, null, 0)
    expect(next).toBe(addr - 0x1000)
    other.events++
    expect(mm.map(other, addr, 0x1000, RW, ANON | MAP_FIXED, null, 0)).toBe(-600)
    expect(calls.at(-1)).toEqual(['interrupt', 1])
    task.events++
    expect(mm.map(other, addr, 0x1000, RW, ANON | MAP_FIXED, null, 0)).toBe(addr)
  })

  test('random calls agree with a page table', () => {
    const { mm, task } = setUp()
    const pages = new Map<number, number>()
    const base = 0x100_0000
    let seed = 12345
    const random = (n: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
      return Math.floor((seed / 2 ** 32) * n)
    }
    for (let step = 0; step < 5000; step++) {
      const start = random(64)
      const count = 1 + random(12)
      const addr = base + start * 4096
      const prot = random(4)
      const kind = random(3)
      if (kind === 0) {
        mm.map(task, addr, count * 4096, prot, ANON | MAP_FIXED, null, 0)
        for (let i = 0; i < count; i++) pages.set(start + i, prot)
      } else if (kind === 1) {
        mm.unmap(task, addr, count * 4096)
        for (let i = 0; i < count; i++) pages.delete(start + i)
      } else {
        const n = protect(task, mm, addr, count * 4096, prot)
        let whole = true
        for (let i = 0; i < count && whole; i++) {
          whole = pages.has(start + i)
          if (whole) pages.set(start + i, prot)
        }
        expect(n).toBe(whole ? 0 : -ENOMEM)
      }
      for (let i = 0; i < 80; i++) {
        if (mm.vmas.find(base + i * 4096)?.prot !== pages.get(i))
          expect.fail(`page ${i} at step ${step}`)
      }
      expect(mm.vmas.totalPages).toBe(pages.size)
    }
  })
})
