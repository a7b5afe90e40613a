// A bounded first-in first-out queue of bytes; its memory grows on demand, so an idle terminal costs little.

export class ByteQueue {
  readonly capacity: number
  #bytes = new Uint8Array(0)
  #start = 0
  #length = 0

  constructor(capacity: number) {
    this.capacity = capacity
  }

  get length(): number {
    return this.#length
  }

  get room(): number {
    return this.capacity - this.#length
  }

  /** Append one byte; false when the queue is full. */
  push(byte: number): boolean {
    if (this.#length === this.capacity) return false
    this.#reserve(1)
    this.#bytes[this.#start + this.#length++] = byte
    return true
  }

  /** Append up to `length` bytes; returns how many fitted. */
  append(from: Uint8Array, at: number, length: number): number {
    const n = Math.min(length, this.room)
    this.#reserve(n)
    this.#bytes.set(from.subarray(at, at + n), this.#start + this.#length)
    this.#length += n
    return n
  }

  /** The queued bytes, valid until the queue is next changed. */
  peek(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#start + this.#length)
  }

  /** Drop the first `n` bytes. */
  consume(n: number): void {
    this.#start += n
    this.#length -= n
    if (this.#length === 0) this.#start = 0
  }

  /** Drop all but the first `n` bytes. */
  truncate(n: number): void {
    this.#length = Math.min(this.#length, n)
  }

  clear(): void {
    this.consume(this.#length)
  }

  /** Make room for `n` bytes behind the queued ones. */
  #reserve(n: number): void {
    const needed = this.#length + n
    if (this.#start + needed <= this.#bytes.length) return
    if (needed <= this.#bytes.length) {
      this.#bytes.copyWithin(0, this.#start, this.#start + this.#length)
    } else {
      const grown = new Uint8Array(
        Math.min(this.capacity, Math.max(needed, 2 * this.#bytes.length, 256)),
      )
      grown.set(this.peek())
      this.#bytes = grown
    }
    this.#start = 0
  }
}
