// The life of containers: create, start, run, signal, delete. Each step leaves a state on disk that the other
// commands cope with, wherever this process dies.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ALREADY_RUNNING } from '../sentry/config.ts'
import { withAnnotations } from './annotations.ts'
import { build } from './build.ts'
import { ContainerCgroup } from './cgroup/container-cgroup.ts'
import { NoAnswer, post, request } from './control.ts'
import { CliError } from './errors.ts'
import { runHooks, tryHooks } from './hooks.ts'
import { openDebugLog, warner } from './log.ts'
import type { FileOptions } from './mounts.ts'
import type { GlobalOptions } from './options.ts'
import { type Overlay, parseOverlay } from './overlay.ts'
import { type FdOptions, passedFds } from './passed-fds.ts'
import { writePidFile } from './pid-file.ts'
import { checkForeignNamespaces, joinPod, neighbourOf, podOf } from './pod.ts'
import { type LaunchOptions, launchSandbox, type Sandbox } from './sandbox.ts'
import { readSpec, type Spec } from './spec.ts'
import type { Warn } from './spec-check.ts'
import {
  type ContainerState,
  isAlive,
  processStartTime,
  StateStore,
  signalSandbox,
  statusOf,
} from './state.ts'
import { forwardSignals } from './terminal.ts'
import { OCI_VERSION } from './version.ts'

const SIGKILL = 9
/** How long `delete --force` waits for a killed sandbox. */
const KILL_TIMEOUT_MS = 60_000

interface BundleOptions extends GlobalOptions, FdOptions {
  bundle: string
  pidFile?: string
  consoleSocket?: string
}

/** `runsc create`: the sandbox waits for `start`. */
export async function createContainer(options: BundleOptions, id: string): Promise<void> {
  const sandbox = await prepare(options, id, { waitForStart: true, detached: true })
  sandbox.abandon()
}

/** `runsc start`. */
export async function startContainer(store: StateStore, id: string): Promise<void> {
  const state = store.load(id)
  const status = statusOf(state)
  if (status !== 'created')
    throw new CliError(`container "${id}" is ${status}: only a created one can be started`)
  try {
    await request(store.controlSocket(id), { command: 'start', container: id })
  } catch (error) {
    if (error instanceof NoAnswer && !isAlive(state))
      throw new CliError('cannot start a container that has stopped')
    if ((error as Error).message === ALREADY_RUNNING) throw error
    // A program that cannot run will not run later either.
    signalSandbox(state, 'SIGKILL')
    throw error
  }
  await store.saveStarted(state)
  await afterStart(state)
}

/** A poststart hook that fails ends the container, as runc has it. */
async function afterStart(state: ContainerState): Promise<void> {
  if (state.hooks.poststart.length === 0) return
  try {
    const seen = { ...hookState(state), status: 'running', pid: state.pid }
    await runHooks('poststart', state.hooks.poststart, seen, hostPlace(state))
  } catch (error) {
    signalSandbox(state, 'SIGKILL')
    throw error
  }
}

/** Remove what is left of a container whose processes are gone, or about to be: its cgroup and its files. */
async function removeContainer(store: StateStore, id: string, warn: Warn): Promise<void> {
  const cgroup = ContainerCgroup.load(store.directory(id))
  if (cgroup !== null) {
    cgroup.thaw()
    await cgroup.remove(warn)
  }
  store.remove(id)
}

/** Tell the poststop hooks; their failures end nothing. */
async function stopped(state: ContainerState, warn: Warn): Promise<void> {
  const seen = { ...hookState(state), status: 'stopped' }
  await tryHooks('poststop', state.hooks.poststop, seen, hostPlace(state), warn)
}

/** The container of a `run` has ended: remove it, unless others have done that. */
async function forgetEnded(store: StateStore, id: string, pid: number, warn: Warn): Promise<void> {
  const state = await store.locked(id, async () => {
    const state = store.tryLoad(id)
    if (state?.pid !== pid) return null
    await removeContainer(store, id, warn)
    return state
  })
  if (state !== null) await stopped(state, warn)
}

const hostPlace = ({ bundle }: ContainerState) => ({ cwd: bundle, enter: [] })

const hookState = ({ id, bundle, annotations }: ContainerState) => ({
  ociVersion: OCI_VERSION,
  id,
  bundle,
  annotations,
})

