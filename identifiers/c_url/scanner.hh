// Scanner: the one parser of C-URLs (c_url.abnf): a pass from left to right that ends at the first problem.
// Decoded bytes go into the Flat as they come; where an error points is worked out only when there is one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "identifiers/c_url/flat.hh"

namespace qanat::c_url {

class Scanner {
 public:
  Scanner(std::string_view text, Flat& out) : text_(text), out_(out) {}
  std::optional<ParseError> run();

 private:
  enum class Case : std::uint8_t { Lower, Kept };

  bool fail(Errc code, std::size_t offset, std::string expected);
  bool wrong(std::string_view raw, std::size_t decoded, Errc code, std::string expected);
  std::string_view until(char a, char b, char c);
  bool next_is(char c) const { return at_ < text_.size() && text_[at_] == c; }

  bool decode(std::string_view raw, Case letters, Errc code, std::string_view expected, Flat::Piece& piece);
  bool name(std::string_view raw, Errc code, std::string_view expected, Flat::Piece& piece);
  bool authority();
  bool path();
  bool model_part(std::string_view raw, Errc code, std::string_view expected, Flat::Piece& piece);
  bool query();
  bool clause();
  bool unknown_key(std::string_view raw, std::string_view name);
  bool value(std::string_view raw, Flat::Clause& clause);
  bool item(std::string_view raw, Flat::Clause& clause);
  bool number(std::string_view raw, Flat::Clause& clause, std::string_view text);
  void keep_in_order(const Flat::Clause& clause);

  std::string_view text_;
  Flat& out_;
  std::size_t at_ = 0;       // in text_
  std::uint16_t used_ = 0;   // of out_.bytes_
  std::uint16_t names_ = 0;  // of out_.names_
  std::uint64_t seen_ = 0;   // registered keys, a bit each
  std::optional<ParseError> error_;
};

}  // namespace qanat::c_url
