// Proofs in the Merkle tree of RFC 9162 §2.1: what they are made of, and whether they hold. Sans-I/O: whoever keeps a tree
// answers for the roots of its ranges.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "gateway/audit/digest.hh"

namespace qanat::audit {

Digest leaf_hash(std::string_view leaf);
Digest node_hash(const Digest& left, const Digest& right);
// Where a range of so many leaves is split (§2.1.1): the largest power of two below `leaves`, which are two or more.
std::uint64_t split_of(std::uint64_t leaves);

// The root of the leaves from `begin` to before `end`: one of the ranges that §2.1.1 splits a tree into.
using RangeRoot = std::function<Digest(std::uint64_t begin, std::uint64_t end)>;
// From the leaf's sibling upwards (§2.1.3.1); `leaf` < `size`.
std::vector<Digest> inclusion_path(const RangeRoot& root, std::uint64_t leaf, std::uint64_t size);
// From a tree of `earlier` leaves to one of `size` (§2.1.4.1); 0 < earlier ≤ size.
std::vector<Digest> consistency_path(const RangeRoot& root, std::uint64_t earlier, std::uint64_t size);

// §2.1.3.2: whether a leaf is in the tree of that size and root.
bool included(const Digest& leaf_hash, std::uint64_t leaf, std::uint64_t size, std::span<const Digest> path,
              const Digest& root);
// §2.1.4.2: whether the later tree holds the earlier one as its beginning.
bool consistent(std::uint64_t earlier, std::uint64_t later, const Digest& earlier_root,
                const Digest& later_root, std::span<const Digest> path);

}  // namespace qanat::audit
