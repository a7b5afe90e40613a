// The tools that make and enter namespaces: unshare(1), nsenter(1), chroot(1), bubblewrap.

import { beforeAll, expect, it } from 'vitest'
import { sandboxed } from '../run.ts'
import { installNeeds } from '../setup.ts'

beforeAll(() => installNeeds(['bubblewrap']), 120_000)

const output = (script: string): string => {
  const { status, stdout, stderr } = sandboxed(['sh', '-c', script])
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  return stdout
}

it('unshare makes a user its own root, with processes and mounts of its own', () => {
  const script = 'id -u; echo $$; cat /proc/1/comm; mount -t tmpfs mine /mnt; ls -a /mnt | wc -l'
  expect(output(`unshare -Urmpf --mount-proc sh -c '${script}'`)).toBe('0\n1\nsh\n2\n')
})

it('nsenter joins the namespaces of a process', () => {
  const script = `
      unshare -u sh -c 'hostname inside; echo ready; exec sleep 600' > /tmp/ready &
      while ! grep -q ready /tmp/ready; do sleep 0.05; done
      nsenter --target $! --uts hostname
      kill $!`
  expect(output(script)).toBe('inside\n')
})

it('unshare gives a network namespace with a loopback interface', () => {
  const script =
    'import socket; s = socket.create_server(("127.0.0.1", 80)); socket.create_connection(("127.0.0.1", 80)); print("connected")'
  expect(output(`unshare -n python3 -c '${script}'`)).toBe('connected\n')
})

it('bubblewrap confines a program', () => {
  const script =
    'hostname; echo $$; touch /usr/x 2>/dev/null || echo read-only; ls -A /tmp; grep CapEff /proc/self/status'
  const options =
    '--ro-bind / / --proc /proc --dev /dev --tmpfs /tmp --unshare-all --hostname boxed --die-with-parent --new-session --cap-drop ALL'
  expect(output(`bwrap ${options} sh -c '${script}'`)).toBe(
    'boxed\n2\nread-only\nCapEff:\t0000000000000000\n',
  )
})

it('chroot and pivot_root change what a program sees', () => {
  const script = `
      mkdir -p /tmp/root && mount -t tmpfs new /tmp/root && mkdir /tmp/root/usr /tmp/root/old
      mount --rbind /usr /tmp/root/usr
      for name in bin lib lib64; do ln -s usr/$name /tmp/root/$name; done
      chroot /tmp/root /usr/bin/ls /
      cd /tmp/root && pivot_root . old && exec /usr/bin/ls /`
  expect(output(`unshare -m sh -c '${script}'`)).toBe(
    'bin\nlib\nlib64\nold\nusr\nbin\nlib\nlib64\nold\nusr\n',
  )
})
