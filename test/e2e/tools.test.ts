// The tools of every Unix, over trees and large files, compared with the machine's own Linux.

import { describe } from 'vitest'
import { toolItems } from './items/tools.ts'
import { sameAsLinux } from './same.ts'

describe('coreutils and friends', () => sameAsLinux(toolItems))
