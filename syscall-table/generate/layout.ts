// Lays structs out as C does on x86-64.

import type { Field, Scalar, Struct } from '../structs/field.ts'

export const scalarSize: Record<Scalar, number> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  u64: 8,
  i64: 8,
  bits64: 8,
  be16: 2,
  be32: 4,
}

export interface PlacedField {
  readonly name: string
  readonly field: Field
  readonly at: number
  readonly size: number
}

export interface Layout {
  readonly name: string
  readonly size: number
  readonly align: number
  readonly fields: readonly PlacedField[]
}

/** Layouts of all structs, in order; a nested struct must have come before. */
export function layOut(structs: Readonly<Record<string, Struct>>): ReadonlyMap<string, Layout> {
  const layouts = new Map<string, Layout>()
  for (const [name, struct] of Object.entries(structs)) {
    let at = 0
    let structAlign = 1
    const fields = Object.entries(struct.fields).map(([fieldName, field]) => {
      const { size, align } = measure(field, layouts)
      const fieldAlign = struct.packed ? 1 : align
      at = roundUp(at, fieldAlign)
      structAlign = Math.max(structAlign, fieldAlign)
      const placed = { name: fieldName, field, at, size }
      at += size
      return placed
    })
    const size = struct.size ?? roundUp(at, structAlign)
    if (size < at) throw new Error(`${name}: fields need ${at} bytes, not ${size}`)
    layouts.set(name, { name, size, align: structAlign, fields })
  }
  return layouts
}

function measure(field: Field, layouts: ReadonlyMap<string, Layout>) {
  if (typeof field === 'string') return { size: scalarSize[field], align: scalarSize[field] }
  if ('text' in field) return { size: field.text, align: 1 }
  if ('array' in field) {
    const align = scalarSize[field.array]
    return { size: align * field.count, align }
  }
  const inner = layouts.get(field.struct)
  if (inner === undefined) throw new Error(`struct ${field.struct} is not declared yet`)
  return inner
}

const roundUp = (n: number, to: number) => Math.ceil(n / to) * to

/** `linux_dirent64` → `LinuxDirent64`. */
export const pascal = (name: string) =>
  name.replace(/(?:^|_)([a-z0-9])/g, (_, first: string) => first.toUpperCase())

/** `stat` + `atimeNsec` → `STAT_ATIME_NSEC`. */
export const upper = (name: string) => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase()
