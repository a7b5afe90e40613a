// System V IPC and POSIX message queues; each kind has its own file.

export * from './ipc-mq.ts'
export * from './ipc-msg.ts'
export * from './ipc-sem.ts'
export * from './ipc-shm.ts'
