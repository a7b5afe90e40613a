// Small measurements of single system calls. Prints "name<TAB>nanoseconds per operation", one line each.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char block[65536];
static char file_name[64], other_name[80];
static int file, data_pipe[2], pair[2], to_child[2], from_child[2];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static void must(int good, const char *what) {
  if (good) return;
  perror(what);
  exit(1);
}

static void do_getpid(void) { syscall(SYS_getpid); }
static void do_getppid(void) { syscall(SYS_getppid); }
static void do_clock_vdso(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
}
static void do_clock_call(void) {
  struct timespec t;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
}
static void do_pread_1(void) { must(pread(file, block, 1, 0) == 1, "pread"); }
static void do_pread_4k(void) { must(pread(file, block, 4096, 0) == 4096, "pread"); }
static void do_pread_64k(void) { must(pread(file, block, 65536, 0) == 65536, "pread"); }
static void do_pwrite_4k(void) { must(pwrite(file, block, 4096, 0) == 4096, "pwrite"); }
static void do_fstat(void) {
  struct stat st;
  must(fstat(file, &st) == 0, "fstat");
}
static void do_stat(void) {
  struct stat st;
  must(stat(file_name, &st) == 0, "stat");
}
static void do_open_close(void) {
  int fd = open(file_name, O_RDONLY);
  must(fd >= 0, "open");
  close(fd);
}
static void do_create_unlink(void) {
  int fd = open(other_name, O_RDWR | O_CREAT, 0644);
  must(fd >= 0, "create");
  close(fd);
  unlink(other_name);
}
static void do_pipe_bytes(void) { must(write(data_pipe[1], block, 1) == 1 && read(data_pipe[0], block, 1) == 1, "pipe"); }
static void do_ping_pong(void) { must(write(to_child[1], "p", 1) == 1 && read(from_child[0], block, 1) == 1, "ping-pong"); }
static void do_pair_bytes(void) { must(write(pair[0], block, 1) == 1 && read(pair[1], block, 1) == 1, "socketpair"); }
static void do_poll(void) {
  struct pollfd p = {data_pipe[1], POLLOUT, 0};
  must(poll(&p, 1, 0) == 1, "poll");
}
static void do_mmap(void) {
  char *at = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(at != MAP_FAILED, "mmap");
  *at = 1;
  munmap(at, 65536);
}
static void do_fork(void) {
  pid_t child = fork();
  must(child >= 0, "fork");
  if (child == 0) _exit(0);
  waitpid(child, NULL, 0);
}
static void do_exec(void) {
  pid_t child = fork();
  must(child >= 0, "fork");
  if (child == 0) {
    execl("/bin/true", "true", NULL);
    _exit(1);
  }
  waitpid(child, NULL, 0);
}
static void *nothing(void *arg) { return arg; }
static void do_thread(void) {
  pthread_t thread;
  must(pthread_create(&thread, NULL, nothing, NULL) == 0, "thread");
  pthread_join(thread, NULL);
}

static void start_partner(void) {
  must(pipe(to_child) == 0 && pipe(from_child) == 0, "pipe");
  if (fork() != 0) {
    close(to_child[0]), close(from_child[1]);
    return;
  }
  char c;
  close(to_child[1]), close(from_child[0]);
  while (read(to_child[0], &c, 1) == 1) must(write(from_child[1], &c, 1) == 1, "partner");
  _exit(0);
}

static void measure(const char *name, void (*operation)(void), int times) {
  for (int i = 0; i < times / 10 + 1; i++) operation();
  double start = now();
  for (int i = 0; i < times; i++) operation();
  printf("%s\t%.1f\n", name, (now() - start) / times);
  fflush(stdout);
}

/** Touches fresh memory page by page. */
static void measure_page_faults(void) {
  size_t size = 64 << 20;
  char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(at != MAP_FAILED, "mmap");
  madvise(at, size, MADV_NOHUGEPAGE);
  double start = now();
  for (size_t i = 0; i < size; i += 4096) at[i] = 1;
  printf("page fault\t%.1f\n", (now() - start) / (size / 4096));
  munmap(at, size);
}

int main(void) {
  snprintf(file_name, sizeof file_name, "/tmp/microbench-%d", getpid());
  snprintf(other_name, sizeof other_name, "%s-other", file_name);
  file = open(file_name, O_RDWR | O_CREAT | O_TRUNC, 0644);
  must(file >= 0 && write(file, block, sizeof block) == sizeof block, "file");
  must(pipe(data_pipe) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "pair");
  measure("getpid", do_getpid, 100000);
  measure("getppid", do_getppid, 20000);
  measure("clock_gettime (vDSO)", do_clock_vdso, 200000);
  measure("clock_gettime (call)", do_clock_call, 20000);
  measure("pread 1 B", do_pread_1, 20000);
  measure("pread 4 KiB", do_pread_4k, 20000);
  measure("pread 64 KiB", do_pread_64k, 5000);
  measure("pwrite 4 KiB", do_pwrite_4k, 20000);
  measure("fstat", do_fstat, 20000);
  measure("stat", do_stat, 10000);
  measure("open+close", do_open_close, 5000);
  measure("create+unlink", do_create_unlink, 1000);
  measure("pipe write+read 1 B", do_pipe_bytes, 20000);
  start_partner();
  measure("pipe ping-pong", do_ping_pong, 5000);
  measure("socketpair write+read", do_pair_bytes, 20000);
  measure("poll one", do_poll, 20000);
  measure("mmap+touch+munmap 64 KiB", do_mmap, 2000);
  measure_page_faults();
  measure("fork+exit+wait", do_fork, 200);
  measure("fork+exec+wait", do_exec, 50);
  measure("pthread create+join", do_thread, 500);
  unlink(file_name);
  return 0;
}
