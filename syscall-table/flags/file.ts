// Files, paths and mounts: open(2), stat(2), fcntl(2), mount(2) and their relatives.

// open(2). O_LARGEFILE is the kernel's value; libc shows 0 for it on this architecture.
export const O_RDONLY = 0
export const O_WRONLY = 0o1
export const O_RDWR = 0o2
export const O_ACCMODE = 0o3
export const O_CREAT = 0o100
export const O_EXCL = 0o200
export const O_NOCTTY = 0o400
export const O_TRUNC = 0o1000
export const O_APPEND = 0o2000
export const O_NONBLOCK = 0o4000
export const O_NDELAY = 0o4000
export const O_DSYNC = 0o10000
export const FASYNC = 0o20000
export const O_DIRECT = 0o40000
export const O_LARGEFILE = 0o100000
export const O_DIRECTORY = 0o200000
export const O_NOFOLLOW = 0o400000
export const O_NOATIME = 0o1000000
export const O_CLOEXEC = 0o2000000
export const __O_SYNC = 0o4000000
export const O_SYNC = 0o4010000
export const O_PATH = 0o10000000
export const __O_TMPFILE = 0o20000000
export const O_TMPFILE = 0o20200000

// openat2(2).
export const RESOLVE_NO_XDEV = 0x1
export const RESOLVE_NO_MAGICLINKS = 0x2
export const RESOLVE_NO_SYMLINKS = 0x4
export const RESOLVE_BENEATH = 0x8
export const RESOLVE_IN_ROOT = 0x10
export const RESOLVE_CACHED = 0x20

// The *at(2) family.
export const AT_FDCWD = -100
export const AT_SYMLINK_NOFOLLOW = 0x100
export const AT_EACCESS = 0x200
export const AT_REMOVEDIR = 0x200
export const AT_SYMLINK_FOLLOW = 0x400
export const AT_NO_AUTOMOUNT = 0x800
export const AT_EMPTY_PATH = 0x1000
export const AT_STATX_SYNC_TYPE = 0x6000
export const AT_STATX_SYNC_AS_STAT = 0
export const AT_STATX_FORCE_SYNC = 0x2000
export const AT_STATX_DONT_SYNC = 0x4000
export const AT_RECURSIVE = 0x8000
export const AT_HANDLE_FID = 0x200
export const AT_HANDLE_MNT_ID_UNIQUE = 0x1
export const MAX_HANDLE_SZ = 128

// Limits of names, paths and vectors.
export const NAME_MAX = 255
export const PATH_MAX = 4096
export const SYMLINK_MAX = 4095
export const MAXSYMLINKS = 40
export const IOV_MAX = 1024
export const PIPE_BUF = 4096
export const XATTR_NAME_MAX = 255
export const XATTR_SIZE_MAX = 65536
export const XATTR_LIST_MAX = 65536
export const MAX_RW_COUNT = 0x7ffff000

// access(2).
export const F_OK = 0
export const X_OK = 1
export const W_OK = 2
export const R_OK = 4

// File modes.
export const S_IFMT = 0o170000
export const S_IFSOCK = 0o140000
export const S_IFLNK = 0o120000
export const S_IFREG = 0o100000
export const S_IFBLK = 0o60000
export const S_IFDIR = 0o40000
export const S_IFCHR = 0o20000
export const S_IFIFO = 0o10000
export const S_ISUID = 0o4000
export const S_ISGID = 0o2000
export const S_ISVTX = 0o1000
export const S_IRWXU = 0o700
export const S_IRUSR = 0o400
export const S_IWUSR = 0o200
export const S_IXUSR = 0o100
export const S_IRWXG = 0o70
export const S_IRGRP = 0o40
export const S_IWGRP = 0o20
export const S_IXGRP = 0o10
export const S_IRWXO = 0o7
export const S_IROTH = 0o4
export const S_IWOTH = 0o2
export const S_IXOTH = 0o1

// Types in struct linux_dirent64.
export const DT_UNKNOWN = 0
export const DT_FIFO = 1
export const DT_CHR = 2
export const DT_DIR = 4
export const DT_BLK = 6
export const DT_REG = 8
export const DT_LNK = 10
export const DT_SOCK = 12
export const DT_WHT = 14

// lseek(2).
export const SEEK_SET = 0
export const SEEK_CUR = 1
export const SEEK_END = 2
export const SEEK_DATA = 3
export const SEEK_HOLE = 4

