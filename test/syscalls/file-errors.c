// Which error comes first when several are true, for calls on files and descriptors.
#include "test.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/mount.h>
#include <sys/xattr.h>

static int new_file(const char *name, int flags) { return EXPECT_OK(open(name, flags | O_CREAT, 0644)); }

TEST(positions_of_what_has_none) {
  int fds[2];
  char c;
  struct iovec iov = {&c, 1};
  EXPECT_OK(pipe(fds));
  // That a pipe has no positions comes before what this end is good for.
  EXPECT_ERRNO(pread(fds[1], &c, 1, 0), ESPIPE);
  EXPECT_ERRNO(pwrite(fds[0], &c, 1, 0), ESPIPE);
  EXPECT_ERRNO(preadv(fds[1], &iov, 1, 0), ESPIPE);
  EXPECT_ERRNO(pwritev(fds[0], &iov, 1, 0), ESPIPE);
  EXPECT_EQ(posix_fadvise(fds[1], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
  EXPECT_ERRNO(fallocate(fds[1], 0, 0, 1), ESPIPE);
  // The type of a pipe is not one of its permissions.
  EXPECT_OK(fchmod(fds[1], 0600));
  EXPECT_EQ(posix_fadvise(fds[1], 0, 0, POSIX_FADV_NORMAL), ESPIPE);
}

TEST(fallocate_looks_at_its_arguments_first) {
  int fd = new_file("file", O_RDONLY);
  EXPECT_ERRNO(fallocate(fd, 0, -1, 1), EINVAL);
  EXPECT_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
  EXPECT_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1), EOPNOTSUPP);
  EXPECT_ERRNO(fallocate(fd, 0, 0, 1), EBADF);
}

TEST(descriptors_that_only_name) {
  struct epoll_event event;
  make_file("file", "");
  int fd = EXPECT_OK(open("file", O_PATH));
  EXPECT_ERRNO(accept(fd, NULL, NULL), EBADF);
  EXPECT_ERRNO(timerfd_gettime(fd, &(struct itimerspec){}), EBADF);
  EXPECT_ERRNO(epoll_wait(fd, &event, 1, 0), EBADF);
  EXPECT_ERRNO(inotify_rm_watch(fd, 1), EBADF);
  EXPECT_ERRNO(setns(fd, 0), EBADF);
  EXPECT_ERRNO(sync_file_range(fd, 0, 0, 0), EBADF);
  EXPECT_ERRNO(sync_file_range(-1, -1, 0, 0), EBADF);
  EXPECT_ERRNO(copy_file_range(fd, NULL, fd, NULL, 1, 1), EBADF);
  char entries[64];
  EXPECT_ERRNO(syscall(SYS_getdents64, EXPECT_OK(open("file", O_WRONLY)), entries, sizeof entries), ENOTDIR);
}

TEST(copy_file_range_checks) {
  int from = new_file("from", O_RDWR), to = new_file("to", O_RDWR), fds[2];
  EXPECT_EQ(write(from, "0123456789", 10), 10);
  off_t first = 0, fifth = 5, last = LONG_MAX;
  EXPECT_OK(pipe(fds));
  EXPECT_ERRNO(copy_file_range(from, NULL, EXPECT_OK(open(".", O_RDONLY)), NULL, 1, 0), EISDIR);
  EXPECT_ERRNO(copy_file_range(fds[1], NULL, to, NULL, 1, 0), EINVAL);
  EXPECT_ERRNO(copy_file_range(from, NULL, EXPECT_OK(open("to", O_RDONLY)), NULL, 1, 0), EBADF);
  EXPECT_ERRNO(copy_file_range(from, &first, EXPECT_OK(open("to", O_WRONLY | O_APPEND)), NULL, 1, 0), EBADF);
  EXPECT_ERRNO(copy_file_range(from, &first, EXPECT_OK(memfd_create("other", 0)), NULL, 1, 0), EXDEV);
  EXPECT_ERRNO(copy_file_range(from, &first, to, &last, -1, 0), EOVERFLOW);
  EXPECT_ERRNO(copy_file_range(from, &first, to, &last, 10, 0), EFBIG);
  // Only what is there can overlap.
  EXPECT_ERRNO(copy_file_range(from, &first, from, &fifth, 6, 0), EINVAL);
  EXPECT_EQ(copy_file_range(from, &fifth, from, &first, 5, 0), 5);
  fifth = 10;
  EXPECT_EQ(copy_file_range(from, &fifth, from, &fifth, 6, 0), 0);
}

TEST(files_that_cannot_be_spliced) {
  int in[2], out[2], empty[2];
  sigset_t set;
  sigemptyset(&set);
  EXPECT_OK(pipe(in));
  EXPECT_OK(pipe(out));
  EXPECT_OK(pipe(empty));
  EXPECT_EQ(write(in[1], "12345678", 8), 8);
  int others[] = {EXPECT_OK(eventfd(1, 0)), EXPECT_OK(signalfd(-1, &set, 0)), EXPECT_OK(timerfd_create(CLOCK_MONOTONIC, 0)),
                  EXPECT_OK(inotify_init()), EXPECT_OK(epoll_create1(0)), EXPECT_OK(open(".", O_RDONLY))};
  for (unsigned i = 0; i < sizeof others / sizeof *others; i++) EXPECT_ERRNO(splice(others[i], NULL, out[1], NULL, 8, 0), EINVAL);
  for (unsigned i = 0; i < 3; i++) {
    // Nor is there a wait for data that nobody would take.
    EXPECT_ERRNO(splice(empty[0], NULL, others[i], NULL, 8, 0), EINVAL);
    EXPECT_ERRNO(splice(in[0], NULL, others[i], NULL, 8, 0), EINVAL);
  }
}

