// The sentry process. The launcher has put it into namespaces of its own, as pid 1; it reads its configuration,
// gives up every right that it does not need, starts the platform, and becomes the kernel.

import { readFileSync } from 'node:fs'
import {
  close,
  createPtracePlatform,
  createSystrapPlatform,
  dropCapabilities,
  exitNow,
  type HostFd,
  installFilter,
  openTree,
  ownMemory,
  pivotToEmptyRoot,
  setDescriptorCeiling,
  setDumpable,
  setIds,
  setIdsKeeping,
  setNoNewPrivs,
  setParentDeathSignal,
  takeOrders,
  write,
} from '../native/index.ts'
import { errnoMessage } from '../syscall-table/errno.ts'
import { AT_FDCWD } from '../syscall-table/flags.ts'
import { BootError } from './boot/boot-error.ts'
import {
  type CpuFeatures,
  cpuFeatures,
  descriptorCeiling,
  hostClock,
  hostSocketsMax,
  readFilter,
  systemName,
} from './boot/host.ts'
import { enterCgroups, hostValue, OomScoreFile, openCgroupFiles } from './boot/host-cgroup.ts'
import { hostNetworkFacts } from './boot/host-network.ts'
import { startSandbox } from './boot/sandbox.ts'
import { loadDecoder } from './boot/trace.ts'
import { type BootReport, type SandboxConfig, SENTRY_FDS } from './config.ts'
import { sizeGoferSocket } from './fs/gofer/transport.ts'
import { type CpuModel, describeCpu, parseCpuModel } from './fs/proc/cpuinfo.ts'
import { CgroupSystem, type HostValue } from './kernel/cgroup.ts'
import { Kernel } from './kernel/kernel.ts'
import { applyLimits } from './kernel/limits.ts'
import { kernelMemory } from './kernel/memory.ts'
import { run } from './kernel/run-loop.ts'
import { HostNetwork, type HostNetworkFacts } from './net/host/network.ts'
import { ownSockets } from './net/host/opener.ts'
import type { Platform } from './platform.ts'

const EXIT_FAILURE = 128
const SIGKILL = 9
const OPEN_TREE_CLONE = 1
/** Descriptors have fixed numbers: SENTRY_FDS. */
const ALL = 64
const NO_LIMITS = { pids: null, memoryBytes: null, cpus: null }

/** What only the host's file system tells, read before it is gone. */
interface HostFacts {
  features: CpuFeatures
  cpu: CpuModel
  filter: Uint8Array
  oomScore: OomScoreFile
  cgroup: HostValue
  /** With --network=host. */
  network: HostNetworkFacts | null
  socketsMax: number
}

main()

function main(): never {
  let reported = false
  let debug = false
  const reportOnce = (report: BootReport) => {
    if (reported) return
    reported = true
    sendReport(report)
  }
  try {
    takeOrders(ALL)
    const config = JSON.parse(readFileSync(SENTRY_FDS.config, 'utf8')) as SandboxConfig
    debug = config.debug
    close(SENTRY_FDS.config)
    const facts = hostFacts(config)
    setDescriptorCeiling(descriptorCeiling())
    if (config.strace !== null) loadDecoder()
    sizeGoferSocket(SENTRY_FDS.gofer)
    if (config.cgroup?.limits.memoryBytes != null) succeed('own the memory', ownMemory())
    enterCgroups(config.cgroup?.join ?? [])
    const kernel = bootKernel(config, facts)
    const sandbox = startSandbox(kernel, config, error => {
      if (error !== null) throw error
      reportOnce({ ok: true })
    })
    run(kernel)
    sandbox.end()
    exitNow(exitStatus(kernel.init.exitStatus))
  } catch (error) {
    const exitCode = error instanceof BootError ? error.exitStatus : EXIT_FAILURE
    const { message, stack } = error as Error
    const running = reported
    reportOnce({ ok: false, error: message, exitStatus: exitCode })
    if (debug && !(error instanceof BootError)) log(`sentry: ${stack}\n`)
    else if (running)
      log(`runsc: the sentry has failed: ${message}; with --debug-log=FILE it tells where\n`)
    exitNow(exitCode)
  }
}

