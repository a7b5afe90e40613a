// The Sentry's own filter, installed on all its threads when start-up is over. The Sentry handles hostile input, so
// this assumes that it may be taken over: it can open nothing, run nothing and, without host networking,
// connect to nothing. It is pid 1 of its own pid namespace, so the processes it may signal, wait for and
// copy from are its stubs.

import { compare, eq32, KILL_PROCESS, type Policy, policy } from 'seccomp-bpf-compiler'
import { HOST_SOCKET_IOCTLS, HOST_SOCKET_OPTIONS } from '../socket-options.ts'
import {
  allowed,
  allowedFor,
  allowedIf,
  byNumber,
  each,
  FD_IOCTLS,
  neverHonest,
  nodeRuntime,
  REFUSED,
  type Rules,
} from './base.ts'
import { networkSockets } from './socket-server.ts'

export interface SentryOptions {
  /** Sockets of the sandbox's own network namespace (--network=host). */
  readonly hostNetwork?: boolean
  /** The ptrace platform. */
  readonly ptrace?: boolean
}

/** SECCOMP_IOCTL_NOTIF_RECV, _SEND, _ID_VALID, _ADDFD, _SET_FLAGS. */
const NOTIFY_IOCTLS = [0xc0502100, 0xc0182101, 0x40082102, 0x40182103, 0x40082104]

/** TCGETS, TCSETS, TCSETSW, TCSETSF, TIOCGWINSZ, TIOCSWINSZ. None puts input into a terminal. */
const TTY_IOCTLS = [0x5401, 0x5402, 0x5403, 0x5404, 0x5413, 0x5414]

const stubs: Rules = {
  ioctl: allowedFor(1, [...FD_IOCTLS, ...NOTIFY_IOCTLS, ...TTY_IOCTLS]),
  ...each('process_vm_readv process_vm_writev', allowedIf(compare(5, 'eq', 0))),
  ...each('wait4 waitid kill tgkill pidfd_open pidfd_send_signal pidfd_getfd', allowed),
  ...each('sched_setaffinity', allowed),
  // The control socket listens from before the filter.
  accept4: allowed,
}

/** Sockets of the host's TCP/IP, and those that ask for its interfaces and routes. Unix sockets stay out of reach. */
const hostSockets: Rules = {
  socket: networkSockets,
  ...each('bind connect listen accept4 getsockopt getsockname getpeername shutdown', allowed),
  ...each('sendto recvfrom', allowed),
  setsockopt: [...HOST_SOCKET_OPTIONS].flatMap(([level, names]) =>
    names.flatMap(name => allowedIf(eq32(1, level), eq32(2, name))),
  ),
  ioctl: allowedFor(1, [...FD_IOCTLS, ...NOTIFY_IOCTLS, ...TTY_IOCTLS, ...HOST_SOCKET_IOCTLS]),
}

/** The policy for the Sentry's process. */
export function sentryPolicy(options: SentryOptions = {}): Policy {
  const rules: Rules = {
    ...neverHonest,
    ...nodeRuntime,
    ...stubs,
    ...(options.hostNetwork ? hostSockets : {}),
    ...(options.ptrace ? each('ptrace', allowed) : {}),
  }
  return policy({
    foreignArch: KILL_PROCESS,
    rules: { calls: byNumber(rules), otherwise: REFUSED },
  })
}
