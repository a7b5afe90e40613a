// A Docker engine of the tests' own: its state in one directory, its bridges, firewall rules and mounts in namespaces of its
// own, its containers in one cgroup. It needs nothing of the machine's engine and leaves nothing behind.

import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Result, type RunOptions, run, temporary } from '../run.ts'
import { installNeeds } from '../setup.ts'

export const DOCKER = '/usr/bin/docker'
const CGROUPS = '/sys/fs/cgroup'
/** The small image: busybox. */
export const IMAGE = 'bb:1'
/** The Debian tree of the tests. */
export const DEBIAN = 'deb:1'
const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n'
const GROUP = 'root:x:0:\nnogroup:x:65534:\n'

/** A runtime as daemon.json names it; `path` null is the engine's own runc. */
export interface Runtime {
  readonly name: string
  readonly path: string | null
  readonly args?: readonly string[]
}

export class Engine {
  #made: ReturnType<typeof temporary> | null = null
  #daemon: ChildProcess | null = null
  #config: object = {}
  readonly #namespaces: readonly string[]
  /** Whether containers get a bridge: a machine without netfilter cannot give one. */
  network = true

  /** With `ours`, the engine has our own namespaces, which are no others' then. */
  constructor(namespaces: 'its own' | 'ours' = 'its own') {
    this.#namespaces = namespaces === 'ours' ? [] : ['--net', '--mount']
  }

