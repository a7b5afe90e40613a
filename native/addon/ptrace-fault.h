// See ptrace-fault.cc.
#pragma once

#include <cstddef>
#include <cstdint>

namespace portcullis::ptrace {

// The longest instruction of x86.
constexpr size_t kMaxInstruction = 15;

struct Fault {
  int vector;
  uint64_t error;
};

// The vector and error code of an exception, from its siginfo and the instruction at `ip`.
Fault DescribeFault(int signo, int code, uint64_t addr, uint64_t ip, const uint8_t* text,
                    size_t length);

// Whether the instruction writes to memory.
bool IsStore(const uint8_t* text, size_t length);

}  // namespace portcullis::ptrace
