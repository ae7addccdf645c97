// Postings: the rows that hold a term, in row order: a list where they are few, a bitmap where they are many.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace qanat::resolve {

using RowId = std::uint32_t;
// Bitmaps are read so many words at a time, one cache line, and end with a whole block.
inline constexpr std::size_t kBlock = 8;

// A view into Postings; exactly one of the two is there.
struct Posting {
  std::span<const RowId> list;
  const std::uint64_t* bitmap = nullptr;
  std::uint32_t count = 0;

  bool dense() const { return bitmap != nullptr; }
};

// Walks a posting in row order.
class Cursor {
 public:
  Cursor() = default;
  explicit Cursor(const Posting& posting) : posting_(posting) {}
  const Posting& posting() const { return posting_; }
  // Of a list: the row it stands at, or kEnd.
  static constexpr RowId kEnd = ~RowId{0};
  RowId row() const { return next_ < posting_.list.size() ? posting_.list[next_] : kEnd; }
  void step() { ++next_; }
  // Of a list: on to the first row that is not before `row`, in strides that double.
  void seek(RowId row) {
    const auto list = posting_.list;
    std::size_t stride = 1;
    while (next_ + stride < list.size() && list[next_ + stride] < row) {
      next_ += stride;
      stride *= 2;
    }
    const auto from = list.begin() + static_cast<std::ptrdiff_t>(std::min(next_, list.size()));
    const auto to = list.begin() + static_cast<std::ptrdiff_t>(std::min(next_ + stride + 1, list.size()));
    next_ = static_cast<std::size_t>(std::lower_bound(from, to, row) - list.begin());
  }
  // Rows are asked for in rising order: a list is galloped through, in all no more than its length.
  bool holds(RowId row) {
    if (posting_.dense()) return (posting_.bitmap[row / 64] >> (row % 64) & 1) != 0;
    seek(row);
    return this->row() == row;
  }
  // Sets the bits of the block that begins at word `at`.
  void add_block(std::size_t at, std::array<std::uint64_t, kBlock>& words) {
    if (posting_.dense()) {
      for (std::size_t w = 0; w < kBlock; ++w) words[w] |= posting_.bitmap[at + w];
      return;
    }
    seek(static_cast<RowId>(at * 64));
    for (; row() < (at + kBlock) * 64; step()) words[row() / 64 - at] |= 1ULL << (row() % 64);
  }

 private:
  Posting posting_;
  std::size_t next_ = 0;
};

// One posting per term, for terms 0 … n−1. Filled in two passes: count(term) for every pair, then, after begin(),
// add(term, row) for the same pairs with rising rows.
class Postings {
 public:
  // Terms of more than rows / kDense rows get a bitmap: at most kDense / 8 bytes for each pair.
  static constexpr std::uint32_t kDense = 256;

  explicit Postings(std::size_t terms, std::uint32_t rows) : rows_(rows), entries_(terms) {}
  void count(std::uint32_t term) { ++entries_[term].count; }
  void begin();
  void add(std::uint32_t term, RowId row);

  Posting at(std::uint32_t term) const {
    const Entry& e = entries_[term];
    if (dense(e)) return {{}, words_.data() + e.at, e.count};
    return {{lists_.data() + e.at, e.count}, nullptr, e.count};
  }
  std::size_t words() const { return (rows_ + kBlock * 64 - 1) / (kBlock * 64) * kBlock; }
  std::size_t memory_bytes() const {
    return entries_.capacity() * sizeof(Entry) + lists_.capacity() * sizeof(RowId) +
           words_.capacity() * sizeof(std::uint64_t);
  }

 private:
  struct Entry {
    std::uint64_t at = 0;
    std::uint32_t count = 0;
    std::uint32_t filled = 0;
  };
  bool dense(const Entry& e) const { return e.count > rows_ / kDense && e.count > 64; }

  std::uint32_t rows_;
  std::vector<Entry> entries_;
  std::vector<RowId> lists_;
  std::vector<std::uint64_t> words_;
};

inline void Postings::begin() {
  std::uint64_t list = 0, word = 0;
  for (Entry& e : entries_) {
    e.at = dense(e) ? word : list;
    if (dense(e))
      word += words();
    else
      list += e.count;
  }
  lists_.resize(list);
  words_.resize(word);
}

inline void Postings::add(std::uint32_t term, RowId row) {
  Entry& e = entries_[term];
  if (dense(e))
    words_[e.at + row / 64] |= 1ULL << (row % 64);
  else
    lists_[e.at + e.filled++] = row;
}

}  // namespace qanat::resolve
