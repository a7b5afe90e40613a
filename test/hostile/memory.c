// Attacks on the stub's memory: all of it is the program's to read and write, and none of it may matter.
#include "hostile.h"

static void call_some(int n) {
  for (int i = 0; i < n; i++) {
    syscall(SYS_getppid);
    syscall(SYS_lseek, 1, 0, SEEK_CUR);
  }
}

ATTACK(zero_all_slots) {
  for (uint64_t i = 0; i < 64; i++) memset((void *)(STUB_SLOTS + i * STUB_SLOT_SIZE), 0, STUB_SLOT_SIZE);
  call_some(10);
}

ATTACK(fill_all_slots) {
  for (uint64_t at = 0; at < STUB_SLOTS_SIZE; at += 8) *(volatile uint64_t *)(STUB_SLOTS + at) = random64();
  call_some(10);
}

ATTACK(ones_in_own_slot) {
  memset(own_slot(), 0xff, STUB_SLOT_SIZE);
  call_some(10);
}

ATTACK(overwrite_blocks) {
  uint64_t stack = STUB_BLOCKS + slot_index() * STUB_BLOCK_SIZE + STUB_PAGE;
  memset((void *)stack, 0xa5, STUB_BLOCK_STACK);
  call_some(10);
}

ATTACK(write_status_page) {
  *(volatile uint32_t *)STUB_STATUS = 0;
  breach("the status page was written");
}

ATTACK(make_status_page_writable) {
  if (native(SYS_mprotect, STUB_STATUS, STUB_PAGE, 3, 0, 0, 0) == 0) breach("the status page is writable");
  if (native(SYS_mprotect, STUB_STATUS, STUB_PAGE, 2, 0, 0, 0) == 0) breach("the status page is writable");
  call_some(2);
}

ATTACK(change_stub_text) {
  if (native(SYS_mprotect, STUB_BASE, STUB_PAGE, 7, 0, 0, 0) < 0) _exit(1);
  memset((void *)(STUB_BASE + 0x100), 0xcc, 0xd00);
  call_some(10);
}

ATTACK(stub_text_of_own_making) {
  // Code of our own where the filter believes the stub: it must gain us nothing that the stub has not.
  if (native(SYS_mmap, STUB_BASE + 0x2000, 0x1000, 7, 0x32, -1, 0) < 0) _exit(1);
  unsigned char code[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca, 0x0f, 0x05, 0xc3};
  memcpy((void *)(STUB_BASE + 0x2000), code, sizeof code);
  long (*call)(long, long, long, long) = (void *)(STUB_BASE + 0x2000);
  static const int forbidden[] = {SYS_open, SYS_openat, SYS_openat2, SYS_execve, SYS_socket, SYS_kill, SYS_ptrace, SYS_fork,
                                  SYS_vfork, SYS_clone3, SYS_unshare, SYS_mount, SYS_prctl, SYS_rt_sigaction, SYS_setuid};
  int old = getuid();
  for (unsigned i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
    // Each is answered by the sentry, as if an ordinary place had made it. With these arguments none does harm.
    call(forbidden[i], -1, -1, -1);
  }
  if ((int)getuid() != old) breach("the user changed");
  for (int nr = 0; nr < 600; nr++) {
    if (nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn || nr == SYS_munmap || nr == SYS_pause) continue;
    if (nr == SYS_vfork || nr == SYS_fork || nr == SYS_clone || nr == SYS_clone3 || nr == SYS_setpgid || nr == SYS_setsid) continue;
    alarm(1);
    call(nr, -1, -1, -1);
  }
}

static void unmap(uint64_t start, uint64_t length) {
  native(SYS_munmap, start, length, 0, 0, 0, 0);
  call_some(2);
}

ATTACK(unmap_slots) { unmap(STUB_SLOTS, STUB_SLOTS_SIZE); }
ATTACK(unmap_blocks) { unmap(STUB_BLOCKS, STUB_END - STUB_BLOCKS); }
ATTACK(unmap_text) { unmap(STUB_BASE, STUB_PAGE * 2); }
ATTACK(unmap_status) { unmap(STUB_STATUS, STUB_PAGE); }
ATTACK(unmap_stub) { unmap(STUB_BASE, STUB_END - STUB_BASE); }

ATTACK(unmap_everything_else) {
  native(SYS_munmap, 0x10000, STUB_BASE - 0x10000, 0, 0, 0, 0);
}

ATTACK(private_slots) {
  // Anonymous memory in place of the shared slots: what we post, nobody sees.
  native(SYS_mmap, STUB_SLOTS, STUB_SLOTS_SIZE, 3, 0x32, -1, 0);
  call_some(2);
}

ATTACK(read_only_slots) {
  native(SYS_mprotect, STUB_SLOTS, STUB_SLOTS_SIZE, 1, 0, 0, 0);
  call_some(2);
}

ATTACK(dontneed_slots) {
  native(SYS_madvise, STUB_SLOTS, STUB_SLOTS_SIZE, MADV_DONTNEED, 0, 0, 0);
  call_some(20);
}

ATTACK(map_over_the_stub) {
  void *p = mmap((void *)STUB_BASE, 0x20000000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (p != MAP_FAILED) {
    *(volatile char *)p = 1;
    call_some(2);
  }
  munmap((void *)STUB_BASE, 0x20000000);
  mprotect((void *)STUB_BASE, 0x20000000, PROT_READ | PROT_WRITE | PROT_EXEC);
  mremap((void *)STUB_BASE, STUB_PAGE, STUB_PAGE * 2, MREMAP_MAYMOVE);
  call_some(2);
}

ATTACK(sentry_pointers_into_the_stub) {
  // The kernel must not read or write the stub's memory as if it were ours, or must survive doing so.
  char buffer[64];
  int fds[2];
  if (pipe(fds)) _exit(1);
  write(fds[1], "abcdefgh", 8);
  read(fds[0], (void *)(STUB_SLOTS), 8);
  write(fds[1], (void *)STUB_SLOTS, 4096);
  read(fds[0], buffer, sizeof buffer);
  getcwd((void *)STUB_SLOTS, 4096);
  readv(fds[0], (struct iovec *)STUB_SLOTS, 3);
  call_some(5);
}

ATTACK(native_memory_hog_is_ours) {
  // Memory that the sentry does not know of counts for this process and goes with it.
  for (int i = 0; i < 64; i++) {
    long at = native(SYS_mmap, 0x10000000000 + i * 0x100000L, 0x100000, 3, 0x32, -1, 0);
    if (at > 0) memset((void *)at, 1, 0x1000);
    char block[16] = "x";
    // The sentry has no mapping there; neither its answer nor its state may suffer.
    write(2, (void *)at, 0);
    mmap((void *)(0x10000000000 + i * 0x100000L), 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap((void *)(0x10000000000 + i * 0x100000L), 8192);
    (void)block;
  }
}

ATTACK(remove_program_memory_natively) {
  char *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  native(SYS_munmap, (long)page, 65536, 0, 0, 0, 0);
  int fds[2];
  if (pipe2(fds, O_NONBLOCK)) _exit(1);
  write(fds[1], page, 65536);
  read(fds[0], page, 4096);
  mprotect(page, 65536, PROT_READ);
  mremap(page, 65536, 131072, MREMAP_MAYMOVE);
  madvise(page, 65536, MADV_DONTNEED);
  munmap(page, 65536);
  pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, NULL, 0);
  execl("/bin/true", "true", NULL);
}
