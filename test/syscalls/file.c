// Open files: flags, offsets, vectors, duplicates, sizes, copies, directories being read.
#include "test.h"
#include <linux/falloc.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>

static off_t size_of(int fd) {
  struct stat st;
  EXPECT_OK(fstat(fd, &st));
  return st.st_size;
}

TEST(create_exclusive_truncate_append) {
  EXPECT_ERRNO(open("f", O_RDWR), ENOENT);
  int fd = EXPECT_OK(open("f", O_RDWR | O_CREAT | O_EXCL, 0640));
  EXPECT_ERRNO(open("f", O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
  EXPECT_EQ(write(fd, "hello", 5), 5);
  int second = EXPECT_OK(open("f", O_WRONLY | O_APPEND));
  EXPECT_EQ(write(second, " you", 4), 4);
  EXPECT_EQ(pwrite(second, "!", 1, 0), 1);  // Linux appends even with pwrite
  expect_content("f", "hello you!");
  EXPECT_EQ(lseek(second, 0, SEEK_CUR), 9);
  EXPECT_OK(open("f", O_WRONLY | O_TRUNC));
  EXPECT_EQ(size_of(fd), 0);
  EXPECT_ERRNO(syscall(SYS_open, "f", O_RDONLY | O_CREAT | O_DIRECTORY, 0644), EINVAL);
}

TEST(access_modes) {
  make_file("f", "x");
  char c;
  int r = EXPECT_OK(open("f", O_RDONLY)), w = EXPECT_OK(open("f", O_WRONLY));
  EXPECT_ERRNO(write(r, "y", 1), EBADF);
  EXPECT_ERRNO(read(w, &c, 1), EBADF);
  EXPECT_ERRNO(read(99, &c, 1), EBADF);
  EXPECT_ERRNO(ftruncate(r, 0), EINVAL);
  EXPECT_EQ(fcntl(r, F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(fcntl(w, F_GETFL) & O_ACCMODE, O_WRONLY);
  EXPECT_ERRNO(open(".", O_WRONLY), EISDIR);
  EXPECT_ERRNO(open(".", O_RDWR | O_CREAT, 0600), EISDIR);
  int directory = EXPECT_OK(open(".", O_RDONLY));
  EXPECT_ERRNO(read(directory, &c, 1), EISDIR);
}

TEST(directory_and_nofollow_flags) {
  make_file("f", "x");
  EXPECT_OK(symlink("f", "link"));
  EXPECT_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
  EXPECT_ERRNO(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
  EXPECT_ERRNO(open("link", O_RDONLY | O_CREAT | O_EXCL, 0600), EEXIST);
  EXPECT_OK(symlink("new", "dangling"));
  EXPECT_OK(open("dangling", O_WRONLY | O_CREAT, 0600));
  EXPECT_OK(access("new", F_OK));
}

TEST(path_descriptors) {
  make_file("f", "x");
  char c;
  int fd = EXPECT_OK(open("f", O_PATH));
  EXPECT_ERRNO(read(fd, &c, 1), EBADF);
  EXPECT_ERRNO(fchmod(fd, 0600), EBADF);
  EXPECT_ERRNO(lseek(fd, 0, SEEK_SET), EBADF);
  EXPECT_EQ(size_of(fd), 1);
  EXPECT_OK(symlink("f", "link"));
  int link = EXPECT_OK(open("link", O_PATH | O_NOFOLLOW));
  char target[16] = {0};
  EXPECT_EQ(readlinkat(link, "", target, sizeof target), 1);
  EXPECT_STR(target, "f");
  struct stat st;
  EXPECT_OK(fstat(link, &st));
  EXPECT_TRUE(S_ISLNK(st.st_mode));
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  EXPECT_EQ(read(EXPECT_OK(open(path, O_RDONLY)), &c, 1), 1);
}

TEST(nameless_files) {
  int fd = open(".", O_TMPFILE | O_RDWR, 0600);
  if (fd == -1 && errno == EOPNOTSUPP) SKIP("this file system has no O_TMPFILE");
  EXPECT_GE(fd, 0);
  EXPECT_EQ(write(fd, "tmp", 3), 3);
  struct stat st;
  EXPECT_OK(fstat(fd, &st));
  EXPECT_EQ(st.st_nlink, 0);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  EXPECT_OK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
  expect_content("named", "tmp");
  EXPECT_ERRNO(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
}

TEST(seeking) {
  int fd = open_with("f", "0123456789");
  EXPECT_EQ(lseek(fd, 3, SEEK_SET), 3);
  EXPECT_EQ(lseek(fd, 2, SEEK_CUR), 5);
  EXPECT_EQ(lseek(fd, -1, SEEK_END), 9);
  EXPECT_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
  EXPECT_ERRNO(lseek(fd, -11, SEEK_END), EINVAL);
  EXPECT_ERRNO(lseek(fd, 0, 99), EINVAL);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 9);
  EXPECT_EQ(lseek(fd, 100, SEEK_SET), 100);
  char c;
  EXPECT_EQ(read(fd, &c, 1), 0);
  EXPECT_EQ(write(fd, "e", 1), 1);
  EXPECT_EQ(size_of(fd), 101);
  EXPECT_EQ(pread(fd, &c, 1, 50), 1);
  EXPECT_EQ(c, 0);
  int fds[2];
  EXPECT_OK(pipe(fds));
  EXPECT_ERRNO(lseek(fds[0], 0, SEEK_SET), ESPIPE);
  EXPECT_ERRNO(pread(fds[0], &c, 1, 0), ESPIPE);
}

TEST(holes_and_data) {
  int fd = open_new("f");
  EXPECT_EQ(pwrite(fd, "d", 1, 1 << 20), 1);
  EXPECT_LE(lseek(fd, 0, SEEK_DATA), 1 << 20);
  EXPECT_EQ(lseek(fd, 1 << 20, SEEK_DATA), 1 << 20);
  EXPECT_GE(lseek(fd, 1 << 20, SEEK_HOLE), (1 << 20) + 1);
  EXPECT_ERRNO(lseek(fd, 2 << 20, SEEK_DATA), ENXIO);
  EXPECT_ERRNO(lseek(fd, 2 << 20, SEEK_HOLE), ENXIO);
}

TEST(positioned_io_leaves_the_offset) {
  int fd = open_with("f", "abcdef");
  char buffer[8] = {0};
  EXPECT_EQ(pread(fd, buffer, 2, 3), 2);
  EXPECT_STR(buffer, "de");
  EXPECT_EQ(pwrite(fd, "XY", 2, 1), 2);
  EXPECT_EQ(lseek(fd, 0, SEEK_CUR), 0);
  expect_content("f", "aXYdef");
  EXPECT_ERRNO(pread(fd, buffer, 1, -1), EINVAL);
  EXPECT_ERRNO(pwrite(fd, buffer, 1, -1), EINVAL);
  EXPECT_EQ(pread(fd, buffer, 1, 100), 0);
}

TEST(vectors) {
  int fd = open_new("f");
  char a[4] = {0}, b[8] = {0};
  struct iovec out[3] = {{"one", 3}, {NULL, 0}, {"two", 3}}, in[2] = {{a, 3}, {b, 8}};
  EXPECT_EQ(writev(fd, out, 3), 6);
  EXPECT_EQ(preadv(fd, in, 2, 0), 6);
  EXPECT_STR(a, "one");
  EXPECT_STR(b, "two");
  EXPECT_EQ(pwritev(fd, out, 1, 3), 3);
  expect_content("f", "oneone");
  EXPECT_ERRNO(syscall(SYS_writev, fd, out, -1), EINVAL);
  EXPECT_ERRNO(syscall(SYS_writev, fd, out, 1025), EINVAL);
  EXPECT_EQ(writev(fd, out, 0), 0);
  struct iovec huge[2] = {{a, SIZE_MAX / 2 + 1}, {a, 1}};
  EXPECT_ERRNO(readv(fd, huge, 1), EINVAL);
  EXPECT_EQ(pwritev2(fd, out, 1, -1, 0), 3);
  EXPECT_EQ(pwritev2(fd, out, 1, 0, RWF_APPEND), 3);
  EXPECT_EQ(size_of(fd), 12);
  EXPECT_ERRNO(preadv2(fd, in, 1, 0, 0x1000), EOPNOTSUPP);
}

TEST(duplicates_share_the_offset_not_the_flags) {
  int fd = open_with("f", "abcdef");
  char c;
  int copy = EXPECT_OK(dup(fd));
  EXPECT_EQ(copy, fd + 1);
  EXPECT_EQ(read(fd, &c, 1), 1);
  EXPECT_EQ(read(copy, &c, 1), 1);
  EXPECT_EQ(c, 'b');
  EXPECT_EQ(dup2(fd, 50), 50);
  EXPECT_EQ(dup2(fd, fd), fd);
  EXPECT_ERRNO(dup2(99, 99), EBADF);
  EXPECT_ERRNO(dup2(fd, -1), EBADF);
  EXPECT_ERRNO(dup3(fd, fd, 0), EINVAL);
  EXPECT_ERRNO(dup3(fd, 51, O_APPEND), EINVAL);
  EXPECT_EQ(dup3(fd, 51, O_CLOEXEC), 51);
  EXPECT_EQ(fcntl(51, F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(fcntl(50, F_GETFD), 0);
  EXPECT_EQ(fcntl(fd, F_DUPFD, 60), 60);
  EXPECT_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 60), 61);
  EXPECT_OK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK));
  EXPECT_EQ(fcntl(60, F_GETFL) & (O_APPEND | O_NONBLOCK), O_APPEND | O_NONBLOCK);
  EXPECT_ERRNO(fcntl(fd, 9999), EINVAL);
  EXPECT_OK(close(fd));
  EXPECT_ERRNO(close(fd), EBADF);
  EXPECT_EQ(read(copy, &c, 1), 1);
}

TEST(close_range) {
  for (int i = 20; i < 30; i++) EXPECT_OK(dup2(0, i));
  EXPECT_OK(syscall(SYS_close_range, 22, 25, 0));
  EXPECT_ERRNO(fcntl(22, F_GETFD), EBADF);
  EXPECT_OK(fcntl(26, F_GETFD));
  EXPECT_OK(syscall(SYS_close_range, 26, 199, 4));
  EXPECT_EQ(fcntl(27, F_GETFD), FD_CLOEXEC);
  EXPECT_ERRNO(syscall(SYS_close_range, 5, 4, 0), EINVAL);
  EXPECT_ERRNO(syscall(SYS_close_range, 5, 6, 1), EINVAL);
}

TEST(lowest_descriptor_is_taken) {
  int fd = EXPECT_OK(dup(0));
  EXPECT_OK(dup(0));
  close(fd);
  EXPECT_EQ(open("/dev/null", O_RDONLY), fd);
}

#ifndef F_CREATED_QUERY
#define F_CREATED_QUERY 1028
#endif

TEST(a_descriptor_tells_whether_it_made_its_file) {
  int a = EXPECT_OK(open("f", O_RDWR | O_CREAT, 0644));
  int n = fcntl(a, F_CREATED_QUERY);
  if (n == -1 && errno == EINVAL) SKIP("before Linux 6.12");
  EXPECT_EQ(n, 1);
  EXPECT_EQ(fcntl(EXPECT_OK(open("f", O_RDWR | O_CREAT, 0644)), F_CREATED_QUERY), 0);
  EXPECT_EQ(fcntl(EXPECT_OK(open("f", O_RDONLY)), F_CREATED_QUERY), 0);
}

static long cache_of(int fd, uint64_t offset, uint64_t length, uint64_t *stat, unsigned flags) {
  uint64_t range[2] = {offset, length};
  return syscall(451 /* cachestat */, fd, range, stat, flags);
}
TEST(cached_pages) {
  int fd = EXPECT_OK(open("f", O_RDWR | O_CREAT, 0644));
  uint64_t stat[5];
  char page[4096] = "x";
  for (int i = 0; i < 4; i++) EXPECT_EQ(write(fd, page, sizeof page), 4096);
  if (cache_of(fd, 0, 0, stat, 0) == -1 && errno == ENOSYS) SKIP("before Linux 6.5");
  EXPECT_EQ(stat[0] + stat[3], 4);
  EXPECT_OK(cache_of(fd, 4096, 8192, stat, 0));
  EXPECT_EQ(stat[0] + stat[3], 2);
  EXPECT_OK(cache_of(fd, 1 << 20, 0, stat, 0));
  EXPECT_EQ(stat[0] + stat[3], 0);
  EXPECT_ERRNO(cache_of(fd, 0, 0, stat, 1), EINVAL);
  EXPECT_ERRNO(cache_of(-1, 0, 0, stat, 0), EBADF);
  EXPECT_ERRNO(cache_of(fd, 0, 0, (void *)8, 0), EFAULT);
  EXPECT_ERRNO(syscall(451, fd, NULL, stat, 0), EFAULT);
}

TEST(a_file_without_a_name_tells_so) {
  int fd = open(".", O_TMPFILE | O_RDWR, 0600);
  if (fd == -1 && errno == EOPNOTSUPP) SKIP("no O_TMPFILE here");
  EXPECT_EQ(EXPECT_OK(fcntl(fd, F_GETFL)) & O_TMPFILE, O_TMPFILE);
}

TEST(sizes) {
  int fd = open_with("f", "0123456789");
  EXPECT_OK(ftruncate(fd, 4));
  expect_content("f", "0123");
  EXPECT_OK(truncate("f", 8));
  char buffer[8];
  EXPECT_EQ(pread(fd, buffer, 8, 0), 8);
  EXPECT_MEM(buffer, "0123\0\0\0\0", 8);
  EXPECT_ERRNO(ftruncate(fd, -1), EINVAL);
  EXPECT_ERRNO(truncate("none", 0), ENOENT);
  EXPECT_ERRNO(truncate(".", 0), EISDIR);
}

TEST(allocation) {
  int fd = open_with("f", "0123456789");
  if (fallocate(fd, 0, 0, 4096) == -1 && errno == EOPNOTSUPP) SKIP("this file system has no fallocate");
  EXPECT_EQ(size_of(fd), 4096);
  EXPECT_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 8192));
  EXPECT_EQ(size_of(fd), 4096);
  EXPECT_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3));
  char buffer[8];
  EXPECT_EQ(pread(fd, buffer, 8, 0), 8);
  EXPECT_MEM(buffer, "01\0\0\0" "567", 8);
  EXPECT_ERRNO(fallocate(fd, 0, -1, 5), EINVAL);
  EXPECT_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
  EXPECT_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 5), EOPNOTSUPP);
  EXPECT_EQ(posix_fadvise(99, 0, 0, 0), EBADF);
  EXPECT_EQ(posix_fadvise(fd, 0, 0, 77), EINVAL);
}

