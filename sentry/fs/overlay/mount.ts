// The overlay file system: a writable layer in memory over a read-only lower file system.

import type { Kernel } from '../../kernel/kernel.ts'
import type { SuperBlock } from '../../vfs/inode.ts'

/** A memory layer over `lower`; nothing is ever written to the lower. */
export declare function mountOverlay(kernel: Kernel, lower: SuperBlock): SuperBlock
