// PrefixHistory: what this gateway sent where, as chained hashes of prompt blocks: its own knowledge of which pool
// still holds which prefix. Bounded by what a pool's cache can hold; the least recently used block goes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace qanat::place {

// A hash that covers its block and all before it, salted per tenant: equal hash, equal prefix of the same tenant.
using PrefixHash = std::uint64_t;

// The prompt's blocks of kPrefixBlockBytes, whole ones only and at most kMaxPrefixBlocks, each hashed with all before it.
// `salt` keeps tenants, and processes, apart.
inline constexpr std::size_t kPrefixBlockBytes = 512, kMaxPrefixBlocks = 256;
std::vector<PrefixHash> prefix_hashes(std::uint64_t salt, std::string_view prompt);

class PrefixHistory {
 public:
  // `capacity`: blocks that a pool is taken to hold, ≥ 1.
  explicit PrefixHistory(std::size_t capacity) : capacity_(capacity) {}

  // Leading blocks of this prompt that were sent to the pool and are not forgotten.
  std::size_t known(std::span<const PrefixHash> prompt) const;
  // The prompt goes there now.
  void note(std::span<const PrefixHash> prompt);
  // The pool lost its cache (restart, scaled to zero).
  void forget();
  std::size_t size() const { return recent_.size(); }

 private:
  std::size_t capacity_;
  std::list<PrefixHash> recent_;  // latest first
  std::unordered_map<PrefixHash, std::list<PrefixHash>::iterator> where_;
};

}  // namespace qanat::place
