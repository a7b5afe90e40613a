// What programs ask of network interfaces: netdevice(7). There is lo.

import { EFAULT, ENODEV, ENOTTY, EOPNOTSUPP, EPERM } from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  CAP_NET_ADMIN,
  IFF_LOOPBACK,
  IFF_RUNNING,
  IFF_UP,
  SIOCDEVPRIVATE,
  SIOCETHTOOL,
  SIOCGIFADDR,
  SIOCGIFBRDADDR,
  SIOCGIFCONF,
  SIOCGIFDSTADDR,
  SIOCGIFFLAGS,
  SIOCGIFHWADDR,
  SIOCGIFINDEX,
  SIOCGIFMAP,
  SIOCGIFMETRIC,
  SIOCGIFMTU,
  SIOCGIFNAME,
  SIOCGIFNETMASK,
  SIOCGIFTXQLEN,
  SIOCGMIIPHY,
  SIOCGMIIREG,
  SIOCSIFADDR,
  SIOCSIFFLAGS,
  SIOCSIFMTU,
  SIOCSIFNETMASK,
} from '../../../syscall-table/flags.ts'
import type { Task } from '../../kernel/task.ts'
import { hostNetworkOf } from '../host/lookup.ts'
import { ANY4, LOOPBACK4, writeAddress } from './address.ts'

const NAME = 'lo'
/** IFNAMSIZ. */
export const INTERFACE_NAME_SIZE = 16
const NAME_SIZE = INTERFACE_NAME_SIZE
const IFREQ_SIZE = 40
const INDEX = 1
const MTU = 65536
const QUEUE_LENGTH = 1000
const NETMASK = 0xff000000
/** ARPHRD_LOOPBACK. */
const HARDWARE_LOOPBACK = 772

const request = new Uint8Array(IFREQ_SIZE)
const view = new DataView(request.buffer)
const value = request.subarray(NAME_SIZE)

/** The index of an interface, or -ENODEV. */
export function interfaceIndex(name: string): number {
  return name === NAME ? INDEX : -ENODEV
}

/** The name of the interface with an index. */
export function interfaceName(index: number): string | undefined {
  return index === INDEX ? NAME : undefined
}

/** The requests of netdevice(7) that any socket takes; -ENOTTY for others. */
export function interfaceIoctl(task: Task, command: number, arg: number): number {
  const host = hostNetworkOf(task)
  if (host !== null) return host.interfaceIoctl(task, command, arg)
  if (command === SIOCGIFCONF) return listInterfaces(task, arg)
  if (CHANGES.has(command)) return change(task, command, arg)
  const isPrivate = command >= SIOCDEVPRIVATE && command < SIOCDEVPRIVATE + 16
  if (isPrivate || UNSUPPORTED.has(command)) return refuse(task, command, arg)
  if (!KNOWN.has(command)) return -ENOTTY
  if (task.mm.copyIn(task, arg, request, 0, IFREQ_SIZE) < 0) return -EFAULT
  if (command === SIOCGIFNAME) {
    if (view.getInt32(NAME_SIZE, true) !== INDEX) return -ENODEV
    writeName()
  } else {
    if (!isNamed()) return -ENODEV
    answer(command)
  }
  return task.mm.copyResult(task, arg, request, 0, IFREQ_SIZE)
}

const KNOWN = new Set([
  SIOCGIFADDR,
  SIOCGIFBRDADDR,
  SIOCGIFDSTADDR,
  SIOCGIFMAP,
  SIOCGIFFLAGS,
  SIOCGIFHWADDR,
  SIOCGIFINDEX,
  SIOCGIFMETRIC,
  SIOCGIFMTU,
  SIOCGIFNAME,
  SIOCGIFNETMASK,
  SIOCGIFTXQLEN,
])

/** Requests to the driver of an interface: that of lo has none. */
const UNSUPPORTED = new Set([SIOCETHTOOL, SIOCGMIIPHY, SIOCGMIIREG])

function refuse(task: Task, command: number, arg: number): number {
  if (task.mm.copyIn(task, arg, request, 0, IFREQ_SIZE) < 0) return -EFAULT
  const { scratch } = task.kernel
  // The command of ethtool(8) is read before its interface is looked up.
  const at = view.getUint32(NAME_SIZE + 4, true) * 2 ** 32 + view.getUint32(NAME_SIZE, true)
  if (command === SIOCETHTOOL && task.mm.copyIn(task, at, scratch, 0, 4) < 0) return -EFAULT
  return isNamed() ? -EOPNOTSUPP : -ENODEV
}

const CHANGES = new Set([SIOCSIFFLAGS, SIOCSIFADDR, SIOCSIFMTU, SIOCSIFNETMASK])

/** lo is as it is: what asks for that is granted. */
function change(task: Task, command: number, arg: number): number {
  if (task.mm.copyIn(task, arg, request, 0, IFREQ_SIZE) < 0) return -EFAULT
  if (!task.creds.capableIn(task.nsproxy.net.owner!, CAP_NET_ADMIN)) return -EPERM
  if (!isNamed()) return -ENODEV
  const up = (view.getUint16(NAME_SIZE, true) & IFF_UP) !== 0
  return command === SIOCSIFFLAGS && up ? 0 : -EOPNOTSUPP
}

function isNamed(): boolean {
  const end = request.indexOf(0)
  return Buffer.from(request.subarray(0, Math.min(end, NAME_SIZE))).toString('latin1') === NAME
}

function writeName(): void {
  request.fill(0, 0, NAME_SIZE)
  request.set(Buffer.from(NAME))
}

function answer(command: number): void {
  switch (command) {
    case SIOCGIFMAP:
      value.fill(0)
      return
    case SIOCGIFBRDADDR:
      writeAddress(AF_INET, ANY4, 0, value)
      return
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
      writeAddress(AF_INET, LOOPBACK4, 0, value)
      return
    case SIOCGIFNETMASK:
      writeAddress(AF_INET, NETMASK, 0, value)
      return
    case SIOCGIFFLAGS:
      view.setUint16(NAME_SIZE, IFF_UP | IFF_LOOPBACK | IFF_RUNNING, true)
      return
    case SIOCGIFHWADDR:
      value.fill(0)
      view.setUint16(NAME_SIZE, HARDWARE_LOOPBACK, true)
      return
    default:
      view.setInt32(NAME_SIZE, NUMBERS[command] ?? 0, true)
  }
}

const NUMBERS: Record<number, number> = {
  [SIOCGIFINDEX]: INDEX,
  [SIOCGIFMETRIC]: 0,
  [SIOCGIFMTU]: MTU,
  [SIOCGIFTXQLEN]: QUEUE_LENGTH,
}

/** struct ifconf: the interfaces that have an IPv4 address, as many as there is room for. */
function listInterfaces(task: Task, arg: number): number {
  const { scratch, scratchView } = task.kernel
  if (task.mm.copyIn(task, arg, scratch, 0, 16) < 0) return -EFAULT
  const room = scratchView.getInt32(0, true)
  const at = scratchView.getUint32(12, true) * 2 ** 32 + scratchView.getUint32(8, true)
  const fits = at === 0 || room >= IFREQ_SIZE
  if (fits && at !== 0) {
    request.fill(0)
    writeName()
    writeAddress(AF_INET, LOOPBACK4, 0, value)
    if (task.mm.copyResult(task, at, request, 0, IFREQ_SIZE) < 0) return -EFAULT
  }
  scratchView.setInt32(0, fits ? IFREQ_SIZE : 0, true)
  return task.mm.copyResult(task, arg, scratch, 0, 4)
}
