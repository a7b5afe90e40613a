// TCP_INFO: struct tcp_info, tcp_get_info in net/ipv4/tcp.c. There are no segments whose ways could be measured: what is told
// is what Linux tells of a connection over lo before the first of them gets lost.

import type { TcpSocket } from './tcp.ts'

/** The whole of it as of Linux 5.19; later versions only add counters. */
const SIZE = 232
/** Timestamps, selective acknowledgements, scaled windows. */
const OPTIONS = 1 | 2 | 4
const WINDOW_SCALE = 10
const INITIAL_WINDOW = 10
const REORDERING = 3
const NO_THRESHOLD = 0x7fffffff
/** The payload of a segment: half of the largest window, since lo takes packets of 64 KiB. */
export const SEGMENT_SIZE = 32768
const RECEIVED_SEGMENT = 536
const PATH_MTU = 65535
const ADVERTISED_SEGMENT = 65483
/** In microseconds. */
const TIMEOUT = 201_000
const ROUND_TRIP = 20

/** Fill `into`; returns the length. */
export function writeTcpInfo(socket: TcpSocket, into: Uint8Array): number {
  into.fill(0, 0, SIZE)
  const view = new DataView(into.buffer, into.byteOffset)
  into[0] = socket.stateNumber
  view.setUint32(80, INITIAL_WINDOW, true)
  view.setUint32(88, REORDERING, true)
  const [waiting, backlog] = socket.acceptQueue
  if (socket.listening) {
    // Linux tells the queue of connections in fields that a listener has no other use for.
    view.setUint32(24, waiting, true)
    view.setUint32(28, backlog, true)
    return SIZE
  }
  if (!socket.connected) return SIZE
  into[5] = OPTIONS
  into[6] = WINDOW_SCALE | (WINDOW_SCALE << 4)
  view.setUint32(8, TIMEOUT, true)
  view.setUint32(16, SEGMENT_SIZE, true)
  view.setUint32(20, RECEIVED_SEGMENT, true)
  view.setUint32(60, PATH_MTU, true)
  view.setUint32(64, Math.min(socket.receiveBuffer, ADVERTISED_SEGMENT), true)
  view.setUint32(68, ROUND_TRIP, true)
  view.setUint32(72, ROUND_TRIP / 2, true)
  view.setUint32(76, NO_THRESHOLD, true)
  view.setUint32(84, ADVERTISED_SEGMENT, true)
  return SIZE
}
