// Whole trees and large files: too long for each run of the tests, so only must-work.ts runs these.

import type { Item } from '../item.ts'

/** A tree of some hundred megabytes, which both root file systems have. */
const BIG = '/usr/include /usr/share /usr/lib/python3*'
/** All about each entry that copying must keep, but the times of links, which tar and cp set as well. */
const ENTRIES = "find . -printf '%p %y %#m %U %G %T@ %l' -type f -printf ' %s' -o -printf '\\\\n'"

const afterBlank = (line: string) => line.slice(line.indexOf(' ')).trimStart()

export const largeItems: readonly Item[] = [
  {
    name: 'ls -lR /usr',
    seconds: 600,
    script: 'ls -lR --time-style=full-iso /usr',
  },
  {
    name: 'find / -xdev',
    seconds: 1200,
    script: String.raw`find / -xdev ! -path "$PWD*" ! -path "$(dirname "$PWD")" ! -path /proc ! -path /sys ! -path /dev \( -type d -printf '%y%#m %p %U %G %T@\n' -o -type l -printf '%y%#m %p %U %G %T@ %l\n' -o -printf '%y%#m %p %U %G %T@ %n %s %b\n' \) 2> /dev/null | LC_ALL=C sort`,
    pathOf: line => line.replace(/ -?\d+ -?\d+ -?\d+\.\d+( .*)?$/, '').replace(/^\S+ /, ''),
  },
  {
    name: 'sha256sum of every file',
    seconds: 5400,
    script:
      'find / -xdev ! -path "$PWD*" -type f -print0 | LC_ALL=C sort -z | { xargs -0 -n 100 sha256sum 2>&1 || true; }',
    pathOf: line =>
      /^[0-9a-f]{64} /.test(line)
        ? afterBlank(line)
        : line.replace(/^sha256sum: (.*): .*$/, '$1').replaceAll("'", ''),
  },
  {
    name: 'du of /usr',
    seconds: 300,
    script:
      'du -s /usr; du -s --apparent-size --inodes /usr; du -a /usr | LC_ALL=C sort -k 2 | sha256sum',
  },
  {
    name: 'tar c | tar x, and diff -r',
    seconds: 1200,
    script: `
      tar c ${BIG} 2>/dev/null | tar x; for d in ${BIG}; do diff -r --no-dereference $d .$d && echo "$d equal"; done
      ${ENTRIES} | LC_ALL=C sort | grep -v '^\\. ' | grep -v '^\\./usr\\(/lib\\)\\? ' | sha256sum; find . | wc -l`,
  },
  {
    name: 'cp -a of a tree',
    seconds: 1200,
    script: `
      for d in ${BIG}; do cp -a $d .; done; diff -r --no-dereference /usr/include include && diff -r --no-dereference /usr/share share && echo equal
      ${ENTRIES} | LC_ALL=C sort | grep -v '^\\. ' | sha256sum; rm -r share; ls`,
  },
  {
    name: 'grep -r, xargs -P and awk over a tree',
    seconds: 600,
    script: `
      grep -rIc include /usr/include /usr/share/doc 2>/dev/null | LC_ALL=C sort | sha256sum
      find /usr/include /usr/share -type f -print0 | xargs -0 -P 4 -n 100 wc -c | awk '$2 != "total" { n++; s += $1 } END { print n, s }'
      find /usr/include -name '*.h' -print0 | xargs -0 cat | sed 's/[^a-z]/ /g' | awk '{ for (i = 1; i <= NF; i++) n[$i]++ } END { for (w in n) print n[w], w }' | sort -rn | head -50`,
  },
  {
    name: 'dd of 500 MB',
    seconds: 300,
    script: `
      dd if=/dev/zero of=a bs=1M count=500 status=none; dd if=a bs=64k status=none | sha256sum
      dd if=a of=b bs=3M conv=sparse status=none; cmp a b && stat -c %s b; dd if=/dev/urandom of=r bs=4k count=20000 status=none
      dd if=r of=a bs=4k seek=1000 conv=notrunc status=none; dd if=a bs=4k skip=1000 count=20000 status=none | cmp - r && stat -c %s a r
      dd if=r ibs=512 obs=1M status=none | dd iflag=fullblock bs=7777 status=none | cmp - r && echo same`,
  },
  {
    name: 'sort of 100 MB',
    seconds: 900,
    script: `
      seq 1 2600000 | awk '{ printf "%d %d padded to some forty bytes %d\\n", ($1 * 7919) % 1000003, $1, $1 % 7 }' > big
      stat -c %s big; LC_ALL=C sort -S 20M --parallel=2 big | sha256sum; sort -n big | sha256sum; LC_ALL=C sort -u -k 1,1n -S 20M big | tail -1; ls`,
  },
  {
    name: 'gzip and xz of 100 MB',
    seconds: 900,
    script: `
      seq 1 13000000 | head -c 100M > n; sha256sum < n
      gzip -k n; gzip -l n.gz | tail -1 | awk '{ print $1, $2 }'; gzip -dc n.gz | cmp - n && rm n.gz && echo gzip
      xz -1 -k -T 2 n; xz -t n.xz && xz -dc n.xz | sha256sum; tar cJf n.txz --use-compress-program='xz -0' n 2>/dev/null || tar cf n.txz -I 'xz -0' n; tar xOf n.txz | cmp - n && echo xz`,
  },
  {
    name: 'git of a large project',
    seconds: 900,
    script: `
      export HOME=$PWD GIT_AUTHOR_DATE=2001-02-03T04:05:06Z GIT_COMMITTER_DATE=2001-02-03T04:05:06Z
      git config --global user.email a@b.c; git config --global user.name n; git config --global init.defaultBranch main
      git config --global gc.auto 0; git init -q g; cd g; cp -rL /usr/include/. . 2>/dev/null || true; git add -A; git commit -qm all; git rev-parse HEAD; git ls-files | wc -l
      for i in 1 2 3; do git ls-files | awk "NR % 97 == $i" | while read -r f; do echo "// $i" >> "$f"; done; git commit -qam $i; done
      git log --format='%H %s'; git log --stat --format=%s | sha256sum; git gc -q; git fsck --no-progress; git status --short | wc -l; git count-objects -v | grep in-pack`,
  },
  {
    name: 'python3 -m venv with pip',
    seconds: 600,
    script: `
      python3 -m venv v; v/bin/pip --version | cut -d' ' -f1,2; v/bin/pip list --format=freeze --disable-pip-version-check
      mkdir p; printf 'from setuptools import setup\\nsetup(name="mine", version="1.2", py_modules=["mine"])\\n' > p/setup.py; echo 'print("mine")' > p/mine.py
      v/bin/pip install -q --no-build-isolation --no-index --disable-pip-version-check ./p 2>/dev/null && v/bin/python -m mine || echo "not installed"`,
  },
  {
    name: 'a static Go program with goroutines',
    seconds: 300,
    script: '$GO',
    stdout: 'goroutines 500500 channels 1000000 timers 100 exec hi panic caught\n',
  },
]
