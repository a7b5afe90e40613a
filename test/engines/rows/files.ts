// Volumes, binds and the root file system.

import { equal, match, notEqual } from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { IMAGE, type Row } from '../engine.ts'

export const fileRows: Row[] = [
  {
    name: '-v: a directory of the host',
    quick: true,
    test(d) {
      const folder = d.folder('vol')
      equal(d.sh(['-v', `${folder}:/v`], 'echo w >/v/w; cat /v/f'), 'vol')
      equal(readFileSync(join(folder, 'w'), 'utf8'), 'w\n')
    },
  },
  {
    name: '-v: what the host changes meanwhile is seen',
    async test(d) {
      const folder = d.folder('old')
      d.sleeper('seen', '-v', `${folder}:/v`)
      equal(d.exec('seen', 'cat /v/f; ls /v'), 'oldf')
      d.engine.inside('sh', [
        '-c',
        'echo new >"$1/g"; mv "$1/g" "$1/f"; touch "$1/h"',
        'sh',
        folder,
      ])
      equal(d.exec('seen', 'cat /v/f; ls /v'), 'new\nf\nh')
    },
  },
  {
    name: '-v: a named volume, with the image’s files',
    test(d) {
      d.ok('volume', 'create', 'named')
      equal(d.sh(['-v', 'named:/etc'], 'echo kept >/etc/kept; grep -c root /etc/passwd'), '1')
      equal(d.sh(['-v', 'named:/v'], 'cat /v/kept; ls /v/passwd'), 'kept\n/v/passwd')
    },
  },
  {
    name: '-v: read-only',
    quick: true,
    test(d) {
      const { status, stderr } = d.try('-v', `${d.folder('x')}:/v:ro`, IMAGE, 'touch', '/v/f')
      equal(status, 1)
      match(stderr, /Read-only file system/)
    },
  },
  {
    name: '-v: a file',
    test(d) {
      const file = d.file('one')
      equal(d.sh(['-v', `${file}:/etc/one`], 'cat /etc/one; echo two >/etc/one'), 'one')
      equal(readFileSync(file, 'utf8'), 'two\n')
    },
  },
  {
    name: '--volumes-from',
    test(d) {
      d.sleeper('from', '-v', '/data')
      d.exec('from', 'echo shared >/data/f')
      equal(d.sh(['--volumes-from', 'from'], 'cat /data/f'), 'shared')
    },
  },
  {
    name: '--mount type=bind,readonly and type=tmpfs',
    test(d) {
      const bind = `type=bind,source=${d.folder('b')},target=/b,readonly`
      const script =
        'cat /b/f; touch /b/f 2>/dev/null || echo ro; df -k /t | tail -1 | awk "{print \\$2}"'
      equal(
        d.sh(['--mount', bind, '--mount', 'type=tmpfs,target=/t,tmpfs-size=1m'], script),
        'bro\n1024',
      )
    },
  },
  {
    name: '--tmpfs with a size and a mode',
    test: d =>
      equal(
        d.sh(
          ['--tmpfs', '/t:size=1m,mode=700'],
          'stat -c %a /t; head -c 2000000 /dev/zero >/t/f 2>/dev/null || wc -c </t/f',
        ),
        '700\n1048576',
      ),
  },
  {
    name: '--read-only',
    quick: true,
    test(d) {
      match(d.try('--read-only', IMAGE, 'touch', '/x').stderr, /Read-only file system/)
      equal(d.sh(['--read-only', '--tmpfs', '/t'], 'echo x >/t/x; cat /t/x'), 'x')
    },
  },
  {
    name: '--shm-size',
    test: d => match(d.sh(['--shm-size', '1m'], 'df -k /dev/shm | tail -1'), / 1024 /),
  },
  {
    name: '--device',
    test(d) {
      const script = 'stat -c "%F %t:%T" /dev/mine; echo x >/dev/mine && echo written'
      equal(
        d.sh(['--device', '/dev/null:/dev/mine'], script),
        'character special file 1:3\nwritten',
      )
    },
  },
  {
    name: 'masked and read-only paths of /proc',
    test(d) {
      notEqual(d.try(IMAGE, 'sh', '-c', 'echo 1 >/proc/sys/kernel/pid_max').status, 0)
      equal(d.sh([], 'cat /proc/kcore 2>/dev/null | wc -c; ls /sys/firmware | wc -l'), '0\n0')
    },
  },
]
