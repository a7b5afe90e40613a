import { describe, expect, it } from 'vitest'
import { EINVAL, EIO, ELIBBAD, ENOEXEC } from '../../syscall-table/errno.ts'
import { O_CREAT, O_RDWR, PROT_EXEC, PROT_READ, PROT_WRITE } from '../../syscall-table/flags.ts'
import { boot, type TestTask } from '../../test/kernel.ts'
import type { File } from '../vfs/file.ts'
import { readElf } from './elf.ts'

interface Phdr {
  type?: number
  flags?: number
  offset?: number
  vaddr?: number
  fileSize?: number
  memSize?: number
  align?: number
}

const CODE: Phdr = {
  type: 1,
  flags: 5,
  offset: 0,
  vaddr: 0x400000,
  fileSize: 0x1000,
  memSize: 0x1000,
}
const DATA: Phdr = {
  type: 1,
  flags: 6,
  offset: 0x1000,
  vaddr: 0x402000,
  fileSize: 0x10,
  memSize: 0x3000,
}

/** An ELF file of 8 KiB with these program headers. */
function elf(phdrs: Phdr[], change: (v: DataView) => void = () => {}, size = 0x2000): Uint8Array {
  const bytes = new Uint8Array(size)
  const v = new DataView(bytes.buffer)
  v.setUint32(0, 0x464c457f, true)
  bytes.set([2, 1, 1], 4)
  v.setUint16(16, 2, true)
  v.setUint16(18, 62, true)
  v.setBigUint64(24, 0x400100n, true)
  v.setBigUint64(32, 64n, true)
  v.setUint16(54, 56, true)
  v.setUint16(56, phdrs.length, true)
  phdrs.forEach((p, i) => {
    const at = 64 + i * 56
    v.setUint32(at, p.type ?? 1, true)
    v.setUint32(at + 4, p.flags ?? 5, true)
    const words = [p.offset, p.vaddr, p.vaddr, p.fileSize, p.memSize, p.align ?? 4096]
    words.forEach((word, j) => {
      v.setBigUint64(at + 8 + j * 8, BigInt(word ?? 0), true)
    })
  })
  change(v)
  return bytes
}

function open(k: TestTask, bytes: Uint8Array): File {
  const fd = k.sys.open('/program', O_CREAT | O_RDWR, 0o755)
  if (bytes.length > 0) expect(k.sys.write(fd, bytes, bytes.length)).toBe(bytes.length)
  return k.task.files.get(fd)!
}

function read(bytes: Uint8Array, asInterpreter = false) {
  const k = boot()
  return readElf(k.task, open(k, bytes), asInterpreter)
}

describe('readElf', () => {
  it('reads segments, protections and bounds', () => {
    const image = read(elf([CODE, DATA]))
    expect(image).toMatchObject({
      relocatable: false,
      entry: 0x400100,
      phdrAddr: 0x400040,
      low: 0x400000,
      high: 0x405000,
      interpreter: null,
      executableStack: false,
    })
    if (typeof image === 'number') throw new Error('refused')
    expect(image.segments.map(s => s.prot)).toEqual([PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE])
  })

  it('reads the interpreter, the stack flag and the largest alignment', () => {
    const path = { type: 3, offset: 0x1800, fileSize: 10, memSize: 10 }
    const stack = { type: 0x6474e551, flags: 7 }
    const bytes = elf([{ ...CODE, align: 0x200000 }, path, stack])
    bytes.set(Buffer.from('/lib/ld.so'.slice(0, 9)), 0x1800)
    expect(read(bytes)).toMatchObject({
      interpreter: '/lib/ld.s',
      executableStack: true,
      align: 0x200000,
    })
  })

  it('refuses what is no program', () => {
    expect(read(new Uint8Array(0))).toBe(-ENOEXEC)
    expect(read(elf([CODE]).subarray(0, 63))).toBe(-ENOEXEC)
    expect(read(elf([CODE], v => v.setUint32(0, 0, true)))).toBe(-ENOEXEC)
    expect(read(elf([CODE], v => v.setUint16(16, 1, true)))).toBe(-ENOEXEC)
    expect(read(elf([CODE], v => v.setUint16(18, 3, true)))).toBe(-ENOEXEC)
    expect(read(elf([CODE], v => v.setUint16(54, 32, true)))).toBe(-ENOEXEC)
    expect(read(elf([CODE], v => v.setUint16(56, 0, true)))).toBe(-ENOEXEC)
    expect(read(elf([CODE], v => v.setUint16(56, 65535, true)))).toBe(-ENOEXEC)
    expect(read(elf([CODE], v => v.setBigUint64(32, 2n ** 63n, true)))).toBe(-ENOEXEC)
    expect(
      read(
        elf([CODE], v => v.setUint32(0, 0, true)),
        true,
      ),
    ).toBe(-ELIBBAD)
  })

  it('refuses segments that cannot be mapped', () => {
    expect(read(elf([]))).toBe(-ENOEXEC)
    expect(read(elf([{ ...DATA, fileSize: 0x4000 }]))).toBe(-EINVAL)
    expect(read(elf([{ ...DATA, memSize: 2 ** 47 }]))).toBe(-EINVAL)
    expect(read(elf([{ ...DATA, vaddr: 2 ** 47 }]))).toBe(-EINVAL)
    expect(read(elf([{ ...DATA, offset: 0x1001 }]))).toBe(-EINVAL)
    expect(read(elf([CODE], v => v.setBigUint64(24, 2n ** 60n, true)))).toBe(-EINVAL)
  })

  it('refuses interpreters without an end, too long or beyond the file', () => {
    const path = { type: 3, offset: 0x1800, fileSize: 4, memSize: 4 }
    const unterminated = elf([CODE, path])
    unterminated.set(Buffer.from('/lib'), 0x1800)
    expect(read(unterminated)).toBe(-ENOEXEC)
    expect(read(elf([CODE, { ...path, fileSize: 1 }]))).toBe(-ENOEXEC)
    expect(read(elf([CODE, { ...path, fileSize: 5000 }]))).toBe(-ENOEXEC)
    expect(read(elf([CODE, { ...path, offset: 0x1fff }]))).toBe(-EIO)
  })

  it('survives a thousand mutations without an exception or a segment outside of the address space', () => {
    const k = boot()
    let seed = 12345
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
      return (seed >>> 8) % below
    }
    const fd = k.sys.open('/program', O_CREAT | O_RDWR, 0o755)
    for (let round = 0; round < 1000; round++) {
      const bytes = elf(
        [CODE, DATA, { type: 3, offset: 0x1800, fileSize: 8, memSize: 8 }],
        undefined,
        0x2000 - random(0x1000),
      )
      for (let i = random(8); i >= 0; i--) bytes[random(256)] = random(256)
      k.sys.ftruncate(fd, 0)
      k.sys.pwrite64(fd, bytes, bytes.length, 0)
      const image = readElf(k.task, k.task.files.get(fd)!, round % 2 === 1)
      if (typeof image === 'number') {
        expect(image).toBeLessThan(0)
        continue
      }
      expect(image.high).toBeLessThanOrEqual(2 ** 47 - 4096)
      for (const s of image.segments) {
        expect(s.fileSize).toBeLessThanOrEqual(s.memSize)
        expect(s.vaddr + s.memSize).toBeLessThanOrEqual(image.high)
        expect(s.fileSize === 0 || (s.vaddr - s.offset) % 4096 === 0).toBe(true)
      }
    }
  })
})
