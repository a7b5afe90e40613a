// Memory: mappings of all kinds, protection, faults, files in memory, and pointers that must not work.
#include "test.h"
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/utsname.h>

#define PAGE 4096
static sigjmp_buf after_fault;
static volatile int fault_signal, fault_code;
static void *volatile fault_address;
static void on_fault(int sig, siginfo_t *info, void *context) {
  (void)context;
  fault_signal = sig, fault_code = info->si_code, fault_address = info->si_addr;
  siglongjmp(after_fault, 1);
}
static void catch_faults(void) {
  set_info_handler(SIGSEGV, on_fault, SA_NODEFER);
  set_info_handler(SIGBUS, on_fault, SA_NODEFER);
}
/** The statement faults with this signal. */
#define EXPECT_FAULT(statement, sig)                                      \
  do {                                                                    \
    fault_signal = 0;                                                     \
    if (sigsetjmp(after_fault, 1) == 0) {                                 \
      statement;                                                          \
      FAIL("no fault in %s", #statement);                                 \
    }                                                                     \
    EXPECT_EQ(fault_signal, sig);                                         \
  } while (0)

static char *map_pages(int n, int prot) {
  char *at = mmap(NULL, (size_t)n * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(at != MAP_FAILED);
  return at;
}
#define RW (PROT_READ | PROT_WRITE)
static int make_pages(const char *path, int n) {
  int fd = EXPECT_OK(open(path, O_RDWR | O_CREAT | O_TRUNC, 0644));
  char page[PAGE];
  for (int i = 0; i < n; i++) {
    memset(page, 'A' + i, PAGE);
    EXPECT_EQ(write(fd, page, PAGE), PAGE);
  }
  return fd;
}

TEST(low_memory_takes_hints) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT;
  // As SBCL does, which cannot do without this place.
  char *wanted = (char *)0x50000000;
  EXPECT_EQ(mmap(wanted, 4096, PROT_READ, flags, -1, 0), wanted);
  char *other = mmap(wanted, 4096, PROT_READ, flags, -1, 0);
  EXPECT_EQ(other != wanted && (uintptr_t)other < 0x80000000, 1);
  other = mmap((char *)0x7000000000, 4096, PROT_READ, flags, -1, 0);
  EXPECT_EQ((uintptr_t)other < 0x80000000, 1);
}

TEST(anonymous_memory_is_zero_and_writable) {
  char *at = map_pages(16, RW);
  for (int i = 0; i < 16 * PAGE; i++) EXPECT_TRUE(at[i] == 0);
  memset(at, 1, 16 * PAGE);
  EXPECT_OK(munmap(at, 16 * PAGE));
  catch_faults();
  EXPECT_FAULT(*(volatile char *)at, SIGSEGV);
  EXPECT_EQ(fault_code, SEGV_MAPERR);
}

TEST(mmap_errors) {
  EXPECT_ERRNO(mmap(NULL, 0, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
  EXPECT_ERRNO(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0), EINVAL);
  EXPECT_ERRNO(mmap(NULL, PAGE, RW, MAP_PRIVATE, 0, 1), EINVAL);
  EXPECT_ERRNO(mmap(NULL, PAGE, RW, MAP_PRIVATE, 99, 0), EBADF);
  EXPECT_ERRNO(mmap((void *)1, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
  EXPECT_ERRNO(mmap(NULL, SIZE_MAX - PAGE * 2, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
  EXPECT_ERRNO(mmap((void *)0x7ffffffff000, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), ENOMEM);
  EXPECT_ERRNO(munmap((void *)1, PAGE), EINVAL);
  EXPECT_ERRNO(munmap(NULL, 0), EINVAL);
  int read_only = EXPECT_OK(open("/etc/passwd", O_RDONLY)), write_only = EXPECT_OK(open("f", O_WRONLY | O_CREAT, 0600));
  EXPECT_ERRNO(mmap(NULL, PAGE, RW, MAP_SHARED, read_only, 0), EACCES);
  EXPECT_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, write_only, 0), EACCES);
  int directory = EXPECT_OK(open(".", O_RDONLY)), pipe_fds[2];
  EXPECT_OK(pipe(pipe_fds));
  EXPECT_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, directory, 0), ENODEV);
  EXPECT_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, pipe_fds[0], 0), ENODEV);
}

