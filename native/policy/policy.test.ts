// Important decisions of each policy by name, in the compiled form that is installed.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import {
  AUDIT_ARCH_I386,
  compile,
  describeAnswer,
  Filter,
  type Policy,
  seccompData,
  X32_SYSCALL_BIT,
} from 'seccomp-bpf-compiler'
import { describe, expect, test } from 'vitest'
import { goferPolicy } from './gofer.ts'
import { nodeStartPolicy } from './node-start.ts'
import { namedCalls, numberOf } from './numbers.ts'
import { ptracePolicy } from './ptrace.ts'
import { sentryPolicy } from './sentry.ts'
import { socketServerPolicy } from './socket-server.ts'
import { NATIVE_CALLS, type StubOptions, stubPolicy } from './stub.ts'

type Args = readonly (number | bigint)[]

function decider(policy: Policy): (name: string | number, args?: Args, ip?: number) => string {
  const filter = new Filter(compile(policy))
  return (call, args = [], ip = 0) => {
    const nr = typeof call === 'number' ? call : numberOf(call)
    return describeAnswer(filter.run(seccompData(nr, args, ip)))
  }
}

function foreign(policy: Policy): string[] {
  const filter = new Filter(compile(policy))
  const records = [seccompData(1, [], 0, AUDIT_ARCH_I386), seccompData(X32_SYSCALL_BIT | 1)]
  return records.map(data => describeAnswer(filter.run(data)))
}

