// An engine's console socket that is not there, does not listen, or is closed early, and a terminal that its engine
// closes: what becomes of a container, or of a further process in one, is what becomes of it under runc.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Result, run, runsc } from '../run.ts'
import { type Oracle, oracle } from './bundles.ts'

/** What the engine does, and whether what is behind the terminal lives. */
const CASES = [
  ['has no socket', 'nothing', 'ends'],
  ['has a socket that does not listen', 'deaf', 'ends'],
  ['has a socket of another type', 'datagram', 'ends'],
  ['closes the connection at once', 'closes', 'ends'],
  ['takes the terminal and closes it', 'drops', 'ends'],
  ['never accepts, and closes its socket later', 'leaves', 'ends'],
  ['keeps the terminal', 'keeps', 'lives'],
] as const

/** Prints what `what` becomes: a container that is made, or a process that is executed in one; and what the runtime complained of. */
const ENGINE = `
import array, json, os, socket, subprocess, sys, time
runtime, root, bundle, path, id, what, how = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if how == 'datagram' else socket.SOCK_STREAM)
if how != 'nothing': listener.bind(path)
if how not in ('nothing', 'datagram', 'deaf'): listener.listen()
def call(*args, **how): return subprocess.run([runtime, '--root', root, *args], stdin=subprocess.DEVNULL, **how)
def state():
    told = call('state', id, capture_output=True)
    return json.loads(told.stdout)['status'] if told.returncode == 0 else 'none'
def executes():
    try:
        with open(f'/proc/{open(path + ".pid").read()}/stat') as f: return f.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError: return False
def until(test):
    end = time.monotonic() + 60
    while not test():
        if time.monotonic() > end: return False
        time.sleep(0.05)
    return True
if what == 'exec':
    call('create', '-b', bundle, id, check=True)
    call('start', id, check=True)
    args = ['exec', '-d', '-t', '--console-socket', path, '--pid-file', path + '.pid', id, 'sleep', '1000']
else: args = ['create', '-b', bundle, '--console-socket', path, id]
command = subprocess.Popen([runtime, '--root', root, *args], stdin=subprocess.DEVNULL)
if how in ('closes', 'drops', 'keeps'):
    connection = listener.accept()[0]
    if how != 'closes':
        master = array.array('i', connection.recvmsg(4096, 64)[1][0][2])[0]
        if how == 'drops': os.close(master)
    if how != 'keeps': connection.close()
made = command.wait() == 0
listener.close()
if how == 'keeps':
    if what == 'create': call('start', id, check=True)
    print('lives' if made and (executes() if what == 'exec' else state() == 'running') else 'ends')
else: print('ends' if not made or until(lambda: not executes() if what == 'exec' else state() == 'stopped') else 'lives')
if what == 'exec': print(state())
call('delete', '--force', id, check=True)
print(state())
`

let box: Oracle
const bundles: Record<string, string> = {}
beforeAll(() => {
  box = oracle('console')
  for (const what of ['create', 'exec'])
    bundles[what] = box.bundle(['sleep', '1000'], config => {
      config.process.terminal = what === 'create'
      config.mounts.push({ destination: '/dev/pts', type: 'devpts', source: 'devpts' })
    })
})
afterAll(() => box.clean())

let sockets = 0
function engine(name: 'ours' | 'runc', what: string, how: string): Result {
  const path = join(box.path, `socket${sockets++}`)
  const id = `console-${name}-${process.pid}-${sockets}`
  // The engine's output is not a pipe that what it starts could hold open: that has its terminal.
  const args = [
    name === 'ours' ? runsc : 'runc',
    join(box.path, `state-${name}`),
    bundles[what]!,
    path,
    id,
    what,
    how,
  ]
  const reaping = ['--pid', '--fork', '--mount-proc', '--kill-child', 'sh', '-c', '"$@"; exit $?']
  return run('unshare', [...reaping, 'init', 'python3', '-c', ENGINE, ...args])
}

describe.each(['create', 'exec'])('%s, when the engine', what => {
  it.each(CASES)('%s', (_name, how, becomes) => {
    const told = what === 'exec' ? `${becomes}\nrunning\nnone\n` : `${becomes}\nnone\n`
    for (const name of ['runc', 'ours'] as const) {
      const { status, stdout, stderr } = engine(name, what, how)
      expect({ name, status, stdout, stderr }).toEqual({
        name,
        status: 0,
        stdout: told,
        stderr: expect.anything(),
      })
      if (name === 'ours') expect(stderr).toMatch(/^(runsc: .*\n)?$/)
    }
    expect(readdirSync(join(box.path, 'state-ours'))).toEqual([])
  })
})
