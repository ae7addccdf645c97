#include "gateway/place/prefix_history.hh"

#include <algorithm>
#include <cstring>

namespace qanat::place {

std::vector<PrefixHash> prefix_hashes(std::uint64_t salt, std::string_view prompt) {
  std::vector<PrefixHash> hashes;
  std::uint64_t h = salt ^ 0x9e3779b97f4a7c15;
  const std::size_t blocks = std::min(prompt.size() / kPrefixBlockBytes, kMaxPrefixBlocks);
  hashes.reserve(blocks);
  for (std::size_t block = 0; block < blocks; ++block) {
    // Multiply and fold, eight bytes at a time: quick, and nobody can steer it without the salt.
    for (std::size_t at = 0; at < kPrefixBlockBytes; at += 8) {
      std::uint64_t word;
      std::memcpy(&word, prompt.data() + block * kPrefixBlockBytes + at, sizeof word);
      __extension__ const unsigned __int128 product =
          static_cast<unsigned __int128>(h ^ word) * 0xd6e8feb86659fd93u;
      h = static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64) ^ salt;
    }
    hashes.push_back(h);
  }
  return hashes;
}

std::size_t PrefixHistory::known(std::span<const PrefixHash> prompt) const {
  std::size_t blocks = 0;
  while (blocks < prompt.size() && where_.contains(prompt[blocks])) ++blocks;
  return blocks;
}

void PrefixHistory::note(std::span<const PrefixHash> prompt) {
  // From the tail: the head is the latest, so that a prefix outlives what follows it.
  for (auto hash = prompt.rbegin(); hash != prompt.rend(); ++hash) {
    if (const auto found = where_.find(*hash); found != where_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
    } else {
      recent_.push_front(*hash);
      where_.emplace(*hash, recent_.begin());
    }
  }
  while (recent_.size() > capacity_) {
    where_.erase(recent_.back());
    recent_.pop_back();
  }
}

void PrefixHistory::forget() {
  recent_.clear();
  where_.clear();
}

}  // namespace qanat::place