TEST(much_allocation) {
  // Memory, of which the kernel makes a part at a time.
  int fd = EXPECT_OK(memfd_create("m", 0));
  EXPECT_EQ(write(fd, "begin", 5), 5);
  EXPECT_OK(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 50 << 20));
  EXPECT_EQ(size_of(fd), 5);
  EXPECT_OK(fallocate(fd, 0, 1000, 70 << 20));
  EXPECT_EQ(size_of(fd), 1000 + (70 << 20));
  char buffer[6];
  EXPECT_EQ(pread(fd, buffer, 6, 0), 6);
  EXPECT_MEM(buffer, "begin", 6);
  struct stat st;
  EXPECT_OK(fstat(fd, &st));
  EXPECT_GE(st.st_blocks, (70 << 20) / 512);
}

TEST(send_file) {
  int in = open_with("in", "0123456789"), out = open_new("out");
  off_t offset = 2;
  EXPECT_EQ(sendfile(out, in, &offset, 3), 3);
  EXPECT_EQ(offset, 5);
  EXPECT_EQ(lseek(in, 0, SEEK_CUR), 0);
  EXPECT_EQ(sendfile(out, in, NULL, 100), 10);
  expect_content("out", "2340123456789");
  EXPECT_EQ(sendfile(out, in, NULL, 100), 0);
  int fds[2];
  EXPECT_OK(pipe(fds));
  offset = 0;
  EXPECT_EQ(sendfile(fds[1], in, &offset, 4), 4);
  EXPECT_ERRNO(sendfile(in, 99, NULL, 1), EBADF);
  offset = -1;
  EXPECT_ERRNO(sendfile(out, in, &offset, 1), EINVAL);
}

