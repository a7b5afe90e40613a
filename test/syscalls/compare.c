// Calls about the objects of other processes, and about areas: kcmp(2), process_madvise(2), process_mrelease(2),
// remap_file_pages(2), PR_SET_VMA.
#include "test.h"

#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static long compare(pid_t a, pid_t b, int type, unsigned long i, unsigned long j) {
  return syscall(SYS_kcmp, a, b, type, i, j);
}

static void *compare_thread(void *arg) {
  pid_t self = syscall(SYS_gettid), leader = *(pid_t *)arg;
  for (int type = KCMP_VM; type <= KCMP_SIGHAND; type++)
    EXPECT_EQ(EXPECT_OK(compare(self, leader, type, 0, 0)), 0);
  return NULL;
}

TEST(kcmp) {
  pid_t self = getpid();
  if (compare(self, self, KCMP_VM, 0, 0) == -1 && errno == ENOSYS) SKIP("no kcmp here");
  int fd = EXPECT_OK(open("/dev/null", O_RDONLY)), other = EXPECT_OK(open("/dev/null", O_RDONLY));
  int copy = EXPECT_OK(dup(fd));
  EXPECT_EQ(EXPECT_OK(compare(self, self, KCMP_FILE, fd, copy)), 0);
  long way = EXPECT_OK(compare(self, self, KCMP_FILE, fd, other));
  EXPECT_TRUE(way == 1 || way == 2);
  EXPECT_EQ(EXPECT_OK(compare(self, self, KCMP_FILE, other, fd)), 3 - way);
  EXPECT_ERRNO(compare(self, self, KCMP_FILE, fd, 99), EBADF);
  EXPECT_ERRNO(compare(self, self, 99, 0, 0), EINVAL);
  EXPECT_ERRNO(compare(self, 9999999, KCMP_VM, 0, 0), ESRCH);
  pthread_t thread;
  EXPECT_EQ(pthread_create(&thread, NULL, compare_thread, &self), 0);
  EXPECT_EQ(pthread_join(thread, NULL), 0);
  pid_t child = FORK({ pause(); });
  EXPECT_EQ(EXPECT_OK(compare(self, child, KCMP_FILE, fd, fd)), 0);
  for (int type = KCMP_VM; type <= KCMP_SIGHAND; type++)
    EXPECT_GT(EXPECT_OK(compare(self, child, type, 0, 0)), 0);
  EXPECT_OK(kill(child, SIGKILL));
  EXPECT_KILLED(child, SIGKILL);
  pid_t parent = self;
  IN_CHILD({
    become(NOBODY, NOBODY);
    EXPECT_ERRNO(compare(getpid(), parent, KCMP_VM, 0, 0), EPERM);
  });
}

TEST(what_an_epoll_file_watches) {
  pid_t self = getpid();
  if (compare(self, self, KCMP_VM, 0, 0) == -1 && errno == ENOSYS) SKIP("no kcmp here");
  int p[2], epoll = EXPECT_OK(epoll_create1(0));
  EXPECT_OK(pipe(p));
  struct epoll_event event = {.events = EPOLLIN};
  int fd = EXPECT_OK(fcntl(p[0], F_DUPFD, 40));
  EXPECT_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
  struct kcmp_epoll_slot slot = {.efd = epoll, .tfd = fd};
  EXPECT_EQ(EXPECT_OK(compare(self, self, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot)), 0);
  EXPECT_GT(EXPECT_OK(compare(self, self, KCMP_EPOLL_TFD, p[1], (uintptr_t)&slot)), 0);
  // Another file behind the same number.
  EXPECT_OK(dup2(p[1], fd));
  EXPECT_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
  // The order of the two is the kernel's affair.
  int found = 0;
  for (slot.toff = 0; slot.toff < 2; slot.toff++)
    found += EXPECT_OK(compare(self, self, KCMP_EPOLL_TFD, p[1], (uintptr_t)&slot)) == 0;
  EXPECT_EQ(found, 1);
  slot.toff = 2;
  EXPECT_ERRNO(compare(self, self, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot), ENOENT);
  slot.efd = p[0];
  EXPECT_ERRNO(compare(self, self, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot), EINVAL);
  slot.efd = 99;
  EXPECT_ERRNO(compare(self, self, KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot), EBADF);
  EXPECT_ERRNO(compare(self, self, KCMP_EPOLL_TFD, p[0], 8), EFAULT);
}

