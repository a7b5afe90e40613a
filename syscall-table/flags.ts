// Every named constant of the Linux user interface that the kernel needs, in Linux's spelling and with
// the values of x86-64. The sets in which strace prints them are in flags/sets.ts.

export * from './flags/file.ts'
export * from './flags/ioctl.ts'
export * from './flags/mm.ts'
export * from './flags/poll.ts'
export * from './flags/process.ts'
export * from './flags/signal.ts'
export * from './flags/socket.ts'
export * from './flags/system.ts'
export * from './flags/time.ts'
