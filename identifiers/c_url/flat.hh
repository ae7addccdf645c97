// Flat: a C-URL as one scan leaves it, in fixed storage of its own, decoded, lower-cased, sorted.
// Scanning allocates nothing, so that an index or a name server may do it millions of times a second; CUrl::parse is
// this and a copy into types that can be kept.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "identifiers/c_url/c_url.hh"
#include "identifiers/c_url/key.hh"
#include "identifiers/c_url/location.hh"

namespace qanat::c_url {

// About 10 KiB, left uninitialised; views that it hands out live until the next scan. Neither copied nor moved.
class Flat {
 public:
  // A stretch of the scanned text.
  struct Piece {
    std::uint16_t at, size;
  };
  // One query key: a number in the base unit, or `count` names, sorted and unique.
  struct Clause {
    const Key* key;  // nullptr: an "x-" key
    Piece name;
    std::int64_t number;
    std::uint16_t first, count;
  };

  Flat() {}  // NOLINT: storage stays as it is
  Flat(const Flat&) = delete;
  Flat& operator=(const Flat&) = delete;

  // Takes `text` apart; on an error what was there is gone.
  std::optional<ParseError> scan(std::string_view text);

  std::string_view provider() const { return text(provider_); }
  std::string_view service() const { return text(service_); }
  std::string_view model() const { return text(model_); }
  std::string_view version() const { return text(version_); }
  // Empty: any.
  std::span<const Piece> labels() const { return {labels_.data(), label_count_}; }
  // The location as text; "any".
  std::string_view location() const { return text(location_); }
  bool has_wildcard() const { return wildcard_; }
  // In the order of their names.
  std::span<const Clause> clauses() const { return {clauses_.data(), clause_count_}; }
  std::span<const Piece> names(const Clause& clause) const {
    return {names_.data() + clause.first, clause.count};
  }
  std::string_view text(Piece piece) const { return {bytes_.data() + piece.at, piece.size}; }

 private:
  friend class Scanner;
  std::array<char, kMaxTextBytes> bytes_;  // decoding never makes text longer
  std::array<Piece, kMaxTextBytes / 2> names_;
  std::array<Clause, kMaxKeys> clauses_;
  std::array<Piece, kMaxLabels> labels_;
  Piece provider_, service_, model_, version_, location_;
  std::size_t label_count_, clause_count_;
  bool wildcard_;
};

}  // namespace qanat::c_url
