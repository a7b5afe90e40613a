// Control messages that a program sends through a socket of the host. They travel as they are, so each must be known
// to mean nothing but its own packet: descriptors and identities would be the host's, not the program's.

import { EINVAL } from '../../../syscall-table/errno.ts'
import {
  IP_PKTINFO,
  IP_RETOPTS,
  IP_TOS,
  IP_TTL,
  IPV6_DONTFRAG,
  IPV6_HOPLIMIT,
  IPV6_PKTINFO,
  IPV6_TCLASS,
  SCM_CREDENTIALS,
  SCM_RIGHTS,
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

/** What Linux passes over in the messages of these sockets: it is dropped here. */
function isIgnored(level: number, type: number, stream: boolean): boolean {
  if (level === SOL_SOCKET) return type === SCM_RIGHTS || type === SCM_CREDENTIALS
  return stream || !ALLOWED.has(level)
}

/**
 * Leave in `bytes[0…length]` the messages that may go to the host. Returns their length, -EINVAL when one is not whole or
 * of a kind that may not pass.
 */
export function passControl(bytes: Uint8Array, length: number, stream: boolean): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, length)
  let end = 0
  for (let at = 0; at + HEADER <= length; ) {
    const size = view.getUint32(at, true)
    if (view.getUint32(at + 4, true) !== 0 || size < HEADER || size > length - at) return -EINVAL
    const next = Math.min(at + Math.ceil(size / 8) * 8, length)
    const level = view.getInt32(at + 8, true)
    const type = view.getInt32(at + 12, true)
    if (ALLOWED.get(level)?.has(type) === true) {
      bytes.copyWithin(end, at, next)
      end += next - at
    } else if (!isIgnored(level, type, stream)) return -EINVAL
    at = next
  }
  return end
}
