// What an administrator asks of the machine: its log, its end, its terminals; the memory nodes; deadlines.
#include "test.h"
#include "namespace.h"
#include <linux/capability.h>
#include <linux/mempolicy.h>
#include <linux/reboot.h>
#include <sys/klog.h>
#include <sys/personality.h>
#include <sys/timex.h>

#define BAD_POINTER ((void *)-1L)

static int holds(int cap) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  EXPECT_OK(syscall(SYS_capget, &header, data));
  return (data[cap >> 5].effective >> (cap & 31)) & 1;
}

TEST(log_of_the_kernel) {
  char text[64];
  IN_CHILD({
    become(NOBODY, NOBODY);
    for (int type = 0; type <= 10; type++) {
      if (type != 3 && type != 10) EXPECT_ERRNO(klogctl(type, text, sizeof text), EPERM);
    }
  });
  if (!holds(CAP_SYSLOG)) SKIP("not privileged");
  EXPECT_ERRNO(klogctl(-1, NULL, 0), EINVAL);
  EXPECT_ERRNO(klogctl(11, NULL, 0), EINVAL);
  EXPECT_EQ(klogctl(0, NULL, 0), 0);
  EXPECT_EQ(klogctl(1, NULL, 0), 0);
  EXPECT_ERRNO(klogctl(2, NULL, 5), EINVAL);
  EXPECT_ERRNO(klogctl(2, text, -1), EINVAL);
  EXPECT_ERRNO(klogctl(3, NULL, 5), EINVAL);
  EXPECT_ERRNO(klogctl(8, NULL, 0), EINVAL);
  EXPECT_ERRNO(klogctl(8, NULL, 9), EINVAL);
}

TEST(end_of_a_pid_namespace) {
  if (!holds(CAP_SYS_BOOT)) SKIP("not privileged");
  const unsigned commands[] = {LINUX_REBOOT_CMD_RESTART, LINUX_REBOOT_CMD_HALT, LINUX_REBOOT_CMD_POWER_OFF};
  const int signals[] = {SIGHUP, SIGINT, SIGINT};
  for (int i = 0; i < 3; i++) {
    pid_t init = CLONE(CLONE_NEWPID, {
      const long m1 = LINUX_REBOOT_MAGIC1;
      const long m2 = LINUX_REBOOT_MAGIC2;
      if (getpid() != 1) _exit(1);
      EXPECT_ERRNO(syscall(SYS_reboot, 0L, m2, LINUX_REBOOT_CMD_HALT, 0L), EINVAL);
      EXPECT_ERRNO(syscall(SYS_reboot, m1, 0L, LINUX_REBOOT_CMD_HALT, 0L), EINVAL);
      EXPECT_ERRNO(syscall(SYS_reboot, m1, m2, 77L, 0L), EINVAL);
      EXPECT_ERRNO(syscall(SYS_reboot, m1, m2, LINUX_REBOOT_CMD_CAD_OFF, 0L), EINVAL);
      FORK({
        syscall(SYS_reboot, m1, (long)LINUX_REBOOT_MAGIC2B, commands[i], 0L);
        for (;;) pause();
      });
      for (;;) pause();
    });
    EXPECT_KILLED(init, signals[i]);
  }
  IN_CHILD({
    become(NOBODY, NOBODY);
    EXPECT_ERRNO(syscall(SYS_reboot, 0L, 0L, 0L, 0L), EPERM);
  });
}

TEST(hang_up_without_a_terminal) {
  if (!holds(CAP_SYS_TTY_CONFIG)) SKIP("not privileged");
  IN_CHILD({
    EXPECT_OK(setsid());
    EXPECT_OK(vhangup());
    become(NOBODY, NOBODY);
    EXPECT_ERRNO(vhangup(), EPERM);
  });
}

