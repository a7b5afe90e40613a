// Policy → decision graph → classic BPF. Numbers are searched binarily over ranges with equal decisions;
// a 64-bit argument is tested as two words, high one first.

import type { Insn } from './bpf.ts'
import { emit } from './emit.ts'
import { FULL, Graph, type Node } from './graph.ts'
import type { ArgTest, Policy, Rule, RuleSet } from './policy.ts'
import { NR_SKIPPED, OFF_ARCH, OFF_ARGS, OFF_IP, OFF_NR, X32_SYSCALL_BIT } from './seccomp.ts'

/** The filter for a policy. Throws when the policy is malformed or the filter would be too long. */
export function compile(policy: Policy): Insn[] {
  const graph = new Graph()
  const search = (rules: RuleSet): Node => searchTree(graph, policy.x32, rules)
  const inner = policy.sections.reduceRight((elsewhere, { from, to, rules }) => {
    if (from >= to) throw new Error(`empty section 0x${from.toString(16)}-0x${to.toString(16)}`)
    const below = wide(graph, { offset: OFF_IP, op: 'lt', value: to }, search(rules), elsewhere)
    return wide(graph, { offset: OFF_IP, op: 'ge', value: from }, below, elsewhere)
  }, search(policy.rules))
  return emit(graph.equal(OFF_ARCH, policy.arch, inner, graph.answer(policy.foreignArch)))
}

/** The decision for all numbers from `start` to the next range. */
interface Range {
  readonly start: number
  readonly node: Node
}

function searchTree(graph: Graph, x32: number | undefined, rules: RuleSet): Node {
  const ranges = mergedRanges(graph, x32, rules)
  const tree = (first: number, last: number): Node => {
    const { node } = ranges[first]!
    if (first === last) return node
    if (last - first === 2 && ranges[last]!.node === node) {
      const { start, node: odd } = ranges[first + 1]!
      if (ranges[last]!.start - start === 1) return graph.equal(OFF_NR, start, odd, node)
    }
    const middle = (first + last + 1) >> 1
    return graph.atLeast(OFF_NR, ranges[middle]!.start, tree(middle, last), tree(first, middle - 1))
  }
  return tree(0, ranges.length - 1)
}

function mergedRanges(graph: Graph, x32: number | undefined, rules: RuleSet): Range[] {
  const otherwise = graph.answer(rules.otherwise)
  const ranges: Range[] = []
  const add = (start: number, node: Node): void => {
    if (ranges.at(-1)?.start === start) ranges.pop()
    if (ranges.at(-1)?.node !== node) ranges.push({ start, node })
  }
  add(0, otherwise)
  const numbers = [...rules.calls.keys()].sort((a, b) => a - b)
  const addCalls = (from: number, to: number): void => {
    for (const nr of numbers.filter(n => n >= from && n <= to)) {
      add(nr, new CallCompiler(graph, rules.calls.get(nr)!, otherwise).node())
      if (nr < FULL) add(nr + 1, otherwise)
    }
  }
  checkCalls(rules)
  addCalls(0, X32_SYSCALL_BIT - 1)
  if (rules.newer !== undefined) add(rules.newer.last + 1, graph.answer(rules.newer.action))
  add(X32_SYSCALL_BIT, x32 === undefined ? otherwise : graph.answer(x32))
  if (x32 === undefined) addCalls(X32_SYSCALL_BIT, NR_SKIPPED - 1)
  add(NR_SKIPPED, otherwise)
  addCalls(NR_SKIPPED, NR_SKIPPED)
  return ranges
}

/** LIMIT: alternatives and tests of one call; their graph is built recursively. */
const MAX_STEPS = 2000

function checkCalls({ calls, newer }: RuleSet): void {
  for (const [nr, rules] of calls) {
    const steps = rules.reduce((sum, rule) => sum + 1 + rule.when.length, 0)
    if (steps > MAX_STEPS) throw new Error(`call ${nr} exceeds the limit of ${MAX_STEPS} tests`)
    if (!Number.isInteger(nr) || nr < 0 || nr > FULL) throw new Error(`bad call number ${nr}`)
    if (newer !== undefined && nr > newer.last && nr < X32_SYSCALL_BIT) {
      throw new Error(`call number ${nr} has rules but counts as newer than ${newer.last}`)
    }
  }
}

const BELOW = 1
const SAME = 2
const ABOVE = 4

/**
 * What earlier tests told about one word: its relation to `k`. Kept for the high word of the last tested
 * argument, which makes a list of values for one argument cost one comparison each instead of two.
 */
interface Fact {
  readonly offset: number
  readonly k: number
  /** Set of BELOW, SAME, ABOVE that are possible. */
  readonly relation: number
}

type Then = (fact: Fact | undefined) => Node

/** The alternatives of one call, tried in order. */
class CallCompiler {
  readonly #graph: Graph
  readonly #rules: readonly Rule[]
  readonly #otherwise: Node
  readonly #memo = new Map<string, Node>()

  constructor(graph: Graph, rules: readonly Rule[], otherwise: Node) {
    this.#graph = graph
    this.#rules = rules
    this.#otherwise = otherwise
  }

  node(): Node {
    return this.#from(0, 0, undefined)
  }

