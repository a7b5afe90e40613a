// Namespaces: pid, user, UTS and the others; clone, unshare, setns, and their files.
#include "test.h"

#include <linux/capability.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sys/fsuid.h>
#include <grp.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/utsname.h>

static pid_t raw_clone(unsigned long flags) { return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0); }

/** Runs a block in a child that clone makes with namespace flags. */
#define CLONE(flags, ...)                        \
  ({                                             \
    pid_t child_ = EXPECT_OK(raw_clone(flags));  \
    if (child_ == 0) {                           \
      __VA_ARGS__;                               \
      _exit(0);                                  \
    }                                            \
    child_;                                      \
  })

static ino_t ns_ino(const char *path) {
  struct stat st;
  EXPECT_OK(stat(path, &st));
  return st.st_ino;
}

static int write_text(const char *path, const char *text) {
  int fd = EXPECT_OK(open(path, O_WRONLY));
  int n = write(fd, text, strlen(text));
  int error = errno;
  close(fd);
  errno = error;
  return n;
}

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

TEST(uts_namespace) {
  struct utsname before;
  EXPECT_OK(uname(&before));
  EXPECT_EXIT(CLONE(CLONE_NEWUTS, {
                struct utsname name;
                EXPECT_OK(uname(&name));
                EXPECT_STR(name.nodename, before.nodename);
                EXPECT_OK(sethostname("elsewhere", 9));
                EXPECT_OK(setdomainname("dom", 3));
                EXPECT_OK(uname(&name));
                EXPECT_STR(name.nodename, "elsewhere");
                EXPECT_STR(name.domainname, "dom");
                expect_content("/proc/sys/kernel/hostname", "elsewhere\n");
              }),
              0);
  struct utsname after;
  EXPECT_OK(uname(&after));
  EXPECT_STR(after.nodename, before.nodename);
}

TEST(every_kind_can_be_made) {
  const struct {
    int flag;
    const char *name;
  } kinds[] = {{CLONE_NEWNS, "mnt"},   {CLONE_NEWUTS, "uts"}, {CLONE_NEWIPC, "ipc"},       {CLONE_NEWNET, "net"},
               {CLONE_NEWUSER, "user"}, {CLONE_NEWPID, "pid"}, {CLONE_NEWCGROUP, "cgroup"}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i].name);
    ino_t mine = ns_ino(path);
    EXPECT_EXIT(CLONE(kinds[i].flag, {
                  // /proc/self is not there in another pid namespace.
                  if (kinds[i].flag != CLONE_NEWPID) EXPECT_NE(ns_ino(path), mine);
                }),
                0);
    EXPECT_EQ(ns_ino(path), mine);
  }
  EXPECT_OK(unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP));
}

TEST(flags_that_do_not_go_together) {
  EXPECT_ERRNO(raw_clone(CLONE_NEWNS | CLONE_FS), EINVAL);
  EXPECT_ERRNO(raw_clone(CLONE_NEWUSER | CLONE_FS), EINVAL);
  EXPECT_ERRNO(raw_clone(CLONE_NEWIPC | CLONE_SYSVSEM), EINVAL);
  EXPECT_ERRNO(raw_clone(CLONE_NEWPID | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM), EINVAL);
  EXPECT_ERRNO(syscall(SYS_unshare, 0x1000), EINVAL);
  EXPECT_EXIT(CLONE(CLONE_NEWPID, EXPECT_ERRNO(raw_clone(CLONE_PARENT), EINVAL)), 0);
}

TEST(without_privilege) {
  EXPECT_OK(setresgid(NOBODY, NOBODY, NOBODY));
  EXPECT_OK(setresuid(NOBODY, NOBODY, NOBODY));
  EXPECT_ERRNO(unshare(CLONE_NEWNS), EPERM);
  EXPECT_ERRNO(unshare(CLONE_NEWUTS), EPERM);
  EXPECT_ERRNO(raw_clone(CLONE_NEWPID), EPERM);
  EXPECT_ERRNO(raw_clone(CLONE_NEWNET), EPERM);
  EXPECT_ERRNO(sethostname("x", 1), EPERM);
  int fd = EXPECT_OK(open("/proc/self/ns/uts", O_RDONLY));
  EXPECT_ERRNO(setns(fd, 0), EPERM);
}

