// The containers of a sandbox. Most have one; that of a pod has the pod's own and those that are made in it later,
// each with a gofer, a mount tree and (mostly) a pid namespace of its own.

import { close, type HostFd } from '../../native/index.ts'
import { POLLRDHUP, SIGKILL } from '../../syscall-table/flags.ts'
import type { ContainerConfig, SandboxConfig } from '../config.ts'
import { IpcNamespace } from '../ipc/namespace.ts'
import { CgroupSystem } from '../kernel/cgroup.ts'
import { groupExit } from '../kernel/exit.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { type Namespaces, NetNamespace, UtsNamespace } from '../kernel/nsproxy.ts'
import { PidNamespace } from '../kernel/pid-namespace.ts'
import { INITIAL_USER_NAMESPACE } from '../kernel/user-namespace.ts'
import { HostNetwork, type HostNetworkFacts } from '../net/host/network.ts'
import { SocketServer } from '../net/host/opener.ts'
import { MountNamespace } from '../vfs/mount.ts'
import { assemble, releaseGofer } from './assemble.ts'
import { BootError } from './boot-error.ts'
import type { Container } from './container.ts'
import { hostValue } from './host-cgroup.ts'
import { networkTunables } from './host-network.ts'
import { Placement } from './placement.ts'

/** Containers of one pod: each costs a gofer. */
const CONTAINERS_MAX = 256

/** Which of the pod's namespaces a container lives in; it has its own of the others. */
export interface Shares {
  pid: boolean
  ipc: boolean
  uts: boolean
  network: boolean
}

/** Where a container is on the host. The descriptors are taken out as somebody takes them over. */
export interface HostPlace {
  /** Files of its cgroup by which processes enter it. */
  entrances: HostFd[]
  /** Those to read, by name. */
  files: Map<string, HostFd>
  /** A network namespace of its own, with the socket to who opens sockets there. */
  network: { facts: Omit<HostNetworkFacts, 'tunables'>; server: HostFd } | null
}

export class Pod {
  /** The first one: the sandbox is as long as that. */
  readonly root: Container
  readonly config: SandboxConfig
  readonly #containers = new Map<string, Container>()
  readonly #placement: Placement

  constructor(root: Container, config: SandboxConfig) {
    this.root = root
    this.config = config
    this.#containers.set(config.id, root)
    this.#placement = new Placement(root.kernel)
  }

  /** The container of that id; without one the first. */
  container(id: unknown): Container | undefined {
    return id === undefined ? this.root : this.#containers.get(String(id))
  }

  /**
   * Make a further container. `fds` are taken over: the stand-in's socket, the gofer's, then the other side of the
   * terminal or the streams; so is what `place` has. Throws with one line for people.
   */
  create(config: ContainerConfig, shares: Shares, fds: HostFd[], place: HostPlace): void {
    const { kernel, init } = this.root
    this.#checkNetwork(place)
    if (this.#containers.has(config.id))
      throw new BootError(`container "${config.id}" exists already`)
    if (this.#containers.size >= CONTAINERS_MAX)
      throw new BootError('the pod has too many containers')
    if (init.exiting) throw new BootError('the pod is at its end')
    this.#checkSeccomp(config)
    const [link, gofer, ...streams] = fds.splice(0)
    this.#placement.add(config.id, place.entrances.splice(0))
    const release = this.#allot(config.id, place.files)
    // As long as the container is there, so are its namespaces: `exec` goes into them.
    const namespaces = this.#namespaces(config, shares, place).ref()
    try {
      const made = assemble(kernel, config, namespaces, {
        gofer: gofer!,
        standIn: link!,
        streams,
      })
      this.#containers.set(config.id, made.container)
      const forget = shares.network ? () => {} : watchNetwork(kernel, made.container)
      made.container.init.onExit = () => {
        this.#containers.delete(config.id)
        this.#placement.remove(config.id)
        release()
        forget()
        releaseGofer(kernel, gofer!)
        // In the pod's pid namespace nobody else ends them.
        for (const group of made.container.processes) groupExit(group, SIGKILL)
        if (made.terminal === null) made.standIn.end()
        else made.terminal.whenFlushed(() => made.standIn.end())
        made.terminal?.release()
        namespaces.unref()
      }
    } catch (error) {
      for (const fd of [gofer!, ...streams]) close(fd)
      namespaces.unref()
      this.#placement.remove(config.id)
      release()
      throw error
    }
  }

  /** Give it control groups of its own, and the pod's figures until it is told its limits. Returns what takes that back. */
  #allot(id: string, files: Map<string, HostFd>): () => void {
    const { kernel } = this.root
    const opened = new Map(files)
    files.clear()
    const { memoryBytes, cpuset, cgroups } = kernel
    const own = new CgroupSystem(cgroups.version, hostValue(opened))
    kernel.allotments.set(id, { memoryBytes, cpuset, cgroups: own })
    return () => {
      kernel.allotments.delete(id)
      for (const fd of opened.values()) close(fd)
      opened.clear()
    }
  }

  /** What the stubs do without asking was settled when the sandbox started. */
  #checkSeccomp({ seccomp }: ContainerConfig): void {
    const settled = new Set(this.config.seccomp?.trapped)
    const missing = seccomp?.trapped.filter(nr => !settled.has(nr)) ?? []
    if (missing.length > 0)
      throw new BootError(
        `linux.seccomp: the profile restricts system call ${missing[0]}, which the pod's own profile does not: a container of a pod cannot`,
      )
  }

  /** The sentry's filter lets it use sockets of the host, or not. */
  #checkNetwork({ network }: HostPlace): void {
    if (network !== null && this.config.network !== 'host')
      throw new BootError(
        'the sandbox reaches no network of the host (--network=none): a container in it cannot either',
      )
  }

  #namespaces(config: ContainerConfig, shares: Shares, place: HostPlace) {
    const { namespaces } = this.root
    const owner = INITIAL_USER_NAMESPACE
    const own: Partial<Namespaces> = { mnt: new MountNamespace(owner) }
    if (!shares.pid) own.pidForChildren = new PidNamespace(null, owner)
    if (!shares.ipc) own.ipc = new IpcNamespace(owner)
    if (!shares.uts) own.uts = new UtsNamespace(owner, config.hostname, config.domainname)
    if (!shares.network) own.net = this.#network(config, place)
    return namespaces.with(own)
  }

  #network({ sysctls }: ContainerConfig, place: HostPlace): NetNamespace {
    const { kernel, namespaces } = this.root
    const net = new NetNamespace(kernel, INITIAL_USER_NAMESPACE)
    const { network } = place
    if (network === null) return net
    place.network = null
    const { budget } = namespaces.net.host!
    const tunables = new Map(networkTunables(sysctls))
    const facts = { ...network.facts, tunables }
    net.host = new HostNetwork(facts, new SocketServer(network.server), budget)
    return net
  }
}

/** Without its socket server a container can make no more sockets, and must not stay behind as a ruin. Returns what ends the watch. */
function watchNetwork(kernel: Kernel, { init, namespaces }: Container): () => void {
  const opener = namespaces.net.host?.opener
  if (!(opener instanceof SocketServer)) return () => {}
  const { socket } = opener
  kernel.hostEvents.watch(socket, POLLRDHUP, { onHostEvent: () => groupExit(init, SIGKILL) })
  return () => kernel.hostEvents.unwatch(socket)
}
