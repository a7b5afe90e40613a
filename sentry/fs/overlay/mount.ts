// Making overlays.

import type { Kernel } from '../../kernel/kernel.ts'
import type { SuperBlock } from '../../vfs/inode.ts'
import type { OverlayDir } from './directory.ts'
import { type OverlayOptions, OverlaySuperBlock } from './overlay.ts'

/** An overlay over `lower`, which it owns from now on and never writes to. It may take half of the memory. */
export function mountOverlay(
  kernel: Kernel,
  lower: SuperBlock,
  options: OverlayOptions = { size: Math.floor(kernel.memoryBytes / 2) },
): SuperBlock {
  const sb = new OverlaySuperBlock(kernel, lower, options)
  sb.root = sb.inodeOver(lower.root) as OverlayDir
  sb.root.pins++
  return sb
}
