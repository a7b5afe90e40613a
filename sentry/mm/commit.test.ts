import { beforeEach, expect, it } from 'vitest'
import { ENOMEM } from '../../syscall-table/errno.ts'
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../../syscall-table/flags.ts'
import { boot, type TestTask } from '../../test/kernel.ts'
import { commitLimitPages, committedPages, OVERCOMMIT_NEVER } from './commit.ts'

let k: TestTask
beforeEach(() => {
  k = boot()
  k.kernel.memoryBytes = 64 << 20
})

const map = (task: TestTask, pages: number, prot = PROT_READ | PROT_WRITE): number =>
  task.task.mm.map(task.task, 0, pages * 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, null, 0)

it('promises all programs together no more than the limit', () => {
  const { kernel } = k
  kernel.tunables.overcommitMemory = OVERCOMMIT_NEVER
  expect(commitLimitPages(kernel)).toBe(8192)
  const before = committedPages(kernel)
  const child = k.fork()
  expect(map(k, 4000 - before)).toBeGreaterThan(0)
  expect(map(child, 4000)).toBeGreaterThan(0)
  expect(committedPages(kernel)).toBeGreaterThanOrEqual(8000)
  expect(map(k, 300)).toBe(-ENOMEM)
  // What cannot be written is no promise.
  expect(map(k, 300, PROT_READ)).toBeGreaterThan(0)
  kernel.tunables.overcommitKbytes = 4 * 16384
  expect(map(k, 300)).toBeGreaterThan(0)
  kernel.tunables.overcommitKbytes = 4
  kernel.tunables.overcommitMemory = 0
  expect(map(k, 300)).toBeGreaterThan(0)
})