  /** Made when it is first needed: a test that is skipped needs none. */
  get #box() {
    this.#made ??= temporary('dk')
    return this.#made
  }

  /** Below it are the cgroups of our containers only. */
  get cgroup(): string {
    return `/${basename(this.#box.path)}`
  }

  get #socket(): string {
    return `unix://${this.path('s')}`
  }

  path(name: string): string {
    return join(this.#box.path, name)
  }

  /** Start dockerd with these runtimes; throws with the reason when it does not come up. */
  async start(runtimes: readonly Runtime[], config: object = {}): Promise<void> {
    installNeeds(['docker.io', 'containerd', 'runc', 'busybox-static', 'iproute2'])
    const named = runtimes.filter(({ path }) => path !== null)
    const base = {
      hosts: [this.#socket],
      'data-root': this.path('data'),
      'exec-root': this.path('exec'),
      pidfile: this.path('pid'),
      'cgroup-parent': this.cgroup,
      runtimes: Object.fromEntries(
        named.map(({ name, path, args }) => [name, { path, ...(args && { runtimeArgs: args }) }]),
      ),
      ...config,
    }
    const bare = { bridge: 'none', iptables: false, ip6tables: false, 'ip-forward': false }
    if (!(await this.#launch(base))) {
      this.network = false
      if (!(await this.#launch({ ...base, ...bare })))
        throw new Error(`dockerd does not start: ${this.#lastWords()}`)
    }
    this.#importBusybox()
  }

  /** Start it once more when it has died; its containers may live. */
  async startAgain(): Promise<void> {
    // As long as it is not reaped, its pid file counts as that of a process that lives.
    while (this.#daemon?.exitCode === null && this.#daemon.signalCode === null) await sleep(20)
    if (!(await this.#launch(this.#config)))
      throw new Error(`dockerd does not start again: ${this.#lastWords()}`)
  }

  /** Whether it runs and answers. */
  get answers(): boolean {
    const { exitCode, signalCode } = this.#daemon!
    return exitCode === null && signalCode === null && this.docker(['version']).status === 0
  }

  async #launch(config: object): Promise<boolean> {
    this.#config = config
    writeFileSync(this.path('daemon.json'), JSON.stringify(config, null, 2))
    const dockerd = `ip link set lo up && exec dockerd --config-file "$1"`
    const daemon = spawn(
      'unshare',
      [...this.#namespaces, '--', 'sh', '-c', dockerd, 'sh', this.path('daemon.json')],
      {
        // A pipe would fill up: nobody reads it while a client is waited for.
        stdio: ['ignore', 'ignore', openSync(this.path('log'), 'a')],
        env: { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH}` },
      },
    )
    daemon.on('error', () => {})
    this.#daemon = daemon
    for (let i = 0; i < 300 && daemon.exitCode === null; i++) {
      if (existsSync(this.path('s')) && this.docker(['version']).status === 0) return true
      await sleep(100)
    }
    await this.#stopDaemon()
    return false
  }

  #lastWords(): string {
    return readFileSync(this.path('log'), 'utf8').trim().split('\n').at(-1) ?? ''
  }

  /** A client that hangs is killed: only its container would take note of a softer signal. */
  docker(args: readonly string[], options: RunOptions = {}): Result {
    return run(DOCKER, args, { seconds: 60, ...options, env: { ...this.env(), ...options.env } })
  }

  /** What a client, or a tool that speaks to the engine, must have in its environment. */
  env(): Record<string, string> {
    return { DOCKER_HOST: this.#socket, DOCKER_CONFIG: this.#box.path }
  }

  /** A command where the engine's bridges and published ports are. */
  inside(command: string, args: readonly string[], options: RunOptions = {}): Result {
    const pid = String(this.daemonPid)
    return run('nsenter', ['-t', pid, '--net', '--', command, ...args], options)
  }

  get daemonPid(): number {
    return this.#daemon!.pid!
  }

  /**
   * End it with all its containers. What they have left in its cgroup makes it throw, unless runtimes were compared of
   * which some leave something.
   */
  async stop(left: 'nothing' | 'something' = 'nothing'): Promise<void> {
    if (this.#daemon?.exitCode === null) {
      const ids = this.containers()
      if (ids.length > 0) this.docker(['rm', '-f', ...ids])
    }
    await this.#stopDaemon()
    if (this.#made === null) return
    // Some runtimes leave containers that Docker cannot end.
    run('kill', ['-KILL', ...this.#processes()])
    await sleep(200)
    for (const parent of this.#cgroupParents())
      left === 'nothing' ? rmdirSync(parent) : removeTree(parent)
    this.#unmount()
    this.#made.clean()
  }

  /** In our own namespaces, what an engine that was killed had mounted. */
  #unmount(): void {
    const points = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map(line => line.split(' ')[1] ?? '')
      .filter(point => point.startsWith(`${this.#box.path}/`))
    if (points.length > 0) run('umount', ['--lazy', ...points.toReversed()])
  }

  async #stopDaemon(): Promise<void> {
    const daemon = this.#daemon
    if (daemon === null || daemon.exitCode !== null || daemon.pid === undefined) return
    const ended = new Promise(done => daemon.on('exit', done))
    daemon.kill('SIGTERM')
    await Promise.race([ended, sleep(20_000)])
  }

  /** Ids of all its containers. */
  containers(): string[] {
    return this.docker(['ps', '-aq']).stdout.trim().split('\n').filter(Boolean)
  }

  #cgroupParents(): string[] {
    return ['', ...readdirSync(CGROUPS)]
      .map(name => join(CGROUPS, name, this.cgroup))
      .filter(parent => existsSync(parent))
  }

  /** A file of a container's cgroup: of this controller's hierarchy, or of the one that there is. */
  cgroupFile(id: string, controller: string, name: string): string {
    const parent = [join(CGROUPS, controller, this.cgroup), join(CGROUPS, this.cgroup)]
    const found = parent.map(folder => join(folder, id, name)).find(file => existsSync(file))
    assert.ok(found, `${name} of the container's cgroup`)
    return readFileSync(found, 'utf8')
  }

  /** Pids of what names the engine's own directory in its command line. */
  #processes(): string[] {
    const exec = this.path('exec/')
    const lines = run('ps', ['-eo', 'pid,args']).stdout.split('\n')
    return lines.filter(line => line.includes(exec)).map(line => line.trim().split(' ')[0]!)
  }

  /** What is still there of containers that have ended: processes, mounts, files, cgroups. */
  remains(): string[] {
    const inProcess = this.path('exec/runtime-runc')
    const processes = run('ps', ['-eo', 'args']).stdout.split('\n')
    const mounts = readFileSync(`/proc/${this.daemonPid}/mounts`, 'utf8').split('\n')
    const folder = this.path('exec/runtime-runc/moby')
    const cgroups = this.#cgroupParents().flatMap(parent =>
      readdirSync(parent, { withFileTypes: true }).filter(entry => entry.isDirectory()),
    )
    return [
      ...processes.filter(line => line.includes(inProcess)),
      ...mounts.filter(line => line.includes(inProcess)),
      ...(existsSync(folder) ? readdirSync(folder) : []),
      ...cgroups.map(({ parentPath, name }) => join(parentPath, name)),
    ]
  }

  #importBusybox(): void {
    const tree = this.path('tree')
    for (const folder of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'root'])
      mkdirSync(join(tree, folder), { recursive: true })
    cpSync('/bin/busybox', join(tree, 'bin/busybox'), { dereference: true })
    for (const name of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n'))
      if (name !== '' && name !== 'busybox') symlinkSync('busybox', join(tree, 'bin', name))
    writeFileSync(join(tree, 'etc/passwd'), PASSWD)
    writeFileSync(join(tree, 'etc/group'), GROUP)
    this.importTree(tree, IMAGE)
  }

  /** Make an image of a directory. */
  importTree(tree: string, image: string): void {
    // The tree is known to be good; the machine's shell is only there for the pipe.
    const pipe = 'tar c -C "$1" . | "$2" import -c \'CMD ["/bin/sh"]\' - "$3"'
    const { status, stderr } = spawnSync('sh', ['-c', pipe, 'sh', tree, DOCKER, image], {
      env: { ...process.env, ...this.env() },
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`docker import: ${stderr}`)
  }
}

/** Remove a cgroup with those below it, in which nothing lives any more. */
function removeTree(cgroup: string): void {
  for (const entry of readdirSync(cgroup, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(join(cgroup, entry.name))
  rmdirSync(cgroup)
}

/** One runtime of an engine, as the rows of the table use it. */
export class Docker {
  readonly engine: Engine
  readonly runtime: string
  static #files = 0

  constructor(engine: Engine, runtime: string) {
    this.engine = engine
    this.runtime = runtime
  }

  docker(...args: string[]): Result {
    return this.engine.docker(args)
  }

  /** What a command of the client prints; it must succeed and have nothing to complain of. */
  ok(...args: string[]): string {
    return output(this.docker(...args))
  }

  /** A container that runs to its end: `options`, image and command. */
  try(...args: string[]): Result {
    return this.docker('run', '--rm', '--runtime', this.runtime, ...args)
  }

  run(...args: string[]): string {
    return output(this.try(...args))
  }

  /** A shell script in a container with these options. */
  sh(options: readonly string[], script: string): string {
    return this.run(...options, IMAGE, 'sh', '-c', script)
  }

  /** A container that stays until its row is over. */
  keep(name: string, ...args: string[]): string {
    return this.ok('run', '-d', '--name', name, '--runtime', this.runtime, ...args)
  }

  /** One that does nothing. */
  sleeper(name: string, ...options: string[]): string {
    return this.keep(name, ...options, IMAGE, 'sleep', '1000')
  }

  exec(name: string, script: string, ...options: string[]): string {
    return this.ok('exec', ...options, name, 'sh', '-c', script)
  }

  state(name: string, field: string): string {
    return this.ok('inspect', '-f', `{{.State.${field}}}`, name)
  }

  async until(what: string, test: () => boolean): Promise<void> {
    for (const end = Date.now() + 30_000; Date.now() < end; await sleep(100)) if (test()) return
    throw new Error(`${what}: not within 30 s`)
  }

  /** A terminal around a client, of the size `rows` and `columns`: what it shows, after `input`. */
  onTerminal(args: readonly string[], options: { input?: string; size?: string } = {}): Result {
    const quoted = args.map(arg => `'${arg}'`).join(' ')
    const command = `${options.size ? `stty ${options.size}; ` : ''}${DOCKER} ${quoted}`
    return run('script', ['-qec', command, '/dev/null'], {
      input: options.input ?? '',
      seconds: 30,
      env: this.engine.env(),
    })
  }

  /** A fresh path on the host. */
  fresh(): string {
    return this.engine.path(`${this.runtime}-${Docker.#files++}`)
  }

  /** A fresh file on the host with this text. */
  file(text: string): string {
    const path = this.fresh()
    writeFileSync(path, text)
    return path
  }

  /** A fresh directory with a file `f` in it. */
  folder(text: string): string {
    const path = this.fresh()
    mkdirSync(path)
    writeFileSync(join(path, 'f'), text)
    return path
  }

  /** Remove all containers, networks and volumes. */
  clean(): void {
    const ids = this.engine.containers()
    if (ids.length > 0) this.docker('rm', '-f', '-v', ...ids)
    this.docker('network', 'prune', '-f')
    this.docker('volume', 'prune', '-f')
  }
}

/** Standard output of what must have succeeded silently. */
export function output(result: Result): string {
  const { status, stderr } = result
  assert.deepEqual({ status, stderr: stderr.trim() }, { status: 0, stderr: '' })
  return result.stdout.trim()
}

/** A feature, as somebody who uses containers knows it. */
export interface Row {
  readonly name: string
  /** Part of the short run. */
  readonly quick?: true
  /** What the engine must have for it. */
  readonly needs?: readonly ('network' | 'debian')[]
  test(d: Docker): void | Promise<void>
}
