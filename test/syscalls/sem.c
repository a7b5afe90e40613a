// System V semaphores: semget(2), semop(2), semtimedop(2), semctl(2).
#include "test.h"

#include <sys/ipc.h>
#include <sys/sem.h>

union semun {
  int val;
  struct semid_ds *buf;
  unsigned short *array;
  struct seminfo *info;
};

static int made = -1;
static void remove_made(void) {
  if (made >= 0) semctl(made, 0, IPC_RMID);
}

/** A new private set, removed at the end of the test. */
static int set_of(int count) {
  made = EXPECT_OK(semget(IPC_PRIVATE, count, IPC_CREAT | 0600));
  return made;
}

static int value(int id, int num) { return EXPECT_OK(semctl(id, num, GETVAL)); }
static void set_value(int id, int num, int v) {
  EXPECT_OK(semctl(id, num, SETVAL, (union semun){.val = v}));
}
static int op(int id, int num, int by, int flags) {
  struct sembuf sop = {num, by, flags};
  return semop(id, &sop, 1);
}
static key_t test_key(void) { return 0x60000000 | (getpid() << 4); }

/** Waits until so many sleep on the semaphore. */
static void wait_for(int id, int num, int what, int n) {
  WAIT_UNTIL(EXPECT_OK(semctl(id, num, what)) == n);
}

TEST(get) {
  key_t key = test_key();
  EXPECT_ERRNO(semget(key, 1, 0), ENOENT);
  EXPECT_ERRNO(semget(key, 0, IPC_CREAT), EINVAL);
  EXPECT_ERRNO(semget(key, -1, IPC_CREAT), EINVAL);
  EXPECT_ERRNO(semget(key, 32001, IPC_CREAT), EINVAL);
  int id = EXPECT_OK(semget(key, 3, IPC_CREAT | IPC_EXCL | 0640));
  EXPECT_ERRNO(semget(key, 3, IPC_CREAT | IPC_EXCL | 0640), EEXIST);
  EXPECT_EQ(EXPECT_OK(semget(key, 0, 0)), id);
  EXPECT_EQ(EXPECT_OK(semget(key, 3, 0)), id);
  EXPECT_ERRNO(semget(key, 4, 0), EINVAL);
  struct semid_ds ds;
  EXPECT_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
  EXPECT_EQ(ds.sem_nsems, 3);
  EXPECT_EQ(ds.sem_perm.mode, 0640);
  EXPECT_EQ(ds.sem_otime, 0);
  EXPECT_EQ(value(id, 2), 0);
  EXPECT_OK(semctl(id, 0, IPC_RMID));
  EXPECT_ERRNO(semctl(id, 0, IPC_RMID), EINVAL);
}

TEST(operations) {
  int id = set_of(3);
  EXPECT_OK(op(id, 0, 2, 0));
  EXPECT_OK(op(id, 0, -1, 0));
  EXPECT_EQ(value(id, 0), 1);
  EXPECT_EQ(EXPECT_OK(semctl(id, 0, GETPID)), getpid());
  EXPECT_EQ(EXPECT_OK(semctl(id, 1, GETPID)), 0);
  EXPECT_ERRNO(op(id, 0, -2, IPC_NOWAIT), EAGAIN);
  EXPECT_ERRNO(op(id, 0, 0, IPC_NOWAIT), EAGAIN);
  EXPECT_OK(op(id, 1, 0, IPC_NOWAIT));
  EXPECT_ERRNO(op(id, 3, 1, 0), EFBIG);
  EXPECT_ERRNO(op(-1, 0, 1, 0), EINVAL);
  EXPECT_ERRNO(semop(id, NULL, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_semop, id, 8L, 1L), EFAULT);
  static struct sembuf many[501];
  EXPECT_ERRNO(semop(id, many, 501), E2BIG);
  EXPECT_OK(op(id, 2, 32767, 0));
  EXPECT_ERRNO(op(id, 2, 1, 0), ERANGE);
  // All or nothing.
  struct sembuf both[] = {{0, -1, 0}, {1, 5, 0}, {2, 1, 0}};
  EXPECT_ERRNO(semop(id, both, 3), ERANGE);
  EXPECT_EQ(value(id, 0), 1);
  EXPECT_EQ(value(id, 1), 0);
  // In their order: the second depends on the first.
  struct sembuf chain[] = {{1, 1, 0}, {1, -1, 0}, {1, 0, IPC_NOWAIT}};
  EXPECT_OK(semop(id, chain, 3));
  struct semid_ds ds;
  EXPECT_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
  EXPECT_LE(time(NULL) - ds.sem_otime, 5);
  remove_made();
}

