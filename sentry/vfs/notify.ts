// What happens to files, told to whoever watches them: fsnotify (fs/notify). Watches hang on inodes; an event of a
// file goes to the watches of the directory that its dentry is in, with the name, and then to its own.

import {
  IN_ATTRIB,
  IN_CLOSE_NOWRITE,
  IN_CLOSE_WRITE,
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_ISDIR,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_OPEN,
  IN_UNMOUNT,
  O_PATH,
} from '../../syscall-table/flags.ts'
import type { Dentry } from './dentry.ts'
import type { File } from './file.ts'
import type { Inode, SuperBlock } from './inode.ts'

/** Someone's interest in one inode. */
export abstract class Watch {
  readonly inode: Inode
  /** IN_* events that are wanted. */
  mask: number
  next: Watch | null = null

  constructor(inode: Inode, mask: number) {
    this.inode = inode
    this.mask = mask
  }

  /** One of the wanted events; `name` is '' for the inode itself. `unlinked`: done through an open file without a name. */
  abstract notify(event: number, name: string, cookie: number, unlinked: boolean): void
  /** The inode is gone, and the watch with it: it has been taken off already. */
  abstract ended(): void
}

/** Watches in existence: while there is none, an event costs one test. */
let watches = 0
/** Inodes with watches, for the end of a file system. */
const watchedInodes = new Set<Inode>()
let lastCookie = 0

/** How many watches there are. */
export function watchCount(): number {
  return watches
}

/** Hang `watch` on its inode, which stays in memory from now on. */
export function addWatch(watch: Watch): void {
  const { inode } = watch
  if (inode.watches === null) {
    inode.pins++
    watchedInodes.add(inode)
  }
  watch.next = inode.watches
  inode.watches = watch
  watches++
}

export function removeWatch(watch: Watch): void {
  const { inode } = watch
  if (inode.watches === watch) inode.watches = watch.next
  else {
    let before = inode.watches
    while (before !== null && before.next !== watch) before = before.next
    if (before === null) return
    before.next = watch.next
  }
  watch.next = null
  watches--
  if (inode.watches !== null) return
  watchedInodes.delete(inode)
  if (--inode.pins === 0) inode.evict()
}

function tell(inode: Inode, event: number, name: string, cookie: number, unlinked: boolean): void {
  for (let watch = inode.watches; watch !== null; ) {
    // A watch may end by its event.
    const { next } = watch
    if ((watch.mask & event & ~IN_ISDIR) !== 0) watch.notify(event, name, cookie, unlinked)
    watch = next
  }
}

function tellBoth(dentry: Dentry, inode: Inode, event: number, unlinked: boolean): void {
  const bits = inode.isDir ? event | IN_ISDIR : event
  const dir = dentry.parent?.inode
  if (dir && dir.watches !== null) tell(dir, bits, dentry.name, 0, unlinked)
  if (inode.watches !== null) tell(inode, bits, '', 0, unlinked)
}

function tellSelf(inode: Inode, event: number): void {
  if (inode.watches !== null) tell(inode, inode.isDir ? event | IN_ISDIR : event, '', 0, false)
}

/** An open file has been used: IN_OPEN, IN_ACCESS or IN_MODIFY. */
export function notifyFile(file: File, event: number): void {
  if (watches === 0 || (file.flags & O_PATH) !== 0) return
  tellBoth(file.dentry, file.inode, event, file.dentry.deleted)
}

/** As `notifyFile`, of a transfer whose result is `n`: only those that moved something are events. Returns `n`. */
export function notifyMoved(file: File, event: number, n: number): number {
  if (watches > 0 && n > 0) notifyFile(file, event)
  return n
}

export function notifyOpened(file: File): File {
  if (watches > 0) notifyFile(file, IN_OPEN)
  return file
}

/** The last reference of an open file goes. */
export function notifyClosed(file: File): void {
  if (watches > 0) notifyFile(file, file.writable ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE)
}

/** Attributes or contents of what `dentry` names have been changed, if `n`, which is returned, is not an error. */
export function notifyChanged(dentry: Dentry, event: number, n: number): number {
  if (watches > 0 && n >= 0 && event !== 0) tellBoth(dentry, dentry.inode!, event, false)
  return n
}

/** The name exists now. */
export function notifyCreated(dentry: Dentry): void {
  if (watches === 0) return
  const event = dentry.inode!.isDir ? IN_CREATE | IN_ISDIR : IN_CREATE
  tell(dentry.parent!.inode!, event, dentry.name, 0, false)
}

/** As `notifyCreated`, when the file has had another name. */
export function notifyLinked(dentry: Dentry): void {
  if (watches === 0) return
  tellSelf(dentry.inode!, IN_ATTRIB)
  notifyCreated(dentry)
}

/** The name is gone. The inode's own end comes first, as in d_delete_notify. */
export function notifyRemoved(dentry: Dentry, inode: Inode): void {
  if (watches === 0) return
  if (!inode.isDir) tellSelf(inode, IN_ATTRIB)
  if (inode.watches !== null) notifyUnused(inode)
  const event = inode.isDir ? IN_DELETE | IN_ISDIR : IN_DELETE
  tell(dentry.parent!.inode!, event, dentry.name, 0, false)
}

/** What was `name` in `oldDir` is `moved` now, in place of `replaced`. */
export function notifyRenamed(
  oldDir: Inode,
  name: string,
  moved: Dentry,
  replaced: Inode | null,
): void {
  if (watches === 0) return
  const inode = moved.inode!
  const isDir = inode.isDir ? IN_ISDIR : 0
  lastCookie = (lastCookie + 1) >>> 0 || 1
  tell(oldDir, IN_MOVED_FROM | isDir, name, lastCookie, false)
  tell(moved.parent!.inode!, IN_MOVED_TO | isDir, moved.name, lastCookie, false)
  if (replaced !== null) tellSelf(replaced, IN_ATTRIB)
  tellSelf(inode, IN_MOVE_SELF)
  if (replaced !== null && replaced.watches !== null) notifyUnused(replaced)
}

/** A watched inode has lost a name or an open file: without any of either its watches end. */
export function notifyUnused(inode: Inode): void {
  // The one pin is that of the watches.
  if (inode.nlink > 0 || inode.pins > 1) return
  tellSelf(inode, IN_DELETE_SELF)
  endWatches(inode)
}

function endWatches(inode: Inode): void {
  for (let watch = inode.watches; watch !== null; watch = inode.watches) {
    // The last removal may free the inode; the watch itself stays whole.
    removeWatch(watch)
    watch.ended()
  }
}

/** The last mount of a file system is gone. */
export function notifyUnmounted(sb: SuperBlock): void {
  if (watches === 0) return
  for (const inode of [...watchedInodes]) {
    if (inode.sb !== sb) continue
    for (let watch = inode.watches; watch !== null; watch = watch.next)
      watch.notify(inode.isDir ? IN_UNMOUNT | IN_ISDIR : IN_UNMOUNT, '', 0, false)
    endWatches(inode)
  }
}
