// Contexts of asynchronous I/O: fs/aio.c, io_setup(2). Completions lie in a ring that the program maps, too: the C
// library looks into it without a call. The ring's memory is a memory file, so that whatever the program does with
// its mapping, the kernel's side of it stays.

import type { HostFd } from '../../native/index.ts'
import { pread, pwrite } from '../../native/index.ts'
import { EAGAIN, EINVAL, ENOMEM } from '../../syscall-table/errno.ts'
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../../syscall-table/flags.ts'
import { signalEventFd } from '../fs/eventfd.ts'
import type { Mm } from '../mm/mm.ts'
import { createSharedMemory } from '../mm/shared-memory.ts'
import { pageCeil } from '../mm/vma.ts'
import type { File } from '../vfs/file.ts'
import { AIO_CONTEXTS_MAX, type AioLimits } from './aio-limits.ts'
import type { Task } from './task.ts'
import { WaitEntry, WaitQueue } from './wait-queue.ts'

const RING_MAGIC = 0xa10a10a1
const RING_HEADER = 32
export const EVENT_SIZE = 32
const HEAD_AT = 8
const TAIL_AT = 12
/** What the size of a ring in bytes may not exceed, as Linux computes it. */
const EVENTS_MAX = 0x10000000 / EVENT_SIZE

const block = new Uint8Array(EVENT_SIZE)
const view = new DataView(block.buffer)

/** A request that has not completed: IOCB_CMD_POLL. */
export class AioPoll extends WaitEntry {
  readonly context: AioContext
  readonly file: File
  /** Address of the iocb, its data word, and the eventfd to signal. */
  readonly iocb: number
  readonly dataLo: number
  readonly dataHi: number
  readonly wanted: number
  readonly eventFd: File | null

  constructor(
    context: AioContext,
    file: File,
    iocb: number,
    dataLo: number,
    dataHi: number,
    wanted: number,
    eventFd: File | null,
  ) {
    super()
    this.context = context
    this.file = file
    this.iocb = iocb
    this.dataLo = dataLo
    this.dataHi = dataHi
    this.wanted = wanted
    this.eventFd = eventFd
  }

  override onWake(): void {
    const ready = this.file.ops.poll(this.file) & this.wanted
    if (ready !== 0) this.complete(ready)
  }

  complete(result: number): void {
    this.unlink()
    this.context.polls.delete(this)
    this.context.complete(this.iocb, this.dataLo, this.dataHi, result, this.eventFd)
    this.file.unref()
  }

  /** The context goes: nobody hears of the request. */
  drop(): void {
    this.unlink()
    this.file.unref()
    this.eventFd?.unref()
  }
}

export class AioContext {
  readonly id: number
  /** What io_setup(2) was asked for. */
  readonly requests: number
  readonly polls = new Set<AioPoll>()
  readonly queue = new WaitQueue()
  readonly #memory: File
  readonly #hostFd: HostFd
  readonly #limits: AioLimits
  /** Slots in the ring. One stays free. */
  readonly #slots: number
  #tail = 0
  gone = false

  constructor(
    id: number,
    requests: number,
    slots: number,
    memory: File,
    hostFd: HostFd,
    limits: AioLimits,
  ) {
    this.id = id
    this.requests = requests
    this.#slots = slots
    this.#memory = memory
    this.#hostFd = hostFd
    this.#limits = limits
    limits.used += requests
    limits.contexts++
  }

