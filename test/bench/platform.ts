// Round trips of a platform (systrap, or the one that is named) without a kernel: what each kind of verdict costs, in µs. Run as root;
// prints the best and the median of several rounds, since other processes may disturb any of them.

import { ftruncate, memfdCreate } from '../../native/host-file.ts'
import { buildPrograms, Machine, PLATFORM_KINDS, PROGRAMS } from '../../native/test/machine.ts'

const ROUNDS = 7
const US_PER_MS = 1000
const MAP_PRIVATE_ANON = 0x22
const MAP_SHARED = 1

const kind = PLATFORM_KINDS.find(name => name === process.argv[2]) ?? 'systrap'
const m = new Machine(buildPrograms(), false, -1, kind)
const { platform } = m

function bench(name: string, count: number, body: () => void): void {
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now()
    for (let i = 0; i < count; i++) body()
    rounds.push(((performance.now() - start) / count) * US_PER_MS)
  }
  rounds.sort((a, b) => a - b)
  const median = rounds[Math.floor(ROUNDS / 2)]!
  console.log(
    `${name.padEnd(36)} ${rounds[0]!.toFixed(1).padStart(8)} ${median.toFixed(1).padStart(8)}`,
  )
}

console.log(`${''.padEnd(36)} ${'best'.padStart(8)} ${'median'.padStart(8)}`)
const t = m.run(PROGRAMS.pidLoop)
const forever = Number.POSITIVE_INFINITY

bench('system call', 20_000, () => {
  platform.resume(t, 1)
  platform.wait(forever)
})
const u = m.run(PROGRAMS.pidLoop)
bench('two calls each by turns, blocking', 2_000, () => {
  for (const thread of [t, t, u, u]) {
    platform.resume(thread, 1)
    platform.wait(forever)
  }
})
bench('system call, resume and wait fused', 20_000, () => {
  platform.resumeAndWait(t, 1, forever)
})
const bytes = new Uint8Array(64)
bench('read 64 bytes of memory', 20_000, () => {
  platform.readMemory(t, t.sp - 64, bytes, 0, 64)
})
bench('mmap 64 KiB and munmap', 2_000, () => {
  platform.ops(t).mmap(0x10000000, 65536, 3, MAP_PRIVATE_ANON, -1, 0)
  platform.resume(t, 1)
  platform.wait(forever)
  platform.ops(t).munmap(0x10000000, 65536)
  platform.resume(t, 1)
  platform.wait(forever)
})
const fd = memfdCreate('bench', 1)
ftruncate(fd, 65536)
bench('mmap of a file and munmap', 2_000, () => {
  platform.ops(t).mmap(0x10000000, 65536, 3, MAP_SHARED, fd, 0)
  platform.resume(t, 1)
  platform.wait(forever)
  platform.ops(t).munmap(0x10000000, 65536)
  platform.resume(t, 1)
  platform.wait(forever)
})
bench('make a thread, start it and end it', 300, () => {
  const child = m.newThread()
  platform.ops(t).cloneThread(child, true, 0, 0)
  platform.resume(t, 1)
  m.next()
  m.next()
  platform.ops(child).exitThread()
  platform.resume(child, 0)
  platform.release(child)
})
bench('fork, start, exit', 100, () => {
  const child = m.newThread()
  platform.ops(t).fork(child)
  platform.resume(t, 1)
  m.next()
  m.next()
  platform.ops(child).exitThread()
  platform.resume(child, 0)
  platform.release(child)
})
bench('spawn and kill', 50, () => {
  const child = m.newThread()
  platform.spawn(child)
  m.next()
  m.kill(child)
})
platform.close()
