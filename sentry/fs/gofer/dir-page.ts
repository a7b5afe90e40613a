// Pages of directory entries as the gofer sends them: checked as a whole when they come, decoded entry by entry when
// somebody asks.

import { type FileAttr, MESSAGE_MAX, MessageReader, readStat } from '../../../gofer/protocol.ts'
import {
  checkPage,
  ENTRY_BARE,
  ENTRY_FLAGS,
  ENTRY_HEADER_SIZE,
  ENTRY_NAME_LENGTH,
  ENTRY_NEXT,
  ENTRY_STAT,
  findEntry,
  latin1,
  PAGE_COMPLETE,
  PAGE_HEADER_SIZE,
  STAT_INO,
  STAT_MODE,
  STAT_TARGET_LENGTH,
  TARGET_NOT_INLINE,
} from '../../../native/index.ts'
import { S_IFMT } from '../../../syscall-table/flags.ts'

/** A page that has been checked. Its entries lie one after the other, from offset `first` to `end` of `bytes`. */
export class Page {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly first: number
  readonly end: number
  readonly count: number
  /** The directory ends with this page. */
  readonly complete: boolean
  /** Where to ask for the next page. */
  readonly cookieLow: number
  readonly cookieHigh: number
  foundAt = 0
  /** The entry after the one that was found last. */
  #hint: number

  constructor(bytes: Uint8Array, view: DataView, at: number, end: number, last: number, n: number) {
    this.bytes = bytes
    this.view = view
    this.first = at + PAGE_HEADER_SIZE
    this.end = end
    this.count = n
    this.complete = view.getUint32(at + PAGE_COMPLETE, true) === 1
    this.cookieLow = n === 0 ? 0 : view.getUint32(last + ENTRY_NEXT, true)
    this.cookieHigh = n === 0 ? 0 : view.getUint32(last + ENTRY_NEXT + 4, true)
    this.#hint = this.first
  }

  /** Whether there is an entry `name`: it is at `foundAt`. */
  find(name: string): boolean {
    const at = findEntry(this.bytes, this.first, this.end, this.#hint, name)
    if (at < 0) return false
    this.foundAt = at
    this.#hint = this.after(at)
    return true
  }

  /** The entry after the one at `at`. */
  after(at: number): number {
    const { view } = this
    const target = view.getUint16(at + ENTRY_STAT + STAT_TARGET_LENGTH, true)
    const length = view.getUint16(at + ENTRY_NAME_LENGTH, true)
    const inlined = target === TARGET_NOT_INLINE ? 0 : target
    return at + ((ENTRY_HEADER_SIZE + length + inlined + 7) & ~7)
  }

  name(at: number): string {
    const length = this.view.getUint16(at + ENTRY_NAME_LENGTH, true)
    return latin1(this.bytes, at + ENTRY_HEADER_SIZE, length)
  }

  ino(at: number): number {
    const { view } = this
    return (
      view.getUint32(at + ENTRY_STAT + STAT_INO + 4, true) * 2 ** 32 +
      view.getUint32(at + ENTRY_STAT + STAT_INO, true)
    )
  }

  /** The S_IFMT bits of the entry's mode. */
  type(at: number): number {
    return this.view.getUint32(at + ENTRY_STAT + STAT_MODE, true) & S_IFMT
  }

  /** The entry is known to have had no extended attributes. */
  isBare(at: number): boolean {
    return (this.view.getUint16(at + ENTRY_FLAGS, true) & ENTRY_BARE) !== 0
  }

  attr(at: number, to: FileAttr): void {
    const { view, bytes } = this
    readStat(view, at + ENTRY_STAT, to)
    const target = view.getUint16(at + ENTRY_STAT + STAT_TARGET_LENGTH, true)
    const length = view.getUint16(at + ENTRY_NAME_LENGTH, true)
    to.target =
      target === 0 || target === TARGET_NOT_INLINE
        ? ''
        : latin1(bytes, at + ENTRY_HEADER_SIZE + length, target)
  }
}

/** A page of OP_LIST_TREE: of the directory `name` of page `parent` - 1, or with 0 of the directory asked for. */
export interface TreePage {
  readonly parent: number
  readonly name: string
  readonly page: Page
}

const found = new Uint32Array(2)

/** Takes pages out of a message. They share one copy of it. */
export class PageReader {
  readonly reader = new MessageReader(new Uint8Array(MESSAGE_MAX))
  /** The page that came with the last request. */
  page: Page | null = null
  #copy: Uint8Array | null = null
  #view: DataView | null = null
  #copiedFrom = 0

  /** A message is about to be received. */
  reset(): void {
    this.page = null
    this.#copy = null
  }

  /** The next part of the message is a page, padded to a multiple of 8 in front: it is `page` then, if it makes sense. */
  take(): boolean {
    const { reader } = this
    reader.take(-reader.at & 7)
    const { at, end, bytes } = reader
    this.page = null
    const n = reader.bad ? -1 : checkPage(bytes, at, end, found)
    if (n < 0) return false
    if (this.#copy === null) {
      this.#copy = bytes.slice(at, end)
      this.#view = new DataView(this.#copy.buffer)
      this.#copiedFrom = at
    }
    const from = this.#copiedFrom
    this.page = new Page(
      this.#copy,
      this.#view!,
      at - from,
      found[0]! - from,
      Math.max(0, found[1]! - from),
      n,
    )
    reader.at = found[0]!
    return true
  }
}
