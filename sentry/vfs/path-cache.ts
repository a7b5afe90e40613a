// A cache of whole walks in front of the dentry cache: (starting point, path, flags) to where it led. An entry
// holds as long as nothing changed that steers walks, which `walksChanged` counts: directories and symlinks that
// moved or went, permissions of directories, mounts. Files come and go without disturbing it, because the dentry
// at the end tells by itself whether it is still what the path named.
//
// Only walks are kept whose directories everybody may search: so the answer is the same for all credentials.

import type { Dentry } from './dentry.ts'
import type { Mount } from './mount.ts'

/** Entries; the cache starts over when it is full. */
const CAPACITY = 8192
/** Longer paths are rare, and would let the cache take much memory. */
const PATH_LENGTH_MAX = 256

class CachedWalk {
  readonly fromMount: Mount
  readonly fromDentry: Dentry
  readonly rootDentry: Dentry
  readonly flags: number
  readonly generation: number
  readonly mount: Mount
  readonly dentry: Dentry
  readonly parent: Dentry | null
  readonly name: string

  constructor(
    fromMount: Mount,
    fromDentry: Dentry,
    rootDentry: Dentry,
    flags: number,
    mount: Mount,
    dentry: Dentry,
  ) {
    this.fromMount = fromMount
    this.fromDentry = fromDentry
    this.rootDentry = rootDentry
    this.flags = flags
    this.generation = generation
    this.mount = mount
    this.dentry = dentry
    this.parent = dentry.parent
    this.name = dentry.name
  }
}

const walks = new Map<string, CachedWalk>()
let generation = 0

/** Something that steers walks has changed. */
export function walksChanged(): void {
  generation++
}

/** Where this walk led the last time, if it would lead there again. */
export function cachedWalk(
  path: string,
  fromMount: Mount,
  fromDentry: Dentry,
  rootDentry: Dentry,
  flags: number,
): CachedWalk | undefined {
  const found = walks.get(path)
  if (
    found === undefined ||
    found.generation !== generation ||
    found.fromDentry !== fromDentry ||
    found.fromMount !== fromMount ||
    found.rootDentry !== rootDentry ||
    found.flags !== flags
  ) {
    return undefined
  }
  const { dentry } = found
  // Gone, evicted, or renamed since.
  if (dentry.parent !== found.parent || dentry.name !== found.name || !dentry.cached)
    return undefined
  return found
}

/** Keep the result of a walk. */
export function keepWalk(
  path: string,
  fromMount: Mount,
  fromDentry: Dentry,
  rootDentry: Dentry,
  flags: number,
  mount: Mount,
  dentry: Dentry,
): void {
  if (path.length > PATH_LENGTH_MAX) return
  if (walks.size >= CAPACITY) walks.clear()
  walks.set(path, new CachedWalk(fromMount, fromDentry, rootDentry, flags, mount, dentry))
}
