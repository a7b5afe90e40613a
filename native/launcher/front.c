// The first program of each runsc command: bin/runsc executes it with the command line. Engines wait for `state`, `start`, `kill`, `delete`
// and `exec`, and Node.js takes longer to start than these take: here they are done without it, where nothing is unusual. All
// else, and all that goes wrong, is Node's: what is decided here is decided before it has an effect, or has an effect that
// comes out the same when Node begins again. A request to the sandbox is made only once: Node gets the connection, with the answer unread.
#define _GNU_SOURCE
#include "front-container.h"
#include "front-exec.h"
#include "front-node.h"

#include <dirent.h>
#include <limits.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>

#define CGROUP_MAGIC 0x27e0eb
#define CGROUP2_MAGIC 0x63677270
// How long a killed sandbox is waited for here.
#define KILL_TIMEOUT_MS 60000
#define POLL_NS 1000000
// How often a cgroup is asked for that is still busy: its last processes are on their way.
#define BUSY_TRIES 1000
#define REMOVE_TRIES 20
#define SUCCESS "{}"

static void pause_briefly(void) { nanosleep(&(struct timespec){0, POLL_NS}, NULL); }

// As runsc/lock.ts. The lock ends with us, or when Node takes over. Whoever has it now may take long: Node waits.
static void lock(const struct container *container) {
  if (flock(container->directory, LOCK_EX | LOCK_NB) < 0) by_node();
}

static bool is_created(const struct container *container) { return exists(container->directory, "waits"); }

static bool print(const char *text, size_t size) {
  for (size_t at = 0; at < size;) {
    ssize_t n = write(STDOUT_FILENO, text + at, size - at);
    if (n >= 0) at += (size_t)n;
    else if (errno == EPIPE) return true;
    else if (errno == EAGAIN) poll(&(struct pollfd){STDOUT_FILENO, POLLOUT, 0}, 1, -1);
    else if (errno != EINTR) return false;
  }
  return true;
}

static int state_command(const struct container *container) {
  static char text[2 * MAX_STATE];
  bool alive = is_alive(&kept);
  const char *status = !alive                  ? "stopped"
                       : is_frozen(&kept)      ? "paused"
                       : is_created(container) ? "created"
                                               : "running";
  int size = snprintf(text, sizeof text, "%.*s  \"status\": \"%s\",\n  \"pid\": %d,\n%.*s\n}\n", (int)kept.before_size,
                      kept.before, status, alive ? (int)kept.pid : 0, (int)kept.shown_size, kept.shown);
  if (size < 0 || (size_t)size >= sizeof text) by_node();
  signal(SIGPIPE, SIG_IGN);
  if (!print(text, (size_t)size)) by_node();
  return 0;
}

// Makes a request and waits until the sandbox has done it. What else it answers is told by Node.
static int ask(const struct container *container, const char *request, size_t size) {
  char answer[sizeof SUCCESS] = "";
  int fd = connect_to_sandbox(container);
  // A part of it is no request.
  if (send(fd, request, size, MSG_NOSIGNAL) != (ssize_t)size) by_node();
  while (poll(&(struct pollfd){fd, POLLIN, 0}, 1, -1) < 0)
    if (errno != EINTR) answer_to_node(fd);
  ssize_t n = recv(fd, answer, sizeof answer, MSG_PEEK);
  if (n != sizeof SUCCESS - 1 || strcmp(answer, SUCCESS)) answer_to_node(fd);
  return fd;
}

static int start_command(const struct container *container) {
  char request[MAX_ID + 64];
  if (!may(&kept, "start") || !is_alive(&kept) || is_frozen(&kept) || !is_created(container)) by_node();
  int size = snprintf(request, sizeof request, "{\"command\":\"start\",\"container\":\"%s\"}\n", container->request.id);
  int connection = ask(container, request, (size_t)size);
  if (flock(container->directory, LOCK_EX | LOCK_NB) < 0) answer_to_node(connection);
  // Somebody has deleted it meanwhile.
  if (!is_still(container)) return 0;
  if (unlinkat(container->directory, "waits", 0) < 0 && errno != ENOENT) answer_to_node(connection);
  return 0;
}

static bool is_cgroup(int fd) {
  struct statfs type;
  return fstatfs(fd, &type) == 0 && (type.f_type == CGROUP_MAGIC || type.f_type == CGROUP2_MAGIC);
}

// Frozen processes do not even die.
static void thaw(void) {
  if (*kept.freezer != '/') return;
  const char *value = strstr(kept.freezer, "/freezer.state") ? "THAWED" : "0";
  int fd = open(kept.freezer, O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) return;
  if (fd < 0 || !is_cgroup(fd)) by_node();
  ssize_t n = write(fd, value, strlen(value));
  // Another command may have removed it meanwhile.
  if (n < 0 && access(kept.freezer, F_OK) == 0) by_node();
  close(fd);
}

// A descriptor of the process that stands for the container; -1 when it is gone.
static int open_process(void) {
  int fd = (int)syscall(SYS_pidfd_open, kept.pid, 0);
  if (fd < 0 && errno != ESRCH) by_node();
  if (fd < 0 || is_alive(&kept)) return fd;
  close(fd);
  return -1;
}

