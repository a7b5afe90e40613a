// What fuzz.c knows of the system calls, from syscall-table: of each argument its kind, and the values that mean something.

import type { Arg } from '../../syscall-table/args.ts'
import { flagSets } from '../../syscall-table/flags/sets.ts'
import * as constants from '../../syscall-table/flags.ts'
import { rowsByNumber } from '../../syscall-table/syscalls.ts'

const setNames = Object.keys(flagSets)

function kind(arg: Arg): string {
  switch (arg.show) {
    case 'fd':
    case 'dirfd':
      return 'FD'
    case 'string':
      return 'PATH'
    case 'signal':
      return 'SIGNAL'
    case 'octal':
    case 'createMode':
      return 'MODE'
    case 'id':
      return 'ID'
    case 'flags':
      return `FLAGS + ${setNames.indexOf(arg.set)}`
    case 'number':
      return 'NUMBER'
    case 'hex':
      return arg.decode === 'size' ? 'ADDRESS' : 'NUMBER'
    case 'iovec':
      return 'IOVEC'
    case 'msghdr':
      return 'MSGHDR'
    case 'sockaddr':
      return 'SOCKADDR'
    default:
      return 'POINTER'
  }
}

const values = (list: readonly number[]) =>
  [...new Set(list)].map(n => `${BigInt(n)}ull`).join(', ')

/** The header: `struct call calls[]`, and the sets of values that FLAGS + n means. */
export function header(): string {
  const sets = Object.values(flagSets).map(set => {
    const list = [...set.values, ...set.bits].map(([, value]) => value)
    return `{${list.length}, (uint64_t[]){${values(list.length > 0 ? list : [0])}}},`
  })
  const all = Object.values(constants).filter(value => typeof value === 'number')
  const rows = rowsByNumber.map(({ nr, name, args }) => {
    const kinds = Object.values(args).map(kind)
    return `{${nr}, "${name}", ${kinds.length}, {${kinds.join(', ') || 0}}},`
  })
  return `static const uint64_t constants[] = {${values(all)}};
static const struct set sets[] = {
${sets.join('\n')}
};
static const struct call calls[] = {
${rows.join('\n')}
};
`
}
