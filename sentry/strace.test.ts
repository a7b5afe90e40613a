import { beforeEach, describe, expect, it } from 'vitest'
import { EAGAIN, EFAULT, ENOENT, ERESTARTSYS } from '../syscall-table/errno.ts'
import * as structs from '../syscall-table/structs.gen.ts'
import { type SyscallName, syscalls } from '../syscall-table/syscalls.ts'
import { Strace, type TracedTask } from './strace.ts'

const BASE = 0x10000
const memory = new Uint8Array(0x4000)
const view = new DataView(memory.buffer)

const fake = {
  readMemory(addr: number, into: Uint8Array, at: number, length: number): number {
    if (addr < BASE || addr >= BASE + memory.length) return -EFAULT
    const n = Math.min(length, BASE + memory.length - addr)
    into.set(memory.subarray(addr - BASE, addr - BASE + n), at)
    return n
  },
}
const one: TracedTask = { tid: 1, memory: fake }
const two: TracedTask = { tid: 2, memory: fake }

let lines: string[]
let strace: Strace
let free: number

beforeEach(() => {
  lines = []
  strace = new Strace(line => lines.push(line))
  memory.fill(0)
  free = 0x2000
})

/** Puts bytes into the program's memory and returns their address. */
function put(bytes: Uint8Array | string): number {
  const data = typeof bytes === 'string' ? Buffer.from(`${bytes}\0`, 'latin1') : bytes
  const at = free
  memory.set(data, at)
  free += (data.length + 15) & ~15
  return BASE + at
}

/** Reserves `size` bytes; returns the offset in `view` and the address. */
function reserve(size: number): { at: number; addr: number } {
  const addr = put(new Uint8Array(size))
  return { at: addr - BASE, addr }
}

function regs(args: number[]): Uint32Array {
  const out = new Uint32Array(12)
  const words = new BigInt64Array(out.buffer)
  args.forEach((arg, i) => {
    words[i] = BigInt(arg)
  })
  return out
}

function call(name: SyscallName, args: number[], result: number, fill?: () => void): string {
  strace.enter(one, syscalls[name].nr, regs(args))
  fill?.()
  strace.exit(one, result)
  return lines.at(-1) ?? ''
}

