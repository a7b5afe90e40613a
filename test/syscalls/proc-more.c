// Further files of /proc: what a task does, what it has mapped, which locks there are.
#include "test.h"
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

static char text[1 << 18];
static const char *slurp(const char *path) {
  read_whole(path, text, sizeof text);
  return text;
}
static const char *of(pid_t pid, const char *name) {
  static char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return path;
}

TEST(call_of_oneself) {
  unsigned long fd, at, size, rest[3], sp, ip;
  int nr, file = EXPECT_OK(open("/proc/self/syscall", O_RDONLY));
  ssize_t n = EXPECT_OK(read(file, text, 200));
  text[n] = 0;
  EXPECT_EQ(sscanf(text, "%d %lx %lx %lx %lx %lx %lx %lx %lx\n", &nr, &fd, &at, &size, rest, rest + 1, rest + 2, &sp, &ip), 9);
  EXPECT_EQ(nr, SYS_read);
  EXPECT_EQ(fd, file);
  EXPECT_EQ(at, (unsigned long)text);
  EXPECT_EQ(size, 200);
  EXPECT_TRUE(sp > (unsigned long)&nr - 65536 && sp < (unsigned long)&nr + 65536);
}

TEST(call_of_a_sleeper) {
  int pipes[2];
  EXPECT_OK(pipe(pipes));
  char byte;
  pid_t child = FORK({ read(pipes[0], &byte, 1); });
  unsigned long fd, at = 0, size;
  int nr;
  // It runs at first, and may be in other calls.
  while (sscanf(slurp(of(child, "syscall")), "%d %lx %lx %lx ", &nr, &fd, &at, &size) != 4 || nr != SYS_read) sched_yield();
  EXPECT_EQ(fd, pipes[0]);
  EXPECT_EQ(at, (unsigned long)&byte);
  EXPECT_EQ(size, 1);
  // It tells of addresses: nobody else may look.
  if (getuid() == 0) {
    IN_CHILD({
      become(1000, 1000);
      EXPECT_ERRNO(open(of(child, "syscall"), O_RDONLY), EACCES);
    });
  }
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
}

TEST(call_of_a_zombie) {
  pid_t child = FORK({});
  siginfo_t info;
  EXPECT_OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
  EXPECT_EQ(open(of(child, "maps"), O_RDONLY) >= 0, 1);
  EXPECT_STR(slurp(of(child, "numa_maps")), "");
  EXPECT_EXIT(child, 0);
}

TEST(scheduler_statistics) {
  long long run, wait, slices;
  // Linux counts at the next tick.
  do {
    EXPECT_EQ(sscanf(slurp("/proc/self/schedstat"), "%lld %lld %lld\n", &run, &wait, &slices), 3);
  } while (run == 0);
  EXPECT_GE(wait, 0);
}

TEST(policies_of_areas) {
  char *area = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(area, 1, 16 * 4096);
  int fd = open_with("mapped", "text");
  char *file = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  char want[64];
  slurp("/proc/self/numa_maps");
  snprintf(want, sizeof want, "%08lx default ", (unsigned long)file);
  const char *line = strstr(text, want);
  EXPECT_TRUE(line != NULL);
  const char *name = strstr(line, "file="), *end = strchr(line, '\n');
  EXPECT_TRUE(name && name < end);
  EXPECT_TRUE(strstr(name, "/mapped") && strstr(name, "/mapped") < end);
  EXPECT_TRUE(strstr(text, " default stack"));
  EXPECT_TRUE(strstr(text, " N0="));
  // MPOL_BIND to node 0.
  unsigned long node = 1;
  EXPECT_OK(syscall(SYS_mbind, area, 16 * 4096, 2, &node, 64, 0));
  snprintf(want, sizeof want, "%08lx bind:0", (unsigned long)area);
  EXPECT_TRUE(strstr(slurp("/proc/self/numa_maps"), want));
  node = 1;
  EXPECT_OK(syscall(SYS_mbind, area, 16 * 4096, 3 | 1 << 15, &node, 64, 0));
  snprintf(want, sizeof want, "%08lx interleave=static:0", (unsigned long)area);
  EXPECT_TRUE(strstr(slurp("/proc/self/numa_maps"), want));
  EXPECT_OK(syscall(SYS_mbind, area, 16 * 4096, 4, NULL, 0, 0));
  snprintf(want, sizeof want, "%08lx local", (unsigned long)area);
  EXPECT_TRUE(strstr(slurp("/proc/self/numa_maps"), want));
}

