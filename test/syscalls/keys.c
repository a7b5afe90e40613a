// Keys and keyrings: add_key(2), request_key(2), keyctl(2), keyrings(7).
#include "test.h"
#include <linux/keyctl.h>

typedef int32_t key;
#define ALL 0x3f3f3f3f

static key add(const char *type, const char *name, const void *payload, size_t n, key ring) {
  return syscall(SYS_add_key, type, name, payload, n, ring);
}
static key add_user(const char *name, const char *text, key ring) { return add("user", name, text, strlen(text), ring); }
static key request(const char *type, const char *name, key ring) { return syscall(SYS_request_key, type, name, NULL, ring); }
static long ctl(int op, long a, long b, long c, long d) { return syscall(SYS_keyctl, op, a, b, c, d); }
static void expect_payload(key k, const char *text) {
  char buffer[256] = {0};
  EXPECT_EQ(ctl(KEYCTL_READ, k, (long)buffer, sizeof buffer, 0), strlen(text));
  EXPECT_STR(buffer, text);
}
static void expect_description(key k, const char *text) {
  char buffer[256];
  EXPECT_EQ(ctl(KEYCTL_DESCRIBE, k, (long)buffer, sizeof buffer, 0), strlen(text) + 1);
  EXPECT_STR(buffer, text);
}
/** Keys go a little later than what refers to them. */
static void expect_gone(key k) {
  while (ctl(KEYCTL_DESCRIBE, k, 0, 0, 0) != -1) sched_yield();
  EXPECT_EQ(errno, ENOKEY);
}
/** An own session: tests do not see what others left there. */
static key begin(void) { return EXPECT_OK(ctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)); }

TEST(keys_are_added_and_read) {
  key ring = begin();
  key k = EXPECT_OK(add_user("name", "payload", KEY_SPEC_SESSION_KEYRING));
  EXPECT_GT(k, 0);
  expect_payload(k, "payload");
  char text[64];
  snprintf(text, sizeof text, "user;%d;%d;3f010000;name", getuid(), getgid());
  expect_description(k, text);
  // A key of this name is updated.
  EXPECT_EQ(add_user("name", "other", ring), k);
  expect_payload(k, "other");
  EXPECT_OK(ctl(KEYCTL_UPDATE, k, (long)"third", 5, 0));
  expect_payload(k, "third");
  // A buffer that is too small gets nothing.
  char small[4] = "abc";
  EXPECT_EQ(ctl(KEYCTL_READ, k, (long)small, 3, 0), 5);
  EXPECT_STR(small, "abc");
  EXPECT_EQ(ctl(KEYCTL_READ, k, 0, 0, 0), 5);
  EXPECT_EQ(ctl(KEYCTL_DESCRIBE, k, 0, 0, 0), strlen(text) + 1);
  key list[4];
  EXPECT_EQ(ctl(KEYCTL_READ, ring, (long)list, sizeof list, 0), 4);
  EXPECT_EQ(list[0], k);
}