/** `runsc run`: returns the exit status for this process. */
export async function runContainer(
  options: BundleOptions & { detach: boolean },
  id: string,
): Promise<number> {
  const sandbox = await prepare(options, id, { waitForStart: false, detached: options.detach })
  if (options.detach) {
    sandbox.abandon()
    return 0
  }
  try {
    return await attend(sandbox)
  } finally {
    await forgetEnded(new StateStore(options.root), id, sandbox.pid, warner(options))
  }
}

/** `runsc do`: a container without a bundle and without a state that outlives the command. */
export async function runOnce(
  options: GlobalOptions,
  spec: Spec,
  overlay: Overlay,
): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'runsc-do-'))
  try {
    const sandbox = await launchSandbox({
      id: 'runsc-do',
      spec,
      files: { ...fileOptions(options), overlay },
      passed: [],
      warn: warner(options),
      hookState: {},
      bundle: '/',
      globals: options,
      controlSocket: join(directory, 'control.sock'),
      cgroup: null,
      waitForStart: false,
      detached: false,
    })
    return await attend(sandbox)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function fileOptions(options: GlobalOptions): FileOptions {
  const { hostUds, overlay2, fileAccess, fileAccessMounts } = options
  return {
    hostUds,
    overlay: parseOverlay(overlay2),
    rootShared: fileAccess === 'shared',
    mountsShared: fileAccessMounts === 'shared',
  }
}

async function attend(sandbox: Sandbox): Promise<number> {
  const stop = forwardSignals(sandbox.pid)
  try {
    return await sandbox.exited
  } finally {
    stop()
  }
}

async function prepare(
  given: BundleOptions,
  id: string,
  how: { waitForStart: boolean; detached: boolean },
): Promise<Sandbox> {
  const bundle = resolve(given.bundle)
  const passed = passedFds(given)
  const warn = warner(given)
  const ignored: string[] = []
  const spec = readSpec(bundle, warn, given.debug ? field => ignored.push(field) : undefined)
  await logIgnored(given, id, ignored)
  const options = withAnnotations(given, spec.annotations, warn)
  const store = new StateStore(options.root)
  store.reserve(id)
  let sandbox: Sandbox | undefined
  let cgroup: ContainerCgroup | null = null
  const state: ContainerState = {
    id,
    bundle,
    pid: 0,
    startTime: '',
    started: false,
    created: new Date().toISOString(),
    owner: process.getuid?.() ?? 0,
    annotations: spec.annotations,
    freezer: '',
    hooks: { poststart: spec.hooks.poststart, poststop: spec.hooks.poststop },
  }
  try {
    cgroup = await makeCgroup(store.directory(id), options, spec, id)
    const pod = podOf(spec, id) ?? neighbourOf(spec, store)
    if (pod === null) checkForeignNamespaces(spec, warn)
    const launch: LaunchOptions = {
      id,
      spec,
      bundle,
      files: fileOptions(options),
      passed,
      warn,
      hookState: { ...hookState(state), status: 'created', pid: 1 },
      ...(hasCreateHooks(spec)
        ? { namespacesMade: (pid: number) => createHooks(spec, state, pid) }
        : {}),
      globals: options,
      controlSocket: store.controlSocket(id),
      cgroup,
      ...(options.consoleSocket === undefined ? {} : { consoleSocket: options.consoleSocket }),
      ...how,
    }
    launch.spawned = pid => {
      const startTime = processStartTime(pid) ?? ''
      store.save(Object.assign(state, { pid, startTime, freezer: cgroup?.freezerFile ?? '' }))
    }
    sandbox = await (pod === null ? launchSandbox(launch) : joinPod(launch, store, pod))
    cgroup?.leave()
    store.checkReserved(id)
    if (!how.waitForStart) {
      await store.saveStarted(state)
      await afterStart(state)
    }
    // Last of all: engines take the file as the sign that the container is there.
    if (options.pidFile !== undefined) writePidFile(options.pidFile, sandbox.pid)
    return sandbox
  } catch (error) {
    sandbox?.kill()
    cgroup?.leave()
    const deleted = !store.ownsReserved(id)
    if (!deleted) await removeContainer(store, id, warn)
    await stopped(state, warn)
    if (deleted) store.checkReserved(id)
    throw error
  }
}

/** With --debug, a line for each field that nobody knows. */
async function logIgnored(
  options: GlobalOptions,
  id: string,
  fields: readonly string[],
): Promise<void> {
  if (fields.length === 0) return
  const log = await openDebugLog(options, 'spec', id)
  for (const field of fields) log.debug(`config.json: ${field} is unknown, and ignored`)
}

async function makeCgroup(
  directory: string,
  options: GlobalOptions,
  { linux }: Spec,
  id: string,
): Promise<ContainerCgroup | null> {
  if (options.ignoreCgroups) return null
  const { cgroupsPath, resources } = linux
  return ContainerCgroup.create(directory, {
    id,
    cgroupsPath,
    resources,
    systemd: options.systemdCgroup,
  })
}

const hasCreateHooks = ({ hooks }: Spec): boolean =>
  hooks.prestart.length + hooks.createRuntime.length + hooks.createContainer.length > 0

/** The hooks of a container that is being made, in runc's order. `pid` lives in its namespaces. */
async function createHooks(spec: Spec, state: ContainerState, pid: number): Promise<void> {
  const { hooks } = spec
  const seen = { ...hookState(state), status: 'creating', pid }
  await runHooks('prestart', hooks.prestart, seen, hostPlace(state))
  await runHooks('createRuntime', hooks.createRuntime, seen, hostPlace(state))
  // DIFFERS: runc runs these in all of the container's namespaces; its mounts and pids are the sandbox's own business
  // here, and what a hook mounts is not seen there.
  const launcher = [join(build, 'launcher'), '--mount', '--join-net', `/proc/${pid}/ns/net`, '--']
  const place = { cwd: resolve(state.bundle, spec.root.path), enter: launcher }
  await runHooks('createContainer', hooks.createContainer, seen, place)
}

/** Who gets a signal: the container's program, all of its processes, one of them or one process group. */
export interface Addressee {
  all?: boolean
  pid?: number
  pgid?: number
}

/** `runsc kill`. */
export async function signalContainer(
  store: StateStore,
  id: string,
  signal: number,
  to: Addressee,
): Promise<void> {
  const state = store.load(id)
  const status = statusOf(state)
  // Engines look for these words.
  const notRunning = new CliError(`container not running: "${id}"`)
  if (status === 'stopped') throw notRunning
  const { all = false, pid, pgid } = to
  // A sandbox that does not answer can still be killed.
  if (signal === SIGKILL && !all && pid === undefined && pgid === undefined) {
    if (!signalSandbox(state, 'SIGKILL')) throw notRunning
    // Frozen processes do not even die. As runc has it, only this signal wakes them.
    ContainerCgroup.load(store.directory(id))?.thaw()
    return
  }
  const message = { command: 'signal', container: id, signal, all, pid, pgid }
  try {
    if (status === 'paused') post(store.controlSocket(id), message)
    else await request(store.controlSocket(id), message)
  } catch (error) {
    throw isAlive(state) ? error : notRunning
  }
}

/** `runsc delete`. With `force`, a missing container is no error, as runc has it. */
export async function deleteContainer(
  store: StateStore,
  id: string,
  force: boolean,
  warn: Warn,
): Promise<void> {
  const done = await store.locked(id, () => deleteLocked(store, id, force, warn))
  if (done === null && !force) store.load(id)
  if (done?.state) await stopped(done.state, warn)
}

/** Returns what was known of the container. */
async function deleteLocked(
  store: StateStore,
  id: string,
  force: boolean,
  warn: Warn,
): Promise<{ state: ContainerState | null }> {
  const state = force ? loadAny(store, id) : store.load(id)
  if (state !== null && isAlive(state)) {
    const status = statusOf(state)
    if (!force && status !== 'created') {
      throw new CliError(`container "${id}" is ${status}: kill it first, or use --force`)
    }
    signalSandbox(state, 'SIGKILL')
    ContainerCgroup.load(store.directory(id))?.thaw()
    await gone(state.pid, state.startTime, id)
  }
  // Nobody knows yet which processes are those of a container that is being made.
  if (state === null) ContainerCgroup.load(store.directory(id))?.kill()
  await removeContainer(store, id, warn)
  return { state }
}

/** A container whose state is damaged can be removed all the same. */
function loadAny(store: StateStore, id: string): ContainerState | null {
  try {
    return store.tryLoad(id)
  } catch {
    return null
  }
}

async function gone(pid: number, startTime: string, id: string): Promise<void> {
  const deadline = Date.now() + KILL_TIMEOUT_MS
  while (processStartTime(pid) === startTime) {
    if (Date.now() > deadline)
      throw new CliError(`container "${id}": its sandbox (pid ${pid}) does not end after SIGKILL`)
    await sleep(5)
  }
}
