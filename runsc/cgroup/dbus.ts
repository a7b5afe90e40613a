// A small D-Bus client: enough to call systemd's methods and to hear its signals. Source: the D-Bus specification,
// "Message Protocol" and "Authentication Protocol". Little-endian only.

import { createConnection, type Socket } from 'node:net'
import { CliError } from '../errors.ts'

/** A value with its signature, as a variant has it. */
export type Variant = readonly [signature: string, value: unknown]
/** Messages are small; a peer that announces a larger one is not systemd. */
const MAX_MESSAGE = 1 << 20
const TIMEOUT_MS = 30_000

const METHOD_CALL = 1
const METHOD_RETURN = 2
const ERROR = 3
const SIGNAL = 4

const PATH = 1
const INTERFACE = 2
const MEMBER = 3
const ERROR_NAME = 4
const REPLY_SERIAL = 5
const DESTINATION = 6
const SIGNATURE = 8

const alignmentOf = (type: string): number => {
  if ('yvg'.includes(type)) return 1
  if ('nq'.includes(type)) return 2
  return 'xtd({'.includes(type) ? 8 : 4
}

/** Split a signature into its complete types. */
export function completeTypes(signature: string): string[] {
  const types: string[] = []
  for (let at = 0; at < signature.length; ) {
    const end = endOfType(signature, at)
    types.push(signature.slice(at, end))
    at = end
  }
  return types
}

function endOfType(signature: string, at: number): number {
  if (signature[at] === 'a') return endOfType(signature, at + 1)
  const close = { '(': ')', '{': '}' }[signature[at]!]
  if (close === undefined) return at + 1
  let end = at + 1
  while (signature[end] !== close) {
    if (end >= signature.length) throw new Error(`D-Bus signature "${signature}" is not complete`)
    end = endOfType(signature, end)
  }
  return end + 1
}

/** Marshals values. */
export class Writer {
  readonly #bytes: number[] = []

  get bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes)
  }

  align(to: number): void {
    while (this.#bytes.length % to !== 0) this.#bytes.push(0)
  }

  #integer(value: number | bigint | boolean, size: number): void {
    this.align(size)
    let rest = BigInt.asUintN(size * 8, BigInt(value))
    for (let i = 0; i < size; i++, rest >>= 8n) this.#bytes.push(Number(rest & 255n))
  }

  #text(text: string, lengthSize: number): void {
    const bytes = Buffer.from(text, 'utf8')
    this.#integer(bytes.length, lengthSize)
    this.#bytes.push(...bytes, 0)
  }

  write(type: string, value: unknown): void {
    switch (type[0]) {
      case 'y':
        return this.#integer(value as number, 1)
      case 'b':
      case 'u':
        return this.#integer(value as number | boolean, 4)
      case 't':
        return this.#integer(value as number | bigint, 8)
      case 's':
      case 'o':
        return this.#text(value as string, 4)
      case 'g':
        return this.#text(value as string, 1)
      case 'v': {
        const [signature, inner] = value as Variant
        this.write('g', signature)
        return this.write(signature, inner)
      }
      case 'a':
        return this.#array(type.slice(1), value as unknown[])
      case '(':
        this.align(8)
        completeTypes(type.slice(1, -1)).forEach((part, i) => {
          this.write(part, (value as unknown[])[i])
        })
        return
      default:
        throw new Error(`cannot marshal D-Bus type "${type}"`)
    }
  }

  /** The length does not count the padding before the first element. */
  #array(type: string, values: unknown[]): void {
    this.#integer(0, 4)
    const lengthAt = this.#bytes.length - 4
    this.align(alignmentOf(type[0]!))
    const start = this.#bytes.length
    for (const value of values) this.write(type, value)
    const length = this.#bytes.length - start
    for (let i = 0; i < 4; i++) this.#bytes[lengthAt + i] = (length >>> (8 * i)) & 255
  }
}