function hostFacts(config: SandboxConfig): HostFacts {
  return {
    features: cpuFeatures(),
    cpu: parseCpuModel(readFileSync('/proc/cpuinfo', 'latin1')),
    filter: readFilter(
      `sentry${config.platform === 'ptrace' ? '-ptrace' : ''}${config.network === 'host' ? '-host-network' : ''}`,
    ),
    network: config.network === 'host' ? hostNetworkFacts(config.sysctls) : null,
    socketsMax: hostSocketsMax(),
    oomScore: new OomScoreFile(),
    cgroup: hostValue(openCgroupFiles(config.cgroup?.paths ?? {})),
  }
}

/** Give up rights step by step, with the platform started in between: its stubs must not have our filter. */
function bootKernel(config: SandboxConfig, facts: HostFacts): Kernel {
  const threads = config.host.uid === null ? ownThreads() : -1
  succeed('leave the root directory', pivotToEmptyRoot())
  succeed('change the user', changeUser(config, threads))
  succeed('stay dumpable', setDumpable(1))
  // The launcher has asked for this too, but a change of user takes it back.
  succeed('die with the launcher', setParentDeathSignal(SIGKILL))
  const platform = startPlatform(config, facts.oomScore)
  succeed('set no_new_privs', setNoNewPrivs())
  succeed('install the seccomp filter', installFilter(facts.filter))
  const kernel = new Kernel(platform, hostClock, systemName(config))
  kernel.cpus = config.host.cpus
  kernel.cgroups = new CgroupSystem(config.cgroup?.version ?? 2, facts.cgroup)
  applyLimits(kernel, config.cgroup?.limits ?? NO_LIMITS, config.host)
  kernelMemory.bound(kernel.memoryBytes)
  Object.assign(kernel.cpuFeatures, facts.features)
  describeCpu(kernel, facts.cpu)
  if (facts.network !== null) {
    const budget = { used: 0, max: facts.socketsMax }
    kernel.namespaces.net.host = new HostNetwork(facts.network, ownSockets, budget)
  }
  return kernel
}

/** Leaving uid 0 takes all capabilities, in every thread; but this one may keep what sockets of the host need. */
function changeUser(
  { host, process, networkCapabilities }: SandboxConfig,
  threads: HostFd,
): number {
  const kept = (networkCapabilities & process.capabilities.bounding[0]) >>> 0
  if (host.uid === null) {
    const n = dropCapabilities(kept, 0, threads)
    close(threads)
    return n
  }
  return kept === 0 ? setIds(host.uid, host.gid) : setIdsKeeping(host.uid, host.gid, kept)
}

/** The list of our threads, to be seen from an empty root as well: each has capabilities to drop. */
function ownThreads(): HostFd {
  const tree = openTree(AT_FDCWD, '/proc/self/task', OPEN_TREE_CLONE)
  succeed('open the list of threads', tree)
  return tree
}

/** The stub processes are made with the program's score, and are all of one kind; ours is what it was. */
function startPlatform(config: SandboxConfig, score: OomScoreFile): Platform {
  score.set(config.oomScoreAdj)
  const platform = makePlatform(config)
  score.restore()
  return platform
}

function makePlatform(config: SandboxConfig): Platform {
  const options = {
    stubFd: SENTRY_FDS.stub,
    traceAll: config.strace !== null,
    trapped: config.seccomp?.trapped ?? [],
  }
  const platform =
    config.platform === 'ptrace' ? createPtracePlatform(options) : createSystrapPlatform(options)
  close(SENTRY_FDS.stub)
  return platform
}

function succeed(step: string, result: number): void {
  if (result < 0) throw new Error(`${step}: ${errnoMessage(-result)}`)
}

function sendReport(report: BootReport): void {
  // Whoever started us may be gone since before we asked to die with the launcher.
  if (!writeAll(SENTRY_FDS.report, JSON.stringify(report))) exitNow(EXIT_FAILURE)
  close(SENTRY_FDS.report)
}

function log(line: string): void {
  writeAll(SENTRY_FDS.log, line)
}

/** Whether all was written. */
function writeAll(fd: HostFd, text: string): boolean {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; ) {
    const n = write(fd, bytes, at, bytes.length - at)
    if (n <= 0) return false
    at += n
  }
  return true
}

/** runsc's exit status for a wait(2) status. */
function exitStatus(status: number): number {
  const signal = status & 0x7f
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal
}
