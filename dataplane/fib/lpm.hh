// Lpm: longest prefix match over IPv4 and IPv6 prefixes, built once and then only read. A lookup tries each
// prefix length in use, longest first, by binary search: tenants have few lengths, and no pointers are
// chased.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "dataplane/packet/ip_address.hh"

namespace qanat::fib {

template <class Value>
class Lpm {
 public:
  struct Entry {
    packet::IpPrefix prefix;
    Value value;
  };

  Lpm() = default;
  // At equal prefixes the first entry holds.
  explicit Lpm(std::vector<Entry> entries) : entries_(std::move(entries)) {
    std::stable_sort(entries_.begin(), entries_.end(),
                     [](const Entry& a, const Entry& b) { return before(a.prefix, b.prefix); });
    for (std::uint32_t i = 0; i < entries_.size(); ++i) {
      const auto& p = entries_[i].prefix;
      if (groups_.empty() || groups_.back().family != p.address.family || groups_.back().length != p.length)
        groups_.push_back({p.address.family, p.length, i, i});
      groups_.back().end = i + 1;
    }
  }

  const Value* lookup(const packet::IpAddress& address) const noexcept {
    for (const Group& g : groups_) {
      if (g.family != address.family) continue;
      const auto key = packet::IpPrefix::of(address, g.length).address;
      const auto first = entries_.begin() + g.begin;
      const auto last = entries_.begin() + g.end;
      const auto it = std::lower_bound(
          first, last, key, [](const Entry& e, const packet::IpAddress& k) { return e.prefix.address < k; });
      if (it != last && it->prefix.address == key) return &it->value;
    }
    return nullptr;
  }

  const std::vector<Entry>& entries() const noexcept { return entries_; }  // by family, longest first

 private:
  struct Group {
    packet::IpFamily family;
    std::uint8_t length;
    std::uint32_t begin;
    std::uint32_t end;
  };
  static bool before(const packet::IpPrefix& a, const packet::IpPrefix& b) noexcept {
    if (a.address.family != b.address.family) return a.address.family < b.address.family;
    if (a.length != b.length) return a.length > b.length;
    return a.address < b.address;
  }
  std::vector<Entry> entries_;
  std::vector<Group> groups_;
};

}  // namespace qanat::fib
