// Memory files: memfd_create(2) and seals.
#include "test.h"

TEST(seals_of_memory_files) {
  int fd = EXPECT_OK(memfd_create("m", MFD_ALLOW_SEALING));
  EXPECT_OK(ftruncate(fd, 4096));
  char *shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  EXPECT_TRUE(shared != MAP_FAILED);
  // It could be made writable.
  EXPECT_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
  EXPECT_OK(munmap(shared, 4096));
  EXPECT_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  shared = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED && errno == EPERM) SKIP("before Linux 6.7");
  EXPECT_ERRNO(mprotect(shared, 4096, PROT_READ | PROT_WRITE), EACCES);
  EXPECT_TRUE(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  EXPECT_EQ(errno, EPERM);
  EXPECT_TRUE(mmap(NULL, 4096, PROT_WRITE, MAP_PRIVATE, fd, 0) != MAP_FAILED);
}

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
TEST(a_seal_against_execution) {
  int fd = EXPECT_OK(memfd_create("m", MFD_ALLOW_SEALING));
  EXPECT_OK(fchmod(fd, 0644));
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC) == -1 && errno == EINVAL) SKIP("before Linux 6.3");
  EXPECT_ERRNO(fchmod(fd, 0744), EPERM);
  EXPECT_OK(fchmod(fd, 0600));
  EXPECT_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_EXEC);
  fd = EXPECT_OK(memfd_create("m", MFD_ALLOW_SEALING));
  EXPECT_OK(fchmod(fd, 0755));
  EXPECT_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_EXEC));
  EXPECT_EQ(fcntl(fd, F_GET_SEALS) & (F_SEAL_EXEC | F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW),
            F_SEAL_EXEC | F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
}

TEST(memory_files_and_seals) {
  int fd = EXPECT_OK(memfd_create("name", MFD_ALLOW_SEALING | MFD_CLOEXEC));
  EXPECT_OK(ftruncate(fd, 4096));
  char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  EXPECT_TRUE(map != MAP_FAILED);
  map[0] = 'm';
  char c;
  EXPECT_EQ(pread(fd, &c, 1, 0), 1);
  EXPECT_EQ(c, 'm');
  EXPECT_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY);
  fd = EXPECT_OK(memfd_create("sealed", MFD_ALLOW_SEALING));
  EXPECT_OK(ftruncate(fd, 4096));
  EXPECT_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
  EXPECT_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
  EXPECT_ERRNO(write(fd, "x", 1), EPERM);
  EXPECT_ERRNO(ftruncate(fd, 0), EPERM);
  EXPECT_ERRNO(ftruncate(fd, 8192), EPERM);
  EXPECT_ERRNO(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
  EXPECT_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
  EXPECT_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
  int plain = EXPECT_OK(memfd_create("plain", 0));
  EXPECT_EQ(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
  EXPECT_ERRNO(memfd_create("x", 0x8000), EINVAL);
  char link[64], target[64] = {0};
  snprintf(link, sizeof link, "/proc/self/fd/%d", plain);
  EXPECT_OK(readlink(link, target, sizeof target - 1));
  EXPECT_STR(target, "/memfd:plain (deleted)");
}
