// Pseudo-terminals: pairs, the line discipline, job control, window size, hang-up.
#include "test.h"
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;
static char slave_name[64];
static void open_terminal(void) {
  master = EXPECT_OK(posix_openpt(O_RDWR | O_NOCTTY));
  EXPECT_OK(grantpt(master));
  EXPECT_OK(unlockpt(master));
  EXPECT_EQ(ptsname_r(master, slave_name, sizeof slave_name), 0);
  slave = EXPECT_OK(open(slave_name, O_RDWR | O_NOCTTY));
}
static void set_modes(tcflag_t clear_local, tcflag_t clear_in, tcflag_t clear_out) {
  struct termios t;
  EXPECT_OK(tcgetattr(slave, &t));
  t.c_lflag &= ~clear_local, t.c_iflag &= ~clear_in, t.c_oflag &= ~clear_out;
  EXPECT_OK(tcsetattr(slave, TCSANOW, &t));
}
static void type(const char *text) { EXPECT_EQ(write(master, text, strlen(text)), strlen(text)); }
static const char *from(int fd, int want) {
  static char text[4096];
  int n = 0;
  while (n < want) n += EXPECT_OK(read(fd, text + n, sizeof text - 1 - n));
  text[n] = 0;
  return text;
}
static int readable(int fd) {
  struct pollfd p = {fd, POLLIN, 0};
  return EXPECT_OK(poll(&p, 1, 20)) == 1;
}

TEST(a_pair_has_a_name) {
  open_terminal();
  EXPECT_EQ(strncmp(slave_name, "/dev/pts/", 9), 0);
  EXPECT_TRUE(isatty(master) && isatty(slave));
  struct stat st;
  EXPECT_OK(fstat(slave, &st));
  EXPECT_TRUE(S_ISCHR(st.st_mode));
  EXPECT_ERRNO(ioctl(0x7fff, TCGETS, &st), EBADF);
  int fds[2];
  EXPECT_OK(pipe(fds));
  EXPECT_ERRNO(ioctl(fds[0], TCGETS, &st), ENOTTY);
}

TEST(locked_until_unlocked) {
  master = EXPECT_OK(posix_openpt(O_RDWR | O_NOCTTY));
  EXPECT_EQ(ptsname_r(master, slave_name, sizeof slave_name), 0);
  EXPECT_ERRNO(open(slave_name, O_RDWR | O_NOCTTY), EIO);
  EXPECT_OK(unlockpt(master));
  slave = EXPECT_OK(open(slave_name, O_RDWR | O_NOCTTY));
}

TEST(locked_settings_stay) {
  open_terminal();
  struct termios lock, t;
  memset(&lock, 0xff, sizeof lock);
  EXPECT_OK(ioctl(slave, TIOCGLCKTRMIOS, &lock));
  EXPECT_EQ(lock.c_lflag, 0);
  lock.c_lflag = ECHO;
  lock.c_cc[VINTR] = 1;
  if (ioctl(slave, TIOCSLCKTRMIOS, &lock) == -1 && errno == EPERM) SKIP("not privileged");
  EXPECT_OK(tcgetattr(slave, &t));
  t.c_lflag &= ~(ECHO | ICANON);
  t.c_cc[VINTR] = 7;
  t.c_cc[VQUIT] = 7;
  EXPECT_OK(tcsetattr(slave, TCSANOW, &t));
  EXPECT_OK(tcgetattr(slave, &t));
  EXPECT_EQ(t.c_lflag & (ECHO | ICANON), ECHO);
  EXPECT_EQ(t.c_cc[VINTR], 3);
  EXPECT_EQ(t.c_cc[VQUIT], 7);
  EXPECT_OK(ioctl(slave, TIOCGLCKTRMIOS, &lock));
  EXPECT_EQ(lock.c_lflag, ECHO);
}

TEST(lines_and_echo) {
  open_terminal();
  type("ab");
  EXPECT_TRUE(!readable(slave));
  type("c\n");
  EXPECT_STR(from(slave, 4), "abc\n");
  EXPECT_STR(from(master, 5), "abc\r\n");
  EXPECT_EQ(write(slave, "x\ny", 3), 3);
  EXPECT_STR(from(master, 4), "x\r\ny");
  type("\r");
  EXPECT_STR(from(slave, 1), "\n");
}

TEST(line_editing) {
  open_terminal();
  set_modes(ECHO, 0, 0);
  type("abx\177c\n");
  EXPECT_STR(from(slave, 4), "abc\n");
  type("junk\025good\n");
  EXPECT_STR(from(slave, 5), "good\n");
  type("one two\027six\n");
  EXPECT_STR(from(slave, 8), "one six\n");
  type("lit\026\003\n");
  EXPECT_STR(from(slave, 5), "lit\003\n");
  type("partial\004");
  EXPECT_STR(from(slave, 7), "partial");
  type("\004");
  char c;
  EXPECT_EQ(read(slave, &c, 1), 0);
}

