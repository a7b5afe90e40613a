// The gofer process. It reads its configuration from descriptor 3: a GoferConfig as JSON, which names other descriptors.
// With the argument "forked", descriptors come from runsc by a socket, and numbers are their places there. It gives up its rights before it reads the first message.

import { closeSync, existsSync, readFileSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  close,
  dropCapabilities,
  exitNow,
  installFilter,
  openTree,
  ownMemory,
  pivotToEmptyRoot,
  setNoNewPrivs,
  setSendBuffer,
  takeOrders,
  umask,
} from '../native/index.ts'
import { AT_FDCWD } from '../syscall-table/flags.ts'
import { OPEN_TREE_CLONE, openDescriptors } from './descriptors.ts'
import type { AttachPoint } from './handles.ts'
import {
  ATTACH_DEVICES,
  ATTACH_HOST_UDS,
  ATTACH_HOST_UDS_CREATE,
  ATTACH_XATTR_SECURITY,
  MESSAGE_MAX,
} from './protocol.ts'
import { GoferServer } from './server.ts'

interface GoferConfig {
  /** The gofer's end of the SOCK_SEQPACKET pair. */
  readonly socket: number
  /** cgroup.procs files of the container's cgroup, which are entered by writing "0". */
  readonly cgroups?: readonly number[]
  /** Their memory is limited. */
  readonly limited?: boolean
  readonly attachPoints: readonly AttachPoint[]
}

const CAP_CHOWN = 0
const CAP_DAC_OVERRIDE = 1
const CAP_FOWNER = 3
const CAP_FSETID = 4
const CAP_MKNOD = 27
const CAP_SETFCAP = 31

const STANDARD_STREAMS = 3
/** Where its configuration comes from. */
const CONFIG = 3
/** Descriptors that the gofer itself needs, besides those of handles. */
const SPARE_DESCRIPTORS = 128
const MAX_HANDLES = 65536

main(process.argv[2] === 'forked' ? takeOrders(STANDARD_STREAMS) : null)

/** Numbers in the configuration are places in `descriptors` where there are such; its own is 3 either way. */
function main(descriptors: Int32Array | null): never {
  const config = readConfig(descriptors)
  const filter = readFilter(config)
  const server = new GoferServer({
    attachPoints: config.attachPoints,
    descriptors: succeed('open /proc/self/fd', openDescriptors()),
    maxHandles: handleLimit(config.attachPoints.length),
  })
  if (config.limited) succeed('own the memory', ownMemory())
  for (const fd of config.cgroups ?? []) enterCgroup(fd)
  umask(0)
  succeed('size the socket', setSendBuffer(config.socket, 2 * MESSAGE_MAX))
  confine(capabilities(config), filter)
  return exitNow(server.serve(config.socket) < 0 ? 1 : 0)
}

/** Now that our code is loaded: its memory is not the container's. */
function enterCgroup(fd: number): void {
  writeSync(fd, '0')
  closeSync(fd)
}

function readConfig(descriptors: Int32Array | null): GoferConfig {
  const own = (place: number) => (descriptors === null ? place : descriptors[place]!)
  const fd = own(CONFIG)
  const config = JSON.parse(readFileSync(fd, 'utf8')) as GoferConfig
  closeSync(fd)
  return {
    ...config,
    socket: own(config.socket),
    cgroups: (config.cgroups ?? []).map(own),
    attachPoints: config.attachPoints.map(point => ({ ...point, fd: own(point.fd) })),
  }
}

/** The compiled filter lies beside the bundle, or in build/ when the sources are run. */
function readFilter(config: GoferConfig): Uint8Array {
  const flags = config.attachPoints.reduce((all, point) => all | point.flags, 0)
  const connects = (flags & ATTACH_HOST_UDS) !== 0 ? '-connect' : ''
  const binds = (flags & ATTACH_HOST_UDS_CREATE) !== 0 ? '-bind' : ''
  const name = `gofer${connects || binds ? '-unix' : ''}${connects}${binds}.bpf`
  const here = dirname(fileURLToPath(import.meta.url))
  const beside = join(here, name)
  return readFileSync(existsSync(beside) ? beside : join(here, '../build', name))
}

function handleLimit(attachPoints: number): number {
  const limits = readFileSync('/proc/self/limits', 'latin1')
  const open = Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? 1024)
  return Math.max(64, Math.min(MAX_HANDLES, open - SPARE_DESCRIPTORS - attachPoints))
}

/** What changing owners and modes of other users' files takes, as a mask; and no more. */
function capabilities(config: GoferConfig): number[] {
  const keep = [CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID]
  if (config.attachPoints.some(point => (point.flags & ATTACH_DEVICES) !== 0)) keep.push(CAP_MKNOD)
  if (config.attachPoints.some(point => (point.flags & ATTACH_XATTR_SECURITY) !== 0)) {
    keep.push(CAP_SETFCAP)
  }
  return keep
}

function confine(keep: readonly number[], filter: Uint8Array): void {
  const low = keep.reduce((mask, capability) => (mask | (1 << capability)) >>> 0, 0)
  // Leaving the root takes the capabilities, and dropping those takes a list of our threads.
  const threads = succeed(
    'open /proc/self/task',
    openTree(AT_FDCWD, '/proc/self/task', OPEN_TREE_CLONE),
  )
  succeed('leave the root directory', pivotToEmptyRoot())
  succeed('drop capabilities', dropCapabilities(low, 0, threads))
  close(threads)
  succeed('set no_new_privs', setNoNewPrivs())
  succeed('install the filter', installFilter(filter))
}

function succeed(step: string, result: number): number {
  if (result < 0) throw new Error(`gofer: ${step}: error ${-result}`)
  return result
}