TEST(wrong_arguments) {
  begin();
  EXPECT_ERRNO(add("no-such-type", "n", "p", 1, KEY_SPEC_SESSION_KEYRING), ENODEV);
  EXPECT_ERRNO(add("", "n", "p", 1, KEY_SPEC_SESSION_KEYRING), EINVAL);
  EXPECT_ERRNO(add(".hidden", "n", "p", 1, KEY_SPEC_SESSION_KEYRING), EPERM);
  EXPECT_ERRNO(add(NULL, "n", "p", 1, KEY_SPEC_SESSION_KEYRING), EFAULT);
  EXPECT_ERRNO(add("user", "", "p", 1, KEY_SPEC_SESSION_KEYRING), EINVAL);
  EXPECT_ERRNO(add("user", NULL, "p", 1, KEY_SPEC_SESSION_KEYRING), EINVAL);
  EXPECT_ERRNO(add("user", "n", NULL, 1, KEY_SPEC_SESSION_KEYRING), EFAULT);
  EXPECT_ERRNO(add("user", "n", "", 0, KEY_SPEC_SESSION_KEYRING), EINVAL);
  static char big[1 << 20];
  EXPECT_ERRNO(add("user", "n", big, 32768, KEY_SPEC_SESSION_KEYRING), EINVAL);
  EXPECT_ERRNO(add("user", "n", big, sizeof big, KEY_SPEC_SESSION_KEYRING), EINVAL);
  EXPECT_ERRNO(add("keyring", "n", "p", 1, KEY_SPEC_SESSION_KEYRING), EINVAL);
  EXPECT_ERRNO(add("keyring", ".n", NULL, 0, KEY_SPEC_SESSION_KEYRING), EPERM);
  EXPECT_ERRNO(add("logon", "n", "p", 1, KEY_SPEC_SESSION_KEYRING), EINVAL);
  EXPECT_ERRNO(add_user("n", "p", 0), EINVAL);
  EXPECT_ERRNO(add_user("n", "p", -77), EINVAL);
  EXPECT_ERRNO(add_user("n", "p", KEY_SPEC_GROUP_KEYRING), EINVAL);
  EXPECT_ERRNO(add_user("n", "p", 0x7ffffff0), ENOKEY);
  key k = EXPECT_OK(add_user("n", "p", KEY_SPEC_SESSION_KEYRING));
  EXPECT_ERRNO(add_user("n", "p", k), ENOTDIR);
  EXPECT_ERRNO(ctl(KEYCTL_CLEAR, k, 0, 0, 0), ENOTDIR);
  EXPECT_ERRNO(ctl(999, 0, 0, 0, 0), EOPNOTSUPP);
  EXPECT_ERRNO(ctl(KEYCTL_UPDATE, k, (long)"x", -3, 0), EINVAL);
  EXPECT_EQ(ctl(KEYCTL_READ, k, (long)big, -1, 0), 1);
  EXPECT_EQ(big[0], 'p');
  EXPECT_ERRNO(ctl(KEYCTL_READ, 0x7ffffff0, 0, 0, 0), ENOKEY);
  EXPECT_ERRNO(ctl(KEYCTL_DESCRIBE, 0x7ffffff0, 0, 0, 0), ENOKEY);
  EXPECT_ERRNO(request("user", "nowhere", 0), ENOKEY);
  EXPECT_ERRNO(request("no-such-type", "nowhere", 0), ENOKEY);
}

TEST(keyrings_that_a_task_has) {
  begin();
  EXPECT_ERRNO(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0, 0, 0), ENOKEY);
  EXPECT_ERRNO(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0, 0, 0), ENOKEY);
  key thread = EXPECT_OK(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1, 0, 0));
  key process = EXPECT_OK(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1, 0, 0));
  key user = EXPECT_OK(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0, 0, 0));
  key user_session = EXPECT_OK(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_SESSION_KEYRING, 0, 0, 0));
  EXPECT_TRUE(thread != process && process != user && user != user_session);
  char text[80];
  snprintf(text, sizeof text, "keyring;%d;%d;3f010000;_tid", getuid(), getgid());
  expect_description(thread, text);
  snprintf(text, sizeof text, "keyring;%d;%d;3f010000;_pid", getuid(), getgid());
  expect_description(process, text);
  snprintf(text, sizeof text, "keyring;%d;65534;1f3f0000;_uid.%d", getuid(), getuid());
  expect_description(user, text);
  snprintf(text, sizeof text, "keyring;%d;65534;1f3f0000;_uid_ses.%d", getuid(), getuid());
  expect_description(user_session, text);
  snprintf(text, sizeof text, "keyring;%d;%d;3f030000;_ses", getuid(), getgid());
  expect_description(KEY_SPEC_SESSION_KEYRING, text);
  key session = EXPECT_OK(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0, 0));
  IN_CHILD({
    // The session goes on, the others end with the process.
    EXPECT_EQ(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0, 0), session);
    EXPECT_ERRNO(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0, 0, 0), ENOKEY);
    EXPECT_ERRNO(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0, 0, 0), ENOKEY);
  });
}

