// Published vectors are printed in hex; tests keep them so.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "dataplane/crypto/keys.hh"

namespace qanat::test {

inline std::vector<std::uint8_t> hex(std::string_view text) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<std::uint8_t> out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<std::uint8_t>(digit(text[i]) << 4 | digit(text[i + 1])));
  return out;
}

inline crypto::SecretKey secret(std::string_view text) { return *crypto::SecretKey::from_bytes(hex(text)); }
// A key of one repeated byte: readable in stories.
inline crypto::SecretKey secret_of(std::uint8_t byte) {
  return *crypto::SecretKey::from_bytes(std::vector<std::uint8_t>(32, byte));
}
inline crypto::KeyPair pair_of(std::uint8_t byte) { return crypto::KeyPair::from_secret(secret_of(byte)); }

}  // namespace qanat::test
