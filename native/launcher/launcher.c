// Starts a program in namespaces of its own and stands for it towards its parent: waits for it, passes
// signals on and ends with its status. Namespaces must be made before Node starts, because Node has threads,
// and a new pid namespace needs a process between its first process and whoever waits for it.
//
//   launcher [--pid] [--mount] [--net] [--ipc] [--uts] [--join-net PATH] [--loopback]
//            [--sysctl PATH=VALUE]... [--die-with-parent] [--report-pid FD] [--join-cgroup FD]...
//            [--oom-score-adj N] [--stand-in FD] [--terminal FD] [--title WORD]... [--tree FD PATH]... [--argv0 NAME] -- PROGRAM ARGUMENT...
//   launcher --child PID [FLAG]... --
//
// With --pid, the program is pid 1 of its namespace: nothing that it started survives it. With --mount,
// mounts do not propagate to the host any more, and with both, /proc shows the new pid namespace. --join-net enters a
// network namespace that exists, --loopback brings up its lo, --sysctl sets what is below /proc/sys there. --join-cgroup is a cgroup.procs file through
// which the launcher itself enters a cgroup; the sentry enters when it has loaded its own code, so that this does not count
// for the container. With --stand-in, signals do not go to the program but to the first process
// of the sandbox, as stand-in.h has it; --terminal is a terminal to hold for it, and --title what ps(1) is to show. The
// launcher itself is in a mount namespace that shows the trees of --tree, as view.h has it; the first one is its root.
// --argv0 is what the program is told as its own name.
//
// With --child there is a child already, the sentry (native/addon/fork.cc), which lives in our namespaces but for that of the
// network. Descriptor 3 is its socket: one message lets it go on, with a network namespace if it shall enter one.
#define _GNU_SOURCE
#include "network.h"
#include "stand-in.h"
#include "view.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>

#define EXIT_SETUP 128
// Version 1 has a dozen controllers.
#define MAX_CGROUPS 32
#define MAX_TITLE 64

// The child's socket, and later the descriptor by which a program learns that we died.
#define CHILD_FD 3

struct Config {
  pid_t child;
  int namespaces;
  int pid_namespace;
  int die_with_parent;
  int report_fd;
  int loopback;
  const char *join_net;
  char *sysctls[MAX_SYSCTLS];
  int sysctl_count;
  const char *oom_score_adj;
  int cgroups[MAX_CGROUPS];
  int cgroup_count;
  int stand_in_fd;
  int terminal_fd;
  const char *title[MAX_TITLE];
  int title_count;
  struct Tree trees[MAX_TREES];
  int tree_count;
  char *argv0;
  char **program;
};

static const struct {
  const char *name;
  int flag;
} NAMESPACES[] = {
    {"--mount", CLONE_NEWNS},
    {"--net", CLONE_NEWNET},
    {"--ipc", CLONE_NEWIPC},
    {"--uts", CLONE_NEWUTS},
};

static volatile sig_atomic_t child;

// Where whoever started us reads what went wrong; its own stderr is the container's.
static int complaints = STDERR_FILENO;

__attribute__((noreturn)) static void fail(const char *step) {
  dprintf(complaints, "launcher: %s: %s\n", step, strerror(errno));
  exit(EXIT_SETUP);
}

__attribute__((noreturn)) static void usage(const char *argument) {
  fprintf(stderr, "launcher: bad argument: %s\n", argument);
  exit(EXIT_SETUP);
}

static int namespace_flag(const char *argument) {
  for (size_t i = 0; i < sizeof NAMESPACES / sizeof *NAMESPACES; i++) {
    if (!strcmp(argument, NAMESPACES[i].name)) return NAMESPACES[i].flag;
  }
  return 0;
}

static int descriptor(const char *argument) {
  char *end;
  long fd = strtol(argument, &end, 10);
  if (*end || end == argument || fd < 0 || fd > 1 << 20) usage(argument);
  return (int)fd;
}

