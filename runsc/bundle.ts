// Bundles each program into one file in build/, so that starting one reads one file and constants fold.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = join(fileURLToPath(import.meta.url), '../..')

await build({
  absWorkingDir: root,
  entryPoints: { runsc: 'runsc/main.ts', sentry: 'sentry/main.ts', gofer: 'gofer/main.ts' },
  outdir: 'build',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  minifySyntax: true,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'none',
  // CommonJS packages in the bundle (commander, pino) call require.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
})

writeFileSync(join(root, 'build/.built'), '')
