// Stands for a process that `runsc exec` has made. Its arguments are those of that process, so that ps(1) tells what
// runs; its own are numbers of descriptors in the environment: STAND_IN="LINK TERMINAL CGROUP...", where TERMINAL
// may be -1 and each CGROUP is a cgroup.procs file to enter by.
#define _GNU_SOURCE
#include "stand-in.h"

#include <stdio.h>
#include <stdlib.h>

#define EXIT_SETUP 128

int main(int argc, char **argv) {
  const char *text = getenv("STAND_IN");
  int link, terminal, used;
  if (argc < 1 || !text || sscanf(text, "%d %d%n", &link, &terminal, &used) != 2) return EXIT_SETUP;
  hold_signals(NULL);
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
  // Closes the pipe behind descriptor 1: we are ready.
  silence();
  dup2(link, 3);
  syscall(SYS_close_range, 4, ~0U, 0);
  drop_capabilities();
  stand_in(3, 0);
}
