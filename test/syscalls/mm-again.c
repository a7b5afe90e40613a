// Files that are mapped over mappings of themselves, as the dynamic loader does it with the segments of a library.
#include "test.h"
#include <sys/mman.h>

#define PAGE 4096

static int file;

static char *map_file(void) {
  char page[PAGE];
  file = EXPECT_OK(open("pages", O_RDWR | O_CREAT, 0600));
  for (int i = 0; i < 4; i++) {
    memset(page, 'a' + i, sizeof page);
    EXPECT_EQ(write(file, page, sizeof page), PAGE);
  }
  char *p = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
  EXPECT_TRUE(p != MAP_FAILED);
  return p;
}

static void again(char *p, int page, int pages, int prot, int from) {
  char *at = p + page * PAGE;
  EXPECT_TRUE(mmap(at, (size_t)pages * PAGE, prot, MAP_PRIVATE | MAP_FIXED, file, from * PAGE) == at);
}

TEST(segments_over_the_whole_file) {
  char *p = map_file();
  again(p, 1, 1, PROT_READ | PROT_EXEC, 1);
  again(p, 2, 1, PROT_READ | PROT_WRITE, 1);
  again(p, 3, 1, PROT_READ | PROT_WRITE, 3);
  EXPECT_TRUE(p[0] == 'a' && p[PAGE] == 'b' && p[2 * PAGE] == 'b' && p[3 * PAGE] == 'd');
  p[2 * PAGE] = p[3 * PAGE] = 'x';
  char byte;
  EXPECT_EQ(pread(file, &byte, 1, 3 * PAGE), 1);
  EXPECT_EQ(byte, 'd');
}

TEST(what_was_written_is_gone_when_mapped_again) {
  char *p = map_file();
  EXPECT_OK(mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE));
  p[PAGE] = 'x';
  EXPECT_OK(mprotect(p + PAGE, PAGE, PROT_READ));
  EXPECT_EQ(p[PAGE], 'x');
  again(p, 1, 1, PROT_READ, 1);
  EXPECT_EQ(p[PAGE], 'b');
  again(p, 2, 1, PROT_READ | PROT_WRITE, 2);
  p[2 * PAGE] = 'x';
  again(p, 0, 4, PROT_READ | PROT_WRITE, 0);
  EXPECT_EQ(p[2 * PAGE], 'c');
}

TEST(what_was_forced_is_gone_when_mapped_again) {
  char *p = map_file();
  int memory = EXPECT_OK(open("/proc/self/mem", O_RDWR));
  if (pwrite(memory, "x", 1, (off_t)(p + PAGE)) == -1) SKIP("this kernel does not force writes");
  EXPECT_EQ(p[PAGE], 'x');
  again(p, 1, 1, PROT_READ, 1);
  EXPECT_EQ(p[PAGE], 'b');
}

TEST(a_child_inherits_what_was_written) {
  char *p = map_file();
  EXPECT_OK(mprotect(p, PAGE, PROT_READ | PROT_WRITE));
  p[0] = 'x';
  EXPECT_OK(mprotect(p, PAGE, PROT_READ));
  IN_CHILD({
    EXPECT_EQ(p[0], 'x');
    again(p, 0, 1, PROT_READ, 0);
    EXPECT_EQ(p[0], 'a');
  });
  EXPECT_EQ(p[0], 'x');
}

TEST(moved_mappings_and_other_files) {
  char *p = map_file();
  char *to = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_TRUE(mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
  again(to, 1, 2, PROT_READ, 1);
  EXPECT_TRUE(to[0] == 'a' && to[PAGE] == 'b' && to[2 * PAGE] == 'c');
  again(to, 1, 1, PROT_READ, 3);
  EXPECT_EQ(to[PAGE], 'd');
  make_file("other", "other");
  int other = EXPECT_OK(open("other", O_RDONLY));
  EXPECT_TRUE(mmap(to, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, other, 0) == to);
  EXPECT_EQ(to[0], 'o');
  // Not what a shared mapping of the file is.
  EXPECT_TRUE(mmap(to + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 2 * PAGE) == to + 2 * PAGE);
  to[2 * PAGE] = 'x';
  char byte;
  EXPECT_EQ(pread(file, &byte, 1, 2 * PAGE), 1);
  EXPECT_EQ(byte, 'x');
}
