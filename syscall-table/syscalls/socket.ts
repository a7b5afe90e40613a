// Sockets.

import {
  addr,
  fd,
  flags,
  inArray,
  inBuf,
  inMsghdr,
  inoutInts,
  inp,
  inSockaddr,
  int,
  msghdr,
  outArray,
  outBuf,
  outInts,
  outSockaddr,
  size,
  uint,
} from '../args.ts'
import { inArea } from '../row.ts'

export const socketCalls = inArea('socket', {
  socket: { nr: 41, args: { domain: flags('AF'), type: flags('SOCK'), protocol: int } },
  connect: {
    nr: 42,
    args: { sockfd: fd, addr: inSockaddr('addrlen'), addrlen: int },
    restart: 'sys',
  },
  accept: {
    nr: 43,
    args: { sockfd: fd, addr: outSockaddr('addrlen'), addrlen: inoutInts(1) },
    restart: 'sys',
  },
  sendto: {
    nr: 44,
    args: {
      sockfd: fd,
      buf: inBuf('len'),
      len: size,
      flags: flags('MSG'),
      destAddr: inSockaddr('addrlen'),
      addrlen: int,
    },
    restart: 'sys',
  },
  recvfrom: {
    nr: 45,
    args: {
      sockfd: fd,
      buf: outBuf('len'),
      len: size,
      flags: flags('MSG'),
      srcAddr: outSockaddr('addrlen'),
      addrlen: inoutInts(1),
    },
    restart: 'sys',
  },
  sendmsg: { nr: 46, args: { sockfd: fd, msg: inMsghdr, flags: flags('MSG') }, restart: 'sys' },
  recvmsg: { nr: 47, args: { sockfd: fd, msg: msghdr, flags: flags('MSG') }, restart: 'sys' },
  shutdown: { nr: 48, args: { sockfd: fd, how: flags('SHUT') } },
  bind: { nr: 49, args: { sockfd: fd, addr: inSockaddr('addrlen'), addrlen: int } },
  listen: { nr: 50, args: { sockfd: fd, backlog: int } },
  getsockname: {
    nr: 51,
    args: { sockfd: fd, addr: outSockaddr('addrlen'), addrlen: inoutInts(1) },
  },
  getpeername: {
    nr: 52,
    args: { sockfd: fd, addr: outSockaddr('addrlen'), addrlen: inoutInts(1) },
  },
  socketpair: {
    nr: 53,
    args: { domain: flags('AF'), type: flags('SOCK'), protocol: int, sv: outInts(2) },
  },
  setsockopt: {
    nr: 54,
    args: { sockfd: fd, level: flags('SOL'), optname: int, optval: inBuf('optlen'), optlen: int },
  },
  getsockopt: {
    nr: 55,
    args: { sockfd: fd, level: flags('SOL'), optname: int, optval: addr, optlen: inoutInts(1) },
  },
  accept4: {
    nr: 288,
    args: {
      sockfd: fd,
      addr: outSockaddr('addrlen'),
      addrlen: inoutInts(1),
      flags: flags('SOCK_FLAGS'),
    },
    restart: 'sys',
  },
  recvmmsg: {
    nr: 299,
    args: {
      sockfd: fd,
      msgvec: outArray('mmsghdr', 'vlen'),
      vlen: uint,
      flags: flags('MSG'),
      timeout: inp('timespec'),
    },
    restart: 'sys',
  },
  sendmmsg: {
    nr: 307,
    args: { sockfd: fd, msgvec: inArray('mmsghdr', 'vlen'), vlen: uint, flags: flags('MSG') },
    restart: 'sys',
  },
})