TEST(one_line_per_read) {
  open_terminal();
  char text[16] = {0};
  set_modes(ECHO, 0, 0);
  type("first\nsecond\n");
  EXPECT_EQ(read(slave, text, 3), 3);
  EXPECT_EQ(read(slave, text, 16), 3);
  EXPECT_EQ(read(slave, text, 16), 7);
  EXPECT_MEM(text, "second\n", 7);
}

TEST(raw_mode_and_minimum_counts) {
  open_terminal();
  struct termios t;
  EXPECT_OK(tcgetattr(slave, &t));
  cfmakeraw(&t);
  EXPECT_OK(tcsetattr(slave, TCSANOW, &t));
  type("a\r\003");
  EXPECT_STR(from(slave, 3), "a\r\003");
  EXPECT_TRUE(!readable(master));
  t.c_cc[VMIN] = 0, t.c_cc[VTIME] = 1;
  EXPECT_OK(tcsetattr(slave, TCSANOW, &t));
  char buffer[8];
  int64_t start = now_ms();
  EXPECT_EQ(read(slave, buffer, 8), 0);
  EXPECT_GE(now_ms() - start, 80);
  t.c_cc[VMIN] = 3, t.c_cc[VTIME] = 0;
  EXPECT_OK(tcsetattr(slave, TCSANOW, &t));
  pid_t child = FORK({
    type("1");
    sleep_ms(20);
    type("23");
  });
  EXPECT_EQ(read(slave, buffer, 8), 3);
  EXPECT_EXIT(child, 0);
}

TEST(flushing_and_counts) {
  open_terminal();
  int n;
  set_modes(ECHO, 0, 0);
  type("lost\n");
  EXPECT_TRUE(readable(slave));
  EXPECT_OK(ioctl(slave, FIONREAD, &n));
  EXPECT_EQ(n, 5);
  EXPECT_OK(tcflush(slave, TCIFLUSH));
  EXPECT_TRUE(!readable(slave));
  EXPECT_ERRNO(tcflush(slave, 99), EINVAL);
}

/** Waits until the other side has it: the kernel carries it over in its own time. */
static void await_count(int fd, int want) {
  int n;
  do {
    sleep_ms(1);
    EXPECT_OK(ioctl(fd, FIONREAD, &n));
  } while (n != want);
}

TEST(a_flush_takes_back_nothing_that_has_arrived) {
  open_terminal();
  set_modes(ECHO, 0, 0);
  EXPECT_EQ(write(slave, "shown", 5), 5);
  await_count(master, 5);
  EXPECT_OK(tcflush(slave, TCOFLUSH));
  type("\003");
  EXPECT_STR(from(master, 5), "shown");
  type("typed\n");
  await_count(slave, 6);
  EXPECT_OK(tcflush(master, TCOFLUSH));
  EXPECT_STR(from(slave, 6), "typed\n");
  EXPECT_EQ(write(slave, "gone", 4), 4);
  await_count(master, 4);
  EXPECT_OK(tcflush(master, TCIFLUSH));
  EXPECT_TRUE(!readable(master));
}

static volatile sig_atomic_t got_signal;
static void on_signal(int sig) { got_signal = sig; }

TEST(window_size) {
  open_terminal();
  struct winsize size = {33, 77, 0, 0}, back;
  EXPECT_OK(ioctl(master, TIOCSWINSZ, &size));
  EXPECT_OK(ioctl(slave, TIOCGWINSZ, &back));
  EXPECT_TRUE(back.ws_row == 33 && back.ws_col == 77);
}

/** Runs in a child: a session of its own with the slave as its terminal. */
static void take_terminal(void) {
  EXPECT_OK(setsid());
  EXPECT_OK(ioctl(slave, TIOCSCTTY, 0));
}

TEST(controlling_terminal) {
  open_terminal();
  IN_CHILD({
    EXPECT_OK(setsid());
    EXPECT_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    EXPECT_ERRNO(tcgetpgrp(slave), ENOTTY);
    EXPECT_OK(open(slave_name, O_RDWR));
    int tty = EXPECT_OK(open("/dev/tty", O_RDWR));
    EXPECT_EQ(tcgetpgrp(tty), getpid());
    EXPECT_EQ(tcgetsid(tty), getsid(0));
    EXPECT_OK(open("/dev/tty", O_RDONLY));
  });
}

static void expect_key_signal(const char *key, int sig) {
  open_terminal();
  int ready[2];
  EXPECT_OK(pipe(ready));
  pid_t child = FORK({
    take_terminal();
    set_handler(sig, on_signal, 0);
    sigset_t blocked;
    sigset_t none;
    sigemptyset(&none), sigemptyset(&blocked), sigaddset(&blocked, sig);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    EXPECT_EQ(write(ready[1], "r", 1), 1);
    sigsuspend(&none);
    EXPECT_EQ(got_signal, sig);
  });
  from(ready[0], 1);
  type(key);
  EXPECT_EXIT(child, 0);
}
TEST(interrupt_key) { expect_key_signal("\003", SIGINT); }
TEST(quit_key) { expect_key_signal("\034", SIGQUIT); }
TEST(suspend_key) { expect_key_signal("\032", SIGTSTP); }

