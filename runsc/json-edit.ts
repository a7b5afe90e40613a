// Edits one member of a JSON document and leaves the text of all others as it is. The document must be an object,
// and so must be what the path leads through.

interface Member {
  key: string
  /** Where the key begins, and where the value begins and ends. */
  start: number
  valueStart: number
  end: number
}

/** Set the member at `path` to `value`, adding what leads there. The same text when it is so already. */
export function editMember(text: string, path: readonly string[], value: unknown): string {
  checkDocument(text)
  return setIn(text, skipSpace(text, 0), path, value, 1)
}

/** Take the member at `path` out; an object that becomes empty stays. */
export function removeMember(text: string, path: readonly string[]): string {
  checkDocument(text)
  let at = skipSpace(text, 0)
  for (const [i, key] of path.entries()) {
    if (text[at] !== '{') throw new Error(`"${path.slice(0, i).join('.')}" is no object`)
    const members = membersOf(text, at)
    const index = members.findIndex(m => m.key === key)
    if (index < 0) return text
    if (i === path.length - 1) return cut(text, members, index)
    at = members[index]!.valueStart
  }
  return text
}

/** JSON.parse says best what is wrong with a document; a key that is there twice has no one place. */
function checkDocument(text: string): void {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('expected an object')
}

function setIn(
  text: string,
  at: number,
  path: readonly string[],
  value: unknown,
  depth: number,
): string {
  if (text[at] !== '{') throw new Error('a member on the way is no object')
  const [key, ...rest] = path
  const members = membersOf(text, at)
  const found = members.find(m => m.key === key)
  const unit = indentation(text)
  if (found === undefined) {
    const made = rest.reduceRight<unknown>((inner, name) => ({ [name]: inner }), value)
    return insert(
      text,
      at,
      members,
      `${JSON.stringify(key)}: ${pretty(made, unit, depth)}`,
      unit,
      depth,
    )
  }
  if (rest.length > 0) return setIn(text, found.valueStart, rest, value, depth + 1)
  const old = text.slice(found.valueStart, found.end)
  if (JSON.stringify(JSON.parse(old)) === JSON.stringify(value)) return text
  return text.slice(0, found.valueStart) + pretty(value, unit, depth) + text.slice(found.end)
}

function pretty(value: unknown, unit: string, depth: number): string {
  return JSON.stringify(value, null, unit).replace(/\n/g, `\n${unit.repeat(depth)}`)
}

/** The document's own: what its first member is indented by. */
function indentation(text: string): string {
  return /^\s*\{[ \t\r]*\n([ \t]+)"/.exec(text)?.[1] ?? '    '
}

function insert(
  text: string,
  object: number,
  members: Member[],
  member: string,
  unit: string,
  depth: number,
): string {
  const last = members.at(-1)
  const inner = `\n${unit.repeat(depth)}`
  if (last !== undefined)
    return `${text.slice(0, last.end)},${inner}${member}${text.slice(last.end)}`
  const close = skipSpace(text, object + 1)
  return `${text.slice(0, object + 1)}${inner}${member}\n${unit.repeat(depth - 1)}${text.slice(close)}`
}

function cut(text: string, members: Member[], index: number): string {
  const member = members[index]!
  const next = members[index + 1]
  // With the comma behind it, or the one before it when it is the last.
  if (next !== undefined) return text.slice(0, member.start) + text.slice(next.start)
  const before = members[index - 1]
  const from = before?.end ?? text.lastIndexOf('{', member.start) + 1
  const to = before === undefined ? skipSpace(text, member.end) : member.end
  return text.slice(0, from) + text.slice(to)
}

/** The members of the object at `at`, in order. The text is known to be JSON. */
function membersOf(text: string, at: number): Member[] {
  const members: Member[] = []
  let pos = skipSpace(text, at + 1)
  while (text[pos] !== '}') {
    const start = pos
    const keyEnd = skipValue(text, pos)
    const valueStart = skipSpace(text, skipSpace(text, keyEnd) + 1)
    const end = skipValue(text, valueStart)
    members.push({ key: JSON.parse(text.slice(start, keyEnd)) as string, start, valueStart, end })
    pos = skipSpace(text, end)
    if (text[pos] === ',') pos = skipSpace(text, pos + 1)
  }
  const keys = members.map(m => m.key)
  const twice = keys.find((key, i) => keys.indexOf(key) !== i)
  if (twice !== undefined) throw new Error(`"${twice}" is there twice`)
  return members
}

function skipSpace(text: string, at: number): number {
  let pos = at
  while (/\s/.test(text[pos] ?? '')) pos++
  return pos
}

function skipValue(text: string, at: number): number {
  if (text[at] === '"') return skipString(text, at)
  if (text[at] !== '{' && text[at] !== '[') {
    let pos = at
    while (pos < text.length && !/[\s,\]}]/.test(text[pos]!)) pos++
    return pos
  }
  let depth = 0
  for (let pos = at; ; pos++) {
    const char = text[pos]
    if (char === '"') pos = skipString(text, pos) - 1
    else if (char === '{' || char === '[') depth++
    else if ((char === '}' || char === ']') && --depth === 0) return pos + 1
  }
}

function skipString(text: string, at: number): number {
  for (let pos = at + 1; ; pos++) {
    if (text[pos] === '\\') pos++
    else if (text[pos] === '"') return pos + 1
  }
}
