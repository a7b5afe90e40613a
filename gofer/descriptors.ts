// Where the gofer finds its own descriptors by number, see GoferOptions.descriptors.

import { openTree } from '../native/index.ts'
import { AT_FDCWD } from '../syscall-table/flags.ts'

/** open_tree(2): a new mount of the place, in no tree. */
export const OPEN_TREE_CLONE = 1

/**
 * A private mount of /proc/self/fd, outside of any directory tree: nothing but descriptors can be reached
 * through it, not even by "..". Needs CAP_SYS_ADMIN and a /proc that shows this process.
 */
export function openDescriptors(): number {
  return openTree(AT_FDCWD, '/proc/self/fd', OPEN_TREE_CLONE)
}
