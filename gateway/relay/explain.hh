// explain: a placement as JSON, for `qanat explain`, `GET /qanat/v1/resolve` and the ledger: every candidate with what
// excluded it, what was predicted and its score, then the order, and what became of each try.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "gateway/place/decide.hh"
#include "gateway/resolve/target.hh"

namespace qanat::relay {

struct Try {
  std::string pool;
  std::string result;  // "status 200", "refused: …", the error
};

nlohmann::json candidates_json(const place::Decision& decision);
// {request, reason, tier, sla, demand, candidates, order, tries}
std::string explain(const resolve::Target& target, const place::Wish& wish, const place::Decision& decision,
                    const std::vector<Try>& tries);

// A number where it fits JSON's integers, else a string.
nlohmann::json money_json(meter::Nano amount);

}  // namespace qanat::relay
