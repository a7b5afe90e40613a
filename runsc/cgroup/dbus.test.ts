import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { temporary } from '../../test/run.ts'
import { completeTypes, decode, encodeCall, messageSize, Reader, Writer } from './dbus.ts'
import { parseResources } from './resources.ts'
import { setUnit, startUnit, stopUnit, unitProperties } from './systemd.ts'

const box = temporary('dbus')
const servers: Server[] = []
afterAll(() => {
  for (const server of servers) server.close()
  box.clean()
})

const METHOD_RETURN = 2
const ERROR = 3
const SIGNAL = 4

function encode(
  type: number,
  fields: [number, [string, unknown]][],
  signature: string,
  body: unknown[],
) {
  const content = new Writer()
  completeTypes(signature).forEach((part, i) => {
    content.write(part, body[i])
  })
  const header = new Writer()
  for (const byte of ['l'.charCodeAt(0), type, 0, 1]) header.write('y', byte)
  header.write('u', content.bytes.length)
  header.write('u', 99)
  header.write('a(yv)', [...fields, [8, ['g', signature]]])
  header.align(8)
  return Buffer.concat([header.bytes, content.bytes])
}

interface Call {
  member: string
  body: unknown[]
}

/** A manager that ends each job with `result`, and refuses what `refuse` names. */
async function manager(
  name: string,
  result = 'done',
  refuse = '',
): Promise<{ path: string; calls: Call[] }> {
  const path = join(box.path, name)
  const calls: Call[] = []
  const answer = (socket: Socket, call: Call & { serial: number }) => {
    calls.push({ member: call.member, body: call.body })
    if (call.member === refuse) {
      const fields: [number, [string, unknown]][] = [
        [4, ['s', 'org.freedesktop.systemd1.NoSuchUnit']],
        [5, ['u', call.serial]],
      ]
      return socket.write(encode(ERROR, fields, 's', ['Unit is not loaded.']))
    }
    if (!/^(Start|Stop)/.test(call.member))
      return socket.write(encode(METHOD_RETURN, [[5, ['u', call.serial]]], '', []))
    // The signal may come before the answer, and others in between.
    const signal = (member: string, job: string) =>
      encode(
        SIGNAL,
        [
          [1, ['o', '/x']],
          [3, ['s', member]],
        ],
        'uoss',
        [1, job, 'unit', result],
      )
    socket.write(signal('JobRemoved', '/job/1'))
    socket.write(signal('UnitNew', '/job/7'))
    const bytes = Buffer.concat([
      signal('JobRemoved', '/job/7'),
      encode(METHOD_RETURN, [[5, ['u', call.serial]]], 'o', ['/job/7']),
    ])
    // In pieces, as a stream may bring it.
    socket.write(bytes.subarray(0, 21))
    return setImmediate(() => socket.write(bytes.subarray(21)))
  }
  const server = createServer(socket => {
    let input = Buffer.alloc(0)
    let greeted = false
    socket.on('data', chunk => {
      input = Buffer.concat([input, chunk])
      if (!greeted) {
        const end = input.indexOf('BEGIN\r\n')
        if (end < 0) return
        expect(input.toString('latin1', 0, end)).toMatch(/^\0AUTH EXTERNAL [0-9a-f]+\r\n$/)
        greeted = true
        input = input.subarray(end + 7)
        socket.write('OK 1234\r\n')
      }
      for (let size = messageSize(input); size > 0; size = messageSize(input)) {
        const bytes = input.subarray(0, size)
        const { member, body } = decode(bytes)
        answer(socket, { member, body, serial: bytes.readUInt32LE(8) })
        input = input.subarray(size)
      }
    })
  })
  servers.push(server)
  await new Promise<void>(done => server.listen(path, done))
  return { path, calls }
}

const unit = { slice: 'a.slice', unit: 'p-n.scope', path: '/a.slice/p-n.scope' }
const properties = (resources: unknown, version: 1 | 2 = 2) =>
  unitProperties(version, parseResources(resources, 'x'), n => n + 50)

