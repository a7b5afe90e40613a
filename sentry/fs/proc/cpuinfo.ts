// /proc/cpuinfo. What the CPU can do is visible to programs anyway (CPUID is not trapped), so its model and
// flags are the real ones; their number is the sandbox's.

import type { Kernel } from '../../kernel/kernel.ts'

/** What is told of each CPU. */
export interface CpuModel {
  vendor: string
  family: number
  model: number
  name: string
  stepping: number
  mhz: string
  cache: string
  cpuidLevel: number
  flags: string
  bogomips: string
  clflushSize: number
  addressSizes: string
}

const UNKNOWN: CpuModel = {
  vendor: 'unknown',
  family: 6,
  model: 0,
  name: 'unknown',
  stepping: 0,
  mhz: '1000.000',
  cache: '0 KB',
  cpuidLevel: 0,
  flags: 'fpu tsc msr cx8 cmov clflush mmx fxsr sse sse2 syscall nx lm',
  bogomips: '2000.00',
  clflushSize: 64,
  addressSizes: '48 bits physical, 48 bits virtual',
}

const models = new WeakMap<Kernel, CpuModel>()

/** Say what the CPUs of `kernel` are; called at boot. */
export function describeCpu(kernel: Kernel, model: CpuModel): void {
  models.set(kernel, model)
}

/** The first CPU of a host's /proc/cpuinfo. */
export function parseCpuModel(text: string): CpuModel {
  const fields = new Map<string, string>()
  for (const line of text.split('\n\n')[0]!.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon).trim(), line.slice(colon + 1).trim())
  }
  const string = (name: string, fallback: string): string => fields.get(name) ?? fallback
  const number = (name: string, fallback: number): number => {
    const value = Number(fields.get(name) ?? Number.NaN)
    return Number.isInteger(value) ? value : fallback
  }
  return {
    vendor: string('vendor_id', UNKNOWN.vendor),
    family: number('cpu family', UNKNOWN.family),
    model: number('model', UNKNOWN.model),
    name: string('model name', UNKNOWN.name),
    stepping: number('stepping', UNKNOWN.stepping),
    mhz: string('cpu MHz', UNKNOWN.mhz),
    cache: string('cache size', UNKNOWN.cache),
    cpuidLevel: number('cpuid level', UNKNOWN.cpuidLevel),
    flags: string('flags', UNKNOWN.flags),
    bogomips: string('bogomips', UNKNOWN.bogomips),
    clflushSize: number('clflush size', UNKNOWN.clflushSize),
    addressSizes: string('address sizes', UNKNOWN.addressSizes),
  }
}

/** /proc/cpuinfo. */
export function cpuinfoText(kernel: Kernel): string {
  const cpu = models.get(kernel) ?? UNKNOWN
  let text = ''
  for (let i = 0; i < kernel.cpus; i++) {
    text +=
      `processor\t: ${i}\nvendor_id\t: ${cpu.vendor}\ncpu family\t: ${cpu.family}\nmodel\t\t: ${cpu.model}\n` +
      `model name\t: ${cpu.name}\nstepping\t: ${cpu.stepping}\ncpu MHz\t\t: ${cpu.mhz}\n` +
      `cache size\t: ${cpu.cache}\nphysical id\t: 0\nsiblings\t: ${kernel.cpus}\ncore id\t\t: ${i}\n` +
      `cpu cores\t: ${kernel.cpus}\napicid\t\t: ${i}\ninitial apicid\t: ${i}\nfpu\t\t: yes\n` +
      `fpu_exception\t: yes\ncpuid level\t: ${cpu.cpuidLevel}\nwp\t\t: yes\nflags\t\t: ${cpu.flags}\n` +
      `bugs\t\t:\nbogomips\t: ${cpu.bogomips}\nclflush size\t: ${cpu.clflushSize}\n` +
      `cache_alignment\t: ${cpu.clflushSize}\naddress sizes\t: ${cpu.addressSizes}\npower management:\n\n`
  }
  return text
}
