// The processes of a sandbox are killed at random moments, from its start on: nothing is left behind, runsc ends and
// says so by its exit status. PORTCULLIS_HEAVY=1 does it many more times; PORTCULLIS_SEED chooses the moments.

import { describe, expect, it } from 'vitest'
import { heavy, PLATFORMS, platformWorks, run, runsc } from './run.ts'

const platforms = PLATFORMS.filter(platformWorks)
const ROUNDS = heavy ? 25 : 2
let seed = Number(process.env.PORTCULLIS_SEED ?? 1)

/** A small linear congruential generator: the same moments in each run. */
function random(): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return seed / 2 ** 32
}

/**
 * In a pid namespace of its own: starts a sandbox whose programs fork, and write and read files, kills a process
 * whose command line matches, and tells what became of all.
 */
const DRIVER = `
pattern=$1 delay=$2; shift 2
"$@" do -- sh -c 'while :; do echo x > /tmp/f; cat /tmp/f /etc/passwd; ls /usr/bin; done' >/dev/null 2>/tmp/kills.$$ & R=$!
sleep $delay
victims=
for p in /proc/[0-9]*; do
  case "$( { cat $p/comm; tr '\\0' ' ' <$p/cmdline; } 2>/dev/null | tr '\\n' ' ')" in
    *"$pattern"*) [ "$p" = /proc/1 ] || victims="$victims \${p#/proc/}";;
  esac
done
set -- $victims
if [ $# -eq 0 ]; then echo none; else shift $(($(date +%N | sed 's/^0*//') / 1000 % $#)); kill -9 $1 2>/dev/null || set --; fi
# A victim that had ended by itself was none. Without its sentry or its gofer a sandbox ends by itself; a program's process may die without the sandbox.
if [ $# -eq 0 ] || [ "$pattern" = stub ]; then sleep 0.3; kill -9 $R 2>/dev/null; fi
wait $R; echo "status $?"; sed 's/^/runsc said: /' /tmp/kills.$$
for i in $(seq 300); do set -- /proc/[0-9]*; [ $# -le 1 ] && break; sleep 0.1; done
for p in /proc/[0-9]*; do
  case "$(tr '\\0' ' ' 2>/dev/null <$p/cmdline)" in *runsc*|*load.cjs*|*launcher*) [ $p = /proc/1 ] || echo "left $(tr '\\0' ' ' <$p/cmdline)";; esac
  [ "$(cat $p/comm 2>/dev/null)" = stub ] && ! grep -q '^State:.*Z' $p/status && echo "left a stub"
done
rm -f /tmp/kills.$$
echo over`

/** Whom to kill, by command line; and the statuses that runsc may end with, 137 being our own kill. */
const VICTIMS = [
  { name: 'the sentry', pattern: 'load.cjs sentry', statuses: [137, 128] },
  { name: 'the gofer', pattern: 'load.cjs gofer', statuses: [137, 128] },
  { name: 'a launcher', pattern: 'launcher', statuses: [137, 128] },
  { name: 'runsc', pattern: 'load.cjs runsc', statuses: [137] },
  { name: 'a stub', pattern: 'stub', statuses: [137, 128] },
]

describe.each(PLATFORMS)('under %s', platform => {
  it.skipIf(!platforms.includes(platform)).each(VICTIMS)(
    '$name is killed',
    { timeout: 900_000 },
    ({ name, pattern, statuses }) => {
      for (let round = 0; round < ROUNDS; round++) {
        const delay = (0.05 + random() * 0.9).toFixed(3)
        const namespace = ['--pid', '--fork', '--mount-proc', '--kill-child', 'bash', '-c', DRIVER]
        const { stdout, stderr } = run(
          'unshare',
          [...namespace, 'kills', pattern, delay, runsc, `--platform=${platform}`],
          { seconds: 300 },
        )
        const what = `after ${delay} s: ${stdout}${stderr}`
        if (heavy) console.log(`${platform}, ${name}, ${round + 1} of ${ROUNDS}: ${what}`)
        expect(stdout, what).toContain('over\n')
        expect(stdout, what).not.toContain('left')
        expect(statuses, what).toContain(Number(stdout.match(/status (\d+)/)?.[1]))
      }
    },
  )
})
