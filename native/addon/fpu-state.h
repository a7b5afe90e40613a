// The FPU state as the kernel's signal frame holds it: an XSAVE area whose software-reserved bytes carry sizes
// and a magic word, and a second magic word behind it (arch/x86/kernel/fpu/signal.c). The platforms give
// programs this form and take it back from frames that programs built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace portcullis::fpu {

constexpr size_t kFxSize = 512;
constexpr size_t kXsaveHeaderEnd = 576;
constexpr size_t kMaxSize = 65536;

// The size of the state whose first kXsaveHeaderEnd bytes these are; 0 when it makes no sense.
size_t FrameSize(const uint8_t* state);

// Turn the plain XSAVE area that PTRACE_GETREGSET returns into the form of a frame.
void FrameFromXsave(std::vector<uint8_t>* state);

// The initial state with the sizes and magic words of `sample`, a state that no program has touched.
std::vector<uint8_t> Initial(const std::vector<uint8_t>& sample);

// Give `state` the sizes and magic words of `initial`, whatever is there.
void Stamp(const std::vector<uint8_t>& initial, uint8_t* state);

// Whether a state of this length can be loaded: none, the legacy part alone, or all.
bool LengthFits(const std::vector<uint8_t>& initial, size_t length);

// A state that the host will load without complaint, made of what a program gave; `length` fits.
std::vector<uint8_t> Compose(const std::vector<uint8_t>& initial, const uint8_t* from, size_t length);

}  // namespace portcullis::fpu
