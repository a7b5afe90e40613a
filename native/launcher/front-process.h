// A process of `exec --process FILE` as the sandbox takes it: what runsc/process-config.ts makes of plain JSON, as engines write it. Whatever is
// not plain (other characters than ASCII, unusual fields, a terminal, what is to be refused or to be warned of) is Node's.
#pragma once
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define MAX_PROCESS (128 << 10)
// What the process list shows of a command line, as in runsc/title.ts; a longer one is Node's to cut.
#define MAX_WORDS 64
#define MAX_WORD_BYTES (1 << 15)
#define MAX_GROUPS 4096
#define MAX_LIMITS 16
#define DEFAULT_UMASK 022
// A double is exact up to here, and from there on a limit is none.
#define MAX_EXACT (1ull << 53)
#define UNLIMITED (1ull << 63)

// Text with an end of its own: `cut` is set when something did not fit.
struct text {
  char bytes[2 * MAX_PROCESS];
  size_t size;
  bool cut;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...) {
  size_t room = sizeof text->bytes - text->size;
  va_list list;
  va_start(list, format);
  int n = vsnprintf(text->bytes + text->size, room, format, list);
  va_end(list);
  if (n < 0 || (size_t)n >= room) text->cut = true;
  else text->size += (size_t)n;
}

// A list of strings as it stands in the file.
struct strings {
  const char *from;
  size_t size;
  int count;
};

enum { BOUNDING, EFFECTIVE, INHERITABLE, PERMITTED, AMBIENT, SETS };
static const char *const SET_NAMES[SETS] = {"bounding", "effective", "inheritable", "permitted", "ambient"};

struct limit {
  int resource;
  uint64_t soft, hard;
};

struct process {
  struct strings args, env, cwd;
  // Decoded, for the process list.
  char words[MAX_PROCESS];
  char *argv[MAX_WORDS + 1];
  uint64_t uid, gid, umask, groups[MAX_GROUPS];
  int group_count;
  uint64_t capabilities[SETS];
  struct limit limits[MAX_LIMITS];
  int limit_count;
  bool no_new_privileges, terminal;
  int oom_score_adj;
};

// In the order of their bits, as in runsc/capabilities.ts.
static const char *const CAPABILITIES[] = {
    "CHOWN",           "DAC_OVERRIDE",     "DAC_READ_SEARCH", "FOWNER",       "FSETID",
    "KILL",            "SETGID",           "SETUID",          "SETPCAP",      "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST",   "NET_ADMIN",       "NET_RAW",      "IPC_LOCK",
    "IPC_OWNER",       "SYS_MODULE",       "SYS_RAWIO",       "SYS_CHROOT",   "SYS_PTRACE",
    "SYS_PACCT",       "SYS_ADMIN",        "SYS_BOOT",        "SYS_NICE",     "SYS_RESOURCE",
    "SYS_TIME",        "SYS_TTY_CONFIG",   "MKNOD",           "LEASE",        "AUDIT_WRITE",
    "AUDIT_CONTROL",   "SETFCAP",          "MAC_OVERRIDE",    "MAC_ADMIN",    "SYSLOG",
    "WAKE_ALARM",      "BLOCK_SUSPEND",    "AUDIT_READ",      "PERFMON",      "BPF",
    "CHECKPOINT_RESTORE",
};

// In the order of their numbers, as in runsc/rlimits.ts.
static const char *const LIMITS[MAX_LIMITS] = {
    "CPU",    "FSIZE",   "DATA", "STACK", "CORE",       "RSS",      "NPROC", "NOFILE",
    "MEMLOCK", "AS",     "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
};

// Where the reader is in the file, which ends with a null byte.
struct reader {
  const char *at;
};

