// Raw system calls for the stub, which has no libc.
#pragma once

#include <stdint.h>

#define NR_MMAP 9
#define NR_MPROTECT 10
#define NR_MUNMAP 11
#define NR_RT_SIGACTION 13
#define NR_RT_SIGPROCMASK 14
#define NR_MINCORE 27
#define NR_CLONE 56
#define NR_EXIT 60
#define NR_CLOSE 3
#define NR_SIGALTSTACK 131
#define NR_PRCTL 157
#define NR_ARCH_PRCTL 158
#define NR_FUTEX 202
#define NR_EXIT_GROUP 231
#define NR_SECCOMP 317

static inline long call6(long nr, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static inline long call3(long nr, long a, long b, long c) { return call6(nr, a, b, c, 0, 0, 0); }

static inline int failed(long result) { return (unsigned long)result >= (unsigned long)-4095; }
