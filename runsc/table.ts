// Tables for people, with columns as wide as their widest cell.

/** One line for each row; the first is the head. */
export function textTable(rows: readonly (readonly string[])[], gap = 3): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join(' '.repeat(gap))
      .trimEnd()
  return rows.map(row => `${line(row)}\n`).join('')
}
