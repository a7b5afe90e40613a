import { expect, it } from 'vitest'
import { collectGarbage, heapLimit, heapUsed } from '../../native/index.ts'
import { type Heap, KernelMemory } from './memory.ts'

class FakeHeap implements Heap {
  live = 0
  garbage = 0
  now = 0
  collections = 0
  limit() {
    return 1e9 + (192 << 20)
  }
  held() {
    return this.used()
  }
  used() {
    return this.live + this.garbage
  }
  collect() {
    this.collections++
    this.garbage = 0
    this.now += 100
  }
  nowMs() {
    return this.now
  }
}

it('refuses before the heap is full', () => {
  const heap = new FakeHeap()
  const memory = new KernelMemory(heap)
  let units = 0
  while (memory.take(10) && units < 1e9) {
    units += 10
    heap.live = units * 100
  }
  expect(heap.live).toBeGreaterThan(0.8e9)
  expect(heap.live).toBeLessThan(0.9e9)
})

it('refuses one that is too large for what is left', () => {
  const heap = new FakeHeap()
  expect(new KernelMemory(heap).take(9e6)).toBe(false)
})

it('finds garbage before it refuses, and room when there is some again', () => {
  const heap = new FakeHeap()
  const memory = new KernelMemory(heap)
  heap.live = 0.3e9
  heap.garbage = 0.6e9
  expect(memory.take(100_000)).toBe(true)
  expect(heap.collections).toBe(1)
  heap.now += 10_000
  heap.live = 0.9e9
  expect(memory.take(100_000)).toBe(false)
  heap.live = 0.1e9
  for (let i = 0; i < 100; i++) memory.take(10)
  expect(memory.take(1)).toBe(true)
})

it('spends little of its time on garbage', () => {
  const heap = new FakeHeap()
  const memory = new KernelMemory(heap)
  heap.live = 0.9e9
  for (let i = 0; i < 10_000; i++) {
    memory.take(1000)
    heap.now += 1
  }
  expect(heap.collections).toBeGreaterThan(1)
  expect(heap.collections * 100).toBeLessThan(heap.now / 10)
})

it('lets go of what a small sandbox should not keep', () => {
  const heap = new FakeHeap()
  const memory = new KernelMemory(heap)
  const look = () => {
    memory.take(60_000)
    heap.now += 10_000
    return heap.collections
  }
  heap.garbage = 0.1e9
  expect(look()).toBe(0)
  memory.bound(64 << 20)
  expect(look()).toBe(1)
  expect(look()).toBe(1)
  // What is in use cannot be given back: not tried again and again.
  heap.live = 0.1e9
  expect(look()).toBe(2)
  expect(look()).toBe(2)
  heap.garbage = 0.06e9
  expect(look()).toBe(3)
})

it('knows the real heap', () => {
  const before = heapUsed()
  let rubbish: unknown = Array.from({ length: 1e6 }, (_, i) => ({ i }))
  expect(heapUsed()).toBeGreaterThan(before + 1e7)
  expect(rubbish).toHaveLength(1e6)
  rubbish = null
  collectGarbage()
  expect(heapUsed()).toBeLessThan(before + 1e7)
  expect(heapLimit()).toBeGreaterThan(1e8)
})
