// Bundles each program into one file in build/, so that starting one reads one file and constants fold, and
// stores the bytecode of each beside it for load.cjs.

import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Script } from 'node:vm'
import { type BuildOptions, build, type Plugin } from 'esbuild'

const require = createRequire(import.meta.url)
const root = join(fileURLToPath(import.meta.url), '../..')
const out = join(root, 'build')
const PROGRAMS = ['runsc', 'sentry', 'gofer']
const files = PROGRAMS.map(name => join(out, `${name}.cjs`))
/**
 * What the programs are to have compiled: starting a container and what programs do with files, in a directory of memory and in
 * one of the host's.
 */
const WORKLOAD = `
ls -l /dev | cat >/dev/null; test -e /bin/sh; echo done
for place in /tmp /mnt; do
  mkdir $place/a && cd $place/a || continue
  echo text >b; echo more >>b; cp -p b c; mv c d; ln -s d e; ln d f; cat b d e f
  chmod 600 f; touch -d 2001-01-01 f; truncate -s 9 b; mkdir g; mv f g; rmdir h; rm e
  tar cf t b d g; mkdir h; tar xf t -C h; cp -a h i; find . -type f; ls -lR; ls -l h; ls -l i
  cd /; rm -r $place/a
done
sleep 0.01 & wait; kill -0 $$`
const WORKLOAD_TIMEOUT_MS = 20_000

// V8 knows a source by its length only: bytecode must never stand beside another bundle than its own.
for (const file of files) rmSync(`${file}.code`, { force: true })

/** Modules of Node.js that are large and that most commands do without: they are loaded when something of them is used. */
const LAZY = ['node:child_process', 'node:net', 'node:v8', 'node:vm']

const MODULE = 'node:module'

const lazyModules: Plugin = {
  name: 'lazy-modules',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, namespace }) =>
      (path === MODULE || LAZY.includes(path)) && namespace !== 'lazy'
        ? { path, namespace: 'lazy' }
        : { path, external: true },
    )
    onLoad({ filter: /./, namespace: 'lazy' }, ({ path }) => {
      // A bundle has been given its own.
      if (path === MODULE)
        return { contents: 'exports.createRequire = () => require', loader: 'js' }
      const names = Object.keys(require(path)).filter(name => /^\w+$/.test(name))
      const getters = names.map(name => `get ${name}() { return require('${path}').${name} }`)
      return { contents: `module.exports = { ${getters.join(', ')} }`, loader: 'js' }
    })
  },
}

const common: BuildOptions = {
  absWorkingDir: root,
  outdir: 'build',
  outExtension: { '.js': '.cjs' },
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  charset: 'ascii',
  minifySyntax: true,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'none',
  plugins: [lazyModules],
  logLevel: 'warning',
}
await build({
  ...common,
  entryPoints: {
    runsc: 'runsc/main.ts',
    sentry: 'sentry/main.ts',
    gofer: 'gofer/main.ts',
  },
  define: { 'import.meta.url': '__url' },
  // One expression, a function that load.cjs calls.
  banner: {
    js: "(function (require, module, __filename) { const exports = module.exports; const __url = require('node:url').pathToFileURL(__filename).href;",
  },
  footer: { js: '})' },
})
// What the sentry loads by require().
await build({ ...common, entryPoints: { strace: 'sentry/strace.ts' } })
copyFileSync(join(root, 'runsc/load.cjs'), join(out, 'load.cjs'))
storeBytecode()
writeFileSync(join(out, '.built'), '')

/** Bytecode of the functions that a first sandbox used; of the top level only, where no sandbox can run. */
function storeBytecode(): void {
  for (const file of files) {
    const script = new Script(readFileSync(file, 'latin1'), { filename: file })
    writeFileSync(`${file}.recorded`, script.createCachedData())
  }
  record('do', '/bin/sh', '-c', WORKLOAD)
  recordBundle()
  for (const file of files) {
    if (existsSync(`${file}.recorded`)) renameSync(`${file}.recorded`, `${file}.code`)
  }
}

/** Runs a command that adds what it uses to the recorded bytecode. */
function record(...args: string[]): void {
  spawnSync(join(root, 'runsc/bin/runsc'), args, {
    stdio: 'ignore',
    timeout: WORKLOAD_TIMEOUT_MS,
    env: { PATH: '/usr/bin:/bin', PORTCULLIS_RECORD_CODE: '1' },
  })
}

/** The same from a bundle, as engines do, on this machine's own files. */
function recordBundle(): void {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-build-'))
  const id = `build-${process.pid}`
  try {
    record('spec', '--bundle', folder)
    const file = join(folder, 'config.json')
    const config = JSON.parse(readFileSync(file, 'utf8'))
    config.root = { path: '/', readonly: true }
    config.process.terminal = false
    config.process.args = ['/bin/sh', '-c', WORKLOAD]
    config.mounts.push({ destination: '/mnt', type: 'bind', source: folder, options: ['rbind'] })
    writeFileSync(file, JSON.stringify(config))
    const state = join(folder, 'state')
    record(`--root=${state}`, 'run', '--bundle', folder, id)
    record(`--root=${state}`, 'create', '--bundle', folder, id)
    record(`--root=${state}`, 'state', id)
    record(`--root=${state}`, 'start', id)
    record(`--root=${state}`, 'kill', id, 'TERM')
    record(`--root=${state}`, 'delete', '--force', id)
  } catch {
    // Without it the programs start all the same.
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
