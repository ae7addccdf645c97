#include "gateway/jobs/contract/audit_tree.hh"

#include <bit>
#include <string>

namespace qanat::jobs {
namespace {

std::string_view view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

Digest node(const Digest& left, const Digest& right) {
  std::string bytes(1, '\1');
  bytes += view(left);
  bytes += view(right);
  return sha256(bytes);
}

Digest root_of(std::span<const Digest> leaves) {
  if (leaves.empty()) return sha256("");
  if (leaves.size() == 1) return leaves.front();
  const std::size_t half = std::bit_floor(leaves.size() - 1);
  return node(root_of(leaves.first(half)), root_of(leaves.subspan(half)));
}

void path_of(std::span<const Digest> leaves, std::size_t leaf, std::vector<Digest>& into) {
  if (leaves.size() <= 1) return;
  const std::size_t half = std::bit_floor(leaves.size() - 1);
  if (leaf < half) {
    path_of(leaves.first(half), leaf, into);
    into.push_back(root_of(leaves.subspan(half)));
  } else {
    path_of(leaves.subspan(half), leaf - half, into);
    into.push_back(root_of(leaves.first(half)));
  }
}

void subproof(std::span<const Digest> leaves, std::size_t earlier, bool whole, std::vector<Digest>& into) {
  if (earlier == leaves.size()) {
    if (!whole) into.push_back(root_of(leaves));
    return;
  }
  const std::size_t half = std::bit_floor(leaves.size() - 1);
  if (earlier <= half) {
    subproof(leaves.first(half), earlier, whole, into);
    into.push_back(root_of(leaves.subspan(half)));
  } else {
    subproof(leaves.subspan(half), earlier - half, false, into);
    into.push_back(root_of(leaves.first(half)));
  }
}

}  // namespace

Digest AuditTree::leaf_hash(std::string_view leaf) {
  std::string bytes(1, '\0');
  bytes += leaf;
  return sha256(bytes);
}

std::uint64_t AuditTree::append(std::string_view leaf) {
  leaves_.push_back(leaf_hash(leaf));
  return leaves_.size() - 1;
}

Digest AuditTree::root() const { return root_of(leaves_); }

std::vector<Digest> AuditTree::inclusion(std::uint64_t leaf) const {
  std::vector<Digest> path;
  path_of(leaves_, leaf, path);
  return path;
}

std::vector<Digest> AuditTree::consistency(std::uint64_t earlier) const {
  std::vector<Digest> path;
  subproof(leaves_, earlier, true, path);
  return path;
}

bool included(const Digest& leaf_hash, std::uint64_t leaf, std::uint64_t size, std::span<const Digest> path,
              const Digest& root) {
  if (leaf >= size) return false;
  std::uint64_t at = leaf, last = size - 1;
  Digest so_far = leaf_hash;
  for (const Digest& sibling : path) {
    if (last == 0) return false;
    if ((at & 1) != 0 || at == last) {
      so_far = node(sibling, so_far);
      while ((at & 1) == 0 && at != 0) at >>= 1, last >>= 1;
    } else {
      so_far = node(so_far, sibling);
    }
    at >>= 1;
    last >>= 1;
  }
  return last == 0 && so_far == root;
}

bool consistent(std::uint64_t earlier, std::uint64_t later, const Digest& earlier_root,
                const Digest& later_root, std::span<const Digest> path) {
  if (earlier == 0 || earlier > later) return false;
  if (earlier == later) return path.empty() && earlier_root == later_root;
  std::vector<Digest> steps(path.begin(), path.end());
  if (std::has_single_bit(earlier)) steps.insert(steps.begin(), earlier_root);
  if (steps.empty()) return false;
  std::uint64_t at = earlier - 1, last = later - 1;
  while ((at & 1) != 0) at >>= 1, last >>= 1;
  Digest old_root = steps.front(), new_root = steps.front();
  for (std::size_t i = 1; i < steps.size(); ++i) {
    if (last == 0) return false;
    if ((at & 1) != 0 || at == last) {
      old_root = node(steps[i], old_root);
      new_root = node(steps[i], new_root);
      while ((at & 1) == 0 && at != 0) at >>= 1, last >>= 1;
    } else {
      new_root = node(new_root, steps[i]);
    }
    at >>= 1;
    last >>= 1;
  }
  return last == 0 && old_root == earlier_root && new_root == later_root;
}

}  // namespace qanat::jobs
