// What the sandbox shows of the machine: nothing but itself.

import type { Item } from '../item.ts'

const only = (name: string, script: string, stdout: string): Item => ({
  name,
  script,
  stdout,
  sandboxOnly: true,
})

export const isolationItems: readonly Item[] = [
  only(
    'only its own processes are in /proc',
    `ls -d /proc/[0-9]* | wc -l | awk '{ print ($1 < 5) }'; cat /proc/[0-9]*/comm | sort -u | grep -vxE 'bash|cat|sort|grep' || echo none
    ps -e --no-headers | wc -l | awk '{ print ($1 < 5) }'; echo $$ | awk '{ print ($1 < 10) }'`,
    '1\nnone\n1\n1\n',
  ),
  only(
    'its own uname',
    `uname -s; uname -m; uname -r | grep -cE '^[0-9]+\\.[0-9]+\\.[0-9]+'; [ "$(uname -r)" = "$(cat /proc/sys/kernel/osrelease)" ] && echo same
    uname -v | grep -ci portcullis; [ "$(uname -n)" = "$(cat /etc/hostname 2>/dev/null)" ] || echo own; grep -ci portcullis /proc/version`,
    'Linux\nx86_64\n1\nsame\n1\nown\n1\n',
  ),
  only(
    'its own mounts',
    `awk '{ print $1 }' /proc/mounts | grep -c '^/dev/' || true; awk '$2 == "/" { print "root" }' /proc/mounts | sort -u; grep -c cgroup2 /proc/mounts || true
    mkdir m; mount -t tmpfs mine m; grep -c ' mine ' /proc/self/mountinfo; umount m; grep -c mine /proc/mounts || true`,
    '0\nroot\n0\n1\n0\n',
  ),
  only(
    'no device of the host',
    `for d in /dev/mem /dev/kmsg /dev/vda /dev/sda /dev/kvm /dev/loop0; do [ -e $d ] && echo "has $d"; done
    mknod disk b 254 0 2> /dev/null && { cat disk > /dev/null 2>&1 && echo opened; }; dmesg 2>/dev/null | grep -ci 'linux version' || true; echo over`,
    '0\nover\n',
  ),
]
