// Control messages that a program sends through a socket of the host. They travel as they are, so each must be known
// to mean nothing but its own packet: descriptors and identities would be the host's, not the program's.

import {
  IP_PKTINFO,
  IP_RETOPTS,
  IP_TOS,
  IP_TTL,
  IPV6_DONTFRAG,
  IPV6_HOPLIMIT,
  IPV6_PKTINFO,
  IPV6_TCLASS,
  SO_TIMESTAMPING,
  SO_TIMESTAMPING_NEW,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  SOL_UDP,
  UDP_SEGMENT,
} from '../../../syscall-table/flags.ts'

const HEADER = 16

const ALLOWED: ReadonlyMap<number, ReadonlySet<number>> = new Map([
  [SOL_SOCKET, new Set([SO_TIMESTAMPING, SO_TIMESTAMPING_NEW])],
  [SOL_IP, new Set([IP_TOS, IP_TTL, IP_RETOPTS, IP_PKTINFO])],
  [SOL_IPV6, new Set([IPV6_PKTINFO, IPV6_HOPLIMIT, IPV6_TCLASS, IPV6_DONTFRAG])],
  [SOL_UDP, new Set([UDP_SEGMENT])],
])

/** Whether all messages in `bytes[0…length]` are whole, and of a kind that may pass. */
export function mayPass(bytes: Uint8Array, length: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, length)
  let at = 0
  while (at + HEADER <= length) {
    const size = view.getUint32(at, true)
    if (view.getUint32(at + 4, true) !== 0 || size < HEADER || size > length - at) return false
    const level = view.getInt32(at + 8, true)
    if (ALLOWED.get(level)?.has(view.getInt32(at + 12, true)) !== true) return false
    at += Math.ceil(size / 8) * 8
  }
  return true
}