  /** The decision that remains before test `t` of rule `r`. */
  #from(r: number, t: number, fact: Fact | undefined): Node {
    const rule = this.#rules[r]
    if (rule === undefined) return this.#otherwise
    const test = rule.when[t]
    if (test === undefined) return this.#graph.answer(rule.action)
    const key = `${r} ${t} ${fact?.offset} ${fact?.k} ${fact?.relation}`
    let node = this.#memo.get(key)
    if (node === undefined) {
      const yes: Then = f => this.#from(r, t + 1, f)
      const no: Then = f => this.#from(r + 1, 0, f)
      node = argTest(this.#graph, test, fact, yes, no)
      this.#memo.set(key, node)
    }
    return node
  }
}

function argTest(graph: Graph, test: ArgTest, fact: Fact | undefined, yes: Then, no: Then): Node {
  if (!Number.isInteger(test.arg) || test.arg < 0 || test.arg > 5) {
    throw new Error(`bad argument index ${test.arg}`)
  }
  const offset = OFF_ARGS + 8 * test.arg
  if (test.op === 'maskedEq') return maskedTest(graph, { ...test, offset }, fact, yes, no)
  return wideTest(graph, { offset, op: test.op, value: test.value }, fact, yes, no)
}

interface WideTest {
  readonly offset: number
  readonly op: Exclude<ArgTest['op'], 'maskedEq'>
  readonly value: bigint
}

const lowWord = (value: bigint): number => Number(value & 0xffffffffn)
const highWord = (value: bigint): number => Number(value >> 32n)

function wide(graph: Graph, test: WideTest, yes: Node, no: Node): Node {
  const always = (node: Node) => () => node
  return wideTest(graph, test, undefined, always(yes), always(no))
}

/** A 64-bit comparison. Six operators become three: the others are their negations. */
function wideTest(graph: Graph, test: WideTest, fact: Fact | undefined, yes: Then, no: Then): Node {
  const { offset, value } = test
  const low = lowWord(value)
  const high = offset + 4
  const k = highWord(value)
  switch (test.op) {
    case 'ne':
      return wideTest(graph, { ...test, op: 'eq' }, fact, no, yes)
    case 'le':
      return wideTest(graph, { ...test, op: 'gt' }, fact, no, yes)
    case 'lt':
      return wideTest(graph, { ...test, op: 'ge' }, fact, no, yes)
    case 'eq':
      return highEqual(graph, high, k, fact, f => graph.equal(offset, low, yes(f), no(f)), no)
    case 'gt': {
      const tie: Then = f => (low === FULL ? no(f) : graph.above(offset, low, yes(f), no(f)))
      return highOrder(graph, high, k, fact, yes, tie, no)
    }
    case 'ge': {
      const tie: Then = f => (low === 0 ? yes(f) : graph.atLeast(offset, low, yes(f), no(f)))
      return highOrder(graph, high, k, fact, yes, tie, no)
    }
  }
}

function maskedTest(
  graph: Graph,
  test: ArgTest & { readonly offset: number },
  fact: Fact | undefined,
  yes: Then,
  no: Then,
): Node {
  const { offset } = test
  const [mask, k] = [highWord(test.mask), highWord(test.value)]
  const tie: Then = f =>
    graph.masked(offset, lowWord(test.mask), lowWord(test.value), yes(f), no(f))
  if ((k & ~mask) !== 0) return no(fact)
  if (mask === 0) return tie(fact)
  if (mask === FULL) return highEqual(graph, offset + 4, k, fact, tie, no)
  return graph.masked(offset + 4, mask, k, tie(fact), no(fact))
}

function highEqual(
  graph: Graph,
  offset: number,
  k: number,
  fact: Fact | undefined,
  same: Then,
  differs: Then,
): Node {
  const possible = relationTo(fact, offset, k)
  if (possible === SAME) return same(fact)
  if ((possible & SAME) === 0) return differs(fact)
  const unequal = { offset, k, relation: possible & ~SAME }
  return graph.equal(offset, k, same({ offset, k, relation: SAME }), differs(unequal))
}

function highOrder(
  graph: Graph,
  offset: number,
  k: number,
  fact: Fact | undefined,
  above: Then,
  same: Then,
  below: Then,
): Node {
  const possible = relationTo(fact, offset, k)
  const rest = (f: Fact | undefined): Node => highEqual(graph, offset, k, f, same, below)
  if (possible === ABOVE) return above(fact)
  if ((possible & ABOVE) === 0) return rest(fact)
  const higher = above({ offset, k, relation: ABOVE })
  return graph.above(offset, k, higher, rest({ offset, k, relation: possible & ~ABOVE }))
}

/** How the word at `offset` can relate to `k`, by what is known. */
function relationTo(fact: Fact | undefined, offset: number, k: number): number {
  const anything = (k > 0 ? BELOW : 0) | SAME | (k < FULL ? ABOVE : 0)
  if (fact?.offset !== offset) return anything
  if (fact.k === k) return fact.relation & anything
  // Everything that is not beyond fact.k on k's side of it lies on the same side of k as fact.k does.
  const [side, other] = fact.k < k ? [BELOW, ABOVE] : [ABOVE, BELOW]
  return fact.relation & other ? anything : side
}
