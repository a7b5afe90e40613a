// The command lines that front.c answers itself, as engines write them. Whatever else there is, is for Node.js to read: the flags of
// runsc/options.ts that make no difference to these commands are taken in the spelling --name=value or --name value.
#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum command { STATE, START, KILL, DELETE, EXEC, COMMANDS };

static const char *const COMMAND_NAMES[COMMANDS] = {"state", "start", "kill", "delete", "exec"};

struct request {
  enum command command;
  const char *root;
  const char *id;
  bool force, all;
  int signal;
  // Of exec.
  const char *process, *pid_file;
  bool detach;
};

#define DEFAULT_ROOT "/var/run/runsc"
#define MAX_ID 255
#define MAX_SIGNAL 64
#define MAX_VALUES 6

// Flags with a value, and which ones; with none, any.
static const struct {
  const char *name;
  const char *values[MAX_VALUES];
} VALUED[] = {
    {"root", {NULL}},
    {"log", {NULL}},
    {"log-format", {"text", "json"}},
    {"platform", {"systrap", "ptrace"}},
    {"network", {"none", "host"}},
    {"overlay2", {"none", "root:memory", "root:self", "all:memory", "all:self"}},
    {"file-access", {"exclusive", "shared"}},
    {"file-access-mounts", {"exclusive", "shared"}},
    {"host-uds", {"none", "open", "create", "all"}},
};

static const char *const SWITCHES[] = {"systemd-cgroup", "ignore-cgroups", "allow-flag-override", "oci-seccomp",
                                       "net-raw"};

// Those that engines send by name.
static const struct {
  const char *name;
  int number;
} SIGNALS[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"ABRT", SIGABRT}, {"KILL", SIGKILL},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"ALRM", SIGALRM}, {"TERM", SIGTERM}, {"CHLD", SIGCHLD},
    {"CONT", SIGCONT}, {"STOP", SIGSTOP}, {"TSTP", SIGTSTP}, {"WINCH", SIGWINCH},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool is_switch(const char *name) {
  for (size_t i = 0; i < COUNT(SWITCHES); i++)
    if (!strcmp(SWITCHES[i], name)) return true;
  return false;
}

static bool takes(size_t flag, const char *value) {
  const char *const *values = VALUED[flag].values;
  for (int i = 0; i < MAX_VALUES && values[i]; i++)
    if (!strcmp(values[i], value)) return true;
  return !values[0] && *value && *value != '-';
}

// Reads one flag with its value and returns how many words it has; 0 for what is Node's to read.
static int read_flag(char **words, struct request *request) {
  const char *word = words[0];
  if (strncmp(word, "--", 2)) return 0;
  word += 2;
  if (is_switch(word)) return 1;
  size_t length = strcspn(word, "=");
  for (size_t i = 0; i < COUNT(VALUED); i++) {
    if (strlen(VALUED[i].name) != length || strncmp(VALUED[i].name, word, length)) continue;
    const char *value = word[length] ? word + length + 1 : words[1];
    if (!value || !takes(i, value)) return 0;
    if (!strcmp(VALUED[i].name, "root")) request->root = value;
    return word[length] ? 1 : 2;
  }
  return 0;
}

static bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// The rule of checkId in runsc/state.ts, for names that a directory can have.
static bool is_id(const char *text) {
  if (!is_alphanumeric(*text) && *text != '_') return false;
  size_t length = 0;
  for (; text[length]; length++)
    if (length == MAX_ID || (!is_alphanumeric(text[length]) && !strchr("_+.-", text[length]))) return false;
  return true;
}

// A plain number or one of SIGNALS; -1 for others.
static int read_signal(const char *text) {
  size_t length = strlen(text);
  if (length > 0 && length < 3 && strspn(text, "0123456789") == length && (*text != '0' || length == 1)) {
    int number = length == 1 ? *text - '0' : 10 * (*text - '0') + text[1] - '0';
    return number <= MAX_SIGNAL ? number : -1;
  }
  if (!strncmp(text, "SIG", 3)) text += 3;
  for (size_t i = 0; i < COUNT(SIGNALS); i++)
    if (!strcmp(SIGNALS[i].name, text)) return SIGNALS[i].number;
  return -1;
}

// Reads an option with a value, in one word or two, and returns how many; 0 when it is another one.
static int read_value(char **words, const char *name, const char **value) {
  size_t length = strlen(name);
  if (strncmp(*words, name, length)) return 0;
  bool attached = words[0][length] == '=';
  if (!attached && words[0][length]) return 0;
  *value = attached ? *words + length + 1 : words[1];
  return !*value || !**value || **value == '-' ? 0 : 2 - attached;
}

// Reads an option of a command and returns how many words it has; 0 for what is Node's to read.
static int read_option(char **words, struct request *request) {
  const char *word = *words;
  switch (request->command) {
    case KILL:
      request->all = true;
      return !strcmp(word, "--all") || !strcmp(word, "-a");
    case DELETE:
      request->force = true;
      return !strcmp(word, "--force") || !strcmp(word, "-f");
    case EXEC: {
      bool detach = !strcmp(word, "--detach") || !strcmp(word, "-d");
      request->detach |= detach;
      if (detach) return 1;
      int n = read_value(words, "--process", &request->process);
      return n ? n : read_value(words, "--pid-file", &request->pid_file);
    }
    default: return 0;
  }
}

// Reads the words behind the command's name. False for what is Node's to read.
static bool read_operands(char **words, struct request *request) {
  for (int n; *words && **words == '-'; words += n)
    if ((n = read_option(words, request)) == 0) return false;
  if (request->command == EXEC && (!request->detach || !request->process)) return false;
  if (!*words || !is_id(*words)) return false;
  request->id = *words++;
  if (request->command == KILL && *words) request->signal = read_signal(*words++);
  return !*words && request->signal >= 0;
}

// Reads the words of a command line, which end with a null pointer. False for what is Node's to read.
static bool read_words(char **words, struct request *request) {
  *request = (struct request){.root = DEFAULT_ROOT, .signal = SIGTERM};
  while (*words && **words == '-') {
    int n = read_flag(words, request);
    if (n == 0) return false;
    words += n;
  }
  if (!*words) return false;
  for (int i = 0; i < COMMANDS; i++) {
    if (strcmp(*words, COMMAND_NAMES[i])) continue;
    request->command = (enum command)i;
    return read_operands(words + 1, request);
  }
  return false;
}
