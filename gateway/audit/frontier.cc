#include "gateway/audit/frontier.hh"

namespace qanat::audit {

void Frontier::push(const Digest& root, unsigned height, const Whole& whole) {
  Part part{root, height};
  size_ += std::uint64_t{1} << height;
  while (true) {
    if (whole) whole(part.height, part.root);
    if (parts_.empty() || parts_.back().height != part.height) break;
    part = {node_hash(parts_.back().root, part.root), part.height + 1};
    parts_.pop_back();
  }
  parts_.push_back(part);
}

Digest Frontier::root() const {
  if (parts_.empty()) return sha256("");
  Digest root = parts_.back().root;
  for (std::size_t i = parts_.size() - 1; i-- > 0;) root = node_hash(parts_[i].root, root);
  return root;
}

}  // namespace qanat::audit
