// Root directory, working directory and umask: struct fs_struct. Shared by CLONE_FS, copied by fork.

import type { Path } from './mount.ts'

export class FsContext {
  root: Path
  cwd: Path
  umask = 0o022

  constructor(root: Path, cwd: Path) {
    this.root = root
    this.cwd = cwd
  }

  copy(): FsContext {
    const fs = new FsContext({ ...this.root }, { ...this.cwd })
    fs.umask = this.umask
    return fs
  }
}
