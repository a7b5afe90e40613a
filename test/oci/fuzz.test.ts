// Every field of a full config.json with every wrong value, one at a time, in this process: each is taken, or
// refused by one line that names the field. Nothing may be made by a configuration that is refused.

import { chownSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { withAnnotations } from '../../runsc/annotations.ts'
import { deviceConfigs, sysctlConfigs } from '../../runsc/devices.ts'
import { CliError } from '../../runsc/errors.ts'
import { closeTrees, type FileOptions, openTrees } from '../../runsc/mounts.ts'
import type { GlobalOptions } from '../../runsc/options.ts'
import { parseOverlay } from '../../runsc/overlay.ts'
import { processConfig } from '../../runsc/process-config.ts'
import { seccompConfig } from '../../runsc/seccomp.ts'
import { parseJson, validateSpec } from '../../runsc/spec.ts'
import { checkSpec } from '../../runsc/spec-check.ts'
import { type Config, temporary } from '../run.ts'
import { full, get, map, places, put, WRONG } from './mutations.ts'

const box = temporary('oci-fuzz')
beforeAll(() => {
  mkdirSync(join(box.path, 'rootfs/bin'), { recursive: true })
  mkdirSync(join(box.path, 'source'))
  mkdirSync(join(box.path, 'outside'))
  symlinkSync('../outside', join(box.path, 'rootfs/link'))
  chownSync(join(box.path, 'rootfs'), map.hostID, map.hostID)
})
afterAll(() => box.clean())

const long = 'x'.repeat(10 << 20)

const options = { allowFlagOverride: false, debug: false, strace: false } as GlobalOptions

const files: FileOptions = {
  hostUds: 'none',
  overlay: parseOverlay('none'),
  rootShared: false,
  mountsShared: true,
}

/** All that runsc does with a configuration before it starts anything. */
function take(document: unknown): void {
  const spec = validateSpec(document, 'config.json')
  const warn = () => {}
  checkSpec(spec, 'config.json', warn)
  withAnnotations(options, spec.annotations, warn)
  processConfig(spec.process, spec.linux.personality?.domain ?? 'LINUX', warn)
  deviceConfigs(spec.linux.devices)
  sysctlConfigs(spec.linux.sysctl)
  seccompConfig(spec.linux.seccomp)
  closeTrees(openTrees(spec, box.path, files).attach)
}

/** Null when it was taken, or the one line. */
function refusal(document: unknown): string | null {
  try {
    take(document)
    return null
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    return error.message
  }
}

const sameKind = (a: unknown, b: unknown): boolean =>
  typeof a === typeof b && Array.isArray(a) === Array.isArray(b)

it('the full document is taken', () => {
  expect(refusal(full())).toBe(null)
})

describe('wrong values', () => {
  it('are refused by one line that names the field', () => {
    let refused = 0
    for (const path of places(full())) {
      const good = get(full(), path)
      for (const value of WRONG) {
        const document = full()
        put(document, path, value)
        const line = refusal(document)
        if (line !== null) {
          refused++
          expect(line.length).toBeLessThan(1000)
        }
        if (value === null || sameKind(good, value)) continue
        const name = path.join('.')
        expect(line ?? 'taken', `${name} = ${JSON.stringify(value)}`).toContain(name)
      }
    }
    expect(refused).toBeGreaterThan(1000)
  })

  it('may be long', () => {
    for (const path of places(full())) {
      const document = full()
      put(document, path, typeof get(full(), path) === 'string' ? `/${long}` : long)
      const line = refusal(document)
      if (line !== null) expect(line.length).toBeLessThan(30 << 20)
    }
  }, 60_000)

  it('leave nothing behind', () => {
    expect(readdirSync(box.path).sort()).toEqual(['outside', 'rootfs', 'source'])
    expect(readdirSync(join(box.path, 'outside'))).toEqual([])
    expect(readdirSync('/proc/self/fd').length).toBeLessThan(200)
  })
})

describe('a document', () => {
  it('with a key twice has the later one', () => {
    const text = JSON.stringify(full()).replace('"hostname"', '"hostname":7,"hostname"')
    expect(refusal(parseJson(text))?.slice(0, 300) ?? null).toBe(null)
  })

  it('with keys that mean something to JavaScript only is taken as any other', () => {
    const text = JSON.stringify(full()).replace(
      '"annotations":{',
      '"__proto__":{"root":1},"constructor":1,"annotations":{"__proto__":"x","constructor":"y",',
    )
    expect(refusal(parseJson(text))?.slice(0, 300) ?? null).toBe(null)
    expect(({} as Config).root).toBe(undefined)
  })

  it('that is nested deeply is refused', () => {
    const document = full()
    document.annotations = JSON.parse(`${'['.repeat(1000)}${']'.repeat(1000)}`)
    expect(refusal(document) ?? 'taken').toContain('deep')
  })
})

describe('annotations', () => {
  it.each([
    ['dev.portcullis.flag.debug', 'true', null],
    ['dev.gvisor.flag.strace', 'false', null],
    ['dev.gvisor.flag.overlay2', 'all:memory', null],
    ['dev.portcullis.flag.overlay2', 'all:memory', null],
    ['dev.portcullis.flag.overlay2', 'none', 'host only'],
    ['dev.gvisor.flag.overlay2', 'root:dir=/etc', 'host only'],
    ['dev.gvisor.flag.oci-seccomp', 'true', null],
    ['dev.gvisor.flag.oci-seccomp', 'false', 'host only'],
    ['dev.gvisor.flag.host-uds', 'open', 'host only'],
    ['dev.gvisor.flag.net-raw', 'false', null],
    ['dev.gvisor.flag.strace-log-size', 'many', 'number'],
    ['dev.gvisor.flag.qdisc', 'fifo', null],
    ['dev.portcullis.flag.qdisc', 'fifo', 'no flag'],
    ['dev.gvisor.flag.nvproxy', 'true', 'not supported'],
    ['dev.gvisor.flag.debug-log', '/etc/x', 'host only'],
    ['dev.portcullis.flag.network', 'host', 'host only'],
    ['dev.gvisor.flag.platform', 'ptrace', 'host only'],
    ['dev.portcullis.flag.root', '/', 'host only'],
    ['dev.portcullis.flag.allow-flag-override', 'true', 'host only'],
    ['dev.portcullis.flag.debug', 'maybe', 'true or false'],
    ['dev.portcullis.flag.', 'x', 'no flag'],
    ['dev.portcullis.flag.__proto__', 'x', 'no flag'],
    ['other.flag.network', 'host', null],
  ])('%s = %s', (key, value, word) => {
    const document = full()
    document.annotations = { [key]: value }
    if (word === null) expect(refusal(document)?.slice(0, 300) ?? null).toBe(null)
    else expect(refusal(document) ?? 'taken').toContain(word)
  })

  it('set more where the host allows it, but never where things are kept', () => {
    const free = { ...options, allowFlagOverride: true }
    const set = (name: string, value: string) =>
      withAnnotations(free, { [`dev.portcullis.flag.${name}`]: value }, () => {})
    expect(set('platform', 'ptrace').platform).toBe('ptrace')
    expect(() => set('platform', 'moon')).toThrow('moon')
    expect(() => set('root', '/')).toThrow('host only')
  })
})