static void *other_thread(void *arg) {
  key *ids = arg;
  // Its creator has one, so it has one, too.
  key own = ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0, 0, 0);
  if (own == -1 || own == ids[1]) return "no thread keyring of its own";
  if (ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0, 0, 0) != ids[0]) return "process keyring is not shared";
  return NULL;
}
TEST(threads) {
  begin();
  key ids[] = {EXPECT_OK(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1, 0, 0)), EXPECT_OK(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1, 0, 0))};
  pthread_t thread;
  void *result;
  pthread_create(&thread, NULL, other_thread, ids);
  pthread_join(thread, &result);
  EXPECT_STR(result ? result : "", "");
}

TEST(sessions_with_names) {
  key named = EXPECT_OK(ctl(KEYCTL_JOIN_SESSION_KEYRING, (long)"portcullis test", 0, 0, 0));
  char text[80];
  snprintf(text, sizeof text, "keyring;%d;%d;3f130000;portcullis test", getuid(), getgid());
  expect_description(named, text);
  EXPECT_OK(add_user("shared", "value", named));
  IN_CHILD({
    EXPECT_NE(begin(), named);
    EXPECT_ERRNO(request("user", "shared", 0), ENOKEY);
  });
  EXPECT_ERRNO(ctl(KEYCTL_JOIN_SESSION_KEYRING, (long)".x", 0, 0, 0), EPERM);
  // Its maker may let others of the user find it.
  EXPECT_OK(ctl(KEYCTL_SETPERM, named, 0x3f3f0000, 0, 0));
  IN_CHILD({
    begin();
    EXPECT_EQ(ctl(KEYCTL_JOIN_SESSION_KEYRING, (long)"portcullis test", 0, 0, 0), named);
    expect_payload(EXPECT_OK(request("user", "shared", 0)), "value");
  });
}

TEST(searching) {
  key ring = begin();
  key inner = EXPECT_OK(add("keyring", "inner", NULL, 0, ring));
  key k = EXPECT_OK(add_user("deep", "x", inner));
  EXPECT_EQ(request("user", "deep", 0), k);
  EXPECT_EQ(ctl(KEYCTL_SEARCH, ring, (long)"user", (long)"deep", 0), k);
  EXPECT_EQ(ctl(KEYCTL_SEARCH, ring, (long)"keyring", (long)"inner", 0), inner);
  EXPECT_ERRNO(ctl(KEYCTL_SEARCH, ring, (long)"user", (long)"missing", 0), ENOKEY);
  EXPECT_ERRNO(ctl(KEYCTL_SEARCH, k, (long)"user", (long)"deep", 0), ENOTDIR);
  // What was found can be put somewhere.
  key other = EXPECT_OK(add("keyring", "other", NULL, 0, ring));
  EXPECT_EQ(ctl(KEYCTL_SEARCH, ring, (long)"user", (long)"deep", other), k);
  EXPECT_OK(ctl(KEYCTL_UNLINK, k, inner, 0, 0));
  EXPECT_EQ(request("user", "deep", 0), k);
  EXPECT_OK(ctl(KEYCTL_UNLINK, k, other, 0, 0));
  EXPECT_ERRNO(request("user", "deep", 0), ENOKEY);
  expect_gone(k);
}

