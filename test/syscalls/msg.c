// System V message queues: msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
#include "test.h"

#include <sys/ipc.h>
#include <sys/msg.h>

struct message {
  long type;
  char text[64];
};

static int new_queue(void) { return EXPECT_OK(msgget(IPC_PRIVATE, IPC_CREAT | 0600)); }
static key_t test_key(void) { return 0x50000000 | (getpid() << 4); }

static int send_text(int id, long type, const char *text, int flags) {
  struct message m = {.type = type};
  strcpy(m.text, text);
  return msgsnd(id, &m, strlen(text), flags);
}

#define EXPECT_MESSAGE(id, asked, flags, wanted_type, wanted)                   \
  do {                                                                          \
    struct message m_ = {0};                                                    \
    EXPECT_EQ(EXPECT_OK(msgrcv(id, &m_, 63, asked, flags)), strlen(wanted));    \
    EXPECT_EQ(m_.type, wanted_type);                                            \
    EXPECT_STR(m_.text, wanted);                                                \
  } while (0)

static struct msqid_ds stat_of(int id) {
  struct msqid_ds ds;
  EXPECT_OK(msgctl(id, IPC_STAT, &ds));
  return ds;
}

TEST(get) {
  key_t key = test_key();
  EXPECT_ERRNO(msgget(key, 0600), ENOENT);
  int id = EXPECT_OK(msgget(key, IPC_CREAT | 0640));
  EXPECT_EQ(EXPECT_OK(msgget(key, 0)), id);
  EXPECT_ERRNO(msgget(key, IPC_CREAT | IPC_EXCL), EEXIST);
  struct msqid_ds ds = stat_of(id);
  EXPECT_EQ(ds.msg_perm.mode, 0640);
  EXPECT_EQ(ds.msg_qnum, 0);
  EXPECT_EQ(ds.msg_qbytes, 16384);
  EXPECT_EQ(ds.msg_stime, 0);
  EXPECT_OK(msgctl(id, IPC_RMID, NULL));
  EXPECT_ERRNO(msgctl(id, IPC_STAT, &ds), EINVAL);
}

TEST(send_and_receive) {
  int id = new_queue();
  struct message m;
  EXPECT_OK(send_text(id, 1, "one", 0));
  EXPECT_OK(send_text(id, 2, "two", 0));
  EXPECT_OK(send_text(id, 3, "", 0));
  struct msqid_ds ds = stat_of(id);
  EXPECT_EQ(ds.msg_qnum, 3);
  EXPECT_EQ(ds.msg_cbytes, 6);
  EXPECT_EQ(ds.msg_lspid, getpid());
  EXPECT_LE(time(NULL) - ds.msg_stime, 5);
  EXPECT_MESSAGE(id, 0, 0, 1, "one");
  EXPECT_ERRNO(msgrcv(id, &m, 2, 0, 0), E2BIG);
  EXPECT_EQ(EXPECT_OK(msgrcv(id, &m, 2, 0, MSG_NOERROR)), 2);
  EXPECT_MEM(m.text, "tw", 2);
  EXPECT_MESSAGE(id, 0, 0, 3, "");
  ds = stat_of(id);
  EXPECT_EQ(ds.msg_lrpid, getpid());
  EXPECT_EQ(ds.msg_cbytes, 0);
  EXPECT_ERRNO(msgrcv(id, &m, 63, 0, IPC_NOWAIT), ENOMSG);
  EXPECT_OK(msgctl(id, IPC_RMID, NULL));
  EXPECT_ERRNO(send_text(id, 1, "x", 0), EINVAL);
}

