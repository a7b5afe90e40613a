// Calls on descriptors; each aspect has its own file.

export * from './file-aio.ts'
export * from './file-control.ts'
export * from './file-copy.ts'
export * from './file-inotify.ts'
export * from './file-io.ts'
export * from './file-memory.ts'
export * from './file-pipe.ts'
export * from './file-table.ts'
export * from './file-xattr.ts'
export { sys_fchmod, sys_fchown, sys_ftruncate } from './path-attributes.ts'
export { sys_fchdir } from './path-open.ts'
export { sys_fstat, sys_fstatfs } from './path-stat.ts'
