// How a container starts, what it says, and how it ends.

import { deepEqual, equal, match } from 'node:assert/strict'
import { run } from '../../run.ts'
import { DOCKER, IMAGE, type Row } from '../engine.ts'

const WAITS = 'trap "exit 7" TERM; trap "echo usr1" USR1; echo up; while :; do sleep 0.1; done'

export const lifeRows: Row[] = [
  { name: 'run: output', quick: true, test: d => equal(d.run(IMAGE, 'echo', 'hi'), 'hi') },
  {
    name: 'run: exit status',
    quick: true,
    test: d => equal(d.try(IMAGE, 'sh', '-c', 'exit 7').status, 7),
  },
  {
    name: 'run: 127 for a program that is missing',
    quick: true,
    test(d) {
      equal(d.try(IMAGE, 'nope').status, 127)
      equal(d.try(IMAGE, '/nope').status, 127)
    },
  },
  {
    name: 'run: 126 for what cannot be executed',
    quick: true,
    test: d => equal(d.try(IMAGE, '/etc').status, 126),
  },
  {
    name: 'run: 128 and more for a signal',
    test: d => equal(d.try('--init', IMAGE, 'sh', '-c', 'kill -9 $$').status, 137),
  },
  {
    name: 'run -i: standard input',
    quick: true,
    test(d) {
      const args = ['run', '--rm', '-i', '--runtime', d.runtime, IMAGE, 'cat']
      equal(d.engine.docker(args, { input: 'hello' }).stdout, 'hello')
    },
  },
  {
    name: 'run: standard error apart from standard output',
    test(d) {
      const { stdout, stderr } = d.try(IMAGE, 'sh', '-c', 'echo out; echo err >&2')
      deepEqual([stdout, stderr], ['out\n', 'err\n'])
    },
  },
  {
    name: 'run -t: a terminal with a name',
    quick: true,
    test(d) {
      const args = ['run', '--rm', '-it', '--runtime', d.runtime, IMAGE, 'tty']
      match(d.onTerminal(args).stdout, /\/dev\/pts\/0\r$/m)
    },
  },
  {
    name: 'run -t: the size of the client’s terminal',
    test(d) {
      const fits = 'until stty size | grep -q "33 77"; do sleep 0.1; done; echo fits'
      const args = ['run', '--rm', '-it', '--runtime', d.runtime, IMAGE, 'sh', '-c', fits]
      match(d.onTerminal(args, { size: 'rows 33 cols 77' }).stdout, /fits/)
    },
  },
  {
    name: 'run -t: detach keys',
    async test(d) {
      const args = [
        'run',
        '-it',
        '--name',
        'keys',
        '--detach-keys',
        'ctrl-x',
        '--runtime',
        d.runtime,
      ]
      d.onTerminal([...args, IMAGE, 'cat'], { input: '\x18' })
      equal(d.state('keys', 'Running'), 'true')
    },
  },
  {
    name: 'run -d, logs',
    async test(d) {
      d.keep('logs', IMAGE, 'sh', '-c', 'echo one; sleep 0.2; echo two')
      await d.until('logs', () => d.docker('logs', 'logs').stdout === 'one\ntwo\n')
      equal(d.ok('logs', '--tail', '1', 'logs'), 'two')
    },
  },
  {
    name: 'logs -f, until the end',
    test(d) {
      d.keep('follow', IMAGE, 'sh', '-c', 'for i in 1 2 3; do echo $i; sleep 0.3; done')
      equal(d.ok('logs', '-f', 'follow'), '1\n2\n3')
    },
  },
  {
    name: 'wait',
    test(d) {
      d.keep('wait', IMAGE, 'sh', '-c', 'sleep 0.3; exit 5')
      equal(d.ok('wait', 'wait'), '5')
    },
  },
  {
    name: 'attach',
    test(d) {
      d.keep('attach', '-i', IMAGE, 'sh', '-c', 'read x; echo got $x; exit 4')
      // A client whose input ends does not wait for output.
      const typed = `(echo it; sleep 2) | ${DOCKER} attach attach`
      const { status, stdout } = run('sh', ['-c', typed], { env: d.engine.env() })
      deepEqual([status, stdout], [4, 'got it\n'])
    },
  },
  {
    name: 'create, start -ai',
    quick: true,
    test(d) {
      d.ok('create', '-i', '--name', 'ai', '--runtime', d.runtime, IMAGE, 'cat')
      equal(d.engine.docker(['start', '-ai', 'ai'], { input: 'abc' }).stdout, 'abc')
    },
  },
  {
    name: 'start again: the files are kept',
    test(d) {
      d.ok(
        'create',
        '--name',
        'twice',
        '--runtime',
        d.runtime,
        IMAGE,
        'sh',
        '-c',
        'echo x >>/f; cat /f',
      )
      equal(d.ok('start', '-a', 'twice'), 'x')
      equal(d.ok('start', '-a', 'twice'), 'x\nx')
    },
  },
  {
    name: 'rename',
    test(d) {
      d.sleeper('before')
      d.ok('rename', 'before', 'after')
      equal(d.exec('after', 'echo there'), 'there')
    },
  },
  {
    name: 'restart',
    async test(d) {
      d.keep('again', IMAGE, 'sh', '-c', WAITS)
      await d.until('up', () => d.docker('logs', 'again').stdout === 'up\n')
      d.ok('restart', '-t', '20', 'again')
      await d.until('up twice', () => d.docker('logs', 'again').stdout === 'up\nup\n')
    },
  },
  {
    name: 'stop: TERM is handled',
    quick: true,
    async test(d) {
      d.keep('stop', IMAGE, 'sh', '-c', WAITS)
      await d.until('up', () => d.docker('logs', 'stop').stdout === 'up\n')
      d.ok('stop', '-t', '20', 'stop')
      equal(d.state('stop', 'ExitCode'), '7')
    },
  },
  {
    name: 'stop: the first process is protected, then killed',
    quick: true,
    test(d) {
      d.sleeper('init')
      d.ok('kill', '-s', 'TERM', 'init')
      d.ok('kill', '-s', 'INT', 'init')
      equal(d.state('init', 'Running'), 'true')
      d.ok('stop', '-t', '1', 'init')
      equal(d.state('init', 'ExitCode'), '137')
    },
  },
  {
    name: '--stop-signal',
    async test(d) {
      const script = 'trap "exit 9" USR1; echo up; while :; do sleep 0.1; done'
      d.keep('signal', '--stop-signal', 'USR1', IMAGE, 'sh', '-c', script)
      await d.until('up', () => d.docker('logs', 'signal').stdout === 'up\n')
      d.ok('stop', '-t', '20', 'signal')
      equal(d.state('signal', 'ExitCode'), '9')
    },
  },
  {
    name: 'kill -s USR1',
    quick: true,
    async test(d) {
      d.keep('usr1', IMAGE, 'sh', '-c', WAITS)
      await d.until('up', () => d.docker('logs', 'usr1').stdout === 'up\n')
      d.ok('kill', '-s', 'USR1', 'usr1')
      await d.until('usr1', () => d.docker('logs', 'usr1').stdout === 'up\nusr1\n')
    },
  },
  {
    name: 'kill',
    test(d) {
      d.sleeper('kill')
      d.ok('kill', 'kill')
      d.docker('wait', 'kill')
      equal(d.state('kill', 'ExitCode'), '137')
    },
  },
  {
    name: 'the shim is killed: the container ends',
    async test(d) {
      const id = d.sleeper('orphan')
      const lines = run('ps', ['-eo', 'pid=,args=']).stdout.split('\n')
      const shims = lines.filter(line => line.includes('containerd-shim') && line.includes(id))
      equal(shims.length, 1)
      process.kill(Number.parseInt(shims[0]!, 10), 'SIGKILL')
      await d.until('its end', () => d.state('orphan', 'Status') === 'exited')
      d.ok('rm', 'orphan')
    },
  },
  {
    name: 'rm -f of a running container',
    test(d) {
      d.sleeper('gone')
      d.ok('rm', '-f', 'gone')
      equal(d.docker('inspect', 'gone').status, 1)
    },
  },
  {
    name: 'pause: the program stands still, a client waits',
    quick: true,
    async test(d) {
      d.keep('pause', IMAGE, 'sh', '-c', 'while :; do echo x >>/x; sleep 0.05; done')
      await d.until('runs', () => Number(d.exec('pause', 'wc -l </x')) > 2)
      d.ok('pause', 'pause')
      equal(d.state('pause', 'Status'), 'paused')
      match(d.docker('exec', 'pause', 'true').stderr, /paused/)
      const copied = d.fresh()
      const lines = () => {
        d.ok('cp', 'pause:/x', copied)
        return d.engine.inside('wc', ['-l', copied]).stdout
      }
      equal(lines(), lines())
    },
  },
  {
    name: 'kill and rm -f of a paused container',
    test(d) {
      for (const name of ['killed', 'removed']) {
        d.sleeper(name)
        d.ok('pause', name)
      }
      d.ok('kill', 'killed')
      d.ok('wait', 'killed')
      equal(d.state('killed', 'ExitCode'), '137')
      d.ok('rm', '-f', 'removed')
    },
  },
  {
    name: 'unpause',
    async test(d) {
      d.keep('unpause', IMAGE, 'sh', '-c', WAITS)
      d.ok('pause', 'unpause')
      d.ok('unpause', 'unpause')
      equal(d.exec('unpause', 'echo on'), 'on')
      d.ok('stop', '-t', '20', 'unpause')
      equal(d.state('unpause', 'ExitCode'), '7')
    },
  },
  {
    name: 'health checks',
    quick: true,
    async test(d) {
      const check = [
        '--health-cmd',
        'test -e /ok',
        '--health-interval',
        '300ms',
        '--health-retries',
        '1',
      ]
      d.sleeper('health', ...check)
      await d.until('unhealthy', () => d.state('health', 'Health.Status') === 'unhealthy')
      d.exec('health', 'touch /ok')
      await d.until('healthy', () => d.state('health', 'Health.Status') === 'healthy')
    },
  },
  {
    name: 'restart policy: on-failure:2',
    quick: true,
    async test(d) {
      d.keep('fails', '--restart', 'on-failure:2', IMAGE, 'false')
      const count = () => d.ok('inspect', '-f', '{{.RestartCount}}', 'fails')
      await d.until('restarted', () => count() === '2')
    },
  },
  {
    name: 'restart policy: always, after a kill',
    async test(d) {
      d.keep('always', '--restart', 'always', IMAGE, 'sh', '-c', 'echo up; sleep 1000')
      await d.until('up', () => d.docker('logs', 'always').stdout === 'up\n')
      // Docker's own kill counts as the user's wish; this is a crash.
      process.kill(Number(d.state('always', 'Pid')), 'SIGKILL')
      await d.until('up again', () => d.docker('logs', 'always').stdout === 'up\nup\n')
    },
  },
  {
    name: 'events',
    async test(d) {
      const label = `events=${d.runtime}`
      d.run('--label', label, IMAGE, 'true')
      const filter = ['--filter', `label=${label}`, '--format', '{{.Action}}']
      const seen = () => d.ok('events', '--since', '1m', '--until', '0s', ...filter).split('\n')
      // It tells of whole seconds that are over.
      await d.until('the last event', () => seen().includes('destroy'))
      const life = seen().filter(action => action !== 'attach')
      deepEqual(life, ['create', 'start', 'die', 'destroy'])
    },
  },
]
