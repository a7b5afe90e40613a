// The memory devices, major 1: null, zero, full, random and urandom. drivers/char/mem.c and random.c.

import { getrandom } from '../../../native/index.ts'
import { EFAULT, EINVAL, ENODEV, ENOSPC, ENOTTY, EPERM } from '../../../syscall-table/errno.ts'
import { CAP_SYS_ADMIN } from '../../../syscall-table/flags.ts'
import { RANDOM_MAX } from '../../kernel/random.ts'
import type { Task } from '../../kernel/task.ts'
import type { Io } from '../../mm/io.ts'
import { type File, FileOps, type MapSource } from '../../vfs/file.ts'
import { registerDevice } from './registry.ts'

/** Major number of the memory devices. */
const MEM_MAJOR = 1

/** Device 1:3 and the base of the others: takes everything, holds nothing. */
class NullOps extends FileOps {
  override seekable = true
  override spliceSource = false
  override read(_file: File, _io: Io, _pos: number, _task: Task): number {
    return 0
  }
  override write(_file: File, io: Io, _pos: number, _task: Task): number {
    return skip(io)
  }
  /** null_lseek: wherever one seeks, one is at the start. */
  override seek(file: File, _offset: number, _whence: number): number {
    file.pos = 0
    return 0
  }
}

/** Consume a write without looking at the program's memory, as write_null does. */
function skip(io: Io): number {
  const n = io.remaining
  io.remaining = 0
  io.done += n
  return n
}

const zeros = new Uint8Array(1 << 16)

/** What mapping /dev/zero gives: anonymous memory, shared or private as the call says. */
const PLAIN_MEMORY: MapSource = { hostFd: -1, offset: 0 }

class ZeroOps extends NullOps {
  override spliceSource = true

  override read(_file: File, io: Io, _pos: number, _task: Task): number {
    while (io.remaining > 0) {
      const n = io.put(zeros, 0, Math.min(io.remaining, zeros.length))
      if (n <= 0) return io.finish(-EFAULT)
    }
    return io.done
  }

  override map(): MapSource | number {
    return PLAIN_MEMORY
  }
}

class FullOps extends ZeroOps {
  override map(): MapSource | number {
    return -ENODEV
  }
  override write(_file: File, _io: Io, _pos: number, _task: Task): number {
    return -ENOSPC
  }
}

/** Bytes per refill: small enough that a read of a few bytes costs one cheap host call. */
const RANDOM_CHUNK = 4096
const RNDGETENTCNT = 0x80045200
const RNDADDTOENTCNT = 0x40045201
const RNDADDENTROPY = 0x40085203
const RNDZAPENTCNT = 0x5204
const RNDCLEARPOOL = 0x5206
const RNDRESEEDCRNG = 0x5207
/** Entropy in bits that a seeded pool reports: POOL_BITS. */
const POOL_BITS = 256

class RandomOps extends NullOps {
  override read(_file: File, io: Io, _pos: number, task: Task): number {
    const { bounce } = task.kernel
    while (io.remaining > 0 && io.done < RANDOM_MAX) {
      const length = Math.min(io.remaining, io.done === 0 ? RANDOM_CHUNK : bounce.length)
      const got = getrandom(bounce, 0, length)
      if (got < 0) return io.finish(got)
      const n = io.put(bounce, 0, got)
      if (n <= 0) return io.finish(-EFAULT)
      if (n < got) break
    }
    return io.done
  }

  override ioctl(_file: File, task: Task, request: number, arg: number): number {
    switch (request >>> 0) {
      case RNDGETENTCNT:
        task.kernel.scratchView.setInt32(0, POOL_BITS, true)
        return task.mm.copyOut(task, arg, task.kernel.scratch, 0, 4)
      case RNDADDTOENTCNT:
      case RNDADDENTROPY:
      case RNDZAPENTCNT:
      case RNDCLEARPOOL:
      case RNDRESEEDCRNG:
        // The pool is the host's: even root of the sandbox cannot change it.
        return task.creds.capable(CAP_SYS_ADMIN) ? -EINVAL : -EPERM
      default:
        return -ENOTTY
    }
  }
}

const nullOps = new NullOps()
const zeroOps = new ZeroOps()
const fullOps = new FullOps()
const randomOps = new RandomOps()

/** Make the memory devices known. */
export function registerMemoryDevices(): void {
  registerDevice(MEM_MAJOR, 3, () => nullOps)
  registerDevice(MEM_MAJOR, 5, () => zeroOps)
  registerDevice(MEM_MAJOR, 7, () => fullOps)
  registerDevice(MEM_MAJOR, 8, () => randomOps)
  registerDevice(MEM_MAJOR, 9, () => randomOps)
}
