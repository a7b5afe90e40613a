// Decision graph → instructions. Jumps of classic BPF only go forward, and conditional ones at most 255
// instructions far, so the program is written from its end: every target is known when its jump is written.

import { AND_K, type Insn, JA, jump, LD_ABS, MAX_INSNS, RET_K, stmt } from './bpf.ts'
import { type Branch, FULL, type Node, topological } from './graph.ts'

const MAX_SHORT_JUMP = 255

/** The program for a graph. Throws when the kernel would refuse it for its length. */
export function emit(root: Node): Insn[] {
  const order = topological(root)
  const loads = loadsNeeded(order)
  const writer = new BackwardWriter()
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i]!
    if (node.kind === 'answer') writer.answer(node)
    else writer.branch(node, loads.get(node)!)
  }
  const program = writer.program()
  if (program.length > MAX_INSNS) {
    throw new Error(`filter of ${program.length} instructions exceeds the limit of ${MAX_INSNS}`)
  }
  return program
}

/** What the accumulator holds: a word of seccomp_data, masked. */
interface Held {
  readonly offset: number
  readonly mask: number
}

const UNKNOWN: Held = { offset: -1, mask: 0 }

/** The instructions each branch needs in front, given what all ways to it leave in the accumulator. */
function loadsNeeded(order: readonly Node[]): Map<Branch, Insn[]> {
  const heldAt = new Map<Node, Held>()
  const arrive = (node: Node, held: Held): void => {
    const before = heldAt.get(node)
    if (before === undefined) heldAt.set(node, held)
    else if (before.offset !== held.offset || before.mask !== held.mask) heldAt.set(node, UNKNOWN)
  }
  const loads = new Map<Branch, Insn[]>()
  for (const node of order) {
    if (node.kind === 'answer') continue
    loads.set(node, loadFor(node, heldAt.get(node) ?? UNKNOWN))
    arrive(node.yes, node)
    arrive(node.no, node)
  }
  return loads
}

function loadFor({ offset, mask }: Branch, held: Held): Insn[] {
  if (held.offset === offset && held.mask === mask) return []
  const and = mask === FULL ? [] : [stmt(AND_K, mask)]
  if (held.offset === offset && held.mask === FULL) return and
  return [stmt(LD_ABS, offset), ...and]
}

/** Collects instructions last to first; a position counts from the program's end. */
class BackwardWriter {
  readonly #out: Insn[] = []
  /** Where a node's own code starts. */
  readonly #home = new Map<Node, number>()
  /** The last written place that leads to the node: its code, a copy of it or a long jump to it. */
  readonly #nearest = new Map<Node, number>()

  answer(node: Node & { kind: 'answer' }): void {
    this.#place(node, stmt(RET_K, node.action))
    this.#home.set(node, this.#out.length - 1)
  }

  branch(node: Branch, loads: readonly Insn[]): void {
    this.#bringNear(node)
    this.#out.push(jump(node.op, node.k, this.#distance(node.yes), this.#distance(node.no)))
    for (const load of loads.toReversed()) this.#out.push(load)
    this.#home.set(node, this.#out.length - 1)
    this.#nearest.set(node, this.#out.length - 1)
  }

  program(): Insn[] {
    return this.#out.toReversed()
  }

  /** Long jumps in front of the targets that are too far. One of them moves the other target further away. */
  #bringNear(node: Branch): void {
    for (;;) {
      const far = [node.yes, node.no].find(target => this.#distance(target) > MAX_SHORT_JUMP)
      if (far === undefined) return
      if (far.kind === 'answer') this.#place(far, stmt(RET_K, far.action))
      else this.#place(far, stmt(JA, this.#out.length - this.#home.get(far)! - 1))
    }
  }

  #place(node: Node, insn: Insn): void {
    this.#out.push(insn)
    this.#nearest.set(node, this.#out.length - 1)
  }

  #distance(target: Node): number {
    return this.#out.length - this.#nearest.get(target)! - 1
  }
}
