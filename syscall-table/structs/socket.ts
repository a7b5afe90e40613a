// Sockets and network interfaces.

import { array, be16, be32, i32, nested, type Struct, u16, u32, u64 } from './field.ts'

export const socketStructs = {
  sockaddr_un: { fields: { family: u16, path: array('u8', 108) } },
  sockaddr_in: { fields: { family: u16, port: be16, addr: be32, _zero: array('u8', 8) } },
  sockaddr_in6: {
    fields: { family: u16, port: be16, flowinfo: be32, addr: array('u8', 16), scopeId: u32 },
  },
  sockaddr_nl: { fields: { family: u16, _pad: u16, pid: u32, groups: u32 } },
  msghdr: {
    fields: {
      name: u64,
      namelen: i32,
      iov: u64,
      iovlen: u64,
      control: u64,
      controllen: u64,
      flags: u32,
    },
  },
  mmsghdr: { fields: { hdr: nested('msghdr'), len: u32 } },
  /** The head; the data follow, and the next one starts at a multiple of 8. */
  cmsghdr: { fields: { len: u64, level: i32, type: i32 } },
  ucred: { fields: { pid: i32, uid: u32, gid: u32 } },
  linger: { fields: { onoff: i32, linger: i32 } },
  in_addr: { fields: { addr: be32 } },
  in_pktinfo: { fields: { ifindex: i32, specDst: be32, addr: be32 } },
  in6_pktinfo: { fields: { addr: array('u8', 16), ifindex: i32 } },
  ip_mreqn: { fields: { multiaddr: be32, address: be32, ifindex: i32 } },
  /** struct ifreq with the union as it is in memory. */
  ifreq: { fields: { name: array('u8', 16), data: array('u8', 24) } },
  ifconf: { fields: { len: i32, buf: u64 } },
  nlmsghdr: { fields: { len: u32, type: u16, flags: u16, seq: u32, pid: u32 } },
} as const satisfies Record<string, Struct>
