import { Command } from 'commander'
import { expect, test } from 'vitest'
import { gvisorFlags } from './gvisor-flags.ts'
import { globalOptions } from './options.ts'
import { spellOut } from './spelling.ts'

function program(): Command {
  const all = new Command('runsc').enablePositionalOptions()
  for (const option of globalOptions()) all.addOption(option)
  all.addCommand(
    new Command('exec')
      .argument('<id>')
      .argument('[command...]')
      .passThroughOptions()
      .option('-d, --detach', '', false)
      .option('-e, --env <pair>', '')
      .option('--no-keyring', ''),
  )
  all.addCommand(new Command('delete').argument('<id...>').option('-f, --force', ''))
  all.addCommand(new Command('syscalls'))
  all.addCommand(new Command('wait').argument('<id>'))
  return all
}

test.each([
  ['-debug list', '--debug=true list'],
  ['--debug=false --strace list', '--debug=false --strace=true list'],
  ['-root /x -platform=ptrace list', '--root /x --platform=ptrace list'],
  ['--rootless auto list', '--rootless=auto list'],
  ['--rootless delete x', '--rootless=true delete x'],
  ['-plattform=x list', '--plattform x list'],
  ['exec -detach -env A=b id cmd -env', 'exec --detach --env A=b id cmd -env'],
  ['exec --detach=false id', 'exec id'],
  ['exec --no-keyring=false id', 'exec id'],
  ['exec -d -eA=b id', 'exec --detach -eA=b id'],
  ['exec -env -detach id', 'exec --env -detach id'],
  ['exec -d -- -detach', 'exec --detach -- -detach'],
  ['delete a -force=true b', 'delete a --force b'],
  ['delete -- -force', 'delete -- -force'],
  ['nosuch -detach', 'nosuch -detach'],
  ['help syscalls', 'syscalls'],
  ['help delete', 'help delete'],
  ['help nosuch', 'nosuch'],
  ['--directfs=false -dcache 5 list', 'list'],
  ['--nvproxy=false list', 'list'],
  ['exec -cgroup / -exec-fd=-1 id cmd -cgroup /x', 'exec id cmd -cgroup /x'],
  ['wait -checkpoint 0 id', 'wait id'],
  ['', ''],
])('%s', (given, expected) => {
  const { words } = spellOut(given === '' ? [] : given.split(' '), program())
  expect(words.join(' ')).toBe(expected)
})

test('flags of gVisor: each is taken or refused, and has no double', () => {
  const own = globalOptions().map(o => o.long)
  const names = gvisorFlags().map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  for (const { name, flag, refused } of gvisorFlags()) {
    expect(own).not.toContain(`--${name}`)
    const words = flag ? [`--${name}`] : [`-${name}`, 'something']
    if (name === 'allow-suid' || name === 'EXPERIMENTAL-xdp-need-wakeup') continue
    if (refused) expect(() => spellOut([...words, 'list'], program())).toThrow('not supported')
    else {
      const { words: left, notes } = spellOut([...words, 'list'], program())
      expect(left).toEqual(['list'])
      expect(notes).toHaveLength(1)
    }
  }
})

test('wrong words', () => {
  expect(() => spellOut(['exec', '-exec-fd', '3', 'x'], program())).toThrow('not supported')
  expect(() => spellOut(['exec', '--cgroup=/below', 'x'], program())).toThrow('not supported')
  expect(() => spellOut(['wait', '-restore', 'x'], program())).toThrow('not supported')
  expect(() => spellOut(['exec', '--detach=maybe', 'x'], program())).toThrow('true or false')
  expect(() => spellOut(['--qdisc'], program())).toThrow('missing')
  expect(() => spellOut(['--profile-heap', '/x', 'list'], program())).toThrow('not supported')
})
