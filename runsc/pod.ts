// Containers of a pod: container engines make them for Kubernetes in the sandbox of the pod, and say so by
// annotations. Such a container has a gofer and a stand-in of its own; the sentry is the pod's.

import { closeSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { openCgroupFiles } from '../sentry/boot/host-cgroup.ts'
import type { Shares } from '../sentry/boot/pod.ts'
import type { ContainerConfig } from '../sentry/config.ts'
import { sizeGoferSocket } from '../sentry/fs/gofer/transport.ts'
import { ContainerCgroup, closeAll } from './cgroup/container-cgroup.ts'
import { oomScores } from './cgroup/oom-score.ts'
import { sandboxLimits } from './cgroup/sandbox-limits.ts'
import { request, requestNow } from './control.ts'
import { CliError } from './errors.ts'
import { closeTrees, openTrees } from './mounts.ts'
import { networkOf } from './network.ts'
import { dismissSentry, type Placement, startGofer } from './processes.ts'
import {
  containerConfig,
  joinTerminal,
  type LaunchOptions,
  openTerminal,
  pair,
  placementOf,
  type Sandbox,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  viewOf,
} from './sandbox.ts'
import { type SocketServer, startSocketServer } from './socket-server.ts'
import { readSpec, type Spec } from './spec.ts'
import type { Warn } from './spec-check.ts'
import { openNamespaces, startStandIn } from './stand-in.ts'
import { type ContainerState, type StateStore, statusOf } from './state.ts'

/** What engines call the kind of a container ("sandbox" or "container") and its pod: containerd and CRI-O. */
const ANNOTATIONS = [
  ['io.kubernetes.cri.container-type', 'io.kubernetes.cri.sandbox-id'],
  ['io.kubernetes.cri-o.ContainerType', 'io.kubernetes.cri-o.SandboxID'],
] as const

/** Namespaces of the sandbox's own kernel that two containers of it can share. */
const SHARED: readonly string[] = ['pid', 'ipc', 'uts']

const inPod = (annotations: Spec['annotations']): boolean =>
  ANNOTATIONS.some(([type]) => annotations[type] === 'container')

/** The container in whose sandbox a container is to be made, or null when it gets a sandbox of its own. */
export function podOf(spec: Spec, id: string, store: StateStore): string | null {
  const { annotations } = spec
  for (const [type, sandbox] of ANNOTATIONS) {
    if (annotations[type] !== 'container') continue
    const pod = annotations[sandbox] ?? ''
    if (pod === '')
      throw new CliError(`annotation ${type} is "container", but ${sandbox} does not name the pod`)
    return pod === id || isAlone(spec, store, pod) ? null : pod
  }
  return null
}

/**
 * A pod of podman's without a first container (`pod create --infra=false`) has an id that is no container's, and its containers share nothing
 * that a sandbox has.
 */
const isAlone = ({ linux }: Spec, store: StateStore, pod: string): boolean =>
  SHARED.every(type => hasOwn(linux, type)) && store.tryLoad(pod) === null

/**
 * The first container of the sandbox in which the one is whose namespaces config.json names (docker run --pid=container:X): the new
 * one can be there, too, if those are the first's.
 */
export function neighbourOf({ linux }: Spec, store: StateStore): string | null {
  const paths = linux.namespaces.filter(({ type, path }) => path && SHARED.includes(type))
  const pids = new Set(paths.map(({ path }) => path!.match(/^\/proc\/(\d+)\/ns\//)?.[1]))
  if (pids.size !== 1) return null
  const [pid] = pids
  for (const id of store.ids()) {
    const state = tryLoad(store, id)
    if (state === null || String(state.pid) !== pid || statusOf(state) === 'stopped') continue
    const first = store.sandboxOf(id)
    return first === id || paths.every(({ type }) => hasFrom(state, type)) ? first : null
  }
  return null
}

/** Whether a container that is not the first in its sandbox has a namespace from the first. */
function hasFrom({ bundle }: ContainerState, type: string): boolean {
  try {
    const { linux } = readSpec(bundle, () => {})
    return !hasOwn(linux, type)
  } catch {
    // Engines have removed its bundle.
    return false
  }
}

const hasOwn = ({ namespaces }: Spec['linux'], type: string): boolean =>
  namespaces.some(entry => entry.type === type && !entry.path)

/** Another container's damaged state is none of this one's business. */
function tryLoad(store: StateStore, id: string): ContainerState | null {
  try {
    return store.tryLoad(id)
  } catch {
    return null
  }
}

/** In a sandbox of its own, a container shares no processes with others; that it has IPC and a host name of its own is no reason to fail. */
export function checkForeignNamespaces({ linux }: Spec, warn: Warn): void {
  for (const { type, path } of linux.namespaces) {
    if (path === '') continue
    const what = `config.json: linux.namespaces: the ${type} namespace ${path}`
    if (type === 'pid')
      throw new CliError(
        `${what} belongs to no sandbox that this container can be in: it takes that of a running container under the same --root which is the first in its sandbox, or has it from the first`,
      )
    if (type === 'ipc' || type === 'uts')
      warn(`${what} belongs to another sandbox: the container gets one of its own`)
  }
}

/** Make the container `options.id` in the sandbox of `pod`, and wait until its program could run. */
export async function joinPod(
  options: LaunchOptions & { controlSocket: string },
  store: StateStore,
  pod: string,
): Promise<Sandbox> {
  const { id, spec } = options
  const podState = checkPod(store, pod, id)
  dismissSentry()
  const scores = oomScores(spec.process.oomScoreAdj, options.cgroup?.resources.memory?.limit ?? 0)
  const config: ContainerConfig = containerConfig(options)
  const { attach, root, mounts } = openTrees(spec, options.bundle, options.files)
  Object.assign(config, { root, mounts })
  // Commands find the sandbox by the container's own directory.
  symlinkSync(join('..', pod, 'control.sock'), options.controlSocket)
  const goferPair = pair(SOCK_SEQPACKET)
  sizeGoferSocket(goferPair[1])
  const link = pair(SOCK_STREAM)
  const [relay, terminal] = openTerminal(options)
  const entrances = options.cgroup?.openEntrances() ?? []
  const podPlacement = placementOf(ContainerCgroup.load(store.directory(pod)), scores)
  const values = openCgroupFiles(options.cgroup?.paths ?? {})
  const held = terminal !== null && options.consoleSocket !== undefined ? terminal : null
  const namespaces = openNamespaces(podState)
  const shares = sharesOf(spec, podState)
  const server = shares.network ? null : await ownNetwork(options, config, podPlacement)
  const standIn = await startStandIn({
    args: spec.process.args,
    link: link[0],
    terminal: held,
    namespaces: { net: server?.namespace ?? namespaces.net, mounts: null },
    entrances,
    view: viewOf(attach),
    detached: options.detached,
  })
  closeAll(Object.values(namespaces))
  try {
    await options.namespacesMade?.(standIn.pid)
    // With the pod: the sentry waits for it, and must not when only this container is paused.
    startGofer(options.detached, goferPair[0], attach, podPlacement)
    options.spawned?.(standIn.pid)
    const files = [...values.keys()]
    const network = server?.request ?? null
    const places = { entrances: entrances.length, files, network }
    const message = { command: 'create', config, shares, ...places }
    const streams = terminal === null ? [0, 1, 2] : [terminal]
    streams.push(...options.passed.map(({ host }) => host))
    requestNow(options.controlSocket, message, [
      ...[link[1], goferPair[1], ...streams],
      ...[...entrances, ...values.values()],
      ...(server?.fds ?? []),
    ])
    const limits = sandboxLimits(options.cgroup?.resources ?? {})
    requestNow(options.controlSocket, { command: 'limits', container: id, ...limits })
    if (!config.waitForStart) requestNow(options.controlSocket, { command: 'start', container: id })
  } catch (error) {
    standIn.kill()
    throw error
  } finally {
    closeTrees(attach)
    server?.close()
    for (const fd of [...goferPair, ...link]) closeSync(fd)
    if (terminal !== null) closeSync(terminal)
    closeAll([...entrances, ...podPlacement.entrances, ...values.values()])
  }
  const sandbox: Sandbox = {
    pid: standIn.pid,
    exited: standIn.exited,
    control: message => request(options.controlSocket, { container: id, ...message }),
    kill: standIn.kill,
    abandon: () => {},
  }
  if (relay !== null) joinTerminal(relay, sandbox, sandbox.exited)
  return sandbox
}

function checkPod(store: StateStore, pod: string, id: string): ContainerState {
  const state = store.tryLoad(pod)
  const why =
    state === null
      ? `does not exist (state is kept under ${store.root})`
      : statusOf(state) === 'stopped'
        ? 'has stopped'
        : null
  if (state === null || why !== null)
    throw new CliError(`container "${id}": the sandbox "${pod}" of its pod ${why}`)
  return state
}

/** The container's own network, if it can have one of the host's; the sentry has loopbacks itself. */
async function ownNetwork(
  { spec, globals }: LaunchOptions,
  config: ContainerConfig,
  { entrances }: Placement,
): Promise<SocketServer | null> {
  const network = networkOf(spec, globals)
  if (network.kind === 'none') return null
  config.network = network.kind
  return startSocketServer(network, config.process.capabilities.bounding[0], entrances)
}

/**
 * An entry with a path is another container's namespace, which can only be the pod's; without an entry it is, too. Of networks
 * there may be others.
 */
function sharesOf({ linux, annotations }: Spec, pod: ContainerState): Shares {
  const own = (type: string) => hasOwn(linux, type)
  const network = inPod(annotations) ? !own('network') : networkIn(linux) === networkOfState(pod)
  return { pid: !own('pid'), ipc: !own('ipc'), uts: !own('uts'), network }
}

const networkOfState = ({ pid }: ContainerState): string | null =>
  namespaceLink(`/proc/${pid}/ns/net`)

/** What identifies the network namespace that config.json asks for; nothing does for a new one. */
function networkIn({ namespaces }: Spec['linux']): string | null {
  const entry = namespaces.find(({ type }) => type === 'network')
  if (entry === undefined) return namespaceLink('/proc/self/ns/net')
  return entry.path ? namespaceLink(entry.path) : null
}

/** Null for what is no namespace. */
function namespaceLink(path: string): string | null {
  try {
    const { dev, ino } = statSync(path)
    return `${dev}:${ino}`
  } catch {
    return null
  }
}
