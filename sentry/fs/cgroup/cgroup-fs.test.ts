import { describe, expect, it } from 'vitest'
import {
  EACCES,
  EAGAIN,
  EBUSY,
  EEXIST,
  EINVAL,
  ENODEV,
  ENOENT,
  EPERM,
  ESRCH,
} from '../../../syscall-table/errno.ts'
import { O_RDONLY, O_WRONLY } from '../../../syscall-table/flags.ts'
import { mountOn, names, readText } from '../../../test/files.ts'
import { boot, type TestTask, userCreds } from '../../../test/kernel.ts'
import { CgroupSystem, checkPids } from '../../kernel/cgroup.ts'
import '../file-systems.ts'

function write(k: TestTask, path: string, text: string): number {
  const fd = k.sys.open(path, O_WRONLY, 0)
  if (fd < 0) return fd
  const n = k.sys.write(fd, Buffer.from(text), text.length)
  k.sys.close(fd)
  return n < 0 ? n : 0
}

const HOST: Record<string, string> = {
  'memory/memory.limit_in_bytes': '1048576\n',
  '/memory.max': '1048576\n',
}

function booted(version: 1 | 2) {
  const k = boot()
  k.kernel.cgroups = new CgroupSystem(
    version,
    (controller, file) => HOST[`${controller}/${file}`] ?? null,
  )
  k.kernel.cpus = 2
  mountOn(k, 'proc', '/proc')
  return k
}

describe('cgroup2', () => {
  const k = booted(2)
  it('shows the limits of the container, and keeps them', () => {
    expect(mountOn(k, 'cgroup2', '/c')).toBe(0)
    expect(readText(k, '/c/memory.max')).toBe('1048576\n')
    expect(readText(k, '/c/cpuset.cpus.effective')).toBe('0-1\n')
    expect(write(k, '/c/memory.max', 'max')).toBe(-EPERM)
    expect(write(k, '/c/pids.max', '5')).toBe(-EPERM)
    expect(readText(k, '/proc/self/cgroup')).toBe('0::/\n')
    expect(readText(k, '/c/cgroup.controllers')).toBe('cpuset cpu io memory pids\n')
  })

  it('lets groups be made, given controllers, entered and removed', () => {
    expect(k.sys.mkdir('/c/a', 0o755)).toBe(0)
    expect(k.sys.mkdir('/c/a', 0o755)).toBe(-EEXIST)
    expect(names(k, '/c/a')).not.toContain('pids.max')
    expect(write(k, '/c/cgroup.subtree_control', '+nope')).toBe(-ENOENT)
    // Processes of its own keep a group from giving on memory: they go below first.
    expect(write(k, '/c/cgroup.subtree_control', '+memory +pids')).toBe(-EBUSY)
    expect(write(k, '/c/a/cgroup.procs', '77777')).toBe(-ESRCH)
    expect(write(k, '/c/a/cgroup.procs', 'x')).toBe(-EINVAL)
    expect(write(k, '/c/a/cgroup.procs', '0')).toBe(0)
    expect(write(k, '/c/cgroup.subtree_control', '+memory +pids')).toBe(0)
    expect(readText(k, '/c/cgroup.subtree_control')).toBe('memory pids\n')
    expect(readText(k, '/c/a/cgroup.controllers')).toBe('memory pids\n')
    expect(readText(k, '/proc/self/cgroup')).toBe('0::/a\n')
    expect(readText(k, '/c/a/cgroup.procs')).toBe(`${k.task.group.tgid}\n`)
    expect(readText(k, '/c/a/cgroup.events')).toBe('populated 1\nfrozen 0\n')
    expect(write(k, '/c/a/memory.max', '64M')).toBe(0)
    expect(readText(k, '/c/a/memory.max')).toBe('64M\n')
    expect(write(k, '/c/a/memory.max', 'lots')).toBe(-EINVAL)
    expect(k.sys.rmdir('/c/a')).toBe(-EBUSY)
    expect(k.sys.rmdir('/c/a/memory.max')).toBeLessThan(0)
  })

  it('bounds the tasks of a group and of those above it', () => {
    expect(write(k, '/c/a/pids.max', '2')).toBe(0)
    expect(checkPids(k.task)).toBe(0)
    const child = k.fork()
    child.task.group.cgroups = k.task.group.cgroups
    expect(readText(k, '/c/a/pids.current')).toBe('2\n')
    expect(checkPids(k.task)).toBe(-EAGAIN)
    expect(readText(k, '/c/a/pids.events')).toBe('max 1\n')
    expect(write(child, '/c/cgroup.procs', '0')).toBe(-EBUSY)
    k.sys.mkdir('/c/a/b', 0o755)
    expect(write(child, '/c/a/b/cgroup.procs', '0')).toBe(0)
    expect(checkPids(child.task)).toBe(-EAGAIN)
    expect(write(k, '/c/a/pids.max', 'max')).toBe(0)
    expect(checkPids(child.task)).toBe(0)
  })

  it('leaves an open file of a removed group without its group', () => {
    k.sys.mkdir('/c/gone', 0o755)
    const fd = k.sys.open('/c/gone/cgroup.procs', O_RDONLY, 0)
    expect(k.sys.rmdir('/c/gone')).toBe(0)
    expect(k.sys.read(fd, k.room(64), 64)).toBe(-ENODEV)
    expect(k.sys.open('/c/gone/cgroup.procs', O_RDONLY, 0)).toBe(-ENOENT)
  })

  it('is for root, unless it is given away', () => {
    k.sys.mkdir('/c/user', 0o755)
    const user = k.fork(userCreds(1000))
    expect(user.sys.mkdir('/c/user/x', 0o755)).toBe(-EACCES)
    expect(k.sys.chown('/c/user', 1000, 1000)).toBe(0)
    expect(user.sys.mkdir('/c/user/x', 0o755)).toBe(0)
  })
})

