// Measures the gofer in two processes: run it with Node; the argument is the tree to list (default /usr).

import { FileAttr } from '../../../../gofer/protocol.ts'
import { close } from '../../../../native/index.ts'
import { O_RDONLY, S_IFDIR } from '../../../../syscall-table/flags.ts'
import { type Page, PageReader } from '../dir-page.ts'
import { WalkResult } from '../results.ts'
import { spawnGofer } from './spawn.ts'

const tree = process.argv[2] ?? '/usr'
const { client } = spawnGofer(`1:${tree}`, '1:/')
const attr = new FileAttr()
const found = new WalkResult()
const root = client.attach(0, attr)
const slash = client.attach(1, attr)

measure('getattr', 50_000, () => client.getattr(root, attr))
measure('walk of 3 components', 30_000, () => {
  client.walk(slash, ['usr', 'bin', 'env'], 0, 3, found)
  client.close(found.handles[2]!)
})
client.walk(slash, ['usr', 'bin', 'env'], 0, 3, found)
const file = found.handles[2]!
measure('open (descriptor donated and closed)', 30_000, () => close(client.open(file, O_RDONLY)))
for (let i = 0; i < 3; i++) listTree()
close(client.socket)

function measure(what: string, count: number, action: () => void): void {
  for (let i = 0; i < count / 5; i++) action()
  const start = performance.now()
  for (let i = 0; i < count; i++) action()
  const each = ((performance.now() - start) * 1000) / count
  console.log(`${what}: ${each.toFixed(2)} µs`)
}

function listTree(): void {
  let entries = 0
  let directories = 0
  const pages = new PageReader()
  const queue: number[] = [client.attach(0, attr)]
  const start = performance.now()
  for (let dir = queue.pop(); dir !== undefined; dir = queue.pop()) {
    directories++
    const names: string[] = []
    let last: Page | null = null
    do {
      if (client.readdir(dir, last?.cookieLow ?? 0, last?.cookieHigh ?? 0, pages) < 0) break
      const page: Page = pages.page!
      for (let at = page.first; at < page.end; at = page.after(at)) {
        entries++
        if (page.type(at) === S_IFDIR) names.push(page.name(at))
      }
      last = page
    } while (!last.complete)
    for (const name of names) {
      if (client.walk(dir, [name], 0, 1, found) === 1) queue.push(found.handles[0]!)
    }
    client.close(dir)
  }
  const ms = performance.now() - start
  console.log(`list ${tree}: ${entries} entries, ${directories} directories, ${ms.toFixed(0)} ms`)
}
