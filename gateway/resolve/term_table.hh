// TermTable: numbers for (field, text) pairs, dense from 0, for an index of millions: text in one arena, slots of four bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace qanat::resolve {

class TermTable {
 public:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  // The number of a pair; a new pair takes the next.
  std::uint32_t intern(std::uint8_t field, std::string_view text);
  // kNone: not there.
  std::uint32_t find(std::uint8_t field, std::string_view text) const;
  std::string_view text(std::uint32_t term) const {
    return {arena_.data() + terms_[term].at, terms_[term].size};
  }
  std::uint8_t field(std::uint32_t term) const { return terms_[term].field; }
  std::size_t size() const { return terms_.size(); }
  std::size_t memory_bytes() const;

 private:
  struct Term {
    std::uint64_t at;
    std::uint32_t hash;
    std::uint16_t size;
    std::uint8_t field;
  };
  // The slot where it is, or where it would go.
  std::size_t slot(std::uint32_t hash, std::uint8_t field, std::string_view text) const;
  void grow();

  std::vector<char> arena_;
  std::vector<Term> terms_;
  std::vector<std::uint32_t> slots_ = std::vector<std::uint32_t>(64, kNone);
};

}  // namespace qanat::resolve
