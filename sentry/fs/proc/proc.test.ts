import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { beforeEach, describe, expect, it } from 'vitest'
import { EACCES, EINVAL, EIO, ENOENT, ESRCH } from '../../../syscall-table/errno.ts'
import { O_CREAT, O_RDONLY, O_RDWR, O_WRONLY } from '../../../syscall-table/flags.ts'
import { syscalls } from '../../../syscall-table/syscalls.ts'
import { linkTarget, mountOn, names, readText } from '../../../test/files.ts'
import { boot, type TestTask, userCreds } from '../../../test/kernel.ts'
import { forgetTask } from '../../kernel/exit.ts'
import { Vma } from '../../mm/vma.ts'
import { describeCpu, parseCpuModel } from './cpuinfo.ts'
import '../file-systems.ts'

let k: TestTask
beforeEach(() => {
  k = boot()
  k.kernel.cpus = 2
  expect(mountOn(k, 'proc', '/proc')).toBe(0)
  k.task.comm = 'a (b) c'
})

/** Field names of "Name: value" lines, in order. */
const keys = (text: string | number): string[] =>
  String(text)
    .split('\n')
    .filter(line => line.includes(':'))
    .map(line => line.split(':')[0]!.trim())

const host = (path: string): string => readFileSync(path, 'latin1')

describe('/proc/config.gz', () => {
  it('names each option once, with what the system calls say', () => {
    const packed = readText(k, '/proc/config.gz', 8192)
    const lines = gunzipSync(Buffer.from(String(packed), 'latin1'))
      .toString()
      .trim()
      .split('\n')
    const names = lines.map(line => /CONFIG_\w+/.exec(line)?.[0])
    expect(new Set(names).size).toBe(names.length)
    expect(lines).toContain('CONFIG_SYSVIPC=y')
    expect(lines).toContain('# CONFIG_BPF_SYSCALL is not set')
    const withoutOption = Object.values(syscalls)
      .map(row => ('note' in row ? /as without (CONFIG_\w+)/.exec(row.note ?? '')?.[1] : undefined))
      .filter(name => name !== undefined)
    expect(withoutOption.filter(name => lines.includes(`${name}=y`))).toEqual([])
  })
})

