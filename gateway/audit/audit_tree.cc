#include "gateway/audit/audit_tree.hh"

namespace qanat::audit {
namespace {

Digest root_of(std::span<const Digest> leaves) {
  if (leaves.empty()) return sha256("");
  if (leaves.size() == 1) return leaves.front();
  const std::size_t half = split_of(leaves.size());
  return node_hash(root_of(leaves.first(half)), root_of(leaves.subspan(half)));
}

RangeRoot ranges_of(std::span<const Digest> leaves) {
  return [leaves](std::uint64_t begin, std::uint64_t end) {
    return root_of(leaves.subspan(begin, end - begin));
  };
}

}  // namespace

std::uint64_t AuditTree::append(std::string_view leaf) {
  leaves_.push_back(leaf_hash(leaf));
  return leaves_.size() - 1;
}

Digest AuditTree::root() const { return root_of(leaves_); }

std::vector<Digest> AuditTree::inclusion(std::uint64_t leaf) const {
  return inclusion_path(ranges_of(leaves_), leaf, leaves_.size());
}

std::vector<Digest> AuditTree::consistency(std::uint64_t earlier) const {
  return consistency_path(ranges_of(leaves_), earlier, leaves_.size());
}

}  // namespace qanat::audit
