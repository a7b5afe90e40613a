// Looking into a container that runs: exec, top, stats, and its files from outside.

import { equal, match, ok } from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { IMAGE, type Row } from '../engine.ts'

export const execRows: Row[] = [
  {
    name: 'exec: output and exit status',
    quick: true,
    test(d) {
      d.sleeper('exec')
      equal(d.exec('exec', 'echo hi'), 'hi')
      equal(d.docker('exec', 'exec', 'sh', '-c', 'exit 9').status, 9)
      equal(d.docker('exec', 'exec', 'sh', '-c', 'kill -9 $$').status, 137)
      equal(d.docker('exec', 'exec', 'nope').status, 126)
    },
  },
  {
    name: 'exec: environment, directory, user',
    quick: true,
    test(d) {
      d.sleeper('exec')
      const options = ['-e', 'A=v', '-w', '/tmp', '-u', '5']
      equal(d.exec('exec', 'echo $A $PWD $(id -u)', ...options), 'v /tmp 5')
    },
  },
  {
    name: 'exec -i',
    test(d) {
      d.sleeper('exec')
      equal(d.engine.docker(['exec', '-i', 'exec', 'cat'], { input: 'in' }).stdout, 'in')
    },
  },
  {
    name: 'exec -i: a megabyte',
    test(d) {
      d.sleeper('exec')
      const args = ['exec', '-i', 'exec', 'sh', '-c', 'tee /big | wc -c; wc -c </big']
      const { stdout } = d.engine.docker(args, { input: 'x'.repeat(1 << 20) })
      equal(stdout, '1048576\n1048576\n')
    },
  },
  {
    name: 'exec -d',
    async test(d) {
      d.sleeper('exec')
      d.ok('exec', '-d', 'exec', 'sh', '-c', 'echo x >/d')
      await d.until('written', () => d.docker('exec', 'exec', 'cat', '/d').stdout === 'x\n')
    },
  },
  {
    name: 'exec -t: a terminal with a name',
    quick: true,
    test(d) {
      d.sleeper('exec')
      equal(d.ok('exec', '-t', 'exec', 'tty'), '/dev/pts/0')
    },
  },
  {
    name: 'exec -t: the size of the client’s terminal',
    test(d) {
      d.sleeper('exec')
      const fits = 'until stty size | grep -q "33 77"; do sleep 0.1; done; echo fits'
      const args = ['exec', '-it', 'exec', 'sh', '-c', fits]
      match(d.onTerminal(args, { size: 'rows 33 cols 77' }).stdout, /fits/)
    },
  },
  {
    name: 'exec --privileged',
    test(d) {
      // Docker's seccomp profile stays, and forbids mount(2).
      d.sleeper('exec', '--security-opt', 'seccomp=unconfined')
      const script = 'mkdir -p /m && mount -t tmpfs none /m && grep -c " /m " /proc/mounts'
      equal(d.exec('exec', script, '--privileged'), '1')
    },
  },
  {
    name: 'run --privileged',
    test: d =>
      equal(d.sh(['--privileged'], 'hostname new && mount -t tmpfs none /tmp && hostname'), 'new'),
  },
  {
    name: 'top: init, exec’d processes, and their children',
    quick: true,
    async test(d) {
      d.keep('top', IMAGE, 'sh', '-c', 'sleep 444 & wait')
      d.ok('exec', '-d', 'top', 'sleep', '333')
      await d.until('all', () => /sleep 444/.test(d.docker('top', 'top').stdout))
      await d.until('exec', () => /sleep 333/.test(d.docker('top', 'top').stdout))
      const top = d.ok('top', 'top', '-o', 'pid,args')
      match(top, /\d+ +sh -c sleep 444 & wait$/m)
      match(top, /\d+ +sleep 444$/m)
      match(top, /\d+ +sleep 333$/m)
      equal(top.split('\n').length, 4)
    },
  },
  {
    name: 'stats: memory, tasks',
    quick: true,
    test(d) {
      d.sleeper('stats', '--memory', '200m')
      const format = '{{.MemUsage}} {{.PIDs}}'
      match(
        d.ok('stats', '--no-stream', '--format', format, 'stats'),
        /^[\d.]+[KM]iB \/ 200MiB \d+$/,
      )
    },
  },
  {
    name: 'cp into a running container',
    quick: true,
    test(d) {
      d.sleeper('cp')
      d.ok('cp', d.file('in'), 'cp:/tmp/in')
      d.ok('cp', d.file('in'), 'cp:/root/in')
      equal(d.exec('cp', 'cat /tmp/in /root/in'), 'inin')
    },
  },
  {
    name: 'cp over what a container has read',
    test(d) {
      const script = 'mkdir /root/d; echo old | tee /root/d/in >/root/in; trap "cat /root/in" USR1;'
      d.keep(
        'cp',
        IMAGE,
        'sh',
        '-c',
        `${script} while :; do cat /root/in >/dev/null; sleep 0.1; done`,
      )
      equal(
        d.exec('cp', 'until cat /root/in 2>/dev/null; do sleep 0.1; done; ls /root'),
        'old\nd\nin',
      )
      d.ok('cp', d.file('new'), 'cp:/root/in')
      equal(d.exec('cp', 'cat /root/in; cat /root/later 2>/dev/null || ls /root/d'), 'newin')
      d.ok('cp', d.file('later'), 'cp:/root/later')
      d.ok('cp', d.file('changed'), 'cp:/root/d/in')
      equal(d.exec('cp', 'cat /root/later /root/d/in'), 'laterchanged')
      d.ok('cp', d.file('signalled\n'), 'cp:/root/in')
      d.ok('kill', '-s', 'USR1', 'cp')
      return d.until('the new text', () => d.ok('logs', 'cp') === 'signalled')
    },
  },
  {
    name: 'cp out of a running container',
    quick: true,
    test(d) {
      d.sleeper('cp')
      d.exec('cp', 'mkdir /tmp/d; echo out >/tmp/d/new')
      const to = d.fresh()
      d.ok('cp', 'cp:/tmp/d', to)
      equal(readFileSync(join(to, 'new'), 'utf8'), 'out\n')
    },
  },
  {
    name: 'diff',
    quick: true,
    test(d) {
      d.sleeper('diff')
      d.exec('diff', 'echo new >/root/new; rm /etc/group; echo >>/etc/passwd')
      const lines = d.ok('diff', 'diff').split('\n')
      for (const line of ['A /root/new', 'D /etc/group', 'C /etc/passwd'])
        ok(lines.includes(line), `${line} in ${lines}`)
    },
  },
  {
    name: 'commit',
    quick: true,
    test(d) {
      d.sleeper('commit')
      d.exec('commit', 'echo new >/root/new; rm /etc/group')
      d.ok('commit', '-c', 'ENV A=b', 'commit', 'cm:1')
      equal(
        d.run('cm:1', 'sh', '-c', 'cat /root/new; ls /etc/group 2>/dev/null; echo $A'),
        'new\nb',
      )
    },
  },
  {
    name: 'export',
    test(d) {
      d.sleeper('export')
      d.exec('export', 'echo new >/root/new')
      const tar = d.fresh()
      d.ok('export', '-o', tar, 'export')
      equal(d.engine.inside('tar', ['xOf', tar, 'root/new']).stdout, 'new\n')
    },
  },
  {
    name: 'inspect: the pid is a process of the host',
    test(d) {
      d.sleeper('pid')
      ok(existsSync(`/proc/${d.state('pid', 'Pid')}/stat`))
    },
  },
]
