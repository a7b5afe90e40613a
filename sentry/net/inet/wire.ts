// The packets of lo, for those who look at them: raw sockets, and packet sockets. Sockets of UDP and TCP hand their data
// to each other without packets, so that one is only made when somebody looks.

import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { IpPacket } from './ip-packet.ts'

/** Somebody who sees packets. */
export interface Observer {
  see(packet: IpPacket): void
}

/** The frames of lo: each is seen when it is sent, and when it has arrived. */
export interface FrameObserver {
  seeFrame(packet: Uint8Array, etherType: number, outgoing: boolean): void
}

interface Wire {
  readonly raw: Set<Observer>
  readonly frames: Set<FrameObserver>
}

const wires = new WeakMap<NetNamespace, Wire>()

/** Those who look at the packets of a network namespace. */
export function wireOf(net: NetNamespace): Wire {
  let wire = wires.get(net)
  if (wire === undefined) {
    wire = { raw: new Set(), frames: new Set() }
    wires.set(net, wire)
  }
  return wire
}

/** Whether anybody looks. */
export function isObserved(net: NetNamespace): boolean {
  const wire = wires.get(net)
  return wire !== undefined && (wire.raw.size > 0 || wire.frames.size > 0)
}

const ETH_P_IP = 0x0800
export const ETH_P_IPV6 = 0x86dd

/** Show a packet to all who look. */
export function show(net: NetNamespace, packet: IpPacket): void {
  showFrame(net, packet.bytes, packet.bytes[0]! >> 4 === 6 ? ETH_P_IPV6 : ETH_P_IP, null)
  showRaw(net, packet)
}

/** Show a packet that has arrived to raw sockets. */
export function showRaw(net: NetNamespace, packet: IpPacket): void {
  for (const observer of [...wireOf(net).raw]) observer.see(packet)
}

/** Show what travels in a frame. Its sender, when that is a packet socket, does not see it go. */
export function showFrame(
  net: NetNamespace,
  bytes: Uint8Array,
  etherType: number,
  sender: FrameObserver | null,
): void {
  const frames = [...wireOf(net).frames]
  for (const observer of frames) if (observer !== sender) observer.seeFrame(bytes, etherType, true)
  for (const observer of frames) observer.seeFrame(bytes, etherType, false)
}