TEST(control) {
  int id = set_of(3);
  unsigned short all[3] = {1, 2, 3}, read_back[3];
  EXPECT_OK(semctl(id, 0, SETALL, (union semun){.array = all}));
  EXPECT_OK(semctl(id, 0, GETALL, (union semun){.array = read_back}));
  EXPECT_MEM(all, read_back, sizeof all);
  EXPECT_EQ(EXPECT_OK(semctl(id, 1, GETPID)), getpid());
  all[1] = 40000;
  EXPECT_ERRNO(semctl(id, 0, SETALL, (union semun){.array = all}), ERANGE);
  EXPECT_EQ(value(id, 0), 1);
  EXPECT_ERRNO(semctl(id, 0, SETVAL, (union semun){.val = -1}), ERANGE);
  EXPECT_ERRNO(semctl(id, 0, SETVAL, (union semun){.val = 32768}), ERANGE);
  EXPECT_ERRNO(semctl(id, 3, SETVAL, (union semun){.val = 1}), EINVAL);
  EXPECT_ERRNO(semctl(id, -1, GETVAL), EINVAL);
  EXPECT_ERRNO(semctl(id, 3, GETNCNT), EINVAL);
  EXPECT_ERRNO(semctl(id, 0, 99), EINVAL);
  EXPECT_ERRNO(semctl(-1, 0, GETVAL), EINVAL);
  EXPECT_ERRNO(syscall(SYS_semctl, id, 0, IPC_STAT, 8L), EFAULT);
  EXPECT_ERRNO(syscall(SYS_semctl, id, 0, GETALL, 8L), EFAULT);
  EXPECT_ERRNO(syscall(SYS_semctl, id, 0, SETALL, 8L), EFAULT);
  struct seminfo info;
  int max = EXPECT_OK(semctl(0, 0, IPC_INFO, (union semun){.info = &info}));
  EXPECT_EQ(info.semvmx, 32767);
  EXPECT_EQ(info.semmsl, 32000);
  EXPECT_EQ(info.semopm, 500);
  EXPECT_EQ(EXPECT_OK(semctl(0, 0, SEM_INFO, (union semun){.info = &info})), max);
  EXPECT_GE(info.semusz, 1);
  EXPECT_GE(info.semaem, 3);
  struct semid_ds ds;
  int found = 0;
  for (int i = 0; i <= max; i++)
    if (semctl(i, 0, SEM_STAT, (union semun){.buf = &ds}) == id) found++;
  EXPECT_EQ(found, 1);
  EXPECT_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
  ds.sem_perm.mode = 0777;
  EXPECT_OK(semctl(id, 0, IPC_SET, (union semun){.buf = &ds}));
  EXPECT_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
  EXPECT_EQ(ds.sem_perm.mode, 0777);
  char text[65536], wanted[64];
  read_whole("/proc/sysvipc/sem", text, sizeof text);
  snprintf(wanted, sizeof wanted, "%10d %10d  %4o %10d ", 0, id, 0777, 3);
  EXPECT_TRUE(strstr(text, wanted) != NULL);
  remove_made();
}

TEST(permissions) {
  int id = set_of(1);
  IN_CHILD({
    become(NOBODY, NOBODY);
    EXPECT_ERRNO(op(id, 0, 1, 0), EACCES);
    EXPECT_ERRNO(semctl(id, 0, GETVAL), EACCES);
    EXPECT_ERRNO(semctl(id, 0, IPC_RMID), EPERM);
  });
  struct semid_ds ds;
  EXPECT_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &ds}));
  ds.sem_perm.mode = 0644;
  EXPECT_OK(semctl(id, 0, IPC_SET, (union semun){.buf = &ds}));
  IN_CHILD({
    become(NOBODY, NOBODY);
    EXPECT_OK(op(id, 0, 0, IPC_NOWAIT));
    EXPECT_OK(semctl(id, 0, GETVAL));
    EXPECT_ERRNO(op(id, 0, 1, 0), EACCES);
    EXPECT_ERRNO(semctl(id, 0, SETVAL, (union semun){.val = 1}), EACCES);
    EXPECT_ERRNO(semctl(id, 0, IPC_SET, (union semun){.buf = &ds}), EPERM);
  });
  remove_made();
}

