import { expect, it } from 'vitest'
import { linkTarget, mountOn, names, readText } from '../../../test/files.ts'
import { boot } from '../../../test/kernel.ts'
import '../file-systems.ts'

it('tells of CPUs, nodes and interfaces', () => {
  const k = boot()
  k.kernel.cpus = 3
  expect(mountOn(k, 'sysfs', '/sys')).toBe(0)
  for (const name of ['online', 'possible', 'present']) {
    expect(readText(k, `/sys/devices/system/cpu/${name}`)).toBe('0-2\n')
  }
  expect(readText(k, '/sys/devices/system/cpu/cpu1/topology/thread_siblings')).toBe('2\n')
  expect(readText(k, '/sys/devices/system/cpu/cpu1/topology/core_siblings')).toBe('7\n')
  expect(readText(k, '/sys/devices/system/node/node0/cpulist')).toBe('0-2\n')
  expect(readText(k, '/sys/kernel/mm/transparent_hugepage/enabled')).toBe(
    'always [madvise] never\n',
  )
  expect(names(k, '/sys/fs/cgroup')).toEqual([])
  expect(linkTarget(k, '/sys/class/net/lo')).toBe('../../devices/virtual/net/lo')
  expect(readText(k, '/sys/class/net/lo/mtu')).toBe('65536\n')
})
