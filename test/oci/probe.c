// Makes the system calls that its arguments name, and prints what came of each:
//
//   probe NR[,ARG]... ...
//
// Each runs in a child of its own, so that one that is killed is told too.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_sigsys(int signo, siginfo_t *info, void *context) {
  (void)signo, (void)context;
  char line[80];
  int n = snprintf(line, sizeof line, "SIGSYS code %d errno %d call %d\n", info->si_code, info->si_errno, info->si_syscall);
  write(1, line, (size_t)n);
  _exit(0);
}

static void make_call(char *text) {
  unsigned long words[7] = {0};
  char *p = text;
  for (int i = 0; i < 7 && *p; i++) {
    words[i] = strtoul(p, &p, 0);
    if (*p == ',') p++;
  }
  errno = 0;
  long n = syscall((long)words[0], words[1], words[2], words[3], words[4], words[5], words[6]);
  if (n == -1) printf("%s\n", strerror(errno));
  else printf("%ld\n", n);
  fflush(stdout);
  _exit(0);
}

int main(int argc, char **argv) {
  struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &action, NULL);
  for (int i = 1; i < argc; i++) {
    printf("%s: ", argv[i]);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) make_call(argv[i]);
    int status = 0;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) printf("killed by %d\n", WTERMSIG(status));
    else if (WEXITSTATUS(status)) printf("exit %d\n", WEXITSTATUS(status));
    fflush(stdout);
  }
}
