// The files of /proc that programs read: they exist, parse, and agree with the calls.
#include "test.h"
#include <sys/prctl.h>
#include <sys/sysinfo.h>

static char text[1 << 18];
static const char *slurp(const char *path) {
  read_whole(path, text, sizeof text);
  return text;
}
static long field(const char *path, const char *name) {
  const char *at = strstr(slurp(path), name);
  if (!at) FAIL("%s has no %s", path, name);
  at += strlen(name);
  return strtol(at + strspn(at, ": \t"), NULL, 0);
}

TEST(stat_and_status) {
  int pid, ppid, pgrp, session;
  char comm[32], state;
  EXPECT_EQ(sscanf(slurp("/proc/self/stat"), "%d (%31[^)]) %c %d %d %d", &pid, comm, &state, &ppid, &pgrp, &session), 6);
  EXPECT_TRUE(pid == getpid() && ppid == getppid() && pgrp == getpgrp() && session == getsid(0) && state == 'R');
  int fields = 1;
  for (const char *at = strrchr(text, ')'); *at; at++) fields += *at == ' ';
  EXPECT_GE(fields, 50);
  EXPECT_EQ(field("/proc/self/status", "\nPid"), getpid());
  EXPECT_EQ(field("/proc/self/status", "\nTgid"), getpid());
  EXPECT_EQ(field("/proc/self/status", "\nPPid"), getppid());
  EXPECT_EQ(field("/proc/self/status", "\nThreads"), 1);
  EXPECT_EQ(field("/proc/self/status", "\nUid"), getuid());
  EXPECT_GT(field("/proc/self/status", "\nVmSize"), 100);
  EXPECT_GT(field("/proc/self/status", "\nVmRSS"), 10);
  EXPECT_TRUE(strstr(text, "\nSigBlk:\t0000000000000000") && strstr(text, "\nCapEff:") && strstr(text, "\nSeccomp:"));
}

TEST(arguments_environment_and_links) {
  size_t n = read_whole("/proc/self/cmdline", text, sizeof text);
  EXPECT_GT(n, 1);
  EXPECT_EQ(text[n - 1], 0);
  if (environ[0]) {
    EXPECT_GT(read_whole("/proc/self/environ", text, sizeof text), 0);
    EXPECT_STR(text, environ[0]);
  }
  char link[PATH_MAX] = {0}, cwd[PATH_MAX];
  EXPECT_OK(readlink("/proc/self/cwd", link, sizeof link - 1));
  EXPECT_STR(link, getcwd(cwd, sizeof cwd));
  memset(link, 0, sizeof link);
  EXPECT_OK(readlink("/proc/self/root", link, sizeof link - 1));
  EXPECT_STR(link, "/");
  EXPECT_OK(readlink("/proc/self/exe", link, sizeof link - 1));
  EXPECT_EQ(link[0], '/');
  memset(link, 0, sizeof link);
  EXPECT_OK(readlink("/proc/self", link, sizeof link - 1));
  EXPECT_EQ(atoi(link), getpid());
  EXPECT_OK(readlink("/proc/thread-self", link, sizeof link - 1));
}

TEST(descriptors) {
  int fd = EXPECT_OK(open("/dev/null", O_RDONLY | O_CLOEXEC));
  char path[64], link[64] = {0};
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  EXPECT_OK(readlink(path, link, sizeof link - 1));
  EXPECT_STR(link, "/dev/null");
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  EXPECT_EQ(field(path, "pos"), 0);
  EXPECT_EQ(field(path, "flags") & O_CLOEXEC, O_CLOEXEC);
  DIR *d = opendir("/proc/self/fd");
  int seen = 0;
  for (struct dirent *e; (e = readdir(d));) seen += atoi(e->d_name) == fd && e->d_name[0] != '.';
  EXPECT_EQ(seen, 1);
  close(fd);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  EXPECT_ERRNO(readlink(path, link, sizeof link), ENOENT);
  make_file("gone", "still");
  fd = EXPECT_OK(open("gone", O_RDONLY));
  unlink("gone");
  char long_link[PATH_MAX] = {0};
  EXPECT_OK(readlink(path, long_link, sizeof long_link - 1));
  EXPECT_TRUE(strstr(long_link, "/gone (deleted)") != NULL);
  expect_content(path, "still");
}

static void *stays(void *arg) {
  *(volatile pid_t *)arg = gettid();
  for (;;) pause();
  return NULL;
}
TEST(threads) {
  volatile pid_t tid = 0;
  pthread_t thread;
  pthread_create(&thread, NULL, stays, (void *)&tid);
  while (!tid) sched_yield();
  pthread_setname_np(thread, "worker");
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/comm", tid);
  EXPECT_STR(slurp(path), "worker\n");
  DIR *d = opendir("/proc/self/task");
  int n = 0;
  for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
  EXPECT_EQ(n, 2);
  EXPECT_EQ(field("/proc/self/status", "\nThreads"), 2);
}