TEST(hang_up_a_terminal) {
  if (!holds(CAP_SYS_TTY_CONFIG)) SKIP("not privileged");
  int master = EXPECT_OK(open("/dev/ptmx", O_RDWR | O_NOCTTY));
  EXPECT_OK(grantpt(master));
  EXPECT_OK(unlockpt(master));
  IN_CHILD({
    EXPECT_OK(setsid());
    signal(SIGHUP, SIG_IGN);
    int slave = EXPECT_OK(open(ptsname(master), O_RDWR));
    EXPECT_OK(vhangup());
    char byte;
    EXPECT_EQ(read(slave, &byte, 1), 0);
    EXPECT_ERRNO(write(slave, "x", 1), EIO);
    EXPECT_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
  });
}

TEST(names_of_other_machines) {
  struct utsname name;
  IN_CHILD({
    EXPECT_OK(personality(PER_LINUX32));
    EXPECT_OK(uname(&name));
    EXPECT_STR(name.machine, "i686");
  });
  IN_CHILD({
    EXPECT_OK(personality(UNAME26));
    EXPECT_OK(uname(&name));
    EXPECT_EQ(strncmp(name.release, "2.6.", 4), 0);
    EXPECT_GE(atoi(name.release + 4), 60);
  });
}

TEST(clocks_that_cannot_be_set) {
  struct timespec time = {0, 0};
  EXPECT_ERRNO(clock_settime(CLOCK_PROCESS_CPUTIME_ID, &time), EINVAL);
  EXPECT_ERRNO(clock_settime(CLOCK_THREAD_CPUTIME_ID, &time), EINVAL);
  EXPECT_ERRNO(clock_settime(CLOCK_MONOTONIC, &time), EINVAL);
  // The clock of the calling thread stands still while it sleeps.
  EXPECT_ERRNO(syscall(SYS_clock_nanosleep, (clockid_t)-2, 0, &time, NULL), EINVAL);
  int id;
  for (int clock = CLOCK_MONOTONIC_RAW; clock <= CLOCK_MONOTONIC_COARSE; clock++)
    EXPECT_ERRNO(syscall(SYS_timer_create, clock, NULL, &id), EOPNOTSUPP);
  if (!holds(CAP_SYS_TIME)) SKIP("not privileged");
  struct timex timex = {.modes = ADJ_TICK, .tick = 8999};
  EXPECT_ERRNO(syscall(SYS_adjtimex, &timex), EINVAL);
  timex.tick = 11001;
  EXPECT_ERRNO(syscall(SYS_adjtimex, &timex), EINVAL);
  timex.modes = ADJ_SETOFFSET;
  timex.time.tv_usec = 1000000;
  EXPECT_ERRNO(syscall(SYS_adjtimex, &timex), EINVAL);
}

