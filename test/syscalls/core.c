// Core dumps: who gets one, where it lies, and what is in it.
#include "test.h"
#include <elf.h>
#include <sys/prctl.h>
#include <sys/procfs.h>
#include <sys/user.h>

#define CORES "cores"
static char found[300];

/** Where Linux writes cores by a pattern that does not lead into the working directory, nothing can be tested. */
static void need_plain_pattern(void) {
  char pattern[256] = "";
  read_whole("/proc/sys/kernel/core_pattern", pattern, sizeof pattern);
  if (pattern[0] == '|' || pattern[0] == '@' || strchr(pattern, '/')) SKIP("cores go elsewhere");
  struct rlimit limit;
  EXPECT_OK(getrlimit(RLIMIT_CORE, &limit));
  if (limit.rlim_max < 1 << 26) SKIP("no cores");
  limit.rlim_cur = limit.rlim_max;
  EXPECT_OK(setrlimit(RLIMIT_CORE, &limit));
}

/** The only file in the directory of cores, or NULL. */
static const char *only_core(void) {
  DIR *d = opendir(CORES);
  const char *path = NULL;
  for (struct dirent *e; (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    snprintf(found, sizeof found, CORES "/%s", e->d_name);
    path = found;
  }
  closedir(d);
  return path;
}

/** Runs a block in the directory of cores, in a child. Its wait status. */
#define STATUS_OF(...)                            \
  ({                                              \
    mkdir(CORES, 0777);                           \
    pid_t child_ = FORK({                         \
      EXPECT_OK(chdir(CORES));                    \
      __VA_ARGS__;                                \
    });                                           \
    int status_;                                  \
    EXPECT_EQ(waitpid(child_, &status_, 0), child_); \
    status_;                                      \
  })

static char *core;
static size_t core_size;
static void load_core(void) {
  const char *path = only_core();
  EXPECT_TRUE(path != NULL);
  int fd = EXPECT_OK(open(path, O_RDONLY));
  struct stat st;
  EXPECT_OK(fstat(fd, &st));
  EXPECT_EQ(st.st_mode, S_IFREG | 0600);
  core_size = st.st_size;
  core = mmap(NULL, core_size, PROT_READ, MAP_PRIVATE, fd, 0);
  EXPECT_TRUE(core != MAP_FAILED);
  close(fd);
  EXPECT_OK(unlink(path));
}

static const Elf64_Phdr *headers(int *n) {
  const Elf64_Ehdr *ehdr = (void *)core;
  EXPECT_EQ(memcmp(ehdr->e_ident, ELFMAG, SELFMAG), 0);
  EXPECT_TRUE(ehdr->e_type == ET_CORE && ehdr->e_machine == EM_X86_64 && ehdr->e_phentsize == sizeof(Elf64_Phdr));
  *n = ehdr->e_phnum;
  return (void *)(core + ehdr->e_phoff);
}

static const void *note_of(unsigned type) {
  int n;
  const Elf64_Phdr *ph = headers(&n);
  for (int i = 0; i < n; i++) {
    if (ph[i].p_type != PT_NOTE) continue;
    const char *at = core + ph[i].p_offset, *end = at + ph[i].p_filesz;
    while (at < end) {
      const Elf64_Nhdr *note = (void *)at;
      const char *content = at + sizeof *note + ((note->n_namesz + 3) & ~3u);
      if (note->n_type == type) return content;
      at = content + ((note->n_descsz + 3) & ~3u);
    }
  }
  return NULL;
}

/** What the core holds of an address of the process; NULL when it has nothing. */
static const char *memory_at(const void *address) {
  int n;
  const Elf64_Phdr *ph = headers(&n);
  for (int i = 0; i < n; i++) {
    Elf64_Addr at = (Elf64_Addr)address;
    if (ph[i].p_type != PT_LOAD || at < ph[i].p_vaddr || at >= ph[i].p_vaddr + ph[i].p_filesz) continue;
    EXPECT_LE(ph[i].p_offset + ph[i].p_filesz, core_size);
    return core + ph[i].p_offset + (at - ph[i].p_vaddr);
  }
  return NULL;
}

TEST(signals_that_dump) {
  need_plain_pattern();
  const int dumping[] = {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS};
  for (unsigned i = 0; i < sizeof dumping / sizeof *dumping; i++) {
    EXPECT_EQ(STATUS_OF({ raise(dumping[i]); }), dumping[i] | 0x80);
    load_core();
  }
  const int others[] = {SIGHUP, SIGINT, SIGKILL, SIGUSR1, SIGTERM, SIGALRM, SIGRTMIN};
  for (unsigned i = 0; i < sizeof others / sizeof *others; i++) {
    EXPECT_EQ(STATUS_OF({ raise(others[i]); }), others[i]);
    EXPECT_TRUE(only_core() == NULL);
  }
  pid_t child = FORK({
    chdir(CORES);
    abort();
  });
  siginfo_t info;
  EXPECT_OK(waitid(P_PID, child, &info, WEXITED));
  EXPECT_TRUE(info.si_code == CLD_DUMPED && info.si_status == SIGABRT);
}

TEST(processes_that_may_not) {
  need_plain_pattern();
  EXPECT_EQ(STATUS_OF({
    EXPECT_OK(prctl(PR_SET_DUMPABLE, 0));
    abort();
  }), SIGABRT);
  EXPECT_EQ(STATUS_OF({
    become(NOBODY, NOBODY);
    abort();
  }), SIGABRT);
  EXPECT_EQ(STATUS_OF({
    struct rlimit none = {0, 0};
    EXPECT_OK(setrlimit(RLIMIT_CORE, &none));
    abort();
  }), SIGABRT);
  EXPECT_EQ(STATUS_OF({
    EXPECT_OK(mkdir("no", 0500));
    EXPECT_OK(chdir("no"));
    EXPECT_OK(rmdir("../no"));
    abort();
  }), SIGABRT);
  EXPECT_TRUE(only_core() == NULL);
}

TEST(what_a_core_tells) {
  need_plain_pattern();
  static char secret[4096] __attribute__((aligned(4096)));
  char *anonymous = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char *hidden = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *volatile on_stack;
  char local[64] = "on the stack";
  on_stack = local;
  strcpy(secret, "in the data");
  strcpy(anonymous + 4096, "in the second page");
  strcpy(shared, "shared");
  strcpy(hidden, "hidden");
  EXPECT_OK(madvise(hidden, 4096, MADV_DONTDUMP));
  pid_t pid = -1;
  int report[2];
  EXPECT_OK(pipe(report));
  EXPECT_EQ(STATUS_OF({
    pid = getpid();
    EXPECT_EQ(write(report[1], &pid, sizeof pid), sizeof pid);
    EXPECT_OK(prctl(PR_SET_NAME, "dumper"));
    asm volatile("mov $0x1122334455667788, %%rbx\n\tmovq $0, 0x10" : : : "rbx", "memory");
  }), SIGSEGV | 0x80);
  EXPECT_EQ(read(report[0], &pid, sizeof pid), sizeof pid);
  load_core();
  EXPECT_STR(memory_at(secret), "in the data");
  EXPECT_STR(memory_at(anonymous + 4096), "in the second page");
  EXPECT_EQ(memory_at(anonymous)[0], 0);
  EXPECT_STR(memory_at(shared), "shared");
  EXPECT_STR(memory_at(on_stack), "on the stack");
  EXPECT_TRUE(memory_at(hidden) == NULL);
  const prstatus_t *status = note_of(NT_PRSTATUS);
  const struct user_regs_struct *regs = (void *)status->pr_reg;
  EXPECT_TRUE(status->pr_pid == pid && status->pr_cursig == SIGSEGV);
  EXPECT_EQ(regs->rbx, 0x1122334455667788);
  const prpsinfo_t *process = note_of(NT_PRPSINFO);
  EXPECT_STR(process->pr_fname, "dumper");
  EXPECT_EQ(process->pr_pid, pid);
  const siginfo_t *info = note_of(0x53494749);
  EXPECT_TRUE(info->si_signo == SIGSEGV && info->si_code == SEGV_MAPERR && info->si_addr == (void *)0x10);
  EXPECT_TRUE(note_of(NT_AUXV) && note_of(NT_FPREGSET) && note_of(0x46494c45));
}

TEST(the_filter_chooses_memory) {
  need_plain_pattern();
  char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  char *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *both[] = {shared, own};
  char text[32];
  strcpy(shared, "shared"), strcpy(own, "private");
  expect_content("/proc/self/coredump_filter", "00000033\n");
  for (int i = 0; i < 2; i++) {
    int fd = EXPECT_OK(open("/proc/self/coredump_filter", O_RDWR));
    int n = snprintf(text, sizeof text, "0x%x", i == 0 ? 2 : 1);
    EXPECT_EQ(write(fd, text, n), n);
    EXPECT_ERRNO(write(fd, "x", 1), EINVAL);
    close(fd);
    // A child has its parent's.
    EXPECT_EQ(STATUS_OF({ abort(); }), SIGABRT | 0x80);
    load_core();
    EXPECT_STR(memory_at(both[i]), i == 0 ? "shared" : "private");
    EXPECT_TRUE(memory_at(both[!i]) == NULL);
  }
}

TEST(cores_have_a_limit_and_replace_no_links) {
  need_plain_pattern();
  mkdir(CORES, 0777);
  EXPECT_EQ(STATUS_OF({
    struct rlimit limit = {16384, 16384};
    EXPECT_OK(setrlimit(RLIMIT_CORE, &limit));
    abort();
  }), SIGABRT | 0x80);
  struct stat st;
  EXPECT_OK(stat(only_core(), &st));
  EXPECT_LE(st.st_size, 16384);
  char name[300];
  strcpy(name, only_core());
  EXPECT_OK(unlink(name));
  make_file("precious", "data");
  if (!strstr(name, "core.")) {
    EXPECT_OK(symlink("../precious", name));
    EXPECT_EQ(STATUS_OF({ abort(); }), SIGABRT | 0x80);
    expect_content("precious", "data");
    EXPECT_OK(lstat(name, &st));
    EXPECT_TRUE(S_ISREG(st.st_mode));
  }
}
