// Memory that is locked is there, and what limits signals limits timers.
#include "test.h"
#include <sys/syscall.h>

#define PAGES 16

static char *fresh(int prot, int flags) {
  char *p = mmap(NULL, PAGES * 4096, prot, flags | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(p != MAP_FAILED);
  return p;
}

static int resident(char *p) {
  unsigned char vector[PAGES];
  EXPECT_OK(mincore(p, PAGES * 4096, vector));
  int n = 0;
  for (int i = 0; i < PAGES; i++) n += vector[i] & 1;
  return n;
}

TEST(locking_brings_pages_in) {
  char *p = fresh(PROT_READ | PROT_WRITE, MAP_PRIVATE);
  EXPECT_EQ(resident(p), 0);
  EXPECT_OK(mlock(p, PAGES * 4096));
  EXPECT_EQ(resident(p), PAGES);
  p = fresh(PROT_READ, MAP_PRIVATE);
  EXPECT_OK(mlock(p, 4096));
  EXPECT_EQ(resident(p), 1);
  p = fresh(PROT_READ | PROT_WRITE, MAP_SHARED);
  EXPECT_OK(mlock(p, PAGES * 4096));
  EXPECT_EQ(resident(p), PAGES);
  p = fresh(PROT_READ | PROT_WRITE, MAP_PRIVATE);
  EXPECT_OK(syscall(SYS_mlock2, p, PAGES * 4096L, 1));
  EXPECT_EQ(resident(p), 0);
  p[4096] = 1;
  EXPECT_EQ(resident(p), 1);
}

TEST(what_cannot_be_touched_is_locked_with_an_error) {
  char *p = fresh(PROT_READ | PROT_WRITE, MAP_PRIVATE);
  EXPECT_OK(mprotect(p + 4096, 4096, PROT_NONE));
  EXPECT_ERRNO(mlock(p, PAGES * 4096), ENOMEM);
  char text[1 << 16];
  read_whole("/proc/self/status", text, sizeof text);
  const char *line = strstr(text, "VmLck:");
  EXPECT_TRUE(line != NULL);
  EXPECT_EQ(strtol(line + 6, NULL, 10), PAGES * 4);
}

static void *blocked(void *arg) {
  (void)arg;
  for (;;) pause();
  return NULL;
}
TEST(threads_lock_too) {
  pthread_t thread;
  pthread_create(&thread, NULL, blocked, NULL);
  char *p = fresh(PROT_READ | PROT_WRITE, MAP_PRIVATE);
  EXPECT_OK(mlock(p, PAGES * 4096));
  EXPECT_EQ(resident(p), PAGES);
  EXPECT_OK(munmap(p, PAGES * 4096));
}

TEST(no_room_for_signals) {
  struct rlimit none = {0, 0};
  sigset_t set;
  sigfillset(&set);
  EXPECT_OK(sigprocmask(SIG_BLOCK, &set, NULL));
  EXPECT_OK(setrlimit(RLIMIT_SIGPENDING, &none));
  EXPECT_ERRNO(syscall(SYS_tgkill, getpid(), gettid(), SIGRTMIN), EAGAIN);
  EXPECT_ERRNO(sigqueue(getpid(), SIGRTMIN, (union sigval){0}), EAGAIN);
  EXPECT_OK(kill(getpid(), SIGRTMIN));
  EXPECT_OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
  int id;
  EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &id), EAGAIN);
}

TEST(timers_take_room_of_signals) {
  become(54321, 54321);
  struct rlimit limit;
  EXPECT_OK(getrlimit(RLIMIT_SIGPENDING, &limit));
  limit.rlim_cur = 2;
  EXPECT_OK(setrlimit(RLIMIT_SIGPENDING, &limit));
  int first, second, third;
  EXPECT_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &first));
  EXPECT_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &second));
  EXPECT_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &third), EAGAIN);
  EXPECT_OK(syscall(SYS_timer_delete, first));
  EXPECT_OK(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &third));
}
