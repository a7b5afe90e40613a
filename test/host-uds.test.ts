// --host-uds: AF_UNIX sockets of the host, in a directory that is mounted into the sandbox.

import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run, runsc, temporary, writeBundle } from './run.ts'

const box = temporary('uds')
let server: ChildProcess

/** Answers each message and closes, on a socket of each kind. */
const SERVER = `
import os, socket, sys, threading
def serve(kind, name):
    s = socket.socket(socket.AF_UNIX, kind); s.bind(sys.argv[1] + '/' + name); s.listen(5)
    while True:
        c, _ = s.accept(); c.send(b'got ' + c.recv(100)); c.close()
for kind, name in ((socket.SOCK_STREAM, 'stream'), (socket.SOCK_SEQPACKET, 'seqpacket')):
    threading.Thread(target=serve, args=(kind, name), daemon=True).start()
d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d.bind(sys.argv[1] + '/datagram')
sys.stdout.write('up\\n'); sys.stdout.flush()
while True: sys.stdout.write(d.recv(100).decode() + '\\n'); sys.stdout.flush()
`
const CLIENT = `
import array, os, select, socket
for kind in ('STREAM', 'SEQPACKET'):
    s = socket.socket(socket.AF_UNIX, getattr(socket, 'SOCK_' + kind))
    epoll = select.epoll(); epoll.register(s.fileno(), select.EPOLLIN)
    s.connect('/mnt/' + kind.lower())
    try: s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0]))])
    except OSError as e: print(kind, e.strerror)
    s.send(b'hello')
    print(epoll.poll(10) != [], s.recv(100), s.recv(1))
    try: s.send(b'x')
    except OSError as e: print(e.strerror)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect('/mnt/datagram'); s.send(b'a datagram')
`

/** Serves one connection from inside and one from outside, and prints a datagram from outside. */
const MAKER = `
import os, select, socket, stat, threading
def bound(kind, name):
    s = socket.socket(socket.AF_UNIX, kind); s.bind('/mnt/' + name); return s
d = bound(socket.SOCK_DGRAM, 'own-datagram')
listeners = [bound(socket.SOCK_STREAM, 'own-stream'), bound(socket.SOCK_SEQPACKET, 'own-seqpacket')]
for s in listeners: s.listen(5)
print(oct(os.stat('/mnt/own-stream').st_mode), flush=True)
def inside(kind, name):
    c = socket.socket(socket.AF_UNIX, kind); c.connect('/mnt/' + name); c.send(b'inside'); print(name, c.recv(100), flush=True)
for s in listeners:
    t = threading.Thread(target=inside, args=(s.type, s.getsockname()[5:])); t.start()
    a, _ = s.accept(); a.send(b'heard ' + a.recv(100)); t.join()
print('up', flush=True)
epoll = select.epoll(); epoll.register(d.fileno(), select.EPOLLIN)
for s in listeners:
    a, peer = s.accept(); a.send(b'heard ' + a.recv(100)); print(repr(peer), a.getsockname(), a.recv(1), flush=True)
print(epoll.poll(60) != [], d.recvfrom(100))
try: socket.socket(socket.AF_UNIX).bind('/mnt/own-stream')
except OSError as e: print(e.strerror)
for name in os.listdir('/mnt'):
    if name.startswith('own'): os.unlink('/mnt/' + name)
`
const VISITOR = `
import os, socket, sys
for kind, name in ((socket.SOCK_STREAM, 'stream'), (socket.SOCK_SEQPACKET, 'seqpacket')):
    s = socket.socket(socket.AF_UNIX, kind); s.settimeout(60)
    try: s.connect(sys.argv[1] + '/own-' + name)
    except OSError as e: print(e.strerror); sys.exit()
    s.send(b'outside'); print(s.recv(100)); s.close()
d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d.sendto(b'a datagram', sys.argv[1] + '/own-datagram')
`

/** What the program prints, and what the host's visitor does once it is up. */
async function visited(flag: string): Promise<{ inside: string; outside: string }> {
  const id = `uds-${process.pid}-${flag}`
  const bundle = bundleOf(id, MAKER)
  const flags = [`--root=${join(box.path, 'state')}`, '--network=none', `--host-uds=${flag}`]
  const program = spawn(runsc, [...flags, 'run', '--bundle', bundle, id])
  let inside = ''
  const up = new Promise<void>(done => {
    const hear = (data: unknown) => {
      inside += String(data)
      if (inside.includes('up\n')) done()
    }
    program.stdout.on('data', hear)
    program.stderr.on('data', hear)
    program.on('close', () => done())
  })
  const over = new Promise(done => program.on('close', done))
  await up
  const { stdout, stderr } = run('python3', ['-c', VISITOR, join(box.path, 'sockets')])
  if (flag === 'none') program.kill('SIGKILL')
  await over
  // Who was killed leaves that to others.
  if (flag === 'none') run(runsc, [...flags, 'delete', '--force', id])
  return { inside, outside: stdout + stderr }
}

function bundleOf(id: string, script: string): string {
  const bundle = join(box.path, id)
  writeBundle(bundle, '/', ['python3', '-c', script], config => {
    config.root.readonly = true
    config.mounts.push({
      destination: '/mnt',
      type: 'bind',
      source: join(box.path, 'sockets'),
      options: ['rbind'],
    })
  })
  return bundle
}

function connect(...flags: string[]) {
  const id = `uds-${process.pid}-${flags.length}`
  const bundle = bundleOf(id, CLIENT)
  const base = [`--root=${join(box.path, 'state')}`, '--network=none', ...flags]
  return run(runsc, [...base, 'run', '--bundle', bundle, id])
}

beforeAll(async () => {
  run('mkdir', [join(box.path, 'sockets')])
  server = spawn('python3', ['-c', SERVER, join(box.path, 'sockets')])
  await new Promise(done => server.stdout!.once('data', done))
})
afterAll(() => {
  server.kill('SIGKILL')
  box.clean()
})

describe('sockets of the host', () => {
  it('cannot be reached unless the host says so', () => {
    expect(connect().stderr).toContain('ConnectionRefusedError')
  })

  it('can be reached with --host-uds=open, for bytes alone', async () => {
    let heard = ''
    const datagram = new Promise<void>(done =>
      server.stdout!.on('data', data => {
        heard += String(data)
        if (heard.includes('a datagram')) done()
      }),
    )
    const { stdout, stderr } = connect('--host-uds=open')
    const each = (kind: string) => `${kind} Invalid argument\nTrue b'got hello' b''\nBroken pipe\n`
    expect({ stdout, stderr }).toEqual({ stdout: each('STREAM') + each('SEQPACKET'), stderr: '' })
    await datagram
  })

  it('can be made with --host-uds=create', async () => {
    const { inside, outside } = await visited('create')
    const heard = (kind: string) => `own-${kind} b'heard inside'\n`
    const outsider = (kind: string) => `'' /mnt/own-${kind} b''\n`
    expect({ inside, outside }).toEqual({
      inside:
        `0o140755\n${heard('stream')}${heard('seqpacket')}up\n` +
        `${outsider('stream')}${outsider('seqpacket')}` +
        "True (b'a datagram', None)\nAddress already in use\n",
      outside: "b'heard outside'\nb'heard outside'\n",
    })
    expect(readdirSync(join(box.path, 'sockets')).filter(name => name.startsWith('own'))).toEqual(
      [],
    )
  })

  it('are names alone without it', async () => {
    const { outside } = await visited('none')
    expect(outside).toBe('Connection refused\n')
  })
})