  get length(): number {
    return pageCeil(RING_HEADER + this.#slots * EVENT_SIZE)
  }

  /** Events in the ring. The program may have taken some by itself, and may write what it likes there. */
  get available(): number {
    if (pread(this.#hostFd, block, 0, 4, HEAD_AT) !== 4) return 0
    const head = view.getUint32(0, true) % this.#slots
    return (this.#tail - head + this.#slots) % this.#slots
  }

  /** Whether one more request can be taken: there must be room for its completion. */
  get hasRoom(): boolean {
    return this.polls.size + this.available < this.#slots - 1
  }

  /** Put a completion into the ring and tell who waits. Takes the reference to `eventFd`. */
  complete(
    iocb: number,
    dataLo: number,
    dataHi: number,
    result: number,
    eventFd: File | null,
  ): void {
    view.setUint32(0, dataLo, true)
    view.setUint32(4, dataHi, true)
    view.setUint32(8, iocb % 2 ** 32, true)
    view.setUint32(12, Math.floor(iocb / 2 ** 32), true)
    view.setUint32(16, result >>> 0, true)
    view.setInt32(20, Math.floor(result / 2 ** 32), true)
    view.setUint32(24, 0, true)
    view.setUint32(28, 0, true)
    pwrite(this.#hostFd, block, 0, EVENT_SIZE, RING_HEADER + this.#tail * EVENT_SIZE)
    this.#tail = (this.#tail + 1) % this.#slots
    view.setUint32(0, this.#tail, true)
    pwrite(this.#hostFd, block, 0, 4, TAIL_AT)
    if (eventFd !== null) {
      signalEventFd(eventFd)
      eventFd.unref()
    }
    this.queue.wake(0)
  }

  /** Copy up to `most` of the oldest events into `into`; `consume` takes them out. */
  peek(into: Uint8Array, most: number): number {
    const n = Math.min(this.available, most, Math.floor(into.length / EVENT_SIZE))
    const first = this.#tail - this.available + this.#slots
    for (let i = 0; i < n; i++) {
      const at = RING_HEADER + ((first + i) % this.#slots) * EVENT_SIZE
      pread(this.#hostFd, into, i * EVENT_SIZE, EVENT_SIZE, at)
    }
    return n
  }

  consume(n: number): void {
    const head = (this.#tail - this.available + n + this.#slots) % this.#slots
    view.setUint32(0, head, true)
    pwrite(this.#hostFd, block, 0, 4, HEAD_AT)
  }

  /** io_destroy(2), or the end of the address space. */
  destroy(): void {
    this.gone = true
    for (const poll of this.polls) poll.drop()
    this.polls.clear()
    this.#limits.used -= this.requests
    this.#limits.contexts--
    this.queue.wake(0)
    this.#memory.unref()
  }
}

/** The context of an identifier, or -EINVAL. */
export function aioContext(task: Task, id: number): AioContext | number {
  return task.mm.aio?.get(id) ?? -EINVAL
}

/** io_setup(2) for `requests` events: maps the ring, whose address is the context's identifier. */
export function createAioContext(task: Task, requests: number): number {
  const { kernel, mm } = task
  const { aio: limits } = kernel
  if (requests === 0) return -EINVAL
  // As many as Linux has: twice what was asked for, at least four for each CPU, and what the last page takes.
  const doubled = Math.max(requests, kernel.cpus * 4) * 2
  if (doubled > EVENTS_MAX) return -EINVAL
  if (limits.used + requests > limits.most || limits.contexts >= AIO_CONTEXTS_MAX) return -EAGAIN
  const length = pageCeil(RING_HEADER + (doubled + 2) * EVENT_SIZE)
  const slots = Math.floor((length - RING_HEADER) / EVENT_SIZE)
  const memory = createSharedMemory(kernel, length)
  if (typeof memory === 'number') return memory
  memory.dentry.name = '/[aio] (deleted)'
  const source = memory.ops.map(memory, 0, length, true, true)
  if (typeof source === 'number') {
    memory.unref()
    return -ENOMEM
  }
  const id = mm.map(task, 0, length, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0)
  if (id < 0) {
    memory.unref()
    return id
  }
  const header = new DataView(new ArrayBuffer(RING_HEADER))
  header.setUint32(4, slots, true)
  header.setUint32(16, RING_MAGIC, true)
  header.setUint32(20, 1, true)
  header.setUint32(28, RING_HEADER, true)
  pwrite(source.hostFd, new Uint8Array(header.buffer), 0, RING_HEADER, 0)
  mm.aio ??= new Map()
  mm.aio.set(id, new AioContext(id, requests, slots, memory, source.hostFd, limits))
  return id
}

/** io_destroy(2). */
export function destroyAioContext(task: Task, id: number): number {
  const context = aioContext(task, id)
  if (typeof context === 'number') return context
  const { mm } = task
  mm.aio!.delete(id)
  const { length } = context
  context.destroy()
  // The program may have put something else there, as on Linux: it is unmapped all the same.
  return mm.unmap(task, id, length)
}

/** The address space is gone. */
export function dropAioContexts(mm: Mm): void {
  if (mm.aio === null) return
  for (const context of mm.aio.values()) context.destroy()
  mm.aio = null
}
