// What is native besides the platforms: runsc runs no programs, and starts sooner without their code.

/** A file descriptor of this process, never of the sandboxed program. */
export type HostFd = number

export * from './control.ts'
export * from './fork.ts'
export * from './heap.ts'
export * from './host-file.ts'
export * from './host-io.ts'
export * from './host-socket.ts'
export * from './sandbox.ts'
export * from './socket-options.ts'