TEST(other_processes) {
  pid_t child = FORK({ pause(); });
  char path[64], link[64];
  snprintf(path, sizeof path, "/proc/%d/status", child);
  EXPECT_EQ(field(path, "\nPPid"), getpid());
  int found = 0;
  DIR *d = opendir("/proc");
  for (struct dirent *e; (e = readdir(d));) found += atoi(e->d_name) == child;
  EXPECT_EQ(found, 1);
  kill(child, SIGKILL);
  siginfo_t info;
  EXPECT_OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
  EXPECT_EQ(process_state(child), 'Z');
  EXPECT_KILLED(child, SIGKILL);
  EXPECT_ERRNO(open(path, O_RDONLY), ENOENT);
  snprintf(path, sizeof path, "/proc/%d/cwd", child);
  EXPECT_ERRNO(readlink(path, link, sizeof link), ENOENT);
}

TEST(memory_file) {
  int value = 77, back = 0, fd = EXPECT_OK(open("/proc/self/mem", O_RDWR));
  EXPECT_EQ(pread(fd, &back, sizeof back, (off_t)(uintptr_t)&value), sizeof back);
  EXPECT_EQ(back, 77);
  back = 78;
  EXPECT_EQ(pwrite(fd, &back, sizeof back, (off_t)(uintptr_t)&value), sizeof back);
  EXPECT_EQ(value, 78);
  EXPECT_ERRNO(pread(fd, &back, sizeof back, 8), EIO);
}

TEST(system_files) {
  EXPECT_GT(field("/proc/meminfo", "MemTotal"), 0);
  EXPECT_GT(field("/proc/meminfo", "MemAvailable"), 0);
  EXPECT_TRUE(strstr(slurp("/proc/cpuinfo"), "processor") && strstr(text, "flags"));
  EXPECT_TRUE(strncmp(slurp("/proc/stat"), "cpu ", 4) == 0);
  EXPECT_GT(field("/proc/stat", "\nbtime"), 1000000000);
  double up, idle, load;
  EXPECT_EQ(sscanf(slurp("/proc/uptime"), "%lf %lf", &up, &idle), 2);
  EXPECT_EQ(sscanf(slurp("/proc/loadavg"), "%lf", &load), 1);
  EXPECT_TRUE(strncmp(slurp("/proc/version"), "Linux version ", 14) == 0);
  EXPECT_TRUE(strstr(slurp("/proc/filesystems"), "tmpfs") != NULL);
  EXPECT_TRUE(strstr(slurp("/proc/mounts"), " /proc proc ") != NULL);
  EXPECT_TRUE(strstr(slurp("/proc/self/mountinfo"), " /proc ") != NULL);
  EXPECT_TRUE(strstr(slurp("/proc/self/limits"), "Max open files") != NULL);
  EXPECT_GT(strlen(slurp("/proc/self/cgroup")), 0);
}

TEST(kernel_settings) {
  EXPECT_GE(atol(slurp("/proc/sys/kernel/pid_max")), 1000);
  EXPECT_GT(strlen(slurp("/proc/sys/kernel/hostname")), 1);
  EXPECT_GT(strlen(slurp("/proc/sys/kernel/osrelease")), 3);
  EXPECT_GT(atol(slurp("/proc/sys/fs/file-max")), 0);
  EXPECT_GE(atol(slurp("/proc/sys/vm/overcommit_memory")), 0);
  EXPECT_GT(strlen(slurp("/proc/sys/kernel/random/boot_id")), 30);
  EXPECT_GT(atol(slurp("/proc/sys/fs/pipe-max-size")), 4096);
  EXPECT_EQ(atol(slurp("/proc/sys/kernel/cap_last_cap")) >= 37, 1);
}

TEST(dangerous_files_are_missing_or_refused) {
  IN_CHILD({
    become(1000, 1000);
    EXPECT_EQ(open("/proc/kcore", O_RDONLY), -1);
    EXPECT_EQ(open("/proc/1/mem", O_RDONLY), -1);
    EXPECT_EQ(open("/proc/sysrq-trigger", O_WRONLY), -1);
    EXPECT_EQ(open("/proc/sys/kernel/core_pattern", O_WRONLY), -1);
  });
  EXPECT_ERRNO(open("/proc/new", O_WRONLY | O_CREAT, 0600), ENOENT);
  EXPECT_ERRNO(open("/proc/0", O_RDONLY), ENOENT);
  EXPECT_ERRNO(open("/proc/01", O_RDONLY), ENOENT);
}

