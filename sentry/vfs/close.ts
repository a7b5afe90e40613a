// Closing descriptors: filp_close. Any close of a file by a process drops the process's POSIX locks on it.

import { O_PATH } from '../../syscall-table/flags.ts'
import type { FdTable } from '../kernel/fdtable.ts'
import type { Task } from '../kernel/task.ts'
import type { File } from './file.ts'

/**
 * Close a descriptor that has been taken out of `table`: flush, POSIX locks, and the reference. The result
 * is close(2)'s; the file is closed whatever it is.
 */
export function closeFile(task: Task, table: FdTable, file: File): number {
  const n = file.ops.flush(file, task)
  if (file.inode.locks !== null && (file.flags & O_PATH) === 0) file.inode.locks.releaseOwner(table)
  file.unref()
  return n
}

/** Close everything in a table whose last user is gone (`FdTable.unref` said so). */
export function closeTable(task: Task, table: FdTable): void {
  for (let fd = 0; fd < table.size; fd++) {
    const file = table.remove(fd)
    if (file !== undefined) closeFile(task, table, file)
  }
}

/** Close the descriptors with FD_CLOEXEC, as exec does. */
export function closeOnExec(task: Task, table: FdTable): void {
  for (let fd = 0; fd < table.size; fd++) {
    if (!table.cloexec(fd)) continue
    const file = table.remove(fd)
    if (file !== undefined) closeFile(task, table, file)
  }
}
