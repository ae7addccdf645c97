#include "dataplane/crypto/list_token.hh"

#include <algorithm>
#include <string_view>

#include "dataplane/crypto/blake2s.hh"
#include "dataplane/packet/byte_order.hh"

namespace qanat::crypto {
namespace {
constexpr std::string_view kLabel = "qanat-token-v1";
}

TokenInput TokenInput::of(const packet::RouteHeader& route, std::size_t index) noexcept {
  return {route.segments[index].node(), route.headend,     route.tier,
          route.expiry_unix_s,          route.token_epoch, route.list()};
}

std::uint64_t mint_token(const SecretKey& relay_key, const TokenInput& input) noexcept {
  std::array<std::uint8_t, 14 + 4 + 4 + 1 + 4 + 1 + 1 + 4 * packet::kMaxSegments> over;
  std::uint8_t* p = over.data();
  std::copy(kLabel.begin(), kLabel.end(), p);
  p += kLabel.size();
  packet::store_be32(p, input.relay.value);
  packet::store_be32(p + 4, input.headend.value);
  p[8] = static_cast<std::uint8_t>(input.tier);
  packet::store_be32(p + 9, input.expiry_unix_s);
  p[13] = input.token_epoch;
  p[14] = static_cast<std::uint8_t>(input.segments.size());
  p += 15;
  for (const auto sid : input.segments) {
    packet::store_be32(p, sid.value);
    p += 4;
  }
  Digest digest;
  blake2s_keyed(relay_key.view(), {Bytes(over.data(), p)}, digest);
  return packet::load_be64(digest.data());
}

bool verify_token(const SecretKey& relay_key, const TokenInput& input, std::uint64_t token) noexcept {
  std::array<std::uint8_t, 8> wanted;
  std::array<std::uint8_t, 8> given;
  packet::store_be64(wanted.data(), mint_token(relay_key, input));
  packet::store_be64(given.data(), token);
  return equal_constant_time(wanted, given);
}

TokenCache::TokenCache() : slots_(kSlots) {}

bool TokenCache::verify(const SecretKey& relay_key, const packet::RouteHeader& route,
                        std::size_t index) noexcept {
  packet::RouteHeader exact = route;
  exact.pointer = 0;
  exact.hop_limit = 0;
  // The token is itself a good hash of everything it covers.
  Slot& slot = slots_[route.tokens[index] % kSlots];
  if (slot.used && slot.index == index && slot.route == exact) {
    ++hits_;
    return true;
  }
  if (!verify_token(relay_key, TokenInput::of(route, index), route.tokens[index])) return false;
  slot = {true, static_cast<std::uint8_t>(index), exact};
  return true;
}

void TokenCache::clear() noexcept {
  for (auto& slot : slots_) slot.used = false;
}

}  // namespace qanat::crypto
