// The listening socket of a sandbox: types of native/addon/control.cc and pty.cc.

import type { HostFd } from './index.ts'
import { addon } from './load.ts'

interface Control {
  listenUnix(path: string): HostFd
  accept(fd: HostFd): HostFd
  openPty(fds: Int32Array): number
  closeOnExec(first: HostFd): number
}

const control = addon as unknown as Control

/** A listening stream socket bound to `path`, close-on-exec and nonblocking; or -errno. */
export const listenUnix = control.listenUnix
/** The next connection on a listening socket, close-on-exec and nonblocking; or -errno. */
export const accept = control.accept
/** Mark all descriptors from `first` on: no program that is executed inherits them by accident. */
export const closeOnExec = control.closeOnExec
/** A pseudo-terminal of the host, [master, slave]; the slave is in raw mode. */
export const openPty = control.openPty
