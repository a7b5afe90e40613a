// Lists of CPUs and memory nodes: "0-2,7".

/** The numbers of a list that the kernel, or a checked configuration, wrote. */
export function parseList(text: string): number[] {
  const numbers: number[] = []
  for (const part of text.trim().split(',')) {
    if (part === '') continue
    const [first, last = first] = part.split('-').map(Number)
    for (let n = first!; n <= last!; n++) numbers.push(n)
  }
  return numbers
}
