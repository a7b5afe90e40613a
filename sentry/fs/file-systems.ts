// All kernel-made file systems: importing this makes their types known to mount(2) and registers the devices.

import './cgroup/cgroup-fs.ts'
import './dev/devtmpfs.ts'
import './devpts/devpts.ts'
import './mqueue/mqueue.ts'
import './proc/proc.ts'
import './sysfs/sysfs.ts'
import './tmpfs/mount.ts'