TEST(copy_file_range_and_splice) {
  int in = open_with("in", "0123456789"), out = open_new("out");
  off_t from = 1, to = 0;
  EXPECT_EQ(copy_file_range(in, &from, out, &to, 4, 0), 4);
  EXPECT_TRUE(from == 5 && to == 4);
  expect_content("out", "1234");
  EXPECT_ERRNO(copy_file_range(in, &from, out, &to, 4, 1), EINVAL);
  int fds[2];
  char buffer[16] = {0};
  EXPECT_OK(pipe(fds));
  EXPECT_EQ(splice(in, NULL, fds[1], NULL, 6, 0), 6);
  EXPECT_EQ(read(fds[0], buffer, 16), 6);
  EXPECT_STR(buffer, "012345");
  EXPECT_EQ(write(fds[1], "pipe", 4), 4);
  from = 2;
  EXPECT_EQ(splice(fds[0], NULL, out, &from, 4, 0), 4);
  expect_content("out", "12pipe");
  EXPECT_ERRNO(splice(in, NULL, out, NULL, 4, 0), EINVAL);
  EXPECT_ERRNO(splice(fds[0], &from, out, NULL, 4, 0), ESPIPE);
}

struct entry {
  uint64_t ino;
  int64_t off;
  uint16_t length;
  uint8_t type;
  char name[];
};