describe('stub', () => {
  const START = 0x550000000000
  const THREAD = 0x3d0f00
  const FORK = 0x8011
  const options: StubOptions = {
    stubStart: START,
    stubEnd: START + 0x3000,
    doorbellNr: 499,
    traceAll: false,
    cloneFlags: [THREAD, FORK],
  }
  const decide = decider(stubPolicy(options))
  const stub = (name: string | number, args: Args = []) => decide(name, args, START + 0x100)
  const program = (name: string | number, args: Args = []) => decide(name, args, 0x400000)

  test('foreign architectures and x32 trap', () => {
    expect(foreign(stubPolicy(options))).toEqual(['trap', 'trap'])
  })

  test('the stub knows the calls that the host answers', () => {
    const header = readFileSync(new URL('../stub/slot.h', import.meta.url), 'utf8')
    const macro = header.slice(header.indexOf('#define STUB_IS_NATIVE'))
    const numbers = [...macro.matchAll(/\(nr\) == (\d+)/g)].map(match => Number(match[1]))
    expect(numbers.toSorted((a, b) => a - b)).toEqual(NATIVE_CALLS.toSorted((a, b) => a - b))
  })

  test('the doorbell rings from the stub only', () => {
    expect(stub(499)).toBe('user-notif')
    expect(program(499)).toBe('trap')
    expect(() => stubPolicy({ ...options, doorbellNr: numberOf('mmap') })).toThrow(/doorbell/)
  })

  test('the edges of the text', () => {
    expect(decide('munmap', [], START - 1)).toBe('trap')
    expect(decide('munmap', [], START)).toBe('allow')
    expect(decide('munmap', [], START + 0x2fff)).toBe('allow')
    expect(decide('munmap', [], START + 0x3000)).toBe('trap')
  })

  test('mmap takes harmless flags', () => {
    expect(stub('mmap', [0, 4096, 3, 0x22, -1, 0])).toBe('allow')
    expect(stub('mmap', [0, 4096, 7, 0x100011, 5, 0])).toBe('allow')
    expect(stub('mmap', [0, 4096, 3, 0x40022, -1, 0])).toBe('trap') // MAP_HUGETLB
    expect(stub('mmap', [0, 4096, 3, 0x2022, -1, 0])).toBe('trap') // MAP_LOCKED
    expect(stub('mmap', [0, 4096, 3, 0x122, -1, 0])).toBe('trap') // MAP_GROWSDOWN
    expect(stub('mmap', [0, 4096, 8, 0x22, -1, 0])).toBe('trap')
    expect(stub('mmap', [0, 4096, 3, 0x100000022n, -1, 0])).toBe('trap')
    expect(program('mmap', [0, 4096, 3, 0x22, -1, 0])).toBe('trap')
  })

  test("what the caller has used is told to the stub, and no other's", () => {
    expect(stub('getrusage', [0, 0x1000])).toBe('allow')
    expect(stub('getrusage', [1, 0x1000])).toBe('allow')
    expect(stub('getrusage', [-1, 0x1000])).toBe('trap') // RUSAGE_CHILDREN
    expect(program('getrusage', [0, 0x1000])).toBe('trap')
    expect(stub('clock_gettime', [3, 0x1000])).toBe('allow')
    expect(stub('clock_gettime', [2, 0x1000])).toBe('trap')
    expect(stub('clock_gettime', [-10, 0x1000])).toBe('trap') // another process's
    expect(program('clock_gettime', [3, 0x1000])).toBe('trap')
  })

  test('the stub names its own process, and changes nothing else of it', () => {
    expect(stub('prctl', [15, 0x1000])).toBe('allow')
    expect(stub('prctl', [35, 14, 0x1000, 104])).toBe('allow')
    expect(stub('prctl', [35, 13, 3])).toBe('trap') // PR_SET_MM_EXE_FILE
    expect(stub('prctl', [4, 1])).toBe('trap') // PR_SET_DUMPABLE
    expect(program('prctl', [15, 0x1000])).toBe('trap')
    expect(program('prctl', [35, 14, 0x1000, 104])).toBe('trap')
  })

  test('clone takes exact words and never a namespace', () => {
    expect(stub('clone', [THREAD])).toBe('allow')
    expect(stub('clone', [FORK])).toBe('allow')
    expect(stub('clone', [0x10000011])).toBe('trap')
    expect(stub('clone', [BigInt(THREAD) | (1n << 32n)])).toBe('trap')
    expect(stub('clone3')).toBe('trap')
    expect(program('clone', [THREAD])).toBe('trap')
    for (const bit of [0x20000, 0x2000000, 0x10000000, 0x40000000, 0x2000]) {
      expect(() => stubPolicy({ ...options, cloneFlags: [FORK | bit] })).toThrow(/clone flags/)
    }
  })

  test('futex without priority inheritance, from both', () => {
    for (const side of [stub, program]) {
      for (const op of [0, 1, 3, 4, 5, 9, 10, 0x80, 0x189]) {
        expect(side('futex', [0, op])).toBe('allow')
      }
      for (const op of [2, 6, 7, 8, 11, 12, 13, 0x86, 0x200]) {
        expect(side('futex', [0, op])).toBe('trap')
      }
    }
  })

  test('the newer futex calls with flags that concern the word only', () => {
    for (const flags of [0x2, 0x82]) {
      expect(program('futex_wake', [0, -1, 1, flags])).toBe('allow')
      expect(program('futex_wait', [0, 0, -1, flags])).toBe('allow')
    }
    for (const flags of [0x4, 0x100, 0x80000002]) {
      expect(program('futex_wake', [0, -1, 1, flags])).toBe('trap')
      expect(program('futex_wait', [0, 0, -1, flags])).toBe('trap')
    }
    for (const [name, at] of [
      ['futex_waitv', 2],
      ['futex_requeue', 1],
    ] as const) {
      const call = (flags: number): Args => [0, 0, 0, 0].map((_, i) => (i === at ? flags : 0))
      expect(program(name, call(0))).toBe('allow')
      expect(program(name, call(1))).toBe('trap')
    }
  })

  test('program code keeps what concerns only itself', () => {
    expect(program('madvise', [0, 4096, 4])).toBe('allow')
    expect(program('madvise', [0, 4096, 18])).toBe('trap')
    expect(stub('madvise', [0, 4096, 18])).toBe('allow')
    expect(program('madvise', [0, 4096, 100])).toBe('trap')
    expect(program('arch_prctl', [0x1002])).toBe('allow')
    expect(program('arch_prctl', [0x1012])).toBe('trap')
    expect(stub('arch_prctl', [0x1003])).toBe('trap')
    expect(program('clock_gettime', [1])).toBe('allow')
    expect(program('clock_gettime', [2])).toBe('trap')
    expect(program('clock_gettime', [-6])).toBe('trap')
    expect(program('membarrier', [8])).toBe('allow')
    expect(program('membarrier', [1])).toBe('trap')
    for (const name of ['read', 'write', 'openat', 'close', 'exit', 'getpid', 'execve', 'kill']) {
      expect(program(name)).toBe('trap')
    }
    for (const name of ['rt_sigreturn', 'rt_sigprocmask', 'sigaltstack', 'munmap', 'mremap']) {
      expect(program(name)).toBe('trap')
    }
  })

  test('a traced program is allowed only what threads cannot work without', () => {
    const traced = decider(stubPolicy({ ...options, traceAll: true }))
    for (const name of ['futex', 'rseq']) expect(traced(name)).toBe('allow')
    // The host would look for its own thread ids in the list.
    expect(traced('set_robust_list')).toBe('trap')
    for (const name of ['sched_yield', 'madvise', 'clock_gettime', 'gettimeofday', 'mincore']) {
      expect(traced(name)).toBe('trap')
    }
  })
})

