// Host calls that are not about files: time, randomness, terminals, readiness, and Node's own event loop.
// All return >= 0 or -errno, and take an offset and a length where they move bytes.

import type { HostFd } from './index.ts'
import { addon } from './load.ts'

interface HostIo {
  clockNs(clock: number): number
  clockParts(clock: number, into: Float64Array): number
  getrandom(into: Uint8Array, at: number, length: number): number
  poll(fd: HostFd, events: number, timeoutMs: number): number
  read(fd: HostFd, into: Uint8Array, at: number, length: number): number
  write(fd: HostFd, from: Uint8Array, at: number, length: number): number
  pipe2(fds: Int32Array, flags: number): number
  setNonblocking(fd: HostFd, on: boolean): number
  fcntl(fd: HostFd, command: number, argument: number): number
  flock(fd: HostFd, operation: number): number
  tcgets(fd: HostFd, into: Uint8Array): number
  tcsets(fd: HostFd, action: number, from: Uint8Array): number
  getWinsize(fd: HostFd, into: Uint16Array): number
  setWinsize(fd: HostFd, from: Uint16Array): number
  readable(fd: HostFd): number
  uvBackendFd(): number
  uvBackendTimeout(): number
  ignoreSignal(signo: number): number
  killProcess(pid: number, signo: number): number
}

const host = addon as unknown as HostIo

/** clock_gettime(2) in nanoseconds; beyond 2^53 (CLOCK_REALTIME) the last bits are lost. */
export const clockNs = host.clockNs
/** clock_gettime(2), exact: seconds and nanoseconds. */
export const clockParts = host.clockParts
/** Fill a window with random bytes; never returns less than asked. */
export const getrandom = host.getrandom
/** poll(2) on one descriptor: its revents, 0 after the timeout. */
export const poll = host.poll
/** read(2) and write(2) at the file's own position; -EAGAIN when nonblocking and not ready. */
export const read = host.read
export const write = host.write
export const pipe2 = host.pipe2
export const setNonblocking = host.setNonblocking
/** fcntl(2) with a number as argument. */
export const fcntl = host.fcntl
/** flock(2). */
export const flock = host.flock
/** The kernel's 36 bytes of struct termios. */
export const tcgets = host.tcgets
/** TCSETS, TCSETSW or TCSETSF for action 0, 1 or 2. */
export const tcsets = host.tcsets
/** Rows, columns, width and height. */
export const getWinsize = host.getWinsize
export const setWinsize = host.setWinsize
/** FIONREAD. */
export const readable = host.readable
/** A descriptor that is readable when Node's event loop has something to do. */
export const uvBackendFd = host.uvBackendFd
/** Milliseconds until Node's next timer; 0 when something is due now, -1 for never. */
export const uvBackendTimeout = host.uvBackendTimeout
/** Ignore a signal in this process. */
export const ignoreSignal = host.ignoreSignal
/** kill(2). */
export const killProcess = host.killProcess
