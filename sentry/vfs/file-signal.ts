// Signals about open files: O_ASYNC (fcntl(2), "Managing signals"; fs/fcntl.c send_sigio) and directory
// notification (F_NOTIFY; fs/notify/dnotify).

import { EAGAIN, ENOTDIR } from '../../syscall-table/errno.ts'
import {
  CAP_KILL,
  DN_ACCESS,
  DN_ATTRIB,
  DN_CREATE,
  DN_DELETE,
  DN_MODIFY,
  DN_MULTISHOT,
  DN_RENAME,
  F_OWNER_PGRP,
  F_OWNER_TID,
  IN_ACCESS,
  IN_ATTRIB,
  IN_CREATE,
  IN_DELETE,
  IN_MODIFY,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  POLL_ERR,
  POLL_HUP,
  POLL_IN,
  POLL_MSG,
  POLL_OUT,
  POLL_PRI,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLMSG,
  POLLOUT,
  POLLPRI,
  POLLRDBAND,
  POLLRDNORM,
  POLLWRBAND,
  POLLWRNORM,
  SI_KERNEL,
  SIGIO,
  SIGURG,
} from '../../syscall-table/flags.ts'
import type { Creds } from '../kernel/creds.ts'
import { sendToGroup, sendToTask } from '../kernel/signal-send.ts'
import { sigInfo } from '../kernel/signal-state.ts'
import type { Task } from '../kernel/task.ts'
import { WaitEntry } from '../kernel/wait-queue.ts'
import type { File, FileWatcher } from './file.ts'
import { addWatch, removeWatch, Watch } from './notify.ts'

const READABLE = POLLIN | POLLRDNORM
const WRITABLE = POLLOUT | POLLWRNORM | POLLWRBAND
/** Reasons in the order in which one is chosen, and the si_band of each: band_table of kernel/signal.c. */
const REASONS: readonly (readonly [bits: number, code: number, band: number])[] = [
  [POLLHUP, POLL_HUP, POLLHUP | POLLERR],
  [POLLERR, POLL_ERR, POLLERR],
  [POLLPRI, POLL_PRI, POLLPRI | POLLRDBAND],
  [READABLE, POLL_IN, READABLE],
  [WRITABLE, POLL_OUT, WRITABLE],
]
/** The si_band of POLL_MSG. */
export const MSG_BAND = READABLE | POLLMSG

/** sigio_perm: whether who has set the owner may signal it. */
function maySend(by: Creds, to: Creds): boolean {
  return (
    by.capableIn(to.userNs, CAP_KILL) ||
    by.euid === to.suid ||
    by.euid === to.uid ||
    by.uid === to.suid ||
    by.uid === to.uid
  )
}

/** Tell the owner of `file`, which was armed as descriptor `fd`. */
export function signalOwner(file: File, fd: number, code: number, band: number): void {
  eachOwner(file, (task, one) => {
    const chosen = sigInfo(file.signal, code)
    chosen.band = band
    chosen.fd = fd
    const deliver = one
      ? (info = chosen) => sendToTask(task, info)
      : (info = chosen) => sendToGroup(task.group, info)
    // A full queue is told of by a plain SIGIO.
    if (file.signal === 0 || deliver() === -EAGAIN) deliver(sigInfo(SIGIO, SI_KERNEL))
  })
}

/** Tell the owner of a socket that urgent data has come: send_sigurg. It needs no O_ASYNC. */
export function signalUrgent(file: File): void {
  eachOwner(file, (task, one) => {
    const info = sigInfo(SIGURG, SI_KERNEL)
    if (one) sendToTask(task, info)
    else sendToGroup(task.group, info)
  })
}

/** All who are the owner; `one` says that only that thread is meant. */
function eachOwner(file: File, send: (task: Task, one: boolean) => void): void {
  const { owner, ownerCreds } = file
  if (owner === null || ownerCreds === null) return
  const to = (task: Task | undefined | null, one: boolean): void => {
    if (task && maySend(ownerCreds, task.creds)) send(task, one)
  }
  if (file.ownerType === F_OWNER_PGRP)
    for (const group of [...(owner.pgrp?.members ?? [])]) to(group.leader, false)
  else if (file.ownerType === F_OWNER_TID) to(owner.task, true)
  else to(owner.group?.leader, false)
}