describe('/proc/PID', () => {
  it('lists processes and follows self', () => {
    const child = k.fork()
    expect(names(k, '/proc', 256)).toEqual(
      expect.arrayContaining(['self', 'stat', '1', `${child.task.tid}`]),
    )
    expect(linkTarget(k, '/proc/self')).toBe('1')
    expect(linkTarget(child, '/proc/self')).toBe(`${child.task.tid}`)
    expect(linkTarget(k, '/proc/thread-self')).toBe('1/task/1')
    expect(names(k, '/proc/self/task')).toEqual(['1'])
    expect(readText(k, '/proc/4000000/stat')).toBe(-ENOENT)
    expect(readText(k, '/proc/01/stat')).toBe(-ENOENT)
  })

  it('has the entries of Linux', () => {
    const entries = names(k, '/proc/1', 200) as string[]
    const onHost = new Set([
      'attr',
      'autogroup',
      'clear_refs',

      'cpuset',
      'pagemap',
      'patch_state',
      'sched',
      'stack',

      'cpu_resctrl_groups',
      'arch_status',
      'ksm_merging_pages',
      'ksm_stat',
      'latency',
      'timens_offsets',
    ])
    for (const name of ['fd', 'fdinfo', 'stat', 'status', 'maps', 'task', 'ns', 'exe'])
      expect(entries).toContain(name)
    for (const name of entries) expect(onHost.has(name)).toBe(false)
    expect(new Set(entries).size).toBe(entries.length)
  })

  it('writes stat with all fields of proc(5)', () => {
    const line = readText(k, '/proc/self/stat') as string
    expect(line).toMatch(/^1 \(a \(b\) c\) R 0 1 1 0 -1 /)
    const fields = (text: string) =>
      text
        .slice(text.lastIndexOf(')') + 2)
        .trim()
        .split(' ').length
    expect(fields(line)).toBe(fields(host('/proc/self/stat')))
    expect(readText(k, '/proc/self/statm')).toMatch(/^(\d+ ){6}0\n$/)
  })

  it('writes status with the fields of Linux', () => {
    const ours = keys(readText(k, '/proc/self/status'))
    const theirs = keys(host('/proc/self/status'))
    expect(ours.filter(key => !theirs.includes(key) && key !== 'Kthread')).toEqual([])
    const order = theirs.filter(key => ours.includes(key))
    expect(ours.filter(key => theirs.includes(key))).toEqual(order)
    const text = readText(k, '/proc/self/status')
    expect(text).toMatch(/^CapEff:\t[0-9a-f]{16}$/m)
    expect(text).toMatch(/^Cpus_allowed:\t3$/m)
    expect(text).toMatch(/^Cpus_allowed_list:\t0-1$/m)
    expect(text).toMatch(/^VmSize:\t {7}\d kB$/m)
  })

  it('writes limits byte for byte', () => {
    const ours = (readText(k, '/proc/self/limits') as string).split('\n')
    const theirs = host('/proc/self/limits').split('\n')
    expect(ours.length).toBe(theirs.length)
    expect(ours[0]).toBe(theirs[0])
    expect(ours.map(line => line.slice(0, 25))).toEqual(theirs.map(line => line.slice(0, 25)))
    expect(ours.map(line => line.length)).toEqual(theirs.map(line => line.length))
  })

  it('shows memory areas', () => {
    const fd = k.sys.open('/prog', O_CREAT | O_RDWR, 0o755)
    const { vmas } = k.task.mm
    vmas.insert(new Vma(0x400000, 0x402000, 5, 7, 0, k.task.files.get(fd)!.ref(), 4096, ''))
    vmas.insert(new Vma(0x7ff000000000, 0x7ff000001000, 3, 7, 0, null, 0, '[stack]'))
    const maps = (readText(k, '/proc/self/maps', 10) as string).split('\n')
    expect(maps[0]).toMatch(/^00400000-00402000 r-xp 00001000 00:[0-9a-f]{2} \d+ +\/prog$/)
    expect(maps[0]!.indexOf('/prog')).toBe(73)
    expect(maps[1]).toMatch(/^7ff000000000-7ff000001000 rw-p 00000000 00:00 0 +\[stack\]$/)
    const theirs = keys(
      host('/proc/self/smaps').split('VmFlags')[0]!.split('\n').slice(1).join('\n'),
    )
    const ours = keys(
      (readText(k, '/proc/self/smaps') as string)
        .split('VmFlags')[0]!
        .split('\n')
        .slice(1)
        .join('\n'),
    )
    expect(ours.filter(key => theirs.includes(key))).toEqual(ours)
    expect(readText(k, '/proc/self/smaps_rollup')).toMatch(/\[rollup\]\nRss: +\d+ kB\nPss: /)
    expect(readText(k, '/proc/self/status')).toMatch(/^VmSize:\t {6}12 kB$/m)
  })

  it('reads arguments, environment and memory', () => {
    const at = k.place('prog\0-x\0')
    const { mm } = k.task
    mm.argStart = at
    mm.argEnd = at + 8
    const env = k.place('A=1')
    mm.envStart = env
    mm.envEnd = env + 4
    expect(readText(k, '/proc/1/cmdline')).toBe('prog\0-x\0')
    expect(readText(k, '/proc/1/environ')).toBe('A=1\0')
    const fd = k.sys.open('/proc/self/mem', O_RDWR, 0)
    const into = k.room(16)
    expect(k.sys.pread64(fd, into, 4, at)).toBe(4)
    expect(k.text(into, 4)).toBe('prog')
    expect(k.sys.pwrite64(fd, Buffer.from('PR'), 2, at)).toBe(2)
    expect(readText(k, '/proc/1/cmdline')).toBe('PRog\0-x\0')
    expect(k.sys.pread64(fd, into, 4, 0x7000_0000_0000)).toBe(-EIO)
  })

  it('lists descriptors as links to the files themselves', () => {
    const fd = k.sys.open('/x', O_CREAT | O_RDWR, 0o644)
    k.sys.write(fd, Buffer.from('hello'), 5)
    expect(names(k, '/proc/self/fd')).toContain(`${fd}`)
    expect(linkTarget(k, `/proc/self/fd/${fd}`)).toBe('/x')
    expect(k.sys.unlink('/x')).toBe(0)
    expect(linkTarget(k, `/proc/self/fd/${fd}`)).toBe('/x (deleted)')
    expect(readText(k, `/proc/self/fd/${fd}`)).toBe('hello')
    expect(readText(k, `/proc/self/fdinfo/${fd}`)).toMatch(
      /^pos:\t5\nflags:\t0\d+2\nmnt_id:\t\d+\nino:\t\d+\n$/,
    )
    expect(linkTarget(k, '/proc/self/fd/99')).toBe(-ENOENT)
    expect(linkTarget(k, '/proc/self/cwd')).toBe('/')
    expect(linkTarget(k, '/proc/self/exe')).toBe(-ENOENT)
    expect(linkTarget(k, '/proc/self/ns/pid')).toBe('pid:[4026531836]')
    expect(k.sys.open('/proc/self/ns/net', O_RDONLY, 0)).toBeGreaterThanOrEqual(0)
  })

  it('keeps other users out', () => {
    const user = k.fork(userCreds(1000))
    expect(readText(user, '/proc/1/status')).toMatch(/^Name:/)
    for (const name of ['environ', 'auxv', 'mem', 'maps', 'io', 'personality']) {
      const result = readText(user, `/proc/1/${name}`)
      expect([-EACCES, -ESRCH]).toContain(result)
    }
    expect(names(user, '/proc/1/fd')).toBe(-EACCES)
    expect(linkTarget(user, '/proc/1/exe')).toBe(-EACCES)
    expect(linkTarget(user, '/proc/1/cwd')).toBe(-EACCES)
    expect(linkTarget(user, '/proc/1/ns/pid')).toBe(-EACCES)
    expect(readText(user, '/proc/1/stat')).toMatch(/ 1 1 0 /)
    expect(readText(user, '/proc/self/environ')).toBe('')
    user.task.group.dumpable = 0
    expect(names(user, '/proc/self/fd')).toBe(-EACCES)
  })

  it('lets a process adjust itself', () => {
    const write = (path: string, text: string) => {
      const fd = k.sys.open(path, O_WRONLY, 0)
      if (fd < 0) return fd
      const n = k.sys.write(fd, Buffer.from(text), text.length)
      k.sys.close(fd)
      return n
    }
    expect(write('/proc/self/comm', 'new-name-that-is-long\n')).toBe(22)
    expect(readText(k, '/proc/self/comm')).toBe('new-name-that-i\n')
    expect(write('/proc/self/oom_score_adj', '500\n')).toBe(4)
    expect(readText(k, '/proc/self/oom_score_adj')).toBe('500\n')
    expect(write('/proc/self/oom_score_adj', '5000')).toBe(-EINVAL)
    expect(write('/proc/sys/kernel/hostname', 'box\n')).toBe(4)
    expect(k.task.nsproxy.uts.nodename).toBe('box')
    expect(write('/proc/sys/kernel/osrelease', '5')).toBe(-EACCES)
  })

  it('forgets a process that has been reaped', () => {
    const child = k.fork()
    const fd = k.sys.open(`/proc/${child.task.tid}/stat`, O_RDONLY, 0)
    child.task.group.reaped = true
    child.task.group.pid.group = null
    forgetTask(child.task)
    expect(k.sys.read(fd, k.room(100), 100)).toBe(-ESRCH)
    expect(readText(k, `/proc/${child.task.tid}/stat`)).toBe(-ENOENT)
  })
})

