// Tunables of /proc/sys that programs and tests look for and that have one value here: what is in force. They cannot be
// written, but for what several names share.

import { dentryCounts } from '../../vfs/dcache.ts'
import { numberRow, type Row } from './sysctl-values.ts'

const inodes = (): number => dentryCounts().cached

export const FIXED: Readonly<Record<string, readonly Row[]>> = {
  debug: [['exception-trace', 0]],
  'dev/tty': [
    ['ldisc_autoload', 0],
    ['legacy_tiocsti', 0],
  ],
  fs: [
    // All names in the cache can be looked up again; age and pages are not kept.
    [
      'dentry-state',
      () => {
        const { cached, negative } = dentryCounts()
        return `${cached}\t${cached}\t45\t0\t${negative}\t0`
      },
    ],
    ['dir-notify-enable', 1],
    ['inode-nr', () => `${inodes()}\t0`],
    ['inode-state', () => `${inodes()}\t0\t0\t0\t0\t0\t0`],
    ['leases-enable', 1],
  ],
  kernel: [
    ['core_pipe_limit', 0],
    ['ctrl-alt-del', 0],
    ['io_uring_group', -1],
    ['numa_balancing', 0],
    ['oops_limit', 10000],
    ['panic_on_warn', 0],
    ['print-fatal-signals', 0],
    ['printk_delay', 0],
    ['printk_ratelimit', 5],
    ['printk_ratelimit_burst', 10],
    ['real-root-dev', 0],
    ['sched_autogroup_enabled', 0],
    ['sched_deadline_period_max_us', 4194304],
    ['sched_deadline_period_min_us', 100],
    ['sysctl_writes_strict', 1],
    ['task_delayacct', 0],
    ['timer_migration', 1],
  ],
  'kernel/keys': [
    ['maxbytes', 20000],
    ['maxkeys', 200],
    ['root_maxbytes', 25000000],
    ['root_maxkeys', 1000000],
  ],
  'kernel/pty': [['nr', kernel => kernel.ptys]],
  user: [
    numberRow('max_inotify_instances', ({ kernel }) => kernel.inotify, 'instances'),
    numberRow('max_inotify_watches', ({ kernel }) => kernel.inotify, 'watches'),
  ],
  vm: [
    ['admin_reserve_kbytes', 0],
    ['dirty_background_bytes', 0],
    ['dirty_background_ratio', 10],
    ['dirty_bytes', 0],
    ['dirty_expire_centisecs', 3000],
    ['dirty_ratio', 20],
    ['dirty_writeback_centisecs', 500],
    ['dirtytime_expire_seconds', 43200],
    ['hugetlb_shm_group', 0],
    ['laptop_mode', 0],
    ['legacy_va_layout', 0],
    ['memfd_noexec', 0],
    ['nr_hugepages_mempolicy', 0],
    ['nr_overcommit_hugepages', 0],
    ['numa_stat', 1],
    ['oom_dump_tasks', 0],
    ['oom_kill_allocating_task', 0],
    ['panic_on_oom', 0],
    ['stat_interval', 1],
    ['user_reserve_kbytes', 0],
    ['vfs_cache_pressure', 100],
    ['zone_reclaim_mode', 0],
  ],
}
