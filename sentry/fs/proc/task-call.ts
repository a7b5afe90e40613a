// /proc/PID/{syscall,schedstat}: what a task does right now, and how long it has run. fs/proc/base.c.

import { groupCpu, looksAsleep, taskCpu } from '../../kernel/accounting.ts'
import { BLOCKED, DEAD, STOPPED, type Task, ZOMBIE } from '../../kernel/task.ts'
import type { TaskDirectory } from './task-node.ts'

const ARGUMENTS = 6

/**
 * /proc/PID/syscall: the number and the arguments of the call that a task is in, its stack pointer and where it goes on. A task that
 * computes is "running", and one that is stopped outside of any call has number -1.
 */
export function syscallText(task: Task, reader: Task): string {
  const { state, thread, syscallNr } = task
  if (state === ZOMBIE || state === DEAD) return '0 0x0 0x0\n'
  const place = `0x${thread.sp.toString(16)} 0x${thread.ip.toString(16)}\n`
  const waits = task === reader || state === BLOCKED || state === STOPPED
  if (!waits) return looksAsleep(task) ? `-1 ${place}` : 'running\n'
  if (syscallNr < 0) return `-1 ${place}`
  let text = `${syscallNr} `
  for (let i = 0; i < ARGUMENTS; i++) {
    const value = (BigInt(thread.args[i * 2 + 1]!) << 32n) | BigInt(thread.args[i * 2]!)
    text += `0x${value.toString(16)} `
  }
  return text + place
}

/**
 * /proc/PID/schedstat: nanoseconds on a CPU, nanoseconds of waiting for one, and turns.
 * LIMIT: who waits for a CPU, and how often, is the host's to know: shown as 0.
 */
export function schedstatText(task: Task, _reader: Task, { whole }: TaskDirectory): string {
  const { userNs, systemNs } =
    whole && task.group.tasks.length === 1 ? groupCpu(task.group) : taskCpu(task)
  return `${Math.floor(userNs + systemNs)} 0 0\n`
}
