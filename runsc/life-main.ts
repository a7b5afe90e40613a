// These commands only, in a bundle of their own, which starts sooner. load.cjs looks for their names among the words, and may be
// mistaken: then the whole runsc takes over.

import { main } from './command-line.ts'
import { LIFE_COMMANDS } from './life-commands.ts'

declare const startWhole: () => void

void main(LIFE_COMMANDS, () => startWhole())
