// Checkpoint: how large an audit tree was at a time, and its root; what gateways sign, and witnesses after them.
//
//   qanat/city                      the tree: one for each gateway
//   1234                            leaves
//   CsUYapGGPo4dkMgIAUqom/…=        the root, base64
//   unix_ms 1795404000000
//
// The first three lines are those of C2SP's tlog-checkpoint; signatures stand apart, over exactly these bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/audit/digest.hh"

namespace qanat::meter {

struct Checkpoint {
  std::string gateway;
  std::uint64_t size = 0;
  audit::Digest root;
  std::int64_t unix_ms = 0;
  bool operator==(const Checkpoint&) const = default;
};

std::string serialize(const Checkpoint& checkpoint);
// Nothing for any other text than serialize() makes.
std::optional<Checkpoint> parse_checkpoint(std::string_view text);

// What a witness signs: that it saw this checkpoint at this time, and that every one that it signed before is its beginning.
std::string cosigned_text(std::string_view checkpoint, std::int64_t unix_s);

// As stored, and as it is handed out.
struct Cosignature {
  std::string name, public_key, signature;  // the key and the signature in base64
  std::int64_t unix_s = 0;
};

}  // namespace qanat::meter
