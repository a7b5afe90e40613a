// Users other than root: `runsc do` works in a user namespace of theirs, everything else is refused in one line.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { PLATFORMS, runsc, temporary, writeBundle } from '../run.ts'

const NOBODY = 65534
const who = { uid: NOBODY, gid: NOBODY, cwd: '/', timeout: 60_000, encoding: 'utf8' } as const

function asNobody(program: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(program, args, who)
  return { status, stdout, stderr }
}

/** Why this machine cannot show it, or null. */
function missing(): string | null {
  if (process.getuid?.() !== 0) return 'only root can become another user'
  if (asNobody('test', '-x', runsc).status !== 0) return 'nobody cannot reach this source tree'
  const { status } = asNobody('unshare', '-Urm', 'true')
  return status === 0 ? null : 'users cannot make user namespaces here'
}
const reason = missing()
if (reason !== null) console.warn(`skipped: other users: ${reason}`)

/** Of a process that may have ended: ''. */
function ofProcess(pid: number | string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return ''
  }
}

/** The processes below `pid`. */
function below(pid: number): number[] {
  const children = readdirSync('/proc').filter(name => {
    const stat = /^\d+$/.test(name) ? ofProcess(name, 'stat') : ''
    return stat.slice(stat.lastIndexOf(')')).split(' ')[2] === String(pid)
  })
  return children.map(Number).flatMap(child => [child, ...below(child)])
}

const heard = (child: ChildProcess): Promise<unknown> =>
  new Promise(done => child.stdout!.once('data', done))

describe.skipIf(reason !== null)('other users', () => {
  it.each(PLATFORMS)('run commands under %s, without any right', async platform => {
    const script = 'id -u; touch /made && ls -l /made | cut -c1-10; wc -c </etc/shadow || echo no'
    const result = asNobody(runsc, `--platform=${platform}`, 'do', '--', 'sh', '-c', script)
    expect(result).toMatchObject({ status: 0, stdout: '0\n-rw-r--r--\nno\n' })
    const sleeper = ['do', '--', 'sh', '-c', 'echo up; exec sleep 100']
    const child = spawn(runsc, [`--platform=${platform}`, ...sleeper], { ...who, timeout: 0 })
    await heard(child)
    const found = below(child.pid!).filter(pid =>
      /load\.cjs\0sentry/.test(ofProcess(pid, 'cmdline')),
    )
    const statuses = found.map(pid => ofProcess(pid, 'status'))
    child.kill('SIGKILL')
    expect(statuses.length).toBeGreaterThan(0)
    for (const status of statuses) {
      expect(status).toMatch(/^CapEff:\t0+$/m)
      expect(status).toMatch(/^CapPrm:\t0+$/m)
      expect(status).toMatch(/^NoNewPrivs:\t1$/m)
      expect(status).toMatch(/^Uid:\t65534\t/m)
    }
  })

  it('make no containers', () => {
    const box = temporary('users')
    try {
      writeBundle(box.path, '/', ['true'])
      for (const command of ['run', 'create']) {
        const result = asNobody(
          runsc,
          `--root=${box.path}/state`,
          command,
          '--bundle',
          box.path,
          'x',
        )
        expect(result).toEqual({
          status: 128,
          stdout: '',
          stderr: 'runsc: containers are made by root; for other users there is `runsc do`\n',
        })
      }
    } finally {
      box.clean()
    }
  })
})
