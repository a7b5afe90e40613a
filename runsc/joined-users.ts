// A user namespace that is named by its path alone: the ids are those of whoever made it, as under runc.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CliError } from './errors.ts'
import { readSpec, type Spec } from './spec.ts'
import { checkMapped } from './spec-check.ts'
import type { IdMapping } from './spec-schema.ts'
import { type ContainerState, type StateStore, statusOf } from './state.ts'

/** The map of the host's own namespace, which maps nothing. */
const ALL_IDS = 2 ** 32 - 1

interface Mappings {
  uidMappings: IdMapping[]
  gidMappings: IdMapping[]
}

/** Fill in the mappings of the namespace that config.json names, unless it has some itself. */
export function joinUsers(spec: Spec, bundle: string, store: StateStore): void {
  const { linux } = spec
  const path = linux.namespaces.find(({ type }) => type === 'user')?.path
  if (!path || linux.uidMappings.length > 0 || linux.gidMappings.length > 0) return
  const pid = /^\/proc\/(\d{1,10})\/ns\/user$/.exec(path)?.[1]
  const mappings = pid === undefined ? null : (ofContainer(store, pid) ?? ofProcess(pid))
  if (mappings === null)
    throw new CliError(
      `config.json: linux.namespaces: what the user namespace ${path} maps is not known: give linux.uidMappings and linux.gidMappings`,
    )
  Object.assign(linux, mappings)
  checkMapped(spec, join(bundle, 'config.json'))
}

/** A container of ours is in no user namespace of the host. */
function ofContainer(store: StateStore, pid: string): Mappings | null {
  for (const id of store.ids()) {
    const state = tryLoad(store, id)
    if (state === null || String(state.pid) !== pid || statusOf(state) === 'stopped') continue
    const { uidMappings, gidMappings } = readSpec(state.bundle, () => {}).linux
    return uidMappings.length > 0 ? { uidMappings, gidMappings } : null
  }
  return null
}

/** Another container's damaged state is none of this one's business. */
function tryLoad(store: StateStore, id: string): ContainerState | null {
  try {
    return store.tryLoad(id)
  } catch {
    return null
  }
}

function ofProcess(pid: string): Mappings | null {
  const uidMappings = readMap(`/proc/${pid}/uid_map`)
  const gidMappings = readMap(`/proc/${pid}/gid_map`)
  return uidMappings === null || gidMappings === null ? null : { uidMappings, gidMappings }
}

/** Lines of three numbers: user_namespaces(7). */
function readMap(file: string): IdMapping[] | null {
  let text: string
  try {
    text = readFileSync(file, 'latin1')
  } catch {
    return null
  }
  const rows = text
    .trim()
    .split('\n')
    .map(line => line.trim().split(/\s+/).map(Number))
  const known = rows.every(row => row.length === 3 && row[2]! < ALL_IDS)
  return known
    ? rows.map(([containerID, hostID, size]) => ({ containerID, hostID, size }) as IdMapping)
    : null
}
