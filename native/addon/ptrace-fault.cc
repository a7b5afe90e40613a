// What the host's siginfo does not say of an exception and a signal frame shows: the vector and the page fault's
// error code. ptrace cannot read them, so they are told from the siginfo and, for writes, the instruction.
#include "ptrace-fault.h"

#include <signal.h>

namespace portcullis::ptrace {
namespace {

constexpr int kDivide = 0, kDebug = 1, kBreakpoint = 3, kInvalid = 6, kProtection = 13, kPage = 14,
              kAlignment = 17, kSimd = 19;
constexpr int kCodeKernel = 0x80;
constexpr int kPkuCode = 4;
// X86_PF_*
constexpr uint64_t kPresent = 1, kWrite = 2, kUser = 4, kFetch = 16, kPku = 32;

bool IsPrefix(uint8_t b) {
  return b == 0x66 || b == 0x67 || b == 0xf0 || b == 0xf2 || b == 0xf3 || b == 0x2e || b == 0x36 ||
         b == 0x3e || b == 0x26 || b == 0x64 || b == 0x65;
}

bool OneByteStores(uint8_t op, uint8_t reg) {
  // Arithmetic with a memory destination; compare only reads.
  if (op < 0x40) return (op & 7) < 2 && (op & 0x38) != 0x38;
  switch (op) {
    case 0x80: case 0x81: case 0x83:
      return reg != 7;
    case 0x86: case 0x87: case 0x88: case 0x89: case 0x8c: case 0x8f:
    case 0xa2: case 0xa3: case 0xa4: case 0xa5: case 0xaa: case 0xab:
    case 0xc0: case 0xc1: case 0xc6: case 0xc7: case 0xd0: case 0xd1: case 0xd2: case 0xd3:
    case 0xe8: case 0xc8:
      return true;
    case 0xf6: case 0xf7:
      return reg == 2 || reg == 3;
    case 0xfe: case 0xff:
      return reg < 2;
    default:
      return op >= 0x50 && op < 0x58;
  }
}

bool TwoByteStores(uint8_t op, uint8_t reg) {
  switch (op) {
    case 0x11: case 0x13: case 0x17: case 0x29: case 0x2b: case 0x7e: case 0x7f: case 0xd6:
    case 0xe7: case 0xc3: case 0xb0: case 0xb1: case 0xc0: case 0xc1: case 0xc7:
    case 0xab: case 0xb3: case 0xbb:
      return true;
    case 0xba:
      return reg > 4;
    default:
      return op >= 0x90 && op <= 0x9f;
  }
}

uint64_t PageError(int code, uint64_t addr, uint64_t ip, const uint8_t* text, size_t length) {
  uint64_t error = kUser;
  if (code != SEGV_MAPERR) error |= kPresent;
  if (code == kPkuCode) error |= kPku;
  if (addr == ip) return error | kFetch;
  return IsStore(text, length) ? error | kWrite : error;
}

}  // namespace

// LIMIT: the encodings of common compilers' stores; a rare one (AVX-512 scatter, XSAVE) counts as a read.
bool IsStore(const uint8_t* text, size_t length) {
  size_t at = 0;
  while (at < length && IsPrefix(text[at])) at++;
  if (at < length && (text[at] & 0xf0) == 0x40) at++;  // REX
  auto byte = [&](size_t i) { return i < length ? text[i] : uint8_t{0}; };
  auto reg = [&](size_t i) { return static_cast<uint8_t>(byte(i) >> 3 & 7); };
  uint8_t first = byte(at);
  bool vex2 = first == 0xc5, vex3 = first == 0xc4, evex = first == 0x62;
  if (vex2) return TwoByteStores(byte(at + 2), reg(at + 3));
  if (vex3) return (byte(at + 1) & 0x1f) == 1 && TwoByteStores(byte(at + 3), reg(at + 4));
  if (evex) return (byte(at + 1) & 7) == 1 && TwoByteStores(byte(at + 4), reg(at + 5));
  if (first == 0x0f) return TwoByteStores(byte(at + 1), reg(at + 2));
  return OneByteStores(first, reg(at + 1));
}

Fault DescribeFault(int signo, int code, uint64_t addr, uint64_t ip, const uint8_t* text,
                    size_t length) {
  switch (signo) {
    case SIGSEGV:
      if (code == kCodeKernel) return {kProtection, 0};
      return {kPage, PageError(code, addr, ip, text, length)};
    case SIGBUS:
      if (code == BUS_ADRALN) return {kAlignment, 0};
      return {kPage, PageError(SEGV_MAPERR, addr, ip, text, length)};
    case SIGFPE:
      return {code == FPE_INTDIV ? kDivide : kSimd, 0};
    case SIGTRAP:
      return {code == kCodeKernel ? kBreakpoint : kDebug, 0};
    default:
      return {kInvalid, 0};
  }
}

}  // namespace portcullis::ptrace
