import { expect, it } from 'vitest'
import { composed } from './id-maps.ts'

it('one map after the other', () => {
  const container = [
    { disk: 100000, shown: 0, size: 1000 },
    { disk: 5000, shown: 1000, size: 10 },
  ]
  // The usual one: on disk are the container's own ids.
  expect(composed([{ disk: 0, shown: 100000, size: 65536 }], container)).toEqual([
    { disk: 0, shown: 0, size: 1000 },
  ])
  expect(composed([{ disk: 7, shown: 99990, size: 30 }], container)).toEqual([
    { disk: 17, shown: 0, size: 20 },
  ])
  expect(composed([{ disk: 0, shown: 4000, size: 200000 }], container)).toEqual([
    { disk: 96000, shown: 0, size: 1000 },
    { disk: 1000, shown: 1000, size: 10 },
  ])
  expect(composed([{ disk: 0, shown: 0, size: 10 }], container)).toEqual([])
  expect(composed(container, undefined)).toBe(container)
})