describe('calls', () => {
  it('shows paths, directory fds and open flags', () => {
    const path = put('/etc/passwd')
    expect(call('openat', [-100, path, 0o2000000, 0], 3)).toBe(
      'openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3',
    )
    expect(call('openat', [-100, path, 0o101, 0o644], -ENOENT)).toBe(
      'openat(AT_FDCWD, "/etc/passwd", O_WRONLY|O_CREAT, 0644) = -1 ENOENT (No such file or directory)',
    )
  })

  it('shows the bytes that a read returned, not those it asked for', () => {
    const { at, addr } = reserve(64)
    const line = call('read', [3, addr, 832], 832, () => {
      memory.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0], at)
    })
    expect(line).toBe(
      'read(3, "\\177ELF\\2\\1\\1\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0"..., 832) = 832',
    )
    expect(call('read', [3, addr, 10], 0)).toBe('read(3, "", 10) = 0')
    expect(call('read', [3, addr, 10], -EAGAIN)).toBe(
      `read(3, 0x${addr.toString(16)}, 10) = -1 EAGAIN (Resource temporarily unavailable)`,
    )
  })

  it('escapes text and pads octal before digits', () => {
    expect(call('write', [1, put('a\n"\\\x013'), 6], 6)).toBe(
      'write(1, "a\\n\\"\\\\\\0013", 6) = 6',
    )
  })

  it('shows bad pointers as addresses', () => {
    expect(call('chdir', [0], -EFAULT)).toBe('chdir(NULL) = -1 EFAULT (Bad address)')
    expect(call('chdir', [16], -EFAULT)).toBe('chdir(0x10) = -1 EFAULT (Bad address)')
  })

  it('shows mmap with its result as an address', () => {
    expect(call('mmap', [0, 8192, 3, 0x22, -1, 0], 0x7f0000000000)).toBe(
      'mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000',
    )
    expect(call('mprotect', [0x1000, 4096, 0], 0)).toBe('mprotect(0x1000, 4096, PROT_NONE) = 0')
  })

  it('shows stat and timespec', () => {
    const { at, addr } = reserve(structs.SIZEOF_STAT)
    const line = call('fstat', [3, addr], 0, () => {
      structs.writeStat(view, at, { ...structs.newStat(), mode: 0o100644, size: 123 })
    })
    expect(line).toBe('fstat(3, {st_mode=S_IFREG|0644, st_size=123, ...}) = 0')
    const req = reserve(16)
    structs.writeTimespec(view, req.at, { sec: 1, nsec: 500 })
    expect(call('nanosleep', [req.addr, 0], 0)).toBe('nanosleep({tv_sec=1, tv_nsec=500}, NULL) = 0')
  })

  it('shows sigaction, signal sets and clone flags', () => {
    const act = reserve(32)
    const flags = 0x14000000
    const action = { handler: 0x401000, flags, restorer: 0x402000, maskLo: 1 << 16, maskHi: 0 }
    structs.writeSigaction(view, act.at, action)
    expect(call('rt_sigaction', [2, act.addr, 0, 8], 0)).toBe(
      'rt_sigaction(SIGINT, {sa_handler=0x401000, sa_mask=[CHLD], sa_flags=SA_RESTORER|SA_RESTART, sa_restorer=0x402000}, NULL, 8) = 0',
    )
    expect(call('clone', [0x1200011, 0, 0, 0, 0], 7)).toBe(
      'clone(CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, NULL, NULL, NULL, NULL) = 7',
    )
  })

  it('shows socket addresses and vectors', () => {
    const sa = reserve(16)
    structs.writeSockaddrIn(view, sa.at, { family: 2, port: 80, addr: 0x7f000001 })
    expect(call('connect', [3, sa.addr, 16], 0)).toBe(
      'connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
    )
    const iov = reserve(32)
    structs.writeIovec(view, iov.at, { base: put('ab'), len: 2 })
    structs.writeIovec(view, iov.at + 16, { base: put('c'), len: 1 })
    expect(call('writev', [1, iov.addr, 2], 3)).toBe(
      'writev(1, [{iov_base="ab", iov_len=2}, {iov_base="c", iov_len=1}], 2) = 3',
    )
  })

  it('shows futex operations, wait statuses and vectors of strings', () => {
    expect(call('futex', [0x5000, 129, 1, 0, 0, 0], 1)).toBe(
      'futex(0x5000, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, NULL) = 1',
    )
    const status = reserve(4)
    view.setInt32(status.at, 0x300, true)
    expect(call('wait4', [-1, status.addr, 0, 0], 5)).toBe(
      'wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 5',
    )
    const argv = reserve(24)
    view.setBigUint64(argv.at, BigInt(put('ls')), true)
    view.setBigUint64(argv.at + 8, BigInt(put('-l')), true)
    expect(call('execve', [put('/bin/ls'), argv.addr, 0], 0)).toBe(
      'execve("/bin/ls", ["ls", "-l"], NULL) = 0',
    )
  })

  it('survives numbers, counts and pointers of any value', () => {
    for (const name of Object.keys(syscalls) as SyscallName[]) {
      for (const word of [-1, 0, BASE, BASE + 0x3ff8, Number.MAX_SAFE_INTEGER, 2 ** 31]) {
        expect(call(name, [word, word, word, word, word, word], 0)).toContain(`${name}(`)
      }
    }
    strace.enter(one, 400, regs([1]))
    strace.exit(one, -38)
    expect(lines.at(-1)).toMatch(/^syscall_0x190\(0x1, .* = -1 ENOSYS/)
  })
})

describe('several tasks', () => {
  it('cuts and resumes a call that another task interrupts', () => {
    const { at, addr } = reserve(8)
    strace.enter(one, syscalls.getpid.nr, regs([]))
    strace.exit(one, 1)
    strace.enter(one, syscalls.read.nr, regs([0, addr, 8]))
    strace.enter(two, syscalls.getpid.nr, regs([]))
    strace.exit(two, 2)
    memory.set(Buffer.from('hi'), at)
    strace.exit(one, 2)
    expect(lines).toEqual([
      'getpid() = 1',
      '[pid 1] read(0,  <unfinished ...>',
      '[pid 2] getpid() = 2',
      '[pid 1] <... read resumed>"hi", 8) = 2',
    ])
  })

  it('shows restarts, signals and exits', () => {
    strace.enter(one, syscalls.pause.nr, regs([]))
    strace.exit(one, -ERESTARTSYS)
    strace.signal(one, { signo: 17, code: 1, pid: 12, uid: 0, status: 0 })
    strace.signal(one, { signo: 11, code: 1, addr: 0 })
    strace.signal(one, { signo: 15, code: 0, pid: 3, uid: 0 })
    strace.enter(one, syscalls.exit_group.nr, regs([0]))
    strace.exited(one, 0)
    strace.exited(two, 139)
    expect(lines).toEqual([
      'pause() = ? ERESTARTSYS (To be restarted if SA_RESTART is set)',
      '--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=12, si_uid=0, si_status=0} ---',
      '--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=NULL} ---',
      '--- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=3, si_uid=0} ---',
      'exit_group(0) = ?',
      '+++ exited with 0 +++',
      '+++ killed by SIGSEGV (core dumped) +++',
    ])
  })
})