// fcntl(2).
export const F_DUPFD = 0
export const F_GETFD = 1
export const F_SETFD = 2
export const F_GETFL = 3
export const F_SETFL = 4
export const F_GETLK = 5
export const F_SETLK = 6
export const F_SETLKW = 7
export const F_SETOWN = 8
export const F_GETOWN = 9
export const F_SETSIG = 10
export const F_GETSIG = 11
export const F_SETOWN_EX = 15
export const F_GETOWN_EX = 16
export const F_GETOWNER_UIDS = 17
export const F_OFD_GETLK = 36
export const F_OFD_SETLK = 37
export const F_OFD_SETLKW = 38
export const F_SETLEASE = 1024
export const F_GETLEASE = 1025
export const F_NOTIFY = 1026
export const DN_ACCESS = 0x1
export const DN_MODIFY = 0x2
export const DN_CREATE = 0x4
export const DN_DELETE = 0x8
export const DN_RENAME = 0x10
export const DN_ATTRIB = 0x20
export const DN_MULTISHOT = 0x80000000
export const F_DUPFD_QUERY = 1027
export const F_CREATED_QUERY = 1028
export const F_CANCELLK = 1029
export const F_DUPFD_CLOEXEC = 1030
export const F_SETPIPE_SZ = 1031
export const F_GETPIPE_SZ = 1032
export const F_ADD_SEALS = 1033
export const F_GET_SEALS = 1034
export const F_GET_RW_HINT = 1035
export const RWH_WRITE_LIFE_EXTREME = 5
export const F_SET_RW_HINT = 1036
export const F_GET_FILE_RW_HINT = 1037
export const F_SET_FILE_RW_HINT = 1038
export const FD_CLOEXEC = 1
export const F_RDLCK = 0
export const F_WRLCK = 1
export const F_UNLCK = 2
export const F_EXLCK = 4
export const F_SHLCK = 8
export const F_OWNER_TID = 0
export const F_OWNER_PID = 1
export const F_OWNER_PGRP = 2

// File seals.
export const F_SEAL_SEAL = 0x1
export const F_SEAL_SHRINK = 0x2
export const F_SEAL_GROW = 0x4
export const F_SEAL_WRITE = 0x8
export const F_SEAL_FUTURE_WRITE = 0x10
export const F_SEAL_EXEC = 0x20

// flock(2).
export const LOCK_SH = 1
export const LOCK_EX = 2
export const LOCK_NB = 4
export const LOCK_UN = 8
export const LOCK_MAND = 32
export const LOCK_READ = 64
export const LOCK_WRITE = 128
export const LOCK_RW = 192

// fallocate(2).
export const FALLOC_FL_KEEP_SIZE = 0x1
export const FALLOC_FL_PUNCH_HOLE = 0x2
export const FALLOC_FL_NO_HIDE_STALE = 0x4
export const FALLOC_FL_COLLAPSE_RANGE = 0x8
export const FALLOC_FL_ZERO_RANGE = 0x10
export const FALLOC_FL_INSERT_RANGE = 0x20
export const FALLOC_FL_UNSHARE_RANGE = 0x40

// renameat2(2).
export const RENAME_NOREPLACE = 0x1
export const RENAME_EXCHANGE = 0x2
export const RENAME_WHITEOUT = 0x4

// preadv2(2).
export const RWF_HIPRI = 0x1
export const RWF_DSYNC = 0x2
export const RWF_SYNC = 0x4
export const RWF_NOWAIT = 0x8
export const RWF_APPEND = 0x10
export const RWF_NOAPPEND = 0x20
export const RWF_ATOMIC = 0x40
export const RWF_DONTCACHE = 0x80

// splice(2).
export const SPLICE_F_MOVE = 0x1
export const SPLICE_F_NONBLOCK = 0x2
export const SPLICE_F_MORE = 0x4
export const SPLICE_F_GIFT = 0x8

// sync_file_range(2).
export const SYNC_FILE_RANGE_WAIT_BEFORE = 0x1
export const SYNC_FILE_RANGE_WRITE = 0x2
export const SYNC_FILE_RANGE_WAIT_AFTER = 0x4

// posix_fadvise(2).
export const POSIX_FADV_NORMAL = 0
export const POSIX_FADV_RANDOM = 1
export const POSIX_FADV_SEQUENTIAL = 2
export const POSIX_FADV_WILLNEED = 3
export const POSIX_FADV_DONTNEED = 4
export const POSIX_FADV_NOREUSE = 5

// close_range(2).
export const CLOSE_RANGE_UNSHARE = 0x2
export const CLOSE_RANGE_CLOEXEC = 0x4

// memfd_create(2).
export const MFD_CLOEXEC = 0x1
export const MFD_ALLOW_SEALING = 0x2
export const MFD_HUGETLB = 0x4
export const MFD_NOEXEC_SEAL = 0x8
export const MFD_EXEC = 0x10

