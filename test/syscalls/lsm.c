// Which security modules there are: lsm_list_modules(2), lsm_get_self_attr(2), lsm_set_self_attr(2).
#include "test.h"

enum { GET = 459, SET = 460, LIST = 461, CAPABILITY = 100, LANDLOCK = 110 };
struct context {
  uint64_t id, flags, length, text_length;
  char text[64];
};

TEST(modules) {
  uint64_t ids[64];
  uint32_t size = sizeof ids;
  long count = EXPECT_OK(syscall(LIST, ids, &size, 0));
  EXPECT_EQ(size, count * 8);
  int seen = 0;
  for (long i = 0; i < count; i++) seen += ids[i] == CAPABILITY || ids[i] == LANDLOCK;
  EXPECT_EQ(seen, 2);
  // Too little room: it is told how much there has to be.
  size = 8;
  EXPECT_ERRNO(syscall(LIST, ids, &size, 0), E2BIG);
  EXPECT_EQ(size, count * 8);
  EXPECT_ERRNO(syscall(LIST, ids, &size, 1), EINVAL);
  EXPECT_ERRNO(syscall(LIST, ids, NULL, 0), EFAULT);
  EXPECT_ERRNO(syscall(LIST, NULL, &size, 0), EFAULT);
}

TEST(attributes) {
  struct context context = {0};
  uint32_t size = sizeof context;
  EXPECT_ERRNO(syscall(GET, 0, &context, &size, 0), EINVAL);
  EXPECT_ERRNO(syscall(GET, 100, &context, NULL, 0), EINVAL);
  EXPECT_ERRNO(syscall(GET, 100, &context, (void *)8, 0), EFAULT);
  EXPECT_ERRNO(syscall(GET, 100, &context, &size, 2), EINVAL);
  EXPECT_ERRNO(syscall(GET, 100, NULL, &size, 1), EINVAL);
  EXPECT_ERRNO(syscall(GET, 100, &context, &size, 1), EINVAL);
  // Neither has labels.
  context.id = LANDLOCK;
  EXPECT_ERRNO(syscall(GET, 100, &context, &size, 1), EOPNOTSUPP);
  EXPECT_ERRNO(syscall(SET, 100, &context, 16, 0), EINVAL);
  EXPECT_ERRNO(syscall(SET, 100, &context, 5000, 0), E2BIG);
  EXPECT_ERRNO(syscall(SET, 100, &context, 32, 1), EINVAL);
  EXPECT_ERRNO(syscall(SET, 100, NULL, 32, 0), EFAULT);
  context.length = 64;
  EXPECT_ERRNO(syscall(SET, 100, &context, 32, 0), EINVAL);
  context.length = 32, context.text_length = 1;
  EXPECT_ERRNO(syscall(SET, 100, &context, 32, 0), EINVAL);
  context.text_length = 0;
  EXPECT_ERRNO(syscall(SET, 100, &context, 32, 0), EOPNOTSUPP);
}
