// Namespaces: user, UTS and the others; clone, unshare, setns, and their files. Pid namespaces: pid-namespace.c.
#include "test.h"
#include "namespace.h"

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

TEST(terminals_of_a_user_namespace) {
  IN_CHILD({
    EXPECT_OK(unshare(CLONE_NEWUSER | CLONE_NEWNS));
    EXPECT_EQ(write_text("/proc/self/uid_map", "0 0 1\n"), 6);
    EXPECT_OK(mkdir("pts", 0755));
    EXPECT_OK(mount("none", "pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620"));
    int master = EXPECT_OK(open("pts/ptmx", O_RDWR | O_NOCTTY));
    int number = -1;
    int locked = 0;
    EXPECT_OK(ioctl(master, TIOCSPTLCK, &locked));
    EXPECT_OK(ioctl(master, TIOCGPTN, &number));
    EXPECT_EQ(number, 0);
    int slave = EXPECT_OK(open("pts/0", O_RDWR | O_NOCTTY));
    EXPECT_EQ(write(slave, "x", 1), 1);
    char c;
    EXPECT_EQ(read(master, &c, 1), 1);
    EXPECT_EQ(c, 'x');
  });
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
