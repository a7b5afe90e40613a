// Values of /proc/sys that can be changed and have an effect. fs/proc/sysctl.ts shows and stores them.

export class Tunables {
  /** net.ipv4.ip_unprivileged_port_start: ports below need CAP_NET_BIND_SERVICE. */
  unprivilegedPortStart = 1024
  /** net.ipv4.ping_group_range: groups that may make ICMP echo sockets; nobody while the first is larger. */
  pingGroupFirst = 1
  pingGroupLast = 0
  /** net.core.somaxconn: longest queue of connections that listen(2) gives. */
  somaxconn = 4096
  /** fs.lease-break-time: seconds that the holder of a lease has. */
  leaseBreakTime = 45
}
