// Descriptors of ours that a program gets as well: --preserve-fds of runc, --pass-fd of gVisor.

import { fstatSync, readlinkSync } from 'node:fs'
import { InvalidArgumentError, Option } from 'commander'
import { fcntl } from '../native/host.ts'
import { F_GETFL, O_ACCMODE, O_RDWR } from '../syscall-table/flags.ts'
import { CliError } from './errors.ts'
import { integer } from './options.ts'

export interface PassedFd {
  host: number
  guest: number
}

/** What `fdOptions` give. */
export interface FdOptions {
  preserveFds: number
  passFd: PassedFd[]
}

const FIRST = 3
/** The numbers below 64 are what a sandbox has for them, beside its own and those of its cgroup. */
const MAX = 32
const MAX_GUEST = 65535

export const fdOptions = (): Option[] => [
  new Option('--preserve-fds <count>', 'descriptors from 3 on that the program gets as well')
    .argParser(integer(0, MAX))
    .default(0),
  new Option('--pass-fd <M:N>', 'descriptor M, which becomes N in the container; may be repeated')
    .argParser((text: string, list: PassedFd[]) => [...list, parsePair(text)])
    .default([]),
]

function parsePair(text: string): PassedFd {
  const match = /^(\d{1,9}):(\d{1,9})$/.exec(text)
  const guest = Number(match?.[2])
  if (match === null || guest > MAX_GUEST)
    throw new InvalidArgumentError(`expected M:N in numbers, with N up to ${MAX_GUEST}`)
  if (guest < FIRST)
    throw new InvalidArgumentError('0, 1 and 2 are the standard streams of the program')
  return { host: Number(match[1]), guest }
}

/** All that are to be passed, checked: each is open, and has a number of its own. */
export function passedFds({ preserveFds, passFd }: FdOptions): PassedFd[] {
  const preserved = Array.from({ length: preserveFds }, (_, i) => FIRST + i)
  const all = [...preserved.map(fd => ({ host: fd, guest: fd })), ...passFd]
  if (all.length > MAX) throw new CliError(`no more than ${MAX} descriptors can be passed`)
  const taken = new Set<number>()
  for (const { host, guest } of all) {
    if (taken.has(guest)) throw new CliError(`two descriptors cannot both become ${guest}`)
    taken.add(guest)
    if (!isOpen(host)) throw new CliError(`descriptor ${host} is to be passed, but is not open`)
  }
  return all
}

/** Whether we were given it: what Node has opened for itself has numbers, too. */
function isOpen(fd: number): boolean {
  try {
    fstatSync(fd)
    const path = readlinkSync(`/proc/self/fd/${fd}`)
    // native/launcher/start.c keeps numbers free by it.
    const reserved = path === '/dev/null' && (fcntl(fd, F_GETFL, 0) & O_ACCMODE) === O_RDWR
    return !reserved && !/^anon_inode:\[(eventpoll|eventfd|io_uring)\]$/.test(path)
  } catch {
    return false
  }
}
