// /proc/sysvipc: the System V objects, in the columns that ipcs(1) reads. sysvipc(7).

import type { IpcObject } from '../../ipc/ids.ts'
import type { Task } from '../../kernel/task.ts'

const column = (value: number, width: number): string => `${value}`.padStart(width)

/** key, identifier and permissions. */
function first(object: IpcObject): string {
  const mode = object.mode.toString(8).padStart(4)
  return `${column(object.key, 10)} ${column(object.id, 10)}  ${mode} `
}

/** User and group of the owner and of the creator. */
function owners({ uid, gid, cuid, cgid }: IpcObject): string {
  return [uid, gid, cuid, cgid].map(id => column(id | 0, 5)).join(' ')
}

const times = (...stamps: number[]): string => stamps.map(stamp => column(stamp, 10)).join(' ')

export function shmText({ nsproxy }: Task): string {
  let text =
    '       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid' +
    '      atime      dtime      ctime                   rss                  swap\n'
  for (const s of nsproxy.ipc.shm.sorted()) {
    text +=
      `${first(s)}${column(s.size, 21)} ${column(s.cpid, 5)} ${column(s.lpid, 5)}  ` +
      `${column(s.nattch, 5)} ${owners(s)} ${times(s.atime, s.dtime, s.ctime)} ` +
      `${column(s.resident, 21)} ${column(0, 21)}\n`
  }
  return text
}

export function semText({ nsproxy }: Task): string {
  let text =
    '       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n'
  for (const s of nsproxy.ipc.sem.sorted())
    text += `${first(s)}${column(s.count, 10)} ${owners(s)} ${times(s.otime, s.ctime)}\n`
  return text
}

export function msgText({ nsproxy }: Task): string {
  let text =
    '       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid' +
    '      stime      rtime      ctime\n'
  for (const q of nsproxy.ipc.msg.sorted()) {
    text +=
      `${first(q)} ${column(q.bytes, 10)} ${column(q.messages.length, 10)} ` +
      `${column(q.lspid, 5)} ${column(q.lrpid, 5)} ${owners(q)} ` +
      `${times(q.stime, q.rtime, q.ctime)}\n`
  }
  return text
}
