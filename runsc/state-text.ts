// The text of state.json. It is JSON, laid out so that native/launcher/front-state.h, which describes it, finds what it needs without
// reading JSON.

import type { ContainerState } from './state.ts'
import { OCI_VERSION } from './version.ts'

/** Of the line for the front: one that does not know this number leaves all to us. */
const FORMAT = 1
/** What a word of that line is made of: nothing that JSON has another way of writing. */
const WORD = /^[\x21\x23-\x5b\x5d-\x7e]+$/
const NONE = '-'

/** What the front needs to know besides the state. */
export interface FrontFacts {
  /** Of the cgroup. */
  directories: readonly string[]
  /** Removing them is all that it takes to remove the cgroup. */
  removable: boolean
  /** A process of `exec` is what its file says, and nothing more. */
  executable: boolean
}

export function stateText(state: ContainerState, facts: FrontFacts): string {
  const { id, bundle, annotations, started: _, ...rest } = state
  const before = members({ ociVersion: OCI_VERSION, id })
  const shown = members({ bundle, annotations })
  const after = `,\n${members(rest)}\n}\n`
  const line = frontLine(
    state,
    facts,
    [shown, after].map(text => Buffer.byteLength(text)),
  )
  return `{\n${before},\n${line}${shown}${after}`
}

/** An object's members, as JSON.stringify sets them out with an indentation of two. */
const members = (value: object): string => JSON.stringify(value, null, 2).slice(2, -2)

/** Empty when the front cannot do anything for this container. */
function frontLine(
  { pid, startTime, freezer, hooks }: ContainerState,
  { directories, removable, executable }: FrontFacts,
  lengths: readonly number[],
): string {
  const commands = ['state', 'kill']
  if (executable) commands.push('exec')
  if (hooks.poststart.length === 0) commands.push('start')
  if (hooks.poststop.length === 0 && removable) commands.push('delete')
  const words = [
    ...[FORMAT, ...lengths, pid].map(String),
    ...[startTime, commands.join(','), freezer || NONE, ...directories],
  ]
  return words.every(word => WORD.test(word)) ? `  "front": "${words.join(' ')}",\n` : ''
}
