// The HMAC TLV of an SRH (RFC 8754 §2.1.2): who wrote this segment list, and that nobody changed it since.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/srv6/srh.hh"

namespace qanat::srv6 {

//    | type = 5      | length = 38   |D| reserved (15)               |
//    | HMAC key id (32)                                              |
//    | HMAC (256)                                                    |
inline constexpr std::size_t kHmacTlvBytes = 40;
inline constexpr std::size_t kHmacDigestBytes = 32;

struct HmacKey {
  std::uint32_t id = 0;              // 0 names no key
  std::vector<std::uint8_t> secret;  // 1 … 64 bytes
};
inline constexpr std::size_t kMaxHmacSecretBytes = 64;

using HmacDigest = std::array<std::uint8_t, kHmacDigestBytes>;

// SHA-256 over source address ‖ last entry ‖ flags ‖ key id ‖ segment list.
HmacDigest hmac_of(const HmacKey& key, packet::Bytes packet, const Srh& srh) noexcept;

// The key id and the D bit of the TLV at srh.hmac_at (not 0).
std::uint32_t hmac_key_id(packet::Bytes packet, const Srh& srh) noexcept;
bool hmac_reduced(packet::Bytes packet, const Srh& srh) noexcept;
// Compared in constant time. With D clear the destination must also be the segment that the list says (§2.1.2.1).
bool hmac_valid(const HmacKey& key, packet::Bytes packet, const Srh& srh) noexcept;
// Fills the 40 bytes at srh.hmac_at: the list, source, flags and last entry are in place.
void write_hmac(const HmacKey& key, packet::MutableBytes packet, const Srh& srh, bool reduced) noexcept;

}  // namespace qanat::srv6
