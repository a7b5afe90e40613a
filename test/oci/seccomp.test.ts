// linux.seccomp: what a profile does to a program's calls is what it does under runc.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { containerProfile } from '../../native/seccomp-bpf-compiler/fixtures/container-profile.ts'
import { syscalls } from '../../syscall-table/syscalls.ts'
import type { Config } from '../run.ts'
import { Workshop } from './both.ts'

let shop: Workshop
beforeAll(() => {
  shop = new Workshop()
}, 120_000)
afterAll(() => shop?.clean())

const nr = (name: keyof typeof syscalls, ...args: (number | bigint)[]): string =>
  [syscalls[name].nr, ...args].join(',')
const rule = (names: string, action: string, more: Config = {}): Config => ({
  names: names.split(' '),
  action: `SCMP_ACT_${action}`,
  ...more,
})
const arg = (index: number, op: string, value: number, valueTwo?: number): Config => ({
  index,
  value,
  ...(valueTwo === undefined ? {} : { valueTwo }),
  op: `SCMP_CMP_${op}`,
})

/** The calls are made by test/oci/probe.c; what they give without a profile is the same in both. */
const PROFILES: [what: string, profile: Config, calls: string[]][] = [
  [
    'every action',
    {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [
        rule('getsid', 'ERRNO'),
        rule('getpgid', 'ERRNO', { errnoRet: 38 }),
        rule('getpgrp', 'ERRNO', { errnoRet: 0 }),
        rule('times', 'TRAP'),
        rule('sysfs', 'KILL'),
        rule('ustat', 'KILL_THREAD'),
        rule('getitimer', 'KILL_PROCESS'),
        rule('umask', 'TRACE', { errnoRet: 5 }),
        rule('sync', 'LOG'),
        rule('alarm', 'ALLOW'),
      ],
    },
    [
      ...[nr('getsid', 0), nr('getpgid', 0), nr('getpgrp'), nr('times', 0), nr('sysfs', 1)],
      ...[nr('ustat', 0), nr('getitimer', 0, 0), nr('umask', 0), nr('sync'), nr('alarm', 0)],
    ],
  ],
  [
    'every operator',
    {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [
        rule('alarm', 'ERRNO', { args: [arg(0, 'EQ', 0)], errnoRet: 40 }),
        rule('umask', 'ERRNO', { args: [arg(0, 'NE', 18)], errnoRet: 41 }),
        rule('getpgid', 'ERRNO', { args: [arg(0, 'GT', 50000)], errnoRet: 42 }),
        rule('getsid', 'ERRNO', { args: [arg(0, 'GE', 2 ** 33)], errnoRet: 43 }),
        rule('sched_get_priority_max', 'ERRNO', { args: [arg(0, 'LT', 1)], errnoRet: 44 }),
        rule('sched_get_priority_min', 'ERRNO', {
          args: [arg(0, 'LE', 0), arg(0, 'GE', 5)],
          errnoRet: 45,
        }),
        rule('times', 'ERRNO', { args: [arg(0, 'MASKED_EQ', 0xff00, 0x1200)], errnoRet: 46 }),
        rule('getpriority', 'ERRNO', { args: [arg(0, 'EQ', 1), arg(1, 'EQ', 2)], errnoRet: 47 }),
      ],
    },
    [
      ...[nr('alarm', 0), nr('umask', 18), nr('umask', 0), nr('getpgid', 50000)],
      ...[nr('getpgid', 50001), nr('getsid', 50000), nr('getsid', 2 ** 33)],
      ...[nr('sched_get_priority_max', 0), nr('sched_get_priority_max', 1)],
      ...[nr('sched_get_priority_min', 0), nr('sched_get_priority_min', 2)],
      ...[nr('sched_get_priority_min', 6), nr('times', 0x1234), nr('times', 0x1334)],
      ...[nr('getpriority', 1, 2), nr('getpriority', 2, 60000)],
    ],
  ],
  [
    'architectures, and names that nobody knows',
    {
      defaultAction: 'SCMP_ACT_ALLOW',
      architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
      syscalls: [rule('sync nosuchcall', 'ERRNO')],
    },
    [nr('sync')],
  ],
]

