// Pid namespaces: numbers, init, signals, and what tells of processes across them.
#include "test.h"
#include "namespace.h"

TEST(pid_namespace_numbers) {
  pid_t outer = CLONE(CLONE_NEWPID, {
    EXPECT_EQ(getpid(), 1);
    EXPECT_EQ(syscall(SYS_gettid), 1);
    EXPECT_EQ(getppid(), 0);
    EXPECT_EQ(getpgid(0), 0);
    EXPECT_EQ(getsid(0), 0);
    pid_t child = FORK({
      EXPECT_EQ(getpid(), 2);
      EXPECT_EQ(getppid(), 1);
      EXPECT_EQ(setsid(), 2);
      EXPECT_EQ(getpgrp(), 2);
    });
    EXPECT_EQ(child, 2);
    EXPECT_EXIT(child, 0);
    EXPECT_ERRNO(kill(2, 0), ESRCH);
    EXPECT_ERRNO(getpgid(12345), ESRCH);
  });
  EXPECT_GT(outer, 1);
  EXPECT_EXIT(outer, 0);
}

TEST(pid_namespace_nested) {
  EXPECT_EXIT(CLONE(CLONE_NEWPID, {
                pid_t a = CLONE(CLONE_NEWPID, {
                  EXPECT_EQ(getpid(), 1);
                  pid_t b = CLONE(CLONE_NEWPID, { EXPECT_EQ(getpid(), 1); });
                  EXPECT_EQ(b, 2);
                  EXPECT_EXIT(b, 0);
                });
                EXPECT_EQ(a, 2);
                EXPECT_EXIT(a, 0);
              }),
              0);
}

static void *forever(void *unused) {
  for (;;) pause();
  return unused;
}

TEST(pid_namespace_ends_with_its_init) {
  int pipe_fds[2];
  EXPECT_OK(pipe(pipe_fds));
  pid_t init = CLONE(CLONE_NEWPID, {
    close(pipe_fds[0]);
    for (int i = 0; i < 3; i++) {
      if (fork() == 0) {
        pthread_t thread;
        signal(SIGTERM, SIG_IGN);
        pthread_create(&thread, NULL, forever, NULL);
        forever(NULL);
      }
    }
    write(pipe_fds[1], "x", 1);
    pause();
  });
  close(pipe_fds[1]);
  char c;
  EXPECT_EQ(read(pipe_fds[0], &c, 1), 1);
  EXPECT_OK(kill(init, SIGKILL));
  EXPECT_KILLED(init, SIGKILL);
  // All that held the other end are gone.
  EXPECT_EQ(read(pipe_fds[0], &c, 1), 0);
}

TEST(init_gets_orphans) {
  EXPECT_EXIT(CLONE(CLONE_NEWPID, {
                int fds[2];
                EXPECT_OK(pipe(fds));
                pid_t middle = FORK({
                  if (fork() == 0) {
                    // Runs when its parent is gone.
                    while (getppid() != 1) sleep_ms(1);
                    write(fds[1], "o", 1);
                    _exit(7);
                  }
                });
                EXPECT_EXIT(middle, 0);
                char c;
                EXPECT_EQ(read(fds[0], &c, 1), 1);
                int status;
                EXPECT_EQ(wait(&status), 3);
                EXPECT_EQ(WEXITSTATUS(status), 7);
              }),
              0);
}

static volatile int caught;
static volatile pid_t sender = -1;
static void on_signal(int signo, siginfo_t *info, void *context) {
  (void)context;
  caught = signo;
  sender = info->si_pid;
}

TEST(init_is_protected_from_inside) {
  int fds[2];
  EXPECT_OK(pipe(fds));
  pid_t init = CLONE(CLONE_NEWPID, {
    IN_CHILD({
      EXPECT_OK(kill(1, SIGTERM));
      EXPECT_OK(kill(1, SIGKILL));
      EXPECT_OK(kill(1, SIGSTOP));
    });
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    EXPECT_OK(sigaction(SIGUSR1, &action, NULL));
    pid_t child = FORK(EXPECT_OK(kill(1, SIGUSR1)));
    while (caught != SIGUSR1) sleep_ms(1);
    EXPECT_EQ(sender, child);
    EXPECT_EXIT(child, 0);
    caught = 0;
    write(fds[1], "r", 1);
    // From outside, with no number here.
    while (caught != SIGUSR1) sleep_ms(1);
    EXPECT_EQ(sender, 0);
    write(fds[1], "r", 1);
    pause();
  });
  char c;
  EXPECT_EQ(read(fds[0], &c, 1), 1);
  EXPECT_OK(kill(init, SIGUSR1));
  EXPECT_EQ(read(fds[0], &c, 1), 1);
  EXPECT_OK(kill(init, SIGTERM));
  sleep_ms(10);
  EXPECT_EQ(waitpid(init, NULL, WNOHANG), 0);
  EXPECT_OK(kill(init, SIGKILL));
  EXPECT_KILLED(init, SIGKILL);
}

