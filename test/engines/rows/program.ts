// What a program is started with: user, rights, environment, limits, resources.

import { equal, match, ok } from 'node:assert/strict'
import { DEBIAN, IMAGE, type Row } from '../engine.ts'

const status = (field: string) => `awk '/^${field}:/ {print $2}' /proc/self/status`

export const programRows: Row[] = [
  { name: '--user by number', test: d => equal(d.sh(['-u', '5:6'], 'id -u; id -g'), '5\n6') },
  {
    name: '--user by name',
    test: d => equal(d.sh(['-u', 'nobody'], 'id -un; id -gn'), 'nobody\nnogroup'),
  },
  {
    name: '--group-add',
    test: d => equal(d.sh(['-u', '5:6', '--group-add', '77'], 'id -G'), '6 77'),
  },
  {
    name: '--cap-drop ALL',
    quick: true,
    test(d) {
      equal(d.sh(['--cap-drop', 'ALL'], status('CapEff')), '0000000000000000')
      equal(d.try('--cap-drop', 'ALL', IMAGE, 'chown', '5', '/tmp').status, 1)
    },
  },
  {
    name: '--cap-add SYS_ADMIN',
    test(d) {
      const options = ['--cap-add', 'SYS_ADMIN', '--security-opt', 'apparmor=unconfined']
      const script = 'mkdir /m && mount -t tmpfs none /m && grep -c " /m " /proc/mounts'
      equal(d.sh(options, script), '1')
    },
  },
  {
    name: 'the default capabilities',
    test: d => equal(d.sh([], status('CapEff')), '00000000a80425fb'),
  },
  {
    name: '--hostname',
    test: d => equal(d.sh(['--hostname', 'hh'], 'hostname; grep -c hh /etc/hosts'), 'hh\n1'),
  },
  {
    name: '--domainname',
    test: d => equal(d.sh(['--domainname', 'd.e'], 'cat /proc/sys/kernel/domainname'), 'd.e'),
  },
  { name: '-w', test: d => equal(d.sh(['-w', '/made/here'], 'pwd'), '/made/here') },
  {
    name: '-e, --env-file',
    test(d) {
      const file = d.file('B=file\n')
      equal(d.sh(['-e', 'A=x y', '--env-file', file], 'echo $A $B'), 'x y file')
    },
  },
  {
    name: '--entrypoint',
    test: d => equal(d.run('--entrypoint', '/bin/echo', IMAGE, 'a', 'b'), 'a b'),
  },
  {
    name: '--init',
    test: d =>
      match(
        d.sh(['--init'], 'cat /proc/1/cmdline | tr "\\0" " "; echo; echo $$'),
        /docker-init.*\n[^1]/,
      ),
  },
  {
    name: '--ulimit',
    test: d => equal(d.sh(['--ulimit', 'nofile=99:199'], 'ulimit -Sn; ulimit -Hn'), '99\n199'),
  },
  {
    name: '--security-opt no-new-privileges',
    test: d => equal(d.sh(['--security-opt', 'no-new-privileges'], status('NoNewPrivs')), '1'),
  },
  {
    name: '--security-opt seccomp=FILE',
    quick: true,
    test(d) {
      const rule = { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 }
      const profile = d.file(
        JSON.stringify({
          defaultAction: 'SCMP_ACT_ALLOW',
          architectures: ['SCMP_ARCH_X86_64'],
          syscalls: [rule],
        }),
      )
      match(
        d.try('--security-opt', `seccomp=${profile}`, IMAGE, 'mkdir', '/x').stderr,
        /Function not implemented/,
      )
    },
  },
  {
    name: '--security-opt: unconfined',
    test(d) {
      const options = ['seccomp=unconfined', 'apparmor=unconfined', 'label=disable']
      equal(
        d.sh(
          options.flatMap(one => ['--security-opt', one]),
          status('Seccomp'),
        ),
        '0',
      )
    },
  },
  {
    name: '--cgroupns',
    test(d) {
      const script = 'cut -d: -f3 /proc/self/cgroup | sort -u'
      equal(d.sh(['--cgroupns', 'private'], script), '/')
      equal(d.sh(['--cgroupns', 'host'], 'echo on'), 'on')
    },
  },
  {
    name: 'Docker’s seccomp profile is enforced',
    test: d => equal(d.sh([], status('Seccomp')), '2'),
  },
  {
    name: '--sysctl',
    test: d =>
      equal(
        d.sh(
          [
            ...['--sysctl', 'net.core.somaxconn=77', '--sysctl', 'kernel.msgmax=9000'],
            ...['--sysctl', 'net.ipv4.tcp_syncookies=0'],
          ],
          'cd /proc/sys; cat net/core/somaxconn kernel/msgmax net/ipv4/tcp_syncookies',
        ),
        '77\n9000\n0',
      ),
  },
  {
    name: '--memory: the limit is seen, and OOMKilled',
    async test(d) {
      const options = ['--memory', '80m', '--memory-swap', '80m']
      d.keep('oom', ...options, IMAGE, 'sh', '-c', 'head -c 200m /dev/zero | tail')
      d.docker('wait', 'oom')
      equal(d.state('oom', 'OOMKilled'), 'true')
      const limit =
        'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max'
      equal(d.sh(options, limit), String(80 << 20))
    },
  },
  {
    name: '--cpus: throttled',
    async test(d) {
      const id = d.keep('cpus', '--cpus', '0.1', IMAGE, 'sh', '-c', 'while :; do :; done')
      const throttled = () =>
        Number(d.engine.cgroupFile(id, 'cpu', 'cpu.stat').match(/nr_throttled (\d+)/)![1])
      await d.until('throttled', () => throttled() > 3)
    },
  },
  {
    name: '--cpuset-cpus',
    test: d =>
      equal(
        d.sh(['--cpuset-cpus', '0'], 'nproc; grep Cpus_allowed_list /proc/self/status'),
        '1\nCpus_allowed_list:\t0',
      ),
  },
  {
    name: '--pids-limit',
    quick: true,
    test(d) {
      const script = 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 3 & done; echo all'
      const { status, stdout, stderr } = d.try('--pids-limit', '10', IMAGE, 'sh', '-c', script)
      ok(status !== 0 && stdout === '', stdout)
      match(stderr, /Resource temporarily unavailable/)
      equal(d.sh(['--pids-limit', '10'], 'sleep 0.1 & wait; echo few'), 'few')
    },
  },
  {
    name: 'update --memory --cpus --pids-limit',
    quick: true,
    test(d) {
      const id = d.sleeper('update', '--memory', '100m', '--memory-swap', '100m')
      d.ok(
        'update',
        '--memory',
        '200m',
        '--memory-swap',
        '200m',
        '--cpus',
        '0.5',
        '--pids-limit',
        '50',
        'update',
      )
      const memory = () => {
        try {
          return d.engine.cgroupFile(id, 'memory', 'memory.limit_in_bytes')
        } catch {
          return d.engine.cgroupFile(id, 'memory', 'memory.max')
        }
      }
      equal(memory(), `${200 << 20}\n`)
      match(d.ok('stats', '--no-stream', '--format', '{{.MemUsage}}', 'update'), /200MiB/)
    },
  },
  {
    name: '--oom-score-adj',
    test: d => equal(d.sh(['--oom-score-adj', '300'], 'cat /proc/self/oom_score_adj'), '300'),
  },
  {
    name: 'a Debian image: apt and dpkg',
    needs: ['debian'],
    test(d) {
      const script =
        'apt list --installed 2>/dev/null | wc -l; dpkg -l | grep -c ^ii; . /etc/os-release; echo $ID'
      const [apt, dpkg, id] = d.run(DEBIAN, 'bash', '-c', script).split('\n')
      ok(Number(dpkg) > 80, dpkg)
      equal(Number(apt), Number(dpkg) + 1)
      equal(id, 'debian')
    },
  },
]
