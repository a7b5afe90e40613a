// /sys/class/net of --network=host: the interfaces that the container's network namespace has at the moment.

import { ENOENT } from '../../../syscall-table/errno.ts'
import {
  IFF_LOOPBACK,
  IFF_RUNNING,
  IFF_UP,
  SIOCGIFFLAGS,
  SIOCGIFINDEX,
  SIOCGIFMTU,
  SIOCGIFTXQLEN,
} from '../../../syscall-table/flags.ts'
import type { HostNetwork } from '../../net/host/network.ts'
import type { DirSink, Inode } from '../../vfs/inode.ts'
import {
  type Content,
  direntType,
  PseudoDirectory,
  type PseudoFs,
  PseudoLink,
  StaticDirectory,
} from '../pseudo.ts'
import { SysfsFile } from './file.ts'

const HARDWARE_SIZE = 6
/** The columns of /proc/net/dev, as the files of `statistics`. */
const COUNTERS =
  `rx_bytes rx_packets rx_errors rx_dropped rx_fifo_errors rx_frame_errors rx_compressed multicast
  tx_bytes tx_packets tx_errors tx_dropped tx_fifo_errors collisions tx_carrier_errors tx_compressed`.split(
    /\s+/,
  )

/** Names and counters, out of the table of the host. */
function interfaces(network: HostNetwork): Map<string, string[]> {
  const lines = (network.table('dev') ?? '').split('\n').slice(2)
  const found = new Map<string, string[]>()
  for (const line of lines) {
    const [, name, rest] = /^ *([^:]+):(.*)$/.exec(line) ?? []
    if (name !== undefined) found.set(name, rest!.trim().split(/ +/))
  }
  return found
}

/** One entry per interface, which `make` makes when it is first looked up. */
class InterfaceDirectory extends PseudoDirectory {
  readonly #network: HostNetwork
  readonly #make: (name: string) => Inode
  readonly #made = new Map<string, Inode>()

  constructor(sb: PseudoFs, network: HostNetwork, make: (name: string) => Inode) {
    super(sb)
    this.#network = network
    this.#make = make
  }

  #entry(name: string): Inode {
    const inode = this.#made.get(name) ?? this.#make(name)
    this.#made.set(name, inode)
    return inode
  }

  override lookup(name: string): Inode | number {
    if (interfaces(this.#network).has(name)) return this.#entry(name)
    this.#made.delete(name)
    return -ENOENT
  }

  protected override list(pos: number, sink: DirSink): number {
    const names = [...interfaces(this.#network).keys()]
    for (let i = pos - 2; i < names.length; i++) {
      const inode = this.#entry(names[i]!)
      if (!sink.entry(names[i]!, inode.ino, direntType(inode.mode), i + 3)) return 0
    }
    return 0
  }
}

/** Put the interfaces below `devices` and `classes`. */
export function addHostNetwork(
  network: HostNetwork,
  devices: StaticDirectory,
  classes: StaticDirectory,
): void {
  const { sb } = devices
  devices.add('net', new InterfaceDirectory(sb, network, name => describe(sb, network, name)))
  const link = (name: string) => new PseudoLink(sb, () => `../../devices/virtual/net/${name}`)
  classes.add('net', new InterfaceDirectory(sb, network, link))
}

function describe(sb: PseudoFs, network: HostNetwork, name: string): Inode {
  const directory = new StaticDirectory(sb)
  const add = (file: string, text: () => Content): void => {
    const line = (): Content => {
      const content = text()
      return typeof content === 'string' ? `${content}\n` : content
    }
    directory.add(file, new SysfsFile(sb, 0o444, line))
  }
  const number = (request: number) => () => {
    const value = network.interfaceNumber(name, request)
    return value < 0 ? value : `${value}`
  }
  const flags = () => Math.max(0, network.interfaceNumber(name, SIOCGIFFLAGS))
  add('ifindex', number(SIOCGIFINDEX))
  add('iflink', number(SIOCGIFINDEX))
  add('mtu', number(SIOCGIFMTU))
  add('tx_queue_len', number(SIOCGIFTXQLEN))
  add('flags', () => `0x${(flags() & ~IFF_RUNNING).toString(16)}`)
  add('carrier', () => ((flags() & IFF_RUNNING) !== 0 ? '1' : '0'))
  add('operstate', () => {
    if ((flags() & IFF_LOOPBACK) !== 0) return 'unknown'
    return (flags() & (IFF_UP | IFF_RUNNING)) === (IFF_UP | IFF_RUNNING) ? 'up' : 'down'
  })
  add('type', () => `${network.hardware(name)?.type ?? 1}`)
  add('address', () => addressText(network.hardware(name)?.address))
  add('addr_len', () => `${HARDWARE_SIZE}`)
  add('ifalias', () => '')
  add('dev_id', () => '0x0')
  add('dormant', () => '0')
  add('link_mode', () => '0')
  const statistics = directory.directory('statistics')
  COUNTERS.forEach((counter, column) => {
    const text = () => `${interfaces(network).get(name)?.[column] ?? '0'}\n`
    statistics.add(counter, new SysfsFile(sb, 0o444, text))
  })
  directory.add('subsystem', new PseudoLink(sb, () => '../../../../class/net'))
  return directory
}

const addressText = (bytes: Uint8Array | undefined): string =>
  Array.from(bytes ?? new Uint8Array(HARDWARE_SIZE), byte =>
    byte.toString(16).padStart(2, '0'),
  ).join(':')