describe('cgroup of version 1', () => {
  const k = booted(1)
  it('mounts a controller where it is asked for', () => {
    expect(mountOn(k, 'cgroup', '/m', 'memory')).toBe(0)
    expect(readText(k, '/m/memory.limit_in_bytes')).toBe('1048576\n')
    expect(mountOn(k, 'cgroup', '/n', 'name=systemd,none')).toBe(0)
    expect(names(k, '/n')).toEqual([
      'cgroup.clone_children',
      'cgroup.procs',
      'notify_on_release',
      'tasks',
    ])
    expect(mountOn(k, 'cgroup', '/x', 'memory,cpu')).toBe(-EBUSY)
    expect(mountOn(k, 'cgroup', '/x', 'nope')).toBe(-EINVAL)
    expect(mountOn(k, 'cgroup', '/x')).toBe(-EINVAL)
  })

  it('has a place in each hierarchy', () => {
    k.sys.mkdir('/m/g', 0o755)
    expect(write(k, '/m/g/tasks', '0')).toBe(0)
    const text = readText(k, '/proc/self/cgroup')
    expect(text).toContain(':memory:/g\n')
    expect(text).toContain(':cpu:/\n')
    expect(text).toMatch(/\n0::\/\n$/)
    expect(write(k, '/m/g/memory.limit_in_bytes', '64m')).toBe(0)
    expect(readText(k, '/m/g/memory.limit_in_bytes')).toBe(`${64 << 20}\n`)
    expect(write(k, '/m/g/memory.limit_in_bytes', '-1')).toBe(0)
    expect(readText(k, '/m/g/memory.limit_in_bytes')).toBe('9223372036854771712\n')
    expect(write(k, '/m/cgroup.procs', '0')).toBe(0)
    expect(k.sys.rmdir('/m/g')).toBe(0)
    expect(readText(k, '/proc/cgroups')).toContain('memory\t5\t1\t1\n')
  })
})

describe('the groups of two containers', () => {
  const k = booted(2)
  const other = k.fork()
  other.task.group.container = 'other'
  const cgroups = new CgroupSystem(2, () => '2097152\n')
  k.kernel.allotments.set('other', { memoryBytes: 2 << 20, cpuset: Uint8Array.of(0, 1), cgroups })

  it('show their own limits and processes', () => {
    k.sys.mkdir('/mine', 0o755)
    k.sys.mkdir('/others', 0o755)
    expect(mountOn(k, 'cgroup2', '/mine')).toBe(0)
    expect(mountOn(other, 'cgroup2', '/others')).toBe(0)
    expect(readText(k, '/mine/memory.max')).toBe('1048576\n')
    expect(readText(k, '/others/memory.max')).toBe('2097152\n')
    expect(readText(k, '/others/cpuset.cpus.effective')).toBe('1\n')
    expect(readText(k, '/mine/cgroup.procs')).toBe(`${k.task.group.tgid}\n`)
    expect(readText(k, '/others/cgroup.procs')).toBe(`${other.task.group.tgid}\n`)
    expect(readText(other, '/proc/meminfo')).toMatch(/^MemTotal: +2048 kB\n/)
    expect(readText(k, '/proc/meminfo')).not.toMatch(/^MemTotal: +2048 kB\n/)
  })

  it('take no processes of each other, and count their own', () => {
    expect(write(k, '/mine/cgroup.procs', String(other.task.group.tgid))).toBe(-EACCES)
    cgroups.pids.root.pidsMax = 1
    expect(checkPids(other.task)).toBe(-EAGAIN)
    expect(checkPids(k.task)).toBe(0)
  })
})
