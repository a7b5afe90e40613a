// File handles: name_to_handle_at and open_by_handle_at.
#include "test.h"
#include <sys/mount.h>

static void on_tmpfs(void) {
  EXPECT_OK(unshare(CLONE_NEWNS));
  EXPECT_OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  EXPECT_OK(mkdir("mount", 0755));
  EXPECT_OK(mount("none", "mount", "tmpfs", 0, NULL));
  EXPECT_OK(chdir("mount"));
}

static struct file_handle *handle_of(const char *path, int flags) {
  struct file_handle *handle = calloc(1, sizeof *handle + MAX_HANDLE_SZ);
  int mount = -1;
  handle->handle_bytes = MAX_HANDLE_SZ;
  EXPECT_OK(name_to_handle_at(AT_FDCWD, path, handle, &mount, flags));
  EXPECT_GT(mount, 0);
  EXPECT_LT(handle->handle_bytes, MAX_HANDLE_SZ);
  return handle;
}

TEST(a_file_is_found_again) {
  on_tmpfs();
  make_file("file", "contents");
  EXPECT_OK(mkdir("dir", 0755));
  struct file_handle *file = handle_of("file", 0), *dir = handle_of("dir", 0);
  // Whatever its name is by then.
  EXPECT_OK(rename("file", "dir/other"));
  int fd = EXPECT_OK(open_by_handle_at(AT_FDCWD, file, O_RDWR)), top = EXPECT_OK(open(".", O_RDONLY));
  char text[9] = "";
  EXPECT_EQ(read(fd, text, 8), 8);
  EXPECT_STR(text, "contents");
  EXPECT_OK(close(fd));
  fd = EXPECT_OK(open_by_handle_at(top, dir, O_RDONLY | O_DIRECTORY));
  EXPECT_OK(faccessat(fd, "other", F_OK, 0));
  EXPECT_OK(fchdir(fd));
  EXPECT_OK(access("../dir", F_OK));
  EXPECT_ERRNO(open_by_handle_at(top, file, O_RDONLY | O_DIRECTORY), ENOTDIR);
  int path = EXPECT_OK(open_by_handle_at(top, file, O_PATH));
  EXPECT_ERRNO(read(path, text, 1), EBADF);
  EXPECT_ERRNO(open_by_handle_at(path, file, O_RDONLY), EBADF);
  EXPECT_OK(close(path));
  EXPECT_OK(unlink("other"));
  EXPECT_ERRNO(open_by_handle_at(top, file, O_RDONLY), ESTALE);
}

TEST(links) {
  on_tmpfs();
  make_file("file", "");
  EXPECT_OK(symlink("file", "link"));
  struct file_handle *link = handle_of("link", 0), *file = handle_of("link", AT_SYMLINK_FOLLOW), *same = handle_of("file", 0);
  EXPECT_EQ(file->handle_bytes, same->handle_bytes);
  EXPECT_MEM(file->f_handle, same->f_handle, file->handle_bytes);
  EXPECT_NE(memcmp(link->f_handle, file->f_handle, file->handle_bytes), 0);
  EXPECT_ERRNO(open_by_handle_at(AT_FDCWD, link, O_RDONLY), ELOOP);
  EXPECT_OK(open_by_handle_at(AT_FDCWD, file, O_RDONLY));
  int fd = EXPECT_OK(open("file", O_RDONLY)), mount;
  same->handle_bytes = MAX_HANDLE_SZ;
  EXPECT_OK(name_to_handle_at(fd, "", same, &mount, AT_EMPTY_PATH));
  EXPECT_MEM(file->f_handle, same->f_handle, file->handle_bytes);
}

TEST(what_is_refused) {
  on_tmpfs();
  make_file("file", "");
  int mount;
  struct file_handle small = {0}, large = {.handle_bytes = MAX_HANDLE_SZ + 1};
  EXPECT_ERRNO(name_to_handle_at(AT_FDCWD, "file", &small, &mount, 0), EOVERFLOW);
  EXPECT_GT(small.handle_bytes, 0);
  EXPECT_ERRNO(name_to_handle_at(AT_FDCWD, "file", &large, &mount, 0), EINVAL);
  EXPECT_ERRNO(name_to_handle_at(AT_FDCWD, "file", &small, &mount, -1), EINVAL);
  EXPECT_ERRNO(name_to_handle_at(AT_FDCWD, "", &small, &mount, 0), ENOENT);
  EXPECT_ERRNO(name_to_handle_at(AT_FDCWD, "none", &small, &mount, 0), ENOENT);
  EXPECT_ERRNO(name_to_handle_at(-1, "file", &small, &mount, 0), EBADF);
  EXPECT_ERRNO(name_to_handle_at(AT_FDCWD, "file", NULL, &mount, 0), EFAULT);
  EXPECT_ERRNO(name_to_handle_at(AT_FDCWD, "file", &small, NULL, 0), EFAULT);
  EXPECT_ERRNO(name_to_handle_at(EXPECT_OK(memfd_create("m", 0)), "file", &small, &mount, 0), ENOTDIR);
  int fds[2];
  EXPECT_OK(pipe(fds));
  EXPECT_ERRNO(name_to_handle_at(fds[0], "", &small, &mount, AT_EMPTY_PATH), EOPNOTSUPP);
  struct file_handle *file = handle_of("file", 0);
  EXPECT_ERRNO(open_by_handle_at(-1, file, O_RDONLY), EBADF);
  EXPECT_ERRNO(open_by_handle_at(fds[0], file, O_RDONLY), ESTALE);
  EXPECT_ERRNO(open_by_handle_at(AT_FDCWD, NULL, O_RDONLY), EFAULT);
  EXPECT_ERRNO(open_by_handle_at(AT_FDCWD, &large, O_RDONLY), EINVAL);
  small.handle_bytes = 0;
  EXPECT_ERRNO(open_by_handle_at(AT_FDCWD, &small, O_RDONLY), EINVAL);
  EXPECT_EXIT(FORK(EXPECT_OK(setresuid(NOBODY, NOBODY, NOBODY)); EXPECT_ERRNO(open_by_handle_at(AT_FDCWD, file, O_RDONLY), EPERM)), 0);
  file->f_handle[file->handle_bytes - 5] ^= 0x55;
  EXPECT_ERRNO(open_by_handle_at(AT_FDCWD, file, O_RDONLY), ESTALE);
}
