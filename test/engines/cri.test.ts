// Pods as Kubernetes makes them, through containerd's CRI and runc's own shim: containers that share one sandbox.

import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { root, run, runsc } from '../run.ts'
import { until } from '../until.ts'
import { Containerd, IMAGE, removeCgroup } from './containerd.ts'
import { Cri, type Message } from './cri.ts'

const NAMESPACE = 'k8s.io'
const HANDLER = 'portcullis'
const STATES = ['created', 'running', 'exited', 'unknown']
const PORT = 8080
const HOST_PORT = 18080
/** NamespaceMode: the pod's, or the container's own. */
const POD = 0
const CONTAINER = 1

const containerd = new Containerd()
const cgroup = basename(containerd.namespace)
/** Ids of all that there was. */
const made: string[] = []
let cri: Cri
let pod = ''
let reason = ''

const podConfig = (): Message => ({
  metadata: { name: 'pod', uid: 'uid', namespace: 'tests' },
  hostname: 'the-pod',
  log_directory: containerd.path('logs'),
  port_mappings: [{ container_port: PORT, host_port: HOST_PORT }],
  linux: {
    cgroup_parent: `/${cgroup}`,
    security_context: { namespace_options: { pid: CONTAINER } },
  },
})

interface Wanted {
  pid?: number
  attempt?: number
  memory?: number
}

/** Make and start a container; its id. */
async function start(name: string, script: string, wanted: Wanted = {}): Promise<string> {
  const { pid = CONTAINER, attempt = 0, memory = 0 } = wanted
  const { container_id: id } = await cri.call('CreateContainer', {
    pod_sandbox_id: pod,
    sandbox_config: podConfig(),
    config: {
      metadata: { name, attempt },
      image: { image: IMAGE },
      command: ['sh', '-c', script],
      log_path: `${name}.${attempt}.log`,
      linux: {
        resources: { memory_limit_in_bytes: memory },
        security_context: { namespace_options: { pid } },
      },
    },
  })
  made.push(id)
  await cri.call('StartContainer', { container_id: id })
  return id
}

async function exec(id: string, ...cmd: string[]) {
  const answer = await cri.call('ExecSync', { container_id: id, cmd, timeout: 30 })
  return { status: answer.exit_code, out: answer.stdout.trim(), err: answer.stderr.trim() }
}

const shell = async (id: string, script: string) => (await exec(id, 'sh', '-c', script)).out

async function statusOf(id: string) {
  const { status } = await cri.call('ContainerStatus', { container_id: id })
  return { state: STATES[status.state], exit: status.exit_code, reason: status.reason }
}

