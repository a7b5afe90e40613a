// Signals about open files: O_ASYNC, F_SETSIG, F_SETOWN, F_NOTIFY.
#include "test.h"
#include <sys/ioctl.h>

static siginfo_t seen[64];
static volatile int count;
static void note(int sig, siginfo_t *info, void *context) {
  (void)sig, (void)context;
  if (count < 64) seen[count++] = *info;
}
static void watch(int sig) { set_info_handler(sig, note, SA_RESTART); }
static void set_async(int fd) { EXPECT_OK(fcntl(fd, F_SETFL, EXPECT_OK(fcntl(fd, F_GETFL)) | O_ASYNC)); }

TEST(a_pipe_signals_its_reader) {
  int p[2];
  EXPECT_OK(pipe(p));
  watch(SIGIO);
  EXPECT_EQ(write(p[1], "a", 1), 1);
  EXPECT_EQ(count, 0);
  EXPECT_OK(fcntl(p[0], F_SETOWN, getpid()));
  set_async(p[0]);
  EXPECT_EQ(write(p[1], "b", 1), 1);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(seen[0].si_signo, SIGIO);
  EXPECT_EQ(seen[0].si_code, SI_KERNEL);
  EXPECT_OK(fcntl(p[0], F_SETFL, 0));
  EXPECT_EQ(write(p[1], "c", 1), 1);
  EXPECT_EQ(count, 1);
}

TEST(f_setsig_tells_which_file_and_why) {
  int s[2];
  EXPECT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
  int fd = EXPECT_OK(fcntl(s[0], F_DUPFD, 50));
  int sig = SIGRTMIN + 2;
  watch(sig);
  EXPECT_OK(fcntl(fd, F_SETSIG, sig));
  EXPECT_EQ(fcntl(s[0], F_GETSIG), sig);
  EXPECT_OK(fcntl(fd, F_SETOWN, getpid()));
  set_async(fd);
  EXPECT_EQ(write(s[1], "a", 1), 1);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(seen[0].si_signo, sig);
  EXPECT_EQ(seen[0].si_fd, fd);
  EXPECT_EQ(seen[0].si_code, POLL_IN);
  EXPECT_EQ(seen[0].si_band, POLLIN | POLLRDNORM);
  int on = 0;
  EXPECT_OK(ioctl(fd, FIOASYNC, &on));
  EXPECT_EQ(write(s[1], "a", 1), 1);
  EXPECT_EQ(count, 1);
  on = 1;
  EXPECT_OK(ioctl(fd, FIOASYNC, &on));
  EXPECT_EQ(write(s[1], "a", 1), 1);
  EXPECT_EQ(count, 2);
}

TEST(owners_are_groups_and_threads_too) {
  int p[2];
  EXPECT_OK(pipe(p));
  watch(SIGUSR1);
  EXPECT_OK(fcntl(p[0], F_SETSIG, SIGUSR1));
  set_async(p[0]);
  EXPECT_OK(fcntl(p[0], F_SETOWN, -getpgrp()));
  EXPECT_EQ(write(p[1], "a", 1), 1);
  EXPECT_EQ(count, 1);
  struct f_owner_ex owner = {F_OWNER_TID, gettid()};
  EXPECT_OK(fcntl(p[0], F_SETOWN_EX, &owner));
  EXPECT_EQ(write(p[1], "a", 1), 1);
  EXPECT_EQ(count, 2);
  EXPECT_OK(fcntl(p[0], F_SETOWN, 0));
  EXPECT_EQ(write(p[1], "a", 1), 1);
  EXPECT_EQ(count, 2);
}

TEST(a_user_cannot_have_others_signalled) {
  if (getuid() != 0) SKIP("not root");
  int p[2];
  EXPECT_OK(pipe(p));
  watch(SIGIO);
  pid_t parent = getpid();
  IN_CHILD({
    become(NOBODY, NOBODY);
    EXPECT_OK(fcntl(p[0], F_SETOWN, parent));
    set_async(p[0]);
    EXPECT_EQ(write(p[1], "a", 1), 1);
  });
  EXPECT_EQ(count, 0);
}

static int watched;
static void watch_dir(const char *path, long mask) {
  watch(SIGRTMIN);
  watched = EXPECT_OK(open(path, O_RDONLY | O_DIRECTORY));
  EXPECT_OK(fcntl(watched, F_SETSIG, SIGRTMIN));
  EXPECT_OK(fcntl(watched, F_NOTIFY, mask));
  EXPECT_EQ(fcntl(watched, F_GETOWN), getpid());
}
TEST(a_directory_signals_once) {
  EXPECT_OK(mkdir("d", 0755));
  watch_dir("d", DN_CREATE);
  make_file("d/a", "");
  EXPECT_EQ(count, 1);
  EXPECT_EQ(seen[0].si_fd, watched);
  EXPECT_EQ(seen[0].si_code, POLL_MSG);
  make_file("d/b", "");
  EXPECT_EQ(count, 1);
}
TEST(a_directory_signals_as_often_as_asked) {
  EXPECT_OK(mkdir("d", 0755));
  make_file("d/a", "text");
  watch_dir("d", DN_MULTISHOT | DN_MODIFY | DN_DELETE);
  int fd = EXPECT_OK(open("d/a", O_RDWR));
  EXPECT_EQ(count, 0);
  EXPECT_EQ(write(fd, "x", 1), 1);
  EXPECT_EQ(count, 1);
  char c;
  EXPECT_EQ(read(fd, &c, 1), 1);
  EXPECT_EQ(count, 1);
  EXPECT_OK(unlink("d/a"));
  EXPECT_EQ(count, 2);
  EXPECT_OK(fcntl(watched, F_NOTIFY, DN_MULTISHOT | DN_ACCESS | DN_ATTRIB | DN_RENAME));
  make_file("d/b", "");
  EXPECT_EQ(count, 2);
  EXPECT_OK(chmod("d/b", 0600));
  EXPECT_EQ(count, 3);
  EXPECT_OK(rename("d/b", "d/c"));
  EXPECT_GE(count, 4);
  int before = count;
  EXPECT_OK(fcntl(watched, F_NOTIFY, 0));
  EXPECT_OK(unlink("d/c"));
  EXPECT_EQ(count, before);
  EXPECT_OK(fcntl(watched, F_NOTIFY, DN_MULTISHOT | DN_CREATE));
  EXPECT_OK(close(watched));
  make_file("d/e", "");
  EXPECT_EQ(count, before);
}
TEST(only_directories_notify) {
  make_file("f", "");
  int fd = EXPECT_OK(open("f", O_RDONLY));
  EXPECT_ERRNO(fcntl(fd, F_NOTIFY, DN_CREATE), ENOTDIR);
}
