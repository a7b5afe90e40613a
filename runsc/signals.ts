// Signal names and numbers as people and engines write them: 9, KILL, SIGKILL, RTMIN+3.

import { constants } from 'node:os'
import { CliError } from './errors.ts'

const SIGRTMIN = 34
const SIGRTMAX = 64

export function parseSignal(text: string): number {
  const name = text.toUpperCase().replace(/^SIG/, '')
  if (/^\d+$/.test(name)) {
    const number = Number(name)
    if (number <= SIGRTMAX) return number
  }
  const known = (constants.signals as Record<string, number>)[`SIG${name}`]
  if (known !== undefined) return known
  const realTime = /^RT(MIN|MAX)([+-]\d+)?$/.exec(name)
  if (realTime) {
    const number = (realTime[1] === 'MIN' ? SIGRTMIN : SIGRTMAX) + Number(realTime[2] ?? 0)
    if (number >= SIGRTMIN && number <= SIGRTMAX) return number
  }
  throw new CliError(
    `"${text}" is no signal: give a number from 0 to ${SIGRTMAX} or a name such as TERM`,
  )
}
