// Making containers: create, run, do. Each step leaves a state on disk that the other
// commands cope with, wherever this process dies.

import { join, resolve } from 'node:path'
import { withAnnotations } from './annotations.ts'
import { build } from './build.ts'
import { ContainerCgroup } from './cgroup/container-cgroup.ts'
import { CliError } from './errors.ts'
import { runHooks } from './hooks.ts'
import { joinUsers } from './joined-users.ts'
import { afterStart, hookState, hostPlace, removeContainer, stopped } from './life.ts'
import { openDebugLog, warner } from './log.ts'
import type { FileOptions } from './mounts.ts'
import type { GlobalOptions } from './options.ts'
import { type Overlay, parseOverlay } from './overlay.ts'
import { type FdOptions, passedFds } from './passed-fds.ts'
import { writePidFile } from './pid-file.ts'
import { checkForeignNamespaces, joinPod, neighbourOf, podOf } from './pod.ts'
import { isModel } from './process-config.ts'
import { type LaunchOptions, launchSandbox, type Sandbox } from './sandbox.ts'
import { readSpec, type Spec } from './spec.ts'
import type { Warn } from './spec-check.ts'
import { type ContainerState, processStartTime, StateStore } from './state.ts'
import { forwardSignals } from './terminal.ts'

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

/** `runsc run`: returns the exit status for this process. */
export async function runContainer(
  options: BundleOptions & { detach: boolean; keep: boolean },
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
    if (!options.keep)
      await forgetEnded(new StateStore(options.root), id, sandbox.pid, warner(options))
  }
}

/** `runsc do`: a container without a bundle and without a state that outlives the command. */
export async function runOnce(
  options: GlobalOptions,
  spec: Spec,
  overlay: Overlay,
): Promise<number> {
  const sandbox = await launchSandbox({
    id: 'runsc-do',
    spec,
    files: { ...fileOptions(options), overlay },
    passed: [],
    warn: warner(options),
    hookState: {},
    bundle: '/',
    globals: options,
    controlSocket: null,
    cgroup: null,
    waitForStart: false,
    detached: false,
  })
  return await attend(sandbox)
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
  if (process.getuid?.() !== 0)
    throw new CliError('containers are made by root; for other users there is `runsc do`')
  const bundle = resolve(given.bundle)
  const passed = passedFds(given)
  const warn = warner(given)
  const ignored: string[] = []
  const spec = readSpec(bundle, warn, given.debug ? field => ignored.push(field) : undefined)
  await logIgnored(given, id, ignored)
  const options = withAnnotations(given, spec.annotations, warn)
  const store = new StateStore(options.root)
  joinUsers(spec, bundle, store)
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
    const pod = podOf(spec, id, store) ?? neighbourOf(spec, store)
    if (pod === null) checkForeignNamespaces(spec, warn)
    const launch: LaunchOptions & { controlSocket: string } = {
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
      Object.assign(state, { pid, startTime, freezer: cgroup?.freezerFile ?? '' })
      store.save(state, {
        directories: cgroup?.directories ?? [],
        removable: cgroup?.plain ?? true,
        executable: !isModel(spec),
      })
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
  const launcher = [join(build, 'launcher'), '--mount', '--join-net', `/proc/${pid}/ns/net`]
  const place = { cwd: resolve(state.bundle, spec.root.path), enter: launcher }
  await runHooks('createContainer', hooks.createContainer, seen, place)
}
