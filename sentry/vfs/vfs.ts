// What the rest of the kernel uses of the VFS: opening, resolving and closing.

export { closeFile, closeTable } from './close.ts'
export { dPath, pathBelow } from './d-path.ts'
export { openForExec, openPath } from './open.ts'
export { WALK_FOLLOW, walk, walkPath } from './path-walk.ts'