static struct Config parse(char **argv) {
  struct Config config = {.report_fd = -1, .stand_in_fd = -1, .terminal_fd = -1};
  char **p = argv + 1;
  for (; *p && strcmp(*p, "--"); p++) {
    int flag = namespace_flag(*p);
    if (flag) {
      config.namespaces |= flag;
    } else if (!strcmp(*p, "--child") && p[1]) {
      config.child = descriptor(*++p);
    } else if (!strcmp(*p, "--pid")) {
      config.pid_namespace = 1;
    } else if (!strcmp(*p, "--die-with-parent")) {
      config.die_with_parent = 1;
    } else if (!strcmp(*p, "--report-pid") && p[1]) {
      config.report_fd = descriptor(*++p);
    } else if (!strcmp(*p, "--join-cgroup") && p[1] && config.cgroup_count < MAX_CGROUPS) {
      config.cgroups[config.cgroup_count++] = descriptor(*++p);
    } else if (!strcmp(*p, "--oom-score-adj") && p[1]) {
      config.oom_score_adj = *++p;
    } else if (!strcmp(*p, "--join-net") && p[1]) {
      config.join_net = *++p;
    } else if (!strcmp(*p, "--loopback")) {
      config.loopback = 1;
    } else if (!strcmp(*p, "--sysctl") && p[1] && config.sysctl_count < MAX_SYSCTLS) {
      config.sysctls[config.sysctl_count++] = *++p;
    } else if (!strcmp(*p, "--stand-in") && p[1]) {
      config.stand_in_fd = descriptor(*++p);
    } else if (!strcmp(*p, "--terminal") && p[1]) {
      config.terminal_fd = descriptor(*++p);
    } else if (!strcmp(*p, "--title") && p[1]) {
      if (config.title_count < MAX_TITLE) config.title[config.title_count++] = p[1];
      p++;
    } else if (!strcmp(*p, "--tree") && p[1] && p[2]) {
      if (config.tree_count < MAX_TREES) config.trees[config.tree_count++] = (struct Tree){descriptor(p[1]), p[2]};
      p += 2;
    } else if (!strcmp(*p, "--argv0") && p[1]) {
      config.argv0 = *++p;
    } else {
      usage(*p);
    }
  }
  if (!*p || (config.child == 0 && !p[1])) usage("no program");
  config.program = p + 1;
  return config;
}

static void set_up_network(const struct Config *config) {
  const char *failed = config->loopback ? loopback_up() : NULL;
  for (int i = 0; i < config->sysctl_count && !failed; i++) failed = set_sysctl(config->sysctls[i]);
  if (failed) fail(failed);
}

static void enter_namespaces(const struct Config *config) {
  const char *failed = config->join_net ? join_network(config->join_net) : NULL;
  if (failed) fail(failed);
  int flags = (config->namespaces & ~CLONE_NEWNS) | (config->pid_namespace ? CLONE_NEWPID : 0);
  if (flags && unshare(flags) < 0) fail("unshare");
}

static void own_mounts(void) {
  if (unshare(CLONE_NEWNS) < 0) fail("unshare");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) fail("make mounts private");
}

// Before anybody is told that we are there.
static void show_files(const struct Config *config) {
  if (config->tree_count == 0) return;
  own_mounts();
  const char *failed = make_view(config->trees, config->tree_count);
  if (failed) fail(failed);
}

static void pass_on(int signo) {
  if (child > 0) kill(child, signo);
}

static void forward_signals(void) {
  static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT};
  struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
}

// The child must not outlive us. If we died before it said so, our end of the pipe is closed.
static void die_with_launcher(int pipe_end) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail("set the parent death signal");
  struct pollfd fd = {.fd = pipe_end, .events = 0};
  if (poll(&fd, 1, 0) > 0 && (fd.revents & POLLHUP)) _exit(EXIT_SETUP);
  close(pipe_end);
}

__attribute__((noreturn)) static void run(const struct Config *config) {
  if (config->namespaces & CLONE_NEWNS) own_mounts();
  if (config->pid_namespace && (config->namespaces & CLONE_NEWNS)) {
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) fail("mount /proc");
  }
  // Signals of a terminal are for who stands for the program.
  setsid();
  if (config->report_fd >= 0) fcntl(config->report_fd, F_SETFD, FD_CLOEXEC);
  const char *file = config->program[0];
  if (config->argv0) config->program[0] = config->argv0;
  execvp(file, config->program);
  fail(file);
}

static void enter_cgroups(const struct Config *config) {
  for (int i = 0; i < config->cgroup_count; i++) {
    if (write(config->cgroups[i], "0", 1) != 1) {
      int error = errno;
      kill(child, SIGKILL);
      errno = error;
      fail("enter the cgroup");
    }
  }
}

