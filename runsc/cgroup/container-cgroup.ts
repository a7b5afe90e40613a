// The cgroup of one container: made at create, entered by the sandbox's processes, removed at delete. What was made
// is written to the container's directory before it is made, so that a later delete finds it whoever crashed.

import { closeSync, constants, openSync, readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { CliError } from '../errors.ts'
import type { Warn } from '../spec-check.ts'
import { writeWhole } from '../whole-file.ts'
import {
  errorCode,
  hasFile,
  processesBelow,
  readNumber,
  readTable,
  readText,
  removeDirectory,
  threadsBelow,
  writeValue,
} from './files.ts'
import { containerPaths, type Hierarchy, readHierarchy } from './hierarchy.ts'
import { hasLimits, mergeResources, parseResources, type Resources } from './resources.ts'
import {
  parseUnit,
  setUnit,
  startUnit,
  stopUnit,
  systemdRuns,
  type Unit,
  unitProperties,
} from './systemd.ts'
import { makeV1, setDevicesV1, setV1 } from './v1.ts'
import { makeV2, setV2 } from './v2.ts'

const RECORD = 'cgroup.json'
const FREEZE_TIMEOUT_MS = 30_000
/**
 * The sandbox's own threads count on the host, and a program that executes another has two processes for a moment. The
 * limit itself is kept by the sentry, which counts the program's tasks alone; the host's is a second line of defence.
 */
const OWN_TASKS = 64
const hostTasks = (limit: number) => 2 * limit + OWN_TASKS
const hostPids = (limit: number) => (limit === -1 ? 'max' : String(hostTasks(limit)))

const recordSchema = v.object({
  version: v.picklist([1, 2]),
  /** Directories by controller; version 2 has one, "". */
  paths: v.record(v.string(), v.string()),
  resources: v.unknown(),
  /** The systemd unit that it belongs to, "" for none. */
  unit: v.optional(v.string(), ''),
})

export interface CgroupOptions {
  id: string
  cgroupsPath: string
  resources: unknown
  systemd: boolean
}

/** The cgroup of a container. */
export class ContainerCgroup {
  readonly version: 1 | 2
  readonly paths: Readonly<Record<string, string>>
  /** What was last asked for. */
  resources: Resources
  readonly #directory: string
  readonly #unit: string

  private constructor(
    directory: string,
    version: 1 | 2,
    paths: Readonly<Record<string, string>>,
    resources: Resources,
    unit: string,
  ) {
    this.#directory = directory
    this.version = version
    this.paths = paths
    this.resources = resources
    this.#unit = unit
  }

  /**
   * Make it and set its limits. Null when the host has no cgroups that we may use, and the configuration asks for
   * nothing that takes one.
   */
  static async create(directory: string, options: CgroupOptions): Promise<ContainerCgroup | null> {
    const resources = parseResources(options.resources, 'linux.resources')
    const unit = unitOf(options)
    const cgroupsPath = unit?.path ?? options.cgroupsPath
    const hierarchy = readHierarchy()
    const optional = cgroupsPath === '' && !hasLimits(resources)
    if (hierarchy === null) {
      if (optional) return null
      throw new CliError(
        'linux.resources: no cgroup file system is mounted: mount one, or use --ignore-cgroups',
      )
    }
    const paths = containerPaths(hierarchy, cgroupsPath, options.id)
    const cgroup = new ContainerCgroup(
      directory,
      hierarchy.version,
      paths,
      resources,
      unit?.unit ?? '',
    )
    // Before it is ours to clean up: `delete` ends whatever is in it.
    const others = cgroup.processes().length
    if (others > 0)
      throw new CliError(`container's cgroup is not empty: ${others} process(es) found`)
    cgroup.#refuseFrozen()
    cgroup.#save()
    try {
      if (unit !== null) await cgroup.#makeUnit(hierarchy, unit, options.id)
      cgroup.#make(hierarchy)
    } catch (error) {
      cgroup.leave()
      if (!optional || !['EROFS', 'EACCES', 'EPERM'].includes(errorCode(error) ?? '')) throw error
      rmSync(join(directory, RECORD))
      return null
    }
    return cgroup
  }

  /** The cgroup that a container's directory tells of; null when it has none. */
  static load(directory: string): ContainerCgroup | null {
    const file = join(directory, RECORD)
    let text: string
    try {
      text = readFileSync(file, 'utf8')
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') return null
      throw new CliError(`cannot read ${file}: ${(cause as Error).message}`, { cause })
    }
    try {
      const { version, paths, resources, unit } = v.parse(recordSchema, JSON.parse(text))
      const roots = readHierarchy()?.roots ?? {}
      // Only what lies below a cgroup mount is ever removed, whatever the file says.
      const known = Object.entries(paths).filter(([name, path]) => isBelow(roots[name], path))
      return new ContainerCgroup(
        directory,
        version,
        Object.fromEntries(known),
        parseResources(resources, file),
        unit,
      )
    } catch (cause) {
      throw new CliError(`${file} is damaged: ${(cause as Error).message}`, { cause })
    }
  }

  /**
   * A scope is made of processes: ours stands in for the container's until that has some. It goes back to where it
   * was by hand, because systemd would end an empty scope.
   */
  async #makeUnit(hierarchy: Hierarchy, unit: Unit, id: string): Promise<void> {
    const properties = unitProperties(this.version, this.resources, hostTasks)
    await startUnit(unit, id, process.pid, properties)
    this.leave = () => {
      for (const [name, root] of Object.entries(hierarchy.roots))
        enter(join(root, hierarchy.own[name] ?? '/')) || enter(root)
    }
  }

  /** To be called when the sandbox's processes are in the cgroup. */
  leave: () => void = () => {}

  #make(hierarchy: Hierarchy): void {
    if (this.version === 1) makeV1(hierarchy.roots, this.paths)
    else makeV2(hierarchy.roots['']!, this.paths['']!)
    // Now also by one that it lies in.
    this.#refuseFrozen()
    this.#write(this.resources)
    if (this.version === 1) setDevicesV1(this.paths, this.resources.devices)
  }

  #refuseFrozen(): void {
    if (this.frozen)
      throw new CliError(
        `container's cgroup unexpectedly frozen: thaw ${this.#freezer}, or use another path`,
      )
  }

  #write(resources: Resources): void {
    if (this.version === 1) setV1(this.paths, resources, hostPids)
    else setV2(this.paths['']!, resources, this.resources, hostPids)
  }

  #save(): void {
    const file = join(this.#directory, RECORD)
    const { version, paths, resources } = this
    const record = { version, paths, resources, unit: this.#unit }
    writeWhole(file, JSON.stringify(record), 0o600)
  }

  /** `runsc update`. */
  async update(change: Resources): Promise<void> {
    if (this.#unit !== '')
      await setUnit(this.#unit, unitProperties(this.version, change, hostTasks))
    this.#write(change)
    this.resources = mergeResources(this.resources, change)
    this.#save()
  }

  /** Descriptors through which a process enters by writing "0"; the caller closes them. */
  openEntrances(): number[] {
    const opened: number[] = []
    for (const path of this.directories) {
      try {
        opened.push(openSync(join(path, 'cgroup.procs'), constants.O_WRONLY))
      } catch (cause) {
        closeAll(opened)
        const gone = errorCode(cause) === 'ENOENT'
        const why = gone ? 'it has been removed' : (cause as Error).message
        throw new CliError(`cannot enter the cgroup ${path}: ${why}`, { cause })
      }
    }
    return opened
  }

  get #freezer(): string | undefined {
    return this.version === 1 ? this.paths.freezer : this.paths['']
  }

  /** The file of `ContainerState.freezer`. */
  get freezerFile(): string {
    const path = this.#freezer
    return path === undefined ? '' : join(path, this.#freezeFile)
  }

  get directories(): readonly string[] {
    return [...new Set(Object.values(this.paths))]
  }

  /** Nothing but the directories is to be removed. */
  get plain(): boolean {
    return this.#unit === ''
  }

  /** Whether the container is paused. */
  get frozen(): boolean {
    const path = this.#freezer
    if (path === undefined) return false
    if (this.version === 2) return readNumber(path, 'cgroup.freeze') === 1
    const state = readText(path, 'freezer.state')?.trim()
    return state === 'FROZEN' || state === 'FREEZING'
  }

  /** Stop every process. */
  async freeze(): Promise<void> {
    const path = this.#freezer
    if (path === undefined || !hasFile(path, this.#freezeFile))
      throw new CliError('cannot pause: this host has no freezer cgroup for the container')
    const deadline = Date.now() + FREEZE_TIMEOUT_MS
    while (!this.#request(path, true)) {
      if (Date.now() > deadline) {
        this.thaw()
        throw new CliError(`cannot pause: ${path} does not freeze`)
      }
      await sleep(2)
    }
  }

  /** Let them go on. */
  thaw(): void {
    const path = this.#freezer
    if (path === undefined || !hasFile(path, this.#freezeFile)) return
    try {
      this.#request(path, false)
    } catch (error) {
      // Another command has removed it meanwhile.
      if (hasFile(path, this.#freezeFile)) throw error
    }
  }

  /** End every process in it. */
  kill(): void {
    for (const pid of this.processes()) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It has ended already.
      }
    }
  }

  get #freezeFile(): string {
    return this.version === 1 ? 'freezer.state' : 'cgroup.freeze'
  }

  /**
   * Ask for it once more, and tell whether it is so. A stub that waits for the sentry cannot be interrupted, and so
   * is never frozen in the kernel's eyes. But whoever it waits for is, and it freezes before it could go on.
   */
  #request(path: string, frozen: boolean): boolean {
    if (this.version === 2) {
      writeValue(path, 'cgroup.freeze', frozen ? '1' : '0')
      const done = readTable(path, 'cgroup.events').frozen === (frozen ? 1 : 0)
      return done || (frozen && allSleep(threadsBelow(path)))
    }
    writeValue(path, 'freezer.state', frozen ? 'FROZEN' : 'THAWED')
    const state = readText(path, 'freezer.state')?.trim()
    if (state === 'FREEZING') return frozen && allSleep(threadsBelow(path))
    return state === (frozen ? 'FROZEN' : 'THAWED')
  }

  /** Host pids of all processes of the sandbox. */
  processes(): number[] {
    const path = Object.values(this.paths)[0]
    return path === undefined ? [] : processesBelow(path)
  }

  /** Remove the directories, in which nothing may live. */
  async remove(warn: Warn): Promise<void> {
    if (this.#unit !== '' && systemdRuns()) await stopUnit(this.#unit)
    for (const path of this.directories) {
      const left = await removeDirectory(path)
      if (left !== null) warn(left)
    }
  }
}

function unitOf({ cgroupsPath, systemd, id }: CgroupOptions): Unit | null {
  if (!systemd) return null
  const unit = parseUnit(cgroupsPath, id)
  if (!systemdRuns())
    throw new CliError(
      `--systemd-cgroup: systemd does not run on this host, so there is no ${unit.slice}: leave the option out`,
    )
  return unit
}

/** Move this process. Where that is refused it stays, for as long as this command runs. */
function enter(directory: string): boolean {
  try {
    writeValue(directory, 'cgroup.procs', String(process.pid))
    return true
  } catch {
    return false
  }
}

const isBelow = (root: string | undefined, path: string) => {
  if (root === undefined) return false
  const rest = relative(root, path)
  return rest !== '' && !rest.startsWith('..') && !rest.startsWith('/')
}

/** Close what `openEntrances` opened. */
export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) closeSync(fd)
}

/** Where a thread that version 2 has frozen sleeps. */
const FROZEN_IN = /^(get_signal|do_freezer_trap|cgroup_enter_frozen|0?)$/

/** Whether no thread runs or could: each is frozen, in an uninterruptible sleep, stopped or dead. */
function allSleep(tids: readonly number[]): boolean {
  return tids.every(tid => {
    const stat = readText('/proc', `${tid}/stat`)
    const state = stat === null ? 'X' : stat.slice(stat.lastIndexOf(')') + 2).charAt(0)
    if ('DtTZX'.includes(state)) return true
    return state === 'S' && FROZEN_IN.test(readText('/proc', `${tid}/wchan`) ?? '0')
  })
}