TEST(links) {
  key ring = begin();
  key a = EXPECT_OK(add("keyring", "a", NULL, 0, ring)), b = EXPECT_OK(add("keyring", "b", NULL, 0, a));
  EXPECT_ERRNO(ctl(KEYCTL_LINK, a, b, 0, 0), EDEADLK);
  EXPECT_ERRNO(ctl(KEYCTL_LINK, a, a, 0, 0), EDEADLK);
  key k = EXPECT_OK(add_user("k", "1", ring)), same = EXPECT_OK(add_user("k", "2", a));
  EXPECT_NE(k, same);
  // One of a name takes the place of another.
  EXPECT_OK(ctl(KEYCTL_LINK, k, a, 0, 0));
  EXPECT_EQ(ctl(KEYCTL_SEARCH, a, (long)"user", (long)"k", 0), k);
  EXPECT_ERRNO(ctl(KEYCTL_LINK, a, k, 0, 0), ENOTDIR);
  EXPECT_ERRNO(ctl(KEYCTL_UNLINK, k, b, 0, 0), ENOENT);
  EXPECT_ERRNO(ctl(KEYCTL_UNLINK, a, k, 0, 0), ENOTDIR);
  EXPECT_ERRNO(ctl(KEYCTL_MOVE, k, b, a, 0), ENOENT);
  key again = EXPECT_OK(add_user("k", "3", b));
  EXPECT_ERRNO(ctl(KEYCTL_MOVE, k, a, b, KEYCTL_MOVE_EXCL), EEXIST);
  EXPECT_ERRNO(ctl(KEYCTL_MOVE, k, a, b, 2), EINVAL);
  EXPECT_OK(ctl(KEYCTL_MOVE, k, a, b, 0));
  EXPECT_EQ(ctl(KEYCTL_SEARCH, b, (long)"user", (long)"k", 0), k);
  expect_gone(again);
  EXPECT_OK(ctl(KEYCTL_CLEAR, b, 0, 0, 0));
  EXPECT_EQ(ctl(KEYCTL_READ, b, 0, 0, 0), 0);
  // Still in the session.
  expect_payload(k, "1");
}

TEST(how_deep_keyrings_go) {
  key ring = begin(), at = EXPECT_OK(add("keyring", "0", NULL, 0, ring)), top = at;
  for (int i = 1; i < 8; i++) {
    char name[8];
    snprintf(name, sizeof name, "%d", i);
    key next = EXPECT_OK(add("keyring", name, NULL, 0, ring));
    EXPECT_OK(ctl(KEYCTL_LINK, top, next, 0, 0));
    top = next;
  }
  key last = EXPECT_OK(add("keyring", "last", NULL, 0, ring));
  EXPECT_ERRNO(ctl(KEYCTL_LINK, top, last, 0, 0), ELOOP);
}

TEST(revoked_invalidated_and_expired) {
  key ring = begin();
  key k = EXPECT_OK(add_user("k", "x", ring));
  EXPECT_OK(ctl(KEYCTL_REVOKE, k, 0, 0, 0));
  EXPECT_ERRNO(ctl(KEYCTL_READ, k, 0, 0, 0), EKEYREVOKED);
  EXPECT_ERRNO(ctl(KEYCTL_REVOKE, k, 0, 0, 0), EKEYREVOKED);
  EXPECT_ERRNO(request("user", "k", 0), EKEYREVOKED);
  EXPECT_ERRNO(ctl(KEYCTL_DESCRIBE, k, 0, 0, 0), EKEYREVOKED);
  EXPECT_NE(EXPECT_OK(add_user("k", "y", ring)), k);
  k = EXPECT_OK(add_user("i", "x", ring));
  EXPECT_OK(ctl(KEYCTL_INVALIDATE, k, 0, 0, 0));
  expect_gone(k);
  while (request("user", "i", 0) == -1 && errno == EKEYREVOKED) sched_yield();
  EXPECT_EQ(errno, ENOKEY);
  k = EXPECT_OK(add_user("e", "x", ring));
  EXPECT_OK(ctl(KEYCTL_SET_TIMEOUT, k, 1, 0, 0));
  while (ctl(KEYCTL_READ, k, 0, 0, 0) == 1) sleep_ms(20);
  EXPECT_TRUE(errno == EKEYEXPIRED || errno == ENOKEY);
  k = EXPECT_OK(add_user("f", "x", ring));
  EXPECT_OK(ctl(KEYCTL_SET_TIMEOUT, k, 1000, 0, 0));
  EXPECT_OK(ctl(KEYCTL_SET_TIMEOUT, k, 0, 0, 0));
  expect_payload(k, "x");
}

