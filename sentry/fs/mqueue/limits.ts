// What may be made of POSIX message queues.

/** Limits of a namespace: /proc/sys/fs/mqueue. */
export class MqueueLimits {
  queues = 256
  messages = 10
  messageSize = 8192
  messagesDefault = 10
  messageSizeDefault = 8192
}
