// Runs filters of sockets over packets, as the kernel does: sk_filter and bpf_convert_filter in net/core/filter.c.

import * as bpf from './bpf.ts'
import { ANCILLARY, checkSocketFilter } from './check.ts'
import { alu } from './interpret.ts'

/** SKF_NET_OFF and SKF_LL_OFF: loads from here on are relative to the headers of the network and the link. */
const NET_OFFSET = 0xfff00000
const LINK_OFFSET = 0xffe00000

// Of the ancillary loads, those that do not only tell a number.
const AD_PROTOCOL = 0
const AD_PKTTYPE = 4
const AD_IFINDEX = 8
const AD_NLATTR = 12
const AD_NLATTR_NEST = 16
const AD_MARK = 20
const AD_HATYPE = 28
const AD_XOR_X = 40
const AD_PAY_OFFSET = 52
const AD_RANDOM = 56

/** sizeof(struct nlattr). */
const ATTRIBUTE_HEADER = 4

/** A load from where there is nothing: the filter ends with 0. */
const NOTHING = -1

/** What a filter sees. */
export interface PacketView {
  readonly bytes: Uint8Array
  /** Where in them the socket's data begins, with the header of its own protocol. */
  readonly dataAt: number
  /** Where the headers begin; negative for a packet without. */
  readonly networkAt: number
  readonly linkAt: number
  /** ETH_P_*, PACKET_*, the device's number, 0 for none, and its ARPHRD_*. */
  readonly protocol: number
  readonly kind: number
  readonly device: number
  readonly hardware: number
  readonly mark: number
  /** Where the payload of the innermost header begins, from the data on. */
  readonly payloadOffset: number
}

// A checked filter stores to a cell before it loads it.
const scratch = new Uint32Array(bpf.MEM_WORDS)

/** A checked filter of a socket. */
export class SocketFilter {
  readonly program: bpf.Program

  private constructor(program: bpf.Program) {
    this.program = program
  }

  /** The filter in these bytes (struct sock_filter each), or -EINVAL where SO_ATTACH_FILTER fails with it. */
  static load(bytes: Uint8Array): SocketFilter | number {
    const program = bpf.fromBytes(bytes)
    const error = checkSocketFilter(program)
    return error === 0 ? new SocketFilter(program) : error
  }

  /** How many bytes of the packet's data are let through; 0 drops it. */
  run(packet: PacketView): number {
    const length = packet.bytes.length - packet.dataAt
    let a = 0
    let x = 0
    for (let pc = 0; ; pc++) {
      const { code, k, jt, jf } = this.program[pc]!
      switch (code) {
        case bpf.LD_ABS:
        case bpf.LD_H_ABS:
        case bpf.LD_B_ABS:
          a =
            k >= ANCILLARY ? ancillary(packet, k - ANCILLARY, a, x) : load(packet, k, sizeOf(code))
          if (a === NOTHING) return 0
          break
        case bpf.LD_IND:
        case bpf.LD_H_IND:
        case bpf.LD_B_IND:
          a = load(packet, (k + x) >>> 0, sizeOf(code))
          if (a === NOTHING) return 0
          break
        case bpf.LDX_MSH: {
          const byte = load(packet, k, 1)
          if (byte === NOTHING) return 0
          x = (byte & 15) * 4
          break
        }
        case bpf.LD_LEN:
          a = length
          break
        case bpf.LDX_LEN:
          x = length
          break
        case bpf.LD_IMM:
          a = k
          break
        case bpf.LDX_IMM:
          x = k
          break
        case bpf.LD_MEM:
          a = scratch[k]!
          break
        case bpf.LDX_MEM:
          x = scratch[k]!
          break
        case bpf.ST:
          scratch[k] = a
          break
        case bpf.STX:
          scratch[k] = x
          break
        case bpf.TAX:
          x = a
          break
        case bpf.TXA:
          a = x
          break
        case bpf.JA:
          pc += k
          break
        case bpf.RET_K:
          return k
        case bpf.RET_A:
          return a
        case bpf.DIV_X:
          if (x === 0) return 0
          a = Math.floor(a / x)
          break
        case bpf.MOD_X:
          if (x === 0) return 0
          a %= x
          break
        default:
          if ((code & 7) === 5) pc += holds(code, a, k, x) ? jt : jf
          else a = alu(code, a, k, x)
      }
    }
  }
}

