// Runs one program on the real platform, over a kernel with nothing but a tmpfs root that holds the program:
//
//   node test/run-program.ts [--with FILE]… PROGRAM [ARGUMENT…]
//
// `--with` puts further files of the host into the sandbox, at the same path.
// Its standard streams are ours, and so is its exit status (128 + signal when a signal ended it). Tests of the
// kernel compare what a program prints here with what it prints on the host.

import { closeSync, openSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createSystrapPlatform, exitNow } from '../native/index.ts'
import { cpuFeatures, hostClock } from '../sentry/boot/host.ts'
import { createInit } from '../sentry/boot/init.ts'
import '../sentry/fs/dev/devtmpfs.ts'
import { hostFile } from '../sentry/fs/host/host-file.ts'
import '../sentry/fs/proc/proc.ts'
import { mountTmpfs } from '../sentry/fs/tmpfs/mount.ts'
import { bootProgram } from '../sentry/kernel/exec.ts'
import { Kernel } from '../sentry/kernel/kernel.ts'
import { run } from '../sentry/kernel/run-loop.ts'
import type { Task } from '../sentry/kernel/task.ts'
import { KernelIo } from '../sentry/mm/io.ts'
import { mountNew, mountRoot } from '../sentry/vfs/mounting.ts'
import { makeDirectory } from '../sentry/vfs/names.ts'
import { openPath, WALK_FOLLOW, walk, walkPath } from '../sentry/vfs/vfs.ts'
import { AT_FDCWD, O_CREAT, O_RDONLY, O_WRONLY } from '../syscall-table/flags.ts'

const here = dirname(fileURLToPath(import.meta.url))
const words = process.argv.slice(2)
const extra: string[] = []
while (words[0] === '--with') extra.push(...words.splice(0, 2).slice(1))
const [program, ...args] = words
if (program === undefined)
  throw new Error('usage: run-program.ts [--with FILE]… PROGRAM [ARGUMENT…]')

const image = readFileSync(program)
const files = extra.map(name => ({ name, bytes: readFileSync(name) }))
const features = cpuFeatures()
const stubFd = openSync(join(here, '../build/stub'), 'r')
const platform = createSystrapPlatform({ stubFd, traceAll: process.env.TRACE_ALL === '1' })
closeSync(stubFd)
const kernel = new Kernel(platform, hostClock, {
  sysname: 'Linux',
  release: '6.12.0',
  version: '#1 SMP',
  machine: 'x86_64',
  nodename: 'test',
  domainname: '(none)',
})
kernel.cpus = 2
kernel.memoryBytes = 1 << 30
Object.assign(kernel.cpuFeatures, features)
const root = mountTmpfs(kernel, 'mode=755')
if (typeof root === 'number') throw new Error(`tmpfs: ${root}`)
mountRoot(kernel.mounts, root, 0, 'none')
const init = createInit(kernel, kernel.namespaces, '')
kernel.init = init.group
const path = `/test/${basename(program)}`
makeParents(init, path)
writeFile(init, path, image)
for (const { name, bytes } of files) {
  makeParents(init, name)
  writeFile(init, name, bytes)
}
makeDirectory(init, AT_FDCWD, '/tmp', 0o1777)
mountAt(init, 'proc', '/proc')
mountAt(init, 'devtmpfs', '/dev')
const modes = [O_RDONLY, O_WRONLY, O_WRONLY]
modes.forEach((mode, fd) => {
  const file = hostFile(kernel, fd, mode)
  if (typeof file !== 'number') init.files.replace(fd, file, false)
})
const target = { dfd: AT_FDCWD, path, flags: 0 }
const error = bootProgram(init, target, [path, ...args], ['PATH=/', 'LANG=C'])
if (error < 0) throw new Error(`exec: ${error}`)
const spawned = platform.spawn(init.thread)
if (spawned < 0) throw new Error(`spawn: ${spawned}`)
run(kernel)
const status = kernel.init.exitStatus
exitNow((status & 0x7f) === 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f))

function mountAt(task: Task, type: string, at: string): void {
  makeDirectory(task, AT_FDCWD, at, 0o755)
  const n = walkPath(task, AT_FDCWD, at, WALK_FOLLOW)
  const { mount, dentry } = walk
  const made = n < 0 ? n : mountNew(task, { mount, dentry }, type, type, '', 0)
  if (made < 0) throw new Error(`mount ${type}: ${made}`)
}

function makeParents(task: Task, name: string): void {
  const parts = name.split('/').slice(1, -1)
  for (let i = 1; i <= parts.length; i++) {
    makeDirectory(task, AT_FDCWD, `/${parts.slice(0, i).join('/')}`, 0o755)
  }
}

function writeFile(task: Task, name: string, bytes: Uint8Array): void {
  const file = openPath(task, AT_FDCWD, name, O_CREAT | O_WRONLY, 0o755, 0)
  if (typeof file === 'number') throw new Error(`create ${name}: ${file}`)
  const io = new KernelIo(new Uint8Array(0))
  for (let at = 0; at < bytes.length; ) {
    const n = file.ops.write(file, io.reset(bytes, at, bytes.length - at), at, task)
    if (n <= 0) throw new Error(`write ${name}: ${n}`)
    at += n
  }
  file.unref()
}