TEST(sleeping) {
  int id = set_of(2);
  pid_t larger = FORK({ EXPECT_OK(op(id, 0, -2, 0)); });
  wait_for(id, 0, GETNCNT, 1);
  EXPECT_EQ(EXPECT_OK(semctl(id, 0, GETZCNT)), 0);
  EXPECT_OK(op(id, 0, 1, 0));
  EXPECT_EQ(value(id, 0), 1);
  EXPECT_OK(op(id, 0, 1, 0));
  // Given over at once: nobody sees the value in between.
  EXPECT_EQ(value(id, 0), 0);
  EXPECT_EQ(EXPECT_OK(semctl(id, 0, GETNCNT)), 0);
  EXPECT_EQ(EXPECT_OK(semctl(id, 0, GETPID)), larger);
  EXPECT_EXIT(larger, 0);
  set_value(id, 1, 3);
  pid_t zero = FORK({ EXPECT_OK(op(id, 1, 0, 0)); });
  wait_for(id, 1, GETZCNT, 1);
  EXPECT_OK(op(id, 1, -3, 0));
  EXPECT_EXIT(zero, 0);
  remove_made();
}

TEST(order_of_sleepers) {
  int id = set_of(2);
  pid_t two = FORK({ EXPECT_OK(op(id, 0, -2, 0)); });
  wait_for(id, 0, GETNCNT, 1);
  pid_t one = FORK({ EXPECT_OK(op(id, 0, -1, 0)); });
  wait_for(id, 0, GETNCNT, 2);
  // Not enough for the first, who does not keep the second from going on.
  EXPECT_OK(op(id, 0, 1, 0));
  EXPECT_EXIT(one, 0);
  EXPECT_OK(op(id, 0, 2, 0));
  EXPECT_EXIT(two, 0);
  // One sleeper's operations let the next go on.
  struct sembuf pass[] = {{0, -1, 0}, {1, 1, 0}};
  pid_t next = FORK({ EXPECT_OK(op(id, 1, -1, 0)); });
  wait_for(id, 1, GETNCNT, 1);
  pid_t first = FORK({ EXPECT_OK(semop(id, pass, 2)); });
  wait_for(id, 0, GETNCNT, 1);
  EXPECT_OK(op(id, 0, 1, 0));
  EXPECT_EXIT(first, 0);
  EXPECT_EXIT(next, 0);
  EXPECT_EQ(value(id, 0) + value(id, 1), 0);
  remove_made();
}

TEST(setting_wakes_sleepers) {
  int id = set_of(1);
  pid_t child = FORK({ EXPECT_OK(op(id, 0, -3, 0)); });
  wait_for(id, 0, GETNCNT, 1);
  set_value(id, 0, 5);
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(value(id, 0), 2);
  remove_made();
}

TEST(removal_wakes_sleepers) {
  int id = set_of(1);
  pid_t child = FORK({ EXPECT_ERRNO(op(id, 0, -1, 0), EIDRM); });
  wait_for(id, 0, GETNCNT, 1);
  EXPECT_OK(semctl(id, 0, IPC_RMID));
  EXPECT_EXIT(child, 0);
}

TEST(timeout) {
  int id = set_of(1);
  struct sembuf down = {0, -1, 0};
  struct timespec t = {0, 20 * 1000000};
  int64_t start = now_ms();
  EXPECT_ERRNO(semtimedop(id, &down, 1, &t), EAGAIN);
  EXPECT_GE(now_ms() - start, 19);
  EXPECT_EQ(EXPECT_OK(semctl(id, 0, GETNCNT)), 0);
  t.tv_nsec = 0;
  EXPECT_ERRNO(semtimedop(id, &down, 1, &t), EAGAIN);
  t.tv_nsec = 1000000000;
  EXPECT_ERRNO(semtimedop(id, &down, 1, &t), EINVAL);
  t.tv_nsec = 0, t.tv_sec = -1;
  EXPECT_ERRNO(semtimedop(id, &down, 1, &t), EINVAL);
  EXPECT_ERRNO(syscall(SYS_semtimedop, id, &down, 1L, 8L), EFAULT);
  t.tv_sec = 100;
  set_value(id, 0, 1);
  EXPECT_OK(semtimedop(id, &down, 1, &t));
  remove_made();
}

