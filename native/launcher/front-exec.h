// `exec --process FILE --detach`, as engines call it. All that can fail is done before the sandbox is asked for the process. When it says no,
// nothing has been executed: what was made here is taken back, and Node begins again.
#pragma once
#include "front-container.h"
#include "front-process.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define STAND_INS "exec"
// Descriptors of a stand-in begin here.
#define FIRST_FD 3
// And those that are to become its own are above all of them.
#define ABOVE 128
#define MAX_ANSWER 256
// A number that is not known yet; who reads it takes it for none.
#define NO_NUMBER "           "

struct execution {
  const struct container *container;
  struct process process;
  struct text request;
  int net, mounts;
  int entrances[MAX_DIRECTORIES];
  int entrance_count;
  // The stand-in's end of the socket to the sandbox, and the sandbox's.
  int link, sandbox_link;
  pid_t stand_in;
  // Where it is remembered.
  char record[64];
  int record_fd;
  char new_pid_file[PATH_MAX];
};

// Takes back what was made.
__attribute__((noreturn)) static void undo(struct execution *e) {
  if (e->stand_in > 0) kill(e->stand_in, SIGKILL);
  if (*e->record) unlinkat(e->container->directory, e->record, 0);
  if (*e->new_pid_file) unlink(e->new_pid_file);
  by_node();
}

static void read_process_file(struct execution *e, const char *path) {
  static char text[MAX_PROCESS + 1];
  struct stat stat;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) by_node();
  bool regular = fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
  ssize_t size = regular ? read_whole(fd, text, MAX_PROCESS) : -1;
  close(fd);
  if (size < 0 || memchr(text, 0, (size_t)size)) by_node();
  text[size] = 0;
  if (!read_process(text, &e->process) || !write_request(&e->process, e->container->request.id, &e->request)) by_node();
}

static int open_namespace(const char *name) {
  char path[48];
  snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)kept.pid, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) by_node();
  return fd;
}

// What the stand-in enters: namespaces of the container's own stand-in, and the container's cgroup.
static void open_places(struct execution *e) {
  e->net = open_namespace("net");
  e->mounts = open_namespace("mnt");
  // Until here the pid could have become another process's.
  if (!is_alive(&kept)) by_node();
  for (int i = 0; i < kept.directory_count; i++) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/cgroup.procs", kept.directories[i]);
    int fd = n < PATH_MAX ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (fd < 0) by_node();
    e->entrances[e->entrance_count++] = fd;
  }
}

// Makes this process a stand-in, in front of which nothing has been changed yet. See stand-in.c.
__attribute__((noreturn)) static void become_stand_in(struct execution *e, int answer, int complaint) {
  char variable[16 * (MAX_DIRECTORIES + 8)];
  int fds[MAX_DIRECTORIES + 3], count = 0;
  fds[count++] = e->link;
  fds[count++] = e->net;
  fds[count++] = e->mounts;
  for (int i = 0; i < e->entrance_count; i++) fds[count++] = e->entrances[i];
  // Detached, the socket, no terminal, two namespaces; entrances follow.
  int size = snprintf(variable, sizeof variable, "STAND_IN=1 %d -1 %d %d", FIRST_FD, FIRST_FD + 1, FIRST_FD + 2);
  for (int i = 3; i < count; i++) size += snprintf(variable + size, sizeof variable - (size_t)size, " %d", FIRST_FD + i);
  char *program = in_tree("build/stand-in"), *environment[] = {variable, NULL};
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC), streams[] = {null, answer, complaint};
  for (int i = 0; i < 3; i++)
    if ((streams[i] = fcntl(streams[i], F_DUPFD_CLOEXEC, ABOVE)) < 0) _exit(EXIT_SETUP);
  for (int i = 0; i < count; i++)
    if ((fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, ABOVE)) < 0) _exit(EXIT_SETUP);
  for (int i = 0; i < 3; i++) dup2(streams[i], i);
  for (int i = 0; i < count; i++) dup2(fds[i], FIRST_FD + i);
  setsid();
  execve(program, e->process.argv, environment);
  _exit(EXIT_SETUP);
}

// All that comes, up to the end. Negative when it is more than there is room for.
static ssize_t read_rest(int fd, char *text, size_t room) {
  ssize_t size = read_whole(fd, text, room - 1);
  close(fd);
  text[size < 0 ? 0 : size] = 0;
  return size;
}

static void start_stand_in(struct execution *e) {
  int ends[2], answer[2], complaint[2];
  char pid[16], complaints[MAX_ANSWER];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 || pipe2(answer, O_CLOEXEC) < 0 ||
      pipe2(complaint, O_CLOEXEC) < 0)
    by_node();
  e->link = ends[0];
  e->sandbox_link = ends[1];
  pid_t child = fork();
  if (child == 0) become_stand_in(e, answer[1], complaint[1]);
  close(answer[1]);
  close(complaint[1]);
  close(e->link);
  // It closes its streams when it is ready, or has failed.
  ssize_t answered = read_rest(answer[0], pid, sizeof pid);
  ssize_t complained = read_rest(complaint[0], complaints, sizeof complaints);
  long number = answered > 0 ? number_in(pid) : -1;
  e->stand_in = number > 0 ? (pid_t)number : 0;
  // The one that we know has left it alone: it is whose child we are that learns of its end.
  while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
  if (e->stand_in == 0 || complained != 0) undo(e);
}