const logOf = (name: string) => {
  const file = containerd.path(`logs/${name}.log`)
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

/** The memory limit of a container, as the host has it. */
function hostLimit(id: string): string {
  const files = [`memory/${cgroup}/${id}/memory.limit_in_bytes`, `${cgroup}/${id}/memory.max`]
  const file = files.map(name => `/sys/fs/cgroup/${name}`).find(path => existsSync(path))
  return readFileSync(file!, 'latin1').trim()
}

beforeAll(async () => {
  try {
    await containerd.start([NAMESPACE], ['containernetworking-plugins', 'iptables'])
    mkdirSync(containerd.path('logs'))
    cri = new Cri(containerd.socket)
    await cri.call('Version')
  } catch (error) {
    reason = (error as Error).message
    console.warn(`skipped: CRI: ${reason}`)
  }
}, 240_000)

afterAll(async () => {
  if (pod !== '') {
    await cri.call('StopPodSandbox', { pod_sandbox_id: pod }).catch(() => {})
    await cri.call('RemovePodSandbox', { pod_sandbox_id: pod }).catch(() => {})
  }
  cri?.close()
  await containerd.stop()
  removeCgroup(cgroup)
}, 60_000)

describe('a pod', () => {
  let one = ''
  let two = ''
  const row = (name: string, test: () => Promise<void>) =>
    it(name, async context => {
      if (reason !== '') return context.skip(reason)
      await test()
    })

  row('starts, with an address', async () => {
    const request = { config: podConfig(), runtime_handler: HANDLER }
    pod = (await cri.call('RunPodSandbox', request)).pod_sandbox_id
    made.push(pod)
    const { status } = await cri.call('PodSandboxStatus', { pod_sandbox_id: pod })
    expect(status).toEqual({
      id: pod,
      state: 0,
      network: { ip: expect.stringMatching(/^10\.213\./) },
    })
  })

  row('has two containers with one network, host name and kernel', async () => {
    one = await start(
      'one',
      `echo up; echo bad >&2; while :; do echo served | nc -l -p ${PORT}; done`,
    )
    two = await start('two', 'trap "exit 4" TERM; while :; do sleep 0.1; done')
    expect(await shell(two, 'hostname; uname -r')).toBe('the-pod\n6.12.0-portcullis')
    await until('the server', async () => (await shell(two, `nc 127.0.0.1 ${PORT}`)) === 'served')
    await exec(one, 'touch', '/tmp/of-one')
    expect((await exec(two, 'ls', '/tmp')).out).toBe('')
  })

  row('has its port on the host', async () => {
    const { status } = await cri.call('PodSandboxStatus', { pod_sandbox_id: pod })
    const ask = (address: string, port: number) =>
      containerd.inNetwork('busybox', 'nc', '-w', '5', address, String(port)).stdout
    await until('the pod', () => ask(status.network.ip, PORT) === 'served\n')
    await until('the host', () => ask('10.213.0.1', HOST_PORT) === 'served\n')
  })

  row('keeps the logs of its containers', async () => {
    await until('the log', () => logOf('one.0').split('\n').length > 2)
    expect(logOf('one.0')).toMatch(/^\S+ stdout F up\n/m)
    expect(logOf('one.0')).toMatch(/^\S+ stderr F bad\n/m)
  })

  row('runs commands in them', async () => {
    const answer = await exec(one, 'sh', '-c', 'echo out; echo err >&2; exit 5')
    expect(answer).toEqual({ status: 5, out: 'out', err: 'err' })
    await expect(exec(one, 'nope')).rejects.toThrow('executable file not found in $PATH')
  })

  row('tells what each of them uses', async () => {
    const { stats } = await cri.call('ContainerStats', { container_id: two })
    expect(stats.memory.working_set_bytes.value).toBeGreaterThan(4096)
    expect(stats.cpu.usage_core_nano_seconds.value).toBeGreaterThan(1000)
    const all = await cri.call('ListPodSandboxStats')
    expect(all.stats).toHaveLength(1)
    expect(all.stats[0].linux.memory.working_set_bytes.value).toBeGreaterThan(4096)
  })

  row('changes the limits of one of them', async () => {
    const linux = { memory_limit_in_bytes: 96 << 20, cpu_quota: 50_000, cpu_period: 100_000 }
    await cri.call('UpdateContainerResources', { container_id: two, linux })
    expect(hostLimit(two)).toBe(String(96 << 20))
    expect(hostLimit(one)).not.toBe(String(96 << 20))
    const total = (id: string) => shell(id, 'grep MemTotal /proc/meminfo')
    expect(await total(two)).toMatch(new RegExp(` ${96 << 10} kB$`))
    expect(await total(one)).not.toMatch(new RegExp(` ${96 << 10} kB$`))
    const files = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max'
    expect(await shell(two, `${files} 2>/dev/null`)).toBe(String(96 << 20))
  })

  row('restarts one of them while the other goes on', async () => {
    await cri.call('StopContainer', { container_id: two, timeout: 20 })
    expect(await statusOf(two)).toEqual({ state: 'exited', exit: 4, reason: 'Error' })
    await cri.call('RemoveContainer', { container_id: two })
    two = await start('two', 'echo again; sleep 1000', { attempt: 1 })
    await until('the log', () => logOf('two.1').includes(' stdout F again\n'))
    expect((await statusOf(one)).state).toBe('running')
    expect((await exec(two, 'ls', '/tmp')).out).toBe('')
  })

  row('ends one of them that uses up its memory', async () => {
    const script = 'exec dd if=/dev/zero of=/dev/null bs=200M count=1'
    const greedy = await start('greedy', script, { memory: 64 << 20 })
    await until('its end', async () => (await statusOf(greedy)).state === 'exited')
    const { exit, reason: why } = await statusOf(greedy)
    expect({ exit, why }).toEqual({ exit: 137, why: 'OOMKilled' })
    expect((await statusOf(one)).state).toBe('running')
    await cri.call('RemoveContainer', { container_id: greedy })
  })

  row('lets a container see the processes of the pod', async () => {
    const shared = await start('shared', 'sleep 1000', { pid: POD })
    expect((await exec(shared, 'ps')).out).toContain('sleep 2147483647')
    expect((await exec(one, 'ps')).out).not.toContain('sleep 2147483647')
  })

  row('runs what docs/kubernetes.md has it run', async () => {
    const text = readFileSync(join(root, 'docs/kubernetes.md'), 'utf8')
    const field = (pattern: RegExp) => text.match(pattern)![1]!
    const { stdout: manifest } = run(runsc, ['install', '--print', 'kubernetes'])
    const name = field(/^ +runtimeClassName: (.*)$/m)
    expect(manifest).toMatch(new RegExp(`^  name: ${name}\nhandler: ${HANDLER}\n`, 'm'))
    const memory = Number(field(/limits: \{memory: (\d+)Mi\}/)) << 20
    const command = field(/^ +command: \[(.*)\]$/m).split(', ')
    const id = await start('documented', `exec ${command.join(' ')}`, { memory })
    const answer = await exec(id, ...field(/kubectl exec \S+ -- (.*)$/m).split(' '))
    expect(answer).toEqual({ status: 0, out: field(/^prints `(.*)`\.$/m), err: '' })
  })

  row('goes, and leaves nothing behind', async () => {
    await cri.call('StopPodSandbox', { pod_sandbox_id: pod })
    expect((await statusOf(one)).state).toBe('exited')
    await cri.call('RemovePodSandbox', { pod_sandbox_id: pod })
    pod = ''
    expect((await cri.call('ListContainers')).containers).toEqual([])
    await until('processes end', () => containerd.shims().length === 0)
    const states = readdirSync(`/run/containerd/runc/${NAMESPACE}`)
    expect(states.filter(id => made.includes(id))).toEqual([])
  })
})
