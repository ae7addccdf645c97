#include "controller/policy/path_ids.hh"

namespace qanat::policy {
namespace {

constexpr std::uint32_t kReserved = 0xff000000;

// FNV-1a (RFC 9923 §2) over 32-bit values, byte by byte.
std::uint32_t mix(std::uint32_t hash, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    hash ^= value >> shift & 0xff;
    hash *= 16777619u;
  }
  return hash;
}

}  // namespace

ids::PathId PathIds::next(ids::Tier tier, std::uint8_t first_plane, std::span<const std::uint32_t> segments) {
  std::uint32_t hash = 2166136261u;
  hash = mix(hash, static_cast<std::uint32_t>(tier) << 8 | first_plane);
  for (const std::uint32_t sid : segments) hash = mix(hash, sid);
  for (;; ++hash) {
    if (hash == 0 || hash >= kReserved) hash = 1;
    if (taken_.insert(hash).second) break;
  }
  return ids::PathId{hash};
}

}  // namespace qanat::policy
