// The Gofer's own filter: Node.js on the fds it has, and the calls of a file server that stays inside of its
// tree. Paths are resolved by openat2 alone, whose RESOLVE_ flags are out of a filter's reach; plain open and
// openat are refused, so that no code path can forget them.

import { eq32, KILL_PROCESS, type Policy, policy } from 'seccomp-bpf-compiler'
import {
  allowed,
  allowedIf,
  byNumber,
  each,
  neverHonest,
  nodeRuntime,
  REFUSED,
  type Rules,
} from './base.ts'

export interface GoferOptions {
  /** Connect to Unix sockets in the tree for the Sentry (--host-uds). */
  readonly unixConnect?: boolean
  /** Make Unix sockets in the tree for the Sentry, which the host can connect to. */
  readonly unixBind?: boolean
}

const AF_UNIX = 1

const fileServer: Rules = {
  ...each('openat2 fstat newfstatat statx readlinkat faccessat2 getdents64 fstatfs', allowed),
  ...each('mkdirat mknodat symlinkat linkat unlinkat renameat2', allowed),
  ...each('fchmod fchmodat fchmodat2 fchown fchownat utimensat umask', allowed),
  ...each('ftruncate fallocate fsync fdatasync syncfs sync_file_range copy_file_range', allowed),
  ...each('fgetxattr fsetxattr flistxattr fremovexattr', allowed),
  ...each('getxattrat setxattrat listxattrat removexattrat', allowed),
  ...each('inotify_init1 inotify_add_watch inotify_rm_watch', allowed),
  // Where the sentry runs, this process does (OP_FOLLOW).
  sched_setaffinity: allowedIf(eq32(0, 0)),
  // There is no connectat, and no inotify_add_watch for a descriptor: the directory is entered for the moment.
  fchdir: allowed,
}

/** AF_UNIX in the kernel is an int; its type and protocol do not matter. */
const unixSockets: Rules = {
  socket: [...allowedIf(eq32(0, AF_UNIX)), ...neverHonest.socket!],
}

/** The policy for the Gofer's process. */
export function goferPolicy(options: GoferOptions = {}): Policy {
  const rules: Rules = {
    ...neverHonest,
    ...nodeRuntime,
    ...fileServer,
    ...(options.unixConnect || options.unixBind ? unixSockets : {}),
    ...(options.unixConnect ? { connect: allowed } : {}),
    ...(options.unixBind ? each('bind listen', allowed) : {}),
  }
  return policy({
    foreignArch: KILL_PROCESS,
    rules: { calls: byNumber(rules), otherwise: REFUSED },
  })
}
