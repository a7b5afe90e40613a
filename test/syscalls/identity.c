// Users, groups and capabilities of processes.
#include "test.h"
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>

TEST(identities) {
  uid_t r, e, s;
  IN_CHILD({
    EXPECT_OK(setresuid(1, 2, 3));
    EXPECT_OK(getresuid(&r, &e, &s));
    EXPECT_TRUE(r == 1 && e == 2 && s == 3);
    EXPECT_EQ(getuid(), 1);
    EXPECT_EQ(geteuid(), 2);
    EXPECT_ERRNO(setresuid(4, -1, -1), EPERM);
    EXPECT_OK(setresuid(-1, 3, -1));
    EXPECT_ERRNO(setuid(0), EPERM);
    EXPECT_OK(setreuid(3, 1));
  });
  IN_CHILD({
    EXPECT_OK(setuid(1000));
    EXPECT_OK(getresuid(&r, &e, &s));
    EXPECT_TRUE(r == 1000 && e == 1000 && s == 1000);
    EXPECT_ERRNO(setgid(5), EPERM);
    EXPECT_ERRNO(syscall(SYS_setgroups, 0, NULL), EPERM);
  });
  IN_CHILD({
    EXPECT_OK(setresgid(10, 20, 30));
    EXPECT_OK(getresgid(&r, &e, &s));
    EXPECT_TRUE(r == 10 && e == 20 && s == 30);
  });
  IN_CHILD({
    EXPECT_EQ(setfsuid(99), 0);
    EXPECT_EQ(setfsuid(-1), 99);
  });
}

TEST(groups) {
  IN_CHILD({
    gid_t list[3] = {3, 1, 2};
    gid_t back[8];
    EXPECT_OK(syscall(SYS_setgroups, 3, list));
    EXPECT_EQ(getgroups(0, NULL), 3);
    EXPECT_EQ(getgroups(8, back), 3);
    EXPECT_EQ(back[0] + back[1] + back[2], 6);
    EXPECT_ERRNO(getgroups(2, back), EINVAL);
    EXPECT_ERRNO(syscall(SYS_setgroups, 70000, list), EINVAL);
  });
}

static uint64_t capabilities(int set) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  EXPECT_OK(syscall(SYS_capget, &header, data));
  return set == 0 ? data[0].effective | (uint64_t)data[1].effective << 32
                  : data[0].permitted | (uint64_t)data[1].permitted << 32;
}

TEST(capabilities_follow_the_user_id) {
  uint64_t all = capabilities(1);
  EXPECT_TRUE(all & 1 << CAP_CHOWN);
  IN_CHILD({
    EXPECT_OK(seteuid(1000));
    EXPECT_EQ(capabilities(0), 0);
    EXPECT_EQ(capabilities(1), all);
    EXPECT_OK(seteuid(0));
    EXPECT_EQ(capabilities(0), all);
    EXPECT_OK(setuid(1000));
    EXPECT_EQ(capabilities(1), 0);
  });
  IN_CHILD({
    EXPECT_OK(prctl(PR_SET_KEEPCAPS, 1));
    EXPECT_OK(setuid(1000));
    EXPECT_EQ(capabilities(1), all);
    EXPECT_EQ(capabilities(0), 0);
  });
}

TEST(capset_and_bounding_set) {
  IN_CHILD({
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    EXPECT_OK(syscall(SYS_capset, &header, data));
    EXPECT_EQ(capabilities(1), 0);
    data[0].permitted = 1;
    EXPECT_ERRNO(syscall(SYS_capset, &header, data), EPERM);
    header.version = 7;
    EXPECT_ERRNO(syscall(SYS_capget, &header, data), EINVAL);
    EXPECT_EQ(header.version, _LINUX_CAPABILITY_VERSION_3);
    EXPECT_ERRNO(chown("/", 1, 1), EPERM);
  });
  IN_CHILD({
    EXPECT_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 1);
    EXPECT_OK(prctl(PR_CAPBSET_DROP, CAP_CHOWN));
    EXPECT_EQ(prctl(PR_CAPBSET_READ, CAP_CHOWN), 0);
    EXPECT_ERRNO(prctl(PR_CAPBSET_READ, 99), EINVAL);
  });
}

TEST(no_new_privileges_and_dumpable) {
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 1);
  EXPECT_OK(prctl(PR_SET_DUMPABLE, 0));
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
  EXPECT_ERRNO(prctl(PR_SET_DUMPABLE, 9), EINVAL);
  EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  EXPECT_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
  EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  IN_CHILD(EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1));
}

TEST(set_user_id_program) {
  IN_CHILD(execl("/bin/cp", "cp", "/usr/bin/id", "id", NULL); _exit(9));
  EXPECT_OK(chown("id", 77, 78));
  EXPECT_OK(chmod("id", 06755));
  int pipe_fds[2];
  EXPECT_OK(pipe(pipe_fds));
  IN_CHILD({
    become(1000, 1000);
    dup2(pipe_fds[1], 1);
    execl("./id", "id", NULL);
    _exit(9);
  });
  char text[256] = {0};
  EXPECT_GT(read(pipe_fds[0], text, sizeof text - 1), 0);
  if (!strstr(text, "euid=")) SKIP("the file system is mounted nosuid");
  EXPECT_TRUE(strstr(text, "uid=1000") && strstr(text, "euid=77") && strstr(text, "egid=78"));
}