/** O_ASYNC is set: struct fasync_struct. */
export class AsyncEntry extends WaitEntry implements FileWatcher {
  readonly #file: File
  readonly #fd: number
  nextWatcher: FileWatcher | null = null

  constructor(file: File, fd: number) {
    super()
    this.#file = file
    this.#fd = fd
  }

  override onWake(events: number): void {
    const file = this.#file
    let wanted = events === 0 ? file.ops.poll(file) : events
    if (!file.readable) wanted &= ~READABLE
    if (!file.writable) wanted &= ~WRITABLE
    const reason = REASONS.find(([bits]) => (wanted & bits) !== 0)
    if (reason !== undefined) signalOwner(file, this.#fd, reason[1], reason[2])
  }

  onFileReleased(): void {
    this.unlink()
  }
}

/** O_ASYNC of `file` goes on or off: fasync_helper. */
export function setAsync(file: File, fd: number, on: boolean): void {
  for (let at = file.watchers; at !== null; at = at.nextWatcher) {
    if (!(at instanceof AsyncEntry)) continue
    if (!on) at.unlink()
    else file.ops.queue?.add(at, 0)
    return
  }
  if (!on || file.ops.queue === null) return
  // Some files look for events only once somebody has asked.
  file.ops.poll(file)
  const entry = new AsyncEntry(file, fd)
  entry.nextWatcher = file.watchers
  file.watchers = entry
  file.ops.queue.add(entry, 0)
}

const DN_EVENTS: readonly (readonly [dn: number, events: number])[] = [
  [DN_ACCESS, IN_ACCESS],
  [DN_MODIFY, IN_MODIFY],
  [DN_CREATE, IN_CREATE | IN_MOVED_TO],
  [DN_DELETE, IN_DELETE | IN_MOVED_FROM],
  [DN_ATTRIB, IN_ATTRIB],
]

/** IN_* for DN_*: convert_arg. */
function eventsOf(mask: number): number {
  let events = 0
  for (const [bit, of] of DN_EVENTS) if ((mask & bit) !== 0) events |= of
  // A rename within the directory is told once; the event of the new name would tell it again.
  if ((mask & DN_RENAME) !== 0) events |= IN_MOVED_FROM
  return events
}

/** What one open directory wants to hear: struct dnotify_struct. */
class DirectoryWatch extends Watch implements FileWatcher {
  readonly #file: File
  readonly #fd: number
  #multishot: boolean
  nextWatcher: FileWatcher | null = null
  active = true

  constructor(file: File, fd: number, mask: number) {
    super(file.inode, eventsOf(mask))
    this.#file = file
    this.#fd = fd
    this.#multishot = (mask & DN_MULTISHOT) !== 0
  }

  add(mask: number): void {
    this.mask |= eventsOf(mask)
    if ((mask & DN_MULTISHOT) !== 0) this.#multishot = true
  }

  override notify(event: number, name: string): void {
    // Only what happens to the directory's entries, not to itself.
    if (name === '' && (event & IN_ATTRIB) === 0) return
    const file = this.#file
    if (!this.#multishot) this.stop()
    signalOwner(file, this.#fd, POLL_MSG, MSG_BAND)
  }

  override ended(): void {
    this.active = false
  }

  stop(): void {
    if (!this.active) return
    this.active = false
    removeWatch(this)
  }

  onFileReleased(): void {
    this.stop()
  }
}

/** F_NOTIFY: fcntl_dirnotify. */
export function watchDirectory(file: File, fd: number, mask: number): number {
  if (!file.inode.isDir) return -ENOTDIR
  let watch: DirectoryWatch | null = null
  for (let at = file.watchers; at !== null && watch === null; at = at.nextWatcher)
    if (at instanceof DirectoryWatch && at.active) watch = at
  if ((mask & ~DN_MULTISHOT) === 0) {
    watch?.stop()
    return 0
  }
  if (watch !== null) {
    watch.add(mask)
    return 0
  }
  watch = new DirectoryWatch(file, fd, mask)
  watch.nextWatcher = file.watchers
  file.watchers = watch
  addWatch(watch)
  return 0
}
