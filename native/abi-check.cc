// Compares abi.gen.h with the system's headers. Compiled by `generate.ts --check`; makes no code.

#include "abi.gen.h"

#include <asm/unistd.h>
#include <cstddef>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <linux/prctl.h>
#include <linux/rseq.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/stat.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/utsname.h>
#include <termios.h>
#include <time.h>
#include <ucontext.h>

#define NR(name) static_assert(ABI_NR_##name == __NR_##name);
#define SIZE(abi, type) static_assert(ABI_SIZEOF_##abi == sizeof(type), #type);
#define FIELD(abi, type, member) static_assert(ABI_##abi == offsetof(type, member), #type "." #member);

// The first and last numbers of both ranges, and one of each kind of file; the unit test covers every name.
NR(read) NR(openat) NR(clone3) NR(rseq) NR(io_pgetevents) NR(pidfd_send_signal) NR(futex_waitv)

SIZE(STAT, struct stat)
FIELD(STAT_NLINK, struct stat, st_nlink)
FIELD(STAT_MODE, struct stat, st_mode)
FIELD(STAT_RDEV, struct stat, st_rdev)
FIELD(STAT_SIZE, struct stat, st_size)
FIELD(STAT_BLOCKS, struct stat, st_blocks)
FIELD(STAT_ATIME, struct stat, st_atim)
FIELD(STAT_CTIME, struct stat, st_ctim)
SIZE(STATFS, struct statfs)
FIELD(STATFS_FSID, struct statfs, f_fsid)
FIELD(STATFS_NAMELEN, struct statfs, f_namelen)
FIELD(STATFS_FLAGS, struct statfs, f_flags)
SIZE(STATX, struct statx)
FIELD(STATX_MODE, struct statx, stx_mode)
FIELD(STATX_ATIME, struct statx, stx_atime)
FIELD(STATX_MTIME, struct statx, stx_mtime)
FIELD(STATX_RDEV_MAJOR, struct statx, stx_rdev_major)
FIELD(STATX_MNT_ID, struct statx, stx_mnt_id)
SIZE(TIMESPEC, struct timespec)
SIZE(TIMEVAL, struct timeval)
SIZE(ITIMERSPEC, struct itimerspec)
SIZE(ITIMERVAL, struct itimerval)
SIZE(TIMEX, struct timex)
SIZE(RUSAGE, struct rusage)
SIZE(RLIMIT64, struct rlimit)
SIZE(SYSINFO, struct sysinfo)
SIZE(IOVEC, struct iovec)
SIZE(POLLFD, struct pollfd)
SIZE(EPOLL_EVENT, struct epoll_event)
SIZE(FLOCK, struct flock)
SIZE(WINSIZE, struct winsize)
SIZE(F_OWNER_EX, struct f_owner_ex)
SIZE(OPEN_HOW, struct open_how)
SIZE(INOTIFY_EVENT, struct inotify_event)
SIZE(IOCB, struct iocb)
FIELD(TIMEX_TIME, struct timex, time)
FIELD(TIMEX_TAI, struct timex, tai)
FIELD(RUSAGE_NIVCSW, struct rusage, ru_nivcsw)
FIELD(SYSINFO_PROCS, struct sysinfo, procs)
FIELD(SYSINFO_MEM_UNIT, struct sysinfo, mem_unit)
FIELD(FLOCK_PID, struct flock, l_pid)
FIELD(EPOLL_EVENT_DATA, struct epoll_event, data)
SIZE(UTSNAME, struct utsname)
FIELD(UTSNAME_MACHINE, struct utsname, machine)
SIZE(CLONE_ARGS, struct clone_args)
SIZE(ROBUST_LIST_HEAD, struct robust_list_head)
SIZE(FUTEX_WAITV, struct futex_waitv)
SIZE(RSEQ_CS, struct rseq_cs)
SIZE(PRCTL_MM_MAP, struct prctl_mm_map)
SIZE(SECCOMP_DATA, struct seccomp_data)
SIZE(SOCK_FILTER, struct sock_filter)
SIZE(SOCK_FPROG, struct sock_fprog)
SIZE(USER_REGS_STRUCT, struct user_regs_struct)
SIZE(CAP_USER_HEADER, struct __user_cap_header_struct)
SIZE(CAP_USER_DATA, struct __user_cap_data_struct)
FIELD(CLONE_ARGS_SET_TID, struct clone_args, set_tid)
FIELD(RSEQ_FLAGS, struct rseq, flags)
FIELD(PRCTL_MM_MAP_EXE_FD, struct prctl_mm_map, exe_fd)
FIELD(SECCOMP_DATA_ARGS, struct seccomp_data, args)
FIELD(USER_REGS_STRUCT_ORIG_AX, struct user_regs_struct, orig_rax)
FIELD(USER_REGS_STRUCT_FS_BASE, struct user_regs_struct, fs_base)
SIZE(STACK_T, stack_t)
SIZE(SIGINFO, siginfo_t)
SIZE(SIGEVENT, struct sigevent)
SIZE(SIGNALFD_SIGINFO, struct signalfd_siginfo)
FIELD(SIGINFO_CODE, siginfo_t, si_code)
FIELD(SIGINFO_KILL_PID, siginfo_t, si_pid)
FIELD(SIGINFO_TIMER_VALUE, siginfo_t, si_value)
FIELD(SIGINFO_CHLD_STATUS, siginfo_t, si_status)
FIELD(SIGINFO_CHLD_UTIME, siginfo_t, si_utime)
FIELD(SIGINFO_FAULT_ADDR, siginfo_t, si_addr)
FIELD(SIGINFO_FAULT_LOWER, siginfo_t, si_lower)
FIELD(SIGINFO_PKEY_PKEY, siginfo_t, si_pkey)
FIELD(SIGINFO_POLL_FD, siginfo_t, si_fd)
FIELD(SIGINFO_SYS_SYSCALL, siginfo_t, si_syscall)
FIELD(SIGINFO_SYS_ARCH, siginfo_t, si_arch)
FIELD(SIGNALFD_SIGINFO_PTR, struct signalfd_siginfo, ssi_ptr)
FIELD(SIGNALFD_SIGINFO_CALL_ADDR, struct signalfd_siginfo, ssi_call_addr)
FIELD(UCONTEXT_STACK, ucontext_t, uc_stack)
FIELD(UCONTEXT_MCONTEXT, ucontext_t, uc_mcontext)
FIELD(UCONTEXT_SIGMASK, ucontext_t, uc_sigmask)
static_assert(ABI_SIGCONTEXT_R8 == REG_R8 * 8 && ABI_SIGCONTEXT_IP == REG_RIP * 8);
static_assert(ABI_SIGCONTEXT_CS == REG_CSGSFS * 8 && ABI_SIGCONTEXT_CR2 == REG_CR2 * 8);
static_assert(ABI_SIGCONTEXT_FPSTATE == offsetof(mcontext_t, fpregs));
SIZE(SOCKADDR_UN, struct sockaddr_un)
SIZE(SOCKADDR_IN, struct sockaddr_in)
SIZE(SOCKADDR_IN6, struct sockaddr_in6)
SIZE(MSGHDR, struct msghdr)
SIZE(MMSGHDR, struct mmsghdr)
SIZE(CMSGHDR, struct cmsghdr)
SIZE(UCRED, struct ucred)
SIZE(LINGER, struct linger)
SIZE(IN_PKTINFO, struct in_pktinfo)
SIZE(IN6_PKTINFO, struct in6_pktinfo)
SIZE(IP_MREQN, struct ip_mreqn)
SIZE(SEMBUF, struct sembuf)
SIZE(SEMID_DS, struct semid_ds)
SIZE(SEMINFO, struct seminfo)
SIZE(SHMID_DS, struct shmid_ds)
SIZE(SHMINFO, struct shminfo)
SIZE(SHM_INFO, struct shm_info)
SIZE(MSQID_DS, struct msqid_ds)
SIZE(MSGINFO, struct msginfo)
SIZE(MQ_ATTR, struct mq_attr)
FIELD(SOCKADDR_IN6_SCOPE_ID, struct sockaddr_in6, sin6_scope_id)
FIELD(MSGHDR_CONTROLLEN, struct msghdr, msg_controllen)
FIELD(MSGHDR_FLAGS, struct msghdr, msg_flags)
FIELD(SHMID_DS_NATTCH, struct shmid_ds, shm_nattch)
FIELD(SEMID_DS_NSEMS, struct semid_ds, sem_nsems)
FIELD(MSQID_DS_LSPID, struct msqid_ds, msg_lspid)
