// Confinement of this process (native/addon/sandbox.cc): the steps that a sentry or gofer takes once Node has
// loaded everything. Each returns 0 or -errno, and reaches all of Node's threads.

import { addon } from './load.ts'

interface Sandbox {
  pivotToEmptyRoot(): number
  pivotTo(path: string): number
  setIds(uid: number, gid: number): number
  setIdsKeeping(uid: number, gid: number, capabilities: number): number
  dropCapabilities(keepLow: number, keepHigh: number, taskDir?: number): number
  setNoNewPrivs(): number
  installFilter(filter: Uint8Array): number
  setParentDeathSignal(signo: number): number
  setDumpable(value: number): number
  makeUserNamespace(uidMap: string, gidMap: string): number
  setLimit(resource: number, soft: number, hard: number): number
}

const sandbox = addon as unknown as Sandbox

/** Replace the file system by an empty, read-only one. Needs a mount namespace of our own, and /proc. */
export const pivotToEmptyRoot = sandbox.pivotToEmptyRoot
/** Make a directory the root of this mount namespace; open files stay open. */
export const pivotTo = sandbox.pivotTo
/** Become this user and group only; leaving uid 0 takes all capabilities from all threads. */
export const setIds = sandbox.setIds
/** As `setIds`, but the calling thread keeps these capabilities (a mask of the low 32). */
export const setIdsKeeping = sandbox.setIdsKeeping
/**
 * Keep only these capabilities (two words of a mask), in every thread and its bounding set. Must come after
 * Node has started its threads, and before /proc is gone, or with a descriptor of /proc/self/task.
 */
export const dropCapabilities = sandbox.dropCapabilities
/** prctl(PR_SET_NO_NEW_PRIVS) for this thread; `installFilter` gives it to the others. */
export const setNoNewPrivs = sandbox.setNoNewPrivs
/** Install a seccomp filter (struct sock_filter[]) in every thread. */
export const installFilter = sandbox.installFilter
/** prctl(PR_SET_PDEATHSIG). */
export const setParentDeathSignal = sandbox.setParentDeathSignal
/** A descriptor of a new user namespace with these maps, in the form of /proc/PID/uid_map. */
export const makeUserNamespace = sandbox.makeUserNamespace
/** prctl(PR_SET_DUMPABLE). */
export const setDumpable = sandbox.setDumpable
/** setrlimit(2); Infinity for no limit. */
export const setLimit = sandbox.setLimit
