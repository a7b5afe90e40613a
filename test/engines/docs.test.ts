// The commands of docs/docker.md, from the first to the last, as somebody follows them.

import { match } from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { root, run, runsc } from '../run.ts'
import { debianTree, installNeeds } from '../setup.ts'
import { DOCKER, Docker, Engine } from './engine.ts'

/** What begins a line that is a command; other indented lines are files and output. */
const COMMAND = /^(sudo|docker|docker-compose|echo|curl) /
/** Of Docker 24, which Debian does not have yet. */
const NEWER = '--annotation'
const [IMAGE, OTHER] = ['debian:bookworm', 'python:3-slim']

const engine = new Engine()
let reason = ''

beforeAll(async () => {
  try {
    await engine.start([])
  } catch (error) {
    reason = (error as Error).message
  }
  if (reason === '' && !engine.network) reason = 'no bridge'
  if (reason !== '') return console.warn(`skipped: docs/docker.md: ${reason}`)
  installNeeds(['curl', 'docker-compose'])
  engine.importTree(debianTree(), IMAGE)
  engine.docker(['tag', IMAGE, OTHER])
}, 600_000)

afterAll(() => engine.stop(), 60_000)

const text = readFileSync(join(root, 'docs/docker.md'), 'utf8')
const indented = text.split('\n').filter(line => line.startsWith('    '))
const lines = indented.map(line => line.slice(4))

/** Programs that stand for those of the reader's machine, in a directory for PATH. */
function stubs(home: string): string {
  const bin = join(home, 'bin')
  const daemon = `${engine.daemonPid}`
  const scripts: Record<string, string> = {
    sudo: 'exec "$@"',
    // The daemon reads its configuration in its own time.
    systemctl: `[ "$*" = "reload docker" ] && kill -HUP ${daemon} || exit
names() { grep -o '"portcullis[a-z-]*":' | sort; }
until [ "$(${DOCKER} info -f '{{json .Runtimes}}' | names)" = "$(names <${engine.path('daemon.json')})" ]; do sleep 0.1; done`,
    curl: `exec nsenter -t ${daemon} --net -- /usr/bin/curl "$@"`,
    // Who types -t has a terminal.
    docker: `case " $* " in *" -it "*) exec script -qec "${DOCKER} $*" /dev/null ;; esac\nexec ${DOCKER} "$@"`,
  }
  mkdirSync(bin)
  for (const [name, script] of Object.entries(scripts))
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  mkdirSync(join(home, 'runsc/bin'), { recursive: true })
  const ours = `command=$1; shift; exec ${runsc} "$command" --config_file ${engine.path('daemon.json')} "$@"`
  writeFileSync(join(home, 'runsc/bin/runsc'), `#!/bin/sh\n${ours}\n`, { mode: 0o755 })
  return bin
}

it('docs/docker.md shows commands that work', context => {
  if (reason !== '') return context.skip(reason)
  const home = engine.path('home')
  // What is left when this is tried again.
  new Docker(engine, '').clean()
  rmSync(home, { recursive: true, force: true })
  mkdirSync(home)
  const env = { ...engine.env(), PATH: `${stubs(home)}:${process.env.PATH}` }
  const compose = lines.slice(lines.indexOf('version: "2.4"'))
  const end = compose.findIndex(line => COMMAND.test(line))
  writeFileSync(join(home, 'docker-compose.yml'), `${compose.slice(0, end).join('\n')}\n`)
  const commands = lines.filter(line => COMMAND.test(line) && !line.includes(NEWER))
  expect(commands.length).toBeGreaterThan(25)
  const said = new Map<string, string>()
  for (const line of commands) {
    const { status, stdout, stderr } = run('sh', ['-c', line], {
      cwd: home,
      env,
      // What is typed into a shell on a terminal.
      input: 'echo typed; exit\n',
      seconds: 120,
    })
    expect({ line, status, stderr: status === 0 ? '' : stdout + stderr }).toEqual({
      line,
      status: 0,
      stderr: '',
    })
    said.set(line, stdout)
  }
  const answer = (start: string) => said.get(commands.find(line => line.startsWith(start))!)!
  match(answer('docker run --rm --runtime=portcullis debian:bookworm uname'), /^\d.*portcullis$/m)
  match(answer('docker run --rm --runtime=portcullis -it'), /typed/)
  match(answer('docker exec -it box'), /typed/)
  match(answer('docker exec box sh'), /^\d\d+$/m)
  match(answer('docker stats'), / \/ 256MiB /)
  match(answer('docker top'), /sleep infinity/)
  match(answer('docker diff'), /^A \/root\/copy.txt$/m)
  match(answer('curl'), /^It works\.$/m)
  match(answer('docker-compose logs'), /200/)
}, 600_000)

it('leaves nothing behind', async context => {
  if (reason !== '') return context.skip(reason)
  await new Docker(engine, '')
    .until('all ends', () => engine.remains().length === 0)
    .catch(() => {})
  expect(engine.remains()).toEqual([])
})
