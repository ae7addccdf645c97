// explain: a placement as JSON, for `qanat explain`, `GET /qanat/v1/resolve` and the ledger: every candidate with what
// excluded it, what was predicted and its score, then the order, and what became of each try.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/place/decide.hh"
#include "gateway/resolve/target.hh"

namespace qanat::relay {

struct Try {
  std::string pool;
  std::string result;  // "status 200", "refused: …", the error
};

// What a call had to wait for before it was placed for good, where the gateway's places are limited.
struct Queued {
  base::Duration time{};
  std::size_t behind = 0;    // calls that waited when it came
  std::string_view limit{};  // "gateway", "tenant", "key": whose
};

// One call's decision as values, shared by the call and the log: it becomes text only when somebody asks, or once, for
// the ledger.
struct Explanation {
  resolve::Target target;
  place::Wish wish;
  place::Decision decision;
  std::size_t prefix_blocks = 0, prefix_warm = 0;  // of the prompt; those that the pick is taken to hold
  std::vector<Try> tries{};
  std::optional<Queued> queued{};  // it waited for a place
  std::string
      request_id{};  // the caller's own name for it, else the call's: links the lines of a chain of gateways
};

// A list, of {instance, model, local, stale, filtered_by, detail, price, path, predicted, score, …}.
std::string candidates_json(const place::Decision& decision);
// {request, request_id, reason, tier, sla, demand, prefix, queued (of those that were), candidates, order, tries}
std::string explain(const Explanation& explanation);

// A number where it fits JSON's integers, else a string.
nlohmann::json money_json(meter::Nano amount);

}  // namespace qanat::relay
