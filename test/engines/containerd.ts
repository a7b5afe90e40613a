// A containerd of the tests' own: its files below one directory, its network in a namespace that ends with it.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Result, run, runsc, temporary } from '../run.ts'
import { installNeeds } from '../setup.ts'
import { busyboxTree, imageArchive } from './image.ts'

export const IMAGE = 'localhost/bb:1'
const START_MS = 30_000
const STOP_MS = 20_000

export class Containerd {
  readonly #box = temporary('cd')
  /** Its namespace for what `ctr` makes; names their cgroup and their state, too. */
  readonly namespace = basename(this.#box.path)
  #daemon: ChildProcess | null = null

  path(name: string): string {
    return join(this.#box.path, name)
  }

  get socket(): string {
    return this.path('s')
  }

  /** Start it with the image loaded for `namespaces`. Throws with one line when it cannot be. */
  async start(namespaces: string[], needs: string[] = []): Promise<void> {
    installNeeds(['containerd', 'runc', 'busybox-static', ...needs])
    writeFileSync(this.path('config.toml'), this.#config())
    mkdirSync(this.path('cni'))
    writeFileSync(this.path('cni/10-pods.conflist'), JSON.stringify(this.#network()))
    const command = 'ip link set lo up; exec containerd --config "$0"'
    const args = ['--net', '--', 'sh', '-c', command, this.path('config.toml')]
    this.#daemon = spawn('unshare', args, {
      stdio: ['ignore', 'ignore', openSync(this.path('log'), 'w')],
      env: { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH}` },
    })
    let failure = ''
    this.#daemon.on('error', error => (failure = error.message))
    const end = Date.now() + START_MS
    while (!existsSync(this.socket) || this.ctr('version').status !== 0) {
      if (this.#daemon.exitCode !== null || failure !== '' || Date.now() > end)
        throw new Error(`containerd does not start: ${failure || this.log().at(-1)}`)
      await sleep(100)
    }
    busyboxTree(this.path('tree'))
    const archive = imageArchive(this.#box.path, IMAGE, this.path('tree'), ['sleep', '2147483647'])
    for (const namespace of namespaces) {
      const args = ['-n', namespace, 'images', 'import', '--snapshotter', 'native', archive]
      const { status, stderr } = this.#client(args)
      if (status !== 0) throw new Error(`ctr images import: ${stderr}`)
    }
  }

  log(): string[] {
    return readFileSync(this.path('log'), 'utf8').trim().split('\n')
  }

  #client(args: string[]): Result {
    return run('ctr', ['-a', this.socket, ...args], { seconds: 60 })
  }

  ctr(...args: string[]): Result {
    return this.#client(['-n', this.namespace, ...args])
  }

  /** A command in its network. */
  inNetwork(...args: string[]): Result {
    return run('nsenter', ['--net', '-t', String(this.#daemon!.pid), ...args])
  }

  /** Lines of the process list that are of our shims. */
  shims(): string[] {
    const lines = run('ps', ['-eo', 'args']).stdout.split('\n')
    return lines.filter(line => line.includes(`-address ${this.socket}`))
  }

  async stop(): Promise<void> {
    const daemon = this.#daemon
    if (daemon !== null && daemon.exitCode === null) {
      const ended = new Promise(done => daemon.on('exit', done))
      daemon.kill('SIGTERM')
      await Promise.race([ended, sleep(STOP_MS)])
    }
    removeCgroup(this.namespace)
    this.#box.clean()
  }

  #config(): string {
    const cri = '[plugins."io.containerd.grpc.v1.cri"'
    // What Kubernetes' handler is to contain is what we print for it.
    const handler = spawnSync(runsc, ['install', '--print', 'containerd'], { encoding: 'utf8' })
    return `version = 2
root = "${this.path('root')}"
state = "${this.path('state')}"
[grpc]
  address = "${this.socket}"
[ttrpc]
  address = "${this.socket}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "${this.path('opt')}"
${cri}]
  sandbox_image = "${IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
${cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "${this.path('cni')}"
${cri}.containerd]
  snapshotter = "native"
  default_runtime_name = "portcullis"
${handler.stdout}`
  }

  #network() {
    const data = this.path('cni-data')
    const range = [[{ subnet: '10.213.0.0/24' }]]
    const ipam = { type: 'host-local', dataDir: data, ranges: range }
    return {
      cniVersion: '0.4.0',
      name: this.namespace,
      plugins: [
        { type: 'bridge', bridge: 'pods', isGateway: true, ipMasq: false, ipam },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    }
  }
}

/** Remove a cgroup of engines from all hierarchies; fails when a process or a container is left in it. */
export function removeCgroup(name: string): void {
  for (const hierarchy of ['', ...readdirSync('/sys/fs/cgroup')]) {
    const path = join('/sys/fs/cgroup', hierarchy, name)
    if (existsSync(path)) rmdirSync(path)
  }
}