TEST(user_namespace_of_nobody) {
  EXPECT_OK(setgroups(0, NULL));
  EXPECT_OK(setresgid(NOBODY - 1, NOBODY - 1, NOBODY - 1));
  EXPECT_OK(setresuid(NOBODY - 1, NOBODY - 1, NOBODY - 1));
  EXPECT_OK(prctl(PR_SET_DUMPABLE, 1));
  EXPECT_OK(unshare(CLONE_NEWUSER));
  EXPECT_EQ(getuid(), 65534);
  EXPECT_EQ(getgid(), 65534);
  expect_content("/proc/self/uid_map", "");
  expect_content("/proc/self/setgroups", "allow\n");
  EXPECT_ERRNO(setuid(0), EINVAL);
  EXPECT_ERRNO(setgroups(0, NULL), EPERM);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct caps[2];
  EXPECT_OK(syscall(SYS_capget, &header, caps));
  EXPECT_EQ(caps[0].effective, 0xffffffff);
  // A gid map needs setgroups to be given up, by somebody without CAP_SETGID outside.
  EXPECT_ERRNO(write_text("/proc/self/gid_map", "0 65533 1\n"), EPERM);
  EXPECT_EQ(write_text("/proc/self/setgroups", "deny"), 4);
  EXPECT_ERRNO(write_text("/proc/self/setgroups", "allow"), EPERM);
  EXPECT_ERRNO(write_text("/proc/self/setgroups", "perhaps"), EINVAL);
  EXPECT_EQ(write_text("/proc/self/gid_map", "0 65533 1\n"), 10);
  EXPECT_ERRNO(write_text("/proc/self/gid_map", "0 65533 1\n"), EPERM);
  EXPECT_ERRNO(write_text("/proc/self/uid_map", "0 0 1\n"), EPERM);
  EXPECT_ERRNO(write_text("/proc/self/uid_map", "0 65533 2\n"), EPERM);
  EXPECT_ERRNO(write_text("/proc/self/uid_map", "0 65533\n"), EINVAL);
  EXPECT_EQ(write_text("/proc/self/uid_map", "0 65533 1\n"), 10);
  expect_content("/proc/self/uid_map", "         0      65533          1\n");
  EXPECT_EQ(getuid(), 0);
  EXPECT_EQ(getgid(), 0);
  EXPECT_OK(setuid(0));
  EXPECT_ERRNO(setuid(1), EINVAL);
  EXPECT_ERRNO(setgroups(0, NULL), EPERM);
  // Others' files belong to nobody, and root of this namespace has no power over them.
  struct stat st;
  EXPECT_OK(stat("/", &st));
  EXPECT_EQ(st.st_uid, 65534);
  EXPECT_ERRNO(chmod("/", 0755), EPERM);
  EXPECT_ERRNO(chown("/", 0, 0), EPERM);
  // Power over the machine there is none either; over what this namespace owns there is.
  EXPECT_ERRNO(sethostname("x", 1), EPERM);
  EXPECT_OK(unshare(CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWIPC));
  EXPECT_OK(sethostname("x", 1));
  EXPECT_OK(mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
  make_file("/tmp/mine", "x");
  EXPECT_OK(stat("/tmp/mine", &st));
  EXPECT_EQ(st.st_uid, 0);
  EXPECT_ERRNO(chown("/tmp/mine", 5, -1), EINVAL);
  EXPECT_OK(chown("/tmp/mine", 0, 0));
  EXPECT_OK(chown("/tmp/mine", -1, 0));
  EXPECT_OK(chown("/tmp/mine", 0, -1));
  EXPECT_ERRNO(mknod("/tmp/device", S_IFCHR | 0666, 0x103), EPERM);
  EXPECT_OK(mknod("/tmp/fifo", S_IFIFO | 0666, 0));
}

TEST(user_namespace_mapped_by_its_parent) {
  int ready[2];
  int go[2];
  EXPECT_OK(pipe(ready));
  EXPECT_OK(pipe(go));
  pid_t child = CLONE(CLONE_NEWUSER, {
    char c;
    EXPECT_EQ(read(go[0], &c, 1), 1);
    EXPECT_EQ(getuid(), 0);
    EXPECT_OK(setresgid(5, 5, 5));
    EXPECT_OK(setgroups(1, (gid_t[]){7}));
    EXPECT_OK(setresuid(5, 6, 6));
    EXPECT_EQ(getuid(), 5);
    EXPECT_EQ(geteuid(), 6);
    EXPECT_ERRNO(setresuid(10, -1, -1), EINVAL);
    EXPECT_EQ(write(ready[1], "r", 1), 1);
    EXPECT_EQ(read(go[0], &c, 1), 1);
  });
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/uid_map", child);
  EXPECT_EQ(write_text(path, "0 0 1\n1 100000 8\n"), 17);
  snprintf(path, sizeof path, "/proc/%d/gid_map", child);
  EXPECT_EQ(write_text(path, "0 0 1\n1 200000 8\n"), 17);
  EXPECT_EQ(write(go[1], "g", 1), 1);
  char c;
  EXPECT_EQ(read(ready[0], &c, 1), 1);
  char text[4096];
  snprintf(path, sizeof path, "/proc/%d/status", child);
  read_whole(path, text, sizeof text);
  EXPECT_TRUE(strstr(text, "\nUid:\t100004\t100005\t100005\t100005\n") != NULL);
  EXPECT_TRUE(strstr(text, "\nGid:\t200004\t200004\t200004\t200004\n") != NULL);
  EXPECT_TRUE(strstr(text, "\nGroups:\t200006") != NULL);
  EXPECT_EQ(write(go[1], "g", 1), 1);
  EXPECT_EXIT(child, 0);
}

TEST(user_namespace_may_signal_and_loses_power) {
  pid_t other = FORK(pause());
  IN_CHILD({
    EXPECT_OK(unshare(CLONE_NEWUSER));
    // The uid is the same, whatever it is called.
    EXPECT_OK(kill(other, 0));
  });
  EXPECT_OK(kill(other, SIGKILL));
  EXPECT_KILLED(other, SIGKILL);
  IN_CHILD({
    EXPECT_OK(chroot("/proc"));
    EXPECT_ERRNO(unshare(CLONE_NEWUSER), EPERM);
  });
}

TEST(setns_by_file) {
  EXPECT_OK(unshare(CLONE_NEWUTS));
  EXPECT_OK(sethostname("first", 5));
  int first = EXPECT_OK(open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
  EXPECT_OK(unshare(CLONE_NEWUTS));
  EXPECT_OK(sethostname("second", 6));
  EXPECT_ERRNO(setns(first, CLONE_NEWIPC), EINVAL);
  EXPECT_ERRNO(setns(-1, 0), EBADF);
  EXPECT_ERRNO(setns(0, 0), EINVAL);
  EXPECT_OK(setns(first, CLONE_NEWUTS));
  char name[64];
  EXPECT_OK(gethostname(name, sizeof name));
  EXPECT_STR(name, "first");
  EXPECT_OK(setns(first, 0));
  int user = EXPECT_OK(open("/proc/self/ns/user", O_RDONLY));
  EXPECT_ERRNO(setns(user, 0), EINVAL);
  int pid = EXPECT_OK(open("/proc/self/ns/pid", O_RDONLY));
  EXPECT_OK(setns(pid, CLONE_NEWPID));
  EXPECT_EQ(ioctl(first, NS_GET_NSTYPE), CLONE_NEWUTS);
}

TEST(setns_by_pidfd) {
  pid_t child = CLONE(CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC, {
    sethostname("inside", 6);
    prctl(PR_SET_NAME, "ready");
    pause();
  });
  char path[64];
  char text[64];
  snprintf(path, sizeof path, "/proc/%d/comm", child);
  do read_whole(path, text, sizeof text);
  while (strcmp(text, "ready\n") != 0);
  int pidfd = EXPECT_OK(syscall(SYS_pidfd_open, child, 0));
  IN_CHILD({
    EXPECT_ERRNO(setns(pidfd, 0), EINVAL);
    EXPECT_ERRNO(setns(pidfd, 1), EINVAL);
    EXPECT_OK(setns(pidfd, CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNS));
    char name[64];
    EXPECT_OK(gethostname(name, sizeof name));
    EXPECT_STR(name, "inside");
    pid_t inner = FORK({
      EXPECT_EQ(getpid(), 2);
      EXPECT_EQ(getppid(), 0);
    });
    EXPECT_EXIT(inner, 0);
  });
  EXPECT_OK(kill(child, SIGKILL));
  EXPECT_KILLED(child, SIGKILL);
  IN_CHILD(EXPECT_ERRNO(setns(pidfd, CLONE_NEWUTS), ESRCH));
}

TEST(out_of_a_pid_namespace_there_is_no_way) {
  int own = EXPECT_OK(open("/proc/self/ns/pid", O_RDONLY));
  EXPECT_EXIT(CLONE(CLONE_NEWPID, EXPECT_ERRNO(setns(own, 0), EINVAL)), 0);
}

TEST(relations_of_namespaces) {
  int pid = EXPECT_OK(open("/proc/self/ns/pid", O_RDONLY));
  int user = EXPECT_OK(open("/proc/self/ns/user", O_RDONLY));
  int uts = EXPECT_OK(open("/proc/self/ns/uts", O_RDONLY));
  EXPECT_ERRNO(ioctl(uts, NS_GET_PARENT), EINVAL);
  EXPECT_ERRNO(ioctl(uts, NS_GET_OWNER_UID, 0), EINVAL);
  EXPECT_ERRNO(ioctl(uts, 0xb7ff), ENOTTY);
  struct stat a;
  struct stat b;
  int owner = EXPECT_OK(ioctl(uts, NS_GET_USERNS));
  EXPECT_OK(fstat(owner, &a));
  EXPECT_OK(fstat(user, &b));
  EXPECT_EQ(a.st_ino, b.st_ino);
  EXPECT_EQ(a.st_dev, b.st_dev);
  IN_CHILD({
    EXPECT_OK(unshare(CLONE_NEWUSER | CLONE_NEWPID));
    int inner = EXPECT_OK(open("/proc/self/ns/user", O_RDONLY));
    uid_t uid = 1;
    EXPECT_OK(ioctl(inner, NS_GET_OWNER_UID, &uid));
    // Without a map even the owner has no name here.
    EXPECT_EQ(uid, 65534);
    EXPECT_ERRNO(ioctl(inner, NS_GET_PARENT), EPERM);
    EXPECT_ERRNO(ioctl(user, NS_GET_USERNS), EPERM);
    EXPECT_ERRNO(setns(uts, 0), EPERM);
    EXPECT_ERRNO(setns(user, 0), EPERM);
  });
  EXPECT_EXIT(CLONE(CLONE_NEWPID, {
                EXPECT_ERRNO(ioctl(pid, NS_GET_PARENT), EPERM);
              }),
              0);
}

TEST(a_bind_mount_keeps_a_namespace) {
  EXPECT_OK(unshare(CLONE_NEWNS));
  EXPECT_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
  make_file("kept", "");
  EXPECT_EXIT(CLONE(CLONE_NEWUTS, {
                EXPECT_OK(sethostname("kept", 4));
                EXPECT_OK(mount("/proc/self/ns/uts", "kept", NULL, MS_BIND, NULL));
              }),
              0);
  int fd = EXPECT_OK(open("kept", O_RDONLY));
  EXPECT_EQ(ioctl(fd, NS_GET_NSTYPE), CLONE_NEWUTS);
  EXPECT_ERRNO(umount("kept"), EBUSY);
  EXPECT_OK(umount2("kept", MNT_DETACH));
  EXPECT_OK(setns(fd, 0));
  char name[64];
  EXPECT_OK(gethostname(name, sizeof name));
  EXPECT_STR(name, "kept");
  // A mount namespace must not hold itself.
  EXPECT_ERRNO(mount("/proc/self/ns/mnt", "kept", NULL, MS_BIND, NULL), EINVAL);
}

static int try_bind(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", name);
  int fd = EXPECT_OK(socket(AF_UNIX, SOCK_STREAM, 0));
  return bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t) + 1 + strlen(name));
}

TEST(abstract_names_belong_to_a_network_namespace) {
  char name[32];
  snprintf(name, sizeof name, "namespaces-%d", getpid());
  EXPECT_OK(try_bind(name));
  EXPECT_ERRNO(try_bind(name), EADDRINUSE);
  EXPECT_EXIT(CLONE(CLONE_NEWNET, EXPECT_OK(try_bind(name))), 0);
}

TEST(limits) {
  EXPECT_OK(unshare(CLONE_NEWUSER));
  char text[64];
  read_whole("/proc/sys/user/max_uts_namespaces", text, sizeof text);
  EXPECT_GT(atoi(text), 0);
  EXPECT_EQ(write_text("/proc/sys/user/max_uts_namespaces", "1\n"), 2);
  EXPECT_OK(unshare(CLONE_NEWUTS));
  EXPECT_ERRNO(raw_clone(CLONE_NEWUTS), ENOSPC);
}

