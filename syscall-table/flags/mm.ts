// Memory: mmap(2) and its relatives, and the auxiliary vector.

// The page.
export const PAGE_SHIFT = 12
export const PAGE_SIZE = 4096

// mmap(2), mprotect(2).
export const PROT_NONE = 0
export const PROT_READ = 0x1
export const PROT_WRITE = 0x2
export const PROT_EXEC = 0x4
export const PROT_SEM = 0x8
export const PROT_GROWSDOWN = 0x1000000
export const PROT_GROWSUP = 0x2000000
export const MAP_FILE = 0
export const MAP_SHARED = 0x1
export const MAP_PRIVATE = 0x2
export const MAP_SHARED_VALIDATE = 0x3
export const MAP_DROPPABLE = 0x8
export const MAP_TYPE = 0xf
export const MAP_FIXED = 0x10
export const MAP_ANONYMOUS = 0x20
export const MAP_32BIT = 0x40
export const MAP_GROWSDOWN = 0x100
export const MAP_DENYWRITE = 0x800
export const MAP_EXECUTABLE = 0x1000
export const MAP_LOCKED = 0x2000
export const MAP_NORESERVE = 0x4000
export const MAP_POPULATE = 0x8000
export const MAP_NONBLOCK = 0x10000
export const MAP_STACK = 0x20000
export const MAP_HUGETLB = 0x40000
export const MAP_SYNC = 0x80000
export const MAP_FIXED_NOREPLACE = 0x100000
export const MAP_UNINITIALIZED = 0x4000000
export const MAP_HUGE_SHIFT = 26
export const MAP_HUGE_MASK = 0x3f
export const MAP_HUGE_2MB = 0x54000000
export const MAP_HUGE_1GB = 0x78000000

// mremap(2), msync(2), mlock(2).
export const MREMAP_MAYMOVE = 0x1
export const MREMAP_FIXED = 0x2
export const MREMAP_DONTUNMAP = 0x4
export const MS_ASYNC = 0x1
export const MS_INVALIDATE = 0x2
export const MS_SYNC = 0x4
export const MCL_CURRENT = 0x1
export const MCL_FUTURE = 0x2
export const MCL_ONFAULT = 0x4
export const MLOCK_ONFAULT = 0x1

// madvise(2).
export const MADV_NORMAL = 0
export const MADV_RANDOM = 1
export const MADV_SEQUENTIAL = 2
export const MADV_WILLNEED = 3
export const MADV_DONTNEED = 4
export const MADV_FREE = 8
export const MADV_REMOVE = 9
export const MADV_DONTFORK = 10
export const MADV_DOFORK = 11
export const MADV_MERGEABLE = 12
export const MADV_UNMERGEABLE = 13
export const MADV_HUGEPAGE = 14
export const MADV_NOHUGEPAGE = 15
export const MADV_DONTDUMP = 16
export const MADV_DODUMP = 17
export const MADV_WIPEONFORK = 18
export const MADV_KEEPONFORK = 19
export const MADV_COLD = 20
export const MADV_PAGEOUT = 21
export const MADV_POPULATE_READ = 22
export const MADV_POPULATE_WRITE = 23
export const MADV_DONTNEED_LOCKED = 24
export const MADV_COLLAPSE = 25
export const MADV_HWPOISON = 100
export const MADV_SOFT_OFFLINE = 101
export const MADV_GUARD_INSTALL = 102
export const MADV_GUARD_REMOVE = 103

// pkey_alloc(2).
export const PKEY_DISABLE_ACCESS = 0x1
export const PKEY_DISABLE_WRITE = 0x2

// mbind(2), set_mempolicy(2).
export const MPOL_DEFAULT = 0
export const MPOL_PREFERRED = 1
export const MPOL_BIND = 2
export const MPOL_INTERLEAVE = 3
export const MPOL_LOCAL = 4
export const MPOL_PREFERRED_MANY = 5
export const MPOL_WEIGHTED_INTERLEAVE = 6
export const MPOL_F_STATIC_NODES = 0x8000
export const MPOL_F_RELATIVE_NODES = 0x4000
export const MPOL_F_NUMA_BALANCING = 0x2000
export const MPOL_F_NODE = 0x1
export const MPOL_F_ADDR = 0x2
export const MPOL_F_MEMS_ALLOWED = 0x4
export const MPOL_MF_STRICT = 0x1
export const MPOL_MF_MOVE = 0x2
export const MPOL_MF_MOVE_ALL = 0x4

// membarrier(2).
export const MEMBARRIER_CMD_QUERY = 0
export const MEMBARRIER_CMD_GLOBAL = 0x1
export const MEMBARRIER_CMD_GLOBAL_EXPEDITED = 0x2
export const MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 0x4
export const MEMBARRIER_CMD_PRIVATE_EXPEDITED = 0x8
export const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 0x10
export const MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE = 0x20
export const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 0x40
export const MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ = 0x80
export const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ = 0x100
export const MEMBARRIER_CMD_GET_REGISTRATIONS = 0x200
export const MEMBARRIER_CMD_FLAG_CPU = 0x1

// The auxiliary vector, getauxval(3).
export const AT_NULL = 0
export const AT_IGNORE = 1
export const AT_EXECFD = 2
export const AT_PHDR = 3
export const AT_PHENT = 4
export const AT_PHNUM = 5
export const AT_PAGESZ = 6
export const AT_BASE = 7
export const AT_FLAGS = 8
export const AT_ENTRY = 9
export const AT_NOTELF = 10
export const AT_UID = 11
export const AT_EUID = 12
export const AT_GID = 13
export const AT_EGID = 14
export const AT_PLATFORM = 15
export const AT_HWCAP = 16
export const AT_CLKTCK = 17
export const AT_SECURE = 23
export const AT_BASE_PLATFORM = 24
export const AT_RANDOM = 25
export const AT_HWCAP2 = 26
export const AT_RSEQ_FEATURE_SIZE = 27
export const AT_RSEQ_ALIGN = 28
export const AT_HWCAP3 = 29
export const AT_HWCAP4 = 30
export const AT_EXECFN = 31
export const AT_SYSINFO = 32
export const AT_SYSINFO_EHDR = 33
export const AT_MINSIGSTKSZ = 51
