// The runsc command line: one file per command under commands/, listed here.

import { type Commands, main } from './command-line.ts'

const COMMANDS: Commands = {
  start: async () => (await import('./commands/start.ts')).startCommand(),
  state: async () => (await import('./commands/state.ts')).stateCommand(),
  kill: async () => (await import('./commands/kill.ts')).killCommand(),
  delete: async () => (await import('./commands/delete.ts')).deleteCommand(),
  exec: async () => (await import('./commands/exec.ts')).execCommand(),
  ps: async () => (await import('./commands/ps.ts')).psCommand(),
  wait: async () => (await import('./commands/wait.ts')).waitCommand(),
  do: async () => (await import('./commands/do.ts')).doCommand(),
  run: async () => (await import('./commands/run.ts')).runCommand(),
  spec: async () => (await import('./commands/spec.ts')).specCommand(),
  features: async () => (await import('./commands/features.ts')).featuresCommand(),
  install: async () => (await import('./commands/install.ts')).installCommand(),
  uninstall: async () => (await import('./commands/install.ts')).uninstallCommand(),
  create: async () => (await import('./commands/create.ts')).createCommand(),
  list: async () => (await import('./commands/list.ts')).listCommand(),
  pause: async () => (await import('./commands/pause.ts')).pauseCommand(),
  resume: async () => (await import('./commands/resume.ts')).resumeCommand(),
  update: async () => (await import('./commands/update.ts')).updateCommand(),
  events: async () => (await import('./commands/events.ts')).eventsCommand(),
  read: async () => (await import('./commands/read.ts')).readCommand(),
  tar: async () => (await import('./commands/tar.ts')).tarCommand(),
  'port-forward': async () => (await import('./commands/port-forward.ts')).portForwardCommand(),
  usage: async () => (await import('./commands/usage.ts')).usageCommand(),
  flags: async () => (await import('./commands/flags.ts')).flagsCommand(),
  syscalls: async () => (await import('./commands/syscalls.ts')).syscallsCommand(),
  platforms: async () => (await import('./commands/platforms.ts')).platformsCommand(),
}

void main(COMMANDS)
