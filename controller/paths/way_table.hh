// WayTable: the ways of the pairs that are wanted, a block of endpoints at a time; blocks that nobody wants share one that
// stays empty. Where tenants are small, that is a small part of all pairs.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "controller/paths/min_plus.hh"
#include "controller/paths/segment_route.hh"
#include "controller/paths/way.hh"

namespace qanat::paths {

class WayTable {
 public:
  using Ways = std::array<Way, kMaxLists>;

  // One headend's. Only endpoints of blocks that were made may be written.
  template <typename Cell>
  class Row {
   public:
    Row(Cell* cells, const std::uint32_t* block) : cells_(cells), block_(block) {}
    Cell& operator[](std::size_t to) const { return cells_[block_[to / kLanes] * kLanes + to % kLanes]; }

   private:
    Cell* cells_;
    const std::uint32_t* block_;
  };

  WayTable() = default;
  explicit WayTable(std::size_t nodes)
      : blocks_(padded(nodes) / kLanes), block_(nodes * blocks_), cells_(kLanes) {}

  // Room for every block that `wanted(headend, block)` names and that has none yet; those made before keep what they hold.
  template <typename Wanted>
  void make(const Wanted& wanted) {
    std::size_t made = cells_.size() / kLanes;
    for (std::size_t i = 0; i < block_.size(); ++i)
      if (block_[i] == 0 && wanted(i / blocks_, i % blocks_)) block_[i] = static_cast<std::uint32_t>(made++);
    cells_.resize(made * kLanes);
  }
  Row<Ways> operator[](std::size_t from) { return {cells_.data(), block_.data() + from * blocks_}; }
  Row<const Ways> operator[](std::size_t from) const {
    return {cells_.data(), block_.data() + from * blocks_};
  }
  std::size_t bytes() const { return cells_.size() * sizeof(Ways) + block_.size() * sizeof(std::uint32_t); }

 private:
  std::size_t blocks_ = 0;
  std::vector<std::uint32_t> block_;  // [headend · blocks_ + block] its place in cells_; 0: the empty one
  std::vector<Ways> cells_;
};

}  // namespace qanat::paths
