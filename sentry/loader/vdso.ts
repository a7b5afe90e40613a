// The host's vDSO, which the platform maps into every program: clock_gettime without a system call.

import { PAGE_SIZE } from '../../syscall-table/flags.ts'
import type { Platform } from '../platform.ts'

/** Linux's vdso64 image has always fitted in two pages; a reserved range tells the platform's own view. */
const VDSO_PAGES = 2

/** The addresses of the vDSO's code, null when the platform has none. */
export function vdsoRange(platform: Platform): { start: number; end: number } | null {
  const { vdso, reserved } = platform
  if (vdso === 0) return null
  const hole = reserved.find(h => h.start <= vdso && vdso < h.end)
  return {
    start: vdso,
    end: Math.min(hole?.end ?? Number.POSITIVE_INFINITY, vdso + VDSO_PAGES * PAGE_SIZE),
  }
}