/** Unmarshals what `Writer` can marshal. */
export class Reader {
  readonly #bytes: Buffer
  at: number

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.at = at
  }

  align(to: number): void {
    this.at = Math.ceil(this.at / to) * to
  }

  #length(size: number): number {
    this.align(size)
    const length = this.#bytes.readUIntLE(this.at, size)
    this.at += size
    if (length > this.#bytes.length - this.at) throw new Error('a D-Bus message is cut off')
    return length
  }

  #text(lengthSize: number): string {
    const length = this.#length(lengthSize)
    const text = this.#bytes.toString('utf8', this.at, this.at + length)
    this.at += length + 1
    return text
  }

  read(type: string): unknown {
    switch (type[0]) {
      case 'y':
        return this.#bytes.readUInt8(this.at++)
      case 'b':
      case 'u':
      case 'i':
        this.align(4)
        this.at += 4
        return this.#bytes.readUInt32LE(this.at - 4)
      case 'n':
      case 'q':
        this.align(2)
        this.at += 2
        return this.#bytes.readUInt16LE(this.at - 2)
      case 't':
      case 'x':
        this.align(8)
        this.at += 8
        return Number(this.#bytes.readBigUInt64LE(this.at - 8))
      case 's':
      case 'o':
        return this.#text(4)
      case 'g':
        return this.#text(1)
      case 'v':
        return this.read(this.#text(1))
      case 'a': {
        const length = this.#length(4)
        this.align(alignmentOf(type[1]!))
        const end = this.at + length
        const values: unknown[] = []
        while (this.at < end) values.push(this.read(type.slice(1)))
        return values
      }
      case '(':
      case '{':
        this.align(8)
        return completeTypes(type.slice(1, -1)).map(part => this.read(part))
      default:
        throw new Error(`cannot unmarshal D-Bus type "${type}"`)
    }
  }
}

export interface Message {
  type: number
  replySerial: number
  path: string
  interface: string
  member: string
  errorName: string
  body: unknown[]
}

/** Where a call goes. */
export interface Target {
  destination: string
  path: string
  interface: string
}

/** Build a call. */
export function encodeCall(
  serial: number,
  target: Target,
  member: string,
  signature: string,
  body: readonly unknown[],
): Uint8Array {
  const content = new Writer()
  completeTypes(signature).forEach((type, i) => {
    content.write(type, body[i])
  })
  const bytes = content.bytes
  const fields: [number, Variant][] = [
    [PATH, ['o', target.path]],
    [DESTINATION, ['s', target.destination]],
    [INTERFACE, ['s', target.interface]],
    [MEMBER, ['s', member]],
  ]
  if (signature !== '') fields.push([SIGNATURE, ['g', signature]])
  const header = new Writer()
  for (const byte of ['l'.charCodeAt(0), METHOD_CALL, 0, 1]) header.write('y', byte)
  header.write('u', bytes.length)
  header.write('u', serial)
  header.write('a(yv)', fields)
  header.align(8)
  return Buffer.concat([header.bytes, bytes])
}

/** The size of the message at the start of `bytes`, 0 when too little is there. */
export function messageSize(bytes: Buffer): number {
  if (bytes.length < 16) return 0
  if (bytes[0] !== 'l'.charCodeAt(0)) throw new Error('a D-Bus message is not little-endian')
  const header = Math.ceil((16 + bytes.readUInt32LE(12)) / 8) * 8
  const size = header + bytes.readUInt32LE(4)
  if (size > MAX_MESSAGE) throw new Error(`a D-Bus message of ${size} bytes is too long`)
  return bytes.length >= size ? size : 0
}

export function decode(bytes: Buffer): Message {
  const reader = new Reader(bytes, 12)
  const fields = new Map(
    (reader.read('a(yv)') as [number, unknown][]).map(([code, v]) => [code, v]),
  )
  reader.align(8)
  const member = String(fields.get(MEMBER) ?? '')
  // systemd tells of much else, and what we do not want need not be understood.
  const wanted = bytes[1] !== SIGNAL || member === 'JobRemoved'
  const signature = wanted ? String(fields.get(SIGNATURE) ?? '') : ''
  return {
    type: bytes[1]!,
    replySerial: Number(fields.get(REPLY_SERIAL) ?? 0),
    path: String(fields.get(PATH) ?? ''),
    interface: String(fields.get(INTERFACE) ?? ''),
    member,
    errorName: String(fields.get(ERROR_NAME) ?? ''),
    body: completeTypes(signature).map(type => reader.read(type)),
  }
}

/** An authenticated connection. */
export class DBus {
  readonly #socket: Socket
  readonly #replies = new Map<number, (message: Message | Error) => void>()
  readonly #signals: Message[] = []
  #listener: (() => void) | null = null
  #input = Buffer.alloc(0)
  #serial = 0
  #failure: Error | null = null

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', error => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the connection was closed')))
  }

  static async connect(path: string): Promise<DBus> {
    const socket = createConnection(path)
    await authenticate(socket)
    return new DBus(socket)
  }

  close(): void {
    this.#socket.destroy()
  }

  #receive(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk])
    try {
      let size = messageSize(this.#input)
      while (size > 0) {
        this.#take(decode(this.#input.subarray(0, size)))
        this.#input = this.#input.subarray(size)
        size = messageSize(this.#input)
      }
    } catch (error) {
      this.#fail(error as Error)
      this.close()
    }
  }

  #take(message: Message): void {
    if (message.type === SIGNAL) {
      if (message.body.length === 0) return
      this.#signals.push(message)
      this.#listener?.()
    } else if (message.type === METHOD_RETURN || message.type === ERROR) {
      this.#replies.get(message.replySerial)?.(message)
      this.#replies.delete(message.replySerial)
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error
    for (const reply of this.#replies.values()) reply(this.#failure)
    this.#replies.clear()
    this.#listener?.()
  }

  /** Call a method; its results. */
  async call(
    target: Target,
    member: string,
    signature: string,
    ...body: unknown[]
  ): Promise<unknown[]> {
    const serial = ++this.#serial
    const reply = await within<Message | Error>(`no answer to ${member}`, done => {
      if (this.#failure !== null) return done(this.#failure)
      this.#replies.set(serial, done)
      this.#socket.write(encodeCall(serial, target, member, signature, body))
    })
    if (reply instanceof Error) throw reply
    if (reply.type === ERROR) {
      const { errorName, body: why } = reply
      throw Object.assign(new Error(typeof why[0] === 'string' ? why[0] : errorName), { errorName })
    }
    return reply.body
  }

  /** The first signal, also of those that came already, for which `test` holds. */
  async signal(member: string, test: (body: unknown[]) => boolean): Promise<unknown[]> {
    const found = await within<unknown[] | Error>(`no signal ${member}`, done => {
      const look = () => {
        const match = this.#signals.find(signal => signal.member === member && test(signal.body))
        if (match !== undefined) done(match.body)
        else if (this.#failure !== null) done(this.#failure)
      }
      this.#listener = look
      look()
    })
    this.#listener = null
    if (found instanceof Error) throw found
    return found
  }
}

/** SASL EXTERNAL: the peer takes our uid from the socket. */
function authenticate(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = ''
    const uid = Buffer.from(String(process.getuid?.() ?? 0)).toString('hex')
    const failed = (error: Error) => reject(error)
    const closed = () => reject(new Error('the connection was closed'))
    const data = (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (!text.includes('\r\n')) return
      socket.off('data', data)
      socket.off('error', failed)
      socket.off('close', closed)
      if (!text.startsWith('OK ')) return reject(new Error(`refused: ${text.trim().slice(0, 80)}`))
      resolve()
    }
    socket.on('data', data)
    socket.on('error', failed)
    socket.on('close', closed)
    // Both at once: a first message that systemd reads together with BEGIN would wait there for the next one.
    socket.write(`\0AUTH EXTERNAL ${uid}\r\nBEGIN\r\n`)
  })
}

function within<T>(what: string, start: (done: (value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new CliError(`D-Bus: ${what} within ${TIMEOUT_MS / 1000} s`)),
      TIMEOUT_MS,
    )
    start(value => {
      clearTimeout(timer)
      resolve(value)
    })
  })
}
