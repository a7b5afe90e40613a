// System V IPC and POSIX message queues.

import {
  addr,
  fd,
  flags,
  inArray,
  inBuf,
  inp,
  int,
  mode,
  off,
  out,
  outBuf,
  outInts,
  size,
  str,
  uint,
  word,
} from '../args.ts'
import { inArea } from '../row.ts'

export const ipcCalls = inArea('ipc', {
  shmget: {
    nr: 29,
    args: { key: int, size, shmflg: flags('SHMGET') },
  },
  shmat: { nr: 30, args: { shmid: int, shmaddr: addr, shmflg: flags('SHMAT') } },
  shmctl: { nr: 31, args: { shmid: int, cmd: flags('SHMCTL'), buf: addr } },
  semget: { nr: 64, args: { key: int, nsems: int, semflg: flags('IPCGET') } },
  semop: {
    nr: 65,
    args: { semid: int, sops: inArray('sembuf', 'nsops'), nsops: uint },
  },
  semctl: {
    nr: 66,
    args: { semid: int, semnum: int, cmd: flags('SEMCTL'), arg: word },
  },
  shmdt: { nr: 67, args: { shmaddr: addr } },
  msgget: { nr: 68, args: { key: int, msgflg: flags('IPCGET') } },
  msgsnd: {
    nr: 69,
    args: { msqid: int, msgp: addr, msgsz: size, msgflg: flags('MSGOP') },
    restart: 'nohand',
  },
  msgrcv: {
    nr: 70,
    args: { msqid: int, msgp: addr, msgsz: size, msgtyp: off, msgflg: flags('MSGOP') },
    restart: 'nohand',
  },
  msgctl: { nr: 71, args: { msqid: int, cmd: flags('MSGCTL'), buf: addr } },
  semtimedop: {
    nr: 220,
    args: { semid: int, sops: inArray('sembuf', 'nsops'), nsops: uint, timeout: inp('timespec') },
  },
  mq_open: {
    nr: 240,
    args: { name: str, oflag: flags('OPEN'), mode, attr: inp('mq_attr') },
  },
  mq_unlink: { nr: 241, args: { name: str } },
  mq_timedsend: {
    nr: 242,
    args: { mqdes: fd, msg: inBuf('len'), len: size, prio: uint, timeout: inp('timespec') },
    restart: 'sys',
  },
  mq_timedreceive: {
    nr: 243,
    args: { mqdes: fd, msg: outBuf('len'), len: size, prio: outInts(1), timeout: inp('timespec') },
    restart: 'sys',
  },
  mq_notify: { nr: 244, args: { mqdes: fd, sevp: inp('sigevent') } },
  mq_getsetattr: {
    nr: 245,
    args: { mqdes: fd, newattr: inp('mq_attr'), oldattr: out('mq_attr') },
  },
})
