// List tokens (wire.md §6): the relay's own proof that its domain allowed this list, headend, tier and
// expiry.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/crypto/keys.hh"
#include "dataplane/packet/route_header.hh"

namespace qanat::crypto {

// The list that a token is over.
struct TokenInput {
  ids::NodeId relay;
  ids::NodeId headend;
  ids::Tier tier = ids::Tier::Bulk;
  std::uint32_t expiry_unix_s = 0;
  std::uint8_t token_epoch = 0;
  std::span<const ids::Sid> segments;

  // The token input of the relay at `index` of a route header's list.
  static TokenInput of(const packet::RouteHeader& route, std::size_t index) noexcept;
};

std::uint64_t mint_token(const SecretKey& relay_key, const TokenInput& input) noexcept;
// Constant time.
bool verify_token(const SecretKey& relay_key, const TokenInput& input, std::uint64_t token) noexcept;

// Remembers verified (list, token) by their exact bytes, so that a flow's segments cost a comparison.
// Direct-mapped, one per worker; cleared whenever relay keys change.
class TokenCache {
 public:
  static constexpr std::size_t kSlots = 1024;
  TokenCache();
  // Is the token of route.segments[index] genuine under `relay_key`? Expiry and epoch validity are the
  // caller's.
  bool verify(const SecretKey& relay_key, const packet::RouteHeader& route, std::size_t index) noexcept;
  void clear() noexcept;
  std::uint64_t hits() const noexcept { return hits_; }

 private:
  struct Slot {
    bool used = false;
    std::uint8_t index = 0;
    packet::RouteHeader route;  // pointer and hop limit zeroed
  };
  std::vector<Slot> slots_;
  std::uint64_t hits_ = 0;
};

}  // namespace qanat::crypto
