// ExpressService::Running: one transfer that is under way, as the service holds it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "gateway/jobs/express/express_service.hh"
#include "gateway/jobs/kept_job.hh"

namespace qanat::jobs {

// Its JSON is what the book keeps.
struct ExpressService::Running : KeptJob {
  std::string dataset, state = "moving", error;
  Digest artefact;
  PoolSite pool;
  std::optional<std::int64_t> by_ms;
  std::int64_t finished_ms = 0, predicted_ms = kNever;
  std::uint64_t size = 0, to_move = 0, peak = 0, off_peak = 0;  // bytes; the last two: moved
  std::int64_t quoted = 0;  // nano: the most that it will cost, held in the payer's budgets
  std::vector<std::size_t> links;
  std::shared_ptr<Steering> steering = std::make_shared<Steering>();

  std::uint64_t moved() const { return peak + off_peak; }
  std::uint64_t left() const { return to_move > moved() ? to_move - moved() : 0; }
  ids::Tier tier() const { return by_ms ? ids::Tier::Bulk : ids::Tier::Scavenger; }
  bool over() const { return state != "moving"; }
  std::int64_t price(const Tariff& tariff) const {
    return static_cast<std::int64_t>(std::min<meter::Nano>(tariff.price(peak, off_peak), quoted));
  }

  nlohmann::ordered_json to_json(const Tariff& tariff) const {
    nlohmann::ordered_json j;
    j["id"] = id;
    j["object"] = "transfer";
    j["dataset"] = dataset;
    j["artefact"] = to_string(artefact);
    j["site"] = pool.id;
    j["state"] = state;
    j["tier"] = ids::to_string(tier());
    j["by_unix_ms"] = by_ms ? nlohmann::ordered_json(*by_ms) : nlohmann::ordered_json();
    j["created_unix_ms"] = created_ms;
    j["finished_unix_ms"] = finished_ms ? nlohmann::ordered_json(finished_ms) : nlohmann::ordered_json();
    j["predicted_unix_ms"] =
        over() || predicted_ms == kNever ? nlohmann::ordered_json() : nlohmann::ordered_json(predicted_ms);
    j["in_time"] = !by_ms || (finished_ms ? finished_ms : predicted_ms) <= *by_ms;
    j["bytes"] = size;
    j["bytes_to_move"] = to_move;
    j["bytes_moved"] = moved();
    j["bytes_off_peak"] = off_peak;
    j["bytes_s"] = over() ? 0 : static_cast<std::uint64_t>(steering->bytes_per_s);
    j["price_nano"] = price(tariff);
    j["quoted_nano"] = quoted;
    j["error"] = error.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(error);
    return j;
  }
};

}  // namespace qanat::jobs
