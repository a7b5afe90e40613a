// Programs that attack their sandbox (test/hostile): the sandbox goes on or ends the attacker, a second user in it
// notices nothing, the sentry does not fail, and nothing is left on the host.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { compile, PLATFORMS, platformWorks, type Result, root, run, runsc } from './run.ts'

const folder = join(root, 'test/hostile')
const FLAGS = ['-O1', '-g', '-mno-red-zone', '-pthread', '-w']
const programs = readdirSync(folder)
  .filter(file => file.endsWith('.c'))
  .map(file => file.slice(0, -2))
  .sort()
const platforms = PLATFORMS.filter(platformWorks)

/** Prints how many processes are left in this pid namespace a moment after runsc has ended. */
const COUNT = `"$@"; status=$?
for i in $(seq 60); do set -- /proc/[0-9]*; [ $# -le 1 ] && break; sleep 1; done
echo "left behind: $(($# - 1))"; exit $status`

/** Runs a program in a sandbox, all of whose host processes are in a pid namespace of their own. */
function attack(program: string, platform: string): Result {
  const namespace = ['--pid', '--fork', '--mount-proc', '--kill-child', 'sh', '-c', COUNT, 'count']
  return run('unshare', [...namespace, runsc, `--platform=${platform}`, 'do', '--', program], {
    seconds: 380,
  })
}

describe.each(programs)('%s', name => {
  const built = () => compile(join(folder, `${name}.c`), join(root, '.cache/hostile', name), FLAGS)

  for (const platform of PLATFORMS) {
    it.skipIf(!platforms.includes(platform))(`under ${platform}`, { timeout: 400_000 }, () => {
      const { status, stdout, stderr } = attack(built(), platform)
      expect(stderr).toBe('')
      expect(stdout.split('\n').filter(line => /^not ok|breach/.test(line))).toEqual([])
      expect(stdout).toContain('over: 0 failed')
      expect(stdout).toContain('left behind: 0')
      expect(status).toBe(0)
    })
  }
})
