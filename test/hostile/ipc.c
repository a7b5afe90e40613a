// Objects that outlive their makers or reach other processes: System V IPC, message queues, watches, and the ring of
// asynchronous I/O, whose memory the program shares with the kernel.

#include "hostile.h"

#include <linux/aio_abi.h>
#include <mqueue.h>
#include <sys/inotify.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

ATTACK(segments_until_it_fails) {
  int first = -1, n = 0;
  for (; n < 100000; n++) {
    int id = shmget(IPC_PRIVATE, 1 << 20, 0600);
    if (id < 0) break;
    if (first < 0) first = id;
  }
  if (n >= 100000) breach("segments have no end");
  struct shmid_ds ds;
  for (int i = 0; i < 40000; i++) {
    int id = shmctl(i, SHM_STAT, &ds);
    if (id >= 0 && ds.shm_perm.cuid == ATTACKER) shmctl(id, IPC_RMID, NULL);
  }
}

ATTACK(semaphores_until_it_fails) {
  static int ids[40000];
  int n = 0;
  while (n < 40000 && (ids[n] = semget(IPC_PRIVATE, 32000, 0600)) >= 0) n++;
  if (n >= 40000) breach("semaphores have no end");
  struct sembuf one = {0, 1, SEM_UNDO};
  for (int i = 0; i < n; i++) semop(ids[i], &one, 1);
  while (n-- > 0) semctl(ids[n], 0, IPC_RMID);
}

ATTACK(messages_until_it_fails) {
  static struct {
    long type;
    char text[8192];
  } m = {1};
  static int ids[40000];
  int n = 0;
  for (; n < 40000; n++) {
    ids[n] = msgget(IPC_PRIVATE, 0600);
    if (ids[n] < 0) break;
    while (msgsnd(ids[n], &m, n < 2 ? 0 : 8192, IPC_NOWAIT) == 0) {
    }
    if (errno != EAGAIN) break;
  }
  while (n >= 0) msgctl(ids[n--], IPC_RMID, NULL);
}

ATTACK(queues_until_it_fails) {
  char name[32];
  struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MSGQUEUE, &none);
  for (int i = 0; i < 2000; i++) {
    snprintf(name, sizeof name, "/hostile-%d", i);
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 8192};
    mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
    if (q < 0) break;
    static char text[8192];
    while (mq_send(q, text, sizeof text, i) == 0) {
    }
  }
  for (int i = 0; i < 2000; i++) {
    snprintf(name, sizeof name, "/hostile-%d", i);
    mq_unlink(name);
  }
}

ATTACK(contexts_until_it_fails) {
  for (int i = 0; i < 100000; i++) {
    aio_context_t ctx = 0;
    if (syscall(SYS_io_setup, 1, &ctx)) return;
  }
  breach("contexts have no end");
}

static aio_context_t shared_ctx;
static volatile int over;

static void *spoil_ring(void *unused) {
  volatile unsigned *ring = (unsigned *)shared_ctx;
  for (unsigned i = 1; !over; i = i * 1103515245 + 12345) ring[i % 8] = i;
  return unused;
}

ATTACK(spoilt_ring) {
  if (syscall(SYS_io_setup, 64, &shared_ctx)) return;
  int fd = open("/etc/passwd", O_RDONLY), fds[2];
  pipe(fds);
  pthread_t thread;
  pthread_create(&thread, NULL, spoil_ring, NULL);
  char buffer[16];
  for (double end = seconds() + 1; seconds() < end;) {
    struct iocb r = {.aio_fildes = fd, .aio_buf = (long)buffer, .aio_nbytes = 16};
    struct iocb p = {.aio_fildes = fds[0], .aio_lio_opcode = 5, .aio_buf = 1};
    struct iocb *list[] = {&r, &p};
    struct io_event events[8];
    struct timespec zero = {0, 0};
    syscall(SYS_io_submit, shared_ctx, 2, list);
    syscall(SYS_io_getevents, shared_ctx, 0, 8, events, &zero);
    syscall(SYS_io_cancel, shared_ctx, &p, events);
  }
  munmap((void *)shared_ctx, 4096);
  struct iocb r = {.aio_fildes = fd, .aio_buf = (long)buffer, .aio_nbytes = 16}, *list[] = {&r};
  over = 1;
  syscall(SYS_io_submit, shared_ctx, 1, list);
  syscall(SYS_io_destroy, shared_ctx);
}

static int raced;

static void *attach_and_detach(void *unused) {
  while (!over) {
    char *p = shmat(raced, NULL, 0);
    if (p == (char *)-1) break;
    p[0]++;
    munmap(p + 4096, 4096);
    mremap(p, 4096, 8192, MREMAP_MAYMOVE);
    shmdt(p);
  }
  return unused;
}

ATTACK(attaching_while_it_is_removed) {
  for (double end = seconds() + 1; seconds() < end;) {
    over = 0;
    raced = shmget(IPC_PRIVATE, 3 * 4096, 0600);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, attach_and_detach, NULL);
    if (fork() == 0) _exit(0);
    usleep(1000);
    shmctl(raced, IPC_RMID, NULL);
    over = 1;
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    wait(NULL);
  }
}

ATTACK(sleepers_at_one_semaphore) {
  int id = semget(IPC_PRIVATE, 2, 0600);
  static struct sembuf many[500];
  for (int i = 0; i < 500; i++) many[i] = (struct sembuf){i & 1, i & 2 ? 1 : -1, SEM_UNDO};
  for (int i = 0; i < 100; i++) {
    if (fork()) continue;
    alarm(3);
    for (;;) semop(id, many, 1 + i * 5);
  }
  struct sembuf up = {0, 1, 0}, other = {1, 1, 0};
  for (double end = seconds() + 1; seconds() < end;) semop(id, &up, 1), semop(id, &other, 1);
  semctl(id, 0, IPC_RMID);
}

ATTACK(watches_and_events_until_it_fails) {
  char name[64];
  int fds[128], n = 0;
  mkdir("/tmp/hostile-watched", 0700);
  while (n < 128 && (fds[n] = inotify_init1(IN_NONBLOCK)) >= 0) n++;
  for (int i = 0; i < n; i++) inotify_add_watch(fds[i], "/tmp/hostile-watched", IN_ALL_EVENTS);
  for (double end = seconds() + 1; seconds() < end;) {
    static int i;
    snprintf(name, sizeof name, "/tmp/hostile-watched/%0100d", i++ % 50);
    close(open(name, O_RDWR | O_CREAT, 0600));
    unlink(name);
  }
  rmdir("/tmp/hostile-watched");
}