TEST(permissions) {
  key ring = begin();
  key k = EXPECT_OK(add_user("k", "x", ring));
  EXPECT_ERRNO(ctl(KEYCTL_SETPERM, k, 0xffffffff, 0, 0), EINVAL);
  EXPECT_OK(ctl(KEYCTL_SETPERM, k, 0x01010000, 0, 0));
  EXPECT_ERRNO(ctl(KEYCTL_READ, k, 0, 0, 0), EACCES);
  EXPECT_ERRNO(ctl(KEYCTL_UPDATE, k, (long)"y", 1, 0), EACCES);
  EXPECT_ERRNO(ctl(KEYCTL_SETPERM, k, ALL, 0, 0), EACCES);
  EXPECT_ERRNO(ctl(KEYCTL_LINK, k, KEY_SPEC_USER_KEYRING, 0, 0), EACCES);
  EXPECT_GT(ctl(KEYCTL_DESCRIBE, k, 0, 0, 0), 0);
  k = EXPECT_OK(add_user("s", "x", ring));
  // Who possesses a key and may search for it may read it.
  EXPECT_OK(ctl(KEYCTL_SETPERM, k, 0x09000000, 0, 0));
  EXPECT_EQ(ctl(KEYCTL_READ, k, 0, 0, 0), 1);
}

TEST(of_others) {
  key ring = begin();
  key k = EXPECT_OK(add_user("k", "x", ring));
  IN_CHILD({
    begin();
    // No longer possessed: the owner may only look at it.
    EXPECT_GT(ctl(KEYCTL_DESCRIBE, k, 0, 0, 0), 0);
    EXPECT_ERRNO(ctl(KEYCTL_READ, k, 0, 0, 0), EACCES);
    become(1000, 1000);
    EXPECT_ERRNO(ctl(KEYCTL_DESCRIBE, k, 0, 0, 0), EACCES);
  });
  EXPECT_OK(ctl(KEYCTL_CHOWN, k, -1, -1, 0));
  IN_CHILD({
    become(1000, 1000);
    EXPECT_ERRNO(ctl(KEYCTL_CHOWN, k, 2000, -1, 0), EACCES);
  });
  EXPECT_OK(ctl(KEYCTL_CHOWN, k, 1000, 1001, 0));
  expect_description(k, "user;1000;1001;3f010000;k");
}

TEST(logon_keys) {
  key ring = begin();
  key k = EXPECT_OK(add("logon", "a:b", "secret", 6, ring));
  EXPECT_ERRNO(ctl(KEYCTL_READ, k, 0, 0, 0), EOPNOTSUPP);
  char text[64];
  snprintf(text, sizeof text, "logon;%d;%d;3d010000;a:b", getuid(), getgid());
  expect_description(k, text);
  EXPECT_OK(ctl(KEYCTL_UPDATE, k, (long)"new", 3, 0));
  EXPECT_ERRNO(add("logon", ":b", "secret", 6, ring), EINVAL);
  // Keyrings cannot be updated: another takes the place.
  key inner = EXPECT_OK(add("keyring", "in", NULL, 0, ring));
  EXPECT_NE(EXPECT_OK(add("keyring", "in", NULL, 0, ring)), inner);
  EXPECT_ERRNO(ctl(KEYCTL_UPDATE, ring, (long)"x", 1, 0), EOPNOTSUPP);
}

TEST(quotas) {
  if (getuid() != 0) SKIP("not root");
  IN_CHILD({
    become(12345, 12345);
    key ring = begin();
    static char big[20000];
    EXPECT_ERRNO(add("user", "big", big, 20000, ring), EDQUOT);
    key k = EXPECT_OK(add("user", "big", big, 19000, ring));
    EXPECT_ERRNO(add("user", "more", big, 1500, ring), EDQUOT);
    EXPECT_ERRNO(ctl(KEYCTL_UPDATE, k, (long)big, 4097, 0), EINVAL);
    EXPECT_ERRNO(add("user", "big", big, 20000, ring), EDQUOT);
    EXPECT_OK(ctl(KEYCTL_UPDATE, k, (long)big, 100, 0));
    EXPECT_OK(add("user", "more", big, 1500, ring));
    int made = 0;
    char name[16];
    do snprintf(name, sizeof name, "%d", made);
    while (add("user", name, "x", 1, ring) != -1 && ++made < 1000);
    EXPECT_EQ(errno, EDQUOT);
    EXPECT_LT(made, 200);
    EXPECT_GT(made, 150);
    EXPECT_OK(ctl(KEYCTL_CLEAR, ring, 0, 0, 0));
  });
}

