// A runsc that makes a sandbox is forked into the sandbox's processes before it has loaded anything.

import { join } from 'node:path'
import { forked } from '../native/host.ts'
import { build } from './build.ts'

/** Commands that make sandboxes. */
export const MAKERS = ['run', 'create', 'do']

/**
 * native/launcher/front.c looks for the words of MAKERS to have this process forked. Where it has been mistaken, as for a state directory
 * named "exec", begin again.
 */
export function beginForked(): void {
  if (forked() !== null || process.getuid?.() !== 0 || process.execve === undefined) return
  const start = [join(build, 'start'), join(build, 'node-start.bpf')]
  const node = [process.execPath, ...process.execArgv, join(build, 'load.cjs'), 'runsc-forked']
  process.execve(start[0]!, [...start, ...node, ...process.argv.slice(2)], process.env)
}
