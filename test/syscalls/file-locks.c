// Locks of files: flock(2), record locks of a process and of an open file.
#include "test.h"
#include <sys/file.h>

TEST(whole_file_locks) {
  int a = open_new("f"), b = EXPECT_OK(open("f", O_RDWR));
  EXPECT_OK(flock(a, LOCK_SH));
  EXPECT_OK(flock(b, LOCK_SH | LOCK_NB));
  EXPECT_ERRNO(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  EXPECT_OK(flock(a, LOCK_UN));
  EXPECT_OK(flock(b, LOCK_EX | LOCK_NB));
  EXPECT_ERRNO(flock(a, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  EXPECT_ERRNO(flock(a, 77), EINVAL);
  pid_t child = FORK({
    int own = EXPECT_OK(open("f", O_RDWR));
    EXPECT_OK(flock(own, LOCK_EX));
  });
  wait_asleep(child);
  EXPECT_OK(close(b));
  kill(child, 0);
  EXPECT_EQ(waitpid(child, NULL, WNOHANG), 0);  // the child inherited b, which still holds the lock
  kill(child, SIGKILL);
  EXPECT_KILLED(child, SIGKILL);
  EXPECT_OK(flock(a, LOCK_EX | LOCK_NB));
}

static int lock_range(int fd, int command, short type, off_t start, off_t length) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return fcntl(fd, command, &lock);
}

TEST(record_locks) {
  int fd = open_with("f", "0123456789");
  EXPECT_OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 5));
  IN_CHILD({
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 10};
    EXPECT_OK(fcntl(fd, F_GETLK, &lock));
    EXPECT_EQ(lock.l_type, F_WRLCK);
    EXPECT_EQ(lock.l_start, 0);
    EXPECT_EQ(lock.l_len, 5);
    EXPECT_EQ(lock.l_pid, getppid());
    EXPECT_ERRNO(lock_range(fd, F_SETLK, F_RDLCK, 4, 1), EAGAIN);
    EXPECT_OK(lock_range(fd, F_SETLK, F_WRLCK, 5, 0));
  });
  EXPECT_OK(lock_range(fd, F_SETLK, F_UNLCK, 2, 1));
  IN_CHILD({
    EXPECT_OK(lock_range(fd, F_SETLK, F_WRLCK, 2, 1));
    EXPECT_ERRNO(lock_range(fd, F_SETLK, F_WRLCK, 3, 1), EAGAIN);
  });
  close(EXPECT_OK(open("f", O_RDONLY)));  // any close by the process drops its record locks
  IN_CHILD(EXPECT_OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 0)));
  EXPECT_OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 1));
  close(EXPECT_OK(open("f", O_PATH)));  // which is no file that could hold locks
  IN_CHILD(EXPECT_ERRNO(lock_range(fd, F_SETLK, F_WRLCK, 0, 1), EAGAIN));
  EXPECT_ERRNO(lock_range(fd, F_SETLK, 9, 0, 0), EINVAL);
  EXPECT_ERRNO(lock_range(fd, F_SETLK, F_WRLCK, -1, 0), EINVAL);
}

TEST(record_locks_wait_and_find_deadlocks) {
  int fd = open_with("f", "0123456789"), ready[2];
  EXPECT_OK(pipe(ready));
  EXPECT_OK(lock_range(fd, F_SETLK, F_WRLCK, 0, 1));
  pid_t child = FORK({
    EXPECT_OK(lock_range(fd, F_SETLK, F_WRLCK, 1, 1));
    EXPECT_EQ(write(ready[1], "x", 1), 1);
    EXPECT_OK(lock_range(fd, F_SETLKW, F_WRLCK, 0, 1));
  });
  char c;
  EXPECT_EQ(read(ready[0], &c, 1), 1);
  wait_asleep(child);
  EXPECT_ERRNO(lock_range(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
  EXPECT_OK(lock_range(fd, F_SETLK, F_UNLCK, 0, 1));
  EXPECT_EXIT(child, 0);
}

TEST(open_file_locks) {
  int a = open_with("f", "0123"), b = EXPECT_OK(open("f", O_RDWR));
  EXPECT_OK(lock_range(a, F_OFD_SETLK, F_WRLCK, 0, 0));
  EXPECT_ERRNO(lock_range(b, F_OFD_SETLK, F_RDLCK, 0, 0), EAGAIN);
  EXPECT_ERRNO(lock_range(b, F_SETLK, F_RDLCK, 0, 0), EAGAIN);
  IN_CHILD(EXPECT_OK(lock_range(a, F_OFD_SETLK, F_WRLCK, 0, 1)));
  close(a);
  EXPECT_OK(lock_range(b, F_OFD_SETLK, F_WRLCK, 0, 0));
}

TEST(an_open_file_asks_for_its_own_locks) {
  int a = open_with("f", "0123"), b = EXPECT_OK(open("f", O_RDWR));
  EXPECT_OK(lock_range(a, F_OFD_SETLK, F_WRLCK, 2, 3));
  struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
  if (fcntl(a, F_OFD_GETLK, &lock) == -1 && errno == EINVAL) SKIP("before Linux 6.9");
  EXPECT_EQ(lock.l_type, F_WRLCK);
  EXPECT_EQ(lock.l_start, 2);
  EXPECT_EQ(lock.l_len, 3);
  EXPECT_EQ(lock.l_pid, -1);
  lock = (struct flock){.l_type = F_UNLCK, .l_whence = SEEK_SET};
  EXPECT_OK(fcntl(b, F_OFD_GETLK, &lock));
  EXPECT_EQ(lock.l_type, F_UNLCK);
  EXPECT_ERRNO(fcntl(a, F_GETLK, &lock), EINVAL);
}
