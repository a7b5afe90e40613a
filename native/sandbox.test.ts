import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { PLATFORM_KINDS } from './test/machine.ts'

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const launcher = path('../build/launcher')
const launch = (args: string[]) => spawnSync(launcher, args, { encoding: 'utf8', timeout: 60_000 })

const root = process.getuid?.() === 0
if (!root) console.log('skipped: namespaces need root here')

describe.runIf(root)('launcher', () => {
  it('passes the exit status on', () => {
    expect(launch(['--', 'sh', '-c', 'exit 7']).status).toBe(7)
    expect(launch(['--pid', '--mount', '--', 'sh', '-c', 'kill -9 $$; exit 3']).status).toBe(3)
    expect(launch(['--', 'sh', '-c', 'kill -9 $$']).status).toBe(137)
    expect(launch(['--', '/nonexistent']).status).toBe(128)
    expect(launch(['--nonsense', '--', 'true']).status).toBe(128)
  })

  it('makes the program the first process of its own namespaces', () => {
    const links = 'readlink /proc/self/ns/mnt /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/uts'
    const own = spawnSync('sh', ['-c', links], { encoding: 'utf8' })
      .stdout.split('\n')
      .filter(Boolean)
    const flags = ['--pid', '--mount', '--net', '--ipc', '--uts']
    const run = launch([...flags, '--', 'sh', '-c', `echo $$; ${links}`])
    const [pid, ...theirs] = run.stdout.split('\n').filter(Boolean)
    expect(pid).toBe('1')
    expect(theirs.length).toBe(4)
    for (const link of theirs) expect(own).not.toContain(link)
  })

  it('does not wait for a sentry that has ended before it looked', () => {
    const program = `
import os, socket, sys
sockets = [socket.socketpair() for _ in range(2)]
child = os.fork()
if child == 0: os._exit(5)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
for fd, (own, _) in enumerate(sockets, 3): os.dup2(own.fileno(), 20 + fd)
for fd in (3, 4): os.dup2(20 + fd, fd)
os.execv(sys.argv[1], [sys.argv[1], "--child", str(child), "--stand-in", "4", "--"])`
    const { status } = spawnSync('python3', ['-c', program, launcher], {
      timeout: 60_000,
      killSignal: 'SIGKILL',
    })
    expect(status).toBe(5)
  })
})

describe.runIf(root)('confinement', () => {
  it.each(
    PLATFORM_KINDS,
  )('leaves a sentry that can run programs by %s and do nothing else', kind => {
    const flags = ['--pid', '--mount', '--net', '--ipc', '--uts', '--die-with-parent']
    const start = [path('../build/start'), path('../build/node-start.bpf')]
    const program = [process.execPath, path('./test/confined.ts'), kind]
    const run = launch([...flags, '--', ...start, ...program])
    expect(run.stderr).toBe('')
    expect(run.status).toBe(0)
    const seen = JSON.parse(run.stdout) as Record<string, unknown>
    expect(seen).toMatchObject({
      pid: 1,
      capabilities: 0,
      pivot: 0,
      root: -2,
      create: -30,
      ids: 0,
      nnp: 0,
      filter: 0,
      started: true,
      report: [true, 5, 11],
      childReport: [0, 12],
      timeout: -1,
    })
  })
})
