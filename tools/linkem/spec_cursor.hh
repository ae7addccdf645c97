// Cursor: reads the small texts of linkem (SPEC, NAT), and knows at which character something was wrong.
// Each reader takes what it wants or returns what it expected there.
#pragma once

#include <boost/system/result.hpp>
#include <string>
#include <string_view>

#include "base/time.hh"
#include "tools/linkem/spec.hh"

namespace qanat::linkem {

struct Cursor {
  template <class T>
  using Result = boost::system::result<T, SpecError>;

  std::string_view text;
  std::size_t at = 0;

  bool done() const { return at == text.size(); }
  char peek() const { return done() ? '\0' : text[at]; }
  bool digit() const { return peek() >= '0' && peek() <= '9'; }
  bool take(char c) { return peek() == c ? (++at, true) : false; }
  SpecError error(std::string message) const { return {at, std::move(message)}; }

  // Letters, and '%'.
  std::string_view word();
  // Up to a character of `ends`, which is left.
  std::string_view until(std::string_view ends);
  // At least 0; `example` is for the message.
  Result<double> number(std::string_view example);
  Result<std::uint64_t> count(std::string_view example);  // at least 1
  Result<base::Duration> duration(std::string_view example = "20ms");
  Result<double> share();  // 0 … 1, as "1%" or "0.01"
  Result<void> expect(char c, std::string_view context);
};

}  // namespace qanat::linkem