TEST(directory_entries) {
  EXPECT_OK(mkdir("d", 0755));
  char path[64];
  for (int i = 0; i < 300; i++) {
    snprintf(path, sizeof path, "d/file-with-a-longer-name-%d", i);
    make_file(path, "");
  }
  EXPECT_OK(mkdir("d/sub", 0755));
  EXPECT_OK(symlink("x", "d/link"));
  EXPECT_OK(mkfifo("d/fifo", 0600));
  int fd = EXPECT_OK(open("d", O_RDONLY)), seen = 0, kinds = 0;
  char buffer[1024] __attribute__((aligned(8)));
  for (long n; (n = EXPECT_OK(syscall(SYS_getdents64, fd, buffer, sizeof buffer))) > 0;)
    for (long at = 0; at < n;) {
      struct entry *e = (struct entry *)(buffer + at);
      EXPECT_EQ(e->length % 8, 0);
      EXPECT_NE(e->ino, 0);
      seen++;
      if (strcmp(e->name, "sub") == 0) kinds += e->type == DT_DIR;
      if (strcmp(e->name, "link") == 0) kinds += e->type == DT_LNK;
      if (strcmp(e->name, "fifo") == 0) kinds += e->type == DT_FIFO;
      at += e->length;
    }
  EXPECT_EQ(seen, 305);
  EXPECT_EQ(kinds, 3);
  EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
  EXPECT_ERRNO(syscall(SYS_getdents64, fd, buffer, 16), EINVAL);
  EXPECT_GT(syscall(SYS_getdents64, fd, buffer, sizeof buffer), 0);
  EXPECT_ERRNO(syscall(SYS_getdents64, open_new("f"), buffer, sizeof buffer), ENOTDIR);
}

