// What the gofer client hands out and takes in: preallocated objects, used again and again.

import { FileAttr, WALK_MAX } from '../../../gofer/protocol.ts'
import type { HostFd } from '../../../native/index.ts'
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
} from '../../../syscall-table/flags.ts'

/** What a walk has found. One object can be used for many walks. */
export class WalkResult {
  /** Components resolved. */
  count = 0
  /** 0, or why the next component was not resolved (-errno). A symlink also ends a walk, with 0. */
  stop = 0
  /** Of `walkOpen`: a descriptor of the last component, which now belongs to the caller, or -1. */
  fd: HostFd = -1
  /** By component; 0 where there is none. */
  readonly handles = new Uint32Array(WALK_MAX)
  /** By component, valid below `count`. */
  readonly attrs: FileAttr[] = []
}

/** A file that has just been made. */
export class NewFile {
  handle = 0
  /** Of `create`: an open descriptor, which now belongs to the caller. */
  fd: HostFd = -1
  readonly attr = new FileAttr()
}

/** The arguments of `setattr`; `mask` (SET_*) says which of them count. */
export class AttrChange {
  mask = 0
  mode = 0
  uid = 0
  gid = 0
  size = 0
  atimeSec = 0
  atimeNsec = 0
  mtimeSec = 0
  mtimeNsec = 0
}

/** A name that must still be of this file, in the directory that `handle` stands for. */
export interface Guard {
  readonly handle: number
  readonly name: string
  readonly ino: number
  readonly devMajor: number
  readonly devMinor: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** What the gofer says about a file is used for decisions: it must at least be possible. */
export function isSane(attr: FileAttr): boolean {
  return isFileType(attr.mode & S_IFMT) && attr.size < 2 ** 63 && attr.blocks < 2 ** 63
}

function isFileType(type: number): boolean {
  switch (type) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFLNK:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
      return true
    default:
      return false
  }
}