static void set_oom_score(const char *path, const char *value) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, value, strlen(value)) < 0) fail("set oom_score_adj");
  close(fd);
}

static void set_oom_scores(const struct Config *config) {
  set_oom_score("/proc/self/oom_score_adj", config->oom_score_adj);
  if (config->child == 0) return;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)config->child);
  set_oom_score(path, config->oom_score_adj);
}

// The message is one byte that says that no more follow.
static void release_child(const struct Config *config) {
  char last = '.';
  struct iovec iov = {&last, 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  int network = -1;
  if (config->join_net || (config->namespaces & CLONE_NEWNET)) {
    network = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (network < 0) fail("open the network namespace");
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &network, sizeof network);
  }
  // It may have been killed: we shall learn that by waiting for it.
  sendmsg(CHILD_FD, &message, MSG_NOSIGNAL);
  if (network >= 0) close(network);
}

static int wait_for_child(void) {
  int status;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) fail("wait");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void report(int fd) {
  char line[16];
  int length = snprintf(line, sizeof line, "%d\n", (int)child);
  if (write(fd, line, (size_t)length) != length) fail("report the pid");
  close(fd);
}

// Put the title where ps(1) reads our arguments. `argv` has room for it: it was among them. When the last byte is not
// zero, the kernel takes it all for one string, which ends where it ends: proc_pid_cmdline(5), setproctitle(3).
static void set_title(const struct Config *config, int argc, char **argv) {
  static char title[1 << 16];
  size_t room = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) + 1 - argv[0]);
  size_t length = 0;
  for (int i = 0; i < config->title_count && length < sizeof title - 1; i++) {
    length += (size_t)snprintf(title + length, sizeof title - length, "%s%s", i ? " " : "", config->title[i]);
  }
  if (length == 0) return;
  take_name(config->title[0]);
  if (length >= sizeof title) length = sizeof title - 1;
  if (length > room - 2) length = room - 2;
  memset(argv[0], 0, room);
  memcpy(argv[0], title, length);
  argv[0][room - 1] = ' ';
}

// Wait for the program, and end as it does.
static int attend(const struct Config *config, int argc, char **argv) {
  // Nobody's pipes are kept open. The program watches descriptor 3 only until it has started.
  syscall(SYS_close_range, config->stand_in_fd < 0 ? 4 : 5, ~0U, 0);
  // Nor is a mount of the host.
  if (chdir("/") < 0) fail("leave the working directory");
  if (config->stand_in_fd < 0) return wait_for_child();
  set_title(config, argc, argv);
  drop_capabilities();
  stand_in(4, child);
}

// Fork the program. The result is a descriptor that closes when we die.
static int start_child(const struct Config *config) {
  int ends[2];
  if (pipe(ends) < 0) fail("pipe");
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    close(ends[1]);
    die_with_launcher(ends[0]);
    run(config);
  }
  child = pid;
  return ends[1];
}

int main(int argc, char **argv) {
  if (argc < 2) usage("none");
  struct Config config = parse(argv);
  if (config.report_fd >= 0) complaints = config.report_fd;
  if (config.die_with_parent && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail("set the parent death signal");
  if (config.oom_score_adj) set_oom_scores(&config);
  enter_namespaces(&config);
  set_up_network(&config);
  if (config.stand_in_fd >= 0) hold_signals(NULL);
  else forward_signals();
  // Who kills the program's process group, as conmon does when its time is up, must not kill our parent with it.
  if (config.terminal_fd >= 0) control_terminal(config.terminal_fd);
  else if (config.stand_in_fd >= 0) setsid();
  int life = CHILD_FD;
  child = config.child;
  if (child > 0) release_child(&config);
  else life = start_child(&config);
  enter_cgroups(&config);
  if (config.stand_in_fd >= 0) silence(open_null());
  show_files(&config);
  if (config.report_fd >= 0) report(config.report_fd);
  int link = config.stand_in_fd < 0 ? -1 : fcntl(config.stand_in_fd, F_DUPFD, 5);
  if (life != CHILD_FD) dup2(life, CHILD_FD);
  if (link >= 0) dup2(link, 4);
  return attend(&config, argc, argv);
}
