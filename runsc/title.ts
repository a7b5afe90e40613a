// The command line that the process standing for a program shows, in `docker top` for one.

const MAX_WORDS = 64
/** The rest of what the host takes for a new program must have room beside it. */
const MAX_BYTES = 1 << 15

/** As many words as have room. */
export function shownWords(args: readonly string[]): string[] {
  const fitting: string[] = []
  let room = MAX_BYTES
  for (const word of args.slice(0, MAX_WORDS)) {
    room -= Buffer.byteLength(word) + 1
    if (room < 0) break
    fitting.push(word)
  }
  return fitting
}
