import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { temporary } from '../test/run.ts'
import { parseJson, readSpec, starterSpec } from './spec.ts'

const box = temporary('spec')
afterAll(() => box.clean())

it('what `runsc spec` writes is taken, and every field of it is known', () => {
  for (const rootless of [null, { uid: 7, gid: 8 }]) {
    const bundle = join(box.path, String(rootless?.uid ?? 'root'))
    mkdirSync(bundle)
    const spec = starterSpec({ args: ['sh'], cwd: '/', netns: '/proc/self/ns/net', rootless })
    writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec))
    const told: string[] = []
    const read = readSpec(
      bundle,
      line => told.push(line),
      field => told.push(field),
    )
    expect(told).toEqual([])
    expect(read.linux.uidMappings).toHaveLength(rootless === null ? 0 : 1)
  }
})

it('unknown fields are told', () => {
  const spec = starterSpec({ args: ['sh'], cwd: '/', rootless: null }) as Record<string, never>
  Object.assign(spec, { future: 1, gone: null })
  Object.assign(spec.process!, { more: [{ a: 1 }] })
  Object.assign(spec.mounts![0]!, { other: true })
  mkdirSync(join(box.path, 'unknown'))
  writeFileSync(join(box.path, 'unknown/config.json'), JSON.stringify(spec))
  const told: string[] = []
  readSpec(
    join(box.path, 'unknown'),
    () => {},
    field => told.push(field),
  )
  expect(told).toEqual(['process.more', 'mounts.0.other', 'future'])
})

it('operands of seccomp rules keep all their bits', () => {
  expect(parseJson('{"value": 18446744073709551615, "limit": 9223372036854771712}')).toEqual({
    value: 18446744073709551615n,
    limit: Number(9223372036854771712n),
  })
  expect(parseJson('{"value": 1.5e300}')).toEqual({ value: 1.5e300 })
})
