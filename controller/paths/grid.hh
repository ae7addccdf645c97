// Grid: a matrix whose rows are padded to whole blocks of kLanes and begin on a cache line, as MinPlus reads them.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "controller/paths/min_plus.hh"

namespace qanat::paths {

template <typename T>
class Grid {
 public:
  Grid() = default;
  // Rows as well are padded, so that a product may read a whole block of them.
  Grid(std::size_t rows, std::size_t columns, T fill) : stride_(padded(columns)), rows_(padded(rows)) {
    const std::size_t bytes = (rows_ * stride_ * sizeof(T) + 63) / 64 * 64;
    cells_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
    if (cells_ == nullptr && bytes != 0) throw std::bad_alloc();
    std::uninitialized_fill_n(cells_.get(), rows_ * stride_, fill);
    for (std::size_t i = 0; i < rows_; ++i) pointers_.push_back(cells_.get() + i * stride_);
  }
  T* operator[](std::size_t row) { return pointers_[row]; }
  const T* operator[](std::size_t row) const { return pointers_[row]; }
  T* const* rows() { return pointers_.data(); }
  const T* const* rows() const { return pointers_.data(); }
  std::size_t stride() const { return stride_; }

 private:
  struct Free {
    void operator()(T* cells) const { std::free(cells); }
  };
  std::size_t stride_ = 0;
  std::size_t rows_ = 0;
  std::unique_ptr<T, Free> cells_;
  std::vector<T*> pointers_;
};

}  // namespace qanat::paths
