// config.json, field by field: the same bundle under runc and under ours gives the same, or both refuse it.

import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Config, run } from '../run.ts'
import { Workshop } from './both.ts'

let shop: Workshop
beforeAll(() => {
  shop = new Workshop()
}, 120_000)
afterAll(() => shop?.clean())

/** What it is, what is changed, what looks at the result. */
type Case = [what: string, change: (config: Config, bundle: string) => void, script: string]

/** The flags of a mount, without what a file system of the host shows besides. */
const options = (destination: string) =>
  `mount | grep ' ${destination} ' | sed 's/^[^ ]* on//; s/type ext4/type 9p/; s/relatime,.*/relatime)/'`
const mounts =
  (...list: Config[]) =>
  (c: Config): void => {
    c.mounts.push(...list)
  }
const tmpfs = (destination: string, ...opts: string[]): Config => ({
  destination,
  type: 'tmpfs',
  source: 't',
  options: opts,
})
const bind = (source: string, destination: string, ...opts: string[]): Config => ({
  destination,
  type: 'bind',
  source,
  options: opts,
})

const remove = (c: Config, type: string) => {
  c.linux.namespaces = c.linux.namespaces.filter((n: Config) => n.type !== type)
}
const SAME: Case[] = [
  [
    'a tmpfs with everything',
    mounts(tmpfs('/t', 'size=1m', 'mode=700', 'uid=5', 'gid=6', 'nr_inodes=40', 'noexec', 'nodev')),
    "mount | grep ' /t '; stat -c %a:%u:%g /t; head -c 2000000 /dev/zero >/t/x; stat -c %s /t/x; cp /bin/probe /t 2>&1; echo $?",
  ],
  [
    'a tmpfs over what exists has its mode, a new one its own',
    mounts(tmpfs('/bin/../opt/deep/new'), tmpfs('/var')),
    'stat -c %a /opt /opt/deep /opt/deep/new /var',
  ],
  [
    'a tmpfs that is read-only has its mountpoints made first',
    mounts(tmpfs('/t', 'ro'), tmpfs('/t/sub/dir')),
    'touch /t/x; echo $?; touch /t/sub/dir/x; echo $?; ls -R /t',
  ],
  [
    'one file under two mounts',
    (c, bundle) => {
      const source = join(bundle, 'source')
      mkdirSync(source)
      writeFileSync(join(source, 'f'), 'text\n')
      mounts(bind(source, '/one', 'bind'), bind(source, '/two', 'bind'), tmpfs('/t'))(c)
    },
    'stat -c %d / /one /two | uniq | wc -l; stat -c %d /one /t | uniq | wc -l; cp /one/f /two/f 2>&1; cat /two/f; ln /one/f /two/g 2>&1',
  ],
  [
    'an overlay of directories of the host',
    (c, bundle) => {
      const names = ['one', 'two', 'up', 'work'] as const
      const [one, two, upper, work] = names.map(name => join(bundle, name))
      for (const name of names) mkdirSync(join(bundle, name))
      for (const layer of [one!, two!]) writeFileSync(join(layer, 'both'), `${layer.slice(-3)}\n`)
      writeFileSync(join(two!, 'low'), 'low\n')
      const layers = `lowerdir=${one}:${two}`
      const overlay = { type: 'overlay', source: 'overlay' }
      const writable = [layers, `upperdir=${upper}`, `workdir=${work}`, 'nodev', 'private']
      mounts(
        { destination: '/w', ...overlay, options: writable },
        { destination: '/r', ...overlay, options: [layers] },
        bind(upper!, '/up', 'bind'),
      )(c)
    },
    'cat /w/both /w/low /r/both; rm /w/both; ls /w /r; stat -c %F /up/both; echo new >/w/low; cat /r/low /up/low; touch /r/x; echo $?; test -w /r; echo $?',
  ],
  [
    'tmpcopyup',
    mounts(tmpfs('/bin', 'tmpcopyup', 'mode=711')),
    'ls -l /bin | tr -s " " | cut -d" " -f1,3-5,9-; touch /bin/new; stat -c %a /bin; ls /bin/new',
  ],
  [
    'file and directory binds',
    (c, bundle) =>
      c.mounts.push(
        bind(`${bundle}/config.json`, '/a/new/file', 'bind', 'ro'),
        bind('rootfs/bin', '/b', 'rbind', 'nosuid'),
        bind('rootfs/bin', '/c', 'rbind', 'rro'),
        bind('rootfs/bin', '/d', 'bind', 'noexec'),
      ),
    `wc -l </a/new/file; echo x >/a/new/file; touch /b/made; ls /c/made; touch /c/x; rm /c/made; ls /d/made; /d/true; echo $?
     stat -c %F /a/new/file /b; ${options('/b')}; ${options('/c')}; ${options('/a/new/file')}`,
  ],
  [
    'links in destinations',
    (c, bundle) => {
      const at = (name: string) => join(bundle, 'rootfs', name)
      symlinkSync('/var/run', at('run'))
      symlinkSync('../../../../../../tmp', at('up'))
      symlinkSync('/nowhere/yet', at('dangling'))
      c.mounts.push(tmpfs('/run/x'), tmpfs('/up/y'), tmpfs('/dangling'))
      c.mounts.push(bind(`${bundle}/config.json`, '/bin/probe', 'bind'))
    },
    "mount | grep '^t ' | cut -d' ' -f3; ls -d /var/run/x /tmp/y /nowhere/yet; wc -l </bin/probe",
  ],
  [
    'propagation',
    mounts(
      tmpfs('/t1', 'shared'),
      tmpfs('/t2', 'rslave'),
      tmpfs('/t3', 'unbindable'),
      tmpfs('/t4', 'rprivate'),
    ),
    "grep ' /t[1-4] ' /proc/self/mountinfo | cut -d' ' -f5-8 | sed 's/:[0-9]*//'",
  ],
  [
    'message queues and tunables of IPC',
    c => {
      c.mounts.push({
        destination: '/dev/mqueue',
        type: 'mqueue',
        source: 'mqueue',
        options: ['nosuid', 'noexec', 'nodev'],
      })
      c.linux.sysctl = {
        'kernel.msgmax': '9000',
        'kernel.shmmax': '1234567',
        'kernel.sem': '250 32000 100 128',
        'fs.mqueue.msg_max': '20',
        'kernel.domainname': 'somewhere',
      }
    },
    `${options('/dev/mqueue')}; cd /proc/sys; cat kernel/msgmax kernel/shmmax kernel/sem fs/mqueue/msg_max kernel/domainname`,
  ],
  [
    'options of devpts',
    mounts({
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5', 'max=7'],
    }),
    `${options('/dev/pts')}; ls -l /dev/pts | tail -n +2 | cut -c1-10; readlink /dev/ptmx; ls /dev`,
  ],
  [
    'a mount on "/" is the root, with the mounts behind it in it',
    (c, bundle) => {
      const other = join(bundle, 'other')
      cpSync(join(bundle, 'rootfs'), other, { recursive: true, verbatimSymlinks: true })
      writeFileSync(join(other, 'mark'), 'here\n')
      c.root.readonly = true
      c.process.cwd = '/made'
      c.mounts.unshift(bind(other, '/', 'rbind'))
      c.mounts.push(tmpfs('/fresh'))
    },
    'pwd; cat /mark; touch /x; echo $?; touch /fresh/x; echo $?; ls /',
  ],
  [
    'a root that is read-only, with what had to be made in it',
    c => {
      c.root.readonly = true
      c.process.cwd = '/made/for/cwd'
      c.mounts.push(tmpfs('/fresh/one'))
    },
    'pwd; touch /x; echo $?; touch /fresh/one/x; echo $?; ls -d /fresh /made/for/cwd',
  ],
  [
    'files of /proc that may be covered',
    (c, bundle) =>
      c.mounts.push(
        bind(`${bundle}/config.json`, '/proc/cpuinfo', 'bind', 'ro'),
        bind(`${bundle}/config.json`, '/proc/uptime', 'bind', 'ro'),
      ),
    'wc -l </proc/cpuinfo; wc -l </proc/uptime; echo x >/proc/uptime; echo $?',
  ],
  ['a relative destination', mounts(tmpfs('relative/place')), 'touch /relative/place/x; echo $?'],
  [
    'masked paths',
    c => {
      c.linux.maskedPaths = ['/proc/meminfo', '/bin', '/no/such', '/bin/busybox/x']
      c.process.args = ['/sh', '-c', 'echo never']
    },
    '',
  ],
  [
    'masked files and directories',
    c => {
      c.linux.maskedPaths = ['/proc/meminfo', '/proc/sys', '/no/such', '/bin/probe']
    },
    `cat /proc/meminfo /bin/probe; stat -c '%F %a %t %T' /proc/meminfo /bin/probe; ls /proc/sys; echo x >/proc/meminfo; echo $?
     touch /proc/sys/x; echo $?; stat -c '%F %a' /proc/sys; umount /proc/meminfo; echo $?`,
  ],
  [
    'read-only paths',
    c => {
      c.linux.readonlyPaths = ['/bin', '/proc/sys', '/no/such', '/tmp']
      c.mounts.push(tmpfs('/bin/in/there'))
    },
    `touch /bin/x; echo $?; echo box >/proc/sys/kernel/hostname; echo $?; touch /tmp/x; echo $?; cat /proc/sys/kernel/hostname
     ${options('/bin')}`,
  ],
  [
    'devices',
    c => {
      c.linux.devices = [
        { path: '/dev/fuse', type: 'c', major: 10, minor: 229, fileMode: 0o640, uid: 3, gid: 4 },
        { path: '/dev/sub/block', type: 'b', major: 7, minor: 300 },
        { path: '/dev/unbuffered', type: 'u', major: 1, minor: 3, fileMode: 0o600 },
        { path: '/opt/fifo', type: 'p' },
      ]
    },
    `for f in /dev/* /dev/sub/block /opt/fifo; do [ -L $f ] && readlink $f || stat -c '%n %F %a %u %g %t %T' $f; done
     echo x >/dev/null; echo $?; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; echo x >/dev/full`,
  ],
  [
    'tunables of the network',
    c => {
      c.linux.sysctl = {
        'net.ipv4.ip_unprivileged_port_start': '80',
        'net.ipv4.ping_group_range': '5 2147483647',
        'net/core/somaxconn': '128',
        'net.ipv4.ip_forward': '1',
        'net.ipv4.ip_local_port_range': '1025 2000',
        'net.ipv4.tcp_syncookies': '0',
        'net.ipv6.conf.lo.disable_ipv6': '1',
      }
    },
    `cd /proc/sys/net; cat ipv4/ip_unprivileged_port_start ipv4/ping_group_range core/somaxconn
    cat ipv4/ip_forward ipv4/ip_local_port_range ipv4/tcp_syncookies ipv6/conf/*/disable_ipv6`,
  ],
  [
    'tunables that nobody sets',
    () => {},
    'cd /proc/sys/net; for i in core/* ipv4/ip_* ipv4/tcp_*; do case $i in *mem*|*forward|*port*|*sack|*keep*) echo $i $(cat $i);; esac; done | grep -E "^(core/.mem_(max|default)|ipv4/(ip_forward|ip_local_port_range|tcp_.mem|tcp_sack|tcp_keepalive_time)) "',
  ],
  ['a tmpfs of the default size', () => {}, "mount | grep ' /tmp ' | grep size= || echo not told"],
  [
    'a user',
    c => {
      c.process.user = { uid: 1000, gid: 1001, umask: 0o77, additionalGids: [6, 5] }
      c.process.noNewPrivileges = true
    },
    "id; umask; grep -E '^(Uid|Gid|Groups|Cap|NoNew|Seccomp:)' /proc/self/status",
  ],
  [
    'no capabilities at all',
    c => delete c.process.capabilities,
    "grep -E '^(Cap|NoNew)' /proc/self/status; mkdir /tmp/x; chown 5 /tmp/x; echo $?",
  ],
  [
    'capability sets',
    c => {
      c.process.capabilities = {
        bounding: ['CAP_KILL', 'CAP_CHOWN', 'CAP_FLY'],
        permitted: ['CAP_KILL', 'CAP_CHOWN'],
        effective: ['CAP_CHOWN'],
        inheritable: ['CAP_KILL'],
        ambient: ['CAP_KILL', 'CAP_CHOWN'],
      }
      c.process.user.uid = 7
    },
    'grep ^Cap /proc/self/status',
  ],
  [
    'limits',
    c => {
      const limits = {
        ...{ AS: 1e9, CORE: 1, CPU: 100, DATA: 1e9, FSIZE: 1e6, LOCKS: 5, MEMLOCK: 1000 },
        ...{ MSGQUEUE: 1000, NICE: 0, NOFILE: 100, NPROC: 100, RSS: 11, RTPRIO: 0, RTTIME: 1e6 },
        ...{ SIGPENDING: 14, STACK: 1e6 },
      }
      c.process.rlimits = Object.entries(limits).map(([name, n]) => ({
        type: `RLIMIT_${name}`,
        soft: n,
        hard: 2 * n,
      }))
      c.process.rlimits.push({ type: 'RLIMIT_CORE', soft: 0, hard: 0 })
    },
    'cat /proc/self/limits',
  ],
  [
    'the rest of the process',
    c => {
      c.process.oomScoreAdj = 321
      c.process.env = ['PATH=/bin', 'A=b=c', 'EMPTY=', 'A=again']
      c.process.cwd = '/not/there'
    },
    'cat /proc/self/oom_score_adj; pwd; env | grep -v SHLVL | sort; hostname',
  ],
  [
    'a user namespace',
    (c, bundle) => {
      c.linux.namespaces.push({ type: 'user' })
      c.linux.uidMappings = [
        { containerID: 0, hostID: 100000, size: 1000 },
        { containerID: 1000, hostID: 5000, size: 10 },
      ]
      c.linux.gidMappings = [{ containerID: 0, hostID: 200000, size: 1000 }]
      c.process.user.additionalGids = [7]
      const caps = ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FOWNER', 'CAP_SETUID', 'CAP_SETGID']
      c.process.capabilities = { bounding: caps, permitted: caps, effective: caps }
      for (const name of ['mine', 'other', 'hosts']) mkdirSync(join(bundle, name))
      for (const name of ['rootfs', 'mine', 'other', 'hosts'])
        writeFileSync(join(bundle, name, 'file'), 'x')
      const owners = { rootfs: [100000, 200000], mine: [100000, 200000], other: [5003, 200005] }
      for (const [name, [uid, gid]] of Object.entries(owners))
        run('chown', ['-R', `${uid}:${gid}`, join(bundle, name)])
      for (const name of ['mine', 'other', 'hosts'])
        c.mounts.push(bind(`${bundle}/${name}`, `/${name}`, 'rbind'))
    },
    `for d in / /mine /other /hosts; do cd $d; stat -c '%n %u %g' $d file; done; id; cat /proc/self/uid_map /proc/self/gid_map
     for d in mine other hosts; do touch /$d/new; echo $?; echo y >/$d/file; echo $?; chmod 600 /$d/file; echo $?; cat /$d/file; done
     chown 1003:5 /mine/file; echo $?; stat -c '%u %g' /mine/file; chown 2000 /mine/file; echo $?; chown 5 /hosts/file; echo $?
     rm /mine/new; echo $?; rm /hosts/file; echo $?; mkdir /made; stat -c '%u %g' /made; chown 999:999 /made; stat -c '%u %g' /made`,
  ],
  [
    'masked directories, which are all the same one',
    (c, bundle) => {
      for (const name of ['one', 'two', 'three']) mkdirSync(join(bundle, 'rootfs', name))
      writeFileSync(join(bundle, 'rootfs/two/file'), 'x')
      c.linux.maskedPaths = ['/one', '/two', '/three', '/none']
    },
    'for d in one two three; do ls -a /$d; touch /$d/x 2>&1; echo $?; done; grep -c "^tmpfs /[ot]" /proc/mounts',
  ],
  [
    'devices elsewhere in a root that is read-only',
    c => {
      const device = { type: 'c', major: 1, minor: 5 }
      c.root.readonly = true
      c.mounts.push(tmpfs('/t'))
      c.linux.devices = ['/zero', '/made/zero', '/made/slash/', '/t/zero', '/dev/other'].map(
        path => ({ ...device, path, uid: 7, fileMode: 0o640 }),
      )
    },
    'for f in /zero /made/zero /made/slash /t/zero /dev/other; do stat -c "%F %a %u %t %T" $f; head -c 3 $f | wc -c; done; touch /made/x; echo $?',
  ],
  [
    'the name of the host',
    c => {
      delete c.hostname
      remove(c, 'uts')
    },
    'hostname',
  ],
  [
    'members that are null',
    c => {
      Object.assign(c.process, { capabilities: null, rlimits: null, oomScoreAdj: null })
      Object.assign(c, { hooks: null, annotations: null, domainname: null })
      Object.assign(c.linux, { seccomp: null, maskedPaths: null, sysctl: null, devices: null })
    },
    'echo fine',
  ],
  [
    'members that nobody knows',
    c => {
      c.future = { a: [1] }
      c.process.future = true
      c.linux.future = 'x'
      c.linux.seccomp = { defaultAction: 'SCMP_ACT_ALLOW', future: 1 }
    },
    'echo fine',
  ],
]

