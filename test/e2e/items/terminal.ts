// An interactive shell on a terminal: keys, job control, resizing. The driver is a Python program with a pty.

import { existsSync } from 'node:fs'

const python =
  ['/usr/bin/python3', '/usr/local/bin/python3'].find(path => existsSync(path)) ?? 'python3'

/** Starts the command on a pty and carries out steps: ["send", text], ["expect", regex], ["resize", rows, columns], ["end", status]. */
const DRIVER = `
import fcntl, json, os, pty, re, select, signal, struct, sys, termios, time
steps, command = json.loads(sys.argv[1]), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(PS1='READY> ', TERM='dumb', HISTFILE='')
    os.execvp(command[0], command)
seen = ''
def size(rows, columns): fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
size(24, 80)
def fail(what):
    os.kill(pid, signal.SIGKILL); print('FAILED', what, repr(seen[-2000:])); sys.exit(1)
for step in steps:
    if step[0] == 'send': os.write(fd, step[1].encode())
    elif step[0] == 'resize': size(*step[1:])
    elif step[0] == 'expect':
        end = time.time() + 60
        while not (m := re.search(step[1], seen)):
            if not select.select([fd], [], [], max(0, end - time.time()))[0]: fail(step)
            try: data = os.read(fd, 65536)
            except OSError: data = b''
            if not data: fail(step)
            seen += data.decode(errors='replace')
        seen = seen[m.end():]
    elif step[0] == 'end':
        end = time.time() + 60
        while time.time() < end:
            if select.select([fd], [], [], 0.05)[0]:
                try: seen += os.read(fd, 65536).decode(errors='replace')
                except OSError: pass
            p, status = os.waitpid(pid, os.WNOHANG)
            if p:
                if os.waitstatus_to_exitcode(status) != step[1]: fail([step, status])
                break
        else: fail(step)
print('DONE')
`

export type Step =
  | ['send', string]
  | ['expect', string]
  | ['resize', number, number]
  | ['end', number]

export const SHELL = ['bash', '--norc', '--noprofile', '-i']

/** The command that drives `command` on a terminal, and prints DONE when all was as expected. */
export const driven = (steps: readonly Step[], command: readonly string[]): [string, string[]] => [
  python,
  ['-c', DRIVER, JSON.stringify(steps), ...command],
]

const prompt: Step = ['expect', 'READY> ']
/** A program that says that it runs: keys typed earlier would reach the shell. */
const start = (program: string): Step[] => [
  ['send', `sh -c 'echo U""P; exec ${program}'\n`],
  ['expect', '\\nUP\\r\\n'],
]

export interface Dialogue {
  name: string
  steps: Step[]
}

export const dialogues: readonly Dialogue[] = [
  {
    name: 'runs commands and ends with the status of exit',
    steps: [
      prompt,
      ['send', 'echo $((6*7)); tty\n'],
      ['expect', '\\n42\\r\\n/dev/(pts/\\d+|console|tty\\d*)\\r\\n'],
      prompt,
      ['send', 'exit 9\n'],
      ['end', 9],
    ],
  },
  {
    name: 'Ctrl-D ends the shell, Ctrl-U and backspace edit',
    steps: [
      prompt,
      ['send', 'junk\u0015echo goox\u007fd\n'],
      ['expect', '\\ngood\\r\\n'],
      prompt,
      ['send', '\u0004'],
      ['end', 0],
    ],
  },
  {
    name: 'Ctrl-C interrupts the program and not the shell',
    steps: [
      prompt,
      ...start('sleep 100'),
      ['send', '\u0003'],
      prompt,
      ['send', 'echo s$?\n'],
      ['expect', '\\ns130\\r\\n'],
      ['send', 'exit\n'],
      ['end', 0],
    ],
  },
  {
    name: 'Ctrl-Z stops, bg and fg go on',
    steps: [
      prompt,
      // Reads from the terminal once there is a file: until then it can run in the background.
      ...start('sh -c "until [ -e /tmp/go ]; do sleep 0.1; done; read x; exit 4"'),
      ['send', '\u001a'],
      ['expect', 'Stopped'],
      prompt,
      ['send', 'jobs\n'],
      ['expect', 'Stopped .*read x'],
      prompt,
      ['send', 'bg\n'],
      prompt,
      ['send', 'jobs\n'],
      ['expect', 'Running'],
      prompt,
      ['send', 'touch /tmp/go; until jobs | grep St""opped; do sleep 0.1; done\n'],
      ['expect', 'Stopped'],
      prompt,
      ['send', 'fg\n'],
      ['expect', 'read x.*\\r\\n'],
      ['send', 'a line\n'],
      prompt,
      ['send', 'echo back $?\n'],
      ['expect', '\\nback 4\\r\\n'],
      ['send', 'exit\n'],
      ['end', 0],
    ],
  },
  {
    name: 'Ctrl-backslash quits a program',
    steps: [
      prompt,
      ...start('sleep 100'),
      ['send', '\u001c'],
      prompt,
      ['send', 'echo s$?\n'],
      ['expect', '\\ns131\\r\\n'],
      ['send', 'exit\n'],
      ['end', 0],
    ],
  },
  {
    name: 'resizing reaches the program',
    steps: [
      prompt,
      ['send', 'stty size\n'],
      ['expect', '\\n24 80\\r\\n'],
      prompt,
      ['resize', 50, 132],
      // Commands of a substitution are of bash's own group, which so stays the terminal's foreground.
      ['send', 'until [ "$(stty size)" = "50 132" ]; do :; done; echo r""esized\n'],
      ['expect', '\\nresized\\r\\n'],
      prompt,
      ['send', "trap 'echo W''INCH' WINCH; echo s''et\n"],
      ['expect', '\\nset\\r\\n'],
      prompt,
      ['resize', 30, 90],
      // bash runs the trap when a command ends, not while it waits for a line.
      ['send', 'until [ "$(stty size)" = "30 90" ]; do :; done\n'],
      ['expect', 'WINCH'],
      ['send', 'exit\n'],
      ['end', 0],
    ],
  },
  {
    name: 'raw mode, no echo and full-screen programs',
    steps: [
      prompt,
      ['send', 'read -s -p "pass: " p; echo "[$p]"\n'],
      ['expect', '\\npass: '],
      ['send', 'hidden\n'],
      ['expect', '^\\r?\\n?\\[hidden\\]'],
      prompt,
      ['send', 'read -n 1 -s k; echo "k$k"\n'],
      ['expect', '\\n'],
      ['send', 'x'],
      ['expect', 'kx\\r\\n'],
      prompt,
      ['send', 'seq 100 | more\n'],
      ['expect', '--More--'],
      ['send', 'q'],
      prompt,
      ['send', 'exit\n'],
      ['end', 0],
    ],
  },
  {
    name: 'a terminal that hangs up ends the shell',
    steps: [
      prompt,
      ['send', 'kill -HUP $$\n'],
      ['end', process.env.PORTCULLIS_NATIVE === '1' ? -1 : 129],
    ],
  },
]
