// System V message queues: ipc/msg.c.

import { ENOMEM } from '../../syscall-table/errno.ts'
import type { Task } from '../kernel/task.ts'
import { WaitQueue } from '../kernel/wait-queue.ts'
import { IpcObject } from './ids.ts'
import type { IpcNamespace } from './namespace.ts'

/** Over all queues: Linux charges the memory to cgroups instead. */
const MESSAGES_MAX = 1 << 20
const BYTES_MAX = 64 << 20
let messagesOverall = 0
let bytesOverall = 0

export interface Message {
  /** The type's 64 bits: a double where that is exact, which it is for all that programs use. */
  readonly type: bigint
  readonly bytes: Uint8Array
}

/** How msgrcv(2) chooses. */
export interface Choice {
  kind: 'any' | 'equal' | 'except' | 'atMost' | 'index'
  value: bigint
}

/** struct msg_queue. */
export class MessageQueue extends IpcObject {
  readonly messages: Message[] = []
  bytes = 0
  /** msg_qbytes. */
  limit: number
  stime = 0
  rtime = 0
  lspid = 0
  lrpid = 0
  readonly senders = new WaitQueue()
  readonly receivers = new WaitQueue()
  readonly #namespace: IpcNamespace

  constructor(task: Task, namespace: IpcNamespace, mode: number) {
    super(task.kernel, task.creds, mode)
    this.#namespace = namespace
    this.limit = namespace.limits.msgmnb
  }

  /** Whether a message of `size` bytes has room now. */
  fits(size: number): boolean {
    return this.bytes + size <= this.limit && this.messages.length + 1 <= this.limit
  }

  put(message: Message): number {
    const namespace = this.#namespace
    const { length } = message.bytes
    if (messagesOverall >= MESSAGES_MAX || bytesOverall + length > BYTES_MAX) return -ENOMEM
    this.messages.push(message)
    this.bytes += length
    namespace.messages++
    namespace.messageBytes += length
    messagesOverall++
    bytesOverall += length
    this.receivers.wake(0)
    return 0
  }

  /** Index of the message that `choice` means, or -1. */
  find(choice: Choice): number {
    const { messages } = this
    switch (choice.kind) {
      case 'any':
        return messages.length > 0 ? 0 : -1
      case 'equal':
        return messages.findIndex(message => message.type === choice.value)
      case 'except':
        return messages.findIndex(message => message.type !== choice.value)
      case 'index':
        return choice.value >= 0n && choice.value < BigInt(messages.length)
          ? Number(choice.value)
          : -1
      case 'atMost': {
        let best = -1
        for (let i = 0; i < messages.length; i++) {
          const { type } = messages[i]!
          if (type <= choice.value && (best < 0 || type < messages[best]!.type)) best = i
        }
        return best
      }
    }
  }

  take(index: number): void {
    const [message] = this.messages.splice(index, 1)
    this.#forget(message!)
    this.senders.wake(0)
  }

  #forget(message: Message): void {
    const { length } = message.bytes
    this.bytes -= length
    this.#namespace.messages--
    this.#namespace.messageBytes -= length
    messagesOverall--
    bytesOverall -= length
  }

  /** The sleepers look again: they find the queue removed, or its rules changed. */
  wakeAll(): void {
    this.senders.wake(0)
    this.receivers.wake(0)
  }

  remove(): void {
    this.#namespace.msg.remove(this)
    for (const message of this.messages) this.#forget(message)
    this.messages.length = 0
    this.wakeAll()
  }
}
