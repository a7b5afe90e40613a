// The family AF_NETLINK.

import { EPROTONOSUPPORT } from '../../../syscall-table/errno.ts'
import {
  AF_NETLINK,
  NETLINK_GENERIC,
  NETLINK_KOBJECT_UEVENT,
  NETLINK_ROUTE,
  NETLINK_SOCK_DIAG,
  SOCK_DGRAM,
  SOCK_RAW,
} from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { handleDiag } from '../diag/sock-diag.ts'
import { makeHostNetlink } from '../host/host-netlink.ts'
import { hostNetworkOf } from '../host/lookup.ts'
import { NO_TYPE, registerFamily, type Socket } from '../socket.ts'
import { handleGeneric } from './generic.ts'
import { NetlinkSocket } from './netlink-socket.ts'
import './proc.ts'
import { handleRoute } from './route.ts'

function make(task: Task, type: number, protocol: number): Socket | number {
  if (type !== SOCK_RAW && type !== SOCK_DGRAM) return NO_TYPE
  const { net } = task.nsproxy
  const host = hostNetworkOf(task)
  switch (protocol) {
    case NETLINK_ROUTE:
      return host === null
        ? new NetlinkSocket(net, type, protocol, handleRoute)
        : makeHostNetlink(host, task, type, protocol)
    case NETLINK_SOCK_DIAG:
      return new NetlinkSocket(net, type, protocol, handleDiag)
    case NETLINK_GENERIC:
      return new NetlinkSocket(net, type, protocol, handleGeneric)
    case NETLINK_KOBJECT_UEVENT:
      // No device ever comes or goes.
      return new NetlinkSocket(net, type, protocol, null)
    default:
      return -EPROTONOSUPPORT
  }
}

registerFamily(AF_NETLINK, make)