static char *new_pages(int n) {
  char *p = mmap(NULL, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(p != MAP_FAILED);
  memset(p, 1, n * 4096);
  return p;
}

TEST(pages_of_a_node) {
  char *p = new_pages(2);
  EXPECT_OK(munmap(p + 4096, 4096));
  void *pages[2] = {p, p + 4096};
  int nodes[2] = {0, 0}, status[2] = {-1, -1};
  if (syscall(SYS_move_pages, 0, 2L, pages, NULL, status, 0) < 0 && errno == ENOSYS) SKIP("no NUMA");
  EXPECT_TRUE(status[0] == 0 && status[1] == -EFAULT);
  EXPECT_EQ(syscall(SYS_move_pages, 0, 1L, pages, nodes, status, MPOL_MF_MOVE), 0);
  EXPECT_EQ(status[0], 0);
  nodes[0] = 99;
  EXPECT_ERRNO(syscall(SYS_move_pages, 0, 1L, pages, nodes, status, MPOL_MF_MOVE), ENODEV);
  EXPECT_ERRNO(syscall(SYS_move_pages, 0, 1L, BAD_POINTER, NULL, status, 0), EFAULT);
  EXPECT_ERRNO(syscall(SYS_move_pages, 0, 1L, pages, NULL, BAD_POINTER, 0), EFAULT);
  EXPECT_ERRNO(syscall(SYS_move_pages, 0, 1L, pages, NULL, status, 999), EINVAL);
  EXPECT_ERRNO(syscall(SYS_move_pages, -1, 1L, pages, NULL, status, 0), ESRCH);
  unsigned long one = 1, none = 0;
  EXPECT_EQ(syscall(SYS_migrate_pages, 0, 64L, &one, &one), 0);
  EXPECT_ERRNO(syscall(SYS_migrate_pages, 0, 64L, &one, &none), EINVAL);
  EXPECT_ERRNO(syscall(SYS_migrate_pages, 0, 64L, &one, BAD_POINTER), EFAULT);
  EXPECT_ERRNO(syscall(SYS_migrate_pages, -1, 64L, &one, &one), ESRCH);
  become(NOBODY, NOBODY);
  EXPECT_ERRNO(syscall(SYS_move_pages, getppid(), 1L, pages, NULL, status, 0), EPERM);
  EXPECT_ERRNO(syscall(SYS_migrate_pages, getppid(), 64L, &one, &one), EPERM);
}

TEST(policies_of_memory) {
  unsigned long one = 1;
  int mode = -1;
  char *p = new_pages(3);
  EXPECT_OK(munmap(p + 4096, 4096));
  EXPECT_OK(syscall(SYS_mbind, p, 3 * 4096L, MPOL_DEFAULT, NULL, 0L, 0));
  EXPECT_ERRNO(syscall(SYS_mbind, p, 3 * 4096L, MPOL_BIND, &one, 64L, 0), EFAULT);
  EXPECT_ERRNO(syscall(SYS_get_mempolicy, &mode, NULL, 0L, NULL, (long)MPOL_F_NODE), EINVAL);
  EXPECT_ERRNO(syscall(SYS_set_mempolicy, MPOL_DEFAULT, &one, 0L), EINVAL);
  EXPECT_ERRNO(syscall(SYS_set_mempolicy, MPOL_PREFERRED, &one, 0L), EINVAL);
  EXPECT_OK(syscall(SYS_set_mempolicy, MPOL_PREFERRED, NULL, 1L));
  EXPECT_OK(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0L));
  // What an area has, its parts have.
  unsigned long nodes = 0;
  p = new_pages(3);
  EXPECT_OK(syscall(SYS_mbind, p, 2 * 4096L, MPOL_BIND, &one, 64L, 0));
  EXPECT_OK(syscall(SYS_get_mempolicy, &mode, &nodes, 64L, p + 4096, (long)MPOL_F_ADDR));
  EXPECT_TRUE(mode == MPOL_BIND && nodes == 1);
  EXPECT_OK(syscall(SYS_get_mempolicy, &mode, &nodes, 64L, p + 2 * 4096, (long)MPOL_F_ADDR));
  EXPECT_TRUE(mode == MPOL_DEFAULT && nodes == 0);
  EXPECT_OK(syscall(SYS_mbind, p, 4096L, MPOL_INTERLEAVE | MPOL_F_STATIC_NODES, &one, 64L, 0));
  EXPECT_OK(syscall(SYS_get_mempolicy, &mode, NULL, 0L, p, (long)MPOL_F_ADDR));
  EXPECT_EQ(mode, MPOL_INTERLEAVE | MPOL_F_STATIC_NODES);
  EXPECT_OK(syscall(SYS_mbind, p, 4096L, MPOL_PREFERRED, NULL, 0L, 0));
  EXPECT_OK(syscall(SYS_get_mempolicy, &mode, NULL, 0L, p, (long)MPOL_F_ADDR));
  EXPECT_EQ(mode, MPOL_LOCAL);
  EXPECT_OK(syscall(SYS_mbind, p, 2 * 4096L, MPOL_DEFAULT, NULL, 0L, 0));
  EXPECT_OK(syscall(SYS_get_mempolicy, &mode, NULL, 0L, p, (long)MPOL_F_ADDR));
  EXPECT_EQ(mode, MPOL_DEFAULT);
  EXPECT_OK(syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, &one, 64L));
  EXPECT_OK(syscall(SYS_get_mempolicy, &mode, NULL, 0L, NULL, (long)MPOL_F_NODE));
  EXPECT_EQ(mode, 0);
}

