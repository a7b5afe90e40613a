// What is found in the mount namespace of a stand-in. Engines and administrators enter it and expect the container
// (podman cp, podman top, nsenter): the container's files are there as the host has them, and a /proc in which there is
// the stand-in alone. The sandbox itself is in other namespaces, and sees nothing of this. But its program can have made any
// link that who looks here may follow: nothing of the host's other processes is here, and its /proc cannot be written.
#pragma once
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Numbers of linux/mount.h, whose names older C libraries lack and newer ones have in sys/mount.h.
enum {
  TREE_CLONE = 1,
  WHOLE_TREE = 0x8000,
  FROM_EMPTY_PATH = 4,
  TO_EMPTY_PATH = 0x40,
  FS_CLOEXEC = 1,
  FS_SET_STRING = 1,
  FS_CREATE = 6,
  READ_ONLY = 1,
  NO_SUID_DEV_EXEC = 2 | 4 | 8,
};

#define MAX_TREES 256

// A mount that is to be seen at `path`; the first one is the root.
struct Tree {
  int fd;
  const char *path;
};

// A path of the container, whose files are hostile.
static int open_in(int root, const char *path) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

static int attach_tree(int tree, int at, const char *path) {
  return (int)syscall(SYS_move_mount, tree, "", at, path, FROM_EMPTY_PATH | TO_EMPTY_PATH);
}

struct Attributes {
  uint64_t set, clear, propagation, userns;
};

// Trees of the host may be shared: what is mounted below ours would then appear there as well.
static int make_private(int tree) {
  struct Attributes attributes = {.propagation = MS_PRIVATE};
  return (int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | WHOLE_TREE, &attributes, sizeof attributes);
}

// A read-only copy of what the host has there.
static int copy_of(const char *path) {
  struct Attributes attributes = {.set = READ_ONLY, .propagation = MS_PRIVATE};
  int tree = (int)syscall(SYS_open_tree, AT_FDCWD, path, TREE_CLONE | O_CLOEXEC);
  if (tree >= 0 && syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0) return tree;
  if (tree >= 0) close(tree);
  return -1;
}

// What is in the view's /proc: the process, and files without which tools cannot tell its age.
struct Proc {
  char process[32];
  const char *paths[4];
  int copies[4];
};
#define PROC_ENTRIES 4

static int open_proc(struct Proc *proc) {
  snprintf(proc->process, sizeof proc->process, "/proc/%d", (int)getpid());
  const char *paths[PROC_ENTRIES] = {proc->process, "/proc/stat", "/proc/uptime", "/proc/meminfo"};
  for (int i = 0; i < PROC_ENTRIES; i++) {
    proc->paths[i] = paths[i];
    proc->copies[i] = copy_of(paths[i]);
    if (proc->copies[i] < 0) return -1;
  }
  return 0;
}

static int new_tmpfs(void) {
  int fs = (int)syscall(SYS_fsopen, "tmpfs", FS_CLOEXEC), tree = -1;
  if (fs >= 0 && syscall(SYS_fsconfig, fs, FS_SET_STRING, "mode", "0555", 0) == 0 &&
      syscall(SYS_fsconfig, fs, FS_CREATE, NULL, NULL, 0) == 0)
    tree = (int)syscall(SYS_fsmount, fs, FS_CLOEXEC, NO_SUID_DEV_EXEC);
  if (fs >= 0) close(fs);
  return tree;
}

static int fill_proc(int tree, const struct Proc *proc) {
  for (int i = 0; i < PROC_ENTRIES; i++) {
    const char *name = proc->paths[i] + strlen("/proc/");
    int made = i == 0 ? mkdirat(tree, name, 0555) : mknodat(tree, name, S_IFREG | 0444, 0);
    if (made < 0 || attach_tree(proc->copies[i], tree, name) < 0) return -1;
    close(proc->copies[i]);
  }
  return 0;
}

// A container without a place for it has none.
static int make_proc(int root, const struct Proc *proc) {
  int at = open_in(root, "proc");
  if (at < 0) return 0;
  int tree = new_tmpfs();
  int result = tree < 0 || attach_tree(tree, at, "") < 0 ? -1 : fill_proc(tree, proc);
  if (tree >= 0) close(tree);
  close(at);
  return result;
}

// Make the view, in a mount namespace that is this process's alone and whose mounts are private; the trees may be shared. Returns what could not
// be done, or null. Places that only the sandbox has, as below a tmpfs of its own, are left out.
static const char *make_view(const struct Tree *trees, int count) {
  struct Proc proc;
  int root = trees[0].fd;
  if (open_proc(&proc) < 0) return "open /proc";
  for (int i = 0; i < count; i++) {
    if (make_private(trees[i].fd) < 0) return "make the container's mounts private";
  }
  if (attach_tree(root, AT_FDCWD, "/") < 0) return "mount the container's root";
  if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0) return "enter the container's root";
  if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) return "leave the host's root";
  if (make_proc(root, &proc) < 0) return "show the process in /proc";
  for (int i = 1; i < count; i++) {
    int at = open_in(root, trees[i].path);
    if (at < 0) continue;
    attach_tree(trees[i].fd, at, "");
    close(at);
  }
  return NULL;
}