/** How many entries a listing from the start has, besides "." and "..". */
static int count_again(int fd) {
  char buffer[1024] __attribute__((aligned(8)));
  int seen = -2;
  EXPECT_EQ(lseek(fd, 0, SEEK_SET), 0);
  for (long n; (n = EXPECT_OK(syscall(SYS_getdents64, fd, buffer, sizeof buffer))) > 0;)
    for (long at = 0; at < n; at += ((struct entry *)(buffer + at))->length) seen++;
  return seen;
}

TEST(a_listing_from_the_start_shows_what_came_and_went) {
  EXPECT_OK(mkdir("d", 0755));
  int fd = EXPECT_OK(open("d", O_RDONLY));
  EXPECT_EQ(count_again(fd), 0);
  make_file("d/a", "");
  EXPECT_EQ(count_again(fd), 1);
  EXPECT_OK(mkdir("d/b", 0755));
  EXPECT_EQ(count_again(fd), 2);
  EXPECT_OK(unlink("d/a"));
  EXPECT_OK(rmdir("d/b"));
  EXPECT_EQ(count_again(fd), 0);
  EXPECT_OK(symlink("x", "d/c"));
  EXPECT_EQ(count_again(fd), 1);
}

TEST(directory_seek_and_rewind) {
  EXPECT_OK(mkdir("d", 0755));
  char path[64];
  for (int i = 0; i < 50; i++) snprintf(path, sizeof path, "d/%d", i), make_file(path, "");
  DIR *d = opendir("d");
  for (int i = 0; i < 20; i++) EXPECT_TRUE(readdir(d) != NULL);
  long at = telldir(d);
  char name[256];
  strcpy(name, readdir(d)->d_name);
  for (int i = 0; i < 10; i++) readdir(d);
  seekdir(d, at);
  EXPECT_STR(readdir(d)->d_name, name);
  rewinddir(d);
  int n = 0;
  while (readdir(d)) n++;
  EXPECT_EQ(n, 52);
}

