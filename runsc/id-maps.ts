// User and group ids that a container sees otherwise than the host: linux.uidMappings and those of single mounts. The
// host's kernel translates them, by id-mapped mounts: files of unmapped users show as nobody's, and neither gofer
// nor container can do more to them than everybody can. Inside the sandbox there are the container's ids only.

import { close, makeUserNamespace, mountSetattr } from '../native/host.ts'
import type { SandboxConfig } from '../sentry/config.ts'
import { EINVAL, errnoMessage } from '../syscall-table/errno.ts'
import { CliError } from './errors.ts'
import type { IdMapping, Spec, SpecMount } from './spec-schema.ts'

const AT_RECURSIVE = 0x8000
const MOUNT_ATTR_IDMAP = 0x100000

/** One line of a map: `size` ids that are `disk` on are shown as those from `shown` on. */
export interface IdRange {
  disk: number
  shown: number
  size: number
}

export interface IdMaps {
  uids: IdRange[]
  gids: IdRange[]
  /** Also what is mounted below is seen so. */
  tree: boolean
}

/** The container's maps; null when it has the host's ids. */
export function containerMaps({ linux }: Spec): IdMaps | null {
  if (!linux.namespaces.some(({ type }) => type === 'user')) return null
  const ranges = (mappings: IdMapping[]) =>
    mappings.map(({ containerID, hostID, size }) => ({ disk: hostID, shown: containerID, size }))
  return { uids: ranges(linux.uidMappings), gids: ranges(linux.gidMappings), tree: true }
}

/** The container's maps as the sentry shows them. */
export function idMapConfig(spec: Spec): SandboxConfig['idMaps'] {
  const maps = containerMaps(spec)
  const extents = (ranges: IdRange[]) =>
    ranges.map(({ disk, shown, size }) => ({ first: shown, kernelFirst: disk, count: size }))
  return maps === null ? null : { uids: extents(maps.uids), gids: extents(maps.gids) }
}

/**
 * The maps of a bind mount: its own, seen through the container's.
 * DIFFERS: in a user namespace they are those of all that is mounted below as well, also without "ridmap".
 */
export function mountMaps(
  { uidMappings, gidMappings }: Pick<SpecMount, 'uidMappings' | 'gidMappings'>,
  container: IdMaps | null,
  tree: boolean,
): IdMaps {
  // On disk is the "container" id of a mount's mapping: mount_setattr(2).
  const ranges = (mappings: IdMapping[]) =>
    mappings.map(({ containerID, hostID, size }) => ({ disk: containerID, shown: hostID, size }))
  return {
    uids: composed(ranges(uidMappings), container?.uids),
    gids: composed(ranges(gidMappings), container?.gids),
    // Left unmapped, the files below would show the host's ids, root's too.
    tree: tree || container !== null,
  }
}

/** First one map, then the other. Ids that the second has not are in neither. */
export function composed(first: IdRange[], second: IdRange[] | undefined): IdRange[] {
  if (second === undefined) return first
  return first.flatMap(a =>
    second.flatMap(b => {
      const start = Math.max(a.shown, b.disk)
      const size = Math.min(a.shown + a.size, b.disk + b.size) - start
      if (size <= 0) return []
      return [{ disk: a.disk + start - a.shown, shown: b.shown + start - b.disk, size }]
    }),
  )
}

/** Show the ids of an open tree as the maps say. */
export function mapIds(fd: number, maps: IdMaps, where: string, path: string): void {
  const namespace = makeUserNamespace(lines(maps.uids), lines(maps.gids))
  if (namespace < 0)
    throw new CliError(
      `${where}: the host refuses the id mappings: ${errnoMessage(-namespace)} (do ranges overlap?)`,
    )
  const n = mountSetattr(fd, maps.tree ? AT_RECURSIVE : 0, MOUNT_ATTR_IDMAP, 0, namespace)
  close(namespace)
  if (n === -EINVAL)
    throw new CliError(
      `${where}: the file system of ${path} cannot map ids on this host: use one that can (ext4, xfs, btrfs, tmpfs), or no user namespace`,
    )
  if (n < 0) throw new CliError(`${where}: cannot map the ids of ${path}: ${errnoMessage(-n)}`)
}

const lines = (ranges: IdRange[]): string =>
  ranges.map(({ disk, shown, size }) => `${disk} ${shown} ${size}\n`).join('')
