// Time stamps of received packets: SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING, each in an old and a new form that
// are the same where long has 64 bits, but for their numbers. socket(7), Documentation/networking/timestamping.rst.

import { EINVAL, EOPNOTSUPP } from '../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_INET6,
  SO_TIMESTAMP,
  SO_TIMESTAMP_NEW,
  SO_TIMESTAMPING,
  SO_TIMESTAMPING_NEW,
  SO_TIMESTAMPNS,
  SO_TIMESTAMPNS_NEW,
  SOCK_STREAM,
  SOF_TIMESTAMPING_BIND_PHC,
  SOF_TIMESTAMPING_LAST,
  SOF_TIMESTAMPING_OPT_ID,
} from '../../syscall-table/flags.ts'
import type { Socket } from './socket.ts'

const FORMS = new Set([SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW])
const KNOWN_FLAGS = SOF_TIMESTAMPING_LAST * 2 - 1

export function isTimestampOption(name: number): boolean {
  return FORMS.has(name) || name === SO_TIMESTAMPING || name === SO_TIMESTAMPING_NEW
}

/** setsockopt(2). One form of SO_TIMESTAMP replaces another. */
export function setTimestampOption(
  socket: Socket,
  name: number,
  view: DataView,
  size: number,
): number {
  const number = view.getInt32(0, true)
  if (FORMS.has(name)) {
    socket.timestamp = number !== 0 ? name : 0
    return 0
  }
  if ((number & ~KNOWN_FLAGS) !== 0) return -EINVAL
  const inet = socket.family === AF_INET || socket.family === AF_INET6
  const stream = inet && socket.type === SOCK_STREAM
  // Bytes are counted from a connection's start on.
  if ((number & SOF_TIMESTAMPING_OPT_ID) !== 0 && stream && !connected(socket)) return -EINVAL
  // No clock of a device to bind to.
  if ((number & SOF_TIMESTAMPING_BIND_PHC) !== 0) return -EOPNOTSUPP
  if (size > 4 && size < 8) return -EINVAL
  socket.timestamping = number
  socket.timestampingForm = name
  return 0
}

const connected = (socket: Socket): boolean => socket.peerAddress(new Uint8Array(128)) >= 0

export function getTimestampOption(socket: Socket, name: number, view: DataView): number {
  view.setUint32(4, 0, true)
  if (name === SO_TIMESTAMPING || name === SO_TIMESTAMPING_NEW) {
    view.setInt32(0, socket.timestamping, true)
    return 8
  }
  // Linux has a flag for stamps of the new kind with nanoseconds that makes both new options tell of it.
  const both = name === SO_TIMESTAMP_NEW && socket.timestamp === SO_TIMESTAMPNS_NEW
  view.setInt32(0, socket.timestamp === name || both ? 1 : 0, true)
  return 4
}
