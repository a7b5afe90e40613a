// --host-uds: AF_UNIX sockets of the host, in a directory that is mounted into the sandbox.

import { type ChildProcess, spawn } from 'node:child_process'
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

function connect(...flags: string[]) {
  const id = `uds-${process.pid}-${flags.length}`
  const bundle = join(box.path, id)
  writeBundle(bundle, '/', ['python3', '-c', CLIENT], config => {
    config.root.readonly = true
    config.mounts.push({
      destination: '/mnt',
      type: 'bind',
      source: join(box.path, 'sockets'),
      options: ['rbind'],
    })
  })
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

describe('sockets of the host', { timeout: 60_000 }, () => {
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
})
