// See fpu-state.h.
#include "fpu-state.h"

#include <algorithm>
#include <cstring>

namespace portcullis::fpu {
namespace {

// Where the FXSAVE area and the XSAVE header keep what must be valid before a state may be loaded.
constexpr size_t kMxcsr = 24;
constexpr size_t kMxcsrMask = 28;
constexpr size_t kSoftware = 464;
constexpr size_t kXstateBv = 512;
constexpr uint32_t kMagic1 = 0x46505853;
constexpr uint32_t kMagic2 = 0x46505845;
constexpr uint64_t kFpAndSse = 3;
constexpr uint32_t kDefaultMxcsrMask = 0xffbf;

// struct _fpx_sw_bytes
struct Software {
  uint32_t magic1;
  uint32_t extendedSize;
  uint64_t features;
  uint32_t xstateSize;
  uint32_t unused[7];
};

template <typename T>
T Get(const uint8_t* from, size_t at) {
  T value;
  memcpy(&value, from + at, sizeof value);
  return value;
}

template <typename T>
void Put(uint8_t* to, size_t at, T value) {
  memcpy(to + at, &value, sizeof value);
}

}  // namespace

size_t FrameSize(const uint8_t* state) {
  auto software = Get<Software>(state, kSoftware);
  size_t size = software.magic1 == kMagic1 ? software.extendedSize : kFxSize;
  return size < kFxSize || size > kMaxSize ? 0 : size;
}

void FrameFromXsave(std::vector<uint8_t>* state) {
  Software software = {};
  software.magic1 = kMagic1;
  software.xstateSize = static_cast<uint32_t>(state->size());
  software.extendedSize = software.xstateSize + sizeof kMagic2;
  // The regset has the mask of features in the first of these bytes.
  software.features = Get<uint64_t>(state->data(), kSoftware);
  Put(state->data(), kSoftware, software);
  state->resize(software.extendedSize);
  Put(state->data(), software.xstateSize, kMagic2);
}

std::vector<uint8_t> Initial(const std::vector<uint8_t>& sample) {
  std::vector<uint8_t> state(sample.size());
  uint32_t mask = Get<uint32_t>(sample.data(), kMxcsrMask);
  Put<uint16_t>(state.data(), 0, 0x37f);
  Put<uint32_t>(state.data(), kMxcsr, 0x1f80);
  Put<uint32_t>(state.data(), kMxcsrMask, mask ? mask : kDefaultMxcsrMask);
  Stamp(sample, state.data());
  return state;
}

void Stamp(const std::vector<uint8_t>& initial, uint8_t* state) {
  memcpy(state + kSoftware, initial.data() + kSoftware, sizeof(Software));
  if (initial.size() == kFxSize) return;
  size_t end = initial.size() - sizeof kMagic2;
  memcpy(state + end, initial.data() + end, sizeof kMagic2);
}

bool LengthFits(const std::vector<uint8_t>& initial, size_t length) {
  return length == 0 || length == kFxSize || length == initial.size();
}

// The host refuses to load a state with reserved bits set and kills the thread instead: clear them, as
// Linux does when it takes a frame that a program built.
std::vector<uint8_t> Compose(const std::vector<uint8_t>& initial, const uint8_t* from,
                             size_t length) {
  bool legacy = length == kFxSize;
  std::vector<uint8_t> state = initial;
  if (length) {
    memcpy(state.data(), from, legacy ? kSoftware : length);
    uint32_t mask = Get<uint32_t>(initial.data(), kMxcsrMask);
    Put(state.data(), kMxcsr, Get<uint32_t>(state.data(), kMxcsr) & mask);
    Put(state.data(), kMxcsrMask, mask);
  }
  if (state.size() > kXsaveHeaderEnd) {
    uint64_t allowed = Get<Software>(initial.data(), kSoftware).features;
    uint64_t present = legacy ? kFpAndSse : Get<uint64_t>(state.data(), kXstateBv) & allowed;
    memset(state.data() + kXstateBv, 0, kXsaveHeaderEnd - kXstateBv);
    Put(state.data(), kXstateBv, present);
  }
  Stamp(initial, state.data());
  return state;
}

}  // namespace portcullis::fpu
