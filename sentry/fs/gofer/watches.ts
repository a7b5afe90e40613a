// Directories that others may change, and of whose changes the host tells: what was learnt of a name there holds until an
// event names it, and need not be asked again. Whoever has changed a name has queued its event before he knows
// that it is done; so one look at the queue, at the first use in each moment, makes all that is known as true as an answer would be.

import { close, type HostFd, latin1, pread } from '../../../native/index.ts'
import { EAGAIN, ENFILE, ENOSPC } from '../../../syscall-table/errno.ts'
import { IN_ATTRIB, IN_IGNORED, IN_ISDIR, IN_Q_OVERFLOW } from '../../../syscall-table/flags.ts'
import { currentMoment } from '../../vfs/moment.ts'
import type { GoferClient } from './client.ts'

/** Watches cost the host memory, and count for whoever runs the sandbox. */
const WATCHES_MAX = 512
/** Names that changed, of one directory, before all of its names count as changed. */
const CHANGED_MAX = 64
/** So many events in a row without anything that was known: the watch costs more than it saves. */
const USELESS_MAX = 256
/** Then it is tried again after so many times more questions. */
const LATER = 16
/** Events that come faster than they can be read must not keep the kernel busy. */
const READS_MAX = 8

// struct inotify_event
const WD = 0
const MASK = 4
const NAME_LENGTH = 12
const EVENT_SIZE = 16

const buffer = new Uint8Array(64 * 1024)
const view = new DataView(buffer.buffer)
const told = { fd: -1 }

/** A directory that can be watched. */
export interface WatchedDirectory {
  watch: Watch | null
  /** So many names have to be asked for before it is worth it. */
  watchAfter: number
  /** Counts changes of names. */
  version: number
  needHandle(): number
}

/** What is told of one directory. */
export class Watch {
  readonly number: number
  /** What was learnt at this moment or later holds, but for the names in `#changed`, which have a later moment each. */
  since = currentMoment() + 1
  readonly #changed = new Map<string, number>()
  /** Events since the last one that left something known to be used. */
  useless = 0
  /** Names that had to be asked for all the same, and how many of them are worth a listing. */
  asked = 0
  listAfter = 4

  constructor(number: number) {
    this.number = number
  }

  /** What was told of `name` at the moment `toldAt` holds still. */
  keeps(name: string, toldAt: number): boolean {
    if (toldAt < this.since) return false
    const changed = this.#changed.get(name)
    if (changed !== undefined && toldAt < changed) return false
    this.useless = 0
    return true
  }

  /** What is learnt in this very moment may have been learnt before the change. */
  nameChanged(name: string): void {
    this.useless++
    this.#changed.set(name, currentMoment() + 1)
    if (this.#changed.size > CHANGED_MAX) this.allChanged()
  }

  allChanged(): void {
    this.since = currentMoment() + 1
    this.#changed.clear()
  }
}

/** The watches of one gofer's file systems. */
export class Watches {
  readonly #client: GoferClient
  #fd: HostFd = -1
  /** By number, oldest first. One directory may be part of several file systems. */
  readonly #watched = new Map<number, WatchedDirectory[]>()
  #polledAt = 0
  /** The host does not let us have any. */
  #refused = false

  constructor(client: GoferClient) {
    this.#client = client
  }

  /** Watch a directory, unless it is already. False when that is not possible. */
  add(dir: WatchedDirectory): boolean {
    if (dir.watch !== null) return true
    const handle = this.#refused ? -1 : dir.needHandle()
    if (handle < 0) return false
    if (this.#watched.size >= WATCHES_MAX) this.#dropOldest(WATCHES_MAX / 4)
    const starts = this.#fd < 0
    const number = starts ? this.#client.watchStart(handle, told) : this.#client.watch(handle)
    if (number < 0) {
      dir.watchAfter = Number.POSITIVE_INFINITY
      // Not this directory alone: the limits of the host are reached.
      this.#refused = number === -ENOSPC || number === -ENFILE
      return false
    }
    if (starts) this.#fd = told.fd
    // Programs hold so many descriptors that there was none left for it.
    if (this.#fd < 0) {
      this.#client.unwatch(number)
      return false
    }
    dir.watch = new Watch(number)
    const others = this.#watched.get(number)
    if (others === undefined) this.#watched.set(number, [dir])
    else others.push(dir)
    return true
  }

  remove(dir: WatchedDirectory): void {
    const { watch } = dir
    if (watch === null) return
    dir.watch = null
    const others = this.#watched.get(watch.number)?.filter(other => other !== dir) ?? []
    if (others.length > 0) this.#watched.set(watch.number, others)
    else this.#end(watch.number)
  }

  #end(number: number): void {
    if (this.#watched.delete(number)) this.#client.unwatch(number)
  }

  #dropOldest(count: number): void {
    let left = count
    for (const dirs of this.#watched.values()) {
      if (left-- <= 0) return
      for (const dir of [...dirs]) this.remove(dir)
    }
  }

  /** Hear of all that has happened until now. */
  poll(): void {
    const moment = currentMoment()
    if (this.#polledAt === moment || this.#fd < 0) return
    this.#polledAt = moment
    for (let reads = 0; reads < READS_MAX; reads++) {
      const n = pread(this.#fd, buffer, 0, buffer.length, -1)
      if (n === -EAGAIN) return
      if (n < EVENT_SIZE) break
      this.#take(n)
    }
    this.#stop()
  }

  #take(length: number): void {
    for (let at = 0; at + EVENT_SIZE <= length; ) {
      const nameLength = view.getUint32(at + NAME_LENGTH, true)
      const start = at + EVENT_SIZE
      const end = Math.min(start + nameLength, length)
      let nul = start
      while (nul < end && buffer[nul] !== 0) nul++
      this.#event(view.getInt32(at + WD, true), view.getUint32(at + MASK, true), start, nul)
      at = start + nameLength
    }
  }

  #event(number: number, mask: number, nameAt: number, nameEnd: number): void {
    if ((mask & IN_Q_OVERFLOW) !== 0) {
      for (const dirs of this.#watched.values()) for (const dir of dirs) allChanged(dir)
      return
    }
    const dirs = this.#watched.get(number)
    if (dirs === undefined) return
    if ((mask & IN_IGNORED) !== 0) {
      for (const dir of [...dirs]) this.remove(dir)
      return
    }
    // Attributes of files are asked for whenever somebody wants them: they have other names, in other directories.
    const changesOnly = (mask & ~(IN_ISDIR | IN_ATTRIB)) === 0
    if (nameAt === nameEnd || (changesOnly && (mask & IN_ISDIR) === 0)) return
    const name = latin1(buffer, nameAt, nameEnd - nameAt)
    for (const dir of [...dirs]) {
      if (!changesOnly) dir.version++
      const watch = dir.watch!
      watch.nameChanged(name)
      if (watch.useless <= USELESS_MAX) continue
      this.remove(dir)
      dir.watchAfter *= LATER
    }
  }

  /** There is no keeping up, or the instance has failed: nothing is known any more. */
  #stop(): void {
    this.#dropOldest(this.#watched.size)
    close(this.#fd)
    this.#fd = -1
    this.#refused = true
  }
}

function allChanged(dir: WatchedDirectory): void {
  dir.version++
  dir.watch!.allChanged()
}
