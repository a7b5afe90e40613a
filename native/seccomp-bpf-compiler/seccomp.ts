// The seccomp side of classic BPF, linux/seccomp.h and linux/audit.h: the record that a filter looks at
// (struct seccomp_data) and the 32-bit values it answers with.

/** sizeof(struct seccomp_data). */
export const SIZEOF_DATA = 64
/** Byte offsets in struct seccomp_data. A 64-bit field has its low word first. */
export const OFF_NR = 0
export const OFF_ARCH = 4
export const OFF_IP = 8
export const OFF_ARGS = 16

export const AUDIT_ARCH_X86_64 = 0xc000003e
export const AUDIT_ARCH_I386 = 0x40000003
/** __X32_SYSCALL_BIT: numbers from here belong to the x32 ABI, which shares x86-64's architecture word. */
export const X32_SYSCALL_BIT = 0x40000000
/** What a tracer writes over a number to skip the call. It is not an x32 number. */
export const NR_SKIPPED = 0xffffffff

/** Actions: the upper half of a filter's answer. The lower half is data for some of them. */
export const KILL_PROCESS = 0x80000000
export const KILL_THREAD = 0x00000000
export const TRAP = 0x00030000
export const ERRNO = 0x00050000
export const USER_NOTIF = 0x7fc00000
export const TRACE = 0x7ff00000
export const LOG = 0x7ffc0000
export const ALLOW = 0x7fff0000

const ACTION_FULL = 0xffff0000
const DATA = 0x0000ffff

/** Fail the call with `n`. */
export const errno = (n: number): number => withData(ERRNO, n)
/** Raise SIGSYS; `data` appears in si_errno. */
export const trap = (data = 0): number => withData(TRAP, data)
/** Stop for the ptrace tracer; `message` is what PTRACE_GETEVENTMSG reads. */
export const trace = (message = 0): number => withData(TRACE, message)

/** The action in a filter's answer, without its data. */
export const actionOf = (answer: number): number => (answer & ACTION_FULL) >>> 0
/** The data in a filter's answer. */
export const dataOf = (answer: number): number => answer & DATA

function withData(action: number, data: number): number {
  if (!Number.isInteger(data) || data < 0 || data > DATA) {
    throw new Error(`seccomp action data ${data} does not fit 16 bits`)
  }
  return (action | data) >>> 0
}

const NAMES = new Map([
  [KILL_PROCESS, 'kill-process'],
  [KILL_THREAD, 'kill-thread'],
  [TRAP, 'trap'],
  [ERRNO, 'errno'],
  [USER_NOTIF, 'user-notif'],
  [TRACE, 'trace'],
  [LOG, 'log'],
  [ALLOW, 'allow'],
])

/** The answer in words, as `errno(1)` or `allow`. */
export function describeAnswer(answer: number): string {
  const name = NAMES.get(actionOf(answer))
  if (name === undefined) return `unknown(0x${answer.toString(16)})`
  return dataOf(answer) === 0 ? name : `${name}(${dataOf(answer)})`
}

/** struct seccomp_data as 16 words: nr, arch, ip low, ip high, then each argument low, high. */
export type SeccompData = Uint32Array

/** A record from its parts. Missing arguments are 0. */
export function seccompData(
  nr: number,
  args: readonly (bigint | number)[] = [],
  ip: bigint | number = 0,
  arch = AUDIT_ARCH_X86_64,
): SeccompData {
  const data = new Uint32Array(SIZEOF_DATA / 4)
  data[0] = nr
  data[1] = arch
  setWide(data, OFF_IP, ip)
  args.forEach((value, i) => {
    setWide(data, OFF_ARGS + 8 * i, value)
  })
  return data
}

/** The 64-bit field at a byte offset. */
export function getWide(data: SeccompData, offset: number): bigint {
  const at = offset >> 2
  return (BigInt(data[at + 1]!) << 32n) | BigInt(data[at]!)
}

function setWide(data: SeccompData, offset: number, value: bigint | number): void {
  const wide = BigInt.asUintN(64, BigInt(value))
  data[offset >> 2] = Number(wide & 0xffffffffn)
  data[(offset >> 2) + 1] = Number(wide >> 32n)
}