static bool take(struct reader *r, const char *token) {
  r->at += strspn(r->at, " \t\r\n");
  size_t length = strlen(token);
  if (strncmp(r->at, token, length)) return false;
  r->at += length;
  return true;
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The character of an escape sequence, 0 for what is not taken here, and behind how many characters the next one is.
static char escaped(const char *at, int *length) {
  static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
  const char *simple = at[1] ? strchr(FROM, at[1]) : NULL;
  *length = 2;
  if (simple) return TO[simple - FROM];
  if (strncmp(at, "\\u00", 4) || hex(at[4]) < 0 || hex(at[4]) > 7 || hex(at[5]) < 0) return 0;
  *length = 6;
  return (char)(16 * hex(at[4]) + hex(at[5]));
}

// Reads a string: with `into`, it is decoded there, and `into` is behind its end.
static bool read_string(struct reader *r, char **into) {
  if (!take(r, "\"")) return false;
  while (*r->at != '"') {
    int length = 1;
    char c = *r->at == '\\' ? escaped(r->at, &length) : *r->at < ' ' || *r->at == 127 ? 0 : *r->at;
    if (!c) return false;
    if (into) *(*into)++ = c;
    r->at += length;
  }
  r->at++;
  if (into) *(*into)++ = 0;
  return true;
}

// A name without escapes, of a field or of a thing.
static bool read_name(struct reader *r, char *name, size_t room) {
  if (!take(r, "\"")) return false;
  size_t length = strspn(r->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");
  if (r->at[length] != '"' || length >= room) return false;
  memcpy(name, r->at, length);
  name[length] = 0;
  r->at += length + 1;
  return true;
}

static bool read_number(struct reader *r, uint64_t max, uint64_t *number) {
  take(r, "");
  size_t length = strspn(r->at, "0123456789");
  if (length == 0 || length > 20 || (length > 1 && *r->at == '0') || strchr(".eE", r->at[length])) return false;
  uint64_t value = 0;
  for (size_t i = 0; i < length; i++)
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, r->at[i] - '0', &value)) return false;
  r->at += length;
  *number = value;
  return value <= max;
}

static bool read_boolean(struct reader *r, bool *value) {
  *value = take(r, "true");
  return *value || take(r, "false");
}

// Calls `item` for each item of an array.
static bool read_array(struct reader *r, bool (*item)(struct reader *, struct process *, int), struct process *process,
                       int which) {
  if (!take(r, "[")) return false;
  if (take(r, "]")) return true;
  do
    if (!item(r, process, which)) return false;
  while (take(r, ","));
  return take(r, "]");
}

typedef bool Field(struct reader *, struct process *);

struct field {
  const char *name;
  Field *read;
};

// Reads an object with these fields, each once and not null.
static bool read_object(struct reader *r, struct process *process, const struct field *fields, int count) {
  unsigned seen = 0;
  if (!take(r, "{")) return false;
  if (take(r, "}")) return true;
  do {
    char name[32];
    int i = 0;
    if (!read_name(r, name, sizeof name) || !take(r, ":")) return false;
    while (i < count && strcmp(fields[i].name, name)) i++;
    if (i == count || seen & 1u << i || !fields[i].read(r, process)) return false;
    seen |= 1u << i;
  } while (take(r, ","));
  return take(r, "}");
}

#define FIELDS(list) list, (int)(sizeof(list) / sizeof *(list))

static bool read_strings(struct reader *r, struct strings *strings) {
  take(r, "");
  strings->from = r->at;
  if (!take(r, "[")) return false;
  if (!take(r, "]")) {
    do {
      if (!read_string(r, NULL)) return false;
      strings->count++;
    } while (take(r, ","));
    if (!take(r, "]")) return false;
  }
  strings->size = (size_t)(r->at - strings->from);
  return true;
}

static bool read_env(struct reader *r, struct process *p) { return read_strings(r, &p->env); }

static bool read_args(struct reader *r, struct process *p) {
  struct reader again = *r;
  char *word = p->words;
  if (!read_strings(r, &p->args) || p->args.count == 0) return false;
  take(&again, "[");
  for (int i = 0; i < MAX_WORDS && i < p->args.count; i++) {
    p->argv[i] = word;
    if (!read_string(&again, &word)) return false;
    take(&again, ",");
  }
  return word - p->words <= MAX_WORD_BYTES;
}

static bool read_cwd(struct reader *r, struct process *p) {
  take(r, "");
  p->cwd.from = r->at;
  if (!read_string(r, NULL)) return false;
  p->cwd.size = (size_t)(r->at - p->cwd.from);
  return p->cwd.from[1] == '/' && p->cwd.size < PATH_MAX;
}

