// Stands for a process that `runsc exec` has made. Its arguments are those of that process, so that ps(1) tells what
// runs; its own are numbers in the environment: STAND_IN="DETACH LINK TERMINAL CGROUP...". The others are descriptors:
// TERMINAL may be -1, and each CGROUP is a cgroup.procs file to enter by. With DETACH 1 it leaves its parent at once,
// which must not reap it in place of the engine. Its pid goes to descriptor 1, which is closed when it is ready.
#define _GNU_SOURCE
#include "stand-in.h"

#include <stdio.h>
#include <stdlib.h>

#define EXIT_SETUP 128

int main(int argc, char **argv) {
  const char *text = getenv("STAND_IN");
  int detach, link, terminal, used;
  if (argc < 1 || !text || sscanf(text, "%d %d %d%n", &detach, &link, &terminal, &used) != 3)
    return EXIT_SETUP;
  hold_signals(NULL);
  if (detach && fork() != 0) return 0;
  for (text += used; *text;) {
    char *end;
    long cgroup = strtol(text, &end, 10);
    if (end == text) return EXIT_SETUP;
    if (write((int)cgroup, "0", 1) != 1) {
      fprintf(stderr, "enter the cgroup: %s\n", strerror(errno));
      return EXIT_SETUP;
    }
    text = end;
  }
  take_name(argv[0]);
  if (terminal >= 0) control_terminal(terminal);
  else setsid();
  dprintf(1, "%d", (int)getpid());
  silence();
  dup2(link, 3);
  syscall(SYS_close_range, 4, ~0U, 0);
  drop_capabilities();
  stand_in(3, 0);
}
