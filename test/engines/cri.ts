// A client of the Container Runtime Interface, which Kubernetes speaks with containerd: unary gRPC calls over a Unix
// socket, with as much of Protocol Buffers as they take. Only the fields that the tests use are known; others are skipped.

import { type ClientHttp2Session, connect } from 'node:http2'
import { createConnection } from 'node:net'

type Field = readonly [number: number, kind: string]
export type Message = { [name: string]: unknown }

const METADATA = { name: [1, 'string'], uid: [2, 'string'], namespace: [3, 'string'] } as const
const ID = { container_id: [1, 'string'] } as const
const POD_ID = { pod_sandbox_id: [1, 'string'] } as const

/** Names and numbers of fields; "[]" is a repeated one. Source: CRI v1, api.proto. */
const MESSAGES = {
  VersionRequest: { version: [1, 'string'] },
  VersionResponse: { runtime_name: [2, 'string'], runtime_api_version: [4, 'string'] },
  PodMetadata: METADATA,
  PortMapping: { container_port: [2, 'int'], host_port: [3, 'int'] },
  NamespaceOption: { network: [1, 'int'], pid: [2, 'int'], ipc: [3, 'int'] },
  SandboxSecurity: { namespace_options: [1, 'NamespaceOption'] },
  PodLinux: { cgroup_parent: [1, 'string'], security_context: [2, 'SandboxSecurity'] },
  PodConfig: {
    metadata: [1, 'PodMetadata'],
    hostname: [2, 'string'],
    log_directory: [3, 'string'],
    port_mappings: [5, 'PortMapping[]'],
    annotations: [7, 'map'],
    linux: [8, 'PodLinux'],
  },
  RunPodSandboxRequest: { config: [1, 'PodConfig'], runtime_handler: [2, 'string'] },
  RunPodSandboxResponse: POD_ID,
  StopPodSandboxRequest: POD_ID,
  StopPodSandboxResponse: {},
  RemovePodSandboxRequest: POD_ID,
  RemovePodSandboxResponse: {},
  PodSandboxStatusRequest: POD_ID,
  PodNetwork: { ip: [1, 'string'] },
  PodStatus: { id: [1, 'string'], state: [3, 'int'], network: [5, 'PodNetwork'] },
  PodSandboxStatusResponse: { status: [1, 'PodStatus'] },
  ListPodSandboxStatsRequest: {},
  PodStatsLinux: {
    cpu: [1, 'CpuUsage'],
    memory: [2, 'MemoryUsage'],
    containers: [5, 'ContainerStats[]'],
  },
  PodStats: { linux: [2, 'PodStatsLinux'] },
  ListPodSandboxStatsResponse: { stats: [1, 'PodStats[]'] },
  Resources: {
    cpu_period: [1, 'int'],
    cpu_quota: [2, 'int'],
    cpu_shares: [3, 'int'],
    memory_limit_in_bytes: [4, 'int'],
  },
  ContainerSecurity: { namespace_options: [3, 'NamespaceOption'] },
  ContainerLinux: { resources: [1, 'Resources'], security_context: [2, 'ContainerSecurity'] },
  ContainerMetadata: { name: [1, 'string'], attempt: [2, 'int'] },
  ImageSpec: { image: [1, 'string'] },
  ContainerConfig: {
    metadata: [1, 'ContainerMetadata'],
    image: [2, 'ImageSpec'],
    command: [3, 'string[]'],
    log_path: [11, 'string'],
    tty: [14, 'bool'],
    linux: [15, 'ContainerLinux'],
  },
  CreateContainerRequest: {
    pod_sandbox_id: [1, 'string'],
    config: [2, 'ContainerConfig'],
    sandbox_config: [3, 'PodConfig'],
  },
  CreateContainerResponse: ID,
  StartContainerRequest: ID,
  StartContainerResponse: {},
  StopContainerRequest: { ...ID, timeout: [2, 'int'] },
  StopContainerResponse: {},
  RemoveContainerRequest: ID,
  RemoveContainerResponse: {},
  ListContainersRequest: {},
  ListedContainer: { id: [1, 'string'], state: [6, 'int'] },
  ListContainersResponse: { containers: [1, 'ListedContainer[]'] },
  ContainerStatusRequest: ID,
  ContainerStatus: {
    state: [3, 'int'],
    exit_code: [7, 'int'],
    reason: [10, 'string'],
    message: [11, 'string'],
  },
  ContainerStatusResponse: { status: [1, 'ContainerStatus'] },
  UpdateContainerResourcesRequest: { ...ID, linux: [2, 'Resources'] },
  UpdateContainerResourcesResponse: {},
  ExecSyncRequest: { ...ID, cmd: [2, 'string[]'], timeout: [3, 'int'] },
  ExecSyncResponse: { stdout: [1, 'bytes'], stderr: [2, 'bytes'], exit_code: [3, 'int'] },
  ContainerStatsRequest: ID,
  Wrapped: { value: [1, 'int'] },
  CpuUsage: { usage_core_nano_seconds: [2, 'Wrapped'] },
  MemoryUsage: { working_set_bytes: [2, 'Wrapped'] },
  ContainerStats: { cpu: [2, 'CpuUsage'], memory: [3, 'MemoryUsage'] },
  ContainerStatsResponse: { stats: [1, 'ContainerStats'] },
} as const satisfies Record<string, Record<string, Field>>

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

