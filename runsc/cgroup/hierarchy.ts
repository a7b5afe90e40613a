// Where this host has its cgroups: the mounts of version 1 controllers, or the one of version 2, and where below
// them a container's path lies. Source: cgroups(7), proc_pid_mountinfo(5).

import { readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { CliError } from '../errors.ts'

export interface Hierarchy {
  readonly version: 1 | 2
  /**
   * The directory of each controller's root. Version 1 has one per controller (those mounted together share it),
   * and "systemd" for a named hierarchy, "unified" for a version 2 mount beside them. Version 2 has "" alone.
   */
  readonly roots: Readonly<Record<string, string>>
  /** The path of this process in each, as seen from there. */
  readonly own: Readonly<Record<string, string>>
}

const PATH_MAX = 4095
const V1_CONTROLLERS = new Set([
  'cpuset',
  'devices',
  'memory',
  'cpu',
  'cpuacct',
  'pids',
  'blkio',
  'hugetlb',
  'net_cls',
  'net_prio',
  'perf_event',
  'freezer',
])

interface Mount {
  /** The directory of the file system that is mounted. */
  root: string
  point: string
  type: string
  options: string[]
}

function parseMounts(text: string): Mount[] {
  const mounts: Mount[] = []
  for (const line of text.split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const fields = before.split(' ')
    const [type = '', , options = ''] = after.split(' ')
    if (type !== 'cgroup' && type !== 'cgroup2') continue
    mounts.push({
      root: plain(fields[3] ?? '/'),
      point: plain(fields[4] ?? ''),
      type,
      options: options.split(','),
    })
  }
  return mounts
}

/** Blanks in paths are written as octal numbers. */
const plain = (text: string) =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )

/** Lines "ID:controllers:path" of /proc/PID/cgroup, by controller; version 2 is "". */
function parseOwn(text: string): Record<string, string> {
  const own: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const match = /^\d+:([^:]*):(.*)$/.exec(line)
    if (match === null) continue
    for (const name of match[1]!.split(',')) own[name.replace(/^name=/, '')] = match[2]!
  }
  return own
}

/** Read this host's layout; null when no cgroup file system is mounted. */
export function readHierarchy(
  mountinfo: string = readFileSync('/proc/self/mountinfo', 'utf8'),
  cgroup: string = readFileSync('/proc/self/cgroup', 'utf8'),
): Hierarchy | null {
  const roots: Record<string, string> = {}
  const own = parseOwn(cgroup)
  const relative: Record<string, string> = {}
  const add = (name: string, mount: Mount, path: string | undefined) => {
    if (name in roots) return
    roots[name] = mount.point
    relative[name] = below(mount.root, path ?? '/')
  }
  for (const mount of parseMounts(mountinfo)) {
    if (mount.type === 'cgroup2') add('unified', mount, own[''])
    for (const option of mount.type === 'cgroup' ? mount.options : []) {
      if (V1_CONTROLLERS.has(option)) add(option, mount, own[option])
      if (option === 'name=systemd') add('systemd', mount, own.systemd)
    }
  }
  const controllers = Object.keys(roots).filter(name => V1_CONTROLLERS.has(name))
  if (controllers.length > 0) return { version: 1, roots, own: relative }
  if (roots.unified === undefined) return null
  return { version: 2, roots: { '': roots.unified }, own: { '': relative.unified! } }
}

/** `path` as seen from a mount of the directory `root`. */
function below(root: string, path: string): string {
  if (root === '/') return path
  return path === root || path.startsWith(`${root}/`) ? path.slice(root.length) || '/' : '/'
}

/**
 * The directory of a container in each hierarchy, for linux.cgroupsPath: absolute from the root, relative from our
 * own cgroup, missing as the relative path ID.
 */
export function containerPaths(
  hierarchy: Hierarchy,
  cgroupsPath: string,
  id: string,
): Record<string, string> {
  checkPath(cgroupsPath)
  const paths: Record<string, string> = {}
  for (const [name, root] of Object.entries(hierarchy.roots)) {
    const own = hierarchy.own[name] ?? '/'
    // Processes and controllers below do not go together in version 2: its container is our sibling.
    const base = hierarchy.version === 2 || name === 'unified' ? dirname(own) : own
    const path = cgroupsPath === '' ? id : cgroupsPath
    paths[name] = path.startsWith('/') ? join(root, clean(path)) : join(root, base, clean(path))
  }
  return paths
}

/** Without "..", which must not lead out of the hierarchy: as runc, that of a path is resolved at its root. */
const clean = (path: string) => normalize(`/${path}`)

function checkPath(path: string): void {
  if (path.length > PATH_MAX || /[\0\n]/.test(path))
    throw new CliError(
      `linux.cgroupsPath: expected a path of at most ${PATH_MAX} bytes on one line`,
    )
  if (clean(path) === '/' && path !== '')
    throw new CliError(`linux.cgroupsPath: ${path} is the root cgroup, which cannot be a container`)
}
