// What a program in a sandbox can see and change of the machine: nothing but what it was given.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname, release } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { script, temporary } from '../run.ts'

const box = temporary('isolation')
afterAll(() => box.clean())

describe('isolation', () => {
  it('only its own processes are there', () => {
    const result = script(
      'ls -d /proc/[0-9]*/ | wc -l; cat /proc/[0-9]*/comm | sort -u | tr "\\n" " "',
    )
    const [count, names] = result.stdout.split('\n')
    expect(Number(count)).toBeLessThan(6)
    expect(names).not.toMatch(/node|systemd|runsc/)
  })

  it(`signals do not reach the host's processes`, () => {
    expect(
      script(
        `set +e; kill -0 ${process.pid} 2>/dev/null; echo $?; kill -KILL ${process.pid} 2>/dev/null; echo $?`,
      ).stdout,
    ).toBe('1\n1\n')
  })

  it('it has a host name of its own and cannot change the machine', () => {
    const result = script(
      'uname -n; hostname changed 2>/dev/null; uname -s; cat /proc/sys/kernel/osrelease',
    )
    expect(result.stdout.split('\n')[0]).not.toBe(hostname())
    expect(hostname()).not.toBe('changed')
    expect(result.stdout).toContain('Linux')
    expect(release()).not.toBe('')
  })

  it('its mounts are its own', () => {
    const result = script(
      'cat /proc/mounts; D=$(mktemp -d /tmp/mounted-XXXX); mount -t tmpfs t $D && grep $D /proc/mounts && echo mounted',
    )
    expect(result.stdout).toContain(' / ')
    expect(result.stdout).toContain('mounted')
    expect(result.stdout).not.toContain('/sys/fs/cgroup/user.slice')
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain('/tmp/mounted-')
  })

  it('writes never reach the host', () => {
    writeFileSync(join(box.path, 'kept'), 'kept')
    mkdirSync(join(box.path, 'directory'))
    const result = script(`
      cd ${box.path}; echo new > new; echo changed > kept; chmod 600 kept; rmdir directory; ln -s x link
      echo root > /escape-file; rm -rf /etc; cat kept; ls`)
    expect(result).toMatchObject({ status: 0, stdout: 'changed\nkept\nlink\nnew\n' })
    expect(existsSync(join(box.path, 'new'))).toBe(false)
    expect(existsSync(join(box.path, 'link'))).toBe(false)
    expect(existsSync(join(box.path, 'directory'))).toBe(true)
    expect(readFileSync(join(box.path, 'kept'), 'utf8')).toBe('kept')
    expect(existsSync('/escape-file')).toBe(false)
    expect(existsSync('/etc/passwd')).toBe(true)
  })

  it('no network reaches it by default', () => {
    const result = script(
      'set +e; cat /proc/net/dev | grep -c eth; (echo > /dev/tcp/192.0.2.1/80) 2>/dev/null; [ $? != 0 ] && echo closed',
    )
    expect(result.stdout).toMatch(/closed\n$/)
  })

  it('devices are those of the sandbox', () => {
    const result =
      script(`set +e; ls /dev | tr '\\n' ' '; for d in /dev/mem /dev/kmsg /dev/vda /dev/sda /dev/kvm; do [ -e $d ] && echo "has $d"; done
      mknod /tmp/disk b 254 0 && cat /tmp/disk > /dev/null 2>&1 && echo opened; echo over`)
    expect(result.stdout).not.toMatch(/has |opened/)
    expect(result.stdout).toContain('over')
  })

  it('descriptors of the caller are not inherited beyond the first three', () => {
    expect(script('ls /proc/self/fd | wc -l').stdout).toBe('4\n')
  })
})
