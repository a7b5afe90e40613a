// Making overlays.

import type { Kernel } from '../../kernel/kernel.ts'
import type { SuperBlock } from '../../vfs/inode.ts'
import type { OverlayDir } from './directory.ts'
import { type OverlayOptions, OverlaySuperBlock } from './overlay.ts'

const UNLIMITED: OverlayOptions = { size: 0 }

/** An overlay over `lower`, which it owns from now on and never writes to. */
export function mountOverlay(
  kernel: Kernel, lower: SuperBlock, options: OverlayOptions = UNLIMITED,
): SuperBlock {
  const sb = new OverlaySuperBlock(kernel, lower, options)
  sb.root = sb.inodeOver(lower.root) as OverlayDir
  sb.root.pins++
  return sb
}
