// docker build with runsc as the engine's default runtime, and what is done with images afterwards.

import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { heavy } from '../run.ts'
import { debianTree } from '../setup.ts'
import { DEBIAN, Docker, Engine, IMAGE, output } from './engine.ts'
import { OURS } from './features.ts'

const engine = new Engine()
const docker = new Docker(engine, OURS.name)
let reason = ''

beforeAll(async () => {
  try {
    await engine.start([OURS], { 'default-runtime': OURS.name })
  } catch (error) {
    reason = (error as Error).message
    console.warn(`skipped: docker build: ${reason}`)
    return
  }
  if (heavy) engine.importTree(debianTree(), DEBIAN)
}, 600_000)

afterAll(() => engine.stop(), 60_000)

/** Build an image of these files, one of which is the Dockerfile. */
function build(tag: string, files: Record<string, string>, ...options: string[]): void {
  const context = docker.fresh()
  mkdirSync(context)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(context, name), text)
  const { status, stdout, stderr } = engine.docker(
    ['build', '--network', 'none', '--no-cache', '-t', tag, ...options, context],
    { seconds: 300 },
  )
  deepEqual({ status, failure: status === 0 ? '' : stdout + stderr }, { status: 0, failure: '' })
}

describe('docker build', () => {
  const row = (name: string, test: () => void) =>
    it(name, context => {
      if (reason !== '') return context.skip(reason)
      test()
    }, 300_000)

  row('has several stages, arguments, users and directories', () => {
    const file = `
      FROM ${IMAGE} AS made
      ARG WHO=nobody
      WORKDIR /src
      COPY in.txt .
      RUN sed "s/WHO/$WHO/" in.txt >out.txt && uname -r >kernel && mkdir -p /opt/a/b && ln -s b /opt/a/c
      FROM ${IMAGE}
      COPY --from=made /src/out.txt /src/kernel /
      COPY --from=made /opt /opt
      RUN echo builder:x:1234:1234::/home/builder:/bin/sh >>/etc/passwd && mkdir -p /home/builder && chown 1234:1234 /home/builder && rm /etc/group && chmod 4755 /bin/busybox
      USER builder
      WORKDIR /home/builder
      RUN id -un >who && pwd >>who
      ENV GREETING=hi
      EXPOSE 80
      VOLUME /data
      LABEL a=b
      ENTRYPOINT ["/bin/sh", "-c"]
      CMD ["echo $GREETING; cat who /out.txt"]`
    build('staged:1', { Dockerfile: file, 'in.txt': 'hello WHO\n' }, '--build-arg', 'WHO=you')
    equal(docker.run('staged:1'), 'hi\nbuilder\n/home/builder\nhello you')
    match(docker.run('staged:1', 'cat /kernel'), /portcullis/)
    const script =
      'stat -c "%a %u" /bin/busybox /home/builder/who; readlink /opt/a/c; ls /etc/group'
    const { stdout, stderr } = docker.try('staged:1', script)
    equal(stdout, '4755 0\n644 1234\nb\n')
    match(stderr, /\/etc\/group: No such file/)
    equal(
      docker.ok('inspect', '-f', '{{.Config.User}} {{.Config.Labels.a}}', 'staged:1'),
      'builder b',
    )
  })

  row('fails where a step fails', () => {
    const context = docker.fresh()
    mkdirSync(context)
    writeFileSync(join(context, 'Dockerfile'), `FROM ${IMAGE}\nRUN echo out && exit 3\n`)
    const { status, stdout, stderr } = docker.docker('build', '--network', 'none', context)
    ok(status !== 0)
    match(stdout, /^out$/m)
    match(stderr, /exit 3' returned a non-zero code: 3/)
  })

  row('images: commit, save, load, export, import, history', () => {
    docker.sleeper('worked')
    docker.exec(
      'worked',
      'mkdir /made && echo text >/made/file && chown 5:6 /made/file && rm -r /root',
    )
    deepEqual(docker.ok('diff', 'worked').split('\n').sort(), [
      'A /made',
      'A /made/file',
      'D /root',
    ])
    docker.ok('commit', '-m', 'worked on', 'worked', 'worked:1')
    match(docker.ok('history', 'worked:1'), /worked on/)
    const check = 'stat -c "%u:%g" /made/file; cat /made/file; ls -d /root 2>/dev/null || echo gone'
    const whole = '5:6\ntext\ngone'
    equal(docker.run('worked:1', 'sh', '-c', check), whole)
    const [saved, exported] = [docker.fresh(), docker.fresh()]
    docker.ok('save', '-o', saved, 'worked:1')
    docker.ok('rmi', 'worked:1')
    match(docker.ok('load', '-i', saved), /worked:1/)
    equal(docker.run('worked:1', 'sh', '-c', check), whole)
    docker.ok('export', '-o', exported, 'worked')
    docker.ok('import', exported, 'imported:1')
    equal(docker.run('imported:1', 'sh', '-c', check), whole)
    docker.clean()
  })

  it.runIf(heavy)(
    'compiles in Debian what runs without it',
    () => {
      const file = `
      FROM ${DEBIAN} AS build
      WORKDIR /src
      COPY main.c .
      RUN gcc -static -O2 -o hello main.c && ./hello
      FROM scratch
      COPY --from=build /src/hello /hello
      ENTRYPOINT ["/hello"]`
      const main = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'
      build('compiled:1', { Dockerfile: file, 'main.c': main })
      equal(output(docker.docker('run', '--rm', 'compiled:1')), 'hello')
    },
    300_000,
  )
})
