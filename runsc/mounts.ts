// The mounts of config.json: sources opened for the gofer, places made in the root, options taken apart. What runc
// refuses is refused here, before any process starts.

import { closeSync, fstatSync, openSync } from 'node:fs'
import { resolve } from 'node:path'
import {
  ATTACH_HOST_UDS,
  ATTACH_HOST_UDS_CREATE,
  ATTACH_READ_ONLY,
  ATTACH_STORE,
} from '../gofer/protocol.ts'
import { close, mountOverlay, mountSetattr, openTree } from '../native/host.ts'
import type { ContainerConfig, MountConfig, OverlayConfig } from '../sentry/config.ts'
import { errnoMessage } from '../syscall-table/errno.ts'
import {
  MS_BIND,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  O_RDWR,
  O_TMPFILE,
} from '../syscall-table/flags.ts'
import { CliError } from './errors.ts'
import { containerMaps, type IdMaps, mapIds, mountMaps } from './id-maps.ts'
import { latin1 } from './latin1.ts'
import { type MountOptions, parseMountOptions } from './mount-options.ts'
import { isBelow, RootDirectory } from './mountpoints.ts'
import type { GlobalOptions } from './options.ts'
import type { Overlay } from './overlay.ts'
import type { Spec, SpecMount } from './spec-schema.ts'

const AT_FDCWD = -100
const OPEN_TREE_CLONE = 1
const AT_RECURSIVE = 0x8000
const MOUNT_ATTR_RDONLY = 1

/** A tree that the gofer serves: an open detached mount, and ATTACH_* flags. */
export interface Attach {
  fd: number
  flags: number
  /** A second one like it, for what stands for the container to show at `place`; null when nobody would look. */
  view: number | null
  place: string
}

/** Everything about a container's files that runsc has to open. */
export interface FileTrees {
  /** The root comes first. */
  attach: Attach[]
  root: ContainerConfig['root']
  mounts: MountConfig[]
}

/** --overlay2, --file-access, --file-access-mounts and --host-uds. */
export interface FileOptions {
  hostUds: GlobalOptions['hostUds']
  overlay: Overlay
  rootShared: boolean
  mountsShared: boolean
}

/** What --host-uds allows in every tree. */
const SOCKET_FLAGS: Readonly<Record<GlobalOptions['hostUds'], number>> = {
  none: 0,
  open: ATTACH_HOST_UDS,
  create: ATTACH_HOST_UDS_CREATE,
  all: ATTACH_HOST_UDS | ATTACH_HOST_UDS_CREATE,
}

/** Files of /proc that runc lets be mounted over: programs are told other values by them. */
const PROC_FILES = [
  '/proc/cpuinfo',
  '/proc/diskstats',
  '/proc/loadavg',
  '/proc/meminfo',
  '/proc/net/dev',
  '/proc/slabinfo',
  '/proc/stat',
  '/proc/swaps',
  '/proc/sys/crypto/fips_enabled',
  '/proc/sys/kernel/ns_last_pid',
  '/proc/uptime',
]

/** Types that runc mounts where their path says or nowhere. */
const EXACT = ['proc', 'sysfs']

/** Open the root and the sources of all mounts. In a root with an overlay, nothing is made on the host. */
export function openTrees(spec: Spec, bundle: string, options: FileOptions): FileTrees {
  const { readonly } = spec.root
  const root = { readonly, shared: options.rootShared, overlay: null }
  const trees: FileTrees = { attach: [], root, mounts: [] }
  try {
    new TreeOpener(trees, spec, bundle, options).fill()
    for (const tree of trees.attach) tree.flags |= SOCKET_FLAGS[options.hostUds]
    return trees
  } catch (error) {
    closeTrees(trees.attach)
    throw error
  }
}

/** To be called when all processes have theirs. */
export function closeTrees(attach: readonly Attach[]): void {
  for (const { fd, view } of attach) {
    close(fd)
    if (view !== null) close(view)
  }
}

class TreeOpener {
  readonly #trees: FileTrees
  readonly #spec: Spec
  readonly #bundle: string
  readonly #options: FileOptions
  readonly #maps: IdMaps | null
  /** The root on the host, where mountpoints are made; null when an overlay hides it. */
  #root: RootDirectory | null = null
  /** The attach point of --overlay2's directory, once it is open. */
  #store = -1

  constructor(trees: FileTrees, spec: Spec, bundle: string, options: FileOptions) {
    this.#trees = trees
    this.#spec = spec
    this.#bundle = bundle
    this.#options = options
    this.#maps = containerMaps(spec)
  }