TEST(fixed_mappings_replace_and_no_replace_refuses) {
  char *at = map_pages(4, RW);
  memset(at, 'x', 4 * PAGE);
  EXPECT_TRUE(mmap(at + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at + PAGE);
  EXPECT_TRUE(at[0] == 'x' && at[PAGE] == 0 && at[2 * PAGE] == 'x');
  EXPECT_ERRNO(mmap(at, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
  EXPECT_OK(munmap(at + PAGE, PAGE));
  EXPECT_TRUE(mmap(at + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at + PAGE);
  char *hint = mmap(at, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(hint != at && hint != MAP_FAILED);
}

TEST(unmapping_splits) {
  char *at = map_pages(5, RW);
  at[0] = 1, at[4 * PAGE] = 2;
  EXPECT_OK(munmap(at + PAGE, 3 * PAGE));
  EXPECT_OK(munmap(at + PAGE, 3 * PAGE));
  EXPECT_TRUE(at[0] == 1 && at[4 * PAGE] == 2);
  catch_faults();
  EXPECT_FAULT(at[PAGE] = 1, SIGSEGV);
  EXPECT_FAULT(at[3 * PAGE + 1] = 1, SIGSEGV);
}

TEST(protection) {
  catch_faults();
  char *at = map_pages(4, RW);
  at[PAGE] = 5;
  EXPECT_OK(mprotect(at + PAGE, PAGE, PROT_READ));
  EXPECT_FAULT(at[PAGE] = 1, SIGSEGV);
  EXPECT_EQ(fault_code, SEGV_ACCERR);
  EXPECT_TRUE(fault_address == at + PAGE);
  EXPECT_EQ(at[PAGE], 5);
  EXPECT_OK(mprotect(at, 4 * PAGE, PROT_NONE));
  EXPECT_FAULT(*(volatile char *)at, SIGSEGV);
  EXPECT_OK(mprotect(at, 4 * PAGE, RW));
  EXPECT_EQ(at[PAGE], 5);
  EXPECT_ERRNO(mprotect(at + 1, PAGE, RW), EINVAL);
  EXPECT_OK(munmap(at + 2 * PAGE, PAGE));
  EXPECT_ERRNO(mprotect(at, 4 * PAGE, PROT_READ), ENOMEM);
  EXPECT_FAULT(at[0] = 1, SIGSEGV);
  EXPECT_ERRNO(mprotect(at, PAGE, 0x1000), EINVAL);
  EXPECT_OK(mprotect(at, 0, RW));
}

TEST(code_can_be_written_and_run) {
  unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
  unsigned char *at = (unsigned char *)map_pages(1, RW);
  memcpy(at, code, sizeof code);
  EXPECT_OK(mprotect(at, PAGE, PROT_READ | PROT_EXEC));
  EXPECT_EQ(((int (*)(void))at)(), 42);
  catch_faults();
  unsigned char *data = (unsigned char *)map_pages(1, RW);
  memcpy(data, code, sizeof code);
  EXPECT_FAULT(((int (*)(void))data)(), SIGSEGV);
}

TEST(generated_code_may_contain_system_calls) {
  unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
  for (int i = 0; i < 50; i++) {
    unsigned char *at = (unsigned char *)map_pages(1, RW | PROT_EXEC);
    memcpy(at, code, sizeof code);
    for (int j = 0; j < 20; j++) EXPECT_EQ(((int (*)(void))at)(), getpid());
    at[1] = 110;
    EXPECT_EQ(((int (*)(void))at)(), getppid());
    EXPECT_OK(munmap(at, PAGE));
  }
}

TEST(remap_grows_shrinks_and_moves) {
  char *at = map_pages(4, RW);
  memset(at, 'r', 4 * PAGE);
  EXPECT_OK(munmap(at + 2 * PAGE, 2 * PAGE));
  char *grown = mremap(at, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
  EXPECT_TRUE(grown != MAP_FAILED);
  EXPECT_TRUE(grown[0] == 'r' && grown[2 * PAGE - 1] == 'r' && grown[2 * PAGE] == 0);
  EXPECT_TRUE(mremap(grown, 64 * PAGE, PAGE, 0) == grown);
  catch_faults();
  EXPECT_FAULT(grown[PAGE] = 1, SIGSEGV);
  char *target = map_pages(2, RW);
  EXPECT_TRUE(mremap(grown, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
  EXPECT_EQ(target[0], 'r');
  EXPECT_FAULT(*(volatile char *)grown, SIGSEGV);
  EXPECT_ERRNO(mremap(target, PAGE, PAGE, MREMAP_FIXED, at), EINVAL);
  EXPECT_ERRNO(mremap(target, 0, PAGE, MREMAP_MAYMOVE), EINVAL);
  EXPECT_ERRNO(mremap((char *)PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
  char *pinned = map_pages(2, RW);
  EXPECT_ERRNO(mremap(pinned, PAGE, 3 * PAGE, 0), ENOMEM);
}

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

TEST(remap_leaves_the_old_area_and_goes_where_it_is_told) {
  char *at = map_pages(1, RW), *place = map_pages(64, RW), *taken = map_pages(1, RW);
  const int flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
  at[0] = 'r';
  EXPECT_OK(munmap(place, 64 * PAGE));
  EXPECT_TRUE(mremap(at, PAGE, PAGE, flags, place) == place);
  EXPECT_TRUE(place[0] == 'r' && at[0] == 0);
  // The place is a wish: one that is taken stays as it is.
  taken[0] = 't';
  char *other = mremap(place, PAGE, PAGE, flags, taken);
  EXPECT_TRUE(other != MAP_FAILED && other != taken);
  EXPECT_TRUE(other[0] == 'r' && taken[0] == 't' && place[0] == 0);
  EXPECT_ERRNO(mremap(at, PAGE, PAGE, flags, place + 1), EINVAL);
  EXPECT_ERRNO(mremap(at, PAGE, PAGE, flags, at), EINVAL);
  EXPECT_ERRNO(mremap(at, PAGE, PAGE, flags, -(long)PAGE), EINVAL);
  EXPECT_ERRNO(mremap(at, PAGE, 2 * PAGE, flags, place), EINVAL);
}

TEST(program_break) {
  char *start = sbrk(0);
  EXPECT_TRUE(sbrk(10 * PAGE) == start);
  memset(start, 3, 10 * PAGE);
  EXPECT_OK(brk(start));
  EXPECT_TRUE(sbrk(0) == start);
  catch_faults();
  char *page = (char *)(((uintptr_t)start + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
  EXPECT_FAULT(page[PAGE] = 1, SIGSEGV);
  EXPECT_TRUE((char *)syscall(SYS_brk, 0) == start);
  EXPECT_TRUE((char *)syscall(SYS_brk, 1) == start);
  EXPECT_TRUE(sbrk(2 * PAGE) == start && start[PAGE] == 0);
}

TEST(shared_memory_over_fork) {
  int *shared = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char *private = map_pages(1, RW);
  IN_CHILD({
    shared[3] = 99;
    private[0] = 1;
    IN_CHILD(shared[4] = 100);
  });
  EXPECT_EQ(shared[3], 99);
  EXPECT_EQ(shared[4], 100);
  EXPECT_EQ(private[0], 0);
}

TEST(file_mappings_and_calls_see_one_file) {
  int fd = make_pages("f", 3);
  char *shared = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
  char *second = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
  EXPECT_TRUE(shared[0] == 'A' && shared[PAGE] == 'B' && second[0] == 'B');
  shared[PAGE] = 'z';
  EXPECT_EQ(second[0], 'z');
  char c;
  EXPECT_EQ(pread(fd, &c, 1, PAGE), 1);
  EXPECT_EQ(c, 'z');
  EXPECT_EQ(pwrite(fd, "!", 1, PAGE + 1), 1);
  EXPECT_EQ(shared[PAGE + 1], '!');
  EXPECT_OK(msync(shared, 3 * PAGE, MS_SYNC));
  EXPECT_OK(close(fd));
  EXPECT_OK(unlink("f"));
  shared[0] = 'k';
  EXPECT_EQ(shared[0], 'k');
}

TEST(private_file_mappings_do_not_write_back) {
  int fd = make_pages("f", 1);
  char *private = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
  private[0] = 'x';
  char c;
  EXPECT_EQ(pread(fd, &c, 1, 0), 1);
  EXPECT_EQ(c, 'A');
  EXPECT_EQ(pwrite(fd, "y", 1, 0), 1);
  EXPECT_EQ(private[0], 'x');
  EXPECT_OK(madvise(private, PAGE, MADV_DONTNEED));
  EXPECT_EQ(private[0], 'y');
}

TEST(memory_beyond_the_end_of_a_file) {
  catch_faults();
  int fd = make_pages("f", 1);
  EXPECT_OK(ftruncate(fd, 100));
  char *map = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, fd, 0);
  EXPECT_TRUE(map[99] == 'A' && map[100] == 0);
  EXPECT_FAULT(map[PAGE] = 1, SIGBUS);
  EXPECT_ERRNO(write(fd, map + PAGE, 1), EFAULT);
  EXPECT_OK(ftruncate(fd, 2 * PAGE));
  map[PAGE] = 'n';
  EXPECT_OK(ftruncate(fd, PAGE));
  EXPECT_FAULT(*(volatile char *)(map + PAGE), SIGBUS);
}

TEST(dont_need_gives_zero_pages) {
  char *at = map_pages(4, RW);
  memset(at, 1, 4 * PAGE);
  EXPECT_OK(madvise(at + PAGE, PAGE, MADV_DONTNEED));
  EXPECT_TRUE(at[0] == 1 && at[PAGE] == 0 && at[2 * PAGE] == 1);
  EXPECT_ERRNO(madvise(at + 1, PAGE, MADV_DONTNEED), EINVAL);
  EXPECT_ERRNO(madvise(at, PAGE, 9999), EINVAL);
  EXPECT_OK(munmap(at + PAGE, PAGE));
  EXPECT_ERRNO(madvise(at, 4 * PAGE, MADV_DONTNEED), ENOMEM);
  EXPECT_OK(madvise(at, PAGE, MADV_WILLNEED));
}

TEST(fork_advice) {
  char *at = map_pages(2, RW);
  at[0] = at[PAGE] = 7;
  EXPECT_OK(madvise(at, PAGE, MADV_DONTFORK));
  EXPECT_OK(madvise(at + PAGE, PAGE, MADV_WIPEONFORK));
  IN_CHILD({
    catch_faults();
    EXPECT_FAULT(*(volatile char *)at, SIGSEGV);
    EXPECT_EQ(at[PAGE], 0);
  });
  EXPECT_TRUE(at[0] == 7 && at[PAGE] == 7);
}

TEST(residency_and_locking) {
  unsigned char vector[4];
  char *at = map_pages(4, RW);
  at[0] = 1;
  EXPECT_OK(mincore(at, 4 * PAGE, vector));
  EXPECT_EQ(vector[0] & 1, 1);
  EXPECT_ERRNO(mincore(at + 1, PAGE, vector), EINVAL);
  EXPECT_OK(munmap(at + PAGE, PAGE));
  EXPECT_ERRNO(mincore(at, 4 * PAGE, vector), ENOMEM);
  EXPECT_OK(mlock(at, PAGE));
  EXPECT_OK(munlock(at, PAGE));
  EXPECT_ERRNO(msync(at, PAGE, 0x80), EINVAL);
}

TEST(stack_grows) {
  volatile char big[4 << 20];
  for (size_t i = 0; i < sizeof big; i += PAGE) big[sizeof big - 1 - i] = 1;
  EXPECT_EQ(big[sizeof big - 1], 1);
  EXPECT_EQ(write(-1, (char *)big, 1), -1);
}

static int find_mapping(uintptr_t at, char *perms, char *path) {
  static char text[1 << 18];
  read_whole("/proc/self/maps", text, sizeof text);
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    uintptr_t from, to;
    path[0] = 0;
    EXPECT_GE(sscanf(line, "%lx-%lx %4s %*s %*s %*s %255s", &from, &to, perms, path), 3);
    if (at >= from && at < to) return 1;
  }
  return 0;
}

TEST(maps_file_tells_what_is_mapped) {
  char perms[8], path[256], *at = map_pages(3, PROT_READ);
  EXPECT_OK(mprotect(at + PAGE, PAGE, RW));
  EXPECT_TRUE(find_mapping((uintptr_t)at + PAGE, perms, path));
  EXPECT_STR(perms, "rw-p");
  EXPECT_TRUE(find_mapping((uintptr_t)at, perms, path));
  EXPECT_STR(perms, "r--p");
  EXPECT_OK(munmap(at, 3 * PAGE));
  EXPECT_EQ(find_mapping((uintptr_t)at + PAGE, perms, path), 0);
  EXPECT_TRUE(find_mapping((uintptr_t)find_mapping, perms, path));
  EXPECT_STR(perms, "r-xp");
  EXPECT_TRUE(find_mapping((uintptr_t)&perms, perms, path));
  EXPECT_STR(path, "[stack]");
  int fd = make_pages("mapped-file", 1);
  at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT_TRUE(find_mapping((uintptr_t)at, perms, path));
  EXPECT_STR(perms, "r--s");
  EXPECT_TRUE(strstr(path, "/mapped-file") != NULL);
  sbrk(PAGE);
  EXPECT_TRUE(find_mapping((uintptr_t)sbrk(0) - 1, perms, path));
  EXPECT_STR(path, "[heap]");
}

TEST(bad_pointers_give_efault) {
  static const uintptr_t bad[] = {8, 0x7ffffffff000, 0xffff800000000000, UINTPTR_MAX - 7};
  int fds[2];
  EXPECT_OK(pipe(fds));
  EXPECT_EQ(write(fds[1], "data", 4), 4);
  int file = make_pages("f", 1), epoll_fd = EXPECT_OK(epoll_create1(0));
  for (int i = 0; i < 4; i++) {
    long p = (long)bad[i];
    EXPECT_ERRNO(syscall(SYS_read, fds[0], p, 4), EFAULT);
    EXPECT_ERRNO(syscall(SYS_write, fds[1], p, 4), EFAULT);
    EXPECT_ERRNO(syscall(SYS_pread64, file, p, 4, 0), EFAULT);
    EXPECT_ERRNO(syscall(SYS_pwrite64, file, p, 4, 0), EFAULT);
    EXPECT_ERRNO(syscall(SYS_open, p, O_RDONLY), EFAULT);
    EXPECT_ERRNO(syscall(SYS_stat, "/", p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_stat, p, p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_fstat, file, p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_pipe, p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_uname, p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_getcwd, p, 4096), EFAULT);
    EXPECT_ERRNO(syscall(SYS_readv, file, p, 1), EFAULT);
    EXPECT_ERRNO(syscall(SYS_writev, file, p, 1), EFAULT);
    EXPECT_ERRNO(syscall(SYS_poll, p, 1, 0), EFAULT);
    EXPECT_ERRNO(syscall(SYS_select, 8, p, 0, 0, 0), EFAULT);
    EXPECT_ERRNO(syscall(SYS_epoll_ctl, epoll_fd, EPOLL_CTL_ADD, fds[0], p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_getrlimit, RLIMIT_NOFILE, p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_gettimeofday, p, 0), EFAULT);
    EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, SIG_BLOCK, p, 0, 8), EFAULT);
    EXPECT_ERRNO(syscall(SYS_rt_sigpending, p, 8), EFAULT);
    EXPECT_ERRNO(syscall(SYS_sigaltstack, p, 0), EFAULT);
    EXPECT_ERRNO(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_getdents64, EXPECT_OK(open(".", O_RDONLY)), p, 4096), EFAULT);
    EXPECT_ERRNO(syscall(SYS_times, p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_sysinfo, p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_getrusage, 0, p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_readlink, "/proc/self/exe", p, 100), EFAULT);
    EXPECT_ERRNO(syscall(SYS_statx, AT_FDCWD, "/", 0, STATX_BASIC_STATS, p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_getresuid, p, p, p), EFAULT);
    EXPECT_ERRNO(syscall(SYS_capget, p, 0), EFAULT);
    EXPECT_ERRNO(syscall(SYS_futex, p & ~3L, 0, 0, 0), EFAULT);
    EXPECT_ERRNO(syscall(SYS_execve, "/bin/true", p, 0), EFAULT);
    EXPECT_ERRNO(syscall(SYS_getrandom, p, 16, 0), EFAULT);
  }
}

TEST(half_mapped_buffers) {
  char *at = map_pages(2, RW), *edge = at + PAGE;
  EXPECT_OK(munmap(edge, PAGE));
  int fd = make_pages("f", 2), fds[2];
  EXPECT_EQ(pread(fd, edge - 10, 100, 0), 10);
  EXPECT_EQ(pwrite(fd, edge - 10, 100, 0), 10);
  EXPECT_OK(pipe(fds));
  EXPECT_ERRNO(write(fds[1], edge, 10), EFAULT);
  strcpy(edge - 2, "/");
  EXPECT_OK(access(edge - 2, F_OK));
  edge[-1] = 'x';
  EXPECT_ERRNO(access(edge - 2, F_OK), EFAULT);
  EXPECT_ERRNO(stat("/", (struct stat *)(edge - 20)), EFAULT);
  EXPECT_ERRNO(pipe((int *)(edge - 4)), EFAULT);
  struct iovec iov[2] = {{edge - 10, 10}, {edge, 10}};
  EXPECT_EQ(pwritev(fd, iov, 2, 0), 10);
  EXPECT_EQ(preadv(fd, iov, 2, 0), 10);
  EXPECT_OK(mprotect(at, PAGE, PROT_READ));
  EXPECT_ERRNO(pread(fd, at, 10, 0), EFAULT);
  EXPECT_EQ(pwrite(fd, at, 10, 0), 10);
  EXPECT_OK(mprotect(at, PAGE, PROT_NONE));
  EXPECT_ERRNO(pwrite(fd, at, 10, 0), EFAULT);
}

TEST(address_space_limit) {
  struct rlimit limit = {512 << 20, 512 << 20};
  EXPECT_OK(setrlimit(RLIMIT_AS, &limit));
  EXPECT_ERRNO(mmap(NULL, 600 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
  EXPECT_TRUE(map_pages(100, RW) != NULL);
}

TEST(large_reservations_cost_nothing) {
  size_t size = 64ULL << 30;
  char *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  EXPECT_TRUE(at != MAP_FAILED);
  EXPECT_OK(mprotect(at + (32ULL << 30), PAGE, RW));
  at[32ULL << 30] = 1;
  EXPECT_OK(munmap(at, size));
}

TEST(addresses_that_sanitizers_want_are_free) {
  // The allocators of ASan and LSan (gcc, older clang; newer clang), and what TSan of gcc 12 protects.
  const struct { uint64_t start, end; } ranges[] = {
    {0x600000000000, 0x640000001000}, {0x500000000000, 0x540000001000}, {0x568000000000, 0x600000000000},
    {0x7fff7000, 0x10007fff8000}, {0x100000000000, 0x540000000000},
  };
  for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
    void *at = (void *)ranges[i].start;
    size_t size = ranges[i].end - ranges[i].start;
    EXPECT_TRUE(mmap(at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0) == at);
    EXPECT_OK(munmap(at, size));
  }
}

static long seal(void *at, size_t size, unsigned long flags) { return syscall(462 /* mseal */, at, size, flags); }
TEST(sealed_memory_stays_as_it_is) {
  char *at = map_pages(8, RW);
  if (seal(at, 0, 0) == -1 && errno == ENOSYS) SKIP("no mseal");
  EXPECT_ERRNO(seal(at, PAGE, 1), EINVAL);
  EXPECT_ERRNO(seal(at + 1, PAGE, 0), EINVAL);
  EXPECT_OK(munmap(at + 7 * PAGE, PAGE));
  EXPECT_ERRNO(seal(at + 6 * PAGE, 2 * PAGE, 0), ENOMEM);
  EXPECT_OK(seal(at + 2 * PAGE, 2 * PAGE, 0));
  EXPECT_ERRNO(munmap(at + 2 * PAGE, PAGE), EPERM);
  EXPECT_ERRNO(munmap(at, 7 * PAGE), EPERM);
  EXPECT_ERRNO(mprotect(at + 3 * PAGE, PAGE, PROT_READ), EPERM);
  EXPECT_ERRNO(mremap(at + 2 * PAGE, 2 * PAGE, PAGE, 0), EPERM);
  EXPECT_ERRNO(mremap(at + 2 * PAGE, PAGE, 3 * PAGE, MREMAP_MAYMOVE), EPERM);
  EXPECT_TRUE(mmap(at + 2 * PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
  EXPECT_EQ(errno, EPERM);
  at[2 * PAGE] = 1;
  EXPECT_OK(mprotect(at, PAGE, PROT_READ));
  IN_CHILD(EXPECT_ERRNO(munmap(at + 2 * PAGE, PAGE), EPERM));
  EXPECT_OK(munmap(at, 2 * PAGE));
  EXPECT_OK(munmap(at + 4 * PAGE, 3 * PAGE));
}

TEST(protection_keys) {
  char *at = map_pages(1, RW);
  EXPECT_ERRNO(syscall(SYS_pkey_alloc, 1, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_pkey_alloc, 0, 4), EINVAL);
  EXPECT_ERRNO(syscall(SYS_pkey_free, 15), EINVAL);
  EXPECT_ERRNO(syscall(SYS_pkey_mprotect, at, PAGE, PROT_READ, 15), EINVAL);
  EXPECT_OK(syscall(SYS_pkey_mprotect, at, PAGE, PROT_READ, -1));
  EXPECT_ERRNO(syscall(SYS_pkey_mprotect, at + 1, PAGE, PROT_READ, -1), EINVAL);
  long key = syscall(SYS_pkey_alloc, 0, 0);
  // On a CPU without keys the manual says ENOSPC, and the kernel EINVAL.
  if (key == -1) EXPECT_TRUE(errno == ENOSPC || errno == EINVAL);
}

static void *maps_and_unmaps(void *arg) {
  for (int i = 0; i < 200; i++) {
    char *at = map_pages(4, RW);
    at[PAGE] = (char)(intptr_t)arg;
    if (at[PAGE] != (char)(intptr_t)arg) FAIL("mapping of another thread");
    munmap(at, 4 * PAGE);
  }
  return NULL;
}
TEST(threads_map_at_the_same_time) {
  pthread_t threads[8];
  for (intptr_t i = 0; i < 8; i++) EXPECT_EQ(pthread_create(&threads[i], NULL, maps_and_unmaps, (void *)i), 0);
  for (int i = 0; i < 8; i++) EXPECT_EQ(pthread_join(threads[i], NULL), 0);
}

TEST(copying_between_processes) {
  char *at = map_pages(1, RW), buffer[8] = {0};
  strcpy(at, "remote");
  pid_t child = FORK({ pause(); });
  struct iovec local = {buffer, 7}, remote = {at, 7};
  EXPECT_EQ(EXPECT_OK(process_vm_readv(child, &local, 1, &remote, 1, 0)), 7);
  EXPECT_STR(buffer, "remote");
  remote.iov_base = (void *)8;
  EXPECT_ERRNO(process_vm_readv(child, &local, 1, &remote, 1, 0), EFAULT);
  EXPECT_ERRNO(process_vm_readv(4000000, &local, 1, &remote, 1, 0), ESRCH);
  kill(child, SIGKILL);
}

TEST(random_bytes) {
  char a[64] = {0}, b[64] = {0};
  EXPECT_EQ(syscall(SYS_getrandom, a, 64, 0), 64);
  EXPECT_EQ(syscall(SYS_getrandom, b, 64, 1), 64);
  EXPECT_NE(memcmp(a, b, 64), 0);
  EXPECT_ERRNO(syscall(SYS_getrandom, a, 1, 0x80), EINVAL);
}
