// `runsc install` and `uninstall`: the entry for this runtime in an engine's configuration. Docker's daemon.json is
// edited as text, so that everything else in it stays as it was written.

import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { makeDirectories } from './directories.ts'
import { CliError } from './errors.ts'
import { editMember, removeMember } from './json-edit.ts'

export const DOCKER_CONFIG = '/etc/docker/daemon.json'

/** Engines that read other files: what to put there. */
export const SNIPPETS = ['containerd', 'crio', 'kubernetes', 'podman'] as const
export type Snippet = (typeof SNIPPETS)[number]

export interface Runtime {
  name: string
  path: string
  args: readonly string[]
}

/** Docker's own names. */
const RESERVED = ['runc', 'io.containerd.runc.v2', 'io.containerd.runtime.v1.linux']

export function checkName(name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name) || name.length > 128)
    throw new CliError(
      `--runtime: "${name.slice(0, 80)}" is no name: letters, digits, "_", "." and "-" only`,
    )
  if (RESERVED.includes(name)) throw new CliError(`--runtime: "${name}" is a name of Docker's own`)
}

/** Add or replace the runtime in daemon.json. Returns what was done, for people. */
export function installDocker(file: string, runtime: Runtime): string {
  // Docker splits nothing: each argument is passed on by a shell script, unquoted.
  const broken = runtime.args.find(arg => !/^[\w@%+=:,./-]+$/.test(arg))
  if (broken !== undefined)
    throw new CliError(`argument "${broken}": Docker would not pass it on as it is`)
  const entry = {
    path: runtime.path,
    ...(runtime.args.length > 0 ? { runtimeArgs: runtime.args } : {}),
  }
  const before = readConfig(file)
  const after = edit(file, before, text => editMember(text, ['runtimes', runtime.name], entry))
  if (after === before) return `${file}: "${runtime.name}" is there already`
  replaceFile(file, after)
  return `${file}: runtime "${runtime.name}" is ${runtime.path}; \`systemctl reload docker\` (or SIGHUP to dockerd) makes it known`
}

/** Take the runtime out of daemon.json. */
export function uninstallDocker(file: string, name: string): string {
  const before = readConfig(file)
  const others = edit(file, before, text => removeMember(text, ['runtimes', name]))
  if (others === before) return `${file}: there is no runtime "${name}"`
  // dockerd does not start with a default that it does not know.
  const isDefault = JSON.parse(others)['default-runtime'] === name
  const after = isDefault ? removeMember(others, ['default-runtime']) : others
  replaceFile(file, after)
  const also = isDefault ? ', and is not the default any more' : ''
  return `${file}: runtime "${name}" is removed${also}; \`systemctl reload docker\` (or SIGHUP to dockerd) makes it known`
}

/** A file that is missing or empty counts as an empty object; nothing else that is no object is touched. */
function readConfig(file: string): string {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return '{}'
    throw new CliError(`cannot read ${file}: ${(cause as Error).message}`, { cause })
  }
  return text.trim() === '' ? '{}' : text
}

function edit(file: string, text: string, change: (text: string) => string): string {
  try {
    return change(text)
  } catch (cause) {
    throw new CliError(`${file}: ${(cause as Error).message}; nothing was changed`, { cause })
  }
}

/** Another file takes its place at once, with its owner and mode: nobody ever reads half of it. */
function replaceFile(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    makeDirectories(dirname(file), 0o755)
    // Through a link, where the configuration is kept elsewhere.
    const target = existing(file)
    const fd = openSync(temporary, 'wx', 0o644)
    try {
      writeSync(fd, text)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    if (target !== null) {
      const { mode, uid, gid } = statSync(target)
      chmodSync(temporary, mode & 0o7777)
      chownSync(temporary, uid, gid)
    }
    renameSync(temporary, target ?? file)
  } catch (cause) {
    rmSync(temporary, { force: true })
    throw new CliError(`cannot write ${file}: ${(cause as Error).message}`, { cause })
  }
}

function existing(file: string): string | null {
  try {
    return realpathSync(file)
  } catch {
    return null
  }
}

/** Measured: a sentry and two gofers have some 40 MiB of their own, and share 45 MiB of code with those of other pods. */
export const POD_OVERHEAD_MIB = 64

/** What to put into the files of other engines. */
export function snippet(kind: Snippet, { name, path, args }: Runtime): string {
  const text = JSON.stringify
  switch (kind) {
    case 'containerd':
      return `# /etc/containerd/config.toml (version 2); then: systemctl restart containerd
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${text(name)}]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.${text(name)}.options]
    BinaryName = ${text(path)}
# A list of runtimes must have the default one. If runc is not in the file yet, containerd also needs:
# [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
#   runtime_type = "io.containerd.runc.v2"
${args.length === 0 ? '' : `# containerd passes no arguments on: BinaryName must be a script that runs\n#   exec ${[path, ...args].join(' ')} "$@"\n`}`
    case 'crio':
      return `# /etc/crio/crio.conf.d/50-${name}.conf; then: systemctl restart crio
[crio.runtime.runtimes.${text(name)}]
runtime_path = ${text(path)}
runtime_type = "oci"
runtime_root = "/run/${name}"
${args.length === 0 ? '' : `# CRI-O passes no arguments on: runtime_path must be a script that runs\n#   exec ${[path, ...args].join(' ')} "$@"\n`}`
    case 'podman':
      return `# /etc/containers/containers.conf.d/50-${name}.conf
[engine.runtimes]
${text(name)} = [${text(path)}]
${args.length === 0 ? '' : `# podman --runtime ${name} ${args.map(arg => `--runtime-flag ${arg.replace(/^--/, '')}`).join(' ')} run ...\n`}`
    case 'kubernetes':
      return `# kubectl apply -f - ; the nodes' containerd or CRI-O needs the handler, see --print containerd|crio
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata:
  name: ${name.toLowerCase().replace(/_/g, '-')}
handler: ${name}
# What a pod of two containers takes on the node beside its programs, most of it outside of its cgroup.
overhead:
  podFixed:
    memory: ${POD_OVERHEAD_MIB}Mi
`
  }
}
