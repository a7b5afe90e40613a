// The filter of the socket server, which opens the sockets of a network namespace that the Sentry is not in: it can do
// that, and answer.

import { eq32, KILL_PROCESS, onlyBits, type Policy, policy } from 'seccomp-bpf-compiler'
import { allowed, allowedIf, byNumber, each, REFUSED, type Rules } from './base.ts'

const AF_INET = 2
const AF_INET6 = 10
const AF_NETLINK = 16
/** NETLINK_ROUTE. */
const ROUTE = 0
/** SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, each with SOCK_CLOEXEC and SOCK_NONBLOCK. */
const SOCKET_TYPES = [0x80801, 0x80802, 0x80803]
const IP_PROTOCOLS = 0xff

/** socket(2) for TCP/IP, and for asking about interfaces and routes. Unix sockets stay out of reach. */
export const networkSockets: Rules[string] = SOCKET_TYPES.flatMap(type => [
  ...[AF_INET, AF_INET6].flatMap(family =>
    allowedIf(eq32(0, family), eq32(1, type), onlyBits(2, IP_PROTOCOLS)),
  ),
  ...allowedIf(eq32(0, AF_NETLINK), eq32(1, type), eq32(2, ROUTE)),
])

/** The policy for the socket server's process. */
export function socketServerPolicy(): Policy {
  const rules: Rules = {
    ...each('recvmsg sendmsg close exit_group rt_sigreturn restart_syscall', allowed),
    socket: networkSockets,
  }
  return policy({
    foreignArch: KILL_PROCESS,
    rules: { calls: byNumber(rules), otherwise: REFUSED },
  })
}
