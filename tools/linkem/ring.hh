// Ring: a first-in-first-out queue in one block that grows to the largest size ever needed and stays there.
// std::deque would go to the heap for every dozen packets that pass.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace qanat::linkem {

template <class T>
class Ring {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  T& front() { return slots_[head_]; }
  const T& front() const { return slots_[head_]; }
  T& back() { return slots_[(head_ + size_ - 1) & (slots_.size() - 1)]; }

  void push_back(T value) {
    if (size_ == slots_.size()) grow();
    slots_[(head_ + size_) & (slots_.size() - 1)] = std::move(value);
    ++size_;
  }
  T pop_front() {
    T value = std::move(slots_[head_]);
    head_ = (head_ + 1) & (slots_.size() - 1);
    --size_;
    return value;
  }

 private:
  void grow() {
    std::vector<T> wider(slots_.empty() ? 16 : slots_.size() * 2);  // a power of two, for the masks
    for (std::size_t i = 0; i < size_; ++i) wider[i] = std::move(slots_[(head_ + i) & (slots_.size() - 1)]);
    slots_ = std::move(wider);
    head_ = 0;
  }

  std::vector<T> slots_;
  std::size_t head_ = 0, size_ = 0;
};

}  // namespace qanat::linkem
