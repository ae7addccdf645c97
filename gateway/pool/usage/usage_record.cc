#include "gateway/pool/usage/usage_record.hh"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace qanat::pool {

std::string signed_text(const UsageRecord& r) {
  return fmt::format("qanat-usage-1\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n", r.pool, r.sequence, r.call,
                     r.model, r.prompt_tokens, r.completion_tokens, r.started_unix_ms, r.ended_unix_ms,
                     r.finish);
}

std::string to_json(const UsageRecord& r) {
  nlohmann::ordered_json json;
  json["sequence"] = r.sequence;
  json["pool"] = r.pool;
  json["call"] = r.call;
  json["model"] = r.model;
  json["prompt_tokens"] = r.prompt_tokens;
  json["completion_tokens"] = r.completion_tokens;
  json["started_unix_ms"] = r.started_unix_ms;
  json["ended_unix_ms"] = r.ended_unix_ms;
  json["finish"] = r.finish;
  json["signature"] = r.signature;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace qanat::pool