describe('messages', () => {
  it('are laid out as the specification has it', () => {
    const target = { destination: 'a.b', path: '/a', interface: 'c.d' }
    expect(Buffer.from(encodeCall(1, target, 'Hi', 'y', [7])).toString('hex')).toBe(
      [
        '6c010001 01000000 01000000 47000000', // little-endian, call, flags, version, body, serial, fields
        '01016f00 02000000 2f610000 00000000', // path "/a"
        '06017300 03000000 612e6200 00000000', // destination "a.b"
        '02017300 03000000 632e6400 00000000', // interface "c.d"
        '03017300 02000000 48690000 00000000', // member "Hi"
        '08016700 017900 00', // signature "y", padding
        '07',
      ]
        .join('')
        .replaceAll(' ', ''),
    )
  })

  it('come back as they were', () => {
    const values: [string, unknown][] = [
      [
        'a(sv)',
        [
          ['x', 5],
          ['y', 'text'],
        ],
      ],
      ['au', [1, 2, 3]],
      ['as', []],
      ['t', 2 ** 40],
      ['(sb)', ['z', 1]],
    ]
    for (const [type, value] of values) {
      const writer = new Writer()
      const given =
        type === 'a(sv)'
          ? [
              ['x', ['u', 5]],
              ['y', ['s', 'text']],
            ]
          : value
      writer.write(type, given)
      expect(new Reader(Buffer.from(writer.bytes)).read(type), type).toEqual(value)
    }
  })

  it('that are cut off or too long are refused', () => {
    expect(() => new Reader(Buffer.from([255, 0, 0, 0, 1])).read('s')).toThrow('cut off')
    const huge = Buffer.alloc(16)
    huge.write('l')
    huge.writeUInt32LE(2 ** 31, 4)
    expect(() => messageSize(huge)).toThrow('too long')
    expect(() => completeTypes('a(s')).toThrow('not complete')
  })
})

describe('the systemd driver', () => {
  it('starts, changes and stops a scope', async () => {
    const { path, calls } = await manager('good')
    const sockets = { private: path, bus: '/nowhere' }
    const limits = properties({
      memory: { limit: 1000 },
      pids: { limit: 5 },
      cpu: { quota: 25_500, period: 50_000 },
    })
    await startUnit(unit, 'n', 42, limits, sockets)
    await setUnit(unit.unit, properties({ memory: { limit: -1 } }), sockets)
    await stopUnit(unit.unit, sockets)
    expect(calls.map(call => call.member)).toEqual([
      'Subscribe',
      'StartTransientUnit',
      'SetUnitProperties',
      'Subscribe',
      'StopUnit',
      'ResetFailedUnit',
    ])
    const [name, mode, given] = calls[1]!.body as [string, string, [string, unknown][]]
    expect([name, mode]).toEqual(['p-n.scope', 'replace'])
    expect(Object.fromEntries(given)).toMatchObject({
      Slice: 'a.slice',
      Delegate: 1,
      PIDs: [42],
      MemoryMax: 1000,
      TasksMax: 55,
      CPUQuotaPerSecUSec: 510_000,
    })
    expect(calls[2]!.body).toEqual(['p-n.scope', 1, [['MemoryMax', 2 ** 64]]])
  })

  it('tells why a unit does not start', async () => {
    const { path } = await manager('failing', 'failed')
    const sockets = { private: path, bus: '/nowhere' }
    await expect(startUnit(unit, 'n', 1, [], sockets)).rejects.toThrow(
      '--systemd-cgroup: start p-n.scope: the job ended with "failed"',
    )
    await expect(stopUnit(unit.unit, { private: '/nowhere', bus: '/nowhere' })).rejects.toThrow(
      'ENOENT',
    )
  })

  it('takes a unit that is gone for stopped', async () => {
    const { path, calls } = await manager('gone', 'done', 'StopUnit')
    await stopUnit(unit.unit, { private: path, bus: '/nowhere' })
    expect(calls.at(-1)!.member).toBe('ResetFailedUnit')
  })

  it('names limits as the version of the host has them', () => {
    const resources = {
      memory: { limit: 9, reservation: 4 },
      cpu: { shares: 1024 },
      blockIO: { weight: 20 },
    }
    expect(properties(resources, 1).map(([name]) => name)).toEqual([
      'MemoryLimit',
      'CPUShares',
      'BlockIOWeight',
    ])
    expect(properties(resources, 2).map(([name]) => name)).toEqual([
      'MemoryMax',
      'MemoryLow',
      'CPUWeight',
    ])
  })
})