function holds(code: number, a: number, k: number, x: number): boolean {
  switch (code) {
    case bpf.JEQ_K:
      return a === k
    case bpf.JEQ_X:
      return a === x
    case bpf.JGT_K:
      return a > k
    case bpf.JGT_X:
      return a > x
    case bpf.JGE_K:
      return a >= k
    case bpf.JGE_X:
      return a >= x
    case bpf.JSET_K:
      return (a & k) !== 0
    default:
      return (a & x) !== 0
  }
}

function sizeOf(code: number): number {
  const size = code & 0x18
  return size === 0 ? 4 : size === 8 ? 2 : 1
}

/** A number in network order, or NOTHING. Offsets are signed. */
function load({ bytes, dataAt, networkAt, linkAt }: PacketView, k: number, size: number): number {
  let at = dataAt + k
  if (k >= 0x80000000) {
    if (k >= NET_OFFSET && networkAt >= 0) at = networkAt + (k - NET_OFFSET)
    else if (k < NET_OFFSET && k >= LINK_OFFSET && linkAt >= 0) at = linkAt + (k - LINK_OFFSET)
    else return NOTHING
  }
  if (at < 0 || at + size > bytes.length) return NOTHING
  let value = 0
  for (let i = 0; i < size; i++) value = value * 256 + bytes[at + i]!
  return value
}

function ancillary(packet: PacketView, what: number, a: number, x: number): number {
  switch (what) {
    case AD_PROTOCOL:
      return packet.protocol
    case AD_PKTTYPE:
      return packet.kind
    case AD_IFINDEX:
      return packet.device === 0 ? NOTHING : packet.device
    case AD_HATYPE:
      return packet.device === 0 ? NOTHING : packet.hardware
    case AD_NLATTR:
      return attribute(packet, a, x)
    case AD_NLATTR_NEST:
      return nested(packet, a, x)
    case AD_MARK:
      return packet.mark
    case AD_XOR_X:
      return (a ^ x) >>> 0
    case AD_PAY_OFFSET:
      return packet.payloadOffset
    case AD_RANDOM:
      return Math.floor(Math.random() * 2 ** 32)
    default:
      // Queue, hash, processor, VLAN: packets of lo have the first of each, or none.
      return 0
  }
}

/** Where the first attribute of a type begins among those from `at` on; 0 for none. */
function attribute({ bytes, dataAt }: PacketView, at: number, type: number): number {
  return find(bytes, dataAt, at, bytes.length - dataAt, type)
}

/** The same within the attribute at `at`. */
function nested({ bytes, dataAt }: PacketView, at: number, type: number): number {
  const left = bytes.length - dataAt - at
  if (left < ATTRIBUTE_HEADER) return 0
  const size = bytes[dataAt + at]! | (bytes[dataAt + at + 1]! << 8)
  if (size > left) return 0
  return find(bytes, dataAt, at + ATTRIBUTE_HEADER, at + size, type)
}

function find(bytes: Uint8Array, base: number, from: number, to: number, type: number): number {
  for (let at = from; at + ATTRIBUTE_HEADER <= to; ) {
    const size = bytes[base + at]! | (bytes[base + at + 1]! << 8)
    if (size < ATTRIBUTE_HEADER || at + size > to) return 0
    const kind = (bytes[base + at + 2]! | (bytes[base + at + 3]! << 8)) & 0x3fff
    if (kind === type) return at
    at += (size + 3) & ~3
  }
  return 0
}
