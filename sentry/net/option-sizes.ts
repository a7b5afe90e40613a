// How much setsockopt(2) reads of a value: no more than the option has, however long the program says that it is. What lies
// behind it may be no memory at all.

import * as f from '../../syscall-table/flags.ts'

const INT = 4
const MREQ = 12
const MREQ6 = 20
const GROUP = 136
const GROUP_SOURCE = 264
const NAME = 15
const TIME = 16

/** The levels whose options are numbers, but for these. 0 stands for all that the program gives. */
const SIZES: ReadonlyMap<number, ReadonlyMap<number, number>> = new Map([
  [
    f.SOL_SOCKET,
    new Map([
      [f.SO_LINGER, 8],
      [f.SO_MAX_PACING_RATE, 8],
      [f.SO_TIMESTAMPING, 8],
      [f.SO_TIMESTAMPING_NEW, 8],
      [f.SO_TXTIME, 8],
      [f.SO_SNDTIMEO_OLD, TIME],
      [f.SO_SNDTIMEO_NEW, TIME],
      [f.SO_RCVTIMEO_OLD, TIME],
      [f.SO_RCVTIMEO_NEW, TIME],
      [f.SO_BINDTODEVICE, NAME],
      [f.SO_ATTACH_FILTER, 16],
    ]),
  ],
  [
    f.SOL_IP,
    new Map([
      [f.IP_OPTIONS, 0],
      [f.IP_MULTICAST_IF, MREQ],
      [f.IP_ADD_MEMBERSHIP, MREQ],
      [f.IP_DROP_MEMBERSHIP, MREQ],
      [f.IP_UNBLOCK_SOURCE, MREQ],
      [f.IP_BLOCK_SOURCE, MREQ],
      [f.IP_ADD_SOURCE_MEMBERSHIP, MREQ],
      [f.IP_DROP_SOURCE_MEMBERSHIP, MREQ],
      ...groups(),
    ]),
  ],
  [
    f.SOL_IPV6,
    new Map([
      [f.IPV6_ADD_MEMBERSHIP, MREQ6],
      [f.IPV6_DROP_MEMBERSHIP, MREQ6],
      [f.IPV6_JOIN_ANYCAST, MREQ6],
      [f.IPV6_JOIN_ANYCAST + 1, MREQ6],
      [f.IPV6_PKTINFO, MREQ6],
      // IPV6_2292PKTOPTIONS, IPV6_FLOWLABEL_MGR, and the headers of options.
      ...[6, 32, 54, 55, 57, 59].map((name): [number, number] => [name, 0]),
      ...groups(),
    ]),
  ],
  [
    f.SOL_TCP,
    new Map([
      [f.TCP_CONGESTION, NAME],
      [f.TCP_ULP, NAME],
      // TCP_MD5SIG and its extension, TCP_REPAIR_OPTIONS and _WINDOW, TCP_FASTOPEN_KEY.
      ...[f.TCP_MD5SIG, 22, 29, 33, 38].map((name): [number, number] => [name, 0]),
    ]),
  ],
  [f.SOL_UDP, new Map()],
  [f.SOL_UDPLITE, new Map()],
])

/** Joining and leaving of groups in either version of IP, and lists of sources. */
function groups(): [number, number][] {
  return [
    [41, 0],
    [f.MCAST_JOIN_GROUP, GROUP],
    [f.MCAST_LEAVE_GROUP, GROUP],
    [f.MCAST_BLOCK_SOURCE, GROUP_SOURCE],
    [f.MCAST_UNBLOCK_SOURCE, GROUP_SOURCE],
    [f.MCAST_JOIN_SOURCE_GROUP, GROUP_SOURCE],
    [f.MCAST_LEAVE_SOURCE_GROUP, GROUP_SOURCE],
    [48, 0],
  ]
}

/** The most bytes of a value of `length` that an option reads. */
export function bytesOfOption(level: number, name: number, length: number): number {
  const sizes = SIZES.get(level)
  if (sizes === undefined) return length
  const size = sizes.get(name) ?? INT
  return size === 0 ? length : Math.min(size, length)
}
