// Quantity: bytes through pipes, processes and threads in number, memory and disk that run out.

import { describe } from 'vitest'
import { loadItems } from './items/load.ts'
import { asKnown } from './same.ts'

describe('load', () => asKnown(loadItems))
