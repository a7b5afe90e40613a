// Conditions in requests for sockets: programs of struct inet_diag_bc_op, as inet_diag_bc_audit checks and inet_diag_bc_run
// runs them in net/ipv4/inet_diag.c. All jumps go forward, so that each program ends.

import { EINVAL, EPERM } from '../../../syscall-table/errno.ts'
import { AF_INET, AF_INET6, AF_UNSPEC } from '../../../syscall-table/flags.ts'
import type { Endpoint, InetFacts } from './inet-facts.ts'

const NOP = 0
const JMP = 1
const S_GE = 2
const S_LE = 3
const D_GE = 4
const D_LE = 5
const AUTO = 6
const S_COND = 7
const D_COND = 8
const DEV_COND = 9
const MARK_COND = 10
const S_EQ = 11
const D_EQ = 12
const CGROUP_COND = 13
/** sizeof(struct inet_diag_bc_op) and of what may follow it. */
const OP_SIZE = 4
const HOST_SIZE = 8
const MARK_SIZE = 8
const CGROUP_SIZE = 8

const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.length)

/** Whether a program can be run: 0 or -errno. */
export function auditFilter(program: Uint8Array, admin: boolean): number {
  if (program.length < OP_SIZE) return -EINVAL
  const view = viewOf(program)
  let at = 0
  while (at < program.length) {
    const left = program.length - at
    if (left < OP_SIZE) return -EINVAL
    const code = program[at]!
    if (code === MARK_COND && !admin) return -EPERM
    const size = sizeOf(program, at)
    if (size === 0 || size > left) return -EINVAL
    const yes = program[at + 1]!
    const no = view.getUint16(at + 2, true)
    if (code !== NOP) {
      if (no < size || no > left + 4 || (no & 3) !== 0) return -EINVAL
      if (no < left && !isStart(program, at + no)) return -EINVAL
    }
    if (yes < size || yes > left + 4 || (yes & 3) !== 0) return -EINVAL
    at += yes
  }
  return at === program.length ? 0 : -EINVAL
}

/** The bytes of an operation with its operands; 0 when they are none. */
function sizeOf(program: Uint8Array, at: number): number {
  switch (program[at]) {
    case NOP:
    case JMP:
    case AUTO:
      return OP_SIZE
    case S_GE:
    case S_LE:
    case S_EQ:
    case D_GE:
    case D_LE:
    case D_EQ:
      return OP_SIZE + OP_SIZE
    case DEV_COND:
      return OP_SIZE + 4
    case MARK_COND:
      return OP_SIZE + MARK_SIZE
    case CGROUP_COND:
      return OP_SIZE + CGROUP_SIZE
    case S_COND:
    case D_COND:
      return hostSize(program, at)
    default:
      return 0
  }
}

/** struct inet_diag_hostcond with its address. */
function hostSize(program: Uint8Array, at: number): number {
  if (program.length - at < OP_SIZE + HOST_SIZE) return 0
  const length = addressLength(program[at + OP_SIZE]!)
  if (length < 0 || program[at + OP_SIZE + 1]! > 8 * length) return 0
  return OP_SIZE + HOST_SIZE + length
}

function addressLength(family: number): number {
  if (family === AF_UNSPEC) return 0
  if (family === AF_INET) return 4
  return family === AF_INET6 ? 16 : -1
}

/** Whether an operation begins there, for all that the steps of success tell: valid_cc. */
function isStart(program: Uint8Array, wanted: number): boolean {
  for (let at = 0; at <= wanted; ) {
    if (at === wanted) return true
    const yes = program[at + 1]!
    if (yes < OP_SIZE || (yes & 3) !== 0) return false
    at += yes
  }
  return false
}

/** Whether a socket meets the conditions of a program that has been found good. `mark` is its SO_MARK. */
export function passesFilter(
  program: Uint8Array,
  family: number,
  mark: number,
  facts: InetFacts,
): boolean {
  const view = viewOf(program)
  let at = 0
  while (at < program.length)
    at += holds(view, at, family, mark, facts) ? program[at + 1]! : view.getUint16(at + 2, true)
  return at === program.length
}

function holds(
  view: DataView,
  at: number,
  family: number,
  mark: number,
  { own, peer, device, autobound }: InetFacts,
): boolean {
  const operand = at + OP_SIZE
  switch (view.getUint8(at)) {
    case JMP:
      return false
    case S_GE:
      return own.port >= view.getUint16(operand + 2, true)
    case S_LE:
      return own.port <= view.getUint16(operand + 2, true)
    case S_EQ:
      return own.port === view.getUint16(operand + 2, true)
    case D_GE:
      return peer.port >= view.getUint16(operand + 2, true)
    case D_LE:
      return peer.port <= view.getUint16(operand + 2, true)
    case D_EQ:
      return peer.port === view.getUint16(operand + 2, true)
    case AUTO:
      return autobound
    case S_COND:
      return matchesHost(view, operand, family, own)
    case D_COND:
      return matchesHost(view, operand, family, peer)
    case DEV_COND:
      return device === view.getUint32(operand, true)
    case MARK_COND:
      return (mark & view.getUint32(operand + 4, true)) >>> 0 === view.getUint32(operand, true)
    case CGROUP_COND:
      // Sockets belong to no control group that could be named.
      return false
    default:
      return true
  }
}

function matchesHost(
  view: DataView,
  at: number,
  family: number,
  { address, port }: Endpoint,
): boolean {
  const wanted = view.getInt32(at + 4, true)
  if (wanted !== -1 && wanted !== port) return false
  const given = view.getUint8(at)
  const bits = view.getUint8(at + 1)
  let from = 0
  if (given !== AF_UNSPEC && given !== family) {
    // An address of IPv4 that is mapped into IPv6.
    if (family !== AF_INET6 || given !== AF_INET || !isMapped(address)) return false
    from = 12
  }
  for (let bit = 0; bit < bits; bit += 8) {
    const mask = bits - bit >= 8 ? 255 : (255 << (8 - (bits - bit))) & 255
    const byte = view.getUint8(at + HOST_SIZE + bit / 8)
    if (((address[from + bit / 8]! ^ byte) & mask) !== 0) return false
  }
  return true
}

const isMapped = (address: Uint8Array): boolean =>
  address[10] === 255 && address[11] === 255 && address.subarray(0, 10).every(byte => byte === 0)
