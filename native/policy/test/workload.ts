// A Node.js process that works under a filter: installs the one named by its first argument on all its threads,
// does what a running Sentry or Gofer does, then makes the system call in the second argument if there is one.

import { randomFill } from 'node:crypto'
import {
  fstat,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  writeSync,
} from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import koffi from 'koffi'

const [filterFile, socketPath, callNr, callArg0] = process.argv.slice(2)
const SYS_SECCOMP = 317
const SECCOMP_SET_MODE_FILTER = 1
const SECCOMP_FILTER_FLAG_TSYNC = 1
const PR_SET_NO_NEW_PRIVS = 38

const libc = koffi.load('libc.so.6')
const prctl = libc.func('int prctl(int, ulong, ulong, ulong, ulong)')
const seccomp = libc.func('long syscall(long, ulong, ulong, void *)')
const syscall = libc.func('syscall', 'long', Array(7).fill('long'))

function install(filter: Buffer): void {
  const program = Buffer.alloc(16)
  program.writeUInt16LE(filter.length / 8, 0)
  program.writeBigUInt64LE(BigInt(koffi.address(filter)), 8)
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) !== 0) throw new Error('no_new_privs failed')
  const rc = seccomp(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program)
  if (rc !== 0) throw new Error(`installing the filter failed: ${rc}`)
}

function collectGarbage(): number {
  let kept: unknown[] = []
  for (let round = 0; round < 20; round++) {
    kept = Array.from({ length: 50_000 }, (_, i) => ({ i, text: `x${i}` }))
  }
  for (let i = 0; i < 100; i++) kept.push(Buffer.alloc(1 << 20, 1))
  return kept.length
}

const file = openSync(`${socketPath}.file`, 'w+')
const server = createServer(socket => socket.pipe(socket))
await new Promise<void>(resolve => server.listen(socketPath, resolve))
const connect = () => {
  const socket = createConnection(socketPath!)
  return new Promise<typeof socket>(resolve => socket.on('connect', () => resolve(socket)))
}
const client = await connect()
install(readFileSync(filterFile!))

collectGarbage()
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
writeSync(file, Buffer.alloc(100))
ftruncateSync(file, 10)
readSync(file, Buffer.alloc(10), 0, 10, 0)
fstatSync(file)
await promisify(fstat)(file)
await promisify(randomFill)(Buffer.alloc(1000))
await new Promise<void>(resolve => {
  let seen = 0
  client.on('data', chunk => {
    seen += chunk.length
    if (seen === 300_000) resolve()
  })
  client.write(Buffer.alloc(300_000))
})
await promisify(setTimeout)(10)
const worker = new Worker('let x = []; for (let i = 0; i < 1e5; i++) x.push({ i })', { eval: true })
await new Promise(resolve => worker.on('exit', resolve))

let result = ''
if (callNr !== undefined)
  result = ` ${syscall(Number(callNr), Number(callArg0 ?? 0), 0, 0, 0, 0, 0)}`
writeSync(1, `done${result}\n`)
client.destroy()
server.close()