static void nothing(int sig) { (void)sig; }

TEST(signals) {
  int id = set_of(1);
  pid_t child = FORK({
    set_handler(SIGUSR1, nothing, SA_RESTART);
    EXPECT_ERRNO(op(id, 0, -1, 0), EINTR);
    EXPECT_OK(op(id, 0, 0, IPC_NOWAIT));
  });
  wait_for(id, 0, GETNCNT, 1);
  EXPECT_OK(kill(child, SIGUSR1));
  EXPECT_EXIT(child, 0);
  EXPECT_EQ(EXPECT_OK(semctl(id, 0, GETNCNT)), 0);
  // A sleeper that is killed takes nothing.
  child = FORK({ op(id, 0, -1, 0); });
  wait_for(id, 0, GETNCNT, 1);
  EXPECT_OK(kill(child, SIGKILL));
  EXPECT_KILLED(child, SIGKILL);
  EXPECT_OK(op(id, 0, 1, 0));
  EXPECT_EQ(value(id, 0), 1);
  remove_made();
}

TEST(undo) {
  int id = set_of(2);
  set_value(id, 0, 5);
  IN_CHILD({
    EXPECT_OK(op(id, 0, -3, SEM_UNDO));
    EXPECT_OK(op(id, 1, 2, SEM_UNDO));
    EXPECT_OK(op(id, 1, 4, 0));
    // Not inherited.
    IN_CHILD({});
    EXPECT_EQ(value(id, 0), 2);
  });
  EXPECT_EQ(value(id, 0), 5);
  EXPECT_EQ(value(id, 1), 4);
  // Never below zero.
  IN_CHILD({
    EXPECT_OK(op(id, 1, 3, SEM_UNDO));
    EXPECT_OK(op(id, 1, -7, 0));
  });
  EXPECT_EQ(value(id, 1), 0);
  // SETVAL makes it forgotten; exec does not.
  IN_CHILD({
    EXPECT_OK(op(id, 0, -1, SEM_UNDO));
    set_value(id, 0, 1);
  });
  EXPECT_EQ(value(id, 0), 1);
  set_value(id, 0, 5);
  IN_CHILD({
    EXPECT_OK(op(id, 0, -2, SEM_UNDO));
    execl("/bin/true", "true", NULL);
    FAIL("exec failed");
  });
  EXPECT_EQ(value(id, 0), 5);
  // Someone who sleeps goes on by it.
  set_value(id, 0, 1);
  pid_t holder = FORK({
    EXPECT_OK(op(id, 0, -1, SEM_UNDO));
    pause();
  });
  WAIT_UNTIL(value(id, 0) == 0);
  pid_t sleeper = FORK({ EXPECT_OK(op(id, 0, -1, 0)); });
  wait_for(id, 0, GETNCNT, 1);
  EXPECT_OK(kill(holder, SIGKILL));
  EXPECT_KILLED(holder, SIGKILL);
  EXPECT_EXIT(sleeper, 0);
  EXPECT_ERRNO(op(id, 0, -32768, SEM_UNDO | IPC_NOWAIT), EAGAIN);
  remove_made();
}

static void *take_one(void *arg) {
  EXPECT_OK(op(*(int *)arg, 0, -1, SEM_UNDO));
  return NULL;
}

TEST(threads_share_undo) {
  int id = set_of(1);
  set_value(id, 0, 1);
  IN_CHILD({
    pthread_t thread;
    EXPECT_EQ(pthread_create(&thread, NULL, take_one, &id), 0);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    // The thread is gone, its process is not.
    EXPECT_EQ(value(id, 0), 0);
  });
  EXPECT_EQ(value(id, 0), 1);
  remove_made();
}
