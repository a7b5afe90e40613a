// What can be tuned in /proc/sys: values that are refused, and what the others change. Nothing stays changed.
#include "test.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

static long number(const char *path) {
  char text[64];
  read_whole(path, text, sizeof text);
  return strtol(text, NULL, 10);
}
static int set(const char *path, const char *value) {
  int fd = open(path, O_WRONLY);
  if (fd < 0) return -1;
  int n = write(fd, value, strlen(value)), error = errno;
  close(fd);
  errno = error;
  return n < 0 ? -1 : 0;
}

TEST(identifier_of_the_next_ipc_object) {
  if (unshare(CLONE_NEWIPC) < 0) SKIP("no IPC namespaces");
  if (set("/proc/sys/kernel/msg_next_id", "-2") < 0 && errno == ENOENT) SKIP("no CONFIG_CHECKPOINT_RESTORE");
  EXPECT_EQ(number("/proc/sys/kernel/msg_next_id"), -1);
  EXPECT_ERRNO(set("/proc/sys/kernel/msg_next_id", "-2"), EINVAL);
  EXPECT_ERRNO(set("/proc/sys/kernel/msg_next_id", "x"), EINVAL);
  EXPECT_OK(set("/proc/sys/kernel/msg_next_id", "65"));
  EXPECT_EQ(msgget(IPC_PRIVATE, 0600), 65);
  EXPECT_EQ(number("/proc/sys/kernel/msg_next_id"), -1);
  EXPECT_OK(set("/proc/sys/kernel/sem_next_id", "32769"));
  int sem = EXPECT_OK(semget(IPC_PRIVATE, 1, 0600));
  EXPECT_EQ(sem, 32769);
  EXPECT_EQ(semctl(sem, 0, GETVAL), 0);
  EXPECT_OK(set("/proc/sys/kernel/shm_next_id", "7"));
  int shm = EXPECT_OK(shmget(IPC_PRIVATE, 4096, 0600));
  EXPECT_EQ(shm, 7);
  // One that is taken is passed over.
  EXPECT_OK(set("/proc/sys/kernel/shm_next_id", "7"));
  EXPECT_NE(shmget(IPC_PRIVATE, 4096, 0600), 7);
  EXPECT_EQ(number("/proc/sys/kernel/shm_next_id"), -1);
  EXPECT_OK(shmctl(shm, IPC_RMID, NULL));
}

TEST(round_robin_slice) {
  EXPECT_ERRNO(set("/proc/sys/kernel/sched_rr_timeslice_ms", "x"), EINVAL);
  EXPECT_OK(set("/proc/sys/kernel/sched_rr_timeslice_ms", "-1"));
  EXPECT_EQ(number("/proc/sys/kernel/sched_rr_timeslice_ms"), 100);
  struct sched_param param = {.sched_priority = 1};
  EXPECT_OK(sched_setscheduler(0, SCHED_RR, &param));
  struct timespec slice;
  EXPECT_OK(sched_rr_get_interval(0, &slice));
  EXPECT_EQ(slice.tv_sec * 1000 + slice.tv_nsec / 1000000, 100);
}

TEST(realtime_budget) {
  EXPECT_GE(number("/proc/sys/kernel/sched_rt_period_us"), number("/proc/sys/kernel/sched_rt_runtime_us"));
  EXPECT_ERRNO(set("/proc/sys/kernel/sched_rt_period_us", "0"), EINVAL);
  EXPECT_ERRNO(set("/proc/sys/kernel/sched_rt_period_us", "-1"), EINVAL);
  EXPECT_ERRNO(set("/proc/sys/kernel/sched_rt_runtime_us", "-2"), EINVAL);
  char more[32];
  snprintf(more, sizeof more, "%ld", number("/proc/sys/kernel/sched_rt_period_us") + 1);
  EXPECT_ERRNO(set("/proc/sys/kernel/sched_rt_runtime_us", more), EINVAL);
}

TEST(largest_pid) {
  EXPECT_ERRNO(set("/proc/sys/kernel/pid_max", "300"), EINVAL);
  EXPECT_ERRNO(set("/proc/sys/kernel/pid_max", "4194305"), EINVAL);
  EXPECT_LT(getpid(), number("/proc/sys/kernel/pid_max"));
}

TEST(areas_of_an_address_space) {
  EXPECT_GT(number("/proc/sys/vm/max_map_count"), 1000);
  EXPECT_ERRNO(set("/proc/sys/vm/max_map_count", "-1"), EINVAL);
  EXPECT_ERRNO(set("/proc/sys/vm/swappiness", "201"), EINVAL);
}

TEST(caches_are_dropped_but_nothing_else) {
  make_file("kept", "data");
  EXPECT_OK(mkdir("directory", 0700));
  EXPECT_ERRNO(open("/proc/sys/vm/drop_caches", O_RDONLY), EACCES);
  EXPECT_ERRNO(set("/proc/sys/vm/drop_caches", "0"), EINVAL);
  EXPECT_OK(set("/proc/sys/vm/drop_caches", "2"));
  expect_content("kept", "data");
  EXPECT_OK(chdir("directory"));
  EXPECT_OK(set("/proc/sys/vm/drop_caches", "2"));
  expect_content("../kept", "data");
}

TEST(only_root_may_tune) {
  become(NOBODY, NOBODY);
  EXPECT_ERRNO(set("/proc/sys/kernel/sched_rr_timeslice_ms", "100"), EACCES);
  EXPECT_ERRNO(set("/proc/sys/kernel/printk", "4"), EACCES);
}

