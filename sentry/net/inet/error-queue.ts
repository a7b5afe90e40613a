// The error queue of a datagram socket: IP_RECVERR in ip(7), ip_icmp_error and ip_recv_error in net/ipv4/ip_sockglue.c.
// What comes back here are packets to ports where nobody listens.

import { EAGAIN, EFAULT } from '../../../syscall-table/errno.ts'
import {
  AF_INET,
  AF_INET6,
  IP_RECVERR,
  IPV6_RECVERR,
  MSG_ERRQUEUE,
  MSG_TRUNC,
  SOL_IP,
  SOL_IPV6,
} from '../../../syscall-table/flags.ts'
import type { Message } from '../message.ts'
import { isV4, writeAddress } from './address.ts'
import { ControlWriter, type PacketFacts } from './datagram-control.ts'
import type { InetSocket } from './inet-socket.ts'

const EXTENDED_ERROR_SIZE = 16
/** SO_EE_ORIGIN_ICMP, ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, and the same of ICMPv6. */
const UNREACHABLE4 = [2, 3, 3] as const
const UNREACHABLE6 = [3, 1, 4] as const
/** Beyond the receive buffer, as for datagrams, errors are lost. */
const MAX_ERRORS = 256

interface Failure {
  errno: number
  data: Uint8Array
  facts: PacketFacts
}

/** Errors that wait to be read, oldest first. */
export class ErrorQueue {
  readonly #failures: Failure[] = []

  get empty(): boolean {
    return this.#failures.length === 0
  }

  push(errno: number, data: Uint8Array, facts: PacketFacts): void {
    if (this.#failures.length < MAX_ERRORS) this.#failures.push({ errno, data, facts })
  }

  clear(): void {
    this.#failures.length = 0
  }

  /** recvmsg(2) with MSG_ERRQUEUE: the packet that failed, whom it was for, and why. */
  receive(socket: InetSocket, message: Message): number {
    const failure = this.#failures[0]
    if (failure === undefined) return -EAGAIN
    const { io } = message
    const { data, facts, errno } = failure
    const want = Math.min(io.remaining, data.length)
    if (want > 0 && io.put(data, 0, want) < want) return -EFAULT
    this.#failures.shift()
    socket.error = this.#failures[0]?.errno ?? 0
    message.nameLength = writeAddress(socket.family, facts.to, facts.toPort, message.name)
    const writer = new ControlWriter(message)
    const v4 = isV4(facts.to)
    writer.put(v4 ? SOL_IP : SOL_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, describe(errno, facts))
    writer.end()
    message.outFlags |= MSG_ERRQUEUE
    if (want < data.length) message.outFlags |= MSG_TRUNC
    return want
  }
}

/** struct sock_extended_err, and who has told of the error. */
function describe(errno: number, { to }: PacketFacts): Uint8Array {
  const v4 = isV4(to)
  const offender = new Uint8Array(28)
  const length = writeAddress(v4 ? AF_INET : AF_INET6, to, 0, offender)
  const bytes = new Uint8Array(EXTENDED_ERROR_SIZE + length)
  new DataView(bytes.buffer).setUint32(0, errno, true)
  bytes.set(v4 ? UNREACHABLE4 : UNREACHABLE6, 4)
  bytes.set(offender.subarray(0, length), EXTENDED_ERROR_SIZE)
  return bytes
}
