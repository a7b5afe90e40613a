// What runsc/state.ts keeps of a container, as far as front.c needs it: state.json has a line for this reader, in front of which and behind
// which is what `state` prints. All of it is in one file, so that nothing disagrees; and whatever does not look as it was
// written is for Node.js to read.
//
//   {
//     "ociVersion": "1.2.0",
//     "id": "ID",
//     "front": "1 SHOWN REST PID START-TIME COMMANDS FREEZER [DIRECTORY]...",
//     "bundle": ..., "annotations": ...,      SHOWN bytes, as `state` prints them
//     ...                                     REST bytes
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_FILE "state.json"
#define FORMAT "1"
#define MAX_STATE (256 << 10)
// Version 1 has a dozen controllers.
#define MAX_DIRECTORIES 32
#define MAX_STAT 4096
#define START_TIME_FIELD 19

struct kept {
  char text[MAX_STATE + 1];
  size_t size;
  // What `state` prints in front of the status and behind the pid.
  const char *before, *shown;
  size_t before_size, shown_size;
  pid_t pid;
  const char *start_time;
  // What may be done without Node.js, with commas between.
  const char *commands;
  const char *freezer;
  const char *directories[MAX_DIRECTORIES];
  int directory_count;
};

// Reads a whole file of at most `room` bytes. Negative for others.
static ssize_t read_whole(int fd, char *into, size_t room) {
  size_t size = 0;
  for (;;) {
    ssize_t n = read(fd, into + size, room + 1 - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    size += (size_t)n;
    if (size > room) return -1;
    if (n == 0) return (ssize_t)size;
  }
}

// Whether `*at` is at this text; then it is behind.
static bool skip(char **at, const char *text) {
  size_t length = strlen(text);
  if (strncmp(*at, text, length)) return false;
  *at += length;
  return true;
}

// The next word of the line, which ends with a quote; NULL behind the last.
static char *next_word(char **at, bool *last) {
  if (*last) return NULL;
  char *word = *at;
  size_t length = strcspn(word, " \"\n");
  if (length == 0 || !word[length] || word[length] == '\n') return NULL;
  *last = word[length] == '"';
  word[length] = 0;
  *at += length + 1;
  return word;
}

// A number of plain digits, -1 for what is none.
static long number_in(const char *word) {
  if (!word || strspn(word, "0123456789") != strlen(word) || strlen(word) > 9) return -1;
  return atol(word);
}

static bool parse(struct kept *kept, const char *id) {
  char *at = kept->text;
  kept->before = at;
  if (!skip(&at, "{\n  \"ociVersion\": \"")) return false;
  at += strcspn(at, "\"\\\n");
  if (!skip(&at, "\",\n  \"id\": \"") || !skip(&at, id) || !skip(&at, "\",\n")) return false;
  kept->before_size = (size_t)(at - kept->text);
  if (!skip(&at, "  \"front\": \"")) return false;
  bool last = false;
  const char *format = next_word(&at, &last);
  if (!format || strcmp(format, FORMAT)) return false;
  long shown = number_in(next_word(&at, &last));
  long rest = number_in(next_word(&at, &last));
  long pid = number_in(next_word(&at, &last));
  kept->start_time = next_word(&at, &last);
  kept->commands = next_word(&at, &last);
  kept->freezer = next_word(&at, &last);
  if (shown < 0 || rest < 0 || pid <= 0 || !kept->freezer) return false;
  kept->pid = (pid_t)pid;
  for (kept->directory_count = 0; !last; kept->directory_count++) {
    const char *directory = kept->directory_count < MAX_DIRECTORIES ? next_word(&at, &last) : NULL;
    if (!directory) return false;
    kept->directories[kept->directory_count] = directory;
  }
  if (!skip(&at, ",\n")) return false;
  kept->shown = at;
  kept->shown_size = (size_t)shown;
  return (size_t)(at - kept->text) + (size_t)shown + (size_t)rest == kept->size;
}

// Reads the state of the container whose directory this is. False for what is Node's to tell of.
static bool read_kept(struct kept *kept, int directory, const char *id) {
  int fd = openat(directory, STATE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return false;
  struct stat stat;
  bool regular = fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode);
  ssize_t size = regular ? read_whole(fd, kept->text, MAX_STATE) : -1;
  close(fd);
  if (size < 0 || memchr(kept->text, 0, (size_t)size)) return false;
  kept->size = (size_t)size;
  kept->text[size] = 0;
  return parse(kept, id);
}

static bool may(const struct kept *kept, const char *command) {
  size_t length = strlen(command);
  for (const char *at = kept->commands; at; at = strchr(at, ',')) {
    if (*at == ',') at++;
    if (!strncmp(at, command, length) && (!at[length] || at[length] == ',')) return true;
  }
  return false;
}

// As processStartTime in runsc/state.ts: false when the process is gone, or a zombie.
static bool start_time_of(pid_t pid, char *start_time, size_t room) {
  char path[32], text[MAX_STAT + 1];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t size = read_whole(fd, text, MAX_STAT);
  close(fd);
  if (size < 0) return false;
  text[size] = 0;
  char *field = strrchr(text, ')');
  if (!field || field[1] != ' ' || field[2] == 'Z' || field[2] == 'X') return false;
  field += 2;
  for (int i = 0; i < START_TIME_FIELD && field; i++) {
    field = strchr(field, ' ');
    if (field) field++;
  }
  if (!field) return false;
  int length = (int)strcspn(field, " \n");
  return length > 0 && snprintf(start_time, room, "%.*s", length, field) < (int)room;
}

// Whether this process lives: its pid may have been given to another since.
static bool is_process(pid_t pid, const char *start_time) {
  char now[24];
  return start_time_of(pid, now, sizeof now) && !strcmp(now, start_time);
}

// Whether the process that stands for the container lives.
static bool is_alive(const struct kept *kept) { return is_process(kept->pid, kept->start_time); }

// As isFrozen in runsc/state.ts.
static bool is_frozen(const struct kept *kept) {
  char text[16] = "";
  if (*kept->freezer != '/') return false;
  int fd = open(kept->freezer, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return false;
  ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  return size > 0 && (!strncmp(text, "1\n", 2) || !strncmp(text, "FROZEN\n", 7) || !strncmp(text, "FREEZING\n", 9));
}
