// FecCode: the code that encoder and decoder share: repairs over a sliding window, factors of a Cauchy matrix in GF(2^8),
// by ISA-L. A window that slides mends a loss as soon as enough repairs came, not at the end of a block; and a lost
// repair is made good by the next.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/time.hh"
#include "dataplane/packet/inner_header.hh"

namespace qanat::path {

inline constexpr unsigned kMostSources = 128;  // of a window; a power of two
inline constexpr unsigned kRepairNumbers = 128;
// A symbol: size of what follows (16) ‖ inner header ‖ body, and zeros up to the longest of the window.
inline constexpr std::size_t kSymbolPrefix = 2 + packet::InnerHeader::kBytes;

// The factor of the source with this stream sequence in the repair of this number: 1 ÷ (x + y), x and y all different.
std::uint8_t fec_factor(std::uint64_t sequence, unsigned repair) noexcept;
// into += factor · symbol, in GF(2^8); `into` is at least as long.
void fec_add(std::uint8_t factor, std::span<const std::uint8_t> symbol,
             std::span<std::uint8_t> into) noexcept;
// a ÷ b; b is not 0.
std::uint8_t fec_divide(std::uint8_t a, std::uint8_t b) noexcept;
std::uint8_t fec_multiply(std::uint8_t a, std::uint8_t b) noexcept;

// Inner kind 8, what follows the inner header (whose tier is the stream's):
//    | first stream sequence (48) | sources k (8) | repair number (8) | symbol …
// The sources are the stream's packets first … first + k − 1.
struct RepairHeader {
  static constexpr std::size_t kBytes = 8;
  std::uint64_t first = 0;
  std::uint8_t sources = 0;
  std::uint8_t number = 0;
  // RepairMalformed: short, no or too many sources, number or symbol out of range.
  static packet::OrDrop<RepairHeader> parse(packet::Bytes body) noexcept;
  void serialize(packet::MutableBytes out) const noexcept;
  bool operator==(const RepairHeader&) const = default;
};
// What a repair's packet is longer than the longest packet that it protects.
inline constexpr std::size_t kRepairOverhead = RepairHeader::kBytes + kSymbolPrefix;

// How a stream is protected: one repair after every so many packets, over the last `window`. every = 0: not at all.
struct FecPlan {
  std::uint8_t window = 0;
  std::uint8_t every = 0;
  bool on() const { return every != 0; }
  bool operator==(const FecPlan&) const = default;
};

}  // namespace qanat::path
