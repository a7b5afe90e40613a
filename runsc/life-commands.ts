// What engines call for each container, besides making it.

import type { Commands } from './command-line.ts'

export const LIFE_COMMANDS: Commands = {
  start: async () => (await import('./commands/start.ts')).startCommand(),
  state: async () => (await import('./commands/state.ts')).stateCommand(),
  kill: async () => (await import('./commands/kill.ts')).killCommand(),
  delete: async () => (await import('./commands/delete.ts')).deleteCommand(),
}
