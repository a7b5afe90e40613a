// What must work, item by item: the tables in items/ are run by the tests as they are, and by must-work.ts in all ways.

/** A debootstrap tree, by `runsc run` with a bundle; or the host's own root, by `runsc do`. */
export const ROOTS = ['tree', 'host'] as const
export type Root = (typeof ROOTS)[number]

/**
 * A script for bash, run in an empty directory; $NODE is a Node.js and $GO a static Go program. It must print
 * the same and end the same in a sandbox as on Linux.
 */
export interface Item {
  name: string
  script: string
  /** How long it may take in a sandbox. */
  seconds?: number
  /** What it prints, where that is known beforehand. */
  stdout?: string
  /** Where it can be run; everywhere by default. */
  roots?: readonly Root[]
  /** It tells what only a sandbox has: Linux is no oracle, `stdout` is. */
  sandboxOnly?: boolean
  /**
   * The path that a line of the output is about. The host's files change while they are looked at: lines about those
   * that did may differ.
   */
  pathOf?: (line: string) => string
}

/** The item's script as it is given to bash. */
export const inFreshDirectory = (text: string, parent = '/tmp') =>
  `set -e; D=$(mktemp -d -p ${parent}); cd "$D"; trap 'cd /; rm -rf "$D"' EXIT\n${text}`

/** Messages of bash name process ids, which differ. */
export const withoutPids = (text: string) => text.replace(/(line \d+:) +\d+ /g, '$1 PID ')