TEST(advice_about_another_process) {
  char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  m[0] = 'x';
  pid_t child = FORK({ pause(); });
  int pidfd = EXPECT_OK(syscall(SYS_pidfd_open, child, 0));
  struct iovec iov[2] = {{m, 4096}, {m + 4096, 4096}};
  if (syscall(SYS_process_madvise, pidfd, iov, 2L, MADV_COLD, 0) == -1 && errno == EPERM)
    SKIP("needs CAP_SYS_NICE");
  EXPECT_EQ(EXPECT_OK(syscall(SYS_process_madvise, pidfd, iov, 2L, MADV_COLD, 0)), 8192);
  EXPECT_ERRNO(syscall(SYS_process_madvise, pidfd, iov, 2L, MADV_DONTNEED, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_process_madvise, pidfd, iov, 2L, MADV_COLD, 1), EINVAL);
  EXPECT_ERRNO(syscall(SYS_process_madvise, 0, iov, 2L, MADV_COLD, 0), EBADF);
  EXPECT_ERRNO(syscall(SYS_process_madvise, pidfd, 8L, 2L, MADV_COLD, 0), EFAULT);
  iov[0].iov_base = (void *)0x10000;
  EXPECT_ERRNO(syscall(SYS_process_madvise, pidfd, iov, 1L, MADV_COLD, 0), ENOMEM);
  EXPECT_ERRNO(syscall(SYS_process_mrelease, pidfd, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_process_mrelease, pidfd, 1), EINVAL);
  EXPECT_ERRNO(syscall(SYS_process_mrelease, 0, 0), EBADF);
  EXPECT_OK(kill(child, SIGKILL));
  EXPECT_KILLED(child, SIGKILL);
}

TEST(remap_file_pages) {
  int fd = EXPECT_OK(open("file", O_RDWR | O_CREAT, 0600));
  EXPECT_OK(ftruncate(fd, 4 * 4096));
  char *m = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  EXPECT_TRUE(m != MAP_FAILED);
  for (int i = 0; i < 4; i++) m[i * 4096] = '0' + i;
  EXPECT_OK(syscall(SYS_remap_file_pages, m, 4096, 0, 3, 0));
  EXPECT_EQ(m[0], '3');
  EXPECT_EQ(m[4096], '1');
  m[1] = 'x';
  EXPECT_EQ(m[3 * 4096 + 1], 'x');
  EXPECT_ERRNO(syscall(SYS_remap_file_pages, m, 4096, PROT_READ, 3, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_remap_file_pages, m, 0, 0, 3, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_remap_file_pages, 0x10000, 4096, 0, 3, 0), EINVAL);
  char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_ERRNO(syscall(SYS_remap_file_pages, p, 4096, 0, 0, 0), EINVAL);
}

TEST(names_of_areas) {
  char *m = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m + 4096, 4096, "my area") == -1)
    SKIP("areas have no names here");
  char text[65536], wanted[64];
  read_whole("/proc/self/maps", text, sizeof text);
  snprintf(wanted, sizeof wanted, "%lx-%lx ", (long)m + 4096, (long)m + 8192);
  char *line = strstr(text, wanted);
  EXPECT_TRUE(line != NULL);
  char *name = strstr(line, "[anon:my area]");
  EXPECT_TRUE(name != NULL && name < strchr(line, '\n'));
  EXPECT_ERRNO(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m + 1, 4096, "x"), EINVAL);
  EXPECT_ERRNO(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m, 4096, "a\nb"), EINVAL);
  EXPECT_ERRNO(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m, 4096, 8), EFAULT);
  EXPECT_ERRNO(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0x10000, 4096, "x"), ENOMEM);
  EXPECT_OK(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, m, 3 * 4096, NULL));
  read_whole("/proc/self/maps", text, sizeof text);
  EXPECT_TRUE(strstr(text, "my area") == NULL);
}
