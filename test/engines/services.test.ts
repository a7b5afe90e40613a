// Redis, nginx and PostgreSQL of Debian, in an image that `docker build` makes with our runtime; alone, and together
// under docker-compose. Long: PORTCULLIS_HEAVY=1.

import { deepEqual, equal, match } from 'node:assert/strict'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { heavy, type Result, run } from '../run.ts'
import { debianPackages, debianTree, installNeeds } from '../setup.ts'
import { DEBIAN, Docker, Engine, output } from './engine.ts'
import { OURS } from './features.ts'

const SERVICES = 'services:1'
const POSTGRES = '/usr/lib/postgresql/15/bin'
const engine = new Engine()
const docker = new Docker(engine, OURS.name)

const DOCKERFILE = `
FROM ${DEBIAN}
COPY debs /debs
RUN printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
RUN DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends /debs/*.deb
RUN rm -rf /debs && mkdir -p /data && chown postgres:postgres /data
COPY postgres.sh web.py /
VOLUME /data
`
/** What the official image does as well: a cluster on first use, then the server in the foreground. */
const POSTGRES_SCRIPT = `#!/bin/sh
set -e
if [ ! -s /data/PG_VERSION ]; then
  ${POSTGRES}/initdb -D /data --auth=trust --no-sync >/dev/null
  echo 'host all all all trust' >>/data/pg_hba.conf
fi
exec ${POSTGRES}/postgres -D /data -c listen_addresses='*' -c unix_socket_directories=/tmp
`
/** A web application: each request counts a visit in the database. */
const WEB = `
import http.server, socket, subprocess
SQL = "insert into visits default values; select count(*) from visits"
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        count = subprocess.run(["psql", "-qAt", "-h", "db", "-U", "postgres", "-c", SQL], capture_output=True, text=True)
        body = (count.stdout + count.stderr).strip().encode()
        self.send_response(200 if count.returncode == 0 else 500)
        self.end_headers()
        self.wfile.write(b"visits " + body + b" at " + socket.gethostname().encode() + b"\\n")
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("", 80), Page).serve_forever()
`

beforeAll(async () => {
  if (!heavy) return
  installNeeds(['docker-compose', 'curl'])
  await engine.start([OURS], { 'default-runtime': OURS.name })
  engine.importTree(debianTree(), DEBIAN)
}, 600_000)

afterAll(() => engine.stop(), 120_000)

const published = (name: string, port: number) =>
  docker.ok('port', name, `${port}/tcp`).split('\n')[0]!
const crash = (name: string) => process.kill(Number(docker.state(name, 'Pid')), 'SIGKILL')
const curl = (url: string) => engine.inside('curl', ['-sm', '10', url]).stdout
const psql = (name: string, sql: string) =>
  docker.docker('exec', name, 'psql', '-qAt', '-h', '/tmp', '-U', 'postgres', '-c', sql)

async function untilServes(what: string, ask: () => Result): Promise<void> {
  await docker.until(what, () => ask().status === 0)
}

describe.runIf(heavy)('services', () => {
  it('are installed by apt in docker build', () => {
    const context = docker.fresh()
    mkdirSync(context)
    cpSync(debianPackages('redis-server', 'nginx-light', 'postgresql'), join(context, 'debs'), {
      recursive: true,
    })
    writeFileSync(join(context, 'Dockerfile'), DOCKERFILE)
    writeFileSync(join(context, 'postgres.sh'), POSTGRES_SCRIPT, { mode: 0o755 })
    writeFileSync(join(context, 'web.py'), WEB)
    const { status, stdout, stderr } = engine.docker(
      ['build', '--network', 'none', '-t', SERVICES, context],
      { seconds: 900 },
    )
    deepEqual({ status, failure: status === 0 ? '' : stdout + stderr }, { status: 0, failure: '' })
    equal(
      docker.run(
        SERVICES,
        'sh',
        '-c',
        'dpkg --audit; dpkg -l postgresql-15 | tail -1 | cut -c 1-2',
      ),
      'ii',
    )
  }, 1_000_000)

  it('redis keeps its data when it is killed, and comes back when it crashes', async () => {
    const options = ['-v', 'redis:/data', '--restart', 'always', '-p', '127.0.0.1::6379']
    const server = [
      'redis-server',
      '--protected-mode',
      'no',
      '--dir',
      '/data',
      '--appendonly',
      'yes',
    ]
    docker.keep('redis', ...options, SERVICES, ...server, '--appendfsync', 'always')
    const cli = (...args: string[]) => docker.docker('exec', 'redis', 'redis-cli', ...args)
    await untilServes('redis', () => cli('ping'))
    equal(output(cli('set', 'key', 'value')), 'OK')
    const [host, port] = published('redis', 6379).split(':')
    const ask = `exec 3<>/dev/tcp/${host}/${port}; printf 'GET key\\r\\n' >&3; head -n 2 <&3`
    equal(engine.inside('bash', ['-c', ask]).stdout, '$5\r\nvalue\r\n')
    docker.ok('kill', 'redis')
    docker.docker('wait', 'redis')
    docker.ok('start', 'redis')
    await untilServes('redis after a kill', () => cli('ping'))
    equal(output(cli('get', 'key')), 'value')
    crash('redis')
    await docker.until(
      'a restart',
      () => docker.ok('inspect', '-f', '{{.RestartCount}}', 'redis') === '1',
    )
    await untilServes('redis after a crash', () => cli('ping'))
    equal(output(cli('get', 'key')), 'value')
    docker.clean()
  }, 300_000)

  it('nginx serves a volume on a published port, reloads and stops', async () => {
    const site = docker.folder('page\n')
    docker.keep(
      'nginx',
      '-v',
      `${site}:/var/www/html:ro`,
      '-p',
      '127.0.0.1::80',
      SERVICES,
      'nginx',
      '-g',
      'daemon off;',
    )
    const url = `http://${published('nginx', 80)}/f`
    await docker.until('nginx', () => curl(url) === 'page\n')
    match(docker.ok('top', 'nginx'), /nginx: worker process/)
    docker.ok('kill', '-s', 'HUP', 'nginx')
    writeFileSync(join(site, 'f'), 'other\n')
    await docker.until('the new page', () => curl(url) === 'other\n')
    docker.ok('stop', '-t', '20', 'nginx')
    equal(docker.state('nginx', 'ExitCode'), '0')
    docker.clean()
  }, 300_000)

  it('postgres keeps what was committed when it is killed', async () => {
    docker.keep(
      'pg',
      '-u',
      'postgres',
      '-v',
      'pg:/data',
      '--shm-size',
      '128m',
      SERVICES,
      '/postgres.sh',
    )
    await untilServes('postgres', () => psql('pg', 'select 1'))
    output(psql('pg', 'create table t as select generate_series(1, 10000) as n'))
    docker.ok('kill', 'pg')
    docker.docker('wait', 'pg')
    docker.ok('start', 'pg')
    await untilServes('postgres again', () => psql('pg', 'select 1'))
    equal(output(psql('pg', 'select count(*), sum(n) from t')), '10000|50005000')
    match(docker.docker('logs', 'pg').stderr, /automatic recovery|not properly shut down/)
    docker.clean()
  }, 300_000)
})

