// NETLINK_GENERIC: net/netlink/genetlink.c. There is one family, nlctrl, by which programs find the others: they are told that
// there are none.

import { EINVAL, ENOENT, EOPNOTSUPP } from '../../../syscall-table/errno.ts'
import type { Task } from '../../kernel/task.ts'
import { attributeOf, HEADER_SIZE, MessageWriter, NLM_F_MULTI, type Request } from './message.ts'
import type { Dump, NetlinkSocket } from './netlink-socket.ts'

/** struct genlmsghdr. */
const GENERIC_HEADER = 4
const DUMP = 0x300
const GENL_ID_CTRL = 16
const CTRL_NAME = 'nlctrl'
const CTRL_VERSION = 2

const CTRL_CMD_NEWFAMILY = 1
const CTRL_CMD_GETFAMILY = 3
const CTRL_CMD_GETPOLICY = 10

const FAMILY_ID = 1
const FAMILY_NAME = 2
const VERSION = 3
const HDRSIZE = 4
const MAXATTR = 5
const OPS = 6
const MCAST_GROUPS = 7

/** GENL_CMD_CAP_DO, GENL_CMD_CAP_DUMP, GENL_CMD_CAP_HASPOL. */
const CAN_DO = 2
const CAN_DUMP = 4
const HAS_POLICY = 8
const OPERATIONS = [
  [CTRL_CMD_GETFAMILY, CAN_DO | CAN_DUMP | HAS_POLICY],
  [CTRL_CMD_GETPOLICY, CAN_DUMP | HAS_POLICY],
] as const

const writer = new MessageWriter()

/** Answer one request. */
export function handleGeneric(socket: NetlinkSocket, _task: Task, request: Request): number {
  const { type, bytes, flags } = request
  if (type !== GENL_ID_CTRL) return -ENOENT
  if (bytes.length < HEADER_SIZE + GENERIC_HEADER) return -EINVAL
  // LIMIT: no policies are told.
  if (bytes[HEADER_SIZE] !== CTRL_CMD_GETFAMILY) return -EOPNOTSUPP
  if ((flags & DUMP) !== 0) return socket.dump(request, new Families(request))
  const id = attributeOf(request, HEADER_SIZE + GENERIC_HEADER, FAMILY_ID)
  const name = attributeOf(request, HEADER_SIZE + GENERIC_HEADER, FAMILY_NAME)
  if (id === undefined && name === undefined) return -EINVAL
  if (id !== undefined && id.length < 2) return -EINVAL
  if (id !== undefined && (id[0]! | (id[1]! << 8)) !== GENL_ID_CTRL) return -ENOENT
  if (name !== undefined && Buffer.from(name).toString('latin1').split('\0')[0] !== CTRL_NAME)
    return -ENOENT
  socket.reply(describe(request, socket.port, 0))
  return 0
}

class Families implements Dump {
  readonly result = 0
  readonly #request: Request
  #told = false

  constructor(request: Request) {
    this.#request = request
  }

  next(port: number): Uint8Array | null {
    if (this.#told) return null
    this.#told = true
    return describe(this.#request, port, NLM_F_MULTI)
  }
}

/** ctrl_fill_info for nlctrl itself. */
function describe({ sequence }: Request, port: number, flags: number): Uint8Array {
  writer.begin(GENL_ID_CTRL, flags, sequence, port).u8(CTRL_CMD_NEWFAMILY, CTRL_VERSION, 0, 0)
  writer.textAttribute(FAMILY_NAME, CTRL_NAME)
  writer.attribute(FAMILY_ID, Uint8Array.of(GENL_ID_CTRL, 0))
  writer.numberAttribute(VERSION, CTRL_VERSION)
  writer.numberAttribute(HDRSIZE, 0)
  writer.numberAttribute(MAXATTR, 0)
  const operations = writer.open(OPS)
  OPERATIONS.forEach(([id, able], i) => {
    const operation = writer.open(i + 1)
    writer.numberAttribute(1, id)
    writer.numberAttribute(2, able)
    writer.close(operation)
  })
  writer.close(operations)
  const groups = writer.open(MCAST_GROUPS)
  const group = writer.open(1)
  writer.numberAttribute(2, GENL_ID_CTRL)
  writer.textAttribute(1, 'notify')
  writer.close(group)
  writer.close(groups)
  writer.end()
  return writer.take()
}
