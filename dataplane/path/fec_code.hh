// FecCode: the code that encoder and decoder share: systematic Reed–Solomon over GF(2^8), Cauchy, by ISA-L.
// Every square part of a Cauchy matrix has an inverse: so a block may be closed early, be given more repairs later, and
// any k of its symbols bring it back.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/time.hh"
#include "dataplane/packet/inner_header.hh"

namespace qanat::path {

inline constexpr unsigned kMostSources = 32;  // of a block
inline constexpr unsigned kMostRepairs = 8;
// A symbol: size of what follows (16) ‖ inner header ‖ body, and zeros up to the longest of the block.
inline constexpr std::size_t kSymbolPrefix = 2 + packet::InnerHeader::kBytes;

// The factor of source s in repair r.
std::uint8_t fec_factor(unsigned source, unsigned repair) noexcept;
// into += factor · symbol, in GF(2^8); `into` is at least as long.
void fec_add(std::uint8_t factor, std::span<const std::uint8_t> symbol,
             std::span<std::uint8_t> into) noexcept;
// Inverts the square matrix of `size` rows; false: it has no inverse.
bool fec_invert(std::span<std::uint8_t> matrix, std::span<std::uint8_t> inverse, unsigned size) noexcept;

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

// How a stream is protected: k sources, r repairs. k = 0: not at all.
struct FecPlan {
  std::uint8_t sources = 0;
  std::uint8_t repairs = 0;
  bool on() const { return sources != 0; }
  bool operator==(const FecPlan&) const = default;
};

}  // namespace qanat::path
