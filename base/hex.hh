// Bytes as text: hexadecimal, base64 and base64url (RFC 4648).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace qanat::base {

std::string to_hex(std::span<const std::uint8_t> bytes);  // lower case
Result<std::vector<std::uint8_t>> from_hex(std::string_view text);
std::string to_base64(std::span<const std::uint8_t> bytes);     // padded
std::string to_base64url(std::span<const std::uint8_t> bytes);  // not padded
// Either alphabet, padding optional; nothing else (no spaces, no line ends).
Result<std::vector<std::uint8_t>> from_base64(std::string_view text);
// n bytes of the system's cryptographic randomness; for shells (cores are given theirs).
std::vector<std::uint8_t> random_bytes(std::size_t n);

}  // namespace qanat::base
