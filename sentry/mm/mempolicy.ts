// NUMA policies on a machine with one node: mm/mempolicy.c. Policies are checked and remembered; with one
// node they change nothing.

import { EFAULT, EINVAL } from '../../syscall-table/errno.ts'
import { PAGE_SIZE } from '../../syscall-table/flags.ts'
import type { Task } from '../kernel/task.ts'
import { VMA_POLICY_MASK, VMA_POLICY_SHIFT, type Vma } from './vma.ts'

const MPOL_DEFAULT = 0
const MPOL_PREFERRED = 1
const MPOL_INTERLEAVE = 3
const MPOL_LOCAL = 4
const MPOL_WEIGHTED_INTERLEAVE = 6
const MPOL_MAX = 7
const MPOL_F_STATIC_NODES = 1 << 15
const MPOL_F_RELATIVE_NODES = 1 << 14
const MODE_FLAGS = MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES
const MPOL_F_NODE = 1
const MPOL_F_ADDR = 2
const MPOL_F_MEMS_ALLOWED = 4

/** Check a policy with the node set at `mask`. Returns the set's word (0 or 1) or -errno. */
export function checkPolicy(task: Task, mode: number, mask: number, maxNode: number): number {
  const nodes = readNodes(task, mask, maxNode)
  if (nodes < 0) return nodes
  const policy = mode & ~MODE_FLAGS
  if (policy < 0 || policy >= MPOL_MAX || (mode & MODE_FLAGS) === MODE_FLAGS) return -EINVAL
  if (policy === MPOL_DEFAULT || policy === MPOL_LOCAL) {
    return nodes !== 0 || (mode & MODE_FLAGS) !== 0 ? -EINVAL : 0
  }
  if (nodes === 0) return policy === MPOL_PREFERRED && (mode & MODE_FLAGS) === 0 ? 0 : -EINVAL
  return nodes
}

const interleaves = (policy: number): boolean =>
  policy === MPOL_INTERLEAVE || policy === MPOL_WEIGHTED_INTERLEAVE

/** get_nodes: bits above the first node must be clear. */
export function readNodes(task: Task, mask: number, maxNode: number): number {
  if (maxNode === 1 || mask === 0) return 0
  if (maxNode === 0) return -EINVAL
  const bits = maxNode - 1
  if (bits > PAGE_SIZE * 8) return -EINVAL
  const bytes = Math.ceil(bits / 64) * 8
  const { scratch } = task.kernel
  if (task.mm.copyIn(task, mask, scratch, 0, bytes) < 0) return -EFAULT
  for (let i = bytes - 1; i > 0; i--) if (scratch[i] !== 0 && i * 8 < bits) return -EINVAL
  return (scratch[0]! & ~1) !== 0 && bits > 1 ? -EINVAL : scratch[0]! & 1
}

/** A policy in 8 bits: the mode, its two flags, and whether node 0 is named. */
const PACKED_MODE = 7
const PACKED_FLAGS_SHIFT = 11
const PACKED_FLAGS = 0x18
const PACKED_NODE = 0x20

/** mbind(2): the policy of [start, end), which is mapped at least in part. */
export function bindArea(
  { mm }: Task,
  start: number,
  end: number,
  mode: number,
  nodes: number,
): void {
  const flags = (mode & MODE_FLAGS) >> PACKED_FLAGS_SHIFT
  const packed = (mode & PACKED_MODE) | flags | (nodes !== 0 ? PACKED_NODE : 0)
  mm.vmas.change(start, end, vma => {
    vma.flags = (vma.flags & ~VMA_POLICY_MASK) | (packed << VMA_POLICY_SHIFT)
  })
}

/** The policy of the area at `addr`. */
function areaPolicy({ mm }: Task, addr: number): { mode: number; nodes: number } {
  return policyIn(mm.vmas.find(addr)?.flags ?? 0)
}

function policyIn(vmaFlags: number): { mode: number; nodes: number } {
  const packed = (vmaFlags & VMA_POLICY_MASK) >> VMA_POLICY_SHIFT
  const flags = (packed & PACKED_FLAGS) << PACKED_FLAGS_SHIFT
  return { mode: (packed & PACKED_MODE) | flags, nodes: (packed & PACKED_NODE) !== 0 ? 1 : 0 }
}

const NAMES = ['default', 'prefer', 'bind', 'interleave', 'local', 'prefer (many)']

/** The policy of an area, or else of its task, as text: mpol_to_str. */
export function policyName(task: Task, { flags }: Vma): string {
  const own = policyIn(flags)
  const { mode, nodes } = own.mode === MPOL_DEFAULT ? task.memPolicy : own
  let text = NAMES[mode & ~MODE_FLAGS] ?? 'weighted interleave'
  if ((mode & MPOL_F_STATIC_NODES) !== 0) text += '=static'
  if ((mode & MPOL_F_RELATIVE_NODES) !== 0) text += '=relative'
  return nodes === 0 ? text : `${text}:0`
}

/** What is kept of a policy that `checkPolicy` has let through: preferring no node means the local one. */
export function keptMode(mode: number, nodes: number): number {
  return mode === MPOL_PREFERRED && nodes === 0 ? MPOL_LOCAL : mode
}

/** get_mempolicy(2). */
export function getPolicy(
  task: Task,
  modeAt: number,
  mask: number,
  maxNode: number,
  addr: number,
  flags: number,
): number {
  if ((flags & ~(MPOL_F_NODE | MPOL_F_ADDR | MPOL_F_MEMS_ALLOWED)) !== 0) return -EINVAL
  if (mask !== 0 && maxNode < 1) return -EINVAL
  const allowed = (flags & MPOL_F_MEMS_ALLOWED) !== 0
  if (allowed && (flags & (MPOL_F_NODE | MPOL_F_ADDR)) !== 0) return -EINVAL
  const byAddr = (flags & MPOL_F_ADDR) !== 0
  if (!allowed && !byAddr && addr !== 0) return -EINVAL
  if (byAddr && task.mm.vmas.find(addr) === undefined) return -EFAULT
  // A node is told only for an address, or for the next page of an interleaving policy: that is node 0.
  const node = (flags & MPOL_F_NODE) !== 0
  if (node && !byAddr && !interleaves(task.memPolicy.mode & ~MODE_FLAGS)) return -EINVAL
  const policy = byAddr ? areaPolicy(task, addr) : task.memPolicy
  const mode = allowed || node ? 0 : policy.mode
  const nodes = allowed ? 1 : policy.nodes
  const { scratch, scratchView } = task.kernel
  if (modeAt !== 0) {
    scratchView.setInt32(0, mode, true)
    if (task.mm.copyOut(task, modeAt, scratch, 0, 4) < 0) return -EFAULT
  }
  return mask === 0 ? 0 : writeNodes(task, mask, maxNode, nodes)
}

function writeNodes(task: Task, mask: number, maxNode: number, nodes: number): number {
  const bytes = Math.ceil((maxNode - 1) / 64) * 8
  if (bytes > PAGE_SIZE) return -EINVAL
  const { scratch } = task.kernel
  scratch.fill(0, 0, bytes)
  scratch[0] = nodes
  return task.mm.copyOut(task, mask, scratch, 0, bytes)
}
