// UsageRecord: what one call consumed at this pool, signed, kept until a gateway has acknowledged it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/meter/signing_key.hh"

namespace qanat::pool {

struct UsageRecord {
  std::uint64_t sequence = 0;  // 1, 2, … in order of completion, never reused
  std::string pool;
  std::string call;  // the caller's x-qanat-call, or a name of ours
  std::string model;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens =
      0;  // generated; at most one step more than was delivered when a client leaves
  std::uint64_t started_unix_ms = 0, ended_unix_ms = 0;
  std::string
      finish;  // "stop", "length", "cancelled" (the client left), "interrupted" (the pool died or was stopped)
  std::string signature;  // base64, Ed25519 over signed_text()
};

// The bytes under the signature: "qanat-usage-1", then pool, sequence, call, model, prompt_tokens, completion_tokens,
// started_unix_ms, ended_unix_ms, finish, each on its own line. No field holds a line end.
std::string signed_text(const UsageRecord& record);
std::string to_json(const UsageRecord& record);

// The pool's Ed25519 key pair.
using UsageKey = meter::SigningKey;
using meter::verify;

}  // namespace qanat::pool
