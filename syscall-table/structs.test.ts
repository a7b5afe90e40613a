import { describe, expect, it } from 'vitest'
import { layOut, pascal } from './generate/layout.ts'
import type { Struct } from './structs/field.ts'
import * as gen from './structs.gen.ts'
import { structs } from './structs.ts'

const functions = gen as unknown as Record<string, (...args: unknown[]) => unknown>
const layouts = layOut(structs as unknown as Record<string, Struct>)

/** Overwrites the leaves of a struct by distinct values that fit every field type. */
function fill(value: Record<string, unknown>, seed: { n: number }): void {
  for (const [key, old] of Object.entries(value)) {
    if (typeof old === 'number') value[key] = seed.n = (seed.n % 120) + 1
    else if (typeof old === 'string') value[key] = `text ${seed.n}`
    else if (ArrayBuffer.isView(old)) {
      const array = old as Uint8Array
      for (let i = 0; i < array.length; i++) array[i] = (i % 120) + 1
    } else fill(old as Record<string, unknown>, seed)
  }
}

describe('generated structs', () => {
  for (const [name, layout] of layouts) {
    it(`${name} round-trips and stays in its bounds`, () => {
      const type = pascal(name)
      const bytes = new Uint8Array(layout.size + 16).fill(0xa5)
      const view = new DataView(bytes.buffer)
      const value = functions[`new${type}`]!() as Record<string, unknown>
      fill(value, { n: 0 })
      functions[`write${type}`]!(view, 8, value)
      const back = functions[`new${type}`]!() as Record<string, unknown>
      functions[`read${type}`]!(view, 8, back)
      expect(back).toEqual(value)
      expect([...bytes.subarray(0, 8), ...bytes.subarray(layout.size + 8)]).toEqual(
        new Array(16).fill(0xa5),
      )
    })

    it(`${name} leaves no byte of the buffer unwritten`, () => {
      const type = pascal(name)
      const bytes = new Uint8Array(layout.size).fill(0xa5)
      functions[`write${type}`]!(new DataView(bytes.buffer), 0, functions[`new${type}`]!())
      expect(bytes.every(byte => byte === 0)).toBe(true)
    })
  }
})

describe('64-bit fields', () => {
  const view = new DataView(new ArrayBuffer(16))

  it('keep the sign of i64', () => {
    for (const sec of [-1, -4294967296, -4294967297, 0, 2 ** 40 + 5, -(2 ** 52)]) {
      gen.writeTimespec(view, 0, { sec, nsec: 0 })
      expect(view.getBigInt64(0, true)).toBe(BigInt(sec))
      const back = gen.newTimespec()
      gen.readTimespec(view, 0, back)
      expect(back.sec).toBe(sec)
    }
  })

  it('write 2^64 (RLIM_INFINITY) as all ones and read it back', () => {
    gen.writeRlimit64(view, 0, { cur: 2 ** 64, max: 2 ** 53 - 1 })
    expect(view.getBigUint64(0, true)).toBe(2n ** 64n - 1n)
    const back = gen.newRlimit64()
    gen.readRlimit64(view, 0, back)
    expect(back).toEqual({ cur: 2 ** 64, max: 2 ** 53 - 1 })
  })

  it('keep every bit of bits64', () => {
    const event = { events: 0x80000001, dataLo: 0xfffffffe, dataHi: 0xffffffff }
    gen.writeEpollEvent(view, 0, event)
    const back = gen.newEpollEvent()
    gen.readEpollEvent(view, 0, back)
    expect(back).toEqual(event)
  })
})
