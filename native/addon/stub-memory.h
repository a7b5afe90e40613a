// What the host tells of another process by its pid: memory and CPU time. The platforms see to it that the pid is
// still that process's.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace portcullis {

// Copy to or from a process. Both return the bytes copied, less than asked where memory ends, or -EFAULT.
int64_t ReadProcess(pid_t pid, uint64_t addr, uint8_t* into, size_t length);
int64_t WriteProcess(pid_t pid, uint64_t addr, const uint8_t* from, size_t length);

// The length of a string without its NUL, -ENAMETOOLONG when there is none within `max` bytes, or -EFAULT.
int64_t ReadProcessString(pid_t pid, uint64_t addr, uint8_t* into, size_t max);

// CPU time in ns.
struct CpuTimes {
  double total = 0;
  double user = 0;
};

// CPU time that all threads of the process used. Returns 0 or -errno.
int ProcessCpuTimes(pid_t pid, CpuTimes* times);

double MonotonicNs();

}  // namespace portcullis