describe('the system', () => {
  it('shows mounts', () => {
    expect(mountOn(k, 'tmpfs', '/my dir', 'size=64k')).toBe(0)
    expect(readText(k, '/proc/mounts')).toMatch(
      /^tmpfs \/my\\040dir tmpfs rw(,\w+)*,size=64k 0 0$/m,
    )
    expect(readText(k, '/proc/self/mountinfo')).toMatch(
      /^\d+ \d+ 0:\d+ \/ \/proc rw(,\w+)* - proc proc rw$/m,
    )
  })

  it('has files with the fields of Linux', () => {
    const shared = (path: string) => {
      const theirs = keys(host(path))
      const ours = keys(readText(k, path))
      return { ours, theirs }
    }
    const mem = shared('/proc/meminfo')
    expect(mem.ours.filter(key => !mem.theirs.includes(key))).toEqual([])
    expect(mem.ours).toEqual(mem.theirs.filter(key => mem.ours.includes(key)))
    expect(readText(k, '/proc/meminfo')).toMatch(/^MemTotal: {8}1048576 kB$/m)
    const stat = readText(k, '/proc/stat') as string
    expect(stat).toMatch(/^cpu {2}(\d+ ){9}0\ncpu0 (\d+ ){9}0\ncpu1 (\d+ ){9}0\nintr /)
    expect(stat).toMatch(/^btime \d{10}$/m)
    expect(readText(k, '/proc/uptime')).toMatch(/^\d+\.\d\d \d+\.\d\d\n$/)
    expect(readText(k, '/proc/loadavg')).toMatch(/^\d+\.\d\d \d+\.\d\d \d+\.\d\d \d+\/\d+ \d+\n$/)
    expect(readText(k, '/proc/version')).toMatch(/^Linux version 6\.6\.0 /)
    expect(readText(k, '/proc/filesystems')).toMatch(/^nodev\tproc$/m)
    expect(readText(k, '/proc/sys/kernel/random/uuid')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/)
    expect(readText(k, '/proc/sys/kernel/random/boot_id')).toBe(
      readText(k, '/proc/sys/kernel/random/boot_id'),
    )
    for (const table of [
      'tcp',
      'udp',
      'unix',
      'route',
      'dev',
      'arp',
      'raw',
      'packet',
      'udp6',
      'tcp6',
    ]) {
      const header = host(`/proc/net/${table}`).split('\n')[0]
      expect((readText(k, `/proc/net/${table}`) as string).split('\n')[0]).toBe(header)
    }
  })

  it('describes the CPUs it has', () => {
    describeCpu(k.kernel, parseCpuModel(host('/proc/cpuinfo')))
    const text = readText(k, '/proc/cpuinfo') as string
    expect(text.match(/^processor\t: \d+$/gm)).toEqual(['processor\t: 0', 'processor\t: 1'])
    const theirs = keys(host('/proc/cpuinfo').split('\n\n')[0]!)
    const ours = keys(text.split('\n\n')[0]!)
    expect(ours.filter(key => theirs.includes(key))).toEqual(
      theirs.filter(key => ours.includes(key)),
    )
  })

  it('can be read by many and walked as a whole', () => {
    const walk = (path: string, depth: number): number => {
      let n = 0
      for (const name of names(k, path, 300) as string[]) {
        const entry = `${path}/${name}`
        const inside = names(k, entry)
        if (Array.isArray(inside) && depth > 0 && typeof linkTarget(k, entry) === 'number')
          n += walk(entry, depth - 1)
        else if (typeof inside === 'number' && name !== 'mem')
          n += typeof readText(k, entry) === 'string' ? 1 : 0
      }
      return n
    }
    expect(walk('/proc', 5)).toBeGreaterThan(150)
    expect(k.task.files.fds().length).toBeLessThan(3)
  })
})
