// What the README shows and what the help texts promise works as written.

import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { root, run, runsc, temporary } from '../run.ts'

const box = temporary('readme')
afterAll(() => box.clean())

const readme = readFileSync(join(root, 'README.md'), 'utf8')
/** The indented lines, which are commands, without their comments. */
const examples = [...readme.matchAll(/^ {4}((?:runsc\/bin\/runsc|npm) .*?)(?: {2,}#.*)?$/gm)].map(
  m => m[1]!,
)

describe('README.md', () => {
  it('begins with the two commands', () => {
    expect(examples.slice(0, 2)).toEqual(['npm start -- bash', 'npm test'])
  })

  it('shows commands that work', () => {
    const bundle = join(box.path, 'bundle')
    mkdirSync(join(bundle, 'rootfs/bin'), { recursive: true })
    const copied = run('cp', ['/bin/busybox', join(bundle, 'rootfs/bin/sh')])
    expect(copied.status).toBe(0)
    const commands = examples.filter(line => line.startsWith('runsc/') && !line.includes('|'))
    expect(commands.length).toBeGreaterThan(2)
    for (const line of commands) {
      const args = line
        .split(' ')
        .slice(1)
        .map(word => word.replace('DIR', bundle).replace('ID', 'readme-example'))
      const result = run(runsc, args, { input: 'exit 0\n' })
      expect({ line, status: result.status, stderr: result.stderr }).toEqual({
        line,
        status: 0,
        stderr: '',
      })
    }
  })

  it('links to files that exist', () => {
    for (const [, target] of readme.matchAll(/\]\(([^)]+)\)/g))
      expect(existsSync(join(root, target!)), target).toBe(true)
  })
})

describe.each(['docker', 'kubernetes', 'podman'])('docs/%s.md', name => {
  const text = readFileSync(join(root, `docs/${name}.md`), 'utf8')

  it('shows commands of ours that work', () => {
    const commands = [...text.matchAll(/^ {4}(?:sudo )?runsc\/bin\/runsc (.*?)(?: \|.*)?$/gm)]
    expect(commands.length).toBeGreaterThan(0)
    for (const [line, words] of commands) {
      const args = words!.split(' ')
      if (!args.includes('--print'))
        args.splice(1, 0, '--config_file', join(box.path, 'daemon.json'))
      const { status, stderr } = run(runsc, args)
      expect({ line, status, stderr }).toEqual({ line, status: 0, stderr: '' })
    }
  })

  it('links to files that exist', () => {
    for (const [, target] of text.matchAll(/\]\(([^)]+)\)/g))
      expect(existsSync(join(root, 'docs', target!)), target).toBe(true)
  })
})

describe('help', () => {
  it('is there for every command', () => {
    const overview = run(runsc, ['--help'])
    expect(overview.status).toBe(0)
    const commands = [...overview.stdout.matchAll(/^ {2}([a-z]+)(?: \[options\]| <| \[)/gm)].map(
      m => m[1]!,
    )
    expect(commands).toContain('run')
    for (const command of commands.filter(name => name !== 'help')) {
      const help = run(runsc, [command, '--help'])
      expect(help).toMatchObject({ status: 0, stderr: '' })
      expect(help.stdout).toContain(`runsc ${command}`)
    }
  })

  it('tells the version in the form that Docker reads', () => {
    expect(run(runsc, ['--version']).stdout).toMatch(/^runsc version \S+\nspec: \d+\.\d+\.\d+\n$/)
  })
})
