// Which entries of a directory have extended attributes. When many are asked about (`ls -l`), the gofer is asked about all of
// them at once.

import { MESSAGE_MAX } from '../../../gofer/protocol.ts'
import { latin1 } from '../../../native/index.ts'
import type { GoferDir } from './directory.ts'
import type { Listing } from './listing.ts'

/** So many questions for attributes of entries are worth one for all of them. */
const SCAN_AFTER = 8
/** Where there are fewer entries, the first question is. */
const SCAN_CHEAP = 512

const buffer = new Uint8Array(MESSAGE_MAX)

export class AttributedEntries {
  readonly #dir: GoferDir
  /** Those that have some, as of `#version` and `#generation`; null when that could not be told. */
  #names: Set<string> | null = null
  #version = -1
  /** That of the file system's listings. */
  #generation = 0
  #questions = 0
  #scanAfter = SCAN_AFTER

  constructor(dir: GoferDir) {
    this.#dir = dir
  }

  /** Whether the entry `name` is known to have none. `listing` is the directory's, as far as it holds. */
  lacks(name: string, listing: Listing | null): boolean {
    const page = listing?.find(name) ?? null
    if (page?.isBare(page.foundAt)) return true
    const { version, sb } = this.#dir
    if (this.#version !== version || this.#generation !== sb.listingGeneration) {
      // For a directory that has just been listed it costs no more than the answer about one entry.
      const cheap = page !== null && this.#scanAfter === SCAN_AFTER && listing!.end < SCAN_CHEAP
      if (++this.#questions < (cheap ? 1 : this.#scanAfter)) return false
      this.#scan()
      if (page !== null) this.#dir.sb.connection.ahead.xattrs = true
    }
    return this.#names !== null && !this.#names.has(name)
  }

  #scan(): void {
    this.#questions = 0
    // Where names keep changing, less and less often.
    this.#scanAfter *= 4
    this.#version = this.#dir.version
    this.#generation = this.#dir.sb.listingGeneration
    this.#names = null
    const handle = this.#dir.needHandle()
    if (handle < 0) return
    const n = this.#dir.sb.connection.client.scanxattr(handle, buffer)
    if (n < 0) return
    this.#names = new Set(latin1(buffer, 0, n).split('\0'))
  }
}