TEST(lengths_that_wrap_around) {
  char *p = new_pages(1);
  EXPECT_OK(syscall(SYS_mlock, p, -1L));
  EXPECT_OK(syscall(SYS_msync, p, -1L, MS_SYNC));
  EXPECT_ERRNO(syscall(SYS_mremap, p, 4096L, -1L, MREMAP_MAYMOVE, 0L), EINVAL);
  const long odd = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | (13 << MAP_HUGE_SHIFT);
  EXPECT_ERRNO(syscall(SYS_mmap, NULL, 2L << 20, 3L, odd, -1L, 0L), EINVAL);
}

TEST(switches_of_a_process) {
  EXPECT_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
  EXPECT_OK(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  EXPECT_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
  IN_CHILD({ EXPECT_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1); });
  EXPECT_OK(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
  EXPECT_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
  EXPECT_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
  EXPECT_OK(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
  IN_CHILD({ EXPECT_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_EARLY); });
  EXPECT_OK(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0));
  EXPECT_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
  EXPECT_ERRNO(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, 3, 0, 0), EINVAL);
  EXPECT_ERRNO(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 1, 0, 0), EINVAL);
}

struct attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

static int set_deadline(struct attributes *a, uint64_t runtime, uint64_t deadline, uint64_t period) {
  *a = (struct attributes){.size = sizeof *a, .policy = 6, .runtime = runtime, .deadline = deadline, .period = period};
  return syscall(SYS_sched_setattr, 0, a, 0);
}

TEST(deadlines) {
  struct attributes a;
  EXPECT_EQ(sched_get_priority_max(6), 0);
  EXPECT_EQ(sched_get_priority_min(6), 0);
  EXPECT_ERRNO(set_deadline(&a, 0, 30000000, 30000000), EINVAL);
  EXPECT_ERRNO(set_deadline(&a, 1000, 30000000, 30000000), EINVAL);
  EXPECT_ERRNO(set_deadline(&a, 10000000, 5000000, 30000000), EINVAL);
  EXPECT_ERRNO(set_deadline(&a, 10000000, 30000000, 20000000), EINVAL);
  EXPECT_ERRNO(set_deadline(&a, 1000000, 9000000000, 9000000000), EINVAL);
  if (!holds(CAP_SYS_NICE)) SKIP("not privileged");
  EXPECT_OK(set_deadline(&a, 1000000, 30000000, 0));
  memset(&a, 0, sizeof a);
  EXPECT_OK(syscall(SYS_sched_getattr, 0, &a, sizeof a, 0));
  EXPECT_TRUE(a.policy == 6 && a.runtime == 1000000 && a.deadline == 30000000 && a.period == 30000000);
  EXPECT_EQ(sched_getscheduler(0), 6);
  EXPECT_ERRNO(fork(), EAGAIN);
  struct sched_param param = {0};
  EXPECT_OK(sched_setscheduler(0, SCHED_OTHER, &param));
  IN_CHILD({ become(NOBODY, NOBODY); EXPECT_ERRNO(set_deadline(&a, 1000000, 30000000, 0), EPERM); });
}

TEST(priority_of_io_by_niceness) {
  IN_CHILD({
    EXPECT_OK(setpgid(0, 0));
    EXPECT_OK(setpriority(PRIO_PROCESS, 0, 10));
    EXPECT_EQ(syscall(SYS_ioprio_get, 2, 0), 2 << 13 | 6);
    EXPECT_OK(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 1));
    EXPECT_EQ(syscall(SYS_ioprio_get, 2, 0), 2 << 13 | 1);
  });
}