const schemaOf = (kind: string) =>
  MESSAGES[kind as keyof typeof MESSAGES] as Record<string, Field> | undefined

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  do {
    const low = Number(rest & 0x7fn)
    rest >>= 7n
    bytes.push(rest > 0n ? low | 0x80 : low)
  } while (rest > 0n)
  return Buffer.from(bytes)
}

const prefixed = (bytes: Buffer) => Buffer.concat([varint(bytes.length), bytes])

function encodeField(number: number, kind: string, value: unknown): Buffer {
  const key = (wire: number) => varint(number * 8 + wire)
  if (kind === 'int' || kind === 'bool') return Buffer.concat([key(VARINT), varint(Number(value))])
  if (kind === 'map') {
    const entries = Object.entries(value as Record<string, string>).map(([name, text]) =>
      Buffer.concat([encodeField(1, 'string', name), encodeField(2, 'string', text)]),
    )
    return Buffer.concat(entries.flatMap(entry => [key(BYTES), prefixed(entry)]))
  }
  const bytes = kind === 'string' ? Buffer.from(value as string) : encode(kind, value as Message)
  return Buffer.concat([key(BYTES), prefixed(bytes)])
}

function encode(kind: string, message: Message): Buffer {
  const schema = schemaOf(kind)
  return Buffer.concat(
    Object.entries(message).flatMap(([name, value]) => {
      const field = schema?.[name]
      if (field === undefined) throw new Error(`${kind} has no field ${name}`)
      const [number, type] = field
      if (!type.endsWith('[]')) return [encodeField(number, type, value)]
      return (value as unknown[]).map(item => encodeField(number, type.slice(0, -2), item))
    }),
  )
}

class Reader {
  at = 0
  readonly bytes: Buffer

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  varint(): number {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.bytes[this.at++]
      if (byte === undefined) throw new Error('a message ends early')
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return Number(BigInt.asIntN(64, value))
    }
  }

  take(length: number): Buffer {
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  value(wire: number): number | Buffer {
    if (wire === VARINT) return this.varint()
    if (wire === BYTES) return this.take(this.varint())
    if (wire === FIXED64) return this.take(8)
    if (wire === FIXED32) return this.take(4)
    throw new Error(`wire type ${wire}`)
  }
}

function decodeValue(kind: string, value: number | Buffer): unknown {
  if (kind === 'int' || kind === 'bool') return value
  const bytes = value as Buffer
  return kind === 'string' || kind === 'bytes' ? bytes.toString() : decode(kind, bytes)
}

/** Fields that are not there have their zero, as the language says. */
function decode(kind: string, bytes: Buffer): Message {
  const fields = Object.entries(schemaOf(kind) ?? {})
  const message: Message = {}
  for (const [name, [, type]] of fields) message[name] = zero(type)
  const reader = new Reader(bytes)
  while (reader.at < bytes.length) {
    const key = reader.varint()
    const value = reader.value(key & 7)
    const field = fields.find(([, [number]]) => number === key >>> 3)
    if (field === undefined) continue
    const [name, [, type]] = field
    if (type.endsWith('[]'))
      (message[name] as unknown[]).push(decodeValue(type.slice(0, -2), value))
    else message[name] = decodeValue(type, value)
  }
  return message
}

function zero(type: string): unknown {
  if (type.endsWith('[]')) return []
  if (type === 'int' || type === 'bool') return 0
  return type === 'string' || type === 'bytes' ? '' : null
}

const HEADER_BYTES = 5

export class Cri {
  readonly #session: ClientHttp2Session

  constructor(socket: string) {
    this.#session = connect('http://localhost', {
      createConnection: () => createConnection(socket),
    })
    // Each call tells its own failure.
    this.#session.on('error', () => {})
  }

  /** One call of the runtime service; fails with the status message of the engine. */
  // biome-ignore lint/suspicious/noExplicitAny: answers are as many kinds as there are calls
  call(method: string, request: Message = {}): Promise<any> {
    const body = encode(`${method}Request`, request)
    const header = Buffer.alloc(HEADER_BYTES)
    header.writeUInt32BE(body.length, 1)
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        ':method': 'POST',
        ':path': `/runtime.v1.RuntimeService/${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
      })
      const chunks: Buffer[] = []
      let status = ''
      let text = ''
      const note = (headers: { [name: string]: unknown }) => {
        status = String(headers['grpc-status'] ?? status)
        text = String(headers['grpc-message'] ?? text)
      }
      stream.on('response', note)
      stream.on('trailers', note)
      stream.on('data', chunk => chunks.push(chunk as Buffer))
      stream.on('error', reject)
      stream.on('close', () => {
        if (status !== '0') reject(new Error(`${method}: ${decodeURIComponent(text)} (${status})`))
        else resolve(decode(`${method}Response`, Buffer.concat(chunks).subarray(HEADER_BYTES)))
      })
      stream.end(Buffer.concat([header, body]))
    })
  }

  close(): void {
    this.#session.close()
  }
}
