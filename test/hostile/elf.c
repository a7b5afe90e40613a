// Programs with random mistakes in them, executed.
#include <elf.h>

#include "hostile.h"

static unsigned char image[1 << 20];
static size_t image_size;

static void load(const char *path) {
  int fd = open(path, O_RDONLY);
  ssize_t n = read(fd, image, sizeof image);
  close(fd);
  if (n < (ssize_t)sizeof(Elf64_Ehdr)) _exit(1);
  image_size = (size_t)n;
}

static const uint64_t odd_values[] = {0, 1, 7, 0xfff, 0x1000, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffff, 0x800000000000,
                                      0xffffffffffffffff, 0x8000000000000000, STUB_BASE, STUB_SLOTS, 0xffffffffff600000};

static void run_copy(const unsigned char *bytes, size_t size) {
  char name[] = "/tmp/elf.XXXXXX";
  int fd = mkstemp(name);
  if (fd < 0 || write(fd, bytes, size) != (ssize_t)size) _exit(1);
  fchmod(fd, 0700);
  close(fd);
  pid_t child = fork();
  if (child == 0) {
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0), dup2(null, 1), dup2(null, 2);
    execl(name, name, "--version", NULL);
    _exit(1);
  }
  for (int i = 0; i < 200 && waitpid(child, NULL, WNOHANG) == 0; i++) usleep(1000);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  unlink(name);
}

/** Changes the headers: the file header and the program headers, by bytes or by whole fields. */
static void mutate(int rounds) {
  static unsigned char copy[sizeof image];
  size_t headers = sizeof(Elf64_Ehdr) + 13 * sizeof(Elf64_Phdr);
  for (int round = 0; round < rounds; round++) {
    memcpy(copy, image, image_size);
    int changes = 1 + (int)(random64() % 3);
    for (int i = 0; i < changes; i++) {
      if (random64() & 1) copy[4 + random64() % (headers - 4)] = (unsigned char)random64();
      else memcpy(copy + 16 + random64() % (headers - 24) / 8 * 8, &odd_values[random64() % (sizeof odd_values / 8)], 8);
    }
    run_copy(copy, random64() % 8 ? image_size : random64() % image_size);
  }
}

ATTACK(changed_programs) {
  load("/bin/true");
  mutate(80);
}
ATTACK(changed_interpreters) {
  load("/lib64/ld-linux-x86-64.so.2");
  random_state += 5;
  mutate(60);
}
ATTACK(no_programs_at_all) {
  static unsigned char noise[65536];
  for (int round = 0; round < 30; round++) {
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (unsigned char)(random64() >> 13);
    if (round % 3 == 0) memcpy(noise, "\177ELF\2\1\1", 7);
    if (round % 3 == 1) memcpy(noise, "#!", 2);
    run_copy(noise, round * 257 % sizeof noise);
  }
}