static bool read_uid(struct reader *r, struct process *p) { return read_number(r, UINT32_MAX, &p->uid); }
static bool read_gid(struct reader *r, struct process *p) { return read_number(r, UINT32_MAX, &p->gid); }
static bool read_umask(struct reader *r, struct process *p) { return read_number(r, 0777, &p->umask); }

static bool read_group(struct reader *r, struct process *p, int which) {
  (void)which;
  return p->group_count < MAX_GROUPS && read_number(r, UINT32_MAX, &p->groups[p->group_count++]);
}

static bool read_groups(struct reader *r, struct process *p) { return read_array(r, read_group, p, 0); }

// What nothing comes of here.
static bool read_ignored(struct reader *r, struct process *p) {
  (void)p;
  return read_string(r, NULL);
}

static const struct field USER[] = {
    {"uid", read_uid}, {"gid", read_gid}, {"umask", read_umask}, {"additionalGids", read_groups}, {"username", read_ignored},
};

static bool read_user(struct reader *r, struct process *p) { return read_object(r, p, FIELDS(USER)); }

// Where the name without its prefix is in the list; -1 for nowhere.
static int index_of(const char *name, const char *prefix, const char *const *list, int count) {
  size_t length = strlen(prefix);
  if (strncmp(name, prefix, length)) return -1;
  for (int i = 0; i < count; i++)
    if (!strcmp(list[i], name + length)) return i;
  return -1;
}

static bool read_capability(struct reader *r, struct process *p, int set) {
  char name[40];
  if (!read_name(r, name, sizeof name)) return false;
  int bit = index_of(name, "CAP_", CAPABILITIES, (int)(sizeof CAPABILITIES / sizeof *CAPABILITIES));
  if (bit >= 0) p->capabilities[set] |= 1ull << bit;
  return bit >= 0;
}

static bool read_bounding(struct reader *r, struct process *p) { return read_array(r, read_capability, p, BOUNDING); }
static bool read_effective(struct reader *r, struct process *p) { return read_array(r, read_capability, p, EFFECTIVE); }
static bool read_inheritable(struct reader *r, struct process *p) {
  return read_array(r, read_capability, p, INHERITABLE);
}
static bool read_permitted(struct reader *r, struct process *p) { return read_array(r, read_capability, p, PERMITTED); }
static bool read_ambient(struct reader *r, struct process *p) { return read_array(r, read_capability, p, AMBIENT); }

static const struct field CAPABILITY_SETS[] = {
    {"bounding", read_bounding},   {"effective", read_effective}, {"inheritable", read_inheritable},
    {"permitted", read_permitted}, {"ambient", read_ambient},
};

static bool read_capabilities(struct reader *r, struct process *p) {
  uint64_t *sets = p->capabilities;
  if (!read_object(r, p, FIELDS(CAPABILITY_SETS))) return false;
  return !(sets[EFFECTIVE] & ~sets[PERMITTED]) && !(sets[INHERITABLE] & ~sets[BOUNDING]) &&
         !(sets[AMBIENT] & ~(sets[PERMITTED] & sets[INHERITABLE]));
}

static bool read_limit_type(struct reader *r, struct process *p) {
  char name[32];
  struct limit *limit = &p->limits[p->limit_count];
  if (!read_name(r, name, sizeof name)) return false;
  limit->resource = index_of(name, "RLIMIT_", LIMITS, MAX_LIMITS);
  return limit->resource >= 0;
}

static bool read_limit_value(struct reader *r, uint64_t *value) {
  return read_number(r, UINT64_MAX, value) && (*value <= MAX_EXACT || *value >= UNLIMITED);
}

static bool read_soft(struct reader *r, struct process *p) { return read_limit_value(r, &p->limits[p->limit_count].soft); }
static bool read_hard(struct reader *r, struct process *p) { return read_limit_value(r, &p->limits[p->limit_count].hard); }

static const struct field LIMIT[] = {{"type", read_limit_type}, {"soft", read_soft}, {"hard", read_hard}};

static bool read_limit(struct reader *r, struct process *p, int which) {
  (void)which;
  if (p->limit_count == MAX_LIMITS) return false;
  struct limit *limit = &p->limits[p->limit_count];
  // Beyond what is taken: each of the three must be there.
  *limit = (struct limit){-1, UNLIMITED - 1, UNLIMITED - 1};
  if (!read_object(r, p, FIELDS(LIMIT)) || limit->resource < 0 || limit->soft == UNLIMITED - 1 ||
      limit->hard == UNLIMITED - 1 || limit->soft > limit->hard)
    return false;
  p->limit_count++;
  return true;
}

