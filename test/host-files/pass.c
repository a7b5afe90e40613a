// Two of these pass a ball to and fro in one directory, each in a container of its own: whatever one has done there, the
// other must see with its next call. pass DIRECTORY NUMBER, where NUMBER is 0 or 1.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROUNDS = 200 };

static void must(int condition, const char *what, int round) {
  if (condition) return;
  fprintf(stderr, "round %d: %s: %s\n", round, what, strerror(errno));
  exit(1);
}

// The ball is made under another name, so that it appears whole, below a directory that comes and goes.
static void throwBall(int to, int round) {
  char text[16], name[16];
  snprintf(text, sizeof text, "%d", round);
  snprintf(name, sizeof name, "to%d", to);
  must(mkdir("hand", 0700) == 0, "mkdir", round);
  int fd = open("hand/ball", O_WRONLY | O_CREAT | (round % 2 ? O_EXCL : O_TRUNC), 0600);
  must(fd >= 0, "create", round);
  must(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write", round);
  must(fchmod(fd, 0400 | round % 8) == 0, "fchmod", round);
  must(close(fd) == 0, "close", round);
  must(rename("hand", name) == 0, "rename", round);
}

static void catchBall(int from, int round) {
  char name[16], ball[32], text[16] = "";
  struct stat st;
  snprintf(name, sizeof name, "to%d", from);
  snprintf(ball, sizeof ball, "%s/ball", name);
  while (stat(ball, &st) == -1) must(errno == ENOENT, "stat", round);
  must((st.st_mode & 0777) == (mode_t)(0400 | round % 8), "the mode", round);
  int fd = open(ball, O_RDONLY);
  must(fd >= 0, "open", round);
  must(read(fd, text, sizeof text - 1) > 0 && atoi(text) == round, "the contents", round);
  must(close(fd) == 0, "close", round);
  must(unlink(ball) == 0, "unlink", round);
  must(rmdir(name) == 0, "rmdir", round);
}

int main(int argc, char **argv) {
  if (argc != 3 || chdir(argv[1]) == -1) return perror("pass"), 2;
  alarm(90);
  int self = atoi(argv[2]);
  for (int round = 0; round < ROUNDS; round++) {
    if (self == 0) throwBall(1, round);
    catchBall(self, round);
    if (self == 1) throwBall(0, round);
  }
  puts("passed");
  return 0;
}
