// Pointers to memory that is missing, half mapped, read-only or past the end of a file: each call that names one
// fails with EFAULT, and those that end just before such memory succeed.
#include "test.h"

#define PAGE 4096

// Two pages, of which the second is missing.
static char *half_mapped(void) {
  char *m = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(m != MAP_FAILED);
  EXPECT_OK(munmap(m + PAGE, PAGE));
  return m;
}

TEST(paths_before_missing_memory) {
  char *end = half_mapped() + PAGE;
  struct stat st;
  memcpy(end - 2, "/", 2);
  EXPECT_OK(stat(end - 2, &st));
  EXPECT_TRUE(S_ISDIR(st.st_mode));
  end[-1] = 'x';
  EXPECT_ERRNO(stat(end - 2, &st), EFAULT);
  EXPECT_ERRNO(access(end, F_OK), EFAULT);
  EXPECT_ERRNO(open((char *)8, O_RDONLY), EFAULT);
  EXPECT_ERRNO(open((char *)-8L, O_RDONLY), EFAULT);
}

TEST(results_into_missing_memory) {
  char *m = half_mapped();
  EXPECT_ERRNO(stat("/", (struct stat *)8), EFAULT);
  EXPECT_ERRNO(stat("/", (struct stat *)(m + PAGE - 20)), EFAULT);
  EXPECT_ERRNO(fstat(0, (struct stat *)-100L), EFAULT);
  EXPECT_OK(stat("/", (struct stat *)(m + PAGE - sizeof(struct stat))));
  EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, 0, NULL, 8, 8), EFAULT);
  EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, 0, 8, NULL, 8), EFAULT);
  EXPECT_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, NULL, 8, 8), EFAULT);
}

TEST(results_into_read_only_memory) {
  char *m = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(m != MAP_FAILED);
  EXPECT_ERRNO(stat("/", (struct stat *)m), EFAULT);
  EXPECT_ERRNO(syscall(SYS_rt_sigprocmask, 0, NULL, m, 8), EFAULT);
}

// The kernel's own copy past the end of a mapped file is an EFAULT, not a SIGBUS.
TEST(memory_past_the_end_of_a_file) {
  int fd = memfd_create("empty", 0);
  EXPECT_OK(fd);
  char *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  EXPECT_TRUE(m != MAP_FAILED);
  struct stat st;
  EXPECT_ERRNO(stat(m, &st), EFAULT);
  EXPECT_ERRNO(stat("/", (struct stat *)m), EFAULT);
}

TEST(one_buffer_for_path_and_result) {
  char *m = half_mapped();
  struct stat st;
  memcpy(m, "/", 2);
  EXPECT_OK(syscall(SYS_stat, m, m));
  memcpy(&st, m, sizeof st);
  EXPECT_TRUE(S_ISDIR(st.st_mode));
}

static volatile sig_atomic_t faults;
static void fault_handler(int signo, siginfo_t *info, void *context) {
  (void)signo;
  (void)context;
  faults += info->si_addr != NULL;
  mprotect((void *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1)), PAGE, PROT_READ | PROT_WRITE);
}

// A failed copy of a call raises no signal; the program's own access afterwards does.
TEST(faults_after_failed_calls) {
  char *m = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(m != MAP_FAILED);
  struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO};
  EXPECT_OK(sigaction(SIGSEGV, &action, NULL));
  EXPECT_ERRNO(stat("/", (struct stat *)(m + 64)), EFAULT);
  EXPECT_ERRNO(access(m + 64, F_OK), EFAULT);
  EXPECT_EQ(faults, 0);
  m[64] = 1;
  EXPECT_EQ(faults, 1);
}