static bool read_limits(struct reader *r, struct process *p) { return read_array(r, read_limit, p, 0); }
static bool read_no_new_privileges(struct reader *r, struct process *p) { return read_boolean(r, &p->no_new_privileges); }
static bool read_terminal(struct reader *r, struct process *p) { return read_boolean(r, &p->terminal) && !p->terminal; }

static bool read_oom_score(struct reader *r, struct process *p) {
  uint64_t value;
  take(r, "");
  int sign = *r->at == '-' ? -1 : 1;
  if (sign < 0) r->at++;
  if (*r->at < '0' || *r->at > '9' || !read_number(r, 1000, &value)) return false;
  p->oom_score_adj = sign * (int)value;
  return true;
}

static const struct field PROCESS[] = {
    {"terminal", read_terminal},
    {"user", read_user},
    {"args", read_args},
    {"env", read_env},
    {"cwd", read_cwd},
    {"capabilities", read_capabilities},
    {"rlimits", read_limits},
    {"noNewPrivileges", read_no_new_privileges},
    {"oomScoreAdj", read_oom_score},
    {"apparmorProfile", read_ignored},
    {"selinuxLabel", read_ignored},
};

// Reads the text of a file, which ends with a null byte.
static bool read_process(const char *text, struct process *process) {
  struct reader reader = {text};
  *process = (struct process){.umask = DEFAULT_UMASK};
  if (!read_object(&reader, process, FIELDS(PROCESS))) return false;
  take(&reader, "");
  return !*reader.at && process->args.count > 0 && process->cwd.size > 0;
}

static void add_limit(struct text *to, const char *name, uint64_t value) {
  if (value >= UNLIMITED) add(to, ",\"%s\":null", name);
  else add(to, ",\"%s\":%llu", name, (unsigned long long)value);
}

// The request that sentry/boot/process-request.ts checks. False when it is too long.
static bool write_request(const struct process *p, const char *id, struct text *to) {
  struct winsize size;
  add(to, "{\"command\":\"exec\",\"container\":\"%s\",\"process\":{\"args\":%.*s,\"env\":%.*s,\"cwd\":%.*s", id,
      (int)p->args.size, p->args.from, p->env.size ? (int)p->env.size : 2, p->env.size ? p->env.from : "[]",
      (int)p->cwd.size, p->cwd.from);
  add(to, ",\"uid\":%u,\"gid\":%u,\"groups\":[", (unsigned)p->uid, (unsigned)p->gid);
  for (int i = 0; i < p->group_count; i++) add(to, "%s%u", i ? "," : "", (unsigned)p->groups[i]);
  add(to, "],\"umask\":%u,\"capabilities\":{", (unsigned)p->umask);
  for (int i = 0; i < SETS; i++)
    add(to, "%s\"%s\":[%u,%u]", i ? "," : "", SET_NAMES[i], (unsigned)p->capabilities[i],
        (unsigned)(p->capabilities[i] >> 32));
  add(to, "},\"rlimits\":[");
  for (int i = 0; i < p->limit_count; i++) {
    add(to, "%s{\"resource\":%d", i ? "," : "", p->limits[i].resource);
    add_limit(to, "soft", p->limits[i].soft);
    add_limit(to, "hard", p->limits[i].hard);
    add(to, "}");
  }
  add(to,
      "],\"noNewPrivileges\":%s,\"oomScoreAdj\":%d,\"scheduler\":null,\"ioprio\":null,\"affinity\":null,"
      "\"personality\":0,\"terminal\":false,\"onlcr\":%s,\"rows\":0,\"columns\":0,\"passedFds\":[]}}",
      p->no_new_privileges ? "true" : "false", p->oom_score_adj, ioctl(1, TIOCGWINSZ, &size) == 0 ? "true" : "false");
  // A line: the blanks between the strings may be line ends.
  for (size_t i = 0; i < to->size; i++)
    if (to->bytes[i] == '\n') to->bytes[i] = ' ';
  add(to, "\n");
  return !to->cut;
}
