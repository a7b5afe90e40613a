// Stands for a process that `runsc exec` has made. Its arguments are those of that process, so that ps(1) tells what
// runs; its own are numbers in the environment: STAND_IN="DETACH LINK TERMINAL NET MOUNTS CGROUP...". The others are
// descriptors, -1 for none: NET and MOUNTS are namespaces to enter, those of the container's own stand-in, and each CGROUP is
// a cgroup.procs file to enter by. With DETACH 1 it leaves its parent at once, which must not reap it in place of the engine.
// A container of a pod has a view of its own (view.h): TREE_0="FD PATH" is its root, TREE_1 and so on are in it.
// Its pid goes to descriptor 1, which is closed when it is ready.
#define _GNU_SOURCE
#include "stand-in.h"
#include "view.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define EXIT_SETUP 128

__attribute__((noreturn)) static void fail(const char *step) {
  fprintf(stderr, "%s: %s\n", step, strerror(errno));
  exit(EXIT_SETUP);
}

static int trees_of_environment(struct Tree *trees) {
  int count = 0, used;
  for (; count < MAX_TREES; count++) {
    char name[16];
    snprintf(name, sizeof name, "TREE_%d", count);
    const char *text = getenv(name);
    if (!text || sscanf(text, "%d %n", &trees[count].fd, &used) != 1) break;
    trees[count].path = text + used;
  }
  return count;
}

// Be where the container is, as far as the host's tools can tell.
static void enter_namespaces(int net, int mounts) {
  static struct Tree trees[MAX_TREES];
  int count = trees_of_environment(trees);
  if (net >= 0 && setns(net, CLONE_NEWNET) < 0) fail("enter the network namespace");
  if (count > 0) {
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
      fail("make a mount namespace");
    const char *failed = make_view(trees, count);
    if (failed) fail(failed);
  } else if (mounts >= 0 && setns(mounts, CLONE_NEWNS) < 0) {
    fail("enter the mount namespace");
  }
}

int main(int argc, char **argv) {
  const char *text = getenv("STAND_IN");
  int detach, link, terminal, net, mounts, used;
  if (argc < 1 || !text || sscanf(text, "%d %d %d %d %d%n", &detach, &link, &terminal, &net, &mounts, &used) != 5)
    return EXIT_SETUP;
  hold_signals(NULL);
  if (detach && fork() != 0) return 0;
  for (text += used; *text;) {
    char *end;
    long cgroup = strtol(text, &end, 10);
    if (end == text) return EXIT_SETUP;
    if (write((int)cgroup, "0", 1) != 1) fail("enter the cgroup");
    text = end;
  }
  int null = open_null();
  enter_namespaces(net, mounts);
  take_name(argv[0]);
  if (terminal >= 0) control_terminal(terminal);
  else setsid();
  dprintf(1, "%d", (int)getpid());
  silence(null);
  dup2(link, 3);
  syscall(SYS_close_range, 4, ~0U, 0);
  drop_capabilities();
  stand_in(3, 0);
}
