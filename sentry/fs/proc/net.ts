// /proc/net: tables of the network. Their headers are always there; the socket families fill in the rows
// through `setNetTable`.

import type { NetNamespace } from '../../kernel/nsproxy.ts'
import type { Task } from '../../kernel/task.ts'
import { hostNetworkOf } from '../../net/host/lookup.ts'
import { hostTable } from '../../net/host/tables.ts'
import { GeneratedFile, type StaticDirectory } from '../pseudo.ts'

/** The rows of a table, each with its newline. */
export type NetRows = (net: NetNamespace) => string

const rows = new Map<string, NetRows>()

/** Say what rows the table /proc/net/`name` has; replaces what was said before. */
export function setNetTable(name: string, generate: NetRows): void {
  rows.set(name, generate)
}

const INET_COLUMNS =
  'local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'
const INET6_ADDRESSES = `local_address${' '.repeat(25)}remote_address${' '.repeat(24)}`
const INET6_COLUMNS = `${INET6_ADDRESSES}st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode`

const HEADERS: Record<string, string> = {
  arp: 'IP address       HW type     Flags       HW address            Mask     Device\n',
  dev:
    'Inter-|   Receive                                                |  Transmit\n' +
    ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n',
  if_inet6: '',
  netlink:
    'sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n',
  packet: 'sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n',
  protocols:
    'protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n',
  raw: `  sl  ${INET_COLUMNS} ref pointer drops\n`,
  raw6: `  sl  ${INET6_COLUMNS} ref pointer drops\n`,
  route: `${'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT'.padEnd(127)}\n`,
  tcp: `${`  sl  ${INET_COLUMNS}`.padEnd(149)}\n`,
  tcp6: `  sl  ${INET6_COLUMNS}\n`,
  udp: `   sl  ${INET_COLUMNS} ref pointer drops            \n`,
  udp6: `  sl  ${INET6_COLUMNS} ref pointer drops\n`,
  unix: 'Num       RefCount Protocol Flags    Type St Inode Path\n',
}

/** lo with nothing sent: what a machine without other interfaces has. */
const DEFAULT_ROWS: Record<string, string> = {
  dev: '    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n',
  if_inet6: '00000000000000000000000000000001 01 80 10 80       lo\n',
}

const counters = (family: string, names: string): string =>
  `${family}: ${names}\n${family}: ${names
    .split(' ')
    .map(() => '0')
    .join(' ')}\n`

const SOCKSTAT =
  'sockets: used 0\nTCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\nUDP: inuse 0 mem 0\nUDPLITE: inuse 0\n' +
  'RAW: inuse 0\nFRAG: inuse 0 memory 0\n'

const SOCKSTAT6 =
  'TCP6: inuse 0\nUDP6: inuse 0\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n'

const SNMP =
  'Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits\n' +
  'Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n' +
  counters(
    'Icmp',
    'InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos InEchoReps InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost OutDestUnreachs OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps OutTimestampReps OutAddrMasks OutAddrMaskReps',
  ) +
  'Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n' +
  'Tcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0\n' +
  counters(
    'Udp',
    'InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors',
  ) +
  counters(
    'UdpLite',
    'InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors',
  )

/** The text of /proc/net/snmp with some of its numbers, by line and column. */
export function snmpWith(numbers: Record<string, Record<string, number>>): string {
  const lines = SNMP.split('\n')
  for (const [family, columns] of Object.entries(numbers)) {
    const at = lines.findIndex(line => line.startsWith(`${family}: `))
    const names = lines[at]!.split(' ')
    const values = lines[at + 1]!.split(' ')
    for (const [name, value] of Object.entries(columns)) values[names.indexOf(name)] = `${value}`
    lines[at + 1] = values.join(' ')
  }
  return lines.join('\n')
}

const NETSTAT =
  counters(
    'TcpExt',
    'SyncookiesSent SyncookiesRecv SyncookiesFailed EmbryonicRsts PruneCalled RcvPruned OfoPruned OutOfWindowIcmps LockDroppedIcmps ArpFilter TW TWRecycled TWKilled TCPDSACKRecv TCPDSACKOfoRecv TCPSynRetrans TCPOrigDataSent',
  ) +
  counters(
    'IpExt',
    'InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts InOctets OutOctets InMcastOctets OutMcastOctets InBcastOctets OutBcastOctets InCsumErrors InNoECTPkts InECT1Pkts InECT0Pkts InCEPkts ReasmOverlaps',
  )

/** Whole files without rows of their own, unless a family says otherwise. */
const WHOLE: Record<string, string> = {
  netstat: NETSTAT,
  snmp: SNMP,
  sockstat: SOCKSTAT,
  sockstat6: SOCKSTAT6,
}

/** Put the tables into /proc/net. They tell of the reader's network namespace. */
export function addNetFiles(net: StaticDirectory): void {
  const { sb } = net
  const own = new Map<string, NetRows>()
  for (const [name, header] of Object.entries(HEADERS)) {
    const fallback = DEFAULT_ROWS[name] ?? ''
    own.set(name, of => header + (rows.get(name)?.(of) ?? fallback))
  }
  for (const [name, text] of Object.entries(WHOLE))
    own.set(name, of => rows.get(name)?.(of) ?? text)
  const ofHost = sb.kernel.namespaces.net.host?.facts.tables.keys() ?? []
  for (const name of new Set([...ofHost, ...own.keys()])) {
    const content = (reader: Task) => {
      const host = hostNetworkOf(reader)
      return host?.facts.tables.has(name)
        ? hostTable(host, name)
        : (own.get(name)?.(reader.nsproxy.net) ?? '')
    }
    net.add(name, new GeneratedFile(sb, 0o444, content))
  }
}
