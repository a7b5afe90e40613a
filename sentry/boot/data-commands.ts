// Commands of the control socket whose data travels by descriptors that come with the request: files going out,
// connections coming in.

import { errnoMessage } from '../../syscall-table/errno.ts'
import type { ControlAnswer, ControlCall, ControlRequest } from '../control.ts'
import { OverlaySuperBlock } from '../fs/overlay/overlay.ts'
import type { Command } from './commands.ts'
import type { Container } from './container.ts'
import { openSource } from './file-source.ts'
import { Forward } from './forward.ts'
import { Outlet, type Source } from './outlet.ts'
import { isWhole } from './process-request.ts'
import { UpperTar } from './tar-source.ts'

const EXIT_FAILURE = 128
const PORT_MAX = 65535
const PATH_MAX = 4096
/** Connections into the sandbox at a time: each has buffers. */
const FORWARDS_MAX = 512

let forwards = 0

export const DATA_COMMANDS: Readonly<Record<string, Command>> = {
  /** Send a file's contents to the descriptor. Answers when they are out. */
  read(container, request, call) {
    const { path, offset, size } = request
    if (typeof path !== 'string' || path === '' || path.length >= PATH_MAX || path.includes('\0'))
      return { error: 'read: the path is missing or wrong' }
    if (!isOffset(offset) || !isOffset(size)) return { error: 'read: the range is wrong' }
    if (call.fds.length !== 1) return { error: 'read: the descriptor is missing' }
    const source = openSource(container.init.leader, path, offset, size)
    if (typeof source === 'number') return failed(`${path}: ${errnoMessage(-source)}`)
    return sendOut(container, source, call)
  },

  /** Send what the container has changed in its root to the descriptor, as an archive. Answers when it is out. */
  tar(container, _request, call) {
    const { sb } = container.namespaces.mnt.root
    if (!(sb instanceof OverlaySuperBlock))
      return failed('tar: the root has no overlay (--overlay2): what is written is on the host')
    if (call.fds.length !== 1) return { error: 'tar: the descriptor is missing' }
    return sendOut(container, new UpperTar(container.init.leader, sb), call)
  },

  /** Connect to a port of the container's network: what comes by the first descriptor is sent, the second gets the rest. */
  forward(container, request, call) {
    const { port } = request
    if (!isWhole(port, 1, PORT_MAX)) return { error: 'forward: the port is wrong' }
    if (call.fds.length !== 2) return { error: 'forward: descriptors are missing' }
    if (forwards >= FORWARDS_MAX) return { error: 'forward: there are too many connections' }
    return connectIn(container, request as ControlRequest & { port: number }, call)
  },
}

/** A failure whose line is complete by itself. */
const failed = (error: string): ControlAnswer => ({ error, exitStatus: EXIT_FAILURE })

const isOffset = (value: unknown): value is number => isWhole(value, 0, Number.MAX_SAFE_INTEGER)

function sendOut(container: Container, source: Source, call: ControlCall): null {
  const [fd] = call.fds.splice(0)
  const answer = call.later(() => outlet.end(0))
  const outlet = new Outlet(container.kernel, fd!, source, result => answer(resultOf(result)))
  return null
}

const resultOf = (result: number): ControlAnswer =>
  result < 0 ? failed(errnoMessage(-result)) : {}

function connectIn(
  container: Container,
  { port }: { port: number },
  call: ControlCall,
): ControlAnswer | null {
  const [incoming, outgoing] = call.fds.splice(0)
  const answer = call.later(() => {})
  forwards++
  const forward = new Forward(container.init.leader, incoming!, outgoing!, {
    connected: result => answer(resultOf(result)),
    ended: () => forwards--,
  })
  forward.connect(port)
  return null
}