// False when the process is gone.
static bool kill_process(int process) {
  if (syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) == 0) return true;
  if (errno != ESRCH) by_node();
  return false;
}

static int kill_command(const struct container *container) {
  char request[MAX_ID + 96];
  const struct request *wanted = &container->request;
  if (!may(&kept, "kill")) by_node();
  if (wanted->signal == SIGKILL && !wanted->all) {
    // A sandbox that does not answer can still be killed.
    int process = open_process();
    if (process < 0 || !kill_process(process)) by_node();
    thaw();
    return 0;
  }
  // As runc has it: there is nobody left to tell.
  if (!is_alive(&kept) && wanted->all) return 0;
  if (!is_alive(&kept) || is_frozen(&kept)) by_node();
  int size = snprintf(request, sizeof request, "{\"command\":\"signal\",\"container\":\"%s\",\"signal\":%d,\"all\":%s}\n",
                      wanted->id, wanted->signal, wanted->all ? "true" : "false");
  ask(container, request, (size_t)size);
  return 0;
}

// Waits until the process of a container has ended.
static void await_end(int process) {
  struct pollfd ended = {process, POLLIN, 0};
  int n;
  do n = poll(&ended, 1, KILL_TIMEOUT_MS);
  while (n < 0 && errno == EINTR);
  if (n != 1) by_node();
}

// Others have made groups in it.
static bool has_groups_below(int parent, const char *name) {
  struct stat stat;
  return fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && stat.st_nlink > 2;
}

// Only a cgroup is ever removed, whatever the file says.
static void remove_cgroup(const char *path) {
  char parent[PATH_MAX];
  const char *name = strrchr(path, '/');
  if (*path != '/' || !name[1] || strstr(path, "/..") || strlen(path) >= sizeof parent) by_node();
  snprintf(parent, sizeof parent, "%.*s", (int)(name - path), path);
  int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return;
  if (fd < 0 || !is_cgroup(fd)) by_node();
  for (int i = 0; unlinkat(fd, name + 1, AT_REMOVEDIR) < 0 && errno != ENOENT; i++) {
    if (errno != EBUSY || i == BUSY_TRIES || has_groups_below(fd, name + 1)) by_node();
    pause_briefly();
  }
  close(fd);
}

// Removes the files of a directory, but that of the name `kept`. Below the container's there is another one, with what stands for processes of `exec`.
static void remove_files(int directory, const char *kept_name) {
  int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *list = fd < 0 ? NULL : fdopendir(fd);
  if (!list) by_node();
  for (struct dirent *entry; (entry = readdir(list));) {
    const char *name = entry->d_name;
    if (is(name, ".") || is(name, "..") || (kept_name && is(name, kept_name))) continue;
    if (unlinkat(directory, name, 0) == 0 || errno == ENOENT) continue;
    int below = errno == EISDIR && kept_name ? openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (below < 0) by_node();
    remove_files(below, NULL);
    if (unlinkat(directory, name, AT_REMOVEDIR) < 0) by_node();
    close(below);
  }
  closedir(list);
}

static void remove_directory(const struct container *container) {
  for (int i = 0; i < REMOVE_TRIES; i++, pause_briefly()) {
    // A command that was at work in there may just have made another file. What tells of the container goes last, for whoever has to begin again.
    remove_files(container->directory, STATE_FILE);
    if (unlinkat(container->directory, STATE_FILE, 0) < 0 && errno != ENOENT) by_node();
    if (unlinkat(container->root, container->request.id, AT_REMOVEDIR) == 0 || errno == ENOENT) return;
    if (errno != ENOTEMPTY) by_node();
  }
  by_node();
}

static int delete_command(const struct container *container) {
  if (!may(&kept, "delete")) by_node();
  int process = open_process();
  if (process >= 0) {
    if (!container->request.force && (is_frozen(&kept) || !is_created(container))) by_node();
    if (kill_process(process)) {
      thaw();
      await_end(process);
    }
  }
  thaw();
  for (int i = 0; i < kept.directory_count; i++) remove_cgroup(kept.directories[i]);
  remove_directory(container);
  return 0;
}

static int command(struct container *container) {
  const struct request *request = &container->request;
  container->root = open(request->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (container->root < 0) by_node();
  container->directory = openat(container->root, request->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  // Shims delete a second time, to be sure.
  if (container->directory < 0 && errno == ENOENT && request->command == DELETE && request->force) return 0;
  if (container->directory < 0) by_node();
  if (request->command == DELETE) {
    lock(container);
    if (!is_still(container)) by_node();
  }
  if (!read_kept(&kept, container->directory, request->id)) by_node();
  switch (request->command) {
    case STATE: return state_command(container);
    case START: return start_command(container);
    case KILL: return kill_command(container);
    case EXEC: return exec_command(container);
    default: return delete_command(container);
  }
}

int main(int argc, char **argv) {
  struct container container;
  if (argc < 1) return EXIT_SETUP;
  command_line = argv;
  unsetenv(ASKED);
  // While it is built, Node records what it compiles for these commands. See runsc/bundle.ts.
  bool recording = getenv("PORTCULLIS_RECORD_CODE") != NULL;
  if (recording || geteuid() != 0 || getuid() != 0 || !read_words(argv + 1, &container.request)) by_node();
  return command(&container);
}
