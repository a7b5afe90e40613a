// Commands of runc and gVisor, and options of commands, that have no counterpart here: why not, or why that does not matter.

import { GO, type Group, NO_USER_LOG, SAVE } from './gvisor-flags.ts'

const METRICS = 'there are no metrics besides those of `events` and `usage`'
const DEVICES = 'devices of the host are out of reach'

/** Commands that are refused. */
const ABSENT: Readonly<Record<string, string>> = {
  checkpoint: SAVE,
  restore: SAVE,
  fscheckpoint: SAVE,
  statefile: SAVE,
  debug: 'use --debug, --strace, `ps` and `usage`',
  symbolize: GO,
  'cpu-features': GO,
  'metric-server': METRICS,
  'export-metrics': METRICS,
  'metric-metadata': METRICS,
  trace: 'there are no trace sessions: use --strace',
  mitigate: 'SMT is for the host to turn off',
  nvproxy: DEVICES,
  bwrap: 'use `do`, or `run` with a bundle',
  sandboxexec: 'use `do`, or `run` with a bundle',
  'read-control': 'read /sys/fs/cgroup in the container',
  'write-control': 'use `update`',
}

/** Why there is no such command; undefined when nobody else has it either. */
export const absentCommand = (name: string): string | undefined =>
  Object.hasOwn(ABSENT, name) ? ABSENT[name] : undefined

const OWN_FILES = 'a program comes from the files of its container'
const RDT = 'Intel RDT is not supported'

const making: Group[] = [
  { flag: false, why: NO_USER_LOG, names: 'user-log' },
  { flag: false, off: [''], why: SAVE, names: 'fs-restore-image-path' },
  { flag: true, off: ['false'], why: SAVE, names: 'fs-restore-direct' },
]
const execFd: Group = { flag: false, off: ['-1'], why: OWN_FILES, names: 'exec-fd' }

const OPTIONS: Readonly<Record<string, readonly Group[]>> = {
  create: making,
  run: [...making, execFd],
  exec: [
    execFd,
    {
      flag: false,
      off: ['', '/'],
      why: 'a process begins in the cgroup of its container',
      names: 'cgroup',
    },
  ],
  update: [{ flag: false, off: [''], why: RDT, names: 'l3-cache-schema mem-bw-schema' }],
  wait: [
    { flag: false, off: ['0'], why: SAVE, names: 'checkpoint' },
    { flag: true, off: ['false'], why: SAVE, names: 'fscheckpoint fsrestore restore' },
  ],
  do: [
    { flag: true, why: 'nothing is said beside what the program says', names: 'quiet' },
    { flag: false, off: [''], why: "sockets are the host's, or a loopback", names: 'ip' },
    {
      flag: false,
      off: [''],
      why: 'use `run` with a bundle',
      names: 'erofs gid-map uid-map volume',
    },
  ],
  spec: [{ flag: true, off: ['false'], why: DEVICES, names: 'tpu' }],
  install: [
    { flag: true, off: ['true'], why: 'an entry of that name is replaced', names: 'clobber' },
    { flag: true, off: ['false'], why: 'it is a setting of Docker itself', names: 'experimental' },
    { flag: false, off: [''], why: 'it is a setting of Docker itself', names: 'cgroupdriver' },
    {
      flag: true,
      off: ['false'],
      why: 'there are no sidecars',
      names: 'download-sidecars require-sidecars',
    },
    { flag: false, off: [''], why: 'there are no sidecars', names: 'sidecar-url' },
  ],
}

/** Options of a command of others. */
export const foreignOptions = (command: string): readonly Group[] =>
  Object.hasOwn(OPTIONS, command) ? OPTIONS[command]! : []