  /** What is behind an overlay is not what the container's files are: nobody is shown it. */
  get #copies(): number {
    return this.#options.overlay.mounts === 'none' ? 2 : 1
  }

  fill(): void {
    const spec = this.#spec
    const path = resolve(this.#bundle, spec.root.path)
    const where = 'config.json: root.path'
    const attach = openAttach(path, where, AT_RECURSIVE, this.#maps, this.#copies)
    this.#trees.attach.push(attach)
    if (!fstatSync(attach.fd).isDirectory())
      throw new CliError(`${where}: ${path} is not a directory`)
    if (this.#options.overlay.mounts !== 'none') this.#trees.root.overlay = this.#overlay(0, path)
    else this.#root = new RootDirectory(attach.fd, latin1(path))
    withDev(spec.mounts).forEach((mount, i) => {
      this.#trees.mounts.push(this.#mount(mount, `mounts.${i}`))
    })
    // Made before the root becomes read-only, as runc does.
    this.#root?.make(latin1(spec.process.cwd), 'directory')
    for (const { path } of spec.linux.devices) this.#root?.make(latin1(path), 'file')
    const store = (attach.flags & ATTACH_STORE) !== 0
    if (this.#root === null ? !store : spec.root.readonly) makeReadOnly(attach, where, path)
    // Else the host would refuse the files of the store as well.
    else if (store) attach.flags |= ATTACH_READ_ONLY
  }

  /** The upper layer over attach point `index`, whose directory is `path`. */
  #overlay(index: number, path: string): OverlayConfig {
    const { medium, size } = this.#options.overlay
    if (medium === 'memory') return { size, store: null }
    if (this.#maps !== null)
      throw new CliError(
        '--overlay2: with linux.uidMappings only "memory" can hold what is written',
      )
    if (medium === 'self') {
      checkStore(path)
      this.#trees.attach[index]!.flags |= ATTACH_STORE
      return { size, store: index }
    }
    if (this.#store < 0) {
      const attach = openAttach(medium.dir, '--overlay2', 0, null, 1)
      this.#store = this.#trees.attach.push(attach) - 1
      checkStore(medium.dir)
      attach.flags |= ATTACH_READ_ONLY | ATTACH_STORE
    }
    return { size, store: this.#store }
  }

  #mount(mount: SpecMount, field: string): MountConfig {
    const options = parseMountOptions(mount.options)
    const where = `config.json: ${field} (${mount.destination})`
    refuseUnsupported(mount, options, where, this.#maps !== null)
    const layered = mount.type === 'overlay'
    // overlayfs is read-only without an upper layer.
    if (layered && !options.data.some(option => option.startsWith('upperdir=')))
      options.flags |= MS_RDONLY
    const bind = (options.flags & MS_BIND) !== 0 || mount.type === 'bind' || layered
    const config: MountConfig = {
      // runc takes a relative destination from the root, with a warning.
      destination: latin1(`/${mount.destination}`).replace(/^\/+/, '/'),
      type: bind ? 'bind' : mount.type,
      source: latin1(mount.source),
      flags: (options.flags | options.recursiveSet) & ~options.recursiveClear,
      // The layers are the host's business.
      data: layered ? '' : latin1(options.data.join(',')),
      propagation: options.propagation,
      copyUp: options.copyUp,
      fresh: false,
    }
    const source = bind ? this.#bind(mount, config, options, where) : null
    this.#makeMountpoint(config, where)
    if (source !== null) source.place = config.destination
    return config
  }

  #bind(mount: SpecMount, config: MountConfig, options: MountOptions, where: string): Attach {
    const { attach } = this.#trees
    const path = resolve(this.#bundle, mount.source)
    const source =
      mount.type === 'overlay'
        ? openOverlay(where, options, this.#maps, this.#copies)
        : openSource(path, where, options, this.#mapsOf(mount, options), this.#copies)
    config.attach = attach.push(source) - 1
    config.directory = fstatSync(source.fd).isDirectory()
    config.shared = this.#options.mountsShared
    if (this.#options.overlay.mounts !== 'all' || (config.flags & MS_RDONLY) !== 0) return source
    if (!config.directory)
      throw new CliError(`${where}: --overlay2=all: there is no overlay over a file: mount it "ro"`)
    config.overlay = this.#overlay(config.attach, path)
    if ((source.flags & ATTACH_STORE) !== 0) source.flags |= ATTACH_READ_ONLY
    else makeReadOnly(source, where, path)
    return source
  }

  #mapsOf(mount: SpecMount, { idmap }: MountOptions): IdMaps | null {
    const own = mount.uidMappings.length > 0 ? mount : null
    // Of an option without mappings it is the container's that are meant.
    const mappings = own ?? (idmap === null ? null : this.#spec.linux)
    return mappings === null ? this.#maps : mountMaps(mappings, this.#maps, idmap === 'tree')
  }

  #makeMountpoint(config: MountConfig, where: string): void {
    const kind = config.directory === false ? 'file' : 'directory'
    // What is masked there would be looked for where the link leads.
    if (EXACT.includes(config.type) && this.#root?.isOther(config.destination))
      throw new CliError(
        `${where}: filesystem "${config.type}" must be mounted on ordinary directory`,
      )
    const at = this.#root?.makeMountpoint(config.destination, kind)
    if (at === undefined) return
    // Nobody who names another place means the whole root.
    if (at.path === '/' && !/^[/.]*$/.test(config.destination))
      throw new CliError(`${where}: leads to the root itself`)
    config.fresh = at.fresh
    config.destination = at.path
    checkProc(at.path, config, where)
  }
}

/** Whether a directory can hold unnamed files, before a program needs one. */
function checkStore(path: string): void {
  try {
    closeSync(openSync(path, O_TMPFILE | O_RDWR, 0o600))
  } catch (cause) {
    throw new CliError(
      `--overlay2: ${path} cannot hold unnamed files: ${(cause as Error).message}`,
      { cause },
    )
  }
}

/**
 * A container without a mount on /dev gets one for its devices.
 * DIFFERS: runc makes the nodes in the root itself, on the host.
 */
function withDev(mounts: SpecMount[]): SpecMount[] {
  if (mounts.some(({ destination }) => /^\/*dev\/*$/.test(destination))) return mounts
  const options = ['nosuid', 'mode=755', 'size=64k']
  const dev = { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options }
  return [...mounts, { ...dev, uidMappings: [], gidMappings: [] }]
}

function refuseUnsupported(
  mount: SpecMount,
  options: MountOptions,
  where: string,
  inUserNamespace: boolean,
): void {
  if ((options.flags & MS_REMOUNT) !== 0)
    throw new CliError(`${where}: option "remount": a container starts with new mounts only`)
  if (options.copyUp && mount.type !== 'tmpfs')
    throw new CliError(`${where}: option "tmpcopyup": only for type tmpfs, not "${mount.type}"`)
  const { uidMappings, gidMappings } = mount
  const mapped = uidMappings.length > 0 || gidMappings.length > 0
  if (mapped && (uidMappings.length === 0 || gidMappings.length === 0))
    throw new CliError(`${where}: uidMappings and gidMappings are given together or not at all`)
  if (mapped && (options.flags & MS_BIND) === 0)
    throw new CliError(`${where}: uidMappings: only bind mounts can have mappings`)
  if (options.idmap !== null && !mapped && !inUserNamespace)
    throw new CliError(`${where}: option "idmap" needs uidMappings and gidMappings`)
}

/** The attach point of a bind mount's source. */
function openSource(
  path: string,
  where: string,
  options: MountOptions,
  maps: IdMaps | null,
  copies: number,
): Attach {
  const recursive = (options.flags & MS_REC) !== 0 ? AT_RECURSIVE : 0
  const attach = openAttach(path, where, recursive, maps, copies)
  // DIFFERS: "ro" with "rbind" also covers what is mounted below the source, as "rro" does.
  if (((options.recursiveSet | options.flags) & MS_RDONLY) !== 0) makeReadOnly(attach, where, path)
  return attach
}

function openAttach(
  path: string,
  where: string,
  recursive: number,
  maps: IdMaps | null,
  copies: number,
): Attach {
  const fds: number[] = []
  try {
    // Copies of the mount, so that they outlive the change of root of those who use them.
    for (let i = 0; i < copies; i++) {
      const fd = openTree(AT_FDCWD, latin1(path), OPEN_TREE_CLONE | recursive)
      if (fd < 0) throw new CliError(`${where}: cannot open ${path}: ${errnoMessage(-fd)}`)
      fds.push(fd)
      if (maps !== null) mapIds(fd, maps, where, path)
    }
  } catch (error) {
    for (const fd of fds) close(fd)
    throw error
  }
  return { fd: fds[0]!, view: fds[1] ?? null, flags: 0, place: '/' }
}

/** The attach point of layers that engines put together (`podman run --mount type=image`, `-v DIR:PLACE:O`): the host's overlayfs. */
function openOverlay(
  where: string,
  options: MountOptions,
  maps: IdMaps | null,
  copies: number,
): Attach {
  const fds = new Int32Array(copies).fill(-1)
  const n = mountOverlay(latin1(options.data.join(',')), fds)
  if (n < 0) throw new CliError(`${where}: cannot mount the overlay: ${errnoMessage(-n)}`)
  const attach = { fd: fds[0]!, view: fds[1] ?? null, flags: 0, place: '/' }
  try {
    if (maps !== null) for (const fd of fds) mapIds(fd, maps, where, 'the overlay')
    if (((options.recursiveSet | options.flags) & MS_RDONLY) !== 0)
      makeReadOnly(attach, where, 'the overlay')
  } catch (error) {
    for (const fd of fds) close(fd)
    throw error
  }
  return attach
}

/** The host refuses writes too, whatever becomes of gofer and sentry. */
function makeReadOnly(attach: Attach, where: string, path: string): void {
  attach.flags |= ATTACH_READ_ONLY
  for (const fd of [attach.fd, attach.view]) {
    if (fd === null) continue
    const n = mountSetattr(fd, AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0)
    if (n < 0) throw new CliError(`${where}: cannot make ${path} read-only: ${errnoMessage(-n)}`)
  }
}

/** A mount over parts of /proc could make programs, also of engines, believe anything. */
function checkProc(path: string, mount: MountConfig, where: string): void {
  if (path === '/proc' && mount.type !== 'proc')
    throw new CliError(`${where}: only type proc can be mounted on /proc, not "${mount.type}"`)
  if (!isBelow(path, '/proc') || mount.type === 'proc') return
  if (!PROC_FILES.includes(path))
    throw new CliError(`${where}: cannot be mounted on because it is inside /proc`)
}