TEST(mapped_files) {
  int fd = open_with("mapped", "text");
  char *at = mmap(NULL, 3 * 4096, PROT_READ, MAP_SHARED, fd, 0), link[PATH_MAX] = {0}, name[100];
  snprintf(name, sizeof name, "/proc/self/map_files/%lx-%lx", (unsigned long)at, (unsigned long)at + 3 * 4096);
  EXPECT_OK(readlink(name, link, sizeof link - 1));
  EXPECT_TRUE(strlen(link) > 7 && !strcmp(link + strlen(link) - 7, "/mapped"));
  struct stat st, own;
  EXPECT_OK(lstat(name, &st));
  EXPECT_TRUE(S_ISLNK(st.st_mode));
  EXPECT_EQ(st.st_mode & 0777, 0600);
  EXPECT_OK(fstat(fd, &own));
  close(fd);
  EXPECT_OK(unlink("mapped"));
  if (getuid() == 0) {
    EXPECT_OK(stat(name, &st));
    EXPECT_EQ(st.st_ino, own.st_ino);
  }
  int seen = 0, others = 0;
  DIR *d = opendir("/proc/self/map_files");
  for (struct dirent *e; (e = readdir(d));) {
    unsigned long start, end;
    if (e->d_name[0] == '.') continue;
    EXPECT_EQ(sscanf(e->d_name, "%lx-%lx", &start, &end), 2);
    if (start == (unsigned long)at) seen++;
    else others++;
  }
  EXPECT_EQ(seen, 1);
  EXPECT_GT(others, 0);
  // The range must be exact.
  snprintf(name, sizeof name, "/proc/self/map_files/%lx-%lx", (unsigned long)at, (unsigned long)at + 4096);
  EXPECT_ERRNO(lstat(name, &st), ENOENT);
  EXPECT_ERRNO(lstat("/proc/self/map_files/0x1000-2000", &st), ENOENT);
  EXPECT_ERRNO(lstat("/proc/self/map_files/a", &st), ENOENT);
  char *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  snprintf(name, sizeof name, "/proc/self/map_files/%lx-%lx", (unsigned long)memory, (unsigned long)memory + 4096);
  EXPECT_ERRNO(lstat(name, &st), ENOENT);
}

/** Whether /proc/locks has a line with this beginning, after its number, about this file. */
static int locked(const char *kind, pid_t pid, const struct stat *st, const char *range) {
  char want[128];
  snprintf(want, sizeof want, " %s %d %02x:%02x:%lu %s\n", kind, pid, major(st->st_dev), minor(st->st_dev), (unsigned long)st->st_ino, range);
  return strstr(slurp("/proc/locks"), want) != NULL;
}