describe('the same as under runc', () => {
  it.each(SAME)('%s', (_what, change, script) => {
    const { runc, ours } = shop.both(script, change)
    expect(ours.stdout).toBe(runc.stdout)
    expect(ours.status === 0).toBe(runc.status === 0)
    if (script !== '' && !script.includes('never')) expect(runc.stdout).not.toBe('')
    expect(shop.left()).toEqual([])
  })
})

/** What both refuse, and what our message names. */
const REFUSED: [what: string, change: (config: Config, bundle: string) => void, word: string][] = [
  ['a file system nobody knows', mounts({ destination: '/x', type: 'nofs' }), 'nofs'],
  ['type none', mounts({ destination: '/x', type: 'none', source: '/etc' }), '/x'],
  ['an option nobody knows', mounts(tmpfs('/x', 'nosuch=1')), 'nosuch=1'],
  ['a size that is none', mounts(tmpfs('/x', 'size=big')), 'size=big'],
  ['a source that is missing', mounts(bind('/no/such', '/x', 'bind')), '/no/such'],
  [
    'an overlay of what is missing',
    mounts({ destination: '/x', type: 'overlay', source: 'o', options: ['lowerdir=/no/such'] }),
    '/x',
  ],
  ['a directory over a file', mounts(bind('/etc', '/bin/busybox', 'bind')), '/bin/busybox'],
  ['a file over a directory', mounts(bind('/etc/passwd', '/bin', 'bind')), '/bin'],
  ['a mount inside of /proc', mounts(tmpfs('/proc/none')), '/proc/none'],
  ['a bind over /proc/sys', mounts(bind('/etc', '/proc/sys/kernel', 'bind')), '/proc/sys/kernel'],
  ['a bind over /proc', mounts(bind('/etc', '/proc', 'bind')), '/proc'],
  ['a file in the way', mounts(tmpfs('/bin/busybox/x')), '/bin/busybox/x'],
  [
    'a loop of links',
    (c, bundle) => {
      symlinkSync('loop', join(bundle, 'rootfs/loop'))
      c.mounts.push(tmpfs('/loop/x'))
    },
    '/loop',
  ],
  ['a tunable of the host', c => (c.linux.sysctl = { 'vm.swappiness': '1' }), 'vm.swappiness'],
  ['a missing tunable', c => (c.linux.sysctl = { 'net.no.such': '1' }), 'net.no.such'],
  [
    'a wrong value of a tunable',
    c => (c.linux.sysctl = { 'net.core.somaxconn': 'many' }),
    'somaxconn',
  ],
  ['the host name as a tunable', c => (c.linux.sysctl = { 'kernel.hostname': 'x' }), 'hostname'],
  [
    'a tunable of a namespace that is not there',
    c => {
      remove(c, 'ipc')
      c.linux.sysctl = { 'kernel.msgmax': '1' }
    },
    'kernel.msgmax',
  ],
  ['a host name without a namespace', c => remove(c, 'uts'), 'hostname'],
  ['two namespaces of a type', c => c.linux.namespaces.push({ type: 'pid' }), 'namespaces'],
  ['an unknown namespace', c => c.linux.namespaces.push({ type: 'moon' }), 'moon'],
  ['users without a mapping', c => c.linux.namespaces.push({ type: 'user' }), 'uidMappings'],
  [
    'a user that is not mapped',
    c => {
      c.linux.namespaces.push({ type: 'user' })
      c.linux.uidMappings = c.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 5 }]
      c.process.user.uid = 5
    },
    'process.user.uid',
  ],
  ['an unknown propagation', c => (c.linux.rootfsPropagation = 'up'), 'rootfsPropagation'],
  ['a SELinux label', c => (c.process.selinuxLabel = 'a:b:c:d'), 'selinuxLabel'],
  ['a variable without a value', c => c.process.env.push('NAME'), 'process.env.1'],
  [
    'an argument that is too long',
    c => c.process.args.push('x'.repeat(1 << 17)),
    'argument list too long',
  ],
  ['no working directory', c => delete c.process.cwd, 'cwd'],
  ['an effective capability too many', c => (c.process.capabilities.permitted = []), 'effective'],
  [
    'a limit nobody knows',
    c => (c.process.rlimits = [{ type: 'RLIMIT_FUN', soft: 1, hard: 1 }]),
    'RLIMIT_FUN',
  ],
  [
    'a soft limit above the hard one',
    c => (c.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 9, hard: 1 }]),
    'RLIMIT_NOFILE',
  ],
  [
    'a seccomp action nobody knows',
    c => (c.linux.seccomp = { defaultAction: 'SCMP_ACT_SMILE' }),
    'SCMP_ACT_SMILE',
  ],
  [
    'a seccomp operator nobody knows',
    c =>
      (c.linux.seccomp = {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [
          { names: ['read'], action: 'SCMP_ACT_ERRNO', args: [{ index: 0, value: 1, op: 'IS' }] },
        ],
      }),
    'args.0.op',
  ],
  [
    'a seccomp profile under which nothing can be executed',
    c =>
      (c.linux.seccomp = {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['execve'], action: 'SCMP_ACT_ERRNO' }],
      }),
    'seccomp',
  ],
]

describe('refused, as by runc', () => {
  it.each(REFUSED)('%s', (_what, change, word) => {
    const { runc, ours } = shop.both('echo ran', change)
    expect(runc.status).not.toBe(0)
    expect(ours.status).not.toBe(0)
    expect(ours.stdout).toBe('')
    expect(ours.stderr).toContain(word)
    expect(ours.stderr.trim().split('\n')).toHaveLength(1)
    expect(shop.left()).toEqual([])
  })
})
