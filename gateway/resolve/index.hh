// Index: which of a million offers meet a C-URL, in tens of microseconds.
// An inverted index over what never changes of an offer: each value has the rows that hold it, rows stand in the order
// they are answered in (the cheapest first, then by name), so the first hits of an intersection are the answer.
// A snapshot: built once, read by any number of threads, replaced as a whole. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "identifiers/c_url/flat.hh"
#include "identifiers/c_url/match.hh"

namespace qanat::resolve {

class Index {
 public:
  static constexpr std::size_t kMaxOffers =
      4'000'000;  // about 250 bytes each; those beyond are counted, not kept

  // Collects offers; a copy of each is kept.
  class Builder {
   public:
    Builder();
    ~Builder();
    // `tag` comes back in answers. False: the index is full.
    bool add(const c_url::Offer& offer, std::uint64_t tag);
    Index build() &&;

   private:
    friend class Index;
    struct Draft;
    std::unique_ptr<Draft> draft_;
  };

  Index();
  Index(Index&&) noexcept;
  Index& operator=(Index&&) noexcept;
  ~Index();

  // The tags of the first offers that meet every static clause, as c_url::mismatch holds them, into `out`; how many.
  std::size_t lookup(const c_url::Flat& request, std::span<std::uint64_t> out) const;

  std::size_t size() const;
  std::size_t memory_bytes() const;

  struct Body;  // index_body.hh

 private:
  std::unique_ptr<const Body> body_;
};

}  // namespace qanat::resolve