describe('ptrace', () => {
  const START = 0x550000000000
  const options = { stubStart: START, stubEnd: START + 0x10000, doorbellNr: 400, traceAll: false }
  const answer = decider(ptracePolicy(options))

  test('stops at every call that the host could act on, wherever it is made', () => {
    for (const name of ['mmap', 'clone', 'execve', 'exit_group', 'openat', 'ptrace', 'kill']) {
      expect(answer(name)).toBe('trace')
      expect(answer(name, [], START + 2)).toBe('trace')
    }
    expect(foreign(ptracePolicy(options))).toEqual(['trap', 'trace'])
  })

  test('lets the host answer what concerns the caller only', () => {
    expect(answer('futex', [0, 128])).toBe('allow')
    expect(answer('clock_gettime', [1])).toBe('allow')
    expect(decider(ptracePolicy({ ...options, traceAll: true }))('clock_gettime', [1])).toBe(
      'trace',
    )
  })

  test('rings from the text of the stub only', () => {
    expect(answer(400, [], START + 2)).toBe('user-notif')
    expect(answer(400, [], START + 0x10000)).toBe('trace')
  })
})

describe('socket server', () => {
  const decide = decider(socketServerPolicy())

  test('foreign architectures and x32 kill', () => {
    expect(foreign(socketServerPolicy())).toEqual(['kill-process', 'kill-process'])
  })

  test('opens sockets of the network stack, and does nothing else', () => {
    const sockets: [number, number, number][] = [
      [2, 0x80801, 6],
      [10, 0x80803, 58],
      [16, 0x80803, 0],
    ]
    for (const socket of sockets) expect(decide('socket', socket)).toBe('allow')
    // AF_UNIX, AF_PACKET, NETLINK_SOCK_DIAG.
    const others: [number, number, number][] = [
      [1, 0x80801, 0],
      [17, 0x80803, 0],
      [16, 0x80803, 4],
    ]
    for (const socket of others) expect(decide('socket', socket)).toBe('errno(1)')
    for (const name of [
      'open',
      'openat',
      'connect',
      'bind',
      'setns',
      'execve',
      'clone',
      'mmap',
      'kill',
    ])
      expect(decide(name)).toBe('errno(1)')
  })
})

describe('sentry', () => {
  const decide = decider(sentryPolicy())

  test('foreign architectures and x32 kill', () => {
    expect(foreign(sentryPolicy())).toEqual(['kill-process', 'kill-process'])
  })

  test.each([
    ...['execve', 'execveat', 'fork', 'vfork', 'ptrace', 'socket', 'connect', 'bind', 'listen'],
    ...['open_by_handle_at', 'mount', 'umount2', 'pivot_root', 'move_mount', 'unshare', 'setns'],
    ...['bpf', 'io_uring_enter', 'io_uring_register', 'seccomp', 'perf_event_open', 'userfaultfd'],
  ])('%s kills', name => {
    expect(decide(name)).toBe('kill-process')
  })

  test('opens nothing', () => {
    for (const name of ['open', 'openat', 'openat2', 'creat']) expect(decide(name)).toBe('errno(1)')
    expect(decide('newfstatat', [0, 0, 0, 0])).toBe('errno(1)')
    expect(decide('newfstatat', [0, 0, 0, 0x1000])).toBe('allow')
    expect(decide('mmap', [0, 4096, 5, 2, 3, 0])).toBe('errno(1)')
    expect(decide('mmap', [0, 4096, 7, 0x22, -1, 0])).toBe('allow')
  })

  test('threads, not processes', () => {
    expect(decide('clone', [0x3d0f00])).toBe('allow')
    expect(decide('clone', [0x1200011])).toBe('kill-process')
    expect(decide('clone3')).toBe('errno(38)')
    expect(decide('io_uring_setup')).toBe('errno(38)')
  })

  test('ioctls by request, sign-extended or not', () => {
    for (const request of [0xc0502100, 0xc0182101, 0x40082102, 0x40182103, 0x40082104, 0x5413]) {
      expect(decide('ioctl', [0, request])).toBe('allow')
      expect(decide('ioctl', [0, request | 0])).toBe('allow')
    }
    // TIOCSTI, TIOCLINUX, TIOCSCTTY, TIOCSPGRP.
    for (const request of [0x5412, 0x541c, 0x540e, 0x5410]) {
      expect(decide('ioctl', [0, request])).toBe('errno(1)')
    }
  })

  test('stubs can be reached, other sockets cannot', () => {
    for (const name of ['process_vm_readv', 'kill', 'wait4', 'pidfd_getfd', 'sendmsg', 'recvmsg']) {
      expect(decide(name)).toBe('allow')
    }
    expect(decide('sendto', [3, 0, 1, 0, 0, 0])).toBe('allow')
    expect(decide('sendto', [3, 0, 1, 0, 0x7f00, 16])).toBe('errno(1)')
    const hosted = decider(sentryPolicy({ hostNetwork: true }))
    for (const name of ['connect', 'sendto', 'accept4']) expect(hosted(name)).toBe('allow')
    expect(hosted('execve')).toBe('kill-process')
    expect(decider(sentryPolicy({ ptrace: true }))('ptrace')).toBe('allow')
  })

  test('sockets of the host are those of its network stack, with harmless options', () => {
    const hosted = decider(sentryPolicy({ hostNetwork: true }))
    const [unix, inet, inet6, netlink, packet] = [1, 2, 10, 16, 17]
    const [stream, datagram, raw] = [0x80801, 0x80802, 0x80803]
    expect(hosted('socket', [inet, stream, 0])).toBe('allow')
    expect(hosted('socket', [inet6, datagram, 58])).toBe('allow')
    expect(hosted('socket', [inet, raw, 1])).toBe('allow')
    expect(hosted('socket', [netlink, raw, 0])).toBe('allow')
    expect(hosted('socket', [inet, 1, 0])).toBe('errno(1)') // Neither nonblocking nor close-on-exec.
    expect(hosted('socket', [inet, stream, 262])).toBe('errno(1)')
    for (const family of [unix, packet, 38, 40, 44])
      expect(hosted('socket', [family, stream, 0])).toBe('errno(1)')
    for (const protocol of [4, 9, 12, 16])
      expect(hosted('socket', [netlink, raw, protocol])).toBe('errno(1)')
    expect(hosted('setsockopt', [3, 6, 1, 0, 4])).toBe('allow') // TCP_NODELAY
    for (const name of [26, 50, 51]) expect(hosted('setsockopt', [3, 1, name])).toBe('errno(1)')
    expect(hosted('setsockopt', [3, 6, 31])).toBe('errno(1)') // TCP_ULP
    expect(hosted('setsockopt', [3, 0, 64])).toBe('errno(1)') // IPT_SO_SET_REPLACE
    expect(hosted('ioctl', [3, 0x8913])).toBe('allow') // SIOCGIFFLAGS
    expect(hosted('ioctl', [3, 0x8914])).toBe('errno(1)') // SIOCSIFFLAGS
  })
})