// Removes what is kept of stand-ins that have ended.
static void forget_dead(int folder) {
  int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = fd < 0 ? NULL : fdopendir(fd);
  if (!list) return;
  for (struct dirent *entry; (entry = readdir(list));) {
    char pid[16];
    size_t length = strspn(entry->d_name, "0123456789");
    if (length == 0 || length >= sizeof pid || entry->d_name[length] != '-') continue;
    snprintf(pid, sizeof pid, "%.*s", (int)length, entry->d_name);
    if (!is_process(atoi(pid), entry->d_name + length + 1)) unlinkat(folder, entry->d_name, 0);
  }
  closedir(list);
}

// As rememberStandIn of runsc/stand-in.ts.
static void remember_stand_in(struct execution *e) {
  char start_time[24];
  if (mkdirat(e->container->directory, STAND_INS, 0700) < 0 && errno != EEXIST) undo(e);
  int folder = openat(e->container->directory, STAND_INS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0 || !start_time_of(e->stand_in, start_time, sizeof start_time)) undo(e);
  forget_dead(folder);
  close(folder);
  snprintf(e->record, sizeof e->record, STAND_INS "/%d-%s", (int)e->stand_in, start_time);
  e->record_fd = openat(e->container->directory, e->record, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (e->record_fd < 0 || write(e->record_fd, NO_NUMBER, strlen(NO_NUMBER)) != (ssize_t)strlen(NO_NUMBER)) undo(e);
}

// As writeWhole of runsc/whole-file.ts, up to the moment when it is to be seen.
static void prepare_pid_file(struct execution *e, const char *file) {
  struct stat stat;
  if (!file) return;
  if (lstat(file, &stat) == 0 && S_ISDIR(stat.st_mode)) undo(e);
  int n = snprintf(e->new_pid_file, sizeof e->new_pid_file, "%s.%d.tmp", file, (int)getpid());
  if (n >= PATH_MAX) {
    *e->new_pid_file = 0;
    undo(e);
  }
  int fd = open(e->new_pid_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0 || dprintf(fd, "%d", (int)e->stand_in) < 0 || fsync(fd) < 0) undo(e);
  close(fd);
}

// The request, with the descriptors that the sandbox's `exec` takes. A part of it is no request.
static void send_request(struct execution *e, int connection) {
  int fds[] = {e->sandbox_link, 0, 1, 2};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof fds)];
  } control = {0};
  control.header = (struct cmsghdr){CMSG_LEN(sizeof fds), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.header), fds, sizeof fds);
  for (size_t at = 0; at < e->request.size;) {
    struct iovec rest = {e->request.bytes + at, e->request.size - at};
    struct msghdr message = {.msg_iov = &rest, .msg_iovlen = 1};
    if (at == 0) message.msg_control = control.bytes, message.msg_controllen = sizeof control.bytes;
    ssize_t n = sendmsg(connection, &message, MSG_NOSIGNAL);
    if (n >= 0) at += (size_t)n;
    else if (errno == EAGAIN) poll(&(struct pollfd){connection, POLLOUT, 0}, 1, -1);
    else if (errno != EINTR) undo(e);
  }
}

// The sandbox's number of the new process. It says why when there is none, and is asked once more, by Node.
static long receive_pid(struct execution *e, int connection) {
  char answer[MAX_ANSWER], *at = answer;
  fcntl(connection, F_SETFL, 0);
  if (read_rest(connection, answer, sizeof answer) <= 0 || !skip(&at, "{\"pid\":")) undo(e);
  char *end = strchr(at, '}');
  if (!end || end[1]) undo(e);
  *end = 0;
  long pid = number_in(at);
  if (pid <= 0) undo(e);
  return pid;
}

static int exec_command(const struct container *container) {
  static struct execution e;
  e.container = container;
  if (!may(&kept, "exec") || !is_alive(&kept) || is_frozen(&kept)) by_node();
  for (int fd = 0; fd < FIRST_FD; fd++)
    if (fcntl(fd, F_GETFD) < 0) by_node();
  read_process_file(&e, container->request.process);
  open_places(&e);
  int connection = connect_to_sandbox(container);
  start_stand_in(&e);
  remember_stand_in(&e);
  prepare_pid_file(&e, container->request.pid_file);
  send_request(&e, connection);
  long pid = receive_pid(&e, connection);
  char number[sizeof NO_NUMBER];
  int size = snprintf(number, sizeof number, "%ld", pid);
  // There is room for it.
  if (pwrite(e.record_fd, number, (size_t)size, 0) != size || (*e.new_pid_file && rename(e.new_pid_file, container->request.pid_file) < 0)) {
    int error = errno;
    kill(e.stand_in, SIGKILL);
    errno = error;
    fail("keep the pid of the process");
  }
  return 0;
}