TEST(direct_access) {
  EXPECT_ERRNO(open(".", O_RDONLY | O_DIRECT), EINVAL);
  EXPECT_OK(mkfifo("fifo", 0600));
  EXPECT_ERRNO(open("fifo", O_RDWR | O_DIRECT), EINVAL);
  EXPECT_ERRNO(open("/dev/null", O_RDWR | O_DIRECT), EINVAL);
  EXPECT_ERRNO(fcntl(EXPECT_OK(open(".", O_RDONLY)), F_SETFL, O_DIRECT), EINVAL);
  EXPECT_OK(fcntl(EXPECT_OK(open("fifo", O_RDWR)), F_SETFL, O_DIRECT));
}

TEST(times_are_checked_after_the_path) {
  struct timespec wrong[2] = {{0, 1000000000}, {0, 0}};
  EXPECT_ERRNO(utimensat(AT_FDCWD, "nowhere", wrong, 0), ENOENT);
  make_file("file", "");
  EXPECT_ERRNO(utimensat(AT_FDCWD, "file", wrong, 0), EINVAL);
  struct timeval earlier[2] = {{0, 1000000}, {0, 0}};
  EXPECT_ERRNO(syscall(SYS_utimes, "nowhere", earlier), EINVAL);
}

TEST(link_of_the_file_of_another) {
  make_file("file", "");
  EXPECT_OK(chmod(".", 0755));
  EXPECT_EXIT(FORK(EXPECT_OK(setresuid(NOBODY, NOBODY, NOBODY)); EXPECT_ERRNO(link("file", "other"), EPERM);
                   EXPECT_ERRNO(link("file", "file"), EEXIST); EXPECT_ERRNO(truncate("file", LONG_MAX), EACCES);
                   EXPECT_ERRNO(setxattr("file", "odd", "", 0, 0), EACCES)),
              0);
  EXPECT_ERRNO(setxattr("file", "odd", "", 0, 0), EOPNOTSUPP);
}

TEST(lifetime_hints) {
  int fd = new_file("file", O_RDWR);
  uint64_t hint = RWH_WRITE_LIFE_LONG, seen = 99;
  EXPECT_OK(fcntl(fd, F_GET_RW_HINT, &seen));
  EXPECT_EQ(seen, RWH_WRITE_LIFE_NOT_SET);
  EXPECT_OK(fcntl(fd, F_SET_RW_HINT, &hint));
  EXPECT_OK(fcntl(EXPECT_OK(open("file", O_RDONLY)), F_GET_RW_HINT, &seen));
  EXPECT_EQ(seen, RWH_WRITE_LIFE_LONG);
  hint = 6;
  EXPECT_ERRNO(fcntl(fd, F_SET_RW_HINT, &hint), EINVAL);
  EXPECT_ERRNO(fcntl(fd, F_SET_RW_HINT, NULL), EFAULT);
  EXPECT_OK(fcntl(fd, F_NOTIFY, 0));
  EXPECT_ERRNO(fcntl(fd, F_NOTIFY, DN_CREATE), ENOTDIR);
}

TEST(long_mount_strings) {
  char *text = malloc(6000);
  memset(text, 'a', 5999);
  text[5999] = 0;
  EXPECT_ERRNO(mount(text, ".", "tmpfs", 0, NULL), EINVAL);
  EXPECT_ERRNO(mount("none", ".", text, 0, NULL), EINVAL);
}

TEST(writing_nothing_keeps_set_id_bits) {
  int fd = new_file("file", O_RDWR);
  struct stat st;
  EXPECT_OK(fchown(fd, NOBODY, NOBODY));
  EXPECT_OK(fchmod(fd, 06777));
  EXPECT_EXIT(FORK(EXPECT_OK(setresgid(NOBODY, NOBODY, NOBODY)); EXPECT_OK(setresuid(NOBODY, NOBODY, NOBODY));
                   EXPECT_EQ(pwrite(fd, "", 0, 0), 0); EXPECT_OK(fstat(fd, &st)); EXPECT_EQ(st.st_mode & 07777, 06777);
                   EXPECT_EQ(pwrite(fd, "x", 1, 0), 1); EXPECT_OK(fstat(fd, &st)); EXPECT_EQ(st.st_mode & 07777, 0777)),
              0);
}

TEST(small_edges) {
  int fds[2], event = EXPECT_OK(eventfd(0, 0));
  EXPECT_OK(pipe(fds));
  EXPECT_EQ(fcntl(fds[0], F_SETPIPE_SZ, 0), 4096);
  EXPECT_ERRNO(write(event, "0123456789abcdef", 16), EINVAL);
  struct flock lock = {.l_type = F_WRLCK, .l_pid = 1};
  EXPECT_ERRNO(fcntl(new_file("file", O_RDONLY), F_OFD_SETLK, &lock), EBADF);
}
