// Calls on path names; each aspect has its own file.

export * from './path-attributes.ts'
export * from './path-mount.ts'
export * from './path-names.ts'
export * from './path-open.ts'
export * from './path-stat.ts'
export * from './path-xattr.ts'
