// Resource limits and priorities.
#include "test.h"

TEST(limits) {
  struct rlimit limit, old;
  EXPECT_OK(getrlimit(RLIMIT_NOFILE, &old));
  limit = (struct rlimit){20, old.rlim_max};
  EXPECT_OK(setrlimit(RLIMIT_NOFILE, &limit));
  EXPECT_ERRNO(dup2(0, 20), EBADF);
  EXPECT_OK(dup2(0, 19));
  EXPECT_ERRNO(fcntl(0, F_DUPFD, 20), EINVAL);
  int fd;
  while ((fd = open("/dev/null", O_RDONLY)) >= 0) EXPECT_LT(fd, 20);
  EXPECT_EQ(errno, EMFILE);
  IN_CHILD({
    struct rlimit inherited;
    EXPECT_OK(getrlimit(RLIMIT_NOFILE, &inherited));
    EXPECT_EQ(inherited.rlim_cur, 20);
  });
  limit = (struct rlimit){30, 10};
  EXPECT_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
  EXPECT_ERRNO(getrlimit(99, &limit), EINVAL);
  IN_CHILD({
    become(1000, 1000);
    limit = (struct rlimit){10, 10};
    EXPECT_OK(setrlimit(RLIMIT_NOFILE, &limit));
    limit = (struct rlimit){10, 11};
    EXPECT_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
  });
}

TEST(file_size_limit) {
  struct rlimit limit = {4096, 4096};
  EXPECT_OK(setrlimit(RLIMIT_FSIZE, &limit));
  signal(SIGXFSZ, SIG_IGN);
  int fd = EXPECT_OK(open("f", O_RDWR | O_CREAT, 0644));
  char block[4096] = {1};
  EXPECT_EQ(pwrite(fd, block, 4096, 96), 4000);
  EXPECT_ERRNO(pwrite(fd, block, 1, 4096), EFBIG);
  EXPECT_ERRNO(ftruncate(fd, 5000), EFBIG);
  signal(SIGXFSZ, SIG_DFL);
  EXPECT_KILLED(FORK({ pwrite(fd, block, 1, 4096); }), SIGXFSZ);
}

TEST(cpu_time_limit) {
  EXPECT_KILLED(FORK({
    struct rlimit limit = {1, 2};
    EXPECT_OK(setrlimit(RLIMIT_CPU, &limit));
    for (;;) {
    }
  }), SIGXCPU);
}

TEST(cpu_limit_is_inherited) {
  struct rlimit before, limit = {1, 3};
  EXPECT_OK(getrlimit(RLIMIT_CPU, &before));
  limit.rlim_max = before.rlim_max;
  IN_CHILD({
    EXPECT_OK(setrlimit(RLIMIT_CPU, &limit));
    EXPECT_KILLED(FORK({
      for (;;) {
      }
    }), SIGXCPU);
  });
}

TEST(prlimit_of_another_process) {
  pid_t child = FORK({ pause(); });
  struct rlimit limit = {50, 50}, old;
  EXPECT_OK(prlimit(child, RLIMIT_NOFILE, &limit, &old));
  EXPECT_OK(prlimit(child, RLIMIT_NOFILE, NULL, &old));
  EXPECT_EQ(old.rlim_cur, 50);
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(prlimit(child, RLIMIT_NOFILE, NULL, &old), EPERM);
  });
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
  EXPECT_ERRNO(prlimit(child, RLIMIT_NOFILE, NULL, &old), ESRCH);
}

TEST(priorities) {
  errno = 0;
  // The tests may have been started by nice(1).
  EXPECT_OK(setpriority(PRIO_PROCESS, 0, 0));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 0);
  EXPECT_OK(setpriority(PRIO_PROCESS, 0, 5));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 5);
  EXPECT_OK(setpriority(PRIO_PROCESS, 0, 100));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19);
  IN_CHILD(EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19));
  EXPECT_ERRNO(setpriority(7, 0, 0), EINVAL);
  EXPECT_ERRNO(setpriority(PRIO_PROCESS, 4000000, 0), ESRCH);
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(setpriority(PRIO_PROCESS, 0, 3), EACCES);
  });
}
