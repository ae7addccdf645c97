// AuditTree: the Merkle tree of RFC 9162 §2.1 over stored bytes: what was written once cannot be changed or left out
// without its root changing. All leaves' hashes in memory: for the uses of artefacts, which are few.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "gateway/audit/proofs.hh"

namespace qanat::audit {

class AuditTree {
 public:
  // Answers the leaf's number, from 0.
  std::uint64_t append(std::string_view leaf);
  std::uint64_t size() const { return leaves_.size(); }
  // Of all leaves; of none, the hash of nothing.
  Digest root() const;
  // See proofs.hh; `leaf` < size(), 0 < earlier ≤ size().
  std::vector<Digest> inclusion(std::uint64_t leaf) const;
  std::vector<Digest> consistency(std::uint64_t earlier) const;

 private:
  std::vector<Digest> leaves_;
};

}  // namespace qanat::audit
