// Host calls on sockets of the host's network stack: the types of native/addon/host-socket.cc. All return >= 0 or
// -errno, and none waits.

import type { HostFd } from './index.ts'
import { addon } from './load.ts'

interface HostSocketCalls {
  socketOpen(family: number, type: number, protocol: number): number
  socketBind(fd: HostFd, address: Uint8Array, length: number): number
  socketConnect(fd: HostFd, address: Uint8Array, length: number): number
  socketListen(fd: HostFd, backlog: number): number
  socketShutdown(fd: HostFd, how: number): number
  socketAccept(fd: HostFd, address: Uint8Array, lengths: Int32Array): number
  socketName(fd: HostFd, address: Uint8Array, lengths: Int32Array): number
  socketPeer(fd: HostFd, address: Uint8Array, lengths: Int32Array): number
  socketSend(fd: HostFd, from: Uint8Array, at: number, length: number, flags: number): number
  socketReceive(fd: HostFd, to: Uint8Array, at: number, length: number, flags: number): number
  socketSendMessage(
    fd: HostFd,
    from: Uint8Array,
    length: number,
    flags: number,
    address: Uint8Array,
    addressLength: number,
    control: Uint8Array,
    controlLength: number,
  ): number
  socketReceiveMessage(
    fd: HostFd,
    to: Uint8Array,
    length: number,
    flags: number,
    address: Uint8Array,
    control: Uint8Array,
    controlRoom: number,
    out: Int32Array,
  ): number
  socketSetOption(fd: HostFd, level: number, name: number, from: Uint8Array, length: number): number
  socketGetOption(fd: HostFd, level: number, name: number, to: Uint8Array, room: number): number
  socketNumber(fd: HostFd, request: number): number
  interfaceRequest(fd: HostFd, request: number, ifreq: Uint8Array): number
  interfaceList(fd: HostFd, to: Uint8Array, room: number): number
}

const host = addon as unknown as HostSocketCalls

/** socket(2), nonblocking. */
export const socketOpen = host.socketOpen
/** bind(2) and connect(2) with a sockaddr at the start of the array. */
export const socketBind = host.socketBind
export const socketConnect = host.socketConnect
export const socketListen = host.socketListen
export const socketShutdown = host.socketShutdown
/** accept4(2), nonblocking; the peer's address, and its length in lengths[0]. */
export const socketAccept = host.socketAccept
/** getsockname(2) and getpeername(2); the address's length in lengths[0]. */
export const socketName = host.socketName
export const socketPeer = host.socketPeer
/** send(2), which never raises SIGPIPE, and recv(2). */
export const socketSend = host.socketSend
export const socketReceive = host.socketReceive
/** sendmsg(2) of one piece, with an address and control messages when their lengths are not 0. */
export const socketSendMessage = host.socketSendMessage
/** recvmsg(2) into one piece: `out` gets the lengths of address and control messages, and msg_flags. */
export const socketReceiveMessage = host.socketReceiveMessage
export const socketSetOption = host.socketSetOption
/** getsockopt(2): the length of the option's value. */
export const socketGetOption = host.socketGetOption
/** FIONREAD, SIOCOUTQ or SIOCATMARK: the number that the request tells. */
export const socketNumber = host.socketNumber
/** netdevice(7): a request with a struct ifreq, which is changed in place. */
export const interfaceRequest = host.interfaceRequest
/** SIOCGIFCONF: the bytes written, or that there would be when `room` is 0. */
export const interfaceList = host.interfaceList
