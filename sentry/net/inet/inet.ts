// The families AF_INET and AF_INET6.

import { EINVAL, EPERM } from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_INET6,
  CAP_NET_RAW,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPPROTO_UDPLITE,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
} from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { hostNetworkOf } from '../host/lookup.ts'
import { makeHostSocket } from '../host/network.ts'
import { NO_PROTOCOL, NO_TYPE, registerFamily, type Socket } from '../socket.ts'
import { makePingSocket } from './ping.ts'
import './proc.ts'
import { makeRawSocket } from './raw.ts'
import { TcpSocket } from './tcp.ts'
import { UdpSocket } from './udp.ts'

/** Protocols of the Internet have numbers below this; MPTCP's is the largest. */
const IPPROTO_MAX = 263

function make(task: Task, family: number, type: number, protocol: number): Socket | number {
  if (protocol < 0 || protocol >= IPPROTO_MAX) return -EINVAL
  const host = hostNetworkOf(task)
  if (host !== null) return makeHostSocket(host, task, family, type, protocol)
  const { uid } = task.creds
  if (type === SOCK_STREAM) {
    if (protocol !== 0 && protocol !== IPPROTO_TCP) return NO_PROTOCOL
    return new TcpSocket(task.nsproxy.net, family, uid)
  }
  if (type === SOCK_DGRAM) {
    if (protocol === (family === AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6))
      return makePingSocket(task, family)
    if (protocol === IPPROTO_UDPLITE)
      return new UdpSocket(task.nsproxy.net, family, uid, IPPROTO_UDPLITE)
    if (protocol !== 0 && protocol !== IPPROTO_UDP) return NO_PROTOCOL
    return new UdpSocket(task.nsproxy.net, family, uid)
  }
  if (type === SOCK_RAW)
    return task.creds.capableIn(task.nsproxy.net.owner!, CAP_NET_RAW)
      ? makeRawSocket(task, family, protocol)
      : -EPERM
  return NO_TYPE
}

for (const family of [AF_INET, AF_INET6])
  registerFamily(family, (task, type, protocol) => make(task, family, type, protocol))
