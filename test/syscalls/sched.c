// Scheduling calls, CPU sets, restartable sequences, and filters a program puts on itself.
#include "test.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

TEST(affinity) {
  cpu_set_t set, one;
  EXPECT_OK(sched_getaffinity(0, sizeof set, &set));
  EXPECT_GE(CPU_COUNT(&set), 1);
  CPU_ZERO(&one);
  int first = 0;
  while (!CPU_ISSET(first, &set)) first++;
  CPU_SET(first, &one);
  EXPECT_OK(sched_setaffinity(0, sizeof one, &one));
  EXPECT_EQ(sched_getcpu(), first);
  IN_CHILD({
    cpu_set_t inherited;
    EXPECT_OK(sched_getaffinity(0, sizeof inherited, &inherited));
    EXPECT_TRUE(CPU_EQUAL(&inherited, &one));
    EXPECT_EQ(sched_getcpu(), first);
  });
  CPU_ZERO(&one);
  EXPECT_ERRNO(sched_setaffinity(0, sizeof one, &one), EINVAL);
  EXPECT_ERRNO(syscall(SYS_sched_getaffinity, 0, 1, &set), EINVAL);
  EXPECT_ERRNO(sched_getaffinity(4000000, sizeof set, &set), ESRCH);
}

static int bound_to;
static void *on_its_cpu(void *unused) {
  for (int i = 0; i < 1000; i++) EXPECT_EQ(sched_getcpu(), bound_to);
  return unused;
}

TEST(affinity_binds) {
  cpu_set_t all, one;
  EXPECT_OK(sched_getaffinity(0, sizeof all, &all));
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &all)) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    EXPECT_OK(sched_setaffinity(0, sizeof one, &one));
    bound_to = cpu;
    on_its_cpu(NULL);
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, on_its_cpu, NULL), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
  }
  EXPECT_OK(sched_setaffinity(0, sizeof all, &all));
}

TEST(policies) {
  struct sched_param p = {0};
  struct timespec t;
  EXPECT_EQ(sched_getscheduler(0), SCHED_OTHER);
  EXPECT_OK(sched_getparam(0, &p));
  EXPECT_EQ(p.sched_priority, 0);
  EXPECT_EQ(sched_get_priority_max(SCHED_FIFO), 99);
  EXPECT_EQ(sched_get_priority_min(SCHED_RR), 1);
  EXPECT_EQ(sched_get_priority_max(SCHED_OTHER), 0);
  EXPECT_ERRNO(sched_get_priority_max(77), EINVAL);
  EXPECT_OK(sched_setscheduler(0, SCHED_BATCH, &p));
  EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
  p.sched_priority = 5;
  EXPECT_ERRNO(sched_setscheduler(0, SCHED_OTHER, &p), EINVAL);
  EXPECT_ERRNO(sched_setscheduler(0, 99, &p), EINVAL);
  EXPECT_ERRNO(sched_getscheduler(4000000), ESRCH);
  EXPECT_OK(sched_yield());
  EXPECT_OK(sched_rr_get_interval(0, &t));
}

TEST(where_a_thread_runs) {
  unsigned cpu = 9999, node = 9999;
  EXPECT_OK(syscall(SYS_getcpu, &cpu, &node, NULL));
  EXPECT_LT(cpu, 4096);
  EXPECT_LT(node, 64);
}

TEST(memory_barriers) {
  long commands = syscall(SYS_membarrier, 0, 0, 0);
  if (commands == -1 && errno == ENOSYS) SKIP("no membarrier");
  EXPECT_OK(syscall(SYS_membarrier, 16, 0, 0));
  EXPECT_OK(syscall(SYS_membarrier, 8, 0, 0));
  // Private ones, for other instruction streams and for restartable sequences.
  for (long command = 32; command <= 128; command *= 4) {
    if (!(commands & command)) continue;
    EXPECT_ERRNO(syscall(SYS_membarrier, command, 0, 0), EPERM);
    EXPECT_OK(syscall(SYS_membarrier, command * 2, 0, 0));
    EXPECT_OK(syscall(SYS_membarrier, command, 0, 0));
  }
  if (commands & 512) EXPECT_TRUE(syscall(SYS_membarrier, 512, 0, 0) & 16);
  EXPECT_ERRNO(syscall(SYS_membarrier, 1 << 20, 0, 0), EINVAL);
}

#define CALL_IS(nr, action) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, action)
static void install(struct sock_filter *filter, unsigned short n) {
  struct sock_fprog program = {n, filter};
  EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  EXPECT_OK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}
static void filter_one(int nr, unsigned action) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      CALL_IS(nr, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  install(filter, 4);
}

TEST(filter_gives_errors) {
  filter_one(SYS_getppid, SECCOMP_RET_ERRNO | 77);
  EXPECT_ERRNO(syscall(SYS_getppid), 77);
  EXPECT_EQ(prctl(PR_GET_SECCOMP), 2);
  IN_CHILD(EXPECT_ERRNO(syscall(SYS_getppid), 77));
  filter_one(SYS_getppid, SECCOMP_RET_ERRNO | 78);
  EXPECT_ERRNO(syscall(SYS_getppid), 78);
}

TEST(filter_kills) {
  EXPECT_KILLED(FORK({
    filter_one(SYS_getppid, SECCOMP_RET_KILL_PROCESS);
    syscall(SYS_getppid);
  }), SIGSYS);
}

static volatile int trapped_nr;
static void on_sys(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)context;
  trapped_nr = info->si_syscall;
  EXPECT_EQ(info->si_code, 1);
  EXPECT_EQ(info->si_arch, AUDIT_ARCH_X86_64);
  EXPECT_EQ(info->si_errno, 5);
}
TEST(filter_traps) {
  set_info_handler(SIGSYS, on_sys, 0);
  filter_one(SYS_getppid, SECCOMP_RET_TRAP | 5);
  syscall(SYS_getppid);
  EXPECT_EQ(trapped_nr, SYS_getppid);
}

TEST(filter_sees_arguments) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_dup2, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
      CALL_IS(123, SECCOMP_RET_ERRNO | EDOM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  install(filter, 6);
  EXPECT_ERRNO(dup2(0, 123), EDOM);
  EXPECT_EQ(dup2(0, 122), 122);
}

TEST(filter_errors) {
  struct sock_filter bad = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4096), no_return = BPF_STMT(BPF_LD | BPF_IMM, 1);
  struct sock_fprog program = {1, &bad};
  EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), EINVAL);
  program.filter = &no_return;
  EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), EINVAL);
  program.len = 0;
  EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), EINVAL);
  EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 8L), EFAULT);
  EXPECT_ERRNO(syscall(SYS_seccomp, 99, 0, NULL), EINVAL);
}

TEST(unprivileged_filters_need_no_new_privileges) {
  IN_CHILD({
    become(1000, 1000);
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {1, &allow};
    EXPECT_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), EACCES);
  });
}

TEST(strict_mode) {
  EXPECT_KILLED(FORK({
    EXPECT_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    syscall(SYS_getpid);
  }), SIGKILL);
  pid_t child = FORK({
    EXPECT_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    syscall(SYS_exit, 5);
  });
  EXPECT_EXIT(child, 5);
}
