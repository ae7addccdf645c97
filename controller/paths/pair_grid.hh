// PairGrid: one value for every pair of nodes that a computation has to do with, a block of kLanes endpoints at a time.
// PairBlocks says which these are: from relays to everybody, from everybody to relays, and what somebody wants to know of.
// Relays come first among nodes (topology.hh), so a headend's relays lie in its first blocks. Where a few borders are the
// relays and tenants are small that is N × R, not N².
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "controller/paths/min_plus.hh"

namespace qanat::paths {

class PairBlocks {
 public:
  PairBlocks() = default;
  // Nodes 0 … relays − 1 are the relays. `wanted(headend, block)`.
  template <typename Wanted>
  PairBlocks(std::size_t nodes, std::size_t relays, const Wanted& wanted)
      : nodes_(nodes), blocks_(padded(nodes) / kLanes), cell_(nodes * blocks_), rows_of_(blocks_) {
    const std::size_t relay_blocks = (relays + kLanes - 1) / kLanes;
    block_of_.push_back(0);
    for (std::size_t from = 0; from < nodes; ++from) {
      begin_.push_back(block_of_.size());
      for (std::size_t block = 0; block < blocks_; ++block) {
        if (from >= relays && block >= relay_blocks && !wanted(from, block)) continue;
        cell_[from * blocks_ + block] = static_cast<std::uint32_t>(block_of_.size());
        block_of_.push_back(static_cast<std::uint32_t>(block));
        rows_of_[block].push_back(static_cast<std::uint32_t>(from));
      }
    }
    begin_.push_back(block_of_.size());
  }

  std::size_t nodes() const { return nodes_; }
  std::size_t blocks() const { return blocks_; }
  // Of what there is room for: 1 … cells() − 1, each headend's next to each other, in the order of blocks. Cell 0 stands for
  // all pairs that there is none for.
  std::size_t cells() const { return block_of_.size(); }
  std::size_t cell(std::size_t from, std::size_t block) const { return cell_[from * blocks_ + block]; }
  bool has(std::size_t from, std::size_t to) const { return cell(from, to / kLanes) != 0; }
  std::size_t begin(std::size_t from) const { return begin_[from]; }
  std::size_t end(std::size_t from) const { return begin_[from + 1]; }
  std::size_t block_of(std::size_t cell) const { return block_of_[cell]; }
  // From this headend to everybody.
  bool full(std::size_t from) const { return end(from) - begin(from) == blocks_; }
  // The headends with room for this block, ascending.
  std::span<const std::uint32_t> rows_of(std::size_t block) const { return rows_of_[block]; }
  std::size_t bytes() const { return (cell_.size() + 2 * block_of_.size()) * sizeof(std::uint32_t); }

 private:
  std::size_t nodes_ = 0;
  std::size_t blocks_ = 0;
  std::vector<std::uint32_t> cell_;      // [headend · blocks_ + block]
  std::vector<std::size_t> begin_;       // [headend] its first cell; and one past all
  std::vector<std::uint32_t> block_of_;  // [cell]
  std::vector<std::vector<std::uint32_t>> rows_of_;
};

template <typename T>
class PairGrid {
 public:
  PairGrid() = default;
  // The blocks outlive it.
  PairGrid(const PairBlocks& blocks, T fill) : blocks_(&blocks) {
    const std::size_t count = blocks.cells() * kLanes;
    cells_.reset(static_cast<T*>(std::aligned_alloc(64, count * sizeof(T))));
    if (cells_ == nullptr) throw std::bad_alloc();
    std::uninitialized_fill_n(cells_.get(), count, fill);
    for (std::size_t from = 0; from < blocks.nodes(); ++from) rows_.push_back(cell(blocks.begin(from)));
  }
  // Of pairs that there is no room for it is what it was filled with, and not to be written.
  T& operator()(std::size_t from, std::size_t to) { return *at(from, to); }
  const T& operator()(std::size_t from, std::size_t to) const { return *at(from, to); }
  // A block's kLanes values.
  T* cell(std::size_t cell) { return cells_.get() + cell * kLanes; }
  const T* cell(std::size_t cell) const { return cells_.get() + cell * kLanes; }
  T* block(std::size_t from, std::size_t block) { return cell(blocks_->cell(from, block)); }
  const T* block(std::size_t from, std::size_t block) const { return cell(blocks_->cell(from, block)); }
  // Of a relay, and of whoever has room for everybody: to all nodes. Of others: to relays.
  T* row(std::size_t from) { return rows_[from]; }
  const T* row(std::size_t from) const { return rows_[from]; }
  const T* const* rows() const { return rows_.data(); }

 private:
  struct Free {
    void operator()(T* cells) const { std::free(cells); }
  };
  T* at(std::size_t from, std::size_t to) const {
    return cells_.get() + blocks_->cell(from, to / kLanes) * kLanes + to % kLanes;
  }

  const PairBlocks* blocks_ = nullptr;
  std::unique_ptr<T, Free> cells_;
  std::vector<T*> rows_;  // [node]
};

}  // namespace qanat::paths
