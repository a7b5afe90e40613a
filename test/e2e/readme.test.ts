// What the README shows and what the help texts promise works as written.

import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { globalOptions } from '../../runsc/options.ts'
import { root, run, runsc, temporary, writeBundle } from '../run.ts'

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

describe('docs/commands.md', () => {
  const text = readFileSync(join(root, 'docs/commands.md'), 'utf8')

  it('shows commands that work, one after the other', () => {
    const bundle = join(box.path, 'commands')
    mkdirSync(join(bundle, 'rootfs/bin'), { recursive: true })
    for (const name of ['sh', 'sleep'])
      expect(run('cp', ['/bin/busybox', join(bundle, 'rootfs/bin', name)]).status).toBe(0)
    writeBundle(bundle, 'rootfs', ['/bin/sleep', '1000'])
    const lines = [...text.matchAll(/^ {4}(runsc\/bin\/runsc .*)$/gm)].map(m => m[1]!)
    expect(lines.length).toBeGreaterThan(3)
    const state = `--root=${join(box.path, 'commands-state')}`
    for (const line of lines) {
      const words = line.replaceAll('DIR', bundle).replace(/\bbox$|\bbox(?= )/, 'box-commands')
      // What leaves a container behind leaves it our streams.
      const script = `${words.replace('runsc/bin/runsc', `${runsc} ${state}`)} </dev/null >"$0" 2>&1`
      const output = join(box.path, 'commands-output')
      const { status } = run('sh', ['-c', script, output])
      expect({ line, status, output: readFileSync(output, 'utf8') }).toMatchObject({
        line,
        status: 0,
      })
      if (line.includes(' read ')) expect(readFileSync(output, 'utf8')).toBe('hello\n')
    }
    expect(existsSync(join(bundle, 'changes.tar'))).toBe(true)
  })

  /** What stands in the first column of a table, in backquotes. */
  const listed = (from: string, to: string, pattern: RegExp): string[] =>
    text
      .slice(text.indexOf(from), text.indexOf(to))
      .split('\n')
      .filter(line => line.startsWith('| `'))
      .flatMap(line => [...line.split('|')[1]!.matchAll(pattern)].map(m => m[1]!))
      .sort()

  it('has every command', () => {
    const { stdout } = run(runsc, ['--help'])
    const commands = [...stdout.slice(stdout.indexOf('Commands:')).matchAll(/^ {2}([a-z-]+) /gm)]
    const names = commands.map(m => m[1]!).filter(name => name !== 'help')
    expect(listed('## Commands', '## Flags', /`([a-z-]+)[^`]*`/g)).toEqual(names.sort())
  })

  it('has every flag, with its default', () => {
    const flags = globalOptions()
    const names = flags.map(({ long }) => long!).sort()
    expect(listed('## Flags', '### --overlay2', /`(--[a-z0-9-]+)`/g)).toEqual(names)
    for (const { long, defaultValue } of flags) {
      const row = text.split('\n').find(line => line.startsWith(`| \`${long}\` |`))
      if (row !== undefined && defaultValue !== undefined)
        expect(row.split('|')[2]!.trim(), long).toBe(String(defaultValue))
    }
  })
})

describe('help', () => {
  it('is there for every command', () => {
    const overview = run(runsc, ['--help'])
    expect(overview.status).toBe(0)
    const commands = [
      ...overview.stdout.matchAll(/^ {2}([a-z][a-z-]*)(?: \[options\]| <| \[)/gm),
    ].map(m => m[1]!)
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