it.each(PROFILES)('%s', (_what, profile, calls) => {
  const { runc, ours } = shop.both(
    `probe ${calls.join(' ')}; grep -E '^(Seccomp|NoNew)' /proc/self/status`,
    c => {
      c.process.noNewPrivileges = true
      c.linux.seccomp = profile
    },
  )
  expect(ours.stdout).toBe(runc.stdout)
  expect(runc.stdout).toContain('Seccomp:\t2')
  expect(ours.status).toBe(runc.status)
})

/** runc's own Go code does not survive these, so that Linux's answers stand here. */
const OURS: [what: string, profile: Config, calls: string[], answers: string[]][] = [
  [
    'calls that the host answers without us',
    {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [
        rule('sched_yield getcpu mincore', 'ERRNO', { errnoRet: 1 }),
        rule('membarrier rseq', 'ERRNO', { errnoRet: 2 }),
        rule('clock_gettime', 'ERRNO', { args: [arg(0, 'EQ', 1)], errnoRet: 5 }),
        rule('madvise', 'ERRNO', { args: [arg(2, 'EQ', 4)], errnoRet: 1 }),
        rule('futex', 'ERRNO', { errnoRet: 38 }),
      ],
    },
    [
      ...[nr('sched_yield'), nr('getcpu', 0, 0, 0), nr('mincore', 0, 0, 0), nr('rseq', 0, 0, 9)],
      ...[nr('membarrier', 8, 0), nr('clock_gettime', 1, 0), nr('clock_gettime', 0, 1)],
      ...[nr('madvise', 0, 0, 4), nr('madvise', 0, 0, 3), nr('futex', 0, 1, 0)],
    ],
    [
      ...Array(3).fill('Operation not permitted'),
      ...Array(2).fill('No such file or directory'),
      ...['Input/output error', 'Bad address', 'Operation not permitted', '0'],
      'Function not implemented',
    ],
  ],
  [
    'flags',
    {
      defaultAction: 'SCMP_ACT_ALLOW',
      flags: ['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'],
      syscalls: [rule('sync', 'ERRNO')],
    },
    [nr('sync')],
    ['Operation not permitted'],
  ],
  [
    'a default that refuses, with errno of its own',
    {
      ...containerProfile,
      defaultErrnoRet: 13,
      syscalls: [
        ...containerProfile.syscalls!,
        rule(
          'arch_prctl set_tid_address set_robust_list prlimit64 getrandom sigaltstack readlink rt_sigreturn newfstatat getuid clone fork execve access writev dup2 wait4 prctl',
          'ALLOW',
        ),
      ],
    },
    [nr('mount'), nr('personality', 0), nr('personality', 3), '5000', nr('getuid'), nr('chroot')],
    [
      ...['Operation not permitted', '0', 'Permission denied', 'Function not implemented', '0'],
      'Permission denied',
    ],
  ],
]

it.each(OURS)('%s', (_what, profile, calls, answers) => {
  const bundle = shop.bundle(['/bin/probe', ...calls], c => {
    c.linux.seccomp = profile
  })
  const { stdout } = shop.ours(bundle)
  expect(stdout.trim().split('\n')).toEqual(calls.map((call, i) => `${call}: ${answers[i]}`))
})

it('64 bits of an operand count', () => {
  const profile = JSON.stringify({
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [rule('getsid', 'ERRNO', { args: [{ index: 0, value: '@', op: 'SCMP_CMP_EQ' }] })],
  })
  const { runc, ours } = shop.both(
    `probe ${nr('getsid', 18446744073709551613n)} ${nr('getsid', 18446744073709551612n)}`,
    c => {
      c.linux.seccomp = '@profile@'
    },
    text => text.replace('"@profile@"', profile.replace('"@"', '18446744073709551613')),
  )
  expect(ours.stdout).toBe(runc.stdout)
  expect(runc.stdout).toContain('Operation not permitted')
})
