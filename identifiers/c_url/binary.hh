// The binary form of a C-URL, version 1: what stands in messages and keys of stores. One for each meaning.
//
//    0                   1
//    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5
//   +-------+-------+---------------+
//   | 0xC   | ver=1 |0 0 0 0 0|V|M|P|   then, in this order:
//   +-------+-------+---------------+
//   location   count (0: any), then each label; the label "*" is itself
//   P          the provider, if P is set
//   service
//   M          the model, if M is set
//   V          its version, if V is set
//   clauses    count, then each, by the canonical text's order of names:
//     id       of the key registry (key.cc); 0: an "x-" key, whose name follows
//     value    numbers: integer; Choice: its place among the key's choices, one byte;
//              names and places: count, then each; "x-" keys: the text
//
// Counts and integers are LEB128 (7 bits a byte, least significant first, the top bit: more follows), shortest form.
// Every text is its length in bytes (LEB128), then its bytes, decoded and in lower case (but for the text of x- keys).
#pragma once

#include <boost/system/result.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "identifiers/c_url/c_url.hh"

namespace qanat::c_url {

inline constexpr std::uint8_t kBinaryVersion = 1;

enum class BinaryErrc : std::uint8_t {
  Truncated = 1,
  WrongVersion,
  UnknownKey,    // an id of a later registry
  NotCanonical,  // trailing bytes, reserved bits, longer than need be, out of order, or no C-URL's value
};
std::string_view to_string(BinaryErrc code);

std::string encode(const CUrl& url);
// Total and bounded; decode(encode(u)) = u, and encode(decode(b)) = b for every b that is accepted.
boost::system::result<CUrl, BinaryErrc> decode(std::string_view bytes);
[[noreturn]] void throw_exception_from_error(const BinaryErrc& error, const boost::source_location& where);

}  // namespace qanat::c_url
