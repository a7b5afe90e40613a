// The typed face of everything native. The rest of the code imports from here only.

/** A file descriptor of this process, never of the sandboxed program. */
export type HostFd = number

export * from './control.ts'
export * from './fork.ts'
export * from './heap.ts'
export * from './host-file.ts'
export * from './host-io.ts'
export * from './host-socket.ts'
export * from './ptrace.ts'
export * from './sandbox.ts'
export * from './socket-options.ts'
export * from './stub-platform.ts'
export * from './systrap.ts'