// utimensat(2).
export const UTIME_NOW = 0x3fffffff
export const UTIME_OMIT = 0x3ffffffe

// setxattr(2).
export const XATTR_CREATE = 0x1
export const XATTR_REPLACE = 0x2

// statx(2).
export const STATX_TYPE = 0x1
export const STATX_MODE = 0x2
export const STATX_NLINK = 0x4
export const STATX_UID = 0x8
export const STATX_GID = 0x10
export const STATX_ATIME = 0x20
export const STATX_MTIME = 0x40
export const STATX_CTIME = 0x80
export const STATX_INO = 0x100
export const STATX_SIZE = 0x200
export const STATX_BLOCKS = 0x400
export const STATX_BASIC_STATS = 0x7ff
export const STATX_BTIME = 0x800
export const STATX_MNT_ID = 0x1000
export const STATX_DIOALIGN = 0x2000
export const STATX_MNT_ID_UNIQUE = 0x4000
export const STATX_SUBVOL = 0x8000
export const STATX_WRITE_ATOMIC = 0x10000
export const STATX__RESERVED = 0x80000000
export const STATX_ATTR_COMPRESSED = 0x4
export const STATX_ATTR_IMMUTABLE = 0x10
export const STATX_ATTR_APPEND = 0x20
export const STATX_ATTR_NODUMP = 0x40
export const STATX_ATTR_ENCRYPTED = 0x800
export const STATX_ATTR_AUTOMOUNT = 0x1000
export const STATX_ATTR_MOUNT_ROOT = 0x2000
export const STATX_ATTR_VERITY = 0x100000
export const STATX_ATTR_DAX = 0x200000

// statfs(2) flags.
export const ST_RDONLY = 0x1
export const ST_NOSUID = 0x2
export const ST_NODEV = 0x4
export const ST_NOEXEC = 0x8
export const ST_SYNCHRONOUS = 0x10
export const ST_VALID = 0x20
export const ST_MANDLOCK = 0x40
export const ST_NOATIME = 0x400
export const ST_NODIRATIME = 0x800
export const ST_RELATIME = 0x1000
export const ST_NOSYMFOLLOW = 0x2000

// File system types, as statfs(2) shows them.
export const TMPFS_MAGIC = 0x1021994
export const PROC_SUPER_MAGIC = 0x9fa0
export const SYSFS_MAGIC = 0x62656572
export const DEVPTS_SUPER_MAGIC = 0x1cd1
export const OVERLAYFS_SUPER_MAGIC = 0x794c7630
export const EXT4_SUPER_MAGIC = 0xef53
export const CGROUP_SUPER_MAGIC = 0x27e0eb
export const CGROUP2_SUPER_MAGIC = 0x63677270
export const ANON_INODE_FS_MAGIC = 0x9041934
export const PIPEFS_MAGIC = 0x50495045
export const SOCKFS_MAGIC = 0x534f434b
export const NSFS_MAGIC = 0x6e736673
export const RAMFS_MAGIC = 0x858458f6
export const V9FS_MAGIC = 0x1021997
export const MQUEUE_MAGIC = 0x19800202
export const HUGETLBFS_MAGIC = 0x958458f6

// mount(2), umount2(2).
export const MS_RDONLY = 0x1
export const MS_NOSUID = 0x2
export const MS_NODEV = 0x4
export const MS_NOEXEC = 0x8
export const MS_SYNCHRONOUS = 0x10
export const MS_REMOUNT = 0x20
export const MS_MANDLOCK = 0x40
export const MS_DIRSYNC = 0x80
export const MS_NOSYMFOLLOW = 0x100
export const MS_NOATIME = 0x400
export const MS_NODIRATIME = 0x800
export const MS_BIND = 0x1000
export const MS_MOVE = 0x2000
export const MS_REC = 0x4000
export const MS_SILENT = 0x8000
export const MS_POSIXACL = 0x10000
export const MS_UNBINDABLE = 0x20000
export const MS_PRIVATE = 0x40000
export const MS_SLAVE = 0x80000
export const MS_SHARED = 0x100000
export const MS_RELATIME = 0x200000
export const MS_KERNMOUNT = 0x400000
export const MS_I_VERSION = 0x800000
export const MS_STRICTATIME = 0x1000000
export const MS_LAZYTIME = 0x2000000
export const MS_MGC_VAL = 0xc0ed0000
export const MS_MGC_MSK = 0xffff0000
export const MNT_FORCE = 0x1
export const MNT_DETACH = 0x2
export const MNT_EXPIRE = 0x4
export const UMOUNT_NOFOLLOW = 0x8