TEST(locks) {
  int fd = open_new("locked"), other = EXPECT_OK(open("locked", O_RDWR));
  struct stat st;
  EXPECT_OK(fstat(fd, &st));
  EXPECT_OK(flock(fd, LOCK_SH));
  EXPECT_TRUE(locked("FLOCK  ADVISORY  READ", getpid(), &st, "0 EOF"));
  EXPECT_OK(flock(fd, LOCK_EX));
  EXPECT_TRUE(locked("FLOCK  ADVISORY  WRITE", getpid(), &st, "0 EOF"));
  struct flock lock = {.l_type = F_WRLCK, .l_start = 5, .l_len = 10};
  EXPECT_OK(fcntl(fd, F_SETLK, &lock));
  EXPECT_TRUE(locked("POSIX  ADVISORY  WRITE", getpid(), &st, "5 14"));
  struct flock open_lock = {.l_type = F_RDLCK, .l_start = 100, .l_len = 0};
  EXPECT_OK(fcntl(other, F_OFD_SETLK, &open_lock));
  EXPECT_TRUE(locked("OFDLCK ADVISORY  READ", -1, &st, "100 EOF"));
  close(other);
  EXPECT_TRUE(!locked("OFDLCK ADVISORY  READ", -1, &st, "100 EOF"));
  // Closing any descriptor of the file ended the lock of the process.
  EXPECT_TRUE(!locked("POSIX  ADVISORY  WRITE", getpid(), &st, "5 14"));
  EXPECT_TRUE(locked("FLOCK  ADVISORY  WRITE", getpid(), &st, "0 EOF"));
  close(fd);
  EXPECT_TRUE(!locked("FLOCK  ADVISORY  WRITE", getpid(), &st, "0 EOF"));
}

TEST(leases) {
  make_file("leased", "x");
  int fd = EXPECT_OK(open("leased", O_RDONLY));
  struct stat st;
  EXPECT_OK(fstat(fd, &st));
  if (fcntl(fd, F_SETLEASE, F_RDLCK) == -1) SKIP("no leases here");
  EXPECT_TRUE(locked("LEASE  ACTIVE    READ", getpid(), &st, "0 EOF"));
  EXPECT_OK(fcntl(fd, F_SETLEASE, F_UNLCK));
  EXPECT_TRUE(!locked("LEASE  ACTIVE    READ", getpid(), &st, "0 EOF"));
}

TEST(terminals_and_kinds) {
  EXPECT_TRUE(strstr(slurp("/proc/tty/drivers"), "pty_slave"));
  EXPECT_TRUE(strstr(text, "/dev/pts") && strstr(text, "pty:slave"));
  EXPECT_TRUE(strncmp(slurp("/proc/tty/ldiscs"), "n_tty", 5) == 0);
  EXPECT_TRUE(strstr(slurp("/proc/softirqs"), "TIMER:"));
  EXPECT_STR(slurp("/proc/execdomains"), "0-0\tLinux           \t[kernel]\n");
}

TEST(further_settings) {
  static const char *const names[] = {
      "fs/dentry-state", "fs/inode-nr", "fs/inode-state", "fs/leases-enable", "fs/dir-notify-enable", "kernel/core_pipe_limit",
      "kernel/ctrl-alt-del", "kernel/sysctl_writes_strict", "kernel/print-fatal-signals", "kernel/io_uring_group", "kernel/pty/nr",
      "vm/dirty_ratio", "vm/dirty_background_ratio", "vm/dirty_expire_centisecs", "vm/dirty_writeback_centisecs",
      "vm/vfs_cache_pressure", "vm/panic_on_oom", "vm/oom_kill_allocating_task", "vm/oom_dump_tasks", "vm/legacy_va_layout",
      "vm/memfd_noexec", "vm/zone_reclaim_mode", "vm/nr_overcommit_hugepages", "vm/hugetlb_shm_group", "vm/laptop_mode",
      "user/max_inotify_instances", "user/max_inotify_watches", "kernel/timer_migration", "kernel/sched_autogroup_enabled"};
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
    char path[100];
    snprintf(path, sizeof path, "/proc/sys/%s", names[i]);
    slurp(path);
    EXPECT_TRUE((text[0] >= '0' && text[0] <= '9') || text[0] == '-');
  }
  int before = atoi(slurp("/proc/sys/kernel/pty/nr"));
  int pty = EXPECT_OK(posix_openpt(O_RDWR | O_NOCTTY));
  EXPECT_GE(atoi(slurp("/proc/sys/kernel/pty/nr")), before > 0 ? 1 : before + 1);
  close(pty);
}