TEST(deleting_while_reading) {
  EXPECT_OK(mkdir("d", 0755));
  char path[300];
  for (int i = 0; i < 500; i++) snprintf(path, sizeof path, "d/%d", i), make_file(path, "");
  DIR *d = opendir("d");
  int removed = 0;
  for (struct dirent *e; (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "d/%s", e->d_name);
    EXPECT_OK(unlink(path));
    removed++;
  }
  EXPECT_EQ(removed, 500);
  EXPECT_OK(rmdir("d"));
  char buffer[256];
  EXPECT_EQ(syscall(SYS_getdents64, dirfd(d), buffer, sizeof buffer) <= 0, 1);
}

TEST(unlinked_files_live_on) {
  int fd = open_with("f", "still here");
  EXPECT_OK(unlink("f"));
  char buffer[16] = {0};
  EXPECT_EQ(read(fd, buffer, 16), 10);
  struct stat st;
  EXPECT_OK(fstat(fd, &st));
  EXPECT_EQ(st.st_nlink, 0);
  make_file("f", "another");
  EXPECT_EQ(pread(fd, buffer, 5, 0), 5);
  EXPECT_MEM(buffer, "still", 5);
}

TEST(bytes_left_and_sync) {
  int fd = open_with("f", "0123456789"), n;
  EXPECT_EQ(lseek(fd, 4, SEEK_SET), 4);
  EXPECT_OK(ioctl(fd, FIONREAD, &n));
  EXPECT_EQ(n, 6);
  EXPECT_ERRNO(ioctl(fd, 0x1234567, &n), ENOTTY);
  EXPECT_OK(fsync(fd));
  EXPECT_OK(fdatasync(fd));
  EXPECT_OK(syncfs(fd));
  EXPECT_OK(ioctl(fd, FIOCLEX));
  EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  int on = 1;
  EXPECT_OK(ioctl(fd, FIONBIO, &on));
  EXPECT_TRUE(fcntl(fd, F_GETFL) & O_NONBLOCK);
  int fds[2];
  EXPECT_OK(pipe(fds));
  EXPECT_ERRNO(fsync(fds[0]), EINVAL);
}

TEST(big_writes_and_reads) {
  size_t size = 8 << 20;
  char *data = malloc(size), *back = malloc(size);
  for (size_t i = 0; i < size; i++) data[i] = (char)(i * 31 + i / 4096);
  int fd = open_new("f");
  EXPECT_EQ(write(fd, data, size), size);
  EXPECT_EQ(pread(fd, back, size, 0), size);
  EXPECT_MEM(data, back, size);
}

TEST(offsets_are_shared_by_threads_of_writers) {
  int fd = open_new("f");
  pid_t children[4];
  for (int i = 0; i < 4; i++) children[i] = FORK({
    for (int j = 0; j < 200; j++) EXPECT_EQ(write(fd, "0123456789", 10), 10);
  });
  for (int i = 0; i < 4; i++) EXPECT_EXIT(children[i], 0);
  EXPECT_EQ(size_of(fd), 8000);
}

TEST(devices) {
  char buffer[16];
  int fd = EXPECT_OK(open("/dev/zero", O_RDWR));
  memset(buffer, 1, 16);
  EXPECT_EQ(read(fd, buffer, 16), 16);
  EXPECT_EQ(buffer[15], 0);
  fd = EXPECT_OK(open("/dev/null", O_RDWR));
  EXPECT_EQ(write(fd, buffer, 16), 16);
  EXPECT_EQ(read(fd, buffer, 16), 0);
  fd = EXPECT_OK(open("/dev/full", O_RDWR));
  EXPECT_ERRNO(write(fd, buffer, 16), ENOSPC);
  fd = EXPECT_OK(open("/dev/urandom", O_RDONLY));
  EXPECT_EQ(read(fd, buffer, 16), 16);
  struct stat st;
  EXPECT_OK(stat("/dev/null", &st));
  EXPECT_TRUE(S_ISCHR(st.st_mode) && st.st_rdev == 0x103);
}

TEST(file_system_information) {
  struct statfs fs;
  EXPECT_OK(statfs(".", &fs));
  EXPECT_GT(fs.f_bsize, 0);
  EXPECT_OK(fstatfs(open_new("f"), &fs));
  EXPECT_ERRNO(statfs("none", &fs), ENOENT);
  EXPECT_OK(statfs("/proc", &fs));
  EXPECT_EQ(fs.f_type, 0x9fa0);
}
