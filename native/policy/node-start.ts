// The filter that Node.js must be started under, before exec: no io_uring. libuv makes a ring for each event
// loop, also with UV_USE_IO_URING=0, and keeps it; ring operations pass no seccomp filter, so a ring from before
// sentry.ts or gofer.ts is a hole in them, and without it libuv falls back to epoll_ctl.
// Stub processes inherit it: it must not kill what their own filter turns into a signal. So do hooks, which may be programs of
// any kind: it refuses nothing else.
// DIFFERS: the hooks of a container cannot use io_uring.

import { ALLOW, type Policy, policy } from 'seccomp-bpf-compiler'
import { byNumber, each, missing } from './base.ts'

/** Refuses io_uring, nothing else. */
export function nodeStartPolicy(): Policy {
  const rules = each('io_uring_setup io_uring_enter io_uring_register', missing)
  return policy({
    foreignArch: ALLOW,
    rules: { calls: byNumber(rules), otherwise: ALLOW },
  })
}
