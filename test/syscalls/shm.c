// System V shared memory: shmget(2), shmat(2), shmdt(2), shmctl(2).
#include "test.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#define PAGE 4096

/** A new private segment, which goes with its last attachment. */
static int segment(size_t size) { return EXPECT_OK(shmget(IPC_PRIVATE, size, IPC_CREAT | 0600)); }

static struct shmid_ds stat_of(int id) {
  struct shmid_ds ds;
  EXPECT_OK(shmctl(id, IPC_STAT, &ds));
  return ds;
}

static key_t test_key(void) { return 0x70000000 | (getpid() << 4); }

TEST(get) {
  key_t key = test_key();
  EXPECT_ERRNO(shmget(key, 100, 0600), ENOENT);
  EXPECT_ERRNO(shmget(key, 0, IPC_CREAT | 0600), EINVAL);
  int id = EXPECT_OK(shmget(key, 100, IPC_CREAT | IPC_EXCL | 0640));
  EXPECT_ERRNO(shmget(key, 100, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
  EXPECT_EQ(EXPECT_OK(shmget(key, 100, 0)), id);
  EXPECT_EQ(EXPECT_OK(shmget(key, 50, IPC_CREAT | 0600)), id);
  EXPECT_EQ(EXPECT_OK(shmget(key, 0, 0)), id);
  EXPECT_ERRNO(shmget(key, 101, 0), EINVAL);
  struct shmid_ds ds = stat_of(id);
  EXPECT_EQ(ds.shm_perm.__key, key);
  EXPECT_EQ(ds.shm_perm.mode, 0640);
  EXPECT_EQ(ds.shm_perm.uid, geteuid());
  EXPECT_EQ(ds.shm_perm.cgid, getegid());
  EXPECT_EQ(ds.shm_segsz, 100);
  EXPECT_EQ(ds.shm_nattch, 0);
  EXPECT_EQ(ds.shm_cpid, getpid());
  EXPECT_EQ(ds.shm_lpid, 0);
  EXPECT_EQ(ds.shm_atime, 0);
  EXPECT_LE(time(NULL) - ds.shm_ctime, 5);
  EXPECT_OK(shmctl(id, IPC_RMID, NULL));
  EXPECT_ERRNO(shmget(key, 100, 0600), ENOENT);
  EXPECT_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
  EXPECT_ERRNO(shmctl(id, IPC_RMID, NULL), EINVAL);
  int a = segment(1), b = segment(1);
  EXPECT_NE(a, b);
  EXPECT_OK(shmctl(a, IPC_RMID, NULL));
  EXPECT_OK(shmctl(b, IPC_RMID, NULL));
}

TEST(attach) {
  int id = segment(3 * PAGE - 5);
  EXPECT_ERRNO(shmat(-1, NULL, 0), EINVAL);
  EXPECT_ERRNO(shmat(id, (void *)0x10001, 0), EINVAL);
  EXPECT_ERRNO(shmat(id, NULL, SHM_REMAP), EINVAL);
  char *a = (char *)EXPECT_OK(shmat(id, NULL, 0));
  EXPECT_EQ(a[0], 0);
  EXPECT_EQ(a[3 * PAGE - 1], 0);
  strcpy(a + PAGE, "hello");
  char *b = (char *)EXPECT_OK(shmat(id, NULL, SHM_RDONLY));
  EXPECT_NE((long)a, (long)b);
  EXPECT_STR(b + PAGE, "hello");
  struct shmid_ds ds = stat_of(id);
  EXPECT_EQ(ds.shm_nattch, 2);
  EXPECT_EQ(ds.shm_lpid, getpid());
  EXPECT_GT(ds.shm_atime, 0);
  EXPECT_ERRNO(mprotect(b, PAGE, PROT_READ | PROT_WRITE), EACCES);
  IN_CHILD({
    a[0] = 'x';
    _exit(0);
  });
  EXPECT_EQ(b[0], 'x');
  EXPECT_KILLED(FORK({ b[0] = 'y'; }), SIGSEGV);
  EXPECT_ERRNO(shmdt(a + PAGE), EINVAL);
  EXPECT_ERRNO(shmdt(a + 1), EINVAL);
  EXPECT_ERRNO(shmdt((void *)PAGE), EINVAL);
  EXPECT_OK(shmdt(a));
  EXPECT_ERRNO(shmdt(a), EINVAL);
  ds = stat_of(id);
  EXPECT_EQ(ds.shm_nattch, 1);
  EXPECT_GT(ds.shm_dtime, 0);
  // The contents stay while nobody is attached.
  EXPECT_OK(shmdt(b));
  a = (char *)EXPECT_OK(shmat(id, NULL, 0));
  EXPECT_STR(a + PAGE, "hello");
  EXPECT_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(attach_at_an_address) {
  int id = segment(2 * PAGE);
  char *room = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(room != MAP_FAILED);
  room[0] = 'r';
  EXPECT_ERRNO(shmat(id, room, 0), EINVAL);
  EXPECT_EQ(room[0], 'r');
  EXPECT_EQ(EXPECT_OK(shmat(id, room + 2 * PAGE, SHM_REMAP)), (long)room + 2 * PAGE);
  EXPECT_OK(munmap(room + 6 * PAGE, 2 * PAGE));
  EXPECT_EQ(EXPECT_OK(shmat(id, room + 6 * PAGE + 100, SHM_RND)), (long)room + 6 * PAGE);
  room[6 * PAGE + 8] = 'z';
  EXPECT_EQ(room[2 * PAGE + 8], 'z');
  EXPECT_EQ(stat_of(id).shm_nattch, 2);
  EXPECT_OK(shmdt(room + 2 * PAGE));
  EXPECT_OK(shmdt(room + 6 * PAGE));
  EXPECT_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(attachments_are_areas) {
  int id = segment(4 * PAGE);
  char *a = (char *)EXPECT_OK(shmat(id, NULL, 0));
  EXPECT_OK(munmap(a + PAGE, PAGE));
  EXPECT_EQ(stat_of(id).shm_nattch, 2);
  EXPECT_OK(munmap(a, PAGE));
  EXPECT_EQ(stat_of(id).shm_nattch, 1);
  // What is left still belongs to the attachment that began at a.
  EXPECT_OK(shmdt(a));
  EXPECT_EQ(stat_of(id).shm_nattch, 0);
  EXPECT_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(removal_waits_for_the_last_detach) {
  key_t key = test_key();
  int id = EXPECT_OK(shmget(key, PAGE, IPC_CREAT | 0600));
  char *a = (char *)EXPECT_OK(shmat(id, NULL, 0));
  EXPECT_OK(shmctl(id, IPC_RMID, NULL));
  struct shmid_ds ds = stat_of(id);
  EXPECT_EQ(ds.shm_perm.mode, 0600 | SHM_DEST);
  EXPECT_EQ(ds.shm_perm.__key, IPC_PRIVATE);
  EXPECT_EQ(ds.shm_nattch, 1);
  EXPECT_ERRNO(shmget(key, PAGE, 0), ENOENT);
  // Linux lets more attach, who know the identifier.
  char *b = (char *)EXPECT_OK(shmat(id, NULL, 0));
  a[0] = 'q';
  EXPECT_EQ(b[0], 'q');
  EXPECT_OK(shmdt(a));
  EXPECT_EQ(stat_of(id).shm_nattch, 1);
  EXPECT_OK(shmdt(b));
  EXPECT_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
  EXPECT_ERRNO(shmat(id, NULL, 0), EINVAL);
}

TEST(fork_exit_and_exec) {
  int id = segment(PAGE);
  int *a = (int *)EXPECT_OK(shmat(id, NULL, 0));
  int up[2], down[2];
  EXPECT_OK(pipe(up));
  EXPECT_OK(pipe(down));
  pid_t child = FORK({
    char c;
    a[0] = 7;
    EXPECT_EQ(write(up[1], "x", 1), 1);
    EXPECT_EQ(read(down[0], &c, 1), 1);
  });
  char c;
  EXPECT_EQ(read(up[0], &c, 1), 1);
  EXPECT_EQ(a[0], 7);
  EXPECT_EQ(stat_of(id).shm_nattch, 2);
  EXPECT_EQ(write(down[1], "x", 1), 1);
  EXPECT_EXIT(child, 0);
  struct shmid_ds ds = stat_of(id);
  EXPECT_EQ(ds.shm_nattch, 1);
  EXPECT_EQ(ds.shm_lpid, child);
  IN_CHILD({
    execl("/bin/true", "true", NULL);
    FAIL("exec failed");
  });
  EXPECT_EQ(stat_of(id).shm_nattch, 1);
  EXPECT_OK(shmctl(id, IPC_RMID, NULL));
  // The end of the last process frees it.
  IN_CHILD({ EXPECT_OK(shmdt(a)); });
  EXPECT_OK(shmdt(a));
  EXPECT_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
}

TEST(permissions) {
  key_t key = test_key();
  int id = EXPECT_OK(shmget(key, PAGE, IPC_CREAT | 0640));
  EXPECT_OK(shmctl(id, SHM_LOCK, NULL));
  EXPECT_EQ(stat_of(id).shm_perm.mode, 0640 | SHM_LOCKED);
  EXPECT_OK(shmctl(id, SHM_UNLOCK, NULL));
  IN_CHILD({
    struct shmid_ds ds;
    become(NOBODY, NOBODY);
    EXPECT_ERRNO(shmget(key, PAGE, 0400), EACCES);
    EXPECT_ERRNO(shmat(id, NULL, SHM_RDONLY), EACCES);
    EXPECT_ERRNO(shmctl(id, IPC_STAT, &ds), EACCES);
    EXPECT_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
    EXPECT_ERRNO(shmctl(id, IPC_SET, &ds), EPERM);
    EXPECT_ERRNO(shmctl(id, SHM_LOCK, NULL), EPERM);
  });
  struct shmid_ds ds = stat_of(id);
  ds.shm_perm.mode = 01444;
  ds.shm_perm.uid = 12345;
  EXPECT_OK(shmctl(id, IPC_SET, &ds));
  ds = stat_of(id);
  EXPECT_EQ(ds.shm_perm.mode, 0444);
  EXPECT_EQ(ds.shm_perm.uid, 12345);
  EXPECT_EQ(ds.shm_perm.cuid, 0);
  IN_CHILD({
    become(NOBODY, NOBODY);
    EXPECT_OK(shmat(id, NULL, SHM_RDONLY));
    EXPECT_ERRNO(shmat(id, NULL, 0), EACCES);
    EXPECT_ERRNO(shmat(id, NULL, SHM_RDONLY | SHM_EXEC), EACCES);
  });
  IN_CHILD({
    become(12345, 12345);
    EXPECT_OK(shmctl(id, IPC_RMID, NULL));
  });
}

TEST(control) {
  struct shminfo info;
  struct shm_info use;
  struct shmid_ds ds;
  int id = segment(2 * PAGE);
  EXPECT_ERRNO(shmctl(-1, IPC_STAT, &ds), EINVAL);
  EXPECT_ERRNO(shmctl(id, 99, &ds), EINVAL);
  EXPECT_ERRNO(syscall(SYS_shmctl, id, IPC_STAT, 8L), EFAULT);
  EXPECT_ERRNO(syscall(SYS_shmctl, id, IPC_SET, 8L), EFAULT);
  int max = EXPECT_OK(shmctl(0, IPC_INFO, (void *)&info));
  EXPECT_EQ(info.shmmin, 1);
  EXPECT_EQ(info.shmmni, 4096);
  EXPECT_TRUE(info.shmmax > 1 << 20);
  EXPECT_EQ(EXPECT_OK(shmctl(0, SHM_INFO, (void *)&use)), max);
  EXPECT_GE(use.used_ids, 1);
  EXPECT_GE(use.shm_tot, 2);
  int found = 0;
  for (int i = 0; i <= max; i++)
    if (shmctl(i, SHM_STAT, &ds) == id) found++;
  EXPECT_EQ(found, 1);
  EXPECT_EQ(ds.shm_segsz > 0, 1);
  EXPECT_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(proc) {
  char text[65536], wanted[64];
  int id = segment(5000);
  char *a = (char *)EXPECT_OK(shmat(id, NULL, 0));
  read_whole("/proc/sysvipc/shm", text, sizeof text);
  snprintf(wanted, sizeof wanted, "%10d %10d  %4o %21d ", 0, id, 0600, 5000);
  EXPECT_TRUE(strncmp(text, "       key      shmid perms ", 28) == 0);
  EXPECT_TRUE(strstr(text, wanted) != NULL);
  read_whole("/proc/self/maps", text, sizeof text);
  snprintf(wanted, sizeof wanted, "%lx-%lx rw-s 00000000 ", (long)a, (long)a + 2 * PAGE);
  char *line = strstr(text, wanted);
  EXPECT_TRUE(line != NULL);
  snprintf(wanted, sizeof wanted, " %d ", id);
  EXPECT_TRUE(strstr(line, wanted) != NULL);
  EXPECT_TRUE(strstr(line, "/SYSV00000000 (deleted)\n") != NULL);
  EXPECT_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(futex_between_processes) {
  int id = segment(PAGE);
  pthread_mutex_t *lock = (void *)EXPECT_OK(shmat(id, NULL, 0));
  EXPECT_OK(shmctl(id, IPC_RMID, NULL));
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(lock, &attr);
  volatile int *count = (int *)(lock + 1);
  pid_t children[4];
  for (int c = 0; c < 4; c++) {
    children[c] = FORK({
      for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(lock);
        *count = *count + 1;
        pthread_mutex_unlock(lock);
      }
    });
  }
  for (int c = 0; c < 4; c++) EXPECT_EXIT(children[c], 0);
  EXPECT_EQ(*count, 2000);
}