TEST(choosing_by_type) {
  int id = new_queue();
  const long types[] = {5, 3, 9, 3, 7};
  const char *texts[] = {"a", "b", "c", "d", "e"};
  for (int i = 0; i < 5; i++) EXPECT_OK(send_text(id, types[i], texts[i], 0));
  EXPECT_MESSAGE(id, 9, 0, 9, "c");
  EXPECT_MESSAGE(id, -6, 0, 3, "b");
  EXPECT_MESSAGE(id, 5, MSG_EXCEPT, 3, "d");
  EXPECT_MESSAGE(id, -100, 0, 5, "a");
  struct message m;
  EXPECT_ERRNO(msgrcv(id, &m, 63, 8, IPC_NOWAIT), ENOMSG);
  EXPECT_ERRNO(msgrcv(id, &m, 63, -6, IPC_NOWAIT), ENOMSG);
  EXPECT_ERRNO(msgrcv(id, &m, 63, 7, IPC_NOWAIT | MSG_EXCEPT), ENOMSG);
  EXPECT_OK(send_text(id, 1L << 40, "far", 0));
  EXPECT_MESSAGE(id, 1L << 40, 0, 1L << 40, "far");
  EXPECT_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(copying) {
  int id = new_queue();
  struct message m;
  EXPECT_OK(send_text(id, 1, "one", 0));
  EXPECT_OK(send_text(id, 2, "two", 0));
  if (msgrcv(id, &m, 63, 0, MSG_COPY | IPC_NOWAIT) == -1 && errno == ENOSYS) SKIP("no MSG_COPY here");
  EXPECT_MESSAGE(id, 1, MSG_COPY | IPC_NOWAIT, 2, "two");
  EXPECT_MESSAGE(id, 0, MSG_COPY | IPC_NOWAIT, 1, "one");
  EXPECT_ERRNO(msgrcv(id, &m, 63, 2, MSG_COPY | IPC_NOWAIT), ENOMSG);
  EXPECT_ERRNO(msgrcv(id, &m, 63, 0, MSG_COPY), EINVAL);
  EXPECT_ERRNO(msgrcv(id, &m, 63, 0, MSG_COPY | IPC_NOWAIT | MSG_EXCEPT), EINVAL);
  EXPECT_EQ(stat_of(id).msg_qnum, 2);
  EXPECT_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(errors) {
  int id = new_queue();
  struct message m = {.type = 1};
  static char large[8200];
  *(long *)large = 1;
  EXPECT_ERRNO(msgsnd(id, large, 8193, 0), EINVAL);
  EXPECT_OK(msgsnd(id, large, 8192, 0));
  m.type = 0;
  EXPECT_ERRNO(msgsnd(id, &m, 1, 0), EINVAL);
  m.type = -1;
  EXPECT_ERRNO(msgsnd(id, &m, 1, 0), EINVAL);
  EXPECT_ERRNO(msgsnd(-1, large, 1, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_msgsnd, id, large, -1L, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_msgsnd, id, 8L, 1L, 0), EFAULT);
  EXPECT_ERRNO(syscall(SYS_msgrcv, id, &m, -1L, 0L, 0), EINVAL);
  EXPECT_ERRNO(msgrcv(-1, &m, 1, 0, 0), EINVAL);
  EXPECT_ERRNO(msgctl(id, 99, NULL), EINVAL);
  EXPECT_ERRNO(syscall(SYS_msgctl, id, IPC_STAT, 8L), EFAULT);
  IN_CHILD({
    become(NOBODY, NOBODY);
    m.type = 1;
    struct msqid_ds ds;
    EXPECT_ERRNO(msgsnd(id, &m, 1, 0), EACCES);
    EXPECT_ERRNO(msgrcv(id, &m, 1, 0, IPC_NOWAIT), EACCES);
    EXPECT_ERRNO(msgctl(id, IPC_STAT, &ds), EACCES);
    EXPECT_ERRNO(msgctl(id, IPC_RMID, NULL), EPERM);
  });
  EXPECT_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(waiting_receiver) {
  int id = new_queue();
  pid_t second = FORK({ EXPECT_MESSAGE(id, 2, 0, 2, "two"); });
  wait_asleep(second);
  pid_t small = FORK({
    struct message m;
    EXPECT_ERRNO(msgrcv(id, &m, 1, 3, 0), E2BIG);
  });
  wait_asleep(small);
  EXPECT_OK(send_text(id, 1, "one", 0));
  EXPECT_OK(send_text(id, 3, "three", 0));
  EXPECT_OK(send_text(id, 2, "two", 0));
  EXPECT_EXIT(second, 0);
  EXPECT_EXIT(small, 0);
  EXPECT_EQ(stat_of(id).msg_qnum, 2);
  EXPECT_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(full_queue) {
  int id = new_queue();
  static char large[8200];
  *(long *)large = 1;
  EXPECT_OK(msgsnd(id, large, 8192, 0));
  EXPECT_OK(msgsnd(id, large, 8192, 0));
  EXPECT_ERRNO(msgsnd(id, large, 1, IPC_NOWAIT), EAGAIN);
  pid_t child = FORK({ EXPECT_OK(send_text(id, 7, "late", 0)); });
  wait_asleep(child);
  EXPECT_EQ(msgrcv(id, large, 8192, 0, 0), 8192);
  EXPECT_EXIT(child, 0);
  EXPECT_MESSAGE(id, 7, 0, 7, "late");
  // A smaller limit.
  struct msqid_ds ds = stat_of(id);
  ds.msg_qbytes = 10;
  EXPECT_OK(msgctl(id, IPC_SET, &ds));
  EXPECT_EQ(msgrcv(id, large, 8192, 0, 0), 8192);
  EXPECT_ERRNO(send_text(id, 1, "01234567890", IPC_NOWAIT), EAGAIN);
  EXPECT_OK(send_text(id, 1, "0123456789", IPC_NOWAIT));
  IN_CHILD({
    become(NOBODY, NOBODY);
    ds.msg_qbytes = 5;
    EXPECT_ERRNO(msgctl(id, IPC_SET, &ds), EPERM);
  });
  EXPECT_OK(msgctl(id, IPC_RMID, NULL));
}

static void nothing(int sig) { (void)sig; }

TEST(removal_and_signals) {
  int id = new_queue();
  pid_t child = FORK({
    struct message m;
    EXPECT_ERRNO(msgrcv(id, &m, 1, 0, 0), EIDRM);
  });
  set_handler(SIGUSR1, nothing, SA_RESTART);
  pid_t interrupted = FORK({
    struct message m;
    EXPECT_ERRNO(msgrcv(id, &m, 1, 0, 0), EINTR);
  });
  wait_asleep(child);
  wait_asleep(interrupted);
  // A signal that comes before the call interrupts nothing, so there are more of them.
  int status;
  while (EXPECT_OK(waitpid(interrupted, &status, WNOHANG)) == 0) {
    EXPECT_OK(kill(interrupted, SIGUSR1));
    sleep_ms(5);
  }
  EXPECT_EQ(status, 0);
  EXPECT_OK(msgctl(id, IPC_RMID, NULL));
  EXPECT_EXIT(child, 0);
}

TEST(information) {
  int id = new_queue();
  struct msginfo info;
  struct msqid_ds ds;
  EXPECT_OK(send_text(id, 1, "text", 0));
  int max = EXPECT_OK(msgctl(0, IPC_INFO, (void *)&info));
  EXPECT_EQ(info.msgmax, 8192);
  EXPECT_EQ(info.msgmnb, 16384);
  EXPECT_EQ(EXPECT_OK(msgctl(0, MSG_INFO, (void *)&info)), max);
  EXPECT_GE(info.msgpool, 1);
  EXPECT_GE(info.msgmap, 1);
  EXPECT_GE(info.msgtql, 4);
  int found = 0;
  for (int i = 0; i <= max; i++)
    if (msgctl(i, MSG_STAT, &ds) == id) found++;
  EXPECT_EQ(found, 1);
  char text[65536], wanted[80];
  read_whole("/proc/sysvipc/msg", text, sizeof text);
  snprintf(wanted, sizeof wanted, "%10d %10d  %4o  %10d %10d %5d ", 0, id, 0600, 4, 1, getpid());
  EXPECT_TRUE(strstr(text, wanted) != NULL);
  EXPECT_OK(msgctl(id, IPC_RMID, NULL));
}
