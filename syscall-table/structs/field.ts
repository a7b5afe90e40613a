// Types of struct fields.

/**
 * A scalar. u64 and i64 are plain numbers (exact below 2^53; 2^64 stands for all ones); bits64 is kept as two
 * u32 (`fooLo`, `fooHi`) because every bit matters; be16 and be32 are in network byte order in memory only.
 */
export type Scalar =
  | 'u8'
  | 'i8'
  | 'u16'
  | 'i16'
  | 'u32'
  | 'i32'
  | 'u64'
  | 'i64'
  | 'bits64'
  | 'be16'
  | 'be32'

/** `array`: a typed array. `text`: a NUL-padded char array held as a latin1 string. `struct`: nested. */
export type Field =
  | Scalar
  | { readonly array: Exclude<Scalar, 'be16' | 'be32'>; readonly count: number }
  | { readonly text: number }
  | { readonly struct: string }

/** A struct. Fields named `_…` are padding: written as zero, never read. `size` pads a union member's tail. */
export interface Struct {
  readonly fields: { readonly [name: string]: Field }
  readonly packed?: boolean
  readonly size?: number
}

export const u8 = 'u8'
export const i8 = 'i8'
export const u16 = 'u16'
export const i16 = 'i16'
export const u32 = 'u32'
export const i32 = 'i32'
export const u64 = 'u64'
export const i64 = 'i64'
export const bits64 = 'bits64'
export const be16 = 'be16'
export const be32 = 'be32'

export const array = <T extends Exclude<Scalar, 'be16' | 'be32'>>(type: T, count: number) =>
  ({ array: type, count }) as const
export const text = (length: number) => ({ text: length }) as const
export const nested = (name: string) => ({ struct: name }) as const
