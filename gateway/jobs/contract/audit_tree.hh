// AuditTree: the Merkle tree of RFC 9162 §2.1 over stored bytes: what was written once cannot be changed or left out
// without its root changing. Its leaves are the uses of artefacts, allowed and refused, as they are stored.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "gateway/jobs/artefact/digest.hh"

namespace qanat::jobs {

class AuditTree {
 public:
  static Digest leaf_hash(std::string_view leaf);
  // Answers the leaf's number, from 0.
  std::uint64_t append(std::string_view leaf);
  std::uint64_t size() const { return leaves_.size(); }
  // Of all leaves; of none, the hash of nothing.
  Digest root() const;
  // From the leaf's sibling upwards (§2.1.3.1); `leaf` < size().
  std::vector<Digest> inclusion(std::uint64_t leaf) const;
  // From a tree of `earlier` leaves to this one (§2.1.4.1); 0 < earlier ≤ size().
  std::vector<Digest> consistency(std::uint64_t earlier) const;

 private:
  std::vector<Digest> leaves_;
};

// §2.1.3.2: whether a leaf is in the tree of that size and root.
bool included(const Digest& leaf_hash, std::uint64_t leaf, std::uint64_t size, std::span<const Digest> path,
              const Digest& root);
// §2.1.4.2: whether the later tree holds the earlier one as its beginning.
bool consistent(std::uint64_t earlier, std::uint64_t later, const Digest& earlier_root,
                const Digest& later_root, std::span<const Digest> path);

}  // namespace qanat::jobs
