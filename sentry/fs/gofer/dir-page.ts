// A page of a directory as the gofer sends it, decoded entry by entry. It keeps the received message itself, so
// other requests may be made while it is being read.

import {
  checkName,
  FileAttr,
  MESSAGE_MAX,
  MessageReader,
  readStat,
} from '../../../gofer/protocol.ts'
import {
  ENTRY_HEADER_SIZE,
  ENTRY_NAME_LENGTH,
  ENTRY_NEXT,
  ENTRY_STAT,
  latin1,
  STAT_TARGET_LENGTH,
} from '../../../native/index.ts'
import { EIO } from '../../../syscall-table/errno.ts'
import { isSane } from './results.ts'

export class DirEntry {
  name = ''
  readonly attr = new FileAttr()
}

export class DirPage {
  readonly reader = new MessageReader(new Uint8Array(MESSAGE_MAX))
  /** The directory ends with this page. */
  complete = false
  /** Position after the last entry that `next` has delivered: where to ask for the next page. */
  cookieLow = 0
  cookieHigh = 0
  /** A page has been received since `reset`. */
  loaded = false
  #remaining = 0

  reset(): void {
    this.complete = false
    this.loaded = false
    this.#remaining = 0
  }

  /** Reads the page's header; false when it is not one. */
  start(): boolean {
    const count = this.reader.u32()
    const complete = this.reader.u32()
    const minimum = count * ENTRY_HEADER_SIZE
    if (this.reader.bad || minimum > this.reader.end - this.reader.at || complete > 1) return false
    // A page that is empty and not the last would have us ask for ever.
    if (count === 0 && complete === 0) return false
    this.#remaining = count
    this.complete = complete === 1
    this.loaded = true
    return true
  }

  /** Decodes the next entry: 1, 0 when there is none left, -EIO when it makes no sense. */
  next(entry: DirEntry): number {
    const { reader } = this
    if (this.#remaining === 0) return 0
    const at = reader.take(ENTRY_HEADER_SIZE)
    if (at < 0) return this.#malformed()
    const { view } = reader
    const nameLength = view.getUint16(at + ENTRY_NAME_LENGTH, true)
    const nameAt = reader.take(nameLength)
    if (nameAt < 0) return this.#malformed()
    readStat(view, at + ENTRY_STAT, entry.attr)
    entry.name = latin1(reader.bytes, nameAt, nameLength)
    entry.attr.target = reader.target(view.getUint16(at + ENTRY_STAT + STAT_TARGET_LENGTH, true))
    reader.take(-reader.at & 7)
    if (reader.bad || checkName(entry.name) < 0 || !isSane(entry.attr)) return this.#malformed()
    this.cookieLow = view.getUint32(at + ENTRY_NEXT, true)
    this.cookieHigh = view.getUint32(at + ENTRY_NEXT + 4, true)
    this.#remaining--
    return 1
  }

  #malformed(): number {
    this.#remaining = 0
    return -EIO
  }
}
