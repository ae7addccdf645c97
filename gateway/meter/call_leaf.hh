// A settled call's leaf of the audit tree: one line of JSON, made once and stored; what is hashed is what is stored.
// It holds no text of prompts or answers. Whose call it was stands there as commitments: SHA-256 of a salt and the value,
// which nobody can try names against without the salt, and whoever is given a field's salt can check.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/meter/call.hh"

namespace qanat::meter {

// `secret`: the leaf's own, from which its fields' salts come. Strings as the database keeps them.
std::string leaf_of(const Settlement& settlement, std::int64_t amount_nano, std::string_view secret);
// The first leaf of a tree: how many calls are in the books and in no leaf, because they are older.
std::string first_leaf(std::string_view gateway, std::uint64_t calls_before);

// Of "tenant", "project" or "key": hexadecimal digits.
std::string field_salt(std::string_view secret, std::string_view field);
std::string commitment(std::string_view salt, std::string_view value);

}  // namespace qanat::meter
