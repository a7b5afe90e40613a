// The container that the front's command is about.
#pragma once
#include "front-node.h"
#include "front-state.h"
#include "front-words.h"

#include <sys/socket.h>
#include <sys/un.h>

struct container {
  struct request request;
  // Of all containers, and of this one.
  int root, directory;
};

static struct kept kept;

static bool exists(int directory, const char *name) { return faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

// Whether nobody has removed the container whose directory we hold, or made another of that name.
static bool is_still(const struct container *container) {
  struct stat now, held;
  return fstatat(container->root, container->request.id, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
         fstat(container->directory, &held) == 0 && now.st_dev == held.st_dev && now.st_ino == held.st_ino;
}

// The control socket, by a path that is never too long for an address.
static int connect_to_sandbox(const struct container *container) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control.sock", container->directory);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) by_node();
  return fd;
}
