#include "gateway/audit/proofs.hh"

#include <algorithm>
#include <bit>
#include <string>

namespace qanat::audit {
namespace {

std::string_view view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size()};
}

}  // namespace

Digest leaf_hash(std::string_view leaf) {
  std::string bytes(1, '\0');
  bytes += leaf;
  return sha256(bytes);
}

Digest node_hash(const Digest& left, const Digest& right) {
  std::string bytes(1, '\1');
  bytes += view(left);
  bytes += view(right);
  return sha256(bytes);
}

std::uint64_t split_of(std::uint64_t leaves) { return std::bit_floor(leaves - 1); }

std::vector<Digest> inclusion_path(const RangeRoot& root, std::uint64_t leaf, std::uint64_t size) {
  std::vector<Digest> path;
  std::uint64_t begin = 0, end = size;
  while (end - begin > 1) {
    const std::uint64_t middle = begin + split_of(end - begin);
    if (leaf < middle) {
      path.push_back(root(middle, end));
      end = middle;
    } else {
      path.push_back(root(begin, middle));
      begin = middle;
    }
  }
  std::reverse(path.begin(), path.end());
  return path;
}

std::vector<Digest> consistency_path(const RangeRoot& root, std::uint64_t earlier, std::uint64_t size) {
  std::vector<Digest> path;
  std::uint64_t begin = 0, end = size;
  while (earlier != end) {
    const std::uint64_t middle = begin + split_of(end - begin);
    if (earlier <= middle) {
      path.push_back(root(middle, end));
      end = middle;
    } else {
      path.push_back(root(begin, middle));
      begin = middle;
    }
  }
  if (begin != 0) path.push_back(root(begin, end));
  std::reverse(path.begin(), path.end());
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
      so_far = node_hash(sibling, so_far);
      while ((at & 1) == 0 && at != 0) at >>= 1, last >>= 1;
    } else {
      so_far = node_hash(so_far, sibling);
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
      old_root = node_hash(steps[i], old_root);
      new_root = node_hash(steps[i], new_root);
      while ((at & 1) == 0 && at != 0) at >>= 1, last >>= 1;
    } else {
      new_root = node_hash(new_root, steps[i]);
    }
    at >>= 1;
    last >>= 1;
  }
  return last == 0 && old_root == earlier_root && new_root == later_root;
}

}  // namespace qanat::audit
