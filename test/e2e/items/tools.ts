// The tools of every Unix, over trees and large files.

import type { Item } from '../item.ts'

export const toolItems: readonly Item[] = [
  {
    name: 'ls, find and du over a system tree',
    seconds: 120,
    script: `
      ls -lR /etc/default /usr/share/doc/bash 2>/dev/null | head -2000
      find /etc -xdev -type f -name '*.conf' | sort
      find /usr/include -maxdepth 2 | wc -l
      find /etc -xdev -type l -printf '%p -> %l\\n' | sort
      du -sb /usr/share/perl* | sort`,
  },
  {
    name: 'checksums equal those outside',
    seconds: 120,
    script: `
      find /usr/bin /usr/lib/x86_64-linux-gnu -maxdepth 1 -type f -size -2000k | sort | head -300 | xargs sha256sum
      md5sum /etc/passwd; cksum < /etc/group`,
  },
  {
    name: 'tar to tar is the same tree',
    seconds: 120,
    script: `
      mkdir copy; tar cf - -C /usr/share perl5 2>/dev/null | tar xf - -C copy
      diff -r /usr/share/perl5 copy/perl5 && echo equal
      tar czf a.tgz -C copy . && tar tzf a.tgz | sort | wc -l
      (cd copy && find . -printf '%p %m %y %U %G\\n' | sort | sha256sum)`,
  },
  {
    name: 'cp -a, mv, ln, rm and touch',
    script: `
      mkdir s; echo x > s/f; ln s/f s/hard; ln -s f s/soft; mkfifo s/pipe; chmod 2750 s; touch -d '2001-02-03 04:05:06' s/f
      cp -a s t; ls -l --time-style=+%Y t | tr -s ' '; stat -c '%h %a %F' t/*
      [ "$(stat -c %i t/f)" = "$(stat -c %i t/hard)" ] && echo linked
      mv t u; [ ! -e t ] && rm -rf u && ls
      cp --sparse=always /dev/stdin z < <(head -c 100000 /dev/zero); stat -c %s z
      install -m 700 s/f inst; stat -c %a inst; mktemp -d -p . > /dev/null; rmdir tmp.*; truncate -s 5k tr; stat -c %s tr`,
  },
  {
    name: 'dd, split, cmp and od',
    script: `
      dd if=/dev/zero of=a bs=1M count=8 status=none; dd if=/dev/zero of=a bs=1 seek=12345 count=1 conv=notrunc status=none
      printf Z | dd of=a bs=1 seek=777 conv=notrunc status=none; od -A d -c a | head -4; sha256sum < a
      split -b 3M a part.; ls part.*; cat part.* | cmp - a && echo same; tail -c 3 a | od -t x1`,
  },
  {
    name: 'sorting a large file',
    seconds: 300,
    script: `
      seq 1 2600000 | awk '{ print ($1 * 7919) % 1000003, $1 }' > big
      sort -n --parallel=2 -S 10M big | sha256sum; wc -l < big
      sort -u -k1,1n big | tail -1; tac big | head -1; shuf -n 5 --random-source=/etc/passwd big | wc -l`,
  },
  {
    name: 'grep, sed, awk, cut, tr, xargs -P',
    seconds: 120,
    script: `
      seq 1 3000 > n
      grep -c 9 n; grep -E '^(1|2)+$' n | tail -1; grep -rl root /etc/passwd
      sed -n '10,12p;$p' n; sed -i 's/^1$/one/' n; head -1 n
      awk -F: '{ s += $3 } END { print NR, s > "out" }' /etc/passwd; cat out
      cut -d: -f1,7 /etc/passwd | tr : ' ' | column -t 2>/dev/null | head -3
      seq 1 40 | xargs -P 8 -n 1 sh -c 'echo $(($1 * $1))' _ | sort -n | tail -3
      seq 1 20000 | xargs echo | wc -w; uniq -c <(printf 'a\\na\\nb\\n'); comm -12 <(seq 1 9) <(seq 5 12) | paste -sd,`,
  },
  {
    name: 'compression',
    seconds: 120,
    script: `
      seq 1 200000 > n
      for c in gzip xz bzip2; do command -v $c > /dev/null || continue; $c -k n; $c -dc n.* | cmp - n && echo $c; rm n.*; done
      gzip -9 < n | gunzip | sha256sum; base64 n | base64 -d | cmp - n && echo base64`,
  },
  {
    name: 'ps, free, uptime, id, date and env work',
    script: `
      ps -o pid= -p $$ | wc -l; ps aux | grep -c '[b]ash' > /dev/null && echo ps
      free | head -1 | wc -w; uptime | grep -c load; id -u; id -un; date -d @0 -u; env -i A=b env; nproc > /dev/null && echo nproc
      test -w /dev/null && test ! -e /none && echo test; df / | wc -l; stat -f / > /dev/null && echo statfs; tty || true
      pgrep -c . > /dev/null && echo pgrep; top -b -n 1 | head -1 | cut -c1-3; getconf PAGE_SIZE; hostname > /dev/null && echo hostname`,
  },
  {
    name: 'apt-get and dpkg answer',
    script:
      'apt-get --version | head -1; dpkg -l | wc -l; dpkg -S /bin/bash; apt-cache policy bash | head -1',
  },
]
