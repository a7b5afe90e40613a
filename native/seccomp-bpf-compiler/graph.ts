// A decision graph over 32-bit words of struct seccomp_data. Equal nodes exist once, so that decisions which
// many system calls share become one piece of code.

import { JEQ_K, JGE_K, JGT_K, JSET_K } from './bpf.ts'

export interface Answer {
  readonly kind: 'answer'
  readonly id: number
  readonly action: number
}

/** Branches on `(word at offset & mask) <op> k`. `op` is the opcode of a conditional jump. */
export interface Branch {
  readonly kind: 'branch'
  readonly id: number
  readonly offset: number
  readonly mask: number
  readonly op: number
  readonly k: number
  readonly yes: Node
  readonly no: Node
}

export type Node = Answer | Branch

export const FULL = 0xffffffff

/** Makes nodes, each distinct one once. */
export class Graph {
  readonly #nodes = new Map<string, Node>()

  answer(action: number): Node {
    return this.#intern(`answer ${action}`, id => ({ kind: 'answer', id, action }))
  }

  equal(offset: number, k: number, yes: Node, no: Node): Node {
    return this.#branch(offset, FULL, JEQ_K, k, yes, no)
  }

  above(offset: number, k: number, yes: Node, no: Node): Node {
    return this.#branch(offset, FULL, JGT_K, k, yes, no)
  }

  atLeast(offset: number, k: number, yes: Node, no: Node): Node {
    return this.#branch(offset, FULL, JGE_K, k, yes, no)
  }

  /** `(word & mask) == k`, in the cheapest form. */
  masked(offset: number, mask: number, k: number, yes: Node, no: Node): Node {
    if ((k & ~mask) !== 0) return no
    if (mask === 0) return yes
    if (mask === FULL) return this.equal(offset, k, yes, no)
    // JSET saves the AND, and leaves the whole word in the accumulator for the next test.
    if (k === 0) return this.#branch(offset, FULL, JSET_K, mask, no, yes)
    if (k === mask && (mask & (mask - 1)) === 0) {
      return this.#branch(offset, FULL, JSET_K, mask, yes, no)
    }
    return this.#branch(offset, mask, JEQ_K, k, yes, no)
  }

  #branch(offset: number, mask: number, op: number, k: number, yes: Node, no: Node): Node {
    if (yes === no) return yes
    const key = `${offset} ${mask} ${op} ${k} ${yes.id} ${no.id}`
    return this.#intern(key, id => ({ kind: 'branch', id, offset, mask, op, k, yes, no }))
  }

  #intern(key: string, make: (id: number) => Node): Node {
    let node = this.#nodes.get(key)
    if (node === undefined) {
      node = make(this.#nodes.size)
      this.#nodes.set(key, node)
    }
    return node
  }
}

/** Every node reachable from `root`, each before the nodes it branches to, `yes` sides early. */
export function topological(root: Node): Node[] {
  const seen = new Set<Node>()
  const order: Node[] = []
  const visit = (node: Node): void => {
    if (seen.has(node)) return
    seen.add(node)
    if (node.kind === 'branch') {
      visit(node.no)
      visit(node.yes)
    }
    order.push(node)
  }
  visit(root)
  return order.reverse()
}