TEST(kill_all_stays_inside) {
  pid_t other = FORK(pause());
  EXPECT_EXIT(CLONE(CLONE_NEWPID, {
                pid_t a = FORK(pause());
                pid_t b = FORK(pause());
                EXPECT_OK(kill(-1, SIGKILL));
                EXPECT_KILLED(a, SIGKILL);
                EXPECT_KILLED(b, SIGKILL);
                EXPECT_ERRNO(kill(-1, SIGKILL), ESRCH);
              }),
              0);
  EXPECT_EQ(waitpid(other, NULL, WNOHANG), 0);
  EXPECT_OK(kill(other, SIGKILL));
  EXPECT_KILLED(other, SIGKILL);
}

TEST(unshare_pid_is_for_children) {
  IN_CHILD({
    pid_t self = getpid();
    EXPECT_OK(unshare(CLONE_NEWPID));
    EXPECT_EQ(getpid(), self);
    EXPECT_ERRNO(unshare(CLONE_NEWPID), EINVAL);
    EXPECT_ERRNO(raw_clone(CLONE_NEWPID), EINVAL);
    EXPECT_ERRNO(syscall(SYS_clone, CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, 0, 0, 0, 0), EINVAL);
    char link[64];
    EXPECT_ERRNO(readlink("/proc/self/ns/pid_for_children", link, sizeof link), ENOENT);
    pid_t init = FORK({
      EXPECT_EQ(getpid(), 1);
      pause();
    });
    EXPECT_NE(ns_ino("/proc/self/ns/pid_for_children"), ns_ino("/proc/self/ns/pid"));
    pid_t second = FORK(EXPECT_EQ(getpid(), 2));
    EXPECT_EXIT(second, 0);
    EXPECT_OK(kill(init, SIGKILL));
    EXPECT_KILLED(init, SIGKILL);
    EXPECT_ERRNO(fork(), ENOMEM);
  });
}

TEST(clone3_set_tid_in_levels) {
  EXPECT_EXIT(CLONE(CLONE_NEWPID, {
                pid_t tids[2] = {1, 77};
                struct clone_args args = {
                    .flags = CLONE_NEWPID, .exit_signal = SIGCHLD, .set_tid = (uint64_t)tids, .set_tid_size = 2};
                pid_t child = EXPECT_OK(syscall(SYS_clone3, &args, sizeof args));
                if (child == 0) _exit(getpid() == 1 ? 0 : 1);
                EXPECT_EQ(child, 77);
                EXPECT_EXIT(child, 0);
                tids[0] = 5;
                EXPECT_ERRNO(syscall(SYS_clone3, &args, sizeof args), EINVAL);
                args.flags = 0;
                args.set_tid_size = 1;
                tids[0] = 1;
                EXPECT_ERRNO(syscall(SYS_clone3, &args, sizeof args), EEXIST);
              }),
              0);
}

TEST(proc_shows_the_namespace_of_its_mounter) {
  EXPECT_EXIT(CLONE(CLONE_NEWPID | CLONE_NEWNS, {
                EXPECT_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
                EXPECT_OK(mkdir("p", 0755));
                EXPECT_OK(mount("proc", "p", "proc", 0, NULL));
                char link[64] = {0};
                EXPECT_OK(readlink("p/self", link, sizeof link - 1));
                EXPECT_STR(link, "1");
                memset(link, 0, sizeof link);
                EXPECT_OK(readlink("p/thread-self", link, sizeof link - 1));
                EXPECT_STR(link, "1/task/1");
                pid_t child = FORK(pause());
                EXPECT_EQ(child, 2);
                EXPECT_OK(access("p/2/stat", F_OK));
                EXPECT_ERRNO(access("p/3", F_OK), ENOENT);
                char text[4096];
                read_whole("p/2/stat", text, sizeof text);
                int pid;
                int ppid;
                EXPECT_EQ(sscanf(text, "%d (%*[^)]) %*c %d", &pid, &ppid), 2);
                EXPECT_EQ(pid, 2);
                EXPECT_EQ(ppid, 1);
                read_whole("p/2/status", text, sizeof text);
                EXPECT_TRUE(strstr(text, "\nNSpid:\t2\n") != NULL);
                // The old mount still shows the outer one, where there are at least two numbers.
                read_whole("/proc/self/status", text, sizeof text);
                char *line = strstr(text, "\nNSpid:\t");
                EXPECT_TRUE(line != NULL);
                int first;
                int last;
                EXPECT_EQ(sscanf(line, "\nNSpid:\t%d\t%d", &first, &last), 2);
                EXPECT_GT(first, 1);
                EXPECT_EQ(last, 1);
                EXPECT_OK(kill(child, SIGKILL));
                EXPECT_KILLED(child, SIGKILL);
              }),
              0);
}