describe.runIf(heavy)('docker-compose', () => {
  const project = () => engine.path('project')
  const compose = (...args: string[]): Result =>
    run('docker-compose', ['--no-ansi', '-p', 'shop', ...args], {
      cwd: project(),
      env: engine.env(),
      seconds: 300,
    })
  const done = (...args: string[]): string => {
    const { status, stdout, stderr } = compose(...args)
    deepEqual({ status, failure: status === 0 ? '' : stderr }, { status: 0, failure: '' })
    return stdout
  }
  const FILE = `
version: "2.4"
services:
  db:
    image: ${SERVICES}
    runtime: ${OURS.name}
    user: postgres
    command: /postgres.sh
    volumes: ["data:/data"]
    healthcheck:
      test: psql -h /tmp -U postgres -c "create table if not exists visits (n serial)"
      interval: 1s
      retries: 60
  web:
    image: ${SERVICES}
    runtime: ${OURS.name}
    command: python3 /web.py
    ports: ["80"]
    depends_on:
      db: { condition: service_healthy }
volumes:
  data:
`
  const volumes = () => docker.ok('volume', 'ls', '-q', '--filter', 'name=shop')
  const urls = () =>
    done('ps', '-q', 'web')
      .trim()
      .split('\n')
      .map(id => `http://${published(id, 80).replace('0.0.0.0', '127.0.0.1')}/`)

  it('starts a web application behind a healthy database', async () => {
    mkdirSync(project())
    writeFileSync(join(project(), 'docker-compose.yml'), FILE)
    done('up', '-d')
    const [url] = urls()
    await docker.until('the page', () => /^visits 1 at /.test(curl(url!)))
    match(curl(url!), /^visits 2 at /)
  }, 300_000)

  it('restarts a service, and its data is there', async () => {
    done('restart', '-t', '20', 'db')
    await docker.until('the page', () => /^visits \d+ at /.test(curl(urls()[0]!)))
    match(
      done(
        'exec',
        '-T',
        'db',
        'psql',
        '-qAt',
        '-h',
        '/tmp',
        '-U',
        'postgres',
        '-c',
        'select count(*) > 2 from visits',
      ),
      /^t$/m,
    )
  }, 300_000)

  it('scales a service: all answer, under one name', async () => {
    done('up', '-d', '--scale', 'web=3')
    const all = urls()
    equal(all.length, 3)
    for (const url of all) await docker.until(url, () => /^visits \d+ at /.test(curl(url)))
    const lookup = "import socket; print(len({a[4][0] for a in socket.getaddrinfo('web', 80)}))"
    equal(done('exec', '-T', 'db', 'python3', '-c', lookup).trim(), '3')
  }, 300_000)

  it('is gone after down, but for the volume', async () => {
    done('down', '-t', '2')
    equal(docker.ok('ps', '-aq'), '')
    equal(volumes(), 'shop_data')
    done('up', '-d')
    await docker.until('the page', () => /^visits \d+ at /.test(curl(urls()[0]!)))
    done('down', '-v', '-t', '2')
    equal(volumes(), '')
  }, 300_000)
})
