// Memory of the calling process and of others.

import {
  addr,
  fd,
  flags,
  flags64,
  hex,
  inIovec,
  int,
  outInts,
  outIovec,
  pid,
  size,
  word,
} from '../args.ts'
import { ENOSYS } from '../errno.ts'
import { inArea } from '../row.ts'

export const mmCalls = inArea('mm', {
  mmap: {
    nr: 9,
    args: { addr, length: size, prot: flags('PROT'), flags: flags('MAP'), fd, offset: word },
    restart: 'nointr',
  },
  mprotect: {
    nr: 10,
    args: { addr, length: size, prot: flags('PROT') },
    restart: 'nointr',
  },
  munmap: { nr: 11, args: { addr, length: size }, restart: 'nointr' },
  brk: { nr: 12, args: { addr }, restart: 'nointr' },
  mremap: {
    nr: 25,
    args: { oldAddr: addr, oldSize: size, newSize: size, flags: flags('MREMAP'), newAddr: addr },
    restart: 'nointr',
  },
  msync: { nr: 26, args: { addr, length: size, flags: flags('MSYNC') } },
  mincore: {
    nr: 27,
    args: { addr, length: size, vec: addr },
    partial: 'reports every mapped page as resident',
  },
  madvise: {
    nr: 28,
    args: { addr, length: size, advice: flags('MADV') },
    restart: 'nointr',
  },
  mlock: { nr: 149, args: { addr, length: size } },
  munlock: { nr: 150, args: { addr, length: size } },
  mlockall: { nr: 151, args: { flags: flags('MCL') } },
  munlockall: { nr: 152, args: {} },
  modify_ldt: {
    nr: 154,
    args: { func: int, ptr: addr, bytecount: size },
    todo: ENOSYS,
    note: 'as without CONFIG_MODIFY_LDT_SYSCALL',
  },
  remap_file_pages: {
    nr: 216,
    args: { addr, size, prot: flags('PROT'), pgoff: size, flags: flags('MAP') },
  },
  mbind: {
    nr: 237,
    args: {
      addr,
      length: size,
      mode: flags('MPOL'),
      nodemask: addr,
      maxnode: size,
      flags: flags('MPOL_MF'),
    },
    partial: 'one memory node',
  },
  set_mempolicy: {
    nr: 238,
    args: { mode: flags('MPOL'), nodemask: addr, maxnode: size },
    partial: 'one memory node',
  },
  get_mempolicy: {
    nr: 239,
    args: { policy: outInts(1), nodemask: addr, maxnode: size, addr, flags: flags64('MPOL_F') },
    partial: 'one memory node',
  },
  migrate_pages: {
    nr: 256,
    args: { pid, maxnode: size, oldNodes: addr, newNodes: addr },
    partial: 'one memory node',
  },
  move_pages: {
    nr: 279,
    args: { pid, count: size, pages: addr, nodes: addr, status: addr, flags: flags('MPOL_MF') },
    partial: 'one memory node',
  },
  process_vm_readv: {
    nr: 310,
    args: { pid, lvec: outIovec('liovcnt'), liovcnt: size, rvec: addr, riovcnt: size, flags: size },
  },
  process_vm_writev: {
    nr: 311,
    args: { pid, lvec: inIovec('liovcnt'), liovcnt: size, rvec: addr, riovcnt: size, flags: size },
  },
  userfaultfd: {
    nr: 323,
    args: { flags: flags('UFFD') },
    todo: ENOSYS,
    note: 'as without CONFIG_USERFAULTFD',
  },
  membarrier: {
    nr: 324,
    args: { cmd: flags('MEMBARRIER'), flags: flags('MEMBARRIER_FLAG'), cpuId: int },
  },
  mlock2: { nr: 325, args: { addr, length: size, flags: flags('MLOCK') } },
  pkey_mprotect: {
    nr: 329,
    args: { addr, length: size, prot: flags('PROT'), pkey: int },
    note: 'as on a CPU without protection keys',
  },
  pkey_alloc: { nr: 330, args: { flags: size, accessRights: flags64('PKEY') } },
  pkey_free: { nr: 331, args: { pkey: int } },
  process_madvise: {
    nr: 440,
    args: { pidfd: fd, iov: addr, iovcnt: size, advice: flags('MADV'), flags: hex },
  },
  process_mrelease: { nr: 448, args: { pidfd: fd, flags: hex } },
  set_mempolicy_home_node: {
    nr: 450,
    args: { start: addr, len: size, homeNode: size, flags: size },
    todo: ENOSYS,
  },
  map_shadow_stack: { nr: 453, args: { addr, size, flags: hex }, todo: ENOSYS },
  mseal: { nr: 462, args: { start: addr, len: size, flags: size } },
})
