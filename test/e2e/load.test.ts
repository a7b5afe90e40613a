// Quantity: bytes through pipes, processes in number, memory and disk that run out.

import { describe, expect, it } from 'vitest'
import { heavy, script } from '../run.ts'

describe('load', () => {
  const megabytes = heavy ? 1024 : 200
  it(`${megabytes} MB go through a pipe unchanged`, { timeout: 300_000 }, () => {
    const result = script(
      `
      head -c ${megabytes}M /dev/zero | tr '\\0' 'x' | cat | tee >(wc -c > /tmp/count) | tail -c 1; echo
      sleep 0.5; cat /tmp/count
      head -c ${Math.floor(megabytes / 10)}M /dev/urandom > /tmp/r; cat /tmp/r | cat | cmp - /tmp/r && echo same`,
      { seconds: 280 },
    )
    expect(result).toMatchObject({ status: 0, stdout: `x\n${megabytes * 1048576}\nsame\n` })
  })

  const short = heavy ? 1000 : 300
  it(`${short} short processes`, { timeout: 200_000 }, () => {
    const result = script(
      `n=0; for i in $(seq ${short}); do /bin/true && n=$((n + 1)); done; echo $n`,
      { seconds: 180 },
    )
    expect(result).toMatchObject({ status: 0, stdout: `${short}\n` })
  })

  it('200 processes at once', { timeout: 200_000 }, () => {
    const result = script(
      `
      for i in $(seq 200); do sleep 100 & done
      ls -d /proc/[0-9]* | wc -l | awk '{ print ($1 > 200) }'; jobs -p | wc -l
      kill $(jobs -p); set +e; wait 2> /dev/null; cat /proc/[0-9]*/comm | grep -cx sleep
      for i in $(seq 200); do (echo $i) & done | sort -n | tail -1; wait; echo over`,
      { seconds: 180 },
    )
    expect(result).toMatchObject({ status: 0, stdout: '1\n200\n0\n200\nover\n' })
  })

  it('endless recursion ends with SIGSEGV, and only there', () => {
    const result = script(`
      printf 'int f(int n) { volatile char c[1000]; c[n %% 999] = n; return f(n + 1) + c[0]; } int main(void) { return f(0); }' > /tmp/r.c
      gcc -O0 -o /tmp/r /tmp/r.c 2>/dev/null; set +e; /tmp/r; echo $?; echo alive`)
    expect(result).toMatchObject({ status: 0, stdout: '139\nalive\n' })
  })

  it('a full tmpfs says so and recovers', () => {
    const result = script(`
      mkdir -p /mnt/small; mount -t tmpfs -o size=1m tmpfs /mnt/small; set +e
      head -c 3M /dev/zero > /mnt/small/big 2> /tmp/err; echo $?; grep -c 'No space left' /tmp/err
      stat -c %s /mnt/small/big; rm /mnt/small/big; echo fits > /mnt/small/f; cat /mnt/small/f; df --output=size /mnt/small | tail -1 | tr -d ' '`)
    expect(result).toMatchObject({ status: 0, stdout: '1\n1\n1048576\nfits\n1024\n' })
  })

  it('a file limit of processes is kept', () => {
    const result = script(
      'ulimit -u 2000; ulimit -u; ulimit -n 30; set +e; for i in $(seq 5 40); do eval "exec $i< /dev/null" 2>/dev/null || { echo full; break; }; done',
    )
    expect(result).toMatchObject({ status: 0, stdout: '2000\nfull\n' })
  })

  it('a fork in a loop of pipelines does not leak descriptors or processes', {
    timeout: 200_000,
  }, () => {
    const result = script(
      `
      before=$(ls /proc/self/fd | wc -l)
      for i in $(seq 60); do seq 10 | sort -r | head -1 > /dev/null; done
      [ $before = $(ls /proc/self/fd | wc -l) ] && ps ax | wc -l | awk '{ print ($1 < 8) }'`,
      { seconds: 180 },
    )
    expect(result).toMatchObject({ status: 0, stdout: '1\n' })
  })
})