describe('gofer', () => {
  const decide = decider(goferPolicy())

  test('serves files', () => {
    const calls = `openat2 newfstatat statx readlinkat mkdirat mknodat symlinkat linkat unlinkat renameat2
      getdents64 fchmod fchmodat fchownat utimensat ftruncate fallocate fsync fdatasync fstatfs
      fgetxattr fsetxattr flistxattr fremovexattr sendmsg recvmsg`
    for (const name of calls.split(/\s+/)) expect(decide(name)).toBe('allow')
    expect(decide('sched_setaffinity', [0, 8, 0x7f00])).toBe('allow')
    expect(decide('sched_setaffinity', [1, 8, 0x7f00])).toBe('errno(1)')
  })

  test('opens by openat2 only', () => {
    for (const name of ['open', 'openat', 'creat']) expect(decide(name)).toBe('errno(1)')
  })

  test('runs, traces and reads nobody, and signals nobody', () => {
    for (const name of ['execve', 'ptrace', 'process_vm_readv', 'process_vm_writev', 'socket']) {
      expect(decide(name)).toBe('kill-process')
    }
    for (const name of ['kill', 'tgkill', 'pidfd_getfd']) expect(decide(name)).toBe('errno(1)')
  })

  test('reaches Unix sockets only when told', () => {
    const connecting = decider(goferPolicy({ unixConnect: true }))
    expect(connecting('socket', [1])).toBe('allow')
    expect(connecting('socket', [2])).toBe('kill-process')
    expect(connecting('connect')).toBe('allow')
    expect(connecting('bind')).toBe('kill-process')
    const binding = decider(goferPolicy({ unixBind: true }))
    for (const name of ['bind', 'listen']) expect(binding(name)).toBe('allow')
    expect(binding('socket', [2])).toBe('kill-process')
    expect(binding('connect')).toBe('kill-process')
  })
})

test('Node.js starts without io_uring', () => {
  const decide = decider(nodeStartPolicy())
  expect(decide('io_uring_setup')).toBe('errno(38)')
  expect(decide('openat')).toBe('allow')
  // Hooks of a container run under it.
  expect(foreign(nodeStartPolicy())).toEqual(['allow', 'allow'])
})

test('numbers are those of asm/unistd_64.h', () => {
  const checks = namedCalls().map(
    name =>
      `#ifdef __NR_${name}\n_Static_assert(__NR_${name} == ${numberOf(name)}, "${name}");\n#endif`,
  )
  const source = ['#include <asm/unistd_64.h>', ...checks, ''].join('\n')
  execFileSync('gcc', ['-fsyntax-only', '-x', 'c', '-'], { input: source })
  expect(() => numberOf('opennat')).toThrow(/opennat/)
})
