// Frontier: a Merkle tree (RFC 9162 §2.1) of which only the right edge is kept: it grows, and has a root, whatever its size,
// in at most 64 hashes. Sans-I/O.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "gateway/audit/proofs.hh"

namespace qanat::audit {

class Frontier {
 public:
  // Told of each subtree that becomes whole, lowest first: 2^height leaves that end here.
  using Whole = std::function<void(unsigned height, const Digest& root)>;
  // A leaf's hash, or the root of a whole subtree of 2^height leaves; size() must be a multiple of that.
  void push(const Digest& root, unsigned height = 0, const Whole& whole = {});
  std::uint64_t size() const { return size_; }
  Digest root() const;

 private:
  struct Part {
    Digest root;
    unsigned height = 0;
  };
  std::vector<Part> parts_;  // from the left; heights fall
  std::uint64_t size_ = 0;
};

}  // namespace qanat::audit
