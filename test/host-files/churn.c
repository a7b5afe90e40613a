// Makes, lists and removes names in DIRECTORY, without pause until there is a file "slow" and with pauses then, until there is a
// file "stop".
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 2 || chdir(argv[1]) == -1) return 1;
  while (access("stop", F_OK) == -1) {
    int fd = open("file", O_CREAT | O_EXCL | O_RDWR, 0600);
    if (fd == -1 || close(fd) == -1) return 2;
    DIR *dir = opendir(".");
    if (dir == NULL) return 3;
    while (readdir(dir) != NULL) {
    }
    closedir(dir);
    if (unlink("file") == -1) return 4;
    struct timespec pause = {0, 50 * 1000 * 1000};
    if (access("slow", F_OK) == 0) nanosleep(&pause, NULL);
  }
  puts("stopped");
}
