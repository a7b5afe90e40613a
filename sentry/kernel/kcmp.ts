// Whether two tasks share a kernel object: kcmp(2).

import { EBADF, EINVAL, ENOENT } from '../../syscall-table/errno.ts'
import {
  KCMP_FILE,
  KCMP_FILES,
  KCMP_FS,
  KCMP_IO,
  KCMP_SIGHAND,
  KCMP_SYSVSEM,
  KCMP_VM,
} from '../../syscall-table/flags.ts'
import { Epoll } from '../fs/epoll.ts'
import type { Task } from './task.ts'

/** Objects in the order in which they were first compared: an order that tells nothing of the kernel's memory. */
const numbers = new WeakMap<object, number>()
let lastNumber = 0

function numberOf(object: object | null): number {
  if (object === null) return 0
  let number = numbers.get(object)
  if (number === undefined) {
    number = ++lastNumber
    numbers.set(object, number)
  }
  return number
}

/** 0 for the same object, 1 and 2 for an order of different ones, or -errno. */
export function compareObjects(
  one: Task,
  other: Task,
  type: number,
  index1: number,
  index2: number,
): number {
  if (type === KCMP_FILE) {
    const file1 = one.files.get(index1)
    const file2 = other.files.get(index2)
    return file1 === undefined || file2 === undefined ? -EBADF : order(file1, file2)
  }
  switch (type) {
    case KCMP_VM:
      return order(one.mm, other.mm)
    case KCMP_FILES:
      return order(one.files, other.files)
    case KCMP_FS:
      return order(one.fs, other.fs)
    case KCMP_SIGHAND:
      return order(one.group.handlers, other.group.handlers)
    case KCMP_IO:
      // Nobody has an I/O context: that of the host's threads is the host's business.
      return 0
    case KCMP_SYSVSEM:
      return order(one.semUndo, other.semUndo)
    default:
      return -EINVAL
  }
}

/**
 * KCMP_EPOLL_TFD: descriptor `index` of `one`, and what the epoll file `epollFd` of `other` watches as its
 * number `offset` of those that were added as descriptor `fd`.
 */
export function compareWithWatched(
  one: Task,
  other: Task,
  index: number,
  epollFd: number,
  fd: number,
  offset: number,
): number {
  const file = one.files.get(index)
  const epoll = other.files.get(epollFd)?.ops
  if (file === undefined || epoll === undefined) return -EBADF
  if (!(epoll instanceof Epoll)) return -EINVAL
  const watched = epoll.watchedAs(fd, offset)
  return watched === undefined ? -ENOENT : order(file, watched)
}

function order(one: object | null, other: object | null): number {
  if (one === other) return 0
  return numberOf(one) < numberOf(other) ? 1 : 2
}