TEST(resize_sends_a_signal) {
  open_terminal();
  int ready[2];
  EXPECT_OK(pipe(ready));
  pid_t child = FORK({
    take_terminal();
    set_handler(SIGWINCH, on_signal, 0);
    EXPECT_EQ(write(ready[1], "r", 1), 1);
    while (!got_signal) sleep_ms(1);
  });
  from(ready[0], 1);
  struct winsize size = {20, 30, 0, 0};
  EXPECT_OK(ioctl(master, TIOCSWINSZ, &size));
  EXPECT_EXIT(child, 0);
}

TEST(background_reader_is_stopped) {
  open_terminal();
  IN_CHILD({
    take_terminal();
    int status;
    EXPECT_ERRNO(tcsetpgrp(slave, 4000000), ESRCH);
    pid_t job = FORK({
      setpgid(0, 0);
      char c;
      EXPECT_EQ(read(slave, &c, 1), 1);
    });
    setpgid(job, job);
    EXPECT_OK(waitpid(job, &status, WUNTRACED));
    EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
    EXPECT_OK(tcsetpgrp(slave, job));
    EXPECT_EQ(tcgetpgrp(slave), job);
    type("k\n");
    kill(-job, SIGCONT);
    EXPECT_EXIT(job, 0);
  });
}

TEST(background_writer_is_stopped_if_told_so) {
  open_terminal();
  IN_CHILD({
    take_terminal();
    int status;
    struct termios t;
    EXPECT_OK(tcgetattr(slave, &t));
    t.c_lflag |= TOSTOP;
    EXPECT_OK(tcsetattr(slave, TCSANOW, &t));
    pid_t job = FORK({
      setpgid(0, 0);
      write(slave, "x", 1);
    });
    EXPECT_OK(waitpid(job, &status, WUNTRACED));
    EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
    kill(job, SIGKILL);
    pid_t ignores = FORK({
      setpgid(0, 0);
      signal(SIGTTOU, SIG_IGN);
      EXPECT_EQ(write(slave, "x", 1), 1);
    });
    EXPECT_EXIT(ignores, 0);
  });
}

TEST(orphaned_group_gets_an_error_instead) {
  open_terminal();
  int result[2];
  EXPECT_OK(pipe(result));
  pid_t leader = FORK({
    take_terminal();
    FORK({
      setpgid(0, 0);
      signal(SIGHUP, SIG_IGN);
      pid_t parent = getpid();
      FORK({
        signal(SIGHUP, SIG_IGN);
        WAIT_UNTIL(getppid() != parent);
        char c;
        int error = read(slave, &c, 1) == -1 ? errno : 0;
        EXPECT_EQ(write(result[1], &error, sizeof error), sizeof error);
      });
    });
    pause();
  });
  int error;
  EXPECT_EQ(read(result[0], &error, sizeof error), sizeof error);
  EXPECT_EQ(error, EIO);
  EXPECT_OK(kill(leader, SIGKILL));
  EXPECT_KILLED(leader, SIGKILL);
}

TEST(closing_the_master_hangs_up) {
  open_terminal();
  int ready[2];
  EXPECT_OK(pipe(ready));
  pid_t child = FORK({
    close(master);
    take_terminal();
    set_handler(SIGHUP, on_signal, 0);
    EXPECT_EQ(write(ready[1], "r", 1), 1);
    while (!got_signal) sleep_ms(1);
    char c;
    EXPECT_EQ(read(slave, &c, 1), 0);
    EXPECT_ERRNO(write(slave, "x", 1), EIO);
  });
  from(ready[0], 1);
  close(master);
  EXPECT_EXIT(child, 0);
}

TEST(closing_the_master_kills_a_leader_that_does_not_care) {
  open_terminal();
  int ready[2];
  EXPECT_OK(pipe(ready));
  pid_t leader = FORK({
    close(master);
    take_terminal();
    EXPECT_EQ(write(ready[1], "r", 1), 1);
    for (;;) pause();
  });
  from(ready[0], 1);
  close(master);
  EXPECT_KILLED(leader, SIGHUP);
  EXPECT_ERRNO(write(slave, "x", 1), EIO);
}

TEST(closing_the_slave_ends_the_master) {
  open_terminal();
  EXPECT_EQ(write(slave, "bye", 3), 3);
  close(slave);
  EXPECT_STR(from(master, 3), "bye");
  char c;
  EXPECT_ERRNO(read(master, &c, 1), EIO);
  struct pollfd p = {master, POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_TRUE(p.revents & POLLHUP);
}

TEST(session_leader_exit_hangs_up_the_foreground) {
  open_terminal();
  int result[2], ready[2];
  EXPECT_OK(pipe(result));
  EXPECT_OK(pipe(ready));
  pid_t leader = FORK({
    take_terminal();
    FORK({
      set_handler(SIGHUP, on_signal, 0);
      EXPECT_EQ(write(ready[1], "r", 1), 1);
      WAIT_UNTIL(got_signal);
      EXPECT_EQ(write(result[1], "h", 1), 1);
    });
    from(ready[0], 1);
  });
  EXPECT_EXIT(leader, 0);
  EXPECT_STR(from(result[0], 1), "h");
}
