// What happens to containers that have been made: start, signal, delete. Nothing is loaded here that only making one takes,
// because engines wait for each of these commands.

import { setTimeout as sleep } from 'node:timers/promises'
import { ALREADY_RUNNING } from '../sentry/config.ts'
import { ContainerCgroup } from './cgroup/container-cgroup.ts'
import { isAsked, NoAnswer, post, requestNow } from './control.ts'
import { CliError } from './errors.ts'
import { runHooks, tryHooks } from './hooks.ts'
import type { Warn } from './spec-check.ts'
import {
  type ContainerState,
  isAlive,
  processStartTime,
  type StateStore,
  signalSandbox,
  statusOf,
} from './state.ts'
import { OCI_VERSION } from './version.ts'

const SIGKILL = 9
/** How long `delete --force` waits for a killed sandbox. */
const KILL_TIMEOUT_MS = 60_000

/** `runsc start`. */
export async function startContainer(store: StateStore, id: string): Promise<void> {
  const state = store.load(id)
  const status = statusOf(state)
  if (status !== 'created' && !isAsked())
    throw new CliError(`container "${id}" is ${status}: only a created one can be started`)
  try {
    requestNow(store.controlSocket(id), { command: 'start', container: id })
  } catch (error) {
    if (error instanceof NoAnswer && !isAlive(state))
      throw new CliError('cannot start a container that has stopped')
    if ((error as Error).message === ALREADY_RUNNING) {
      // Whoever started it may have been killed before that was kept.
      await store.saveStarted(state)
      throw error
    }
    // A program that cannot run will not run later either.
    signalSandbox(state, 'SIGKILL')
    throw error
  }
  await store.saveStarted(state)
  await afterStart(state)
}

/** A poststart hook that fails ends the container, as runc has it. */
export async function afterStart(state: ContainerState): Promise<void> {
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
export async function removeContainer(store: StateStore, id: string, warn: Warn): Promise<void> {
  const cgroup = ContainerCgroup.load(store.directory(id))
  if (cgroup !== null) {
    cgroup.thaw()
    await cgroup.remove(warn)
  }
  store.remove(id)
}

/** Tell the poststop hooks; their failures end nothing. */
export async function stopped(state: ContainerState, warn: Warn): Promise<void> {
  const seen = { ...hookState(state), status: 'stopped' }
  await tryHooks('poststop', state.hooks.poststop, seen, hostPlace(state), warn)
}

/** Where hooks of the host run. */
export const hostPlace = ({ bundle }: ContainerState) => ({ cwd: bundle, enter: [] })

/** What hooks read of a container; its status and pid are added. */
export const hookState = ({ id, bundle, annotations }: ContainerState) => ({
  ociVersion: OCI_VERSION,
  id,
  bundle,
  annotations,
})

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
  const { all = false, pid, pgid } = to
  if (status === 'stopped' && !isAsked()) {
    // As runc has it: there is nobody left to tell.
    if (all) return
    throw notRunning
  }
  // A sandbox that does not answer can still be killed.
  if (signal === SIGKILL && !all && pid === undefined && pgid === undefined) {
    if (!signalSandbox(state, 'SIGKILL')) throw notRunning
    // Frozen processes do not even die. As runc has it, only this signal wakes them.
    ContainerCgroup.load(store.directory(id))?.thaw()
    return
  }
  const message = { command: 'signal', container: id, signal, all, pid, pgid }
  try {
    if (status === 'paused' && !isAsked()) post(store.controlSocket(id), message)
    else requestNow(store.controlSocket(id), message)
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