// fsopen(2), open_tree(2), move_mount(2), mount_setattr(2).
export const FSOPEN_CLOEXEC = 0x1
export const FSMOUNT_CLOEXEC = 0x1
export const FSPICK_CLOEXEC = 0x1
export const FSPICK_SYMLINK_NOFOLLOW = 0x2
export const FSPICK_NO_AUTOMOUNT = 0x4
export const FSPICK_EMPTY_PATH = 0x8
export const OPEN_TREE_CLONE = 0x1
export const OPEN_TREE_CLOEXEC = 0x80000
export const MOVE_MOUNT_F_SYMLINKS = 0x1
export const MOVE_MOUNT_F_AUTOMOUNTS = 0x2
export const MOVE_MOUNT_F_EMPTY_PATH = 0x4
export const MOVE_MOUNT_T_SYMLINKS = 0x10
export const MOVE_MOUNT_T_AUTOMOUNTS = 0x20
export const MOVE_MOUNT_T_EMPTY_PATH = 0x40
export const MOVE_MOUNT_SET_GROUP = 0x100
export const MOVE_MOUNT_BENEATH = 0x200
export const FSCONFIG_SET_FLAG = 0
export const FSCONFIG_SET_STRING = 1
export const FSCONFIG_SET_BINARY = 2
export const FSCONFIG_SET_PATH = 3
export const FSCONFIG_SET_PATH_EMPTY = 4
export const FSCONFIG_SET_FD = 5
export const FSCONFIG_CMD_CREATE = 6
export const FSCONFIG_CMD_RECONFIGURE = 7
export const FSCONFIG_CMD_CREATE_EXCL = 8
export const STATMOUNT_SB_BASIC = 0x1
export const STATMOUNT_MNT_BASIC = 0x2
export const STATMOUNT_PROPAGATE_FROM = 0x4
export const STATMOUNT_MNT_ROOT = 0x8
export const STATMOUNT_MNT_POINT = 0x10
export const STATMOUNT_FS_TYPE = 0x20
export const STATMOUNT_MNT_NS_ID = 0x40
export const STATMOUNT_MNT_OPTS = 0x80
export const MOUNT_ATTR_RDONLY = 0x1
export const MOUNT_ATTR_NOSUID = 0x2
export const MOUNT_ATTR_NODEV = 0x4
export const MOUNT_ATTR_NOEXEC = 0x8
export const MOUNT_ATTR__ATIME = 0x70
export const MOUNT_ATTR_RELATIME = 0
export const MOUNT_ATTR_NOATIME = 0x10
export const MOUNT_ATTR_STRICTATIME = 0x20
export const MOUNT_ATTR_NODIRATIME = 0x80
export const MOUNT_ATTR_IDMAP = 0x100000
export const MOUNT_ATTR_NOSYMFOLLOW = 0x200000

// inotify(7).
export const IN_ACCESS = 0x1
export const IN_MODIFY = 0x2
export const IN_ATTRIB = 0x4
export const IN_CLOSE_WRITE = 0x8
export const IN_CLOSE_NOWRITE = 0x10
export const IN_OPEN = 0x20
export const IN_MOVED_FROM = 0x40
export const IN_MOVED_TO = 0x80
export const IN_CREATE = 0x100
export const IN_DELETE = 0x200
export const IN_DELETE_SELF = 0x400
export const IN_MOVE_SELF = 0x800
export const IN_UNMOUNT = 0x2000
export const IN_Q_OVERFLOW = 0x4000
export const IN_IGNORED = 0x8000
export const IN_CLOSE = 0x18
export const IN_MOVE = 0xc0
export const IN_ALL_EVENTS = 0xfff
export const IN_ONLYDIR = 0x1000000
export const IN_DONT_FOLLOW = 0x2000000
export const IN_EXCL_UNLINK = 0x4000000
export const IN_MASK_CREATE = 0x10000000
export const IN_MASK_ADD = 0x20000000
export const IN_ISDIR = 0x40000000
export const IN_ONESHOT = 0x80000000
export const IN_CLOEXEC = 0x80000
export const IN_NONBLOCK = 0x800

// io_submit(2).
export const IOCB_CMD_PREAD = 0
export const IOCB_CMD_PWRITE = 1
export const IOCB_CMD_FSYNC = 2
export const IOCB_CMD_FDSYNC = 3
export const IOCB_CMD_POLL = 5
export const IOCB_CMD_NOOP = 6
export const IOCB_CMD_PREADV = 7
export const IOCB_CMD_PWRITEV = 8
export const IOCB_FLAG_RESFD = 1
export const IOCB_FLAG_IOPRIO = 2
