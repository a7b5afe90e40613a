// A file of sysfs: fs/sysfs/file.c.

import { GeneratedFile, KERNFS_POLLED, type Polled } from '../pseudo.ts'

export class SysfsFile extends GeneratedFile {
  protected override polled(): Polled {
    return KERNFS_POLLED
  }
}
