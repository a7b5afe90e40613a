// Loads the addon. The only file that knows where it lies; the other files of this folder give it types.

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

// The bundles stand beside the addon in build/; the sources are run from native/.
const here = dirname(fileURLToPath(import.meta.url))
const file = here.endsWith('build')
  ? join(here, 'portcullis.node')
  : join(here, '../build/portcullis.node')

/** The addon's exports, untyped: each file in native/ picks its own functions and declares their types. */
export const addon = createRequire(import.meta.url)(file) as Record<string, unknown>