TEST(credentials_over_sockets_are_translated) {
  int fds[2];
  EXPECT_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
  int on = 1;
  EXPECT_OK(setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  pid_t init = CLONE(CLONE_NEWPID, {
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    pause();
  });
  char byte;
  char control[64];
  struct iovec iov = {&byte, 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  EXPECT_EQ(recvmsg(fds[0], &message, 0), 1);
  struct ucred *who = (struct ucred *)CMSG_DATA(CMSG_FIRSTHDR(&message));
  EXPECT_EQ(who->pid, init);
  EXPECT_OK(kill(init, SIGKILL));
  EXPECT_KILLED(init, SIGKILL);
  // The other way round the sender cannot be named.
  pid_t self = getpid();
  EXPECT_EXIT(CLONE(CLONE_NEWPID, {
                char data;
                char space[64];
                struct iovec to = {&data, 1};
                struct msghdr received = {
                    .msg_iov = &to, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
                EXPECT_EQ(write(fds[1], "y", 1), 1);
                EXPECT_EQ(recvmsg(fds[0], &received, 0), 1);
                EXPECT_EQ(((struct ucred *)CMSG_DATA(CMSG_FIRSTHDR(&received)))->pid, 1);
                struct ucred peer;
                socklen_t size = sizeof peer;
                EXPECT_OK(getsockopt(fds[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
                EXPECT_EQ(peer.pid, 0);
              }),
              0);
  struct ucred peer;
  socklen_t size = sizeof peer;
  EXPECT_OK(getsockopt(fds[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
  EXPECT_EQ(peer.pid, self);
}

TEST(locks_and_owners_are_translated) {
  int fd = EXPECT_OK(open("f", O_RDWR | O_CREAT, 0644));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
  EXPECT_OK(fcntl(fd, F_SETLK, &lock));
  EXPECT_OK(fcntl(fd, F_SETOWN, getpid()));
  EXPECT_EXIT(CLONE(CLONE_NEWPID, {
                struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
                EXPECT_OK(fcntl(fd, F_GETLK, &asked));
                EXPECT_EQ(asked.l_type, F_WRLCK);
                EXPECT_EQ(asked.l_pid, 0);
                EXPECT_EQ(fcntl(fd, F_GETOWN), 0);
                EXPECT_OK(fcntl(fd, F_SETOWN, 1));
              }),
              0);
}

TEST(wait_and_pidfd_across_namespaces) {
  int pidfd = -1;
  struct clone_args args = {
      .flags = CLONE_NEWPID | CLONE_PIDFD, .exit_signal = SIGCHLD, .pidfd = (uint64_t)&pidfd};
  pid_t child = EXPECT_OK(syscall(SYS_clone3, &args, sizeof args));
  if (child == 0) {
    pause();
    _exit(0);
  }
  char path[64];
  char text[512];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
  read_whole(path, text, sizeof text);
  char *line = strstr(text, "NSpid:\t");
  EXPECT_TRUE(line != NULL);
  int outer;
  int inner;
  EXPECT_EQ(sscanf(line, "NSpid:\t%d\t%d", &outer, &inner), 2);
  EXPECT_EQ(outer, child);
  EXPECT_EQ(inner, 1);
  EXPECT_OK(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0));
  siginfo_t info;
  EXPECT_OK(waitid(P_PID, child, &info, WEXITED));
  EXPECT_EQ(info.si_pid, child);
  EXPECT_EQ(info.si_status, SIGKILL);
}