TEST(restrictions) {
  key ring = begin(), closed = EXPECT_OK(add("keyring", "closed", NULL, 0, ring));
  EXPECT_OK(ctl(KEYCTL_RESTRICT_KEYRING, closed, 0, 0, 0));
  EXPECT_ERRNO(add_user("k", "x", closed), EPERM);
  key k = EXPECT_OK(add_user("k", "x", ring));
  EXPECT_ERRNO(ctl(KEYCTL_LINK, k, closed, 0, 0), EPERM);
  EXPECT_ERRNO(ctl(KEYCTL_RESTRICT_KEYRING, closed, 0, 0, 0), EEXIST);
  EXPECT_ERRNO(ctl(KEYCTL_RESTRICT_KEYRING, k, 0, 0, 0), ENOTDIR);
  EXPECT_ERRNO(ctl(KEYCTL_RESTRICT_KEYRING, ring, 0, (long)"x", 0), EINVAL);
}

TEST(construction) {
  key ring = begin();
  key k = EXPECT_OK(add_user("k", "x", ring));
  EXPECT_ERRNO(ctl(KEYCTL_INSTANTIATE, k, (long)"x", 1, 0), EPERM);
  EXPECT_ERRNO(ctl(KEYCTL_NEGATE, k, 10, 0, 0), EPERM);
  EXPECT_ERRNO(ctl(KEYCTL_REJECT, k, 10, 5000, 0), EINVAL);
  EXPECT_ERRNO(ctl(KEYCTL_ASSUME_AUTHORITY, k, 0, 0, 0), ENOKEY);
  EXPECT_OK(ctl(KEYCTL_ASSUME_AUTHORITY, 0, 0, 0, 0));
  EXPECT_EQ(ctl(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_NO_CHANGE, 0, 0, 0), KEY_REQKEY_DEFL_DEFAULT);
  EXPECT_EQ(ctl(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_SESSION_KEYRING, 0, 0, 0), KEY_REQKEY_DEFL_DEFAULT);
  EXPECT_EQ(ctl(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_NO_CHANGE, 0, 0, 0), KEY_REQKEY_DEFL_SESSION_KEYRING);
  EXPECT_ERRNO(ctl(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_GROUP_KEYRING, 0, 0, 0), EINVAL);
  unsigned char caps[4] = {9, 9, 9, 9};
  EXPECT_EQ(ctl(KEYCTL_CAPABILITIES, (long)caps, sizeof caps, 0, 0), 2);
  EXPECT_EQ(caps[0] & 0xe1, 0xe1);
  EXPECT_TRUE(caps[2] == 0 && caps[3] == 0);
}

TEST(listed_in_proc) {
  key ring = begin(), k = EXPECT_OK(add_user("proc test", "12345", ring));
  static char text[1 << 16];
  char want[128];
  read_whole("/proc/keys", text, sizeof text);
  snprintf(want, sizeof want, "%08x I--Q---     1 perm 3f010000 %5d %5d user      proc test: 5\n", k, getuid(), getgid());
  EXPECT_TRUE(strstr(text, want));
  snprintf(want, sizeof want, "%08x I--Q---  ", ring);
  const char *line = strstr(text, want);
  EXPECT_TRUE(line && strstr(line, " perm 3f030000 ") && strstr(line, " keyring   _ses: 1\n"));
  EXPECT_OK(ctl(KEYCTL_SET_TIMEOUT, k, 90000, 0, 0));
  EXPECT_OK(ctl(KEYCTL_REVOKE, k, 0, 0, 0));
  snprintf(want, sizeof want, "%08x IR-Q---     1 expd", k);
  read_whole("/proc/keys", text, sizeof text);
  EXPECT_TRUE(strstr(text, want));
  read_whole("/proc/key-users", text, sizeof text);
  snprintf(want, sizeof want, "%5d: ", getuid());
  EXPECT_TRUE(strstr(text, want));
}
