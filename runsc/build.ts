// Where what has been built lies: beside the bundle; the sources are run from runsc/.

import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
export const build = here.endsWith('build') ? here : join(here, '../build')
