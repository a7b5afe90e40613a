// Enters a network namespace and sets it up. Each function returns NULL, or the step that has failed, with errno.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_SYSCTLS 64

static const char *join_network(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) return path;
  close(fd);
  return NULL;
}

static const char *loopback_up(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0) return "find the loopback interface";
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) return "bring the loopback interface up";
  close(fd);
  return NULL;
}

// NAME=VALUE, where the name is a path below /proc/sys.
static const char *set_sysctl(char *setting) {
  static char path[512];
  char *value = strchr(setting, '=');
  errno = EINVAL;
  if (!value) return setting;
  *value++ = 0;
  if (snprintf(path, sizeof path, "/proc/sys/%s", setting) >= (int)sizeof path) return setting;
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  size_t length = strlen(value);
  if (fd < 0 || write(fd, value, length) != (ssize_t)length) return path;
  close(fd);
  return NULL;
}