TEST(reads_at_offsets_agree) {
  char a[64], b[64];
  int fd = EXPECT_OK(open("/proc/self/limits", O_RDONLY));
  EXPECT_EQ(read(fd, a, 30), 30);
  EXPECT_EQ(read(fd, a + 30, 30), 30);
  EXPECT_EQ(pread(fd, b, 60, 0), 60);
  EXPECT_MEM(a, b, 60);
}

TEST(own_settings_can_be_written) {
  int fd = EXPECT_OK(open("/proc/self/comm", O_WRONLY));
  EXPECT_EQ(write(fd, "renamed", 7), 7);
  char name[16];
  EXPECT_OK(prctl(PR_GET_NAME, name));
  EXPECT_STR(name, "renamed");
  fd = EXPECT_OK(open("/proc/self/oom_score_adj", O_WRONLY));
  EXPECT_EQ(write(fd, "100", 3), 3);
  EXPECT_EQ(atoi(slurp("/proc/self/oom_score_adj")), 100);
}

static ssize_t set_login(const char *value) {
  int fd = EXPECT_OK(open("/proc/self/loginuid", O_WRONLY));
  ssize_t n = write(fd, value, strlen(value));
  close(fd);
  return n;
}

TEST(who_logged_in) {
  const char *none = "4294967295";
  EXPECT_ERRNO(set_login("user"), EINVAL);
  EXPECT_ERRNO(set_login("-1"), EINVAL);
  EXPECT_ERRNO(set_login("12 "), EINVAL);
  EXPECT_ERRNO(set_login("4294967296"), ERANGE);
  EXPECT_EQ(set_login("1000"), 4);
  EXPECT_STR(slurp("/proc/self/loginuid"), "1000");
  EXPECT_TRUE(strcmp(slurp("/proc/self/sessionid"), none) != 0);
  IN_CHILD({
    EXPECT_STR(slurp("/proc/self/loginuid"), "1000");
    char parent[64];
    snprintf(parent, sizeof parent, "/proc/%d/loginuid", getppid());
    EXPECT_ERRNO(write(EXPECT_OK(open(parent, O_WRONLY)), "5", 1), EPERM);
    int fd = EXPECT_OK(open("/proc/self/loginuid", O_WRONLY));
    become(1000, 1000);
    EXPECT_ERRNO(write(fd, "7", 1), EPERM);
  });
  EXPECT_EQ(set_login(none), 10);
  EXPECT_STR(slurp("/proc/self/loginuid"), none);
  EXPECT_STR(slurp("/proc/self/sessionid"), none);
}

/** Reads a file to its end, so many bytes at a time. */
static size_t read_in_steps(const char *path, char *into, size_t room, size_t step) {
  int fd = EXPECT_OK(open(path, O_RDONLY));
  size_t done = 0;
  for (ssize_t n; (n = EXPECT_OK(read(fd, into + done, step))) > 0; done += (size_t)n) EXPECT_LT(done + (size_t)n + step, room);
  close(fd);
  return done;
}

TEST(maps_of_many_areas) {
  enum { AREAS = 3000, ROOM = 1 << 20 };
  char *whole = malloc(ROOM), *pieces = malloc(ROOM);
  // One page in two is of another kind: each is an area.
  char *at = mmap(NULL, AREAS * 4096L, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(at != MAP_FAILED && whole && pieces);
  for (int i = 0; i < AREAS; i += 2) EXPECT_OK(mprotect(at + i * 4096L, 4096, PROT_NONE));
  size_t length = read_in_steps("/proc/self/maps", whole, ROOM, 1 << 17);
  EXPECT_EQ(read_in_steps("/proc/self/maps", pieces, ROOM, 1000), length);
  EXPECT_TRUE(!memcmp(whole, pieces, length));
  int seen = 0;
  unsigned long last = 0;
  whole[length] = 0;
  for (char *line = whole; *line; line = strchr(line, '\n') + 1) {
    unsigned long start, end;
    EXPECT_EQ(sscanf(line, "%lx-%lx ", &start, &end), 2);
    EXPECT_TRUE(start >= last);
    last = end;
    seen += start >= (unsigned long)at && end <= (unsigned long)at + AREAS * 4096L;
  }
  EXPECT_EQ(seen, AREAS);
  // Anywhere, forwards and backwards.
  int fd = EXPECT_OK(open("/proc/self/maps", O_RDONLY));
  static const size_t places[] = {0, 5000, 100000, 70000, 1, 0, 30001};
  for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
    EXPECT_EQ(pread(fd, pieces, 50, (off_t)places[i]), 50);
    EXPECT_TRUE(!memcmp(pieces, whole + places[i], 50));
  }
  EXPECT_EQ(pread(fd, pieces, 50, 1 << 30), 0);
}
